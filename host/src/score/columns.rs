//! Columns that grow line by line: texts back to back, numbers side by side.

use std::borrow::Cow;

use bomf_plugin_api::{Result, Table, Values, column};

/// The columns that lines can give.
pub const NAMES: [&str; 14] = [
    column::TEXT,
    column::ID,
    column::GROUP,
    column::LABEL,
    column::VALUE,
    column::REFERENCE_TEXT,
    column::PREDICTED_LABEL,
    column::PREDICTED_SCORES,
    column::PREDICTED_VALUE,
    column::PREDICTED_TEXT,
    column::NO_ANSWER_PROBABILITY,
    column::LOSS,
    column::TOKENS,
    column::RIGHT_TOKENS,
];

/// Which keys of a line make a column.
pub fn source(name: &str) -> &'static str {
    match name {
        column::TEXT => "`input`",
        column::GROUP => "the key that `--group` names",
        column::LABEL => "`label` or `labels`",
        column::REFERENCE_TEXT => "`reference` or `references`",
        column::PREDICTED_LABEL => "`prediction`, beside `label`",
        column::PREDICTED_VALUE => "`prediction`, beside `value`",
        column::PREDICTED_TEXT => "`prediction`, a text",
        column::PREDICTED_SCORES => "`scores`, one number per label",
        _ => "a key of that name",
    }
}

/// How many values each row has; bounds are kept from the first row on that has other than one.
#[derive(Debug, Default)]
pub struct Cells {
    rows: usize,
    values: usize,
    bounds: Vec<u64>,
}

impl Cells {
    fn push(&mut self, count: usize) {
        if self.bounds.is_empty() && count != 1 {
            self.bounds = (0..=self.rows as u64).collect();
        }
        self.rows += 1;
        self.values += count;
        if !self.bounds.is_empty() {
            self.bounds.push(self.values as u64);
        }
    }
}

/// Texts, any number per row.
#[derive(Debug, Default)]
pub struct Texts {
    cells: Cells,
    ends: Vec<u64>,
    bytes: String,
}

impl Texts {
    /// Adds a row.
    pub fn push<S: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = S>) {
        let before = self.ends.len();
        for text in texts {
            self.bytes.push_str(text.as_ref());
            self.ends.push(self.bytes.len() as u64);
        }
        self.cells.push(self.ends.len() - before);
    }

    /// The table with this column too; without any row it is left out.
    pub fn beside(self, table: Table<'static>, name: &'static str) -> Result<Table<'static>> {
        let values = Values::Texts {
            ends: self.ends.into(),
            bytes: self.bytes.into(),
        };
        add(table, name, self.cells, values)
    }
}

/// Numbers or integers, any number per row.
#[derive(Debug)]
pub struct Numbers<T> {
    cells: Cells,
    values: Vec<T>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self {
            cells: Cells::default(),
            values: Vec::new(),
        }
    }
}

impl<T: Copy + 'static> Numbers<T>
where
    Values<'static>: FromNumbers<T>,
{
    /// Adds a row.
    pub fn push(&mut self, values: impl IntoIterator<Item = T>) {
        let before = self.values.len();
        self.values.extend(values);
        self.cells.push(self.values.len() - before);
    }

    /// All values, to be changed in place.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// The table with this column too; without any row it is left out.
    pub fn beside(self, table: Table<'static>, name: &'static str) -> Result<Table<'static>> {
        add(table, name, self.cells, Values::from_numbers(self.values))
    }
}

/// The two kinds of numbers that a column can hold.
pub trait FromNumbers<T> {
    /// As values of a column.
    fn from_numbers(numbers: Vec<T>) -> Self;
}

impl FromNumbers<f64> for Values<'static> {
    fn from_numbers(numbers: Vec<f64>) -> Self {
        Values::Numbers(numbers.into())
    }
}

impl FromNumbers<i64> for Values<'static> {
    fn from_numbers(numbers: Vec<i64>) -> Self {
        Values::Integers(numbers.into())
    }
}

fn add(
    table: Table<'static>,
    name: &'static str,
    cells: Cells,
    values: Values<'static>,
) -> Result<Table<'static>> {
    match cells.rows {
        0 => Ok(table),
        _ => table.with_column(Cow::Borrowed(name), cells.bounds.into(), values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept_from_the_first_row_that_needs_them() {
        let (mut plain, mut ragged) = (Texts::default(), Texts::default());
        for (row, word) in ["a", "bc", "", "d"].into_iter().enumerate() {
            plain.push([word]);
            ragged.push(vec![word; if row < 2 { 1 } else { row }]);
        }
        assert!(plain.cells.bounds.is_empty());
        assert_eq!(ragged.cells.bounds, [0, 1, 2, 4, 7]);
        let table = ragged.beside(Table::new(4), column::REFERENCE_TEXT);
        let table = plain
            .beside(table.unwrap(), column::PREDICTED_TEXT)
            .unwrap();
        let references = table.column(column::REFERENCE_TEXT).unwrap();
        assert_eq!(references.texts(3).collect::<Vec<_>>(), ["d", "d", "d"]);
        let predictions: Vec<&str> = table.texts(column::PREDICTED_TEXT).unwrap().collect();
        assert_eq!(predictions, ["a", "bc", "", "d"]);
        let empty = Numbers::<i64>::default()
            .beside(table, column::TOKENS)
            .unwrap();
        assert!(empty.get(column::TOKENS).is_none());
    }
}
