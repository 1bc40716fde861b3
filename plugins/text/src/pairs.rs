//! The predictions of a split beside their references.

use std::sync::Mutex;

use bomf_plugin_api::{Column, PluginError, Result, Table, Values, column};

/// Rows that a thread takes at a time: enough to make the lock cheap, few enough to share the work evenly.
const BLOCK: usize = 64;

/// The columns `predicted_text`, one per row, and `reference_text`, one or more per row.
#[derive(Clone, Copy)]
pub struct Pairs<'t> {
    rows: usize,
    predicted: &'t Column<'t>,
    references: &'t Column<'t>,
}

/// The references of one row; there is at least one.
#[derive(Clone, Copy)]
pub struct References<'t> {
    column: &'t Column<'t>,
    row: usize,
}

impl<'t> References<'t> {
    /// The texts, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'t str> + use<'t> {
        self.column.texts(self.row)
    }
}

impl<'t> Pairs<'t> {
    /// Finds the columns.
    ///
    /// # Errors
    /// When one is missing or no texts, a row has no reference or not one prediction, or there is no row.
    pub fn of(examples: &'t Table<'t>) -> Result<Self> {
        let pairs = Self {
            rows: examples.rows(),
            predicted: texts(examples, column::PREDICTED_TEXT)?,
            references: texts(examples, column::REFERENCE_TEXT)?,
        };
        if pairs.rows == 0 {
            return Err(PluginError::input(
                "found no example, expected one or more to score",
            ));
        }
        for row in 0..pairs.rows {
            let (predicted, references) = (
                pairs.predicted.range(row).len(),
                pairs.references.range(row).len(),
            );
            if predicted != 1 {
                return Err(PluginError::input(format!(
                    "found {predicted} texts in row {row} of column `{}`, expected one",
                    column::PREDICTED_TEXT
                )));
            }
            if references == 0 {
                return Err(PluginError::input(format!(
                    "found no text in row {row} of column `{}`, expected one or more",
                    column::REFERENCE_TEXT
                )));
            }
        }
        Ok(pairs)
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The prediction of a row, and its references.
    pub fn get(&self, row: usize) -> (&'t str, References<'t>) {
        let predicted = self
            .predicted
            .texts(row)
            .next()
            .expect("each row has one prediction");
        (
            predicted,
            References {
                column: self.references,
                row,
            },
        )
    }

    /// What `score` makes of every row, in their order. Each of the threads has a state of its own for what it reuses;
    /// results must not depend on it, so that they are the same whatever the number of threads.
    pub fn map<S, T: Clone + Default + Send>(
        &self,
        threads: usize,
        state: impl Fn() -> S + Sync,
        score: impl Fn(&mut S, &'t str, References<'t>) -> T + Sync,
    ) -> Vec<T> {
        let mut out = vec![T::default(); self.rows];
        let blocks = Mutex::new(out.chunks_mut(BLOCK).enumerate());
        let work = || {
            let mut state = state();
            loop {
                // A thread that panicked ends the scope with its panic: nobody looks at the results.
                let next = blocks.lock().map_or(None, |mut blocks| blocks.next());
                let Some((block, out)) = next else { return };
                for (place, out) in out.iter_mut().enumerate() {
                    let (predicted, references) = self.get(block * BLOCK + place);
                    *out = score(&mut state, predicted, references);
                }
            }
        };
        let threads = threads.clamp(1, self.rows.div_ceil(BLOCK));
        if threads == 1 {
            work();
        } else {
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(work);
                }
            });
        }
        out
    }
}

fn texts<'t>(examples: &'t Table<'t>, name: &str) -> Result<&'t Column<'t>> {
    let column = examples.column(name)?;
    match column.values() {
        Values::Texts { .. } => Ok(column),
        _ => Err(PluginError::input(format!(
            "found no texts in column `{name}`, expected some"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: usize) -> Table<'static> {
        let texts: Vec<String> = (0..rows).map(|row| row.to_string()).collect();
        Table::new(rows)
            .with_texts(column::PREDICTED_TEXT, &texts)
            .and_then(|table| table.with_texts(column::REFERENCE_TEXT, &texts))
            .unwrap()
    }

    #[test]
    fn rows_keep_their_order_whatever_the_threads() {
        let table = table(1000);
        let pairs = Pairs::of(&table).unwrap();
        let expected: Vec<usize> = (0..1000).collect();
        for threads in [0, 1, 2, 3, 64] {
            let found = pairs.map(
                threads,
                || (),
                |(), predicted, _| predicted.parse::<usize>().unwrap(),
            );
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn rows_without_a_text_are_named() {
        let of = |cells: Vec<u64>, name: &str, other: &str| {
            let values = Values::Texts {
                ends: vec![1].into(),
                bytes: "a".into(),
            };
            let table = Table::new(2)
                .with_texts(other, ["x", "y"])
                .and_then(|table| table.with_column(name.to_owned(), cells.into(), values))
                .unwrap();
            Pairs::of(&table).err().unwrap().message
        };
        let message = of(
            vec![0, 1, 1],
            column::REFERENCE_TEXT,
            column::PREDICTED_TEXT,
        );
        assert!(
            message.contains("row 1 of column `reference_text`"),
            "{message}"
        );
        let message = of(
            vec![0, 0, 1],
            column::PREDICTED_TEXT,
            column::REFERENCE_TEXT,
        );
        assert!(
            message.contains("0 texts in row 0 of column `predicted_text`"),
            "{message}"
        );
    }

    #[test]
    fn columns_that_are_no_texts_are_refused() {
        let table = Table::new(1)
            .with_texts(column::PREDICTED_TEXT, ["a"])
            .and_then(|table| table.with_integers(column::REFERENCE_TEXT, vec![1]))
            .unwrap();
        let message = Pairs::of(&table).err().unwrap().message;
        assert!(
            message.contains("no texts in column `reference_text`"),
            "{message}"
        );
    }
}
