//! Counting pass: how often each class was predicted for each true class.

use std::collections::BTreeMap;

use bomf_plugin_api::{PluginError, Result, Table, column};

/// Counts of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Class {
    /// Predicted and true.
    pub hits: u64,
    /// Predicted.
    pub predicted: u64,
    /// True.
    pub truth: u64,
}

/// Counts of all classes that occur in the truth or in the predictions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confusion {
    /// By class.
    pub classes: BTreeMap<i64, Class>,
    /// Number of examples.
    pub examples: u64,
}

/// True and predicted classes of a split with exactly one of each per example.
///
/// # Errors
/// When a column is missing, a row has no or several labels, a label is negative, or there is no example.
pub fn labels<'a>(examples: &'a Table<'_>) -> Result<(&'a [i64], &'a [i64])> {
    let truth = examples.integers(column::LABEL)?;
    let predicted = examples.integers(column::PREDICTED_LABEL)?;
    for (name, labels) in [(column::LABEL, truth), (column::PREDICTED_LABEL, predicted)] {
        if let Some(row) = labels.iter().position(|&label| label < 0) {
            return Err(PluginError::input(format!(
                "found the label {} in row {row} of column `{name}`, expected 0 or more",
                labels[row]
            )));
        }
    }
    match truth.is_empty() {
        true => Err(PluginError::input("found no example, expected one or more")),
        false => Ok((truth, predicted)),
    }
}

impl Confusion {
    /// Counts a split.
    ///
    /// # Errors
    /// As [`labels`].
    pub fn count(examples: &Table<'_>) -> Result<Self> {
        let (truth, predicted) = labels(examples)?;
        let mut confusion = Self {
            examples: truth.len() as u64,
            ..Self::default()
        };
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            confusion.classes.entry(truth).or_default().truth += 1;
            let class = confusion.classes.entry(predicted).or_default();
            class.predicted += 1;
            class.hits += u64::from(truth == predicted);
        }
        Ok(confusion)
    }

    /// Counts of a class; zero if it does not occur.
    pub fn class(&self, label: i64) -> Class {
        self.classes.get(&label).copied().unwrap_or_default()
    }

    /// The correlation of truth and prediction over all classes (Matthews 1975; Gorodkin 2004 for several classes), in
    /// [-1, 1]; 0 where either side is constant, as scikit-learn has it.
    pub fn matthews(&self) -> f64 {
        let n = self.examples as f64;
        let sum = |f: &dyn Fn(&Class) -> f64| -> f64 { self.classes.values().map(f).sum() };
        let hits = sum(&|class| class.hits as f64);
        let both = sum(&|class| class.truth as f64 * class.predicted as f64);
        let truth = sum(&|class| (class.truth as f64).powi(2));
        let predicted = sum(&|class| (class.predicted as f64).powi(2));
        let spread = (n * n - predicted) * (n * n - truth);
        if spread == 0.0 {
            0.0
        } else {
            (hits * n - both) / spread.sqrt()
        }
    }
}

impl Class {
    /// Share of the predictions that are true; 0 without a prediction.
    pub fn precision(&self) -> f64 {
        ratio(self.hits, self.predicted)
    }

    /// Share of the true ones that are predicted; 0 without a true one.
    pub fn recall(&self) -> f64 {
        ratio(self.hits, self.truth)
    }

    /// Harmonic mean of precision and recall; 0 where both are.
    pub fn f1(&self) -> f64 {
        ratio(2 * self.hits, self.predicted + self.truth)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
