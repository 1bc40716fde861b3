//! Where the time of a run goes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

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

/// Time spent, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// By the clock on the wall.
    pub wall: f64,
    /// On each category; what is left of `wall` went to other things.
    pub on: BTreeMap<Category, f64>,
}

impl Spent {
    /// Adds what was spent elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.wall += other.wall;
        for (&category, seconds) in &other.on {
            *self.on.entry(category).or_default() += seconds;
        }
    }

    /// What was spent since an earlier reading of the same clock.
    pub fn since(&self, earlier: &Self) -> Self {
        let on = self.on.iter().map(|(category, seconds)| {
            (
                *category,
                seconds - earlier.on.get(category).unwrap_or(&0.0),
            )
        });
        Self {
            wall: self.wall - earlier.wall,
            on: on.filter(|(_, seconds)| *seconds > 0.0).collect(),
        }
    }
}

/// A clock for a run: what earlier processes spent on it, and what this one spends.
#[derive(Debug)]
pub struct Timing {
    earlier: Spent,
    started: Instant,
    on: RefCell<BTreeMap<Category, f64>>,
}

impl Timing {
    /// A clock that starts now.
    pub fn after(earlier: Spent) -> Self {
        Self {
            earlier,
            started: Instant::now(),
            on: RefCell::default(),
        }
    }

    /// Does some work and books its time.
    pub fn measure<T>(&self, category: Category, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        *self.on.borrow_mut().entry(category).or_default() += start.elapsed().as_secs_f64();
        result
    }

    /// What was spent so far.
    pub fn spent(&self) -> Spent {
        let mut spent = Spent {
            wall: self.started.elapsed().as_secs_f64(),
            on: self.on.borrow().clone(),
        };
        spent.add(&self.earlier);
        spent
    }
}
