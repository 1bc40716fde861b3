//! The optimizer as a whole.

use bomf_plugin_api::testkit::optimizer::numbers;
use bomf_plugin_api::{
    Context, Coordinate, Direction, Domain, Objective, Optimizer, Outcome, Parameter, Scale, Study,
    Suggestion, Suggestions, check_point,
};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use crate::simplex;

mod choices;
mod constraints;
mod odd;

/// Less effort than by default: these tests are about what is promised, not about the last digit.
const QUICK: &str = r#"{"raw_samples": 128, "restarts": 4, "samples": 32}"#;

fn make(options: &str, threads: usize, seed: u64) -> Box<dyn Optimizer> {
    crate::library()
        .make_optimizer("gp", options, &Context::new(threads, seed))
        .unwrap()
}

fn parameter(name: &str, domain: Domain) -> Parameter {
    Parameter {
        name: name.into(),
        domain,
    }
}

fn float(low: f64, high: f64) -> Domain {
    Domain::Float {
        low,
        high,
        scale: Scale::Linear,
    }
}

fn study(space: Vec<Domain>, objectives: usize) -> Study {
    let space = space
        .into_iter()
        .map(|domain| parameter("p", domain))
        .collect();
    let names = ["a", "b", "c", "d", "e", "f"];
    let objectives = names[..objectives]
        .iter()
        .map(|name| Objective::new(*name, Direction::Maximize))
        .collect();
    Study::new(space, objectives)
}

fn coefficients(members: usize, objectives: usize) -> Study {
    study(vec![Domain::Simplex { dimension: members }], objectives)
}

fn mixed(objectives: usize) -> Study {
    study(
        vec![
            Domain::Float {
                low: 1e-6,
                high: 1e-2,
                scale: Scale::Log,
            },
            Domain::Integer {
                low: 0,
                high: 6,
                scale: Scale::Linear,
            },
            Domain::Choice { count: 3 },
            Domain::Simplex { dimension: 4 },
        ],
        objectives,
    )
}

fn points(suggestions: Suggestions) -> Vec<Suggestion> {
    match suggestions {
        Suggestions::Points(points) => points,
        other => panic!("expected points, found {other:?}"),
    }
}

fn finish(study: &mut Study, id: u64, values: Vec<f64>) {
    study.trials[id as usize].outcome = Outcome::finished(values);
}

/// Asks one at a time and tells, for `count` trials more; `None` is a failure.
fn walk(
    optimizer: &mut dyn Optimizer,
    study: &mut Study,
    count: usize,
    values: impl Fn(&[f64]) -> Option<Vec<f64>>,
) {
    for _ in 0..count {
        for suggestion in points(optimizer.suggest(study, 1).unwrap()) {
            check_point(&study.space, &suggestion.point).unwrap();
            let values = values(&numbers(&suggestion.point));
            let id = study.suggest(suggestion);
            study.trials[id as usize].outcome = match values {
                Some(values) => Outcome::finished(values),
                None => Outcome::Failed { why: "test".into() },
            };
        }
        study.check().unwrap();
    }
}

/// As many bowls as objectives, each with its bottom elsewhere on the simplex.
fn bowls(shares: &[f64], objectives: usize) -> Vec<f64> {
    (0..objectives)
        .map(|objective| {
            let bottom = |i: usize| {
                if i % (objectives + 1) == objective {
                    2.5
                } else {
                    0.6
                }
            };
            let total: f64 = (0..shares.len()).map(bottom).sum();
            -shares
                .iter()
                .enumerate()
                .map(|(i, x)| (x - bottom(i) / total).powi(2))
                .sum::<f64>()
        })
        .collect()
}

#[test]
fn a_fresh_instance_suggests_bit_equal_points() {
    let kinds: [(Study, usize); 4] = [
        (coefficients(4, 2), 2),
        (coefficients(4, 1), 1),
        (mixed(3), 3),
        (coefficients(3, 6), 6),
    ];
    for (empty, objectives) in kinds {
        let value = |x: &[f64]| Some(bowls(x, objectives));
        let mut whole = empty.clone();
        walk(make(QUICK, 1, 5).as_mut(), &mut whole, 14, value);
        let mut resumed = empty;
        for _ in 0..14 {
            // Another thread budget must not matter either.
            walk(make(QUICK, 2, 5).as_mut(), &mut resumed, 1, value);
        }
        assert_eq!(whole, resumed, "{objectives} objectives");
        let mut other = whole.clone();
        other.trials.truncate(12);
        walk(make(QUICK, 1, 6).as_mut(), &mut other, 2, value);
        assert_ne!(whole, other, "the seed has no effect");
    }
}

#[test]
fn the_order_in_which_trials_are_listed_does_not_matter() {
    let mut listed = coefficients(4, 2);
    walk(make(QUICK, 1, 1).as_mut(), &mut listed, 10, |x| {
        Some(bowls(x, 2))
    });
    let mut shuffled = listed.clone();
    shuffled.trials.reverse();
    shuffled.trials.swap(2, 5);
    let suggest = |study: &Study| make(QUICK, 1, 1).suggest(study, 2).unwrap();
    assert_eq!(suggest(&listed), suggest(&shuffled));
}

