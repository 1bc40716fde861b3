//! The columns of a table of answers, and how the rows are shared out among threads.

use std::ops::Range;

use bomf_plugin_api::{Column, PluginError, Result, Table, Values, column};

use crate::answers::Answer;

/// No answer is longer than this many bytes: words are found with 32 bits.
const LONGEST_ANSWER: usize = 1 << 30;

/// Rows below which a further thread costs more than it brings.
const LEAST_ROWS: usize = 1024;

/// One predicted answer per row, and any number of right ones.
pub(crate) struct Questions<'t> {
    predictions: &'t Column<'t>,
    references: &'t Column<'t>,
    rows: usize,
}

/// What an answer is worth, each in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Worth {
    pub(crate) exact: f64,
    pub(crate) f1: f64,
}

impl Worth {
    pub(crate) const NOTHING: Self = Self {
        exact: 0.0,
        f1: 0.0,
    };

    pub(crate) const ALL: Self = Self {
        exact: 1.0,
        f1: 1.0,
    };

    pub(crate) fn best(self, other: Self) -> Self {
        Self {
            exact: self.exact.max(other.exact),
            f1: self.f1.max(other.f1),
        }
    }
}

impl<'t> Questions<'t> {
    pub(crate) fn of(examples: &'t Table<'t>) -> Result<Self> {
        let rows = examples.rows();
        if rows == 0 {
            return Err(PluginError::input(
                "found no example, expected one or more to score",
            ));
        }
        for (row, text) in examples.texts(column::PREDICTED_TEXT)?.enumerate() {
            refuse_endless(text, row, column::PREDICTED_TEXT)?;
        }
        let references = examples.column(column::REFERENCE_TEXT)?;
        if !matches!(references.values(), Values::Texts { .. }) {
            return Err(PluginError::input(format!(
                "found no texts in column `{}`, expected any number per row",
                column::REFERENCE_TEXT
            )));
        }
        for row in 0..rows {
            let mut texts = references.texts(row);
            texts.try_for_each(|text| refuse_endless(text, row, column::REFERENCE_TEXT))?;
        }
        Ok(Self {
            predictions: examples.column(column::PREDICTED_TEXT)?,
            references,
            rows,
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn prediction(&self, row: usize) -> &'t str {
        self.predictions.texts(row).next().expect("one per row")
    }

    pub(crate) fn references(&self, row: usize) -> impl ExactSizeIterator<Item = &'t str> {
        self.references.texts(row)
    }

    /// `[rows]`: the best that each answer is worth by `compare`, which is given the prediction and then a reference that
    /// `counts`, or an empty one where none does.
    pub(crate) fn worth(
        &self,
        threads: usize,
        counts: impl Fn(&Answer) -> bool + Sync,
        compare: impl Fn(&Answer, &Answer) -> Worth + Sync,
    ) -> Vec<Worth> {
        self.share_out(threads, |rows| {
            let [mut prediction, mut reference] = [Answer::default(), Answer::default()];
            let each = rows.map(|row| {
                prediction.read(self.prediction(row));
                let mut best = None;
                for text in self.references(row) {
                    reference.read(text);
                    if counts(&reference) {
                        let worth = compare(&prediction, &reference);
                        best = Some(best.map_or(worth, |best: Worth| best.best(worth)));
                    }
                }
                best.unwrap_or_else(|| compare(&prediction, &Answer::default()))
            });
            each.collect()
        })
    }

    /// What `work` makes of the rows, in their order: of all at once, or of equal shares on threads of their own.
    fn share_out(
        &self,
        threads: usize,
        work: impl Fn(Range<usize>) -> Vec<Worth> + Sync,
    ) -> Vec<Worth> {
        let shares = threads.min(self.rows.div_ceil(LEAST_ROWS)).max(1);
        let share = |index: usize| self.rows * index / shares..self.rows * (index + 1) / shares;
        let (work, share) = (&work, &share);
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..shares)
                .map(|index| scope.spawn(move || work(share(index))))
                .collect();
            let mut done = work(share(0));
            for other in others {
                let more = other.join();
                done.extend(more.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            done
        })
    }
}

fn refuse_endless(text: &str, row: usize, name: &str) -> Result<()> {
    if text.len() > LONGEST_ANSWER {
        return Err(PluginError::input(format!(
            "found a text of {} bytes in row {row} of column `{name}`, expected {LONGEST_ANSWER} at most",
            text.len()
        )));
    }
    Ok(())
}
