//! Records as columns: how data sets, predictions and references cross the border without a copy.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::error::{PluginError, Result};

/// Names of the columns that the host and the plugins agree on.
///
/// A plugin passes over columns it does not know.
pub mod column {
    /// The text to classify, or the prompt.
    pub const TEXT: &str = "text";
    /// The second text of a pair.
    pub const TEXT_PAIR: &str = "text_pair";
    /// The example's name in its file, if it has one.
    pub const ID: &str = "id";
    /// The group that the example belongs to (for scores per group).
    pub const GROUP: &str = "group";
    /// The true class, as an index into the task's labels (integers); several where several are right.
    pub const LABEL: &str = "label";
    /// The true number of a regression (numbers).
    pub const VALUE: &str = "value";
    /// Reference texts, one or more per example.
    pub const REFERENCE_TEXT: &str = "reference_text";
    /// The predicted class, as an index into the task's labels (integers).
    pub const PREDICTED_LABEL: &str = "predicted_label";
    /// One number per label of the task, a probability distribution (numbers).
    pub const PREDICTED_SCORES: &str = "predicted_scores";
    /// The predicted number of a regression (numbers).
    pub const PREDICTED_VALUE: &str = "predicted_value";
    /// The generated text.
    pub const PREDICTED_TEXT: &str = "predicted_text";
    /// The loss of the example in nats (numbers); where it has tokens, the mean over them.
    pub const LOSS: &str = "loss";
    /// How many tokens of the example the loss is a mean over (integers).
    pub const TOKENS: &str = "tokens";
    /// For how many of these tokens the right one was the most likely (integers).
    pub const RIGHT_TOKENS: &str = "right_tokens";
    /// The model's probability that there is no answer (numbers).
    pub const NO_ANSWER_PROBABILITY: &str = "no_answer_probability";
}

/// `[rows]` records, column by column. Each cell holds zero or more values of its column's type.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Table<'a> {
    rows: usize,
    columns: Vec<Column<'a>>,
}

/// One named column of a [`Table`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column<'a> {
    pub(crate) name: Cow<'a, str>,
    /// `[rows + 1]`: cell `r` holds the values `cells[r]..cells[r + 1]`. Empty: one value per row.
    pub(crate) cells: Cow<'a, [u64]>,
    pub(crate) values: Values<'a>,
}

/// The values of a [`Column`], all of one type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Values<'a> {
    /// Texts back to back in `bytes` (UTF-8); text `i` ends before `ends[i]`.
    Texts {
        /// `[values]`, non-decreasing.
        ends: Cow<'a, [u64]>,
        /// All texts, one after the other.
        bytes: Cow<'a, str>,
    },
    /// `[values]`, f64.
    Numbers(Cow<'a, [f64]>),
    /// `[values]`, i64.
    Integers(Cow<'a, [i64]>),
}

impl Values<'_> {
    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Values::Texts { ends, .. } => ends.len(),
            Values::Numbers(values) => values.len(),
            Values::Integers(values) => values.len(),
        }
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn kind(&self) -> &'static str {
        match self {
            Values::Texts { .. } => "texts",
            Values::Numbers(_) => "numbers",
            Values::Integers(_) => "integers",
        }
    }
}

