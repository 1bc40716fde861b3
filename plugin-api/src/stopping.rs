//! Ending trials early: a rule that any optimizer can use in its [`Optimizer::report`](crate::Optimizer::report).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{PluginError, Result};
use crate::study::{Study, Trial, Verdict};

/// Ends trials that will not become good.
///
/// A step counts in the unit of the host's reports: in a hyperparameter search one of the equal parts that every training
/// is divided into, about one pass over the training split.
///
/// ```
/// use bomf_plugin_api::{Direction, Objective, Outcome, Stopping, Study, Suggestion, Verdict};
///
/// let mut study = Study::new(vec![], vec![Objective::new("f1", Direction::Maximize)]);
/// for f1 in [0.6, 0.7, 0.8] {
///     let id = study.suggest(Suggestion::evaluate(vec![])) as usize;
///     study.trials[id].reports = vec![(1, vec![f1])];
///     study.trials[id].outcome = Outcome::finished(vec![f1]);
/// }
/// let id = study.suggest(Suggestion::evaluate(vec![]));
/// let rule = Stopping { min_trials: 3, ..Stopping::default() };
/// assert_eq!(rule.verdict(&study, id, 1, &[0.65]).unwrap(), Verdict::Stop);
/// assert_eq!(rule.verdict(&study, id, 1, &[0.75]).unwrap(), Verdict::Continue);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Stopping {
    /// Which rule.
    pub rule: StoppingRule,
    /// No trial is ended at so many first steps. In a hyperparameter search a step is one of the equal parts, about one
    /// pass over the training split each, that every training is divided into whatever its batch size.
    pub warmup_steps: u64,
    /// No trial is ended before so many others have finished with reports.
    #[schemars(range(min = 1))]
    pub min_trials: usize,
}

/// Rules by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoppingRule {
    /// Ends a trial whose best value so far is worse than the median of what the finished trials had on average up to the
    /// same step.
    #[default]
    Median,
}

impl Default for Stopping {
    fn default() -> Self {
        Self {
            rule: StoppingRule::Median,
            warmup_steps: 0,
            min_trials: 5,
        }
    }
}

impl Stopping {
    /// Whether a trial should go on after a report, by the median rule (Golovin et al. 2017, section 3.2.2).
    ///
    /// Several objectives count by their normalised sum. A trial that was itself ended early enters with the average of
    /// what it reported until then.
    ///
    /// # Errors
    /// When the trial is not part of the study, or the values are not one finite number per objective.
    pub fn verdict(&self, study: &Study, trial: u64, step: u64, values: &[f64]) -> Result<Verdict> {
        let trial = study.trial(trial)?;
        if values.len() != study.objectives.len() || values.iter().any(|v| !v.is_finite()) {
            return Err(PluginError::input(format!(
                "found a report of {values:?}, expected {} finite values, one per objective",
                study.objectives.len()
            ))
            .hint("record the trial as failed instead"));
        }
        let sum = study.normalised_sum(&study.trials);
        let mut averages: Vec<f64> = study
            .finished()
            .filter(|(other, _)| other.id != trial.id)
            .filter_map(|(other, _)| average(&sum, other, step))
            .collect();
        if step <= self.warmup_steps || averages.len() < self.min_trials.max(1) {
            return Ok(Verdict::Continue);
        }
        let best = up_to(&sum, trial, step).fold(sum(values), f64::max);
        Ok(match best < median(&mut averages) {
            true => Verdict::Stop,
            false => Verdict::Continue,
        })
    }

    /// [`Self::verdict`] where there is a rule; without one every trial of the study goes on.
    ///
    /// # Errors
    /// As for [`Self::verdict`].
    pub fn verdict_if(
        rule: Option<&Self>,
        study: &Study,
        trial: u64,
        step: u64,
        values: &[f64],
    ) -> Result<Verdict> {
        match rule {
            Some(rule) => rule.verdict(study, trial, step, values),
            None => study.trial(trial).map(|_| Verdict::Continue),
        }
    }
}

/// What a trial reported up to a step, as normalised sums.
fn up_to(sum: impl Fn(&[f64]) -> f64, trial: &Trial, step: u64) -> impl Iterator<Item = f64> {
    let until = trial.reports.iter().filter(move |(at, _)| *at <= step);
    until.map(move |(_, values)| sum(values))
}

/// The mean of a trial's reports up to a step; `None` if there are none.
fn average(sum: impl Fn(&[f64]) -> f64, trial: &Trial, step: u64) -> Option<f64> {
    let count = trial.reports.iter().filter(|(at, _)| *at <= step).count();
    (count > 0).then(|| up_to(sum, trial, step).sum::<f64>() / count as f64)
}

