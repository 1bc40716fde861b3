//! Where the time of a run goes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What time is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Forward and backward passes and optimizer steps.
    Training,
    /// Tokenising, loading weights, forward passes.
    Prediction,
    /// Computing weights from members and coefficients.
    Fusion,
    /// Suggesting points.
    Optimizer,
    /// Scoring predictions.
    Metrics,
    /// Reading and writing files.
    Io,
}

/// Seconds per category, of this process.
#[derive(Debug, Default)]
pub struct Timing {
    spent: RefCell<BTreeMap<Category, Duration>>,
}

impl Timing {
    /// Does some work and books its time.
    pub fn measure<T>(&self, category: Category, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        *self.spent.borrow_mut().entry(category).or_default() += start.elapsed();
        result
    }

    /// Seconds per category so far.
    pub fn seconds(&self) -> BTreeMap<Category, f64> {
        self.spent
            .borrow()
            .iter()
            .map(|(&category, spent)| (category, spent.as_secs_f64()))
            .collect()
    }
}
