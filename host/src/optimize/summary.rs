//! What a session came to.

use bomf_plugin_api::{Direction, Objective, Outcome, Study, Trial};
use serde_json::{Map, Value, json};

use super::search::Search;
use crate::stages::choice::{Candidate, choose};
use crate::stages::tune::point_values;

/// The most objectives whose hypervolume is computed: the time grows with the size of the front to their number less one.
const MOST_OBJECTIVES: usize = 4;

/// Counts, Pareto set, hypervolume and choice, as the last line of a session has them.
pub fn summary(search: &Search, study: &Study, why: &str) -> Value {
    let finished: Vec<Finished<'_>> = study.trials.iter().filter_map(Finished::of).collect();
    let fulfils = |trial: &&Finished<'_>| study.is_feasible(trial.constraint_values);
    let feasible: Vec<&Finished<'_>> = finished.iter().filter(fulfils).collect();
    let rows: Vec<Vec<f64>> = feasible
        .iter()
        .map(|trial| normalised(&search.objectives, trial.values))
        .collect();
    let front = pareto::undominated(&rows);
    let entries = front.iter().map(|&i| feasible[i].entry(search));
    let mut summary = json!({
        "why": why,
        "trials": {
            "finished": finished.len(),
            "failed": count(study, |outcome| matches!(outcome, Outcome::Failed { .. })),
            "pending": count(study, |outcome| *outcome == Outcome::Pending),
        },
        "pareto": entries.collect::<Vec<_>>(),
    });
    let references: Option<Vec<f64>> = search
        .objectives
        .iter()
        .map(|objective| objective.reference.map(|value| objective.normalise(value)))
        .collect();
    if let Some(references) = references.filter(|list| list.len() <= MOST_OBJECTIVES) {
        let best: Vec<Vec<f64>> = front.iter().map(|&i| rows[i].clone()).collect();
        // None of values too large to be normalised.
        let volume = pareto::hypervolume(&best, &references);
        summary["hypervolume"] = json!(volume.ok());
    }
    let seen = front.iter().map(|&i| feasible[i].values);
    let objectives = scaled(&search.objectives, &seen.collect::<Vec<_>>());
    let candidates: Vec<Candidate> = finished.iter().map(Finished::candidate).collect();
    let chosen = choose(
        &objectives,
        &search.constraints,
        &candidates,
        &search.choice,
        None,
    );
    summary["chosen"] = chosen.map_or(Value::Null, |i| {
        let mut entry = finished[i].entry(search);
        if !search.constraints.is_empty() {
            entry["feasible"] = json!(fulfils(&&finished[i]));
        }
        entry
    });
    summary
}

fn count(study: &Study, of: impl Fn(&Outcome) -> bool) -> usize {
    study
        .trials
        .iter()
        .filter(|trial| of(&trial.outcome))
        .count()
}

/// A trial with its values.
struct Finished<'a> {
    trial: &'a Trial,
    values: &'a [f64],
    constraint_values: &'a [f64],
}

impl<'a> Finished<'a> {
    fn of(trial: &'a Trial) -> Option<Self> {
        match &trial.outcome {
            Outcome::Finished {
                values,
                constraint_values,
                ..
            } => Some(Self {
                trial,
                values,
                constraint_values,
            }),
            _ => None,
        }
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            values: self.values.to_vec(),
            constraint_values: self.constraint_values.to_vec(),
        }
    }

    fn entry(&self, search: &Search) -> Value {
        let objectives = search.objectives.iter().map(|o| &o.name).zip(self.values);
        let constraints = search
            .constraints
            .iter()
            .map(|c| &c.name)
            .zip(self.constraint_values);
        let values: Map<String, Value> = objectives
            .chain(constraints)
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        json!({
            "id": self.trial.id,
            "point": point_values(&search.axes, &self.trial.suggestion.point),
            "values": values,
        })
    }
}

fn normalised(objectives: &[Objective], values: &[f64]) -> Vec<f64> {
    objectives
        .iter()
        .zip(values)
        .map(|(objective, &value)| objective.normalise(value))
        .collect()
}

/// The objectives, with the range of the Pareto set as the scale of those that have none.
fn scaled(objectives: &[Objective], front: &[&[f64]]) -> Vec<Objective> {
    let scaled = objectives.iter().enumerate().map(|(at, objective)| {
        let column = || front.iter().map(|values| values[at]);
        let low = column().fold(f64::INFINITY, f64::min);
        let high = column().fold(f64::NEG_INFINITY, f64::max);
        if objective.scale.is_some() || low >= high {
            return objective.clone();
        }
        match objective.direction {
            Direction::Maximize => objective.clone().with_scale(low, high),
            Direction::Minimize => objective.clone().with_scale(high, low),
        }
    });
    scaled.collect()
}
