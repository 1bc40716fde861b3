//! The optimizer as a whole.

use bomf_plugin_api::testkit::optimizer::numbers;
use bomf_plugin_api::{
    Constraint, Context, Coordinate, Direction, Domain, Objective, Optimizer, Outcome, Parameter,
    Scale, Study, Suggestion, Suggestions, check_point, testkit,
};

fn make(options: &str, seed: u64) -> Box<dyn Optimizer> {
    crate::library()
        .make_optimizer("cma_es", options, &Context::new(1, seed))
        .unwrap()
}

fn float(low: f64, high: f64) -> Domain {
    Domain::Float {
        low,
        high,
        scale: Scale::Linear,
    }
}

fn integer(low: i64, high: i64, scale: Scale) -> Domain {
    Domain::Integer { low, high, scale }
}

fn study(space: Vec<Domain>, objectives: usize) -> Study {
    let space = space.into_iter().map(|domain| Parameter {
        name: "p".into(),
        domain,
    });
    let objective = |name: &&str| Objective::new(*name, Direction::Minimize);
    let names = ["a", "b", "c", "d", "e"];
    Study::new(
        space.collect(),
        names[..objectives].iter().map(objective).collect(),
    )
}

/// Asks for all it has to give and tells, until there are `trials`.
fn walk(
    optimizer: &mut dyn Optimizer,
    study: &mut Study,
    trials: usize,
    outcome: impl Fn(&[f64]) -> Outcome,
) {
    while study.trials.len() < trials {
        let left = trials - study.trials.len();
        let Suggestions::Points(points) = optimizer.suggest(study, left).unwrap() else {
            return;
        };
        assert!(!points.is_empty(), "nothing is pending");
        for suggestion in points {
            check_point(&study.space, &suggestion.point).unwrap();
            let outcome = outcome(&numbers(&suggestion.point));
            let id = study.suggest(suggestion);
            study.trials[id as usize].outcome = outcome;
        }
    }
    study.check().unwrap();
}

/// The least value of one objective after so many trials: the worst of three seeds.
fn least(empty: &Study, trials: usize, value: impl Fn(&[f64]) -> f64) -> f64 {
    let worst = (0..3).map(|seed| {
        let mut study = empty.clone();
        walk(&mut *make("{}", seed), &mut study, trials, |x| {
            Outcome::finished(vec![value(x)])
        });
        let found = study.finished().map(|(_, values)| values[0]);
        found.fold(f64::INFINITY, f64::min)
    });
    let worst = worst.fold(0.0, f64::max);
    println!("{worst:.2e} after {trials} trials");
    worst
}

#[test]
fn keeps_the_promises_of_every_optimizer() {
    for options in ["{}", r#"{"members_first": false, "population": 4}"#] {
        let make = || make(options, 7);
        for members in [1, 2, 5] {
            testkit::optimizer::conformance(&make, &testkit::optimizer::coefficients(members));
        }
        let mut numbers_only = testkit::optimizer::hyperparameters();
        numbers_only.space.pop();
        testkit::optimizer::conformance(&make, &numbers_only);
    }
}

#[test]
fn converges_on_sphere_ellipsoid_and_rosenbrock() {
    // The optimum off the middle of the box.
    let cube = |n| study(vec![float(-4.0, 6.0); n], 1);
    let sphere = |x: &[f64]| x.iter().map(|x| x * x).sum();
    assert!(least(&cube(10), 2000, sphere) < 1e-8);
    let ellipsoid = |x: &[f64]| {
        let weighted = x.iter().enumerate();
        weighted
            .map(|(i, x)| 10_f64.powf(6.0 * i as f64 / 7.0) * x * x)
            .sum()
    };
    assert!(least(&cube(8), 6000, ellipsoid) < 1e-8);
    let rosenbrock = |x: &[f64]| {
        let pairs = x.windows(2);
        pairs
            .map(|p| 100.0 * (p[1] - p[0] * p[0]).powi(2) + (1.0 - p[0]).powi(2))
            .sum()
    };
    assert!(least(&cube(5), 6000, rosenbrock) < 1e-8);
}

#[test]
fn converges_at_the_bounds_of_a_box() {
    // Downhill all the way to the lower bounds, and a bowl with its bottom beyond the upper ones.
    let space = || study(vec![float(2.0, 7.0); 6], 1);
    let slope = |x: &[f64]| {
        x.iter()
            .enumerate()
            .map(|(i, x)| (i + 1) as f64 * (x - 2.0))
            .sum()
    };
    assert!(least(&space(), 1500, slope) < 1e-9);
    let beyond = |x: &[f64]| x.iter().map(|x| (x - 9.0).powi(2)).sum::<f64>() - 24.0;
    assert!(least(&space(), 1500, beyond) < 1e-9);
}

