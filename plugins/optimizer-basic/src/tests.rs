//! What every optimizer of this library promises, and the walk of each over a small study.

use bomf_plugin_api::testkit::optimizer::numbers;
use bomf_plugin_api::{
    Context, Direction, Domain, Objective, Optimizer, Outcome, Parameter, Scale, Study,
    Suggestions, check_point,
};

const ALL: [&str; 7] = [
    "grid",
    "random",
    "sobol",
    "dirichlet",
    "best_member",
    "swa",
    "greedy",
];

fn make(name: &str, options: &str, seed: u64) -> Box<dyn Optimizer> {
    crate::library()
        .make_optimizer(name, options, &Context::new(1, seed))
        .unwrap()
}

fn parameter(name: &str, domain: Domain) -> Parameter {
    Parameter {
        name: name.into(),
        domain,
    }
}

fn simplex(dimension: usize) -> Study {
    Study::new(
        vec![parameter("coefficients", Domain::Simplex { dimension })],
        vec![
            Objective::new("loss", Direction::Minimize).with_scale(1.0, 0.0),
            Objective::new("f1", Direction::Maximize).with_scale(0.0, 1.0),
        ],
    )
}

fn mixed() -> Study {
    Study::new(
        vec![
            parameter(
                "rate",
                Domain::Float {
                    low: 1e-6,
                    high: 1e-2,
                    scale: Scale::Log,
                },
            ),
            parameter(
                "layers",
                Domain::Integer {
                    low: 0,
                    high: 2,
                    scale: Scale::Linear,
                },
            ),
            parameter("schedule", Domain::Choice { count: 3 }),
            parameter("coefficients", Domain::Simplex { dimension: 4 }),
        ],
        vec![Objective::new("f1", Direction::Maximize)],
    )
}

/// Asks one at a time and tells until the optimizer is done or `limit` trials are in; returns the trials' points.
fn walk(
    optimizer: &mut dyn Optimizer,
    study: &mut Study,
    limit: usize,
    values: impl Fn(&[f64]) -> Option<Vec<f64>>,
) -> Vec<Vec<f64>> {
    while study.trials.len() < limit {
        let Suggestions::Points(points) = optimizer.suggest(study, 1).unwrap() else {
            break;
        };
        assert_eq!(points.len(), 1);
        for suggestion in points {
            check_point(&study.space, &suggestion.point).unwrap();
            let coefficients = numbers(&suggestion.point);
            let id = study.suggest(suggestion) as usize;
            study.trials[id].outcome = match values(&coefficients) {
                Some(values) => Outcome::finished(values),
                None => Outcome::Failed { why: "test".into() },
            };
        }
    }
    study.check().unwrap();
    study
        .trials
        .iter()
        .map(|trial| numbers(&trial.suggestion.point))
        .collect()
}

#[test]
fn a_fresh_instance_goes_on_with_the_same_points() {
    for name in ALL {
        let mut whole = simplex(4);
        let value = |c: &[f64]| Some(vec![c[0], c[1] * c[1]]);
        walk(make(name, "{}", 5).as_mut(), &mut whole, 12, value);
        let mut resumed = simplex(4);
        while resumed.trials.len() < whole.trials.len() {
            let before = resumed.trials.len();
            walk(
                make(name, "{}", 5).as_mut(),
                &mut resumed,
                before + 1,
                value,
            );
        }
        assert_eq!(whole, resumed, "{name}");
    }
}

#[test]
fn seeds_change_random_searches_and_only_those() {
    for (name, changes) in [
        ("random", true),
        ("sobol", true),
        ("dirichlet", true),
        ("grid", false),
    ] {
        let points = |seed| {
            walk(make(name, "{}", seed).as_mut(), &mut simplex(3), 8, |_| {
                Some(vec![0.0, 0.0])
            })
        };
        assert_eq!(points(1) != points(2), changes, "{name}");
        assert_eq!(points(1), points(1), "{name}");
    }
}

#[test]
fn mixed_spaces_get_points_inside() {
    for name in ["grid", "random", "sobol", "dirichlet"] {
        walk(make(name, "{}", 1).as_mut(), &mut mixed(), 60, |_| {
            Some(vec![0.5])
        });
    }
}

#[test]
fn several_at_once_are_the_same_as_one_by_one() {
    for name in ["grid", "random", "sobol", "dirichlet", "best_member"] {
        let Suggestions::Points(batch) = make(name, "{}", 9).suggest(&simplex(6), 6).unwrap()
        else {
            panic!("{name} is done before it began")
        };
        let singly = walk(make(name, "{}", 9).as_mut(), &mut simplex(6), 6, |_| {
            Some(vec![0.0; 2])
        });
        assert_eq!(
            batch.iter().map(|s| numbers(&s.point)).collect::<Vec<_>>(),
            singly,
            "{name}"
        );
    }
}