impl<'a> Table<'a> {
    /// A table of `rows` rows and no column yet.
    pub fn new(rows: usize) -> Self {
        Self {
            rows,
            columns: Vec::new(),
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns, in the order in which they were added.
    pub fn columns(&self) -> &[Column<'a>] {
        &self.columns
    }

    /// Adds texts, one per row.
    ///
    /// # Errors
    /// When there is not one per row, or the name is taken.
    pub fn with_texts<S: AsRef<str>>(
        self,
        name: &str,
        texts: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let (mut ends, mut bytes) = (Vec::new(), String::new());
        for text in texts {
            bytes.push_str(text.as_ref());
            ends.push(bytes.len() as u64);
        }
        let values = Values::Texts {
            ends: ends.into(),
            bytes: bytes.into(),
        };
        self.with_column(name.to_owned(), Cow::Borrowed(&[]), values)
    }

    /// Adds texts, any number per row.
    ///
    /// # Errors
    /// When there are not as many lists as rows, or the name is taken.
    pub fn with_text_lists<S: AsRef<str>, L: IntoIterator<Item = S>>(
        self,
        name: &str,
        rows: impl IntoIterator<Item = L>,
    ) -> Result<Self> {
        let (mut cells, mut ends, mut bytes) = (vec![0], Vec::new(), String::new());
        for texts in rows {
            for text in texts {
                bytes.push_str(text.as_ref());
                ends.push(bytes.len() as u64);
            }
            cells.push(ends.len() as u64);
        }
        let values = Values::Texts {
            ends: ends.into(),
            bytes: bytes.into(),
        };
        self.with_column(name.to_owned(), cells.into(), values)
    }

    /// Adds numbers, one per row.
    ///
    /// # Errors
    /// When there is not one per row, or the name is taken.
    pub fn with_numbers(self, name: &str, numbers: impl Into<Cow<'a, [f64]>>) -> Result<Self> {
        self.with_column(
            name.to_owned(),
            Cow::Borrowed(&[]),
            Values::Numbers(numbers.into()),
        )
    }

    /// Adds `width` numbers per row, row-major `[rows, width]`.
    ///
    /// # Errors
    /// When there are not `rows * width` numbers, or the name is taken.
    pub fn with_number_rows(
        self,
        name: &str,
        width: usize,
        numbers: impl Into<Cow<'a, [f64]>>,
    ) -> Result<Self> {
        let cells: Vec<u64> = (0..=self.rows as u64)
            .map(|row| row * width as u64)
            .collect();
        self.with_column(
            name.to_owned(),
            cells.into(),
            Values::Numbers(numbers.into()),
        )
    }

    /// Adds integers, one per row.
    ///
    /// # Errors
    /// When there is not one per row, or the name is taken.
    pub fn with_integers(self, name: &str, integers: impl Into<Cow<'a, [i64]>>) -> Result<Self> {
        self.with_column(
            name.to_owned(),
            Cow::Borrowed(&[]),
            Values::Integers(integers.into()),
        )
    }

    /// Adds a column whose cells hold any number of values.
    ///
    /// `cells` is `[rows + 1]`, starts at 0, does not decrease and ends at the number of values; empty, it means one
    /// value per row.
    ///
    /// # Errors
    /// When the parts do not fit together, or the name is taken.
    pub fn with_column(
        mut self,
        name: impl Into<Cow<'a, str>>,
        cells: Cow<'a, [u64]>,
        values: Values<'a>,
    ) -> Result<Self> {
        let column = Column {
            name: name.into(),
            cells,
            values,
        };
        column.check(self.rows)?;
        if self.columns.iter().any(|other| other.name == column.name) {
            return Err(PluginError::input(format!(
                "there is a column `{}` already",
                column.name
            )));
        }
        self.columns.push(column);
        Ok(self)
    }

    /// Adds all columns of another table of as many rows, for example the predictions beside the examples.
    ///
    /// # Errors
    /// When the number of rows differs or a name is taken.
    pub fn with_table(mut self, other: Table<'a>) -> Result<Self> {
        if other.rows != self.rows {
            return Err(PluginError::input(format!(
                "found {} rows beside {}, expected as many",
                other.rows, self.rows
            )));
        }
        for column in other.columns {
            self = self.with_column(column.name, column.cells, column.values)?;
        }
        Ok(self)
    }

    /// The column of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Column<'a>> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column of that name.
    ///
    /// # Errors
    /// When there is none; says which there are.
    pub fn column(&self, name: &str) -> Result<&Column<'a>> {
        self.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.columns.iter().map(|column| &*column.name).collect();
            PluginError::input(format!(
                "found no column `{name}` among `{}`, expected one",
                names.join("`, `")
            ))
        })
    }

    /// The integers of a column that has exactly one per row.
    ///
    /// # Errors
    /// When the column is absent, of another type, or has a row with no or several values.
    pub fn integers(&self, name: &str) -> Result<&[i64]> {
        match &self.single(name)?.values {
            Values::Integers(values) => Ok(values),
            other => Err(wrong_type(name, other, "integers")),
        }
    }

    /// The numbers of a column that has exactly one per row.
    ///
    /// # Errors
    /// When the column is absent, of another type, or has a row with no or several values.
    pub fn numbers(&self, name: &str) -> Result<&[f64]> {
        match &self.single(name)?.values {
            Values::Numbers(values) => Ok(values),
            other => Err(wrong_type(name, other, "numbers")),
        }
    }

    /// The texts of a column that has exactly one per row, in order.
    ///
    /// # Errors
    /// When the column is absent, of another type, or has a row with no or several values.
    pub fn texts(&self, name: &str) -> Result<impl ExactSizeIterator<Item = &str>> {
        let column = self.single(name)?;
        match &column.values {
            Values::Texts { .. } => Ok((0..self.rows).map(|row| column.text(row))),
            other => Err(wrong_type(name, other, "texts")),
        }
    }

    /// The table of the named rows, in the order given; a row may come more than once.
    ///
    /// # Panics
    /// When a row is out of range.
    pub fn take(&self, rows: &[u32]) -> Table<'static> {
        let columns = self
            .columns
            .iter()
            .map(|column| column.take(rows))
            .collect();
        Table {
            rows: rows.len(),
            columns,
        }
    }

    /// The same table without borrowed parts.
    pub fn into_owned(self) -> Table<'static> {
        let columns = self.columns.into_iter().map(Column::into_owned).collect();
        Table {
            rows: self.rows,
            columns,
        }
    }

    /// The same table, borrowing all its parts from this one.
    pub fn borrow(&self) -> Table<'_> {
        let columns = self.columns.iter().map(Column::borrow).collect();
        Table {
            rows: self.rows,
            columns,
        }
    }

    fn single(&self, name: &str) -> Result<&Column<'a>> {
        let column = self.column(name)?;
        match (0..self.rows).find(|&row| column.range(row).len() != 1) {
            None => Ok(column),
            Some(row) => Err(PluginError::input(format!(
                "found {} values in row {row} of column `{name}`, expected one",
                column.range(row).len()
            ))),
        }
    }
}

