//! A study as the model sees it: encoded points, values that are all maximised.

use std::collections::{HashMap, HashSet};

use bomf_plugin_api::{Objective, Outcome, PluginError, Request, Result, Study, Trial};

use crate::gp::Hyperparameters;
use crate::memo::Memo;
use crate::observations::key;
use crate::space::SearchSpace;
use crate::taken::Taken;

/// What is known of a study's trials, in the order of their ids.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Encoded points `[n, d]` of finished trials.
    pub points: Vec<Vec<f64>>,
    /// Normalised values `[n][m]`: higher is better.
    pub values: Vec<Vec<f64>>,
    /// Variance of each normalised value's noise, where it is known.
    pub noise: Vec<Option<Vec<f64>>>,
    /// Raw values of the constraints `[n][c]`.
    pub constraint_values: Vec<Vec<f64>>,
    /// Whether each finished trial fulfils all constraints.
    pub feasible: Vec<bool>,
    /// Encoded points of trials that failed.
    pub failed: Vec<Vec<f64>>,
    /// Encoded points of trials without an outcome yet.
    pub pending: Vec<Vec<f64>>,
    /// The fits behind the latest suggestion that carries any.
    pub last_fits: Vec<Hyperparameters>,
    /// Trials in all.
    pub trials: usize,
}

impl History {
    /// Reads a study; `deviation` is that of the noise of outcomes that come without one, if it is known, raw.
    ///
    /// # Errors
    /// If there is no objective, or a value is not finite.
    pub fn new(study: &Study, space: &SearchSpace, deviation: Option<f64>) -> Result<Self> {
        if study.objectives.is_empty() {
            return Err(PluginError::input(
                "found a study without objectives, expected one or more",
            ));
        }
        let mut trials: Vec<&Trial> = study.trials.iter().collect();
        trials.sort_by_key(|trial| trial.id);
        let mut history = Self {
            trials: trials.len(),
            ..Self::default()
        };
        // The numbers of points that have others than the space gives them.
        let mut numbers: HashMap<Vec<u64>, Vec<f64>> = HashMap::new();
        for trial in trials {
            // Gradients are observations of another kind; this optimizer asks for none.
            if trial.suggestion.request != Request::Evaluate {
                continue;
            }
            let memo = Memo::from_bytes(&trial.suggestion.state).unwrap_or_default();
            // Bytes from elsewhere are believed only where they say the same.
            let is_its = memo.encoded.len() == space.dimension()
                && space.decode(&memo.encoded) == trial.suggestion.point;
            let encoded = space.encode(&trial.suggestion.point);
            let point = match is_its {
                true => {
                    numbers.insert(key(&encoded), memo.encoded.clone());
                    memo.encoded
                }
                // Told again without its bytes a point keeps the numbers that it had.
                false => numbers.get(&key(&encoded)).cloned().unwrap_or(encoded),
            };
            if !memo.fits.is_empty() {
                history.last_fits = memo.fits;
            }
            match &trial.outcome {
                Outcome::Finished {
                    values,
                    noise,
                    constraint_values,
                } => {
                    history
                        .values
                        .push(normalised(&study.objectives, trial, values)?);
                    let noise = noise
                        .clone()
                        .or_else(|| deviation.map(|level| vec![level; values.len()]))
                        .map(|noise| variances(&study.objectives, trial, &noise));
                    history.noise.push(noise.transpose()?);
                    history.constraint_values.push(constraint_values.clone());
                    history.feasible.push(study.is_feasible(constraint_values));
                    history.points.push(point);
                }
                Outcome::Failed { .. } => history.failed.push(point),
                Outcome::Pending => history.pending.push(point),
                _ => {}
            }
        }
        Ok(history)
    }

    /// The points of all trials.
    #[must_use]
    pub fn taken(&self, space: &SearchSpace) -> Taken {
        let lists = [&self.points, &self.failed, &self.pending];
        Taken::of(space, lists.into_iter().flatten())
    }

    /// Finished trials that fulfil all constraints.
    pub fn feasible_trials(&self) -> impl Iterator<Item = usize> {
        (0..self.points.len()).filter(|index| self.feasible[*index])
    }

    /// Their encoded points, each once.
    #[must_use]
    pub fn feasible_points(&self) -> Vec<Vec<f64>> {
        self.distinct_points(self.feasible_trials())
    }

    /// The encoded points of finished trials, each once, in the order of the first trial there.
    #[must_use]
    pub fn distinct_points(&self, trials: impl Iterator<Item = usize>) -> Vec<Vec<f64>> {
        let mut seen = HashSet::new();
        let points = trials.map(|index| &self.points[index]);
        points
            .filter(|point| seen.insert(key(point)))
            .cloned()
            .collect()
    }

    /// The normalised values of one objective, `[n]`.
    #[must_use]
    pub fn objective(&self, index: usize) -> Vec<f64> {
        self.values.iter().map(|values| values[index]).collect()
    }
}

fn normalised(objectives: &[Objective], trial: &Trial, values: &[f64]) -> Result<Vec<f64>> {
    let normalised: Vec<f64> = objectives
        .iter()
        .zip(values)
        .map(|(objective, value)| objective.normalise(*value))
        .collect();
    match normalised.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(PluginError::input(format!(
            "trial {}: found {} for objective `{}`, expected a number that is finite on its scale {:?}",
            trial.id, values[at], objectives[at].name, objectives[at].scale
        ))),
        None if normalised.len() == objectives.len() => Ok(normalised),
        None => Err(PluginError::input(format!(
            "trial {}: found {} values, expected {}",
            trial.id,
            values.len(),
            objectives.len()
        ))),
    }
}

/// Squares of standard deviations on the normalised scale; what is not finite counts as unknown later on.
fn variances(objectives: &[Objective], trial: &Trial, noise: &[f64]) -> Result<Vec<f64>> {
    if noise.len() != objectives.len() {
        return Err(PluginError::input(format!(
            "trial {}: found {} levels of noise, expected {}, one per objective",
            trial.id,
            noise.len(),
            objectives.len()
        )));
    }
    let factor = |objective: &Objective| {
        objective
            .scale
            .map_or(1.0, |(zero, one)| 1.0 / (one - zero))
    };
    Ok(objectives
        .iter()
        .zip(noise)
        .map(|(objective, sd)| (sd * factor(objective)).powi(2))
        .collect())
}
