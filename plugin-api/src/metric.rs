//! Metrics: numbers for a whole split.

use crate::error::Result;
use crate::table::Table;

/// Scores predictions over a whole split.
///
/// Called by the host from one thread at a time; a metric must not keep state between calls.
pub trait Metric: Send + 'static {
    /// The scores of all examples together (corpus level, never a mean over batches).
    ///
    /// `examples` holds one row per example with the columns of [`crate::column`] that the data, the task and the model
    /// provide: inputs, references (`label`, `reference_text`, ...) and predictions (`predicted_label`, ...).
    ///
    /// # Errors
    /// When a column is missing or a value out of range. Never answer with a number that only means "unknown".
    fn score(&self, examples: &Table<'_>) -> Result<Scores>;
}

/// What a metric makes of a split.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Scores {
    /// Name and value, in the order of the descriptor.
    pub values: Vec<(String, f64)>,
    /// Name and one value per example, for the scores that are means of such values.
    pub per_example: Vec<(String, Vec<f64>)>,
    /// Name, options and version in one line, to be printed beside the number.
    pub signature: String,
}

impl Scores {
    /// Scores with a signature and no value yet.
    pub fn new(signature: impl Into<String>) -> Self {
        Self {
            signature: signature.into(),
            ..Self::default()
        }
    }

    /// Adds a score of the whole split.
    #[must_use]
    pub fn value(mut self, name: &str, value: f64) -> Self {
        self.values.push((name.to_owned(), value));
        self
    }

    /// Adds a score that is the mean of one value per example. With no example it is left out.
    #[must_use]
    pub fn mean_of(mut self, name: &str, per_example: Vec<f64>) -> Self {
        if !per_example.is_empty() {
            let mean = per_example.iter().sum::<f64>() / per_example.len() as f64;
            self.values.push((name.to_owned(), mean));
            self.per_example.push((name.to_owned(), per_example));
        }
        self
    }

    /// The score of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| *value)
    }
}
