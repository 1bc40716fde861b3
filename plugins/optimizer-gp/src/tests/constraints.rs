//! Studies with constraints.

use bomf_plugin_api::Constraint;

use super::*;

/// Values, then constraint values, of a point.
type Measured = fn(&[f64]) -> (Vec<f64>, Vec<f64>);

fn walk_measured(options: &str, study: &mut Study, count: usize, measure: Measured) {
    let mut gp = make(options, 1, 3);
    for _ in 0..count {
        for suggestion in points(gp.suggest(study, 1).unwrap()) {
            let (values, constraint_values) = measure(&numbers(&suggestion.point));
            let id = study.suggest(suggestion) as usize;
            study.trials[id].outcome = Outcome::Finished {
                values,
                noise: None,
                constraint_values,
            };
        }
    }
}

/// Whether a trial is feasible, and its values.
fn outcomes(study: &Study) -> Vec<(bool, Vec<f64>)> {
    study
        .trials
        .iter()
        .map(|trial| match &trial.outcome {
            Outcome::Finished {
                values,
                constraint_values,
                ..
            } => (study.is_feasible(constraint_values), values.clone()),
            other => panic!("expected a finished trial, found {other:?}"),
        })
        .collect()
}

/// Grows towards the corner (1, 1), of which the constraint allows the disc's quarter: the best feasible value is √2.
fn disc(x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    (vec![x[0] + x[1]], vec![x[0] * x[0] + x[1] * x[1]])
}

#[test]
fn the_best_feasible_point_lies_on_the_edge_and_is_found() {
    for acquisition in ["log_ei", "log_nei", "q_log_ei"] {
        let options = QUICK.replace('{', &format!(r#"{{"acquisition": "{acquisition}", "#));
        let mut study = study(vec![float(0.0, 1.0), float(0.0, 1.0)], 1);
        study.constraints = vec![Constraint::at_most("radius", 1.0)];
        walk_measured(&options, &mut study, 25, disc);
        let outcomes = outcomes(&study);
        let feasible = outcomes.iter().filter(|(feasible, _)| *feasible);
        let best = feasible.map(|(_, values)| values[0]).fold(0.0, f64::max);
        assert!(best > 0.99 * 2_f64.sqrt(), "{acquisition}: {best}");
        // Without the constraint nearly all would be in the corner beyond it.
        let beyond = outcomes.iter().filter(|(_, values)| values[0] > 1.7);
        assert!(beyond.count() <= 6, "{acquisition}");
    }
}

#[test]
fn fronts_of_several_objectives_count_only_what_is_feasible() {
    for acquisition in ["log_nehvi", "log_ehvi", "parego"] {
        let options = QUICK.replace('{', &format!(r#"{{"acquisition": "{acquisition}", "#));
        let mut study = coefficients(3, 2);
        study.constraints = vec![Constraint::at_least("third", 0.3)];
        walk_measured(&options, &mut study, 22, |x| (vec![x[0], x[1]], vec![x[2]]));
        let late = &outcomes(&study)[10..];
        let feasible: Vec<_> = late.iter().filter(|(feasible, _)| *feasible).collect();
        assert!(feasible.len() >= 5, "{acquisition}: {}", feasible.len());
        // The feasible front is where the two share what the third leaves.
        let best = feasible
            .iter()
            .map(|(_, v)| v[0] + v[1])
            .fold(0.0, f64::max);
        assert!(best > 0.65, "{acquisition}: {best}");
    }
}

#[test]
fn the_first_feasible_point_is_searched_for() {
    // Feasible in a ball of a 200th of the box, which the first points miss.
    fn ball(x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let square: f64 = [0.83, 0.31, 0.62]
            .iter()
            .zip(x)
            .map(|(centre, x)| (x - centre).powi(2))
            .sum();
        (vec![-x[0]], vec![square.sqrt()])
    }
    let mut narrow = study(vec![float(0.0, 1.0), float(0.0, 1.0), float(0.0, 1.0)], 1);
    narrow.constraints = vec![Constraint::at_most("distance", 0.1)];
    walk_measured(QUICK, &mut narrow, 25, ball);
    let outcomes = outcomes(&narrow);
    assert!(!outcomes[..3].iter().any(|(feasible, _)| *feasible));
    assert!(outcomes.iter().any(|(feasible, _)| *feasible));
}

#[test]
fn several_asked_for_before_any_is_feasible_are_apart() {
    let mut hopeless = study(vec![float(0.0, 1.0), float(0.0, 1.0)], 1);
    hopeless.constraints = vec![Constraint::at_least("sum", 50.0)];
    walk_measured(QUICK, &mut hopeless, 6, |x| (vec![x[0]], vec![x[0] + x[1]]));
    let batch = points(make(QUICK, 1, 3).suggest(&hopeless, 4).unwrap());
    let all: Vec<_> = batch.iter().map(|s| numbers(&s.point)).collect();
    for i in 0..4 {
        for j in 0..i {
            let apart: f64 = all[i].iter().zip(&all[j]).map(|(a, b)| (a - b).abs()).sum();
            assert!(apart > 1e-3, "{all:?}");
        }
    }
}

#[test]
fn odd_constraints_are_survived() {
    type OfTrial = fn(usize) -> f64;
    let kinds: [(Constraint, OfTrial); 5] = [
        (Constraint::at_least("never", 1e300), |i| i as f64),
        (Constraint::at_most("constant", 0.5), |_| 0.7),
        (Constraint::at_least("always", -1e300), |_| 0.7),
        (Constraint::at_least("huge", 0.0), |i| {
            if i % 2 == 0 { f64::MAX } else { f64::MIN }
        }),
        (Constraint::at_most("tiny", 1e-310), |i| 1e-310 * i as f64),
    ];
    for (mut constraint, value) in kinds {
        for equal in [false, true] {
            if equal {
                let bound = constraint.at_least.or(constraint.at_most);
                (constraint.at_least, constraint.at_most) = (bound, bound);
            }
            let mut odd = coefficients(3, 2);
            odd.constraints = vec![constraint.clone()];
            for trial in 0..9 {
                for suggestion in points(make(QUICK, 1, 0).suggest(&odd, 1).unwrap()) {
                    let id = odd.suggest(suggestion) as usize;
                    odd.trials[id].outcome = Outcome::Finished {
                        values: vec![0.1 * trial as f64, 0.5],
                        noise: None,
                        constraint_values: vec![value(trial)],
                    };
                }
            }
            odd.check().unwrap();
        }
    }
}
