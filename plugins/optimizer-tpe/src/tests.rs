//! The optimizer as a whole.

use bomf_plugin_api::testkit::optimizer::numbers;
use bomf_plugin_api::{
    Constraint, Context, Coordinate, Direction, Domain, Objective, Optimizer, Outcome, Parameter,
    Scale, Study, Suggestion, Suggestions, Verdict, check_point, testkit,
};
use rand::RngExt as _;
use search::point;
use search::random::generator;

fn make(options: &str, seed: u64) -> Box<dyn Optimizer> {
    crate::library()
        .make_optimizer("tpe", options, &Context::new(1, seed))
        .unwrap()
}

fn float(low: f64, high: f64, scale: Scale) -> Domain {
    Domain::Float { low, high, scale }
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

fn points(suggestions: Suggestions) -> Vec<Suggestion> {
    match suggestions {
        Suggestions::Points(points) => points,
        other => panic!("expected points, found {other:?}"),
    }
}

/// Asks one at a time and tells, for `count` trials more.
fn walk(
    optimizer: &mut dyn Optimizer,
    study: &mut Study,
    count: usize,
    outcome: impl Fn(&[f64]) -> Outcome,
) {
    for _ in 0..count {
        let Suggestions::Points(points) = optimizer.suggest(study, 1).unwrap() else {
            return;
        };
        for suggestion in points {
            check_point(&study.space, &suggestion.point).unwrap();
            let outcome = outcome(&numbers(&suggestion.point));
            let id = study.suggest(suggestion);
            study.trials[id as usize].outcome = outcome;
        }
        study.check().unwrap();
    }
}

/// The least value of one objective after so many trials, by this optimizer and by uniform draws.
fn least(empty: &Study, trials: usize, seed: u64, value: &dyn Fn(&[f64]) -> f64) -> (f64, f64) {
    let mut study = empty.clone();
    let told = |x: &[f64]| Outcome::finished(vec![value(x)]);
    walk(&mut *make("{}", seed), &mut study, trials, told);
    let found = study.finished().map(|(_, values)| values[0]);
    let random = (0..trials).map(|trial| {
        let mut generator = generator(seed, trial as u64);
        let drawn = point::draw(&empty.space, || generator.random()).unwrap();
        value(&numbers(&drawn))
    });
    (
        found.fold(f64::INFINITY, f64::min),
        random.fold(f64::INFINITY, f64::min),
    )
}

/// The geometric means over the seeds of regrets, ours and those of uniform draws.
fn regrets(
    empty: &Study,
    trials: usize,
    least_value: f64,
    value: &dyn Fn(&[f64]) -> f64,
) -> (f64, f64) {
    const SEEDS: u64 = 20;
    let (mut ours, mut random) = (0.0, 0.0);
    for seed in 0..SEEDS {
        let (a, b) = least(empty, trials, seed, value);
        ours += (a - least_value).max(1e-12).ln() / SEEDS as f64;
        random += (b - least_value).max(1e-12).ln() / SEEDS as f64;
    }
    println!(
        "regret {:.2e}, of uniform draws {:.2e}",
        ours.exp(),
        random.exp()
    );
    (ours.exp(), random.exp())
}

fn branin(x: &[f64]) -> f64 {
    let pi = std::f64::consts::PI;
    let (a, b) = (x[0], x[1]);
    (b - 5.1 / (4.0 * pi * pi) * a * a + 5.0 / pi * a - 6.0).powi(2)
        + 10.0 * (1.0 - 1.0 / (8.0 * pi)) * a.cos()
        + 10.0
}

#[test]
fn keeps_the_promises_of_every_optimizer() {
    let make = || make("{}", 7);
    for members in [1, 2, 4] {
        testkit::optimizer::conformance(&make, &testkit::optimizer::coefficients(members));
    }
    testkit::optimizer::conformance(&make, &testkit::optimizer::hyperparameters());
}

#[test]
fn finds_more_than_uniform_draws_on_branin() {
    let space = vec![
        float(-5.0, 10.0, Scale::Linear),
        float(0.0, 15.0, Scale::Linear),
    ];
    let (ours, random) = regrets(&study(space, 1), 80, 0.397_887, &branin);
    assert!(ours < 0.5 * random, "{ours} {random}");
}

#[test]
fn finds_more_than_uniform_draws_in_a_mixed_space() {
    let space = vec![
        float(1e-6, 1e-1, Scale::Log),
        float(0.0, 1.0, Scale::Linear),
        integer(0, 12, Scale::Linear),
        integer(1, 256, Scale::Log),
        Domain::Choice { count: 4 },
        Domain::Choice { count: 3 },
    ];
    // A valley in the first three; choices that cost; two parameters that matter little.
    let value = |x: &[f64]| {
        (x[0].log10() + 3.5).powi(2)
            + (x[2] - 9.0).abs() / 4.0
            + 0.2 * (x[3].log2() - 5.0).abs()
            + [0.0, 0.5, 1.0, 1.5][x[4] as usize]
            + 0.3 * f64::from(x[5] as u8 != 1)
            + 0.05 * x[1]
    };
    let (ours, random) = regrets(&study(space, 1), 80, 0.0, &value);
    assert!(ours < 0.5 * random, "{ours} {random}");
}

#[test]
fn finds_more_than_uniform_draws_on_the_simplex_wherever_the_optimum_is() {
    let bottoms = [
        ("inside", [0.2, 0.05, 0.15, 0.1, 0.1, 0.25, 0.1, 0.05]),
        ("on a face", [0.0, 0.5, 0.0, 0.3, 0.0, 0.0, 0.2, 0.0]),
        ("near a corner", [0.0, 0.0, 0.95, 0.0, 0.05, 0.0, 0.0, 0.0]),
    ];
    for (place, bottom) in bottoms {
        let value = |x: &[f64]| x.iter().zip(bottom).map(|(x, b)| (x - b).powi(2)).sum();
        let empty = study(vec![Domain::Simplex { dimension: 8 }], 1);
        let (ours, random) = regrets(&empty, 80, 0.0, &value);
        assert!(ours < 0.6 * random, "{place}: {ours} {random}");
    }
}

#[test]
fn spans_more_volume_than_uniform_draws_with_two_objectives() {
    // Bowls round two points of the simplex: the front is the line between them.
    let value = |x: &[f64]| -> Vec<f64> {
        [[0.7, 0.3, 0.0, 0.0, 0.0], [0.0, 0.2, 0.4, 0.4, 0.0]]
            .iter()
            .map(|bottom| x.iter().zip(bottom).map(|(x, b)| (x - b).powi(2)).sum())
            .collect()
    };
    let empty = study(vec![Domain::Simplex { dimension: 5 }], 2);
    let volume = |all: Vec<Vec<f64>>| {
        let negated = all.iter().map(|v| v.iter().map(|x| -x).collect());
        let negated: Vec<Vec<f64>> = negated.collect();
        pareto::hypervolume(&negated, &[-0.8, -0.8]).unwrap()
    };
    let (mut better, mut gain) = (0, 0.0);
    for seed in 0..10 {
        let mut study = empty.clone();
        walk(&mut *make("{}", seed), &mut study, 80, |x| {
            Outcome::finished(value(x))
        });
        let ours = volume(
            study
                .finished()
                .map(|(_, values)| values.to_vec())
                .collect(),
        );
        let random = volume(
            (0..80)
                .map(|trial| {
                    let mut generator = generator(seed, trial);
                    let drawn = point::draw(&empty.space, || generator.random()).unwrap();
                    value(&numbers(&drawn))
                })
                .collect(),
        );
        better += usize::from(ours > random);
        gain += (ours / random - 1.0) / 10.0;
    }
    println!("better on {better} of 10 seeds, by {gain:.3} on the mean");
    assert!(better >= 9 && gain > 0.02, "{better} {gain}");
}

#[test]
fn keeps_to_what_is_feasible() {
    // The objective falls to the right; what is beyond 0.4 breaks the constraint.
    let mut constrained = study(vec![float(0.0, 1.0, Scale::Linear)], 1);
    constrained.constraints = vec![Constraint::at_most("size", 0.4)];
    for seed in 0..5 {
        let mut study = constrained.clone();
        walk(&mut *make("{}", seed), &mut study, 60, |x| {
            Outcome::Finished {
                values: vec![-x[0]],
                noise: None,
                constraint_values: vec![x[0]],
            }
        });
        let feasible = study.trials[30..]
            .iter()
            .map(|trial| numbers(&trial.suggestion.point)[0])
            .filter(|x| *x <= 0.4);
        // Of uniform draws it would be 12 of 30.
        assert!(feasible.clone().count() >= 16, "{}", feasible.count());
        assert!(feasible.fold(0.0, f64::max) > 0.37);
    }
}

#[test]
fn leaves_regions_that_fail() {
    let empty = study(
        vec![float(0.0, 1.0, Scale::Linear), Domain::Choice { count: 3 }],
        1,
    );
    let mut failing = empty;
    walk(&mut *make("{}", 3), &mut failing, 60, |x| {
        match x[1] > 1.5 {
            true => Outcome::Failed { why: "test".into() },
            false => Outcome::finished(vec![(x[0] - 0.5).powi(2)]),
        }
    });
    let failures = failing.trials[30..]
        .iter()
        .filter(|trial| matches!(trial.outcome, Outcome::Failed { .. }));
    // Of uniform draws it would be 10 of 30.
    assert!(failures.count() <= 4);
}

#[test]
fn pending_points_keep_others_away() {
    let mut study = study(vec![float(0.0, 1.0, Scale::Linear)], 1);
    walk(&mut *make("{}", 1), &mut study, 30, |x| {
        Outcome::finished(vec![(x[0] - 0.3).powi(2)])
    });
    let batch = points(make("{}", 1).suggest(&study, 8).unwrap());
    let mut places: Vec<f64> = batch.iter().map(|s| numbers(&s.point)[0]).collect();
    places.sort_by(f64::total_cmp);
    assert!(
        places.windows(2).all(|pair| pair[1] - pair[0] > 1e-4),
        "{places:?}"
    );
    assert!(places[7] - places[0] > 0.1, "{places:?}");
}

#[test]
fn finite_spaces_are_tried_without_repetition_to_their_end() {
    let space = vec![
        integer(1, 5, Scale::Log),
        Domain::Choice { count: 4 },
        float(2.0, 2.0, Scale::Linear),
        Domain::Simplex { dimension: 1 },
    ];
    let mut study = study(space, 1);
    walk(&mut *make("{}", 0), &mut study, 99, |x| {
        Outcome::finished(vec![x[0] + x[1]])
    });
    assert_eq!(study.trials.len(), 20);
    assert!(matches!(
        make("{}", 0).suggest(&study, 1).unwrap(),
        Suggestions::Done { .. }
    ));
}

#[test]
fn candidates_reach_faces_and_corners() {
    let mut study = study(vec![Domain::Simplex { dimension: 6 }], 1);
    // The optimum is on the face of the first two members.
    walk(&mut *make("{}", 2), &mut study, 80, |x| {
        Outcome::finished(vec![(x[0] - 0.6).powi(2) + (x[1] - 0.4).powi(2)])
    });
    let found = study.trials[7 + 10..]
        .iter()
        .map(|trial| numbers(&trial.suggestion.point))
        .filter(|x| x.iter().filter(|share| **share == 0.0).count() >= 3);
    assert!(found.count() >= 15);
}

#[test]
fn hard_studies_get_points_inside() {
    let wide = vec![
        float(-f64::MAX, f64::MAX, Scale::Linear),
        float(f64::MIN_POSITIVE, f64::MAX, Scale::Log),
        integer(i64::MIN, i64::MAX, Scale::Linear),
        integer(1, i64::MAX, Scale::Log),
    ];
    let spaces = [
        wide,
        vec![Domain::Simplex { dimension: 2 }],
        vec![Domain::Simplex { dimension: 200 }],
        vec![
            Domain::Simplex { dimension: 3 },
            float(0.0, 1.0, Scale::Linear),
        ],
    ];
    for space in spaces {
        for objectives in [1, 3] {
            let empty = study(space.clone(), objectives);
            let trials = if numbers_of(&empty) > 100 { 215 } else { 40 };
            // Nothing told apart; values at the ends of what numbers can hold; failures only.
            for value in [0.0, f64::MAX] {
                walk(&mut *make("{}", 5), &mut empty.clone(), trials, |x| {
                    let sign = if x[0] > 0.3 { 1.0 } else { -1.0 };
                    Outcome::finished(vec![sign * value; objectives])
                });
            }
            walk(&mut *make("{}", 5), &mut empty.clone(), trials, |_| {
                Outcome::Failed { why: "test".into() }
            });
        }
    }
}

fn numbers_of(study: &Study) -> usize {
    let mut generator = generator(0, 0);
    numbers(&point::draw(&study.space, || generator.random()).unwrap()).len()
}

#[test]
fn a_thousand_trials_at_one_point_are_no_fault() {
    let mut study = study(vec![Domain::Simplex { dimension: 15 }], 2);
    for _ in 0..1000 {
        let id = study.suggest(Suggestion::evaluate(point::uniform(15))) as usize;
        study.trials[id].outcome = Outcome::finished(vec![0.5, 0.5]);
    }
    for suggestion in points(make("{}", 0).suggest(&study, 20).unwrap()) {
        check_point(&study.space, &suggestion.point).unwrap();
    }
}

#[test]
fn nothing_to_search_is_said() {
    let no_space = study(vec![], 1);
    assert!(make("{}", 0).suggest(&no_space, 1).is_err());
    let no_objective = study(vec![Domain::Choice { count: 2 }], 0);
    assert!(make("{}", 0).suggest(&no_objective, 1).is_err());
    let options = crate::library().make_optimizer("tpe", r#"{"gamma": 1}"#, &Context::default());
    assert!(options.is_err());
}

#[test]
fn trials_are_ended_only_by_a_rule() {
    let mut study = study(vec![float(0.0, 1.0, Scale::Linear)], 1);
    for _ in 0..3 {
        let id = study.suggest(Suggestion::evaluate(vec![Coordinate::Float(0.5)])) as usize;
        study.trials[id].reports = vec![(1, vec![0.1])];
        study.trials[id].outcome = Outcome::finished(vec![0.1]);
    }
    let id = study.suggest(Suggestion::evaluate(vec![Coordinate::Float(0.9)]));
    let rule = r#"{"stopping": {"rule": "median", "min_trials": 3}}"#;
    for (options, expected) in [(rule, Verdict::Stop), ("{}", Verdict::Continue)] {
        assert_eq!(
            make(options, 0).report(&study, id, 1, &[0.9]).unwrap(),
            expected
        );
    }
}