#[test]
fn converges_on_the_simplex_wherever_the_optimum_is() {
    let bottoms = [
        ("inside", [0.2, 0.05, 0.15, 0.1, 0.1, 0.25, 0.1, 0.05]),
        ("on a face", [0.0, 0.5, 0.0, 0.3, 0.0, 0.0, 0.2, 0.0]),
        ("at a corner", [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    ];
    for (place, bottom) in bottoms {
        // Long and narrow, across the coordinates.
        let value = |x: &[f64]| {
            let gap: Vec<f64> = x.iter().zip(bottom).map(|(x, b)| x - b).collect();
            let along: f64 = gap.iter().enumerate().map(|(i, g)| i as f64 * g).sum();
            gap.iter().map(|g| g * g).sum::<f64>() + 10.0 * along * along
        };
        for start in ["{}", r#"{"members_first": false}"#] {
            let mut study = study(vec![Domain::Simplex { dimension: 8 }], 1);
            walk(&mut *make(start, 1), &mut study, 2500, |x| {
                Outcome::finished(vec![value(x)])
            });
            let found = study.trials[9..]
                .iter()
                .filter_map(|trial| match &trial.outcome {
                    Outcome::Finished { values, .. } => Some(values[0]),
                    _ => None,
                });
            let least = found.fold(f64::INFINITY, f64::min);
            println!("{place}: {least:.2e}");
            assert!(least < 1e-10, "{place}: {least}");
        }
    }
}

#[test]
fn a_linear_objective_leads_to_the_corner_exactly() {
    let mut study = study(vec![Domain::Simplex { dimension: 15 }], 1);
    let options = r#"{"members_first": false}"#;
    walk(&mut *make(options, 3), &mut study, 600, |x| {
        Outcome::finished(vec![
            -x.iter().enumerate().map(|(i, x)| i as f64 * x).sum::<f64>(),
        ])
    });
    let best = study.finished().map(|(_, values)| values[0]);
    assert_eq!(best.fold(f64::INFINITY, f64::min), -14.0);
}

#[test]
fn finds_the_right_integers_among_floats() {
    let space = study(
        vec![
            integer(0, 40, Scale::Linear),
            integer(1, 1000, Scale::Log),
            float(-1.0, 1.0),
            float(-1.0, 1.0),
        ],
        1,
    );
    let value = |x: &[f64]| {
        (x[0] - 33.0).abs() / 10.0
            + (x[1].ln() - 100_f64.ln()).abs()
            + (x[2] - 0.3).powi(2)
            + (x[3] + x[2]).powi(2)
    };
    assert!(least(&space, 2000, value) < 1e-8);
}

#[test]
fn restarts_find_what_one_search_misses() {
    // Rastrigin: a bowl with a bump at every integer.
    let rastrigin = |x: &[f64]| {
        let bumps = x
            .iter()
            .map(|x| x * x - 10.0 * (std::f64::consts::TAU * x).cos() + 10.0);
        bumps.sum()
    };
    assert!(least(&study(vec![float(-4.0, 6.0); 3], 1), 12_000, rastrigin) < 1e-8);
}

#[test]
fn a_fresh_instance_goes_on_bit_by_bit() {
    let bowl = |x: &[f64]| Outcome::finished(vec![x.iter().map(|x| (x - 0.4).powi(2)).sum(), x[0]]);
    let empty = study(vec![Domain::Simplex { dimension: 4 }, float(0.0, 1.0)], 2);
    let mut whole = empty.clone();
    walk(&mut *make("{}", 5), &mut whole, 200, bowl);
    let mut resumed = empty;
    while resumed.trials.len() < 200 {
        let reached = resumed.trials.len() + 7;
        walk(&mut *make("{}", 5), &mut resumed, reached.min(200), bowl);
    }
    assert_eq!(whole, resumed);
    // An instance that has walked another study does not mix them up.
    let mut walker = make("{}", 5);
    let mut other = whole.clone();
    other.trials.iter_mut().for_each(|trial| {
        if let Outcome::Finished { values, .. } = &mut trial.outcome {
            values[0] = -values[0];
        }
    });
    walker.suggest(&other, 1).unwrap();
    assert_eq!(
        walker.suggest(&whole, 1).unwrap(),
        make("{}", 5).suggest(&whole, 1).unwrap()
    );
}

#[test]
fn a_generation_waits_for_its_last_trial() {
    let mut study = study(vec![float(0.0, 1.0); 2], 1);
    let mut cma_es = make(r#"{"population": 6}"#, 1);
    let Suggestions::Points(first) = cma_es.suggest(&study, 100).unwrap() else {
        panic!("a search has a beginning")
    };
    assert_eq!(first.len(), 6);
    first.into_iter().for_each(|suggestion| {
        study.suggest(suggestion);
    });
    for id in [5, 0, 3, 1, 2] {
        study.trials[id].outcome = Outcome::finished(vec![id as f64]);
        assert_eq!(
            cma_es.suggest(&study, 3).unwrap(),
            Suggestions::Points(vec![])
        );
    }
    study.trials[4].outcome = Outcome::Failed { why: "test".into() };
    let Suggestions::Points(second) = cma_es.suggest(&study, 100).unwrap() else {
        panic!("the first generation has ended")
    };
    assert_eq!(second.len(), 6);
}

#[test]
fn points_of_others_in_the_study_are_passed_over() {
    let empty = study(vec![float(0.0, 1.0); 2], 1);
    let mut with = empty.clone();
    let stranger = Suggestion::evaluate(vec![Coordinate::Float(0.1), Coordinate::Float(0.9)]);
    with.suggest(stranger.with_state(vec![1, 2, 3]));
    with.trials[0].outcome = Outcome::finished(vec![0.0]);
    walk(&mut *make("{}", 1), &mut with, 601, |x| {
        Outcome::finished(vec![(x[0] - 0.7).powi(2) + x[1]])
    });
    let own = with.trials[1..]
        .iter()
        .filter_map(|trial| match &trial.outcome {
            Outcome::Finished { values, .. } => Some(values[0]),
            _ => None,
        });
    assert!(own.fold(f64::INFINITY, f64::min) < 1e-10);
}

#[test]
fn failures_and_broken_constraints_only_cost_trials() {
    let mut constrained = study(vec![float(0.0, 1.0); 3], 1);
    constrained.constraints = vec![Constraint::at_most("sum", 1.0)];
    walk(&mut *make("{}", 2), &mut constrained, 1500, |x| {
        if x[0] < 0.1 {
            return Outcome::Failed { why: "test".into() };
        }
        Outcome::Finished {
            values: vec![x.iter().map(|x| (x - 0.6).powi(2)).sum()],
            noise: None,
            constraint_values: vec![x.iter().sum()],
        }
    });
    let allowed = constrained
        .trials
        .iter()
        .filter_map(|trial| match &trial.outcome {
            Outcome::Finished {
                values,
                constraint_values,
                ..
            } if constrained.is_feasible(constraint_values) => Some(values[0]),
            _ => None,
        });
    // On the plane where the three sum to one: each is a third.
    let best = allowed.fold(f64::INFINITY, f64::min);
    assert!(
        (best - 3.0 * (0.6 - 1.0 / 3.0_f64).powi(2)).abs() < 1e-4,
        "{best}"
    );
}

#[test]
fn hard_studies_get_points_inside() {
    let wide = vec![
        float(-f64::MAX, f64::MAX),
        Domain::Float {
            low: f64::MIN_POSITIVE,
            high: f64::MAX,
            scale: Scale::Log,
        },
        integer(i64::MIN, i64::MAX, Scale::Linear),
        integer(1, i64::MAX, Scale::Log),
        float(3.0, 3.0),
    ];
    let spaces = [
        wide,
        vec![Domain::Simplex { dimension: 2 }],
        vec![Domain::Simplex { dimension: 200 }],
        vec![Domain::Simplex { dimension: 1 }, float(0.0, 1.0)],
    ];
    for space in spaces {
        for objectives in [1, 3] {
            let empty = study(space.clone(), objectives);
            for value in [0.0, f64::MAX] {
                walk(&mut *make("{}", 5), &mut empty.clone(), 600, |x| {
                    let sign = if x[0] > 0.3 { 1.0 } else { -1.0 };
                    Outcome::finished(vec![sign * value; objectives])
                });
            }
            walk(&mut *make("{}", 5), &mut empty.clone(), 600, |_| {
                Outcome::Failed { why: "test".into() }
            });
        }
    }
}

#[test]
fn a_space_without_freedom_has_one_point() {
    let mut study = study(vec![float(2.0, 2.0), integer(3, 3, Scale::Linear)], 1);
    walk(&mut *make("{}", 0), &mut study, 5, |x| {
        Outcome::finished(x[..1].to_vec())
    });
    assert_eq!(study.trials.len(), 1);
    assert_eq!(numbers(&study.trials[0].suggestion.point), [2.0, 3.0]);
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let choices = study(vec![Domain::Choice { count: 2 }], 1);
    let error = make("{}", 0).suggest(&choices, 1).unwrap_err();
    assert!(error.message.contains("choices") && error.hint.is_some());
    assert!(make("{}", 0).suggest(&study(vec![], 1), 1).is_err());
    assert!(
        make("{}", 0)
            .suggest(&study(vec![float(0.0, 1.0)], 0), 1)
            .is_err()
    );
    for options in [
        r#"{"sigma": 0}"#,
        r#"{"population": 2}"#,
        r#"{"lambda": 9}"#,
    ] {
        let made = crate::library().make_optimizer("cma_es", options, &Context::default());
        assert!(made.is_err(), "{options}");
    }
}
