//! Optimizers: which point to try next.

use crate::error::Result;
use crate::study::{Study, Suggestions, Verdict};

/// Suggests points of a study's space.
///
/// A deterministic function of its options, the seed of its [`crate::Context`] and the study: a fresh instance given
/// the same study goes on with the same points, so that resuming is a replay. Called from one thread at a time.
pub trait Optimizer: Send + 'static {
    /// Up to `count` points to try next, or that there is nothing left to try.
    ///
    /// The study has passed [`Study::check`].
    ///
    /// # Errors
    /// When the space or the objectives are not of a kind that this optimizer can search.
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions>;

    /// Whether a pending trial should go on after an intermediate report of one value per objective.
    ///
    /// `step` says how far the trial is, in a unit that is the same for all trials of the study: a hyperparameter search
    /// divides every training into as many equal parts, about one pass over the training split each, and counts those.
    /// The reports before this one are in the study. [`crate::Stopping`] is a rule to answer by.
    ///
    /// # Errors
    /// When the trial is not part of the study.
    fn report(&mut self, study: &Study, trial: u64, step: u64, values: &[f64]) -> Result<Verdict> {
        let _ = (step, values);
        study.trial(trial).map(|_| Verdict::Continue)
    }
}