/// The median of at least one value; of an even number, the mean of the two in the middle.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values[middle],
        _ => 0.5 * (values[middle - 1] + values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::{Direction, Objective};
    use crate::study::{Outcome, Suggestion};

    /// A study of trials that are finished, with these reports at steps 1, 2, ..., and one that is pending.
    fn study(direction: Direction, curves: &[&[f64]]) -> (Study, u64) {
        let mut study = Study::new(vec![], vec![Objective::new("score", direction)]);
        for curve in curves {
            let id = study.suggest(Suggestion::evaluate(vec![])) as usize;
            study.trials[id].reports = (1..).zip(curve.iter().map(|&v| vec![v])).collect();
            study.trials[id].outcome = Outcome::finished(vec![curve[curve.len() - 1]]);
        }
        let id = study.suggest(Suggestion::evaluate(vec![]));
        (study, id)
    }

    fn rule(warmup_steps: u64, min_trials: usize) -> Stopping {
        Stopping {
            warmup_steps,
            min_trials,
            ..Stopping::default()
        }
    }

    const CURVES: [&[f64]; 3] = [&[0.0, 0.4, 0.8], &[0.2, 0.6, 1.0], &[0.1, 0.9, 0.9]];

    #[test]
    fn the_bar_is_the_median_of_running_averages_and_a_tie_goes_on() {
        let (study, id) = study(Direction::Maximize, &CURVES);
        // Averages up to step 2: 0.2, 0.4, 0.5.
        for (value, expected) in [
            (0.39, Verdict::Stop),
            (0.4, Verdict::Continue),
            (0.41, Verdict::Continue),
        ] {
            let found = rule(0, 1).verdict(&study, id, 2, &[value]).unwrap();
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn where_lower_is_better_worse_is_higher() {
        let (study, id) = study(Direction::Minimize, &CURVES);
        let verdict = |value| rule(0, 1).verdict(&study, id, 2, &[value]).unwrap();
        assert_eq!(verdict(0.41), Verdict::Stop);
        assert_eq!(verdict(0.39), Verdict::Continue);
    }

    #[test]
    fn the_best_value_so_far_counts_not_the_latest() {
        let (mut study, id) = study(Direction::Maximize, &CURVES);
        study.trials[id as usize].reports = vec![(1, vec![0.5])];
        let verdict = rule(0, 1).verdict(&study, id, 2, &[0.1]).unwrap();
        assert_eq!(verdict, Verdict::Continue);
    }

    #[test]
    fn warm_up_and_too_few_trials_go_on() {
        let (study, id) = study(Direction::Maximize, &CURVES);
        let verdict = |rule: Stopping, step| rule.verdict(&study, id, step, &[-1.0]).unwrap();
        assert_eq!(verdict(rule(2, 1), 2), Verdict::Continue);
        assert_eq!(verdict(rule(2, 1), 3), Verdict::Stop);
        assert_eq!(verdict(rule(0, 4), 3), Verdict::Continue);
        assert_eq!(verdict(rule(0, 3), 3), Verdict::Stop);
    }

    #[test]
    fn failed_and_pending_trials_and_such_without_reports_set_no_bar() {
        let (mut study, id) = study(Direction::Maximize, &CURVES);
        study.trials[0].outcome = Outcome::Failed { why: "test".into() };
        study.trials[1].outcome = Outcome::Pending;
        study.trials[2].reports.clear();
        let verdict = rule(0, 1).verdict(&study, id, 3, &[-1.0]).unwrap();
        assert_eq!(verdict, Verdict::Continue);
    }

    #[test]
    fn unknown_trials_and_values_that_are_none_are_refused() {
        let (study, id) = study(Direction::Maximize, &CURVES);
        assert!(rule(0, 1).verdict(&study, 99, 1, &[0.0]).is_err());
        assert!(rule(0, 1).verdict(&study, id, 1, &[f64::NAN]).is_err());
        assert!(rule(0, 1).verdict(&study, id, 1, &[0.0, 0.0]).is_err());
    }

    #[test]
    fn options_default_to_the_median_and_refuse_the_unknown() {
        let parse = |text| serde_json::from_str::<Stopping>(text);
        assert_eq!(parse("{}").unwrap(), Stopping::default());
        assert_eq!(
            parse(r#"{"rule": "median", "min_trials": 2}"#)
                .unwrap()
                .min_trials,
            2
        );
        assert!(parse(r#"{"rule": "mean"}"#).is_err());
        assert!(parse(r#"{"warmup": 2}"#).is_err());
    }
}
