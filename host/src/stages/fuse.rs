//! Each method gets the same members and the same ceiling of evaluations, and searches for coefficients.

use std::cell::RefCell;
use std::collections::HashMap;

use bomf_plugin_api::{Coordinate, Domain, Optimizer, Outcome, Parameter, Request, Study, Trial};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::choice::Aim;
use super::evaluator::{Evaluator, evaluate};
use super::objectives::Score;
use super::study::{End, Search};
use super::trajectory::describe;
use super::{Run, VALIDATION};
use crate::diagnostics::Failure;
use crate::metrics::Evaluation;

/// One way to get from the members to one model.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodPlan {
    /// What reports call it.
    pub name: String,
    /// The optimizer that searches.
    pub optimizer: String,
    /// Its options.
    pub options: Value,
    /// Positions of its objectives among the run's scores.
    pub objectives: Vec<usize>,
    /// Most evaluations beyond those of the members.
    pub iterations: u64,
    /// Whether the optimizer wants the members' Gram matrix.
    pub needs_gram: bool,
}

/// One point that a method tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FuseTrial {
    /// One coefficient per member.
    pub coefficients: Vec<f64>,
    /// Scores on the validation split, in the order of the run's; `None` for a gradient or a failure.
    pub evaluation: Option<Evaluation>,
    /// Why it failed.
    pub failed: Option<String>,
    /// Whether the same coefficients had been evaluated before.
    pub cached: bool,
}

/// What a method came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodResult {
    /// What reports call it.
    pub name: String,
    /// All that it tried, in order.
    pub trials: Vec<FuseTrial>,
    /// Most evaluations it could have used.
    pub ceiling: u64,
    /// Why it ended before the ceiling, if it did.
    pub ended: Option<String>,
    /// Position of the trial that it ends with.
    pub chosen: usize,
    /// The constraints that this trial breaks: only when all trials break some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
}

impl MethodResult {
    /// The trial that the method ends with.
    pub fn chosen(&self) -> &FuseTrial {
        &self.trials[self.chosen]
    }

    /// How many trials needed no evaluation.
    pub fn cache_hits(&self) -> usize {
        self.trials.iter().filter(|trial| trial.cached).count()
    }
}

/// What evaluates, and all that was evaluated so far.
pub struct Workshop<'a, 'b> {
    /// The run.
    pub run: &'a Run<'a>,
    /// The members, open, and what looks at their fusions.
    pub evaluator: &'b mut dyn Evaluator,
    /// Scores of the coefficients that were tried, by their bits.
    pub known: HashMap<Vec<u64>, Evaluation>,
}

/// The key of coefficients among those that were evaluated.
pub fn bits(coefficients: &[f64]) -> Vec<u64> {
    // Adding zero turns -0.0 into 0.0: they fuse to the same weights.
    coefficients.iter().map(|c| (c + 0.0).to_bits()).collect()
}

impl Workshop<'_, '_> {
    /// Scores on the validation split. Coefficients that were evaluated before are not evaluated again.
    fn evaluate(&mut self, coefficients: &[f64]) -> Result<FuseTrial, Failure> {
        let mut trial = FuseTrial {
            coefficients: coefficients.to_vec(),
            evaluation: None,
            failed: None,
            cached: false,
        };
        if let Some(known) = self.known.get(&bits(coefficients)) {
            return Ok(FuseTrial {
                evaluation: Some(known.clone()),
                cached: true,
                ..trial
            });
        }
        match evaluate(self.run, self.evaluator, coefficients, VALIDATION) {
            Ok(evaluation) => trial.evaluation = Some(evaluation),
            Err(failure) if failure.is_plugin_failure() => {
                tracing::warn!("an evaluation failed: {failure}");
                trial.failed = Some(failure.to_string());
            }
            Err(failure) => return Err(failure),
        }
        Ok(trial)
    }

    fn outcome(
        &mut self,
        trial: &Trial,
        objectives: &[usize],
        constraints: &[usize],
    ) -> Result<(FuseTrial, Outcome), Failure> {
        let Some(Coordinate::Simplex(coefficients)) = trial.suggestion.point.first() else {
            unreachable!("the space has one simplex, and points were checked against it")
        };
        if let Request::Gradient { split, batch } = &trial.suggestion.request {
            let (loss, gradient) = self.evaluator.gradient(coefficients, split, *batch)?;
            let done = FuseTrial {
                coefficients: coefficients.clone(),
                evaluation: None,
                failed: None,
                cached: false,
            };
            return Ok((done, Outcome::Gradient { loss, gradient }));
        }
        let done = self.evaluate(coefficients)?;
        let outcome = match (&done.evaluation, &done.failed) {
            (Some(evaluation), _) => {
                let at =
                    |positions: &[usize]| positions.iter().map(|&i| evaluation.values[i]).collect();
                Outcome::Finished {
                    values: at(objectives),
                    noise: None,
                    constraint_values: at(constraints),
                }
            }
            (None, why) => Outcome::Failed {
                why: why.clone().unwrap_or_default(),
            },
        };
        Ok((done, outcome))
    }
}

