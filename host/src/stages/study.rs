//! The search loop: the only loop of a run. Optimizers suggest, the caller tries, the journal remembers.

use bomf_plugin_api::{Optimizer, Outcome, Study, Suggestion, Suggestions, Trial};

use super::Run;
use crate::diagnostics::Failure;
use crate::timing::Category;

/// What ended a search.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// The ceiling of trials was reached.
    Budget,
    /// The optimizer has nothing left to try.
    Done(String),
}

/// A search in progress: an optimizer and its study.
pub struct Search<'a> {
    /// Prefix of the journal's keys, for example `fuse/greedy`.
    pub key: String,
    /// What messages call the optimizer.
    pub optimizer_name: String,
    /// The optimizer.
    pub optimizer: Box<dyn Optimizer>,
    /// Its study.
    pub study: Study,
    /// Most trials there may be.
    pub ceiling: u64,
    /// The run.
    pub run: &'a Run<'a>,
}

impl Search<'_> {
    /// Asks and tries until the ceiling is reached or the optimizer is done.
    ///
    /// Suggestions come from the journal as far as it reaches: a fresh optimizer that is given the same study goes on with
    /// the same points. `attempt` gives the outcome of a trial, leaves what was reported while it ran in its `reports`, and
    /// keeps what it did in the journal itself.
    pub fn run(
        &mut self,
        mut attempt: impl FnMut(&Study, &mut Trial, &mut dyn Optimizer) -> Result<Outcome, Failure>,
    ) -> Result<End, Failure> {
        self.study.budget = Some(self.ceiling);
        loop {
            let next = self.study.trials.len() as u64;
            if next >= self.ceiling {
                return Ok(End::Budget);
            }
            self.run.check_stop()?;
            let suggestion = match self.suggest(next)? {
                Suggestions::Done { why } => return Ok(End::Done(why)),
                Suggestions::Points(points) => points.into_iter().next(),
                _ => None,
            };
            let suggestion = suggestion
                .ok_or_else(|| self.fault("found no suggestion, expected one or an end"))?;
            self.attempt(suggestion, &mut attempt)?;
        }
    }

    fn suggest(&mut self, next: u64) -> Result<Suggestions, Failure> {
        let key = format!("{}/suggestion/{next}", self.key);
        let (optimizer, study) = (&mut self.optimizer, &self.study);
        let (name, timing) = (&self.optimizer_name, self.run.timing);
        self.run.journal.once(&key, || {
            timing
                .measure(Category::Optimizer, || optimizer.suggest(study, 1))
                .map_err(|error| Failure::plugin(name, &error))
        })
    }

    fn attempt(
        &mut self,
        suggestion: Suggestion,
        attempt: &mut impl FnMut(&Study, &mut Trial, &mut dyn Optimizer) -> Result<Outcome, Failure>,
    ) -> Result<(), Failure> {
        bomf_plugin_api::check_point(&self.study.space, &suggestion.point).map_err(|error| {
            self.fault(&format!("suggested a point outside the space: {error}"))
        })?;
        let id = self.study.suggest(suggestion) as usize;
        let mut trial = self.study.trials[id].clone();
        trial.outcome = attempt(&self.study, &mut trial, &mut *self.optimizer)?;
        self.study.trials[id] = trial;
        Ok(())
    }

    fn fault(&self, what: &str) -> Failure {
        Failure::plugin(
            &self.optimizer_name,
            &bomf_plugin_api::PluginError::failed(what),
        )
    }
}