#[test]
fn a_grid_ends_after_its_last_corner() {
    let mut study = mixed();
    study.space.truncate(3);
    let points = walk(
        make("grid", r#"{"points": 2}"#, 0).as_mut(),
        &mut study,
        100,
        |_| Some(vec![1.0]),
    );
    assert_eq!(points.len(), 2 * 2 * 3);
    assert_eq!(points[0], [1e-6, 0.0, 0.0]);
    assert_eq!(points[11], [1e-2, 2.0, 2.0]);
}

#[test]
fn member_searches_refuse_other_spaces() {
    for name in ["best_member", "swa", "greedy"] {
        let error = make(name, "{}", 0).suggest(&mixed(), 1).unwrap_err();
        assert!(error.hint.unwrap().contains(name));
    }
}

#[test]
fn members_then_average_come_first() {
    let points = walk(
        make("dirichlet", "{}", 0).as_mut(),
        &mut simplex(3),
        6,
        |_| Some(vec![0.0; 2]),
    );
    let third = 1.0 / 3.0;
    assert_eq!(
        points[..3],
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    );
    assert_eq!(points[3], [third; 3]);
    assert!(points[4] != points[5]);
    let mut one = simplex(1);
    assert_eq!(
        walk(
            make("best_member", "{}", 0).as_mut(),
            &mut one,
            9,
            |_| Some(vec![0.0; 2])
        )
        .len(),
        1
    );
    assert_eq!(
        walk(make("swa", "{}", 0).as_mut(), &mut one, 9, |_| Some(
            vec![0.0; 2]
        ))
        .len(),
        1
    );
}

#[test]
fn greedy_keeps_what_helps_and_passes_over_what_does_not() {
    // The best average has members 2 and 0 alike; member 1 is good alone but does not mix; member 3 is bad.
    let target = [0.5, 0.0, 0.5, 0.0];
    let value = |c: &[f64]| {
        let distance: f64 = c.iter().zip(&target).map(|(a, b)| (a - b).powi(2)).sum();
        let alone = 0.01 * c[2] - 0.1 * c[3] + 0.001 * c[0];
        Some(vec![distance, alone])
    };
    let mut study = simplex(4);
    let points = walk(make("greedy", "{}", 0).as_mut(), &mut study, 99, value);
    assert_eq!(
        points.len(),
        4 + 3,
        "one evaluation per member but the best"
    );
    assert_eq!(points[4], [0.5, 0.0, 0.5, 0.0]);
    assert_eq!(points[5][1], 1.0 / 3.0);
    assert_eq!(
        points[6],
        [1.0 / 3.0, 0.0, 1.0 / 3.0, 1.0 / 3.0],
        "member 1 was passed over"
    );
    assert!(matches!(
        make("greedy", "{}", 0).suggest(&study, 1).unwrap(),
        Suggestions::Done { .. }
    ));
}

#[test]
fn greedy_waits_for_pending_trials() {
    let mut study = simplex(3);
    let mut greedy = make("greedy", "{}", 0);
    let Suggestions::Points(members) = greedy.suggest(&study, 9).unwrap() else {
        panic!()
    };
    assert_eq!(members.len(), 3);
    for member in members {
        study.suggest(member);
    }
    assert_eq!(
        greedy.suggest(&study, 2).unwrap(),
        Suggestions::Points(vec![])
    );
    for trial in &mut study.trials {
        trial.outcome = Outcome::finished(vec![0.5, 0.5]);
    }
    let Suggestions::Points(average) = greedy.suggest(&study, 2).unwrap() else {
        panic!()
    };
    assert_eq!(average.len(), 1);
    study.suggest(average[0].clone());
    assert_eq!(
        greedy.suggest(&study, 2).unwrap(),
        Suggestions::Points(vec![])
    );
}

#[test]
fn greedy_survives_failures() {
    let mut study = simplex(3);
    let points = walk(make("greedy", "{}", 0).as_mut(), &mut study, 99, |c| {
        (c[1] < 1.0).then(|| vec![1.0 - c[0], c[0]])
    });
    assert_eq!(points.len(), 3 + 1, "the member that failed is left out");
    let mut none = simplex(3);
    assert_eq!(
        walk(make("greedy", "{}", 0).as_mut(), &mut none, 99, |_| None).len(),
        3
    );
}

#[test]
fn bad_options_are_refused() {
    let library = crate::library();
    for (name, options) in [
        ("grid", r#"{"point": 3}"#),
        ("dirichlet", r#"{"alpha": 0}"#),
        ("swa", r#"{"x": 1}"#),
    ] {
        let made = library.make_optimizer(name, options, &Context::default());
        assert!(made.is_err(), "{name} {options}");
    }
}
