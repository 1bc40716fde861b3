//! How good a trial turned out, constraints and failures included.

use bomf_plugin_api::{Outcome, Request, Study, Trial};

/// What came of a trial.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Its normalised values, `[objectives]`: higher is better.
    Feasible(Vec<f64>),
    /// It breaks a constraint: by how much, more than 0, lower is better.
    Infeasible(f64),
    /// No value could be had.
    Failed,
    /// Nothing came of it yet.
    Pending,
}

/// The standings of some of a study's trials among each other; `None` for what is no evaluation.
///
/// A violation is the sum over the broken constraints of how far beyond the bound the value is, each as a share of the
/// worst that these trials saw of its constraint, so that units do not matter.
#[must_use]
pub fn standings(study: &Study, trials: &[&Trial]) -> Vec<Option<Standing>> {
    let mut worst = vec![f64::MIN_POSITIVE; study.constraints.len()];
    for trial in trials {
        let excesses = excesses(study, trial);
        worst
            .iter_mut()
            .zip(excesses)
            .for_each(|(worst, excess)| *worst = worst.max(excess));
    }
    trials
        .iter()
        .map(|trial| standing(study, trial, &worst))
        .collect()
}

fn standing(study: &Study, trial: &Trial, worst: &[f64]) -> Option<Standing> {
    if trial.suggestion.request != Request::Evaluate {
        return None;
    }
    Some(match &trial.outcome {
        Outcome::Pending => Standing::Pending,
        Outcome::Finished { values, .. } => {
            let excesses = excesses(study, trial);
            if excesses.iter().any(|&excess| excess > 0.0) {
                let shares = excesses.iter().zip(worst).map(|(excess, w)| excess / w);
                return Some(Standing::Infeasible(shares.sum()));
            }
            let normalised = study.objectives.iter().zip(values);
            let normalised: Vec<f64> = normalised.map(|(o, &v)| o.normalise(v)).collect();
            // A scale that stretches a value beyond every number leaves nothing to compare.
            match normalised.iter().all(|value| value.is_finite()) {
                true => Standing::Feasible(normalised),
                false => Standing::Failed,
            }
        }
        _ => Standing::Failed,
    })
}

/// How far beyond its bound each constraint's value is; 0 where it holds.
fn excesses(study: &Study, trial: &Trial) -> Vec<f64> {
    let Outcome::Finished {
        constraint_values, ..
    } = &trial.outcome
    else {
        return Vec::new();
    };
    let pairs = study.constraints.iter().zip(constraint_values);
    pairs
        .map(|(constraint, &value)| {
            let below = constraint.at_least.map_or(0.0, |bound| bound - value);
            let above = constraint.at_most.map_or(0.0, |bound| value - bound);
            below.max(above).clamp(0.0, f64::MAX)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bomf_plugin_api::{Constraint, Direction, Objective, Suggestion};

    #[test]
    fn trials_stand_by_values_violations_and_outcomes() {
        let mut study = Study::new(vec![], vec![Objective::new("loss", Direction::Minimize)]);
        study.constraints = vec![
            Constraint::at_least("accuracy", 0.8),
            Constraint::at_most("size", 100.0),
        ];
        for constraint_values in [[0.9, 50.0], [0.7, 50.0], [0.6, 300.0], [0.8, 100.0]] {
            let id = study.suggest(Suggestion::evaluate(vec![]));
            study.trials[id as usize].outcome = Outcome::Finished {
                values: vec![0.25],
                noise: None,
                constraint_values: constraint_values.to_vec(),
            };
        }
        study.suggest(Suggestion::evaluate(vec![]));
        let id = study.suggest(Suggestion::evaluate(vec![]));
        study.trials[id as usize].outcome = Outcome::Failed { why: "test".into() };
        let trials: Vec<&Trial> = study.trials.iter().collect();
        let mut found = standings(&study, &trials).into_iter().map(Option::unwrap);
        assert_eq!(found.next(), Some(Standing::Feasible(vec![-0.25])));
        let Some(Standing::Infeasible(half)) = found.next() else {
            panic!("an accuracy of 0.7 is too low")
        };
        assert!((half - 0.5).abs() < 1e-12, "half of the worst: {half}");
        assert_eq!(found.next(), Some(Standing::Infeasible(2.0)));
        assert_eq!(found.next(), Some(Standing::Feasible(vec![-0.25])));
        assert_eq!(found.next(), Some(Standing::Pending));
        assert_eq!(found.next(), Some(Standing::Failed));
    }
}
