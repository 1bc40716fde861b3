//! The labels of a split beside the scores that a model gave to each of them.

use std::borrow::Cow;

use bomf_plugin_api::{PluginError, Result, Table, Values, column};

use crate::labels::{declared, index, out_of_range, refuse_empty};

/// Scores of a row may miss 1 by so much in sum: softmax in f32, or probabilities printed with a few digits.
const SUM_TOLERANCE: f64 = 1e-3;

/// One label and one score per label of the task for every row.
pub(crate) struct LabelScores<'a> {
    /// `[rows]`, each below `width`.
    pub(crate) labels: Vec<usize>,
    /// Number of labels of the task, two or more.
    pub(crate) width: usize,
    /// `[rows, width]`, finite.
    scores: Cow<'a, [f64]>,
}

impl<'a> LabelScores<'a> {
    /// Reads `label` and `predicted_scores`. A single score per row is that of label 1 of two.
    pub(crate) fn of(examples: &'a Table<'_>) -> Result<Self> {
        refuse_empty(examples)?;
        let labels = examples.integers(column::LABEL)?;
        let Values::Numbers(scores) = examples.column(column::PREDICTED_SCORES)?.values() else {
            return Err(refuse("found no numbers", "one per label"));
        };
        let width = declared(examples)?.unwrap_or(0);
        if width == 0 {
            return Err(refuse("found no number", "one per label"));
        }
        if let Some(place) = scores.iter().position(|score| !score.is_finite()) {
            let row = place * labels.len() / scores.len();
            return Err(refuse(
                &format!("found {} in row {row}", scores[place]),
                "finite numbers",
            ));
        }
        let scores = match scores.len() == labels.len() {
            true => scores.iter().flat_map(|&p| [1.0 - p, p]).collect(),
            false => Cow::Borrowed(&scores[..]),
        };
        let labels = labels.iter().enumerate().map(|(row, &label)| {
            index(label, width).ok_or_else(|| out_of_range(label, row, column::LABEL, width))
        });
        Ok(Self {
            labels: labels.collect::<Result<_>>()?,
            width,
            scores,
        })
    }

    /// The same, for scores that are probabilities.
    pub(crate) fn probabilities(examples: &'a Table<'_>) -> Result<Self> {
        let all = Self::of(examples)?;
        for (row, scores) in all.rows().enumerate() {
            let sum: f64 = scores.iter().sum();
            let inside = |p: &f64| (-SUM_TOLERANCE..=1.0 + SUM_TOLERANCE).contains(p);
            if (sum - 1.0).abs() > SUM_TOLERANCE || !scores.iter().all(inside) {
                let found = format!("found {scores:?} in row {row}");
                return Err(refuse(&found, "probabilities that sum to 1"));
            }
        }
        Ok(all)
    }

    /// The scores of each row, `[width]`.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.scores.chunks_exact(self.width)
    }

    /// The scores of one label, `[rows]`.
    pub(crate) fn of_label(&self, label: usize) -> impl Iterator<Item = f64> {
        self.rows().map(move |scores| scores[label])
    }
}

fn refuse(found: &str, expected: &str) -> PluginError {
    PluginError::input(format!(
        "{found} in column `{}`, expected {expected}",
        column::PREDICTED_SCORES
    ))
}
