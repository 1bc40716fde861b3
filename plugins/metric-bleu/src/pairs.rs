//! Predictions beside their references, and how the rows are shared out among threads.

use std::ops::Range;

use bomf_plugin_api::{Column, PluginError, Result, Table, Values, column};

/// No text is longer than this many bytes: n-grams are counted and numbered with 32 bits.
const LONGEST_TEXT: usize = 1 << 26;

/// Rows below which a further thread costs more than it brings.
const LEAST_ROWS: usize = 64;

/// The texts of a table: one prediction and one reference or more in every row.
pub(crate) struct Pairs<'t> {
    predictions: &'t Column<'t>,
    references: &'t Column<'t>,
    rows: usize,
    /// How many references every row has; `None` if not all have as many.
    width: Option<usize>,
}

impl<'t> Pairs<'t> {
    /// Looks at every row once, so that those who count need not.
    pub(crate) fn of(examples: &'t Table<'t>) -> Result<Self> {
        let rows = examples.rows();
        if rows == 0 {
            return Err(PluginError::input(
                "found no example, expected one or more to score",
            ));
        }
        let predictions = examples.texts(column::PREDICTED_TEXT)?;
        for (row, text) in predictions.enumerate() {
            refuse_endless(text, row, column::PREDICTED_TEXT)?;
        }
        let references = examples.column(column::REFERENCE_TEXT)?;
        if !matches!(references.values(), Values::Texts { .. }) {
            return Err(PluginError::input(format!(
                "found no texts in column `{}`, expected one or more per row",
                column::REFERENCE_TEXT
            )));
        }
        for row in 0..rows {
            let mut texts = references.texts(row);
            if texts.len() == 0 {
                return Err(PluginError::input(format!(
                    "found no text in row {row} of column `{}`, expected one or more",
                    column::REFERENCE_TEXT
                )));
            }
            texts.try_for_each(|text| refuse_endless(text, row, column::REFERENCE_TEXT))?;
        }
        let first = references.range(0).len();
        let even = (1..rows).all(|row| references.range(row).len() == first);
        Ok(Self {
            predictions: examples.column(column::PREDICTED_TEXT)?,
            references,
            rows,
            width: even.then_some(first),
        })
    }

    pub(crate) fn prediction(&self, row: usize) -> &'t str {
        self.predictions.texts(row).next().expect("one per row")
    }

    pub(crate) fn references(&self, row: usize) -> impl ExactSizeIterator<Item = &'t str> {
        self.references.texts(row)
    }

    /// The number of references as sacrebleu's signatures have it.
    pub(crate) fn width(&self) -> String {
        self.width
            .map_or("var".to_owned(), |width| width.to_string())
    }

    /// What `work` makes of the rows, in their order: of all at once, or of equal shares on threads of their own.
    pub(crate) fn share_out<T: Send>(
        &self,
        threads: usize,
        work: impl Fn(Range<usize>) -> T + Sync,
    ) -> Vec<T> {
        let shares = threads.min(self.rows.div_ceil(LEAST_ROWS)).max(1);
        let share = |index: usize| self.rows * index / shares..self.rows * (index + 1) / shares;
        if shares == 1 {
            return vec![work(share(0))];
        }
        let (work, share) = (&work, &share);
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..shares)
                .map(|index| scope.spawn(move || work(share(index))))
                .collect();
            let mut done = vec![work(share(0))];
            done.extend(others.into_iter().map(|other| {
                other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }));
            done
        })
    }
}

fn refuse_endless(text: &str, row: usize, name: &str) -> Result<()> {
    if text.len() > LONGEST_TEXT {
        return Err(PluginError::input(format!(
            "found a text of {} bytes in row {row} of column `{name}`, expected {LONGEST_TEXT} at most",
            text.len()
        )));
    }
    Ok(())
}