#[test]
fn members_and_average_come_first() {
    let mut study = coefficients(3, 2);
    walk(make(QUICK, 1, 1).as_mut(), &mut study, 4, |x| {
        Some(bowls(x, 2))
    });
    let first: Vec<_> = study
        .trials
        .iter()
        .map(|trial| numbers(&trial.suggestion.point))
        .collect();
    assert_eq!(
        first[..3],
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    );
    assert_eq!(first[3], [1.0 / 3.0; 3]);
    // Members that are known already are not asked for again.
    let mut known = coefficients(3, 2);
    for member in [2, 0, 1] {
        let shares = simplex::vertex(member, 3);
        let id = known.suggest(Suggestion::evaluate(vec![Coordinate::Simplex(
            shares.clone(),
        )]));
        finish(&mut known, id, bowls(&shares, 2));
    }
    let next = points(make(QUICK, 1, 1).suggest(&known, 1).unwrap());
    assert_eq!(numbers(&next[0].point), [1.0 / 3.0; 3]);
}

#[test]
fn hypervolume_beats_random_draws_on_every_smooth_problem() {
    for (members, objectives) in [(6, 2), (10, 2), (6, 3)] {
        let (mut ours, mut theirs) = (0.0, 0.0);
        let reference = vec![-0.3; objectives];
        for seed in 0..3 {
            let mut study = coefficients(members, objectives);
            for objective in &mut study.objectives {
                objective.reference = Some(-0.3);
            }
            walk(make(QUICK, 1, seed).as_mut(), &mut study, 30, |x| {
                Some(bowls(x, objectives))
            });
            let values: Vec<_> = study
                .finished()
                .map(|(_, values)| values.to_vec())
                .collect();
            ours += pareto::hypervolume(&values, &reference).unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let drawn: Vec<_> = (0..30)
                .map(|trial| match trial {
                    _ if trial < members => simplex::vertex(trial, members),
                    _ if trial == members => simplex::centre(members),
                    _ => simplex::draw(members, &mut rng),
                })
                .map(|shares| bowls(&shares, objectives))
                .collect();
            theirs += pareto::hypervolume(&drawn, &reference).unwrap();
        }
        assert!(
            ours > theirs,
            "{members} members, {objectives} objectives: {ours} {theirs}"
        );
    }
}

#[test]
fn a_single_objective_is_found_on_a_box_and_on_mixed_axes() {
    // Branin: least value 0.3979.
    let branin = |x: &[f64]| {
        let (u, v) = (x[0], x[1]);
        let pi = std::f64::consts::PI;
        (v - 5.1 / (4.0 * pi * pi) * u * u + 5.0 / pi * u - 6.0).powi(2)
            + 10.0 * (1.0 - 1.0 / (8.0 * pi)) * u.cos()
            + 10.0
    };
    let mut plain = study(vec![float(-5.0, 10.0), float(0.0, 15.0)], 1);
    plain.objectives[0].direction = Direction::Minimize;
    walk(make(QUICK, 1, 3).as_mut(), &mut plain, 30, |x| {
        Some(vec![branin(x)])
    });
    let best = plain
        .finished()
        .map(|(_, values)| values[0])
        .fold(f64::INFINITY, f64::min);
    assert!(best < 0.42, "{best}");

    // A log axis, an integer, a choice; the best is at 1e-4, 4, 1.
    let target = |x: &[f64]| {
        -(x[0].log10() + 4.0).powi(2) - 0.1 * (x[1] - 4.0).powi(2) - f64::from(x[2] != 1.0)
    };
    let mut steps = mixed(1);
    steps.space.truncate(3);
    walk(make(QUICK, 1, 3).as_mut(), &mut steps, 25, |x| {
        Some(vec![target(x)])
    });
    let best = steps
        .finished()
        .max_by(|a, b| a.1[0].total_cmp(&b.1[0]))
        .unwrap()
        .0;
    let found = numbers(&best.suggestion.point);
    assert!(
        found[1..] == [4.0, 1.0] && (found[0].log10() + 4.0).abs() < 0.1,
        "{found:?}"
    );
}

#[test]
fn a_simplex_beside_a_box_is_searched_as_one() {
    let mut beside = study(vec![Domain::Simplex { dimension: 3 }, float(0.0, 1.0)], 1);
    let target = |x: &[f64]| -(x[0] - 0.7).powi(2) - x[1] - (x[3] - 0.25).powi(2);
    walk(make(QUICK, 1, 3).as_mut(), &mut beside, 25, |x| {
        Some(vec![target(x)])
    });
    let best = beside
        .finished()
        .map(|(_, values)| values[0])
        .fold(f64::NEG_INFINITY, f64::max);
    assert!(best > -1e-3, "{best}");
    let on_face = |x: &[f64]| x[1] == 0.0;
    assert!(
        beside
            .trials
            .iter()
            .any(|trial| on_face(&numbers(&trial.suggestion.point)))
    );
}

