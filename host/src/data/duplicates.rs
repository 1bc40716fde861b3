//! Texts that stand in two splits: a search that has seen them cannot be tested on them.

use std::collections::HashSet;

use bomf_plugin_api::{Table, column};

/// Texts up to case and white space.
fn keys(table: &Table<'_>) -> Vec<String> {
    let column = |name| table.get(name);
    (0..table.rows())
        .map(|row| {
            let parts = [column::TEXT, column::TEXT_PAIR]
                .into_iter()
                .filter_map(column);
            let words = parts.flat_map(|column| column.texts(row).collect::<Vec<_>>());
            let words: Vec<String> = words
                .flat_map(str::split_whitespace)
                .map(str::to_lowercase)
                .collect();
            words.join(" ")
        })
        .collect()
}

fn shared(of: &Table<'_>, with: &Table<'_>) -> Vec<bool> {
    let there: HashSet<String> = keys(with).into_iter().collect();
    keys(of).iter().map(|key| there.contains(key)).collect()
}

/// Rows of train that stand in validation, of train that stand in test, of validation that stand in test.
pub fn count([train, validation, test]: &[Table<'static>; 3]) -> [usize; 3] {
    let count = |of, with| shared(of, with).into_iter().filter(|found| *found).count();
    [
        count(train, validation),
        count(train, test),
        count(validation, test),
    ]
}

/// Texts shown of each pair of splits.
const SHOWN: usize = 3;
/// Characters shown of a text.
const CHARACTERS: usize = 60;

/// Says how many there are, and what the first of them say.
pub fn warn([train, validation, test]: &[Table<'static>; 3], counts: &[usize; 3], dropped: bool) {
    let pairs = [
        ("train and validation", train, validation),
        ("train and test", train, test),
        ("validation and test", validation, test),
    ];
    let found = counts.iter().zip(pairs).filter(|(count, _)| **count > 0);
    for (count, (name, of, with)) in found {
        let outcome = if dropped {
            "left out of the first"
        } else {
            "`data.duplicates: drop` leaves them out"
        };
        let examples = keys(of)
            .into_iter()
            .zip(shared(of, with))
            .filter(|(_, shared)| *shared)
            .map(|(key, _)| format!("\"{}\"", cut(&key)))
            .take(SHOWN)
            .collect::<Vec<_>>();
        tracing::warn!(
            "{count} texts stand in both {name}: {outcome}; the first are {}",
            examples.join(", ")
        );
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Leaves duplicates out of train, and those with test out of validation.
pub fn drop([train, validation, test]: [Table<'static>; 3]) -> [Table<'static>; 3] {
    let without = |of: &Table<'static>, with: &[&Table<'static>]| {
        let found: Vec<Vec<bool>> = with.iter().map(|with| shared(of, with)).collect();
        let rows: Vec<u32> = (0..of.rows())
            .filter(|&row| !found.iter().any(|found| found[row]))
            .map(|row| row as u32)
            .collect();
        of.take(&rows)
    };
    let train = without(&train, &[&validation, &test]);
    let validation = without(&validation, &[&test]);
    [train, validation, test]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_counted_and_left_out_of_the_earlier_split() {
        let table = |texts: &[&str]| {
            Table::new(texts.len())
                .with_texts(column::TEXT, texts)
                .unwrap()
        };
        let splits = [
            table(&["a b", "c", "d"]),
            table(&["A  B", "x"]),
            table(&["d", "X "]),
        ];
        assert_eq!(count(&splits), [1, 1, 1]);
        let splits = drop(splits);
        assert_eq!(splits.each_ref().map(Table::rows), [1, 1, 2]);
        assert_eq!(count(&splits), [0, 0, 0]);
    }
}