impl<'a> Column<'a> {
    /// The column's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All values, row after row.
    pub fn values(&self) -> &Values<'a> {
        &self.values
    }

    /// Which values belong to the row.
    ///
    /// # Panics
    /// When the row is out of range.
    pub fn range(&self, row: usize) -> std::ops::Range<usize> {
        if self.cells.is_empty() {
            return row..row + 1;
        }
        self.cells[row] as usize..self.cells[row + 1] as usize
    }

    /// The integers of a row; none if the column is of another type.
    ///
    /// # Panics
    /// When the row is out of range.
    pub fn integers(&self, row: usize) -> &[i64] {
        match &self.values {
            Values::Integers(values) => &values[self.range(row)],
            _ => &[],
        }
    }

    /// The numbers of a row; none if the column is of another type.
    ///
    /// # Panics
    /// When the row is out of range.
    pub fn numbers(&self, row: usize) -> &[f64] {
        match &self.values {
            Values::Numbers(values) => &values[self.range(row)],
            _ => &[],
        }
    }

    /// The texts of a row, in order; none if the column is of another type.
    ///
    /// # Panics
    /// When the row is out of range.
    pub fn texts(&self, row: usize) -> impl ExactSizeIterator<Item = &str> {
        let range = match &self.values {
            Values::Texts { .. } => self.range(row),
            _ => 0..0,
        };
        range.map(|index| self.text(index))
    }

    /// Text number `index` of all values; empty if the column is of another type.
    fn text(&self, index: usize) -> &str {
        let Values::Texts { ends, bytes } = &self.values else {
            return "";
        };
        let start = if index == 0 {
            0
        } else {
            ends[index - 1] as usize
        };
        &bytes[start..ends[index] as usize]
    }

    /// Refuses parts that do not fit together: everything else indexes without looking again.
    pub(crate) fn check(&self, rows: usize) -> Result<()> {
        let fault = |what: String| {
            Err(PluginError::input(format!(
                "column `{}`: {what}",
                self.name
            )))
        };
        let values = self.values.len();
        if self.cells.is_empty() {
            if values != rows {
                return fault(format!(
                    "found {values} values, expected {rows}, one per row"
                ));
            }
        } else {
            if self.cells.len() != rows + 1 {
                return fault(format!(
                    "found {} cell bounds, expected {}",
                    self.cells.len(),
                    rows + 1
                ));
            }
            let ordered = self.cells.windows(2).all(|pair| pair[0] <= pair[1]);
            if self.cells[0] != 0 || self.cells[rows] != values as u64 || !ordered {
                return fault(format!(
                    "found cell bounds that do not run from 0 to {values}"
                ));
            }
        }
        if let Values::Texts { ends, bytes } = &self.values {
            let ordered = ends.windows(2).all(|pair| pair[0] <= pair[1]);
            let whole = ends.last().copied().unwrap_or(0) == bytes.len() as u64;
            if !ordered || !whole || !ends.iter().all(|&end| bytes.is_char_boundary(end as usize)) {
                return fault(format!(
                    "found text bounds that do not split {} bytes",
                    bytes.len()
                ));
            }
        }
        Ok(())
    }

    fn take(&self, rows: &[u32]) -> Column<'static> {
        let mut cells = Vec::new();
        if !self.cells.is_empty() {
            cells.push(0);
        }
        let mut indices = Vec::with_capacity(rows.len());
        for &row in rows {
            indices.extend(self.range(row as usize));
            if !self.cells.is_empty() {
                cells.push(indices.len() as u64);
            }
        }
        let values = match &self.values {
            Values::Texts { .. } => {
                let (mut ends, mut bytes) = (Vec::with_capacity(indices.len()), String::new());
                for &index in &indices {
                    bytes.push_str(self.text(index));
                    ends.push(bytes.len() as u64);
                }
                Values::Texts {
                    ends: ends.into(),
                    bytes: bytes.into(),
                }
            }
            Values::Numbers(all) => Values::Numbers(indices.iter().map(|&i| all[i]).collect()),
            Values::Integers(all) => Values::Integers(indices.iter().map(|&i| all[i]).collect()),
        };
        Column {
            name: Cow::Owned(self.name.to_string()),
            cells: cells.into(),
            values,
        }
    }

    fn into_owned(self) -> Column<'static> {
        let values = match self.values {
            Values::Texts { ends, bytes } => Values::Texts {
                ends: ends.into_owned().into(),
                bytes: bytes.into_owned().into(),
            },
            Values::Numbers(values) => Values::Numbers(values.into_owned().into()),
            Values::Integers(values) => Values::Integers(values.into_owned().into()),
        };
        Column {
            name: self.name.into_owned().into(),
            cells: self.cells.into_owned().into(),
            values,
        }
    }

    fn borrow(&self) -> Column<'_> {
        let values = match &self.values {
            Values::Texts { ends, bytes } => Values::Texts {
                ends: Cow::Borrowed(ends),
                bytes: Cow::Borrowed(bytes),
            },
            Values::Numbers(values) => Values::Numbers(Cow::Borrowed(values)),
            Values::Integers(values) => Values::Integers(Cow::Borrowed(values)),
        };
        Column {
            name: Cow::Borrowed(&self.name),
            cells: Cow::Borrowed(&self.cells),
            values,
        }
    }
}

fn wrong_type(name: &str, found: &Values<'_>, expected: &str) -> PluginError {
    PluginError::input(format!(
        "found {} in column `{name}`, expected {expected}",
        found.kind()
    ))
}

#[cfg(test)]
mod tests;