#[test]
fn known_noise_is_taken_into_account() {
    let mut noisy = coefficients(4, 2);
    walk(make(QUICK, 1, 1).as_mut(), &mut noisy, 8, |x| {
        Some(bowls(x, 2))
    });
    let mut exact = noisy.clone();
    for (study, level) in [(&mut noisy, 0.3), (&mut exact, 0.0)] {
        for trial in &mut study.trials {
            if let Outcome::Finished { noise, .. } = &mut trial.outcome {
                *noise = Some(vec![level, level]);
            }
        }
    }
    let next = |study: &Study| points(make(QUICK, 1, 1).suggest(study, 1).unwrap());
    assert_ne!(next(&noisy)[0].point, next(&exact)[0].point);
}

#[test]
fn failed_trials_are_avoided_and_nothing_but_failures_is_survived() {
    // Beyond 0.5 everything fails, and up to there values grow towards it.
    let mut edge = study(vec![float(0.0, 1.0)], 1);
    walk(make(QUICK, 1, 4).as_mut(), &mut edge, 24, |x| {
        (x[0] <= 0.5).then(|| vec![x[0]])
    });
    let far = edge
        .trials
        .iter()
        .filter(|trial| numbers(&trial.suggestion.point)[0] > 0.7)
        .count();
    assert!(far <= 2, "{far} trials far beyond the edge");
    let best = edge
        .finished()
        .map(|(_, values)| values[0])
        .fold(0.0, f64::max);
    assert!(best > 0.48, "{best}");

    let mut hopeless = mixed(2);
    walk(make(QUICK, 1, 4).as_mut(), &mut hopeless, 15, |_| None);
    let all: Vec<_> = hopeless
        .trials
        .iter()
        .map(|trial| numbers(&trial.suggestion.point))
        .collect();
    assert!(
        (1..all.len()).all(|i| !all[..i].contains(&all[i])),
        "a failed point came again"
    );
}

#[test]
fn several_at_once_are_different_and_avoid_pending_points() {
    for objectives in [1, 2, 3, 6] {
        let mut asked = coefficients(5, objectives);
        walk(make(QUICK, 1, 2).as_mut(), &mut asked, 8, |x| {
            Some(bowls(x, objectives))
        });
        let batch = points(make(QUICK, 1, 2).suggest(&asked, 4).unwrap());
        assert_eq!(batch.len(), 4);
        for suggestion in &batch {
            asked.suggest(suggestion.clone());
        }
        let more = points(make(QUICK, 1, 2).suggest(&asked, 2).unwrap());
        let all: Vec<_> = batch
            .iter()
            .chain(&more)
            .map(|suggestion| numbers(&suggestion.point))
            .collect();
        for i in 0..all.len() {
            for j in 0..i {
                let apart: f64 = all[i].iter().zip(&all[j]).map(|(a, b)| (a - b).abs()).sum();
                assert!(
                    apart > 1e-4,
                    "{objectives} objectives: {i} and {j} are {apart} apart"
                );
            }
        }
    }
}

#[test]
fn finite_spaces_are_done_when_every_point_was_tried() {
    let domains = vec![
        Domain::Choice { count: 3 },
        Domain::Integer {
            low: 1,
            high: 2,
            scale: Scale::Log,
        },
        Domain::Simplex { dimension: 1 },
    ];
    let mut small = study(domains, 2);
    let mut gp = make(QUICK, 1, 0);
    walk(gp.as_mut(), &mut small, 6, |x| Some(vec![x[0], x[1]]));
    let mut seen: Vec<_> = small
        .trials
        .iter()
        .map(|trial| numbers(&trial.suggestion.point))
        .collect();
    seen.sort_by(|a, b| a.partial_cmp(b).unwrap());
    seen.dedup();
    assert_eq!(seen.len(), 6);
    assert!(matches!(
        gp.suggest(&small, 1).unwrap(),
        Suggestions::Done { .. }
    ));
}

#[test]
fn the_papers_way_keeps_the_point_of_the_box() {
    let options = r#"{"simplex": "normalize", "raw_samples": 64, "restarts": 3, "samples": 16}"#;
    let mut study = coefficients(4, 2);
    walk(make(options, 1, 0).as_mut(), &mut study, 9, |x| {
        Some(bowls(x, 2))
    });
    let last = study.trials.last().unwrap();
    let memo = crate::memo::Memo::from_bytes(&last.suggestion.state).unwrap();
    let sum: f64 = memo.encoded.iter().sum();
    for (raw, share) in memo.encoded.iter().zip(numbers(&last.suggestion.point)) {
        assert!((raw / sum - share).abs() < 1e-6);
    }
    assert_eq!(memo.fits.len(), 2);
}