/// Lets one method search.
pub fn fuse(
    workshop: &mut Workshop<'_, '_>,
    plan: &MethodPlan,
    optimizer: Box<dyn Optimizer>,
    aim: &Aim<'_>,
) -> Result<MethodResult, Failure> {
    let run = workshop.run;
    let members = workshop.evaluator.members();
    let space = vec![Parameter {
        name: "coefficients".to_owned(),
        domain: Domain::Simplex { dimension: members },
    }];
    let mut study = Study::new(
        space,
        plan.objectives
            .iter()
            .map(|&i| aim.objectives[i].clone())
            .collect(),
    );
    study.constraints = aim
        .constraints
        .iter()
        .map(|(_, constraint)| constraint.clone())
        .collect();
    let constrained: Vec<usize> = aim.constraints.iter().map(|(score, _)| *score).collect();
    if plan.needs_gram {
        study.gram = Some(workshop.evaluator.gram()?);
    }
    let key = format!("fuse/{}", plan.name);
    let ceiling = members as u64 + plan.iterations;
    let progress = run.progress.stage(&key, ceiling);
    let trials = RefCell::new(Vec::<FuseTrial>::new());
    let mut search = Search {
        key: key.clone(),
        optimizer_name: plan.optimizer.clone(),
        optimizer,
        study,
        ceiling,
        run,
    };
    let end = search.run(|_, trial, _| {
        let (done, outcome): (FuseTrial, Outcome) =
            run.journal.once(&format!("{key}/trial/{}", trial.id), || {
                workshop.outcome(trial, &plan.objectives, &constrained)
            })?;
        progress.advance(1, &summary(run.metrics.scores(), &done));
        if let Some(evaluation) = &done.evaluation {
            workshop
                .known
                .insert(bits(&done.coefficients), evaluation.clone());
        }
        trials.borrow_mut().push(done);
        Ok(outcome)
    })?;
    progress.finish();
    let trials = trials.into_inner();
    let ended = match end {
        End::Budget => None,
        End::Done(why) => Some(why),
    };
    let chosen = pick(aim, &trials).ok_or_else(|| nothing_worked(&plan.name, &trials))?;
    let broken = trials[chosen]
        .evaluation
        .as_ref()
        .map_or_else(Vec::new, |e| aim.broken(&e.values));
    if !broken.is_empty() {
        tracing::warn!(
            "{}: found no point that fulfils the constraints, chose the one that misses them least: {}",
            plan.name,
            broken.join(", ")
        );
    }
    Ok(MethodResult {
        name: plan.name.clone(),
        trials,
        ceiling,
        ended,
        chosen,
        broken,
    })
}

fn pick(aim: &Aim<'_>, trials: &[FuseTrial]) -> Option<usize> {
    let evaluated = trials.iter().enumerate();
    let evaluated =
        evaluated.filter_map(|(i, trial)| Some((i, &trial.evaluation.as_ref()?.values[..])));
    let (positions, points): (Vec<usize>, Vec<&[f64]>) = evaluated.unzip();
    aim.choose(&points).map(|index| positions[index])
}

fn summary(scores: &[Score], trial: &FuseTrial) -> String {
    match (&trial.evaluation, &trial.failed) {
        (Some(evaluation), _) => describe(scores, evaluation),
        (None, Some(why)) => format!("failed: {why}"),
        (None, None) => "gradient".to_owned(),
    }
}

fn nothing_worked(method: &str, trials: &[FuseTrial]) -> Failure {
    let why = trials.iter().find_map(|trial| trial.failed.clone());
    let why = why.unwrap_or_else(|| "it evaluated no point".to_owned());
    Failure::run(
        "fuse::no_point",
        format!("method `{method}`"),
        format!("found no point that could be scored: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_zeros_are_the_same_coefficient() {
        assert_eq!(bits(&[-0.0, 1.0]), bits(&[0.0, 1.0]));
    }
}
