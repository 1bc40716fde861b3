//! Bad input: a clear error or a sensible suggestion, never a panic.

use super::*;

#[test]
fn odd_histories_get_sensible_suggestions() {
    // One trial; constant outcomes; many equal points; far apart magnitudes.
    let values: [fn(usize) -> Vec<f64>; 4] = [
        |_| vec![0.3, 0.5],
        |_| vec![1e300, -1e-300],
        |i| vec![f64::from(i % 2 == 0), 1e-9 * i as f64],
        |i| vec![1e12 + i as f64, -1e-12 * i as f64],
    ];
    for value in values {
        for trials in [1, 2, 30] {
            let mut odd = coefficients(3, 2);
            for trial in 0..trials {
                let shares = if trial % 3 == 0 {
                    simplex::centre(3)
                } else {
                    simplex::vertex(trial % 3, 3)
                };
                let id = odd.suggest(Suggestion::evaluate(vec![Coordinate::Simplex(shares)]));
                finish(&mut odd, id, value(trial));
            }
            walk(make(QUICK, 1, 0).as_mut(), &mut odd, 6, |_| {
                Some(vec![0.1, 0.2])
            });
        }
    }
}

/// Asks and tells until nothing is left, but no more than `most` times: the points.
fn asked(options: &str, mut study: Study, most: usize) -> Vec<Vec<f64>> {
    let mut optimizer = make(options, 1, 0);
    for _ in 0..most {
        let Suggestions::Points(points) = optimizer.suggest(&study, 1).unwrap() else {
            break;
        };
        for suggestion in points {
            let value = numbers(&suggestion.point).iter().sum();
            let id = study.suggest(suggestion);
            finish(&mut study, id, vec![value]);
        }
    }
    let trials = study.trials.iter();
    trials.map(|t| numbers(&t.suggestion.point)).collect()
}

fn distinct(points: &[Vec<f64>]) -> usize {
    let is_first = |i: &usize| !points[..*i].contains(&points[*i]);
    (0..points.len()).filter(is_first).count()
}

#[test]
fn points_are_asked_once_however_they_are_encoded() {
    let whole = || Domain::Integer {
        low: 1,
        high: 8,
        scale: Scale::Linear,
    };
    const RAYS: &str = r#"{"raw_samples": 128, "restarts": 4, "simplex": "normalize"}"#;
    // Finite: all points, and then the end.
    for (options, beside) in [
        (QUICK, float(0.5, 0.5)),
        (RAYS, Domain::Simplex { dimension: 1 }),
    ] {
        let found = asked(options, study(vec![beside, whole()], 1), 20);
        assert_eq!((found.len(), distinct(&found)), (8, 8), "{found:?}");
    }
    // A vertex is the best point of these, and has many rays.
    let weighted = study(vec![Domain::Simplex { dimension: 3 }], 1);
    let mut optimizer = make(RAYS, 1, 0);
    let mut study = weighted;
    walk(optimizer.as_mut(), &mut study, 25, |shares| {
        Some(vec![shares[0]])
    });
    let trials = study.trials.iter();
    let found: Vec<_> = trials.map(|t| numbers(&t.suggestion.point)).collect();
    assert_eq!(distinct(&found), 25, "{found:?}");
}

#[test]
fn any_space_and_any_history_get_points_inside() {
    let mut rng = ChaCha8Rng::seed_from_u64(77);
    for round in 0..60 {
        let domains = (0..rng.random_range(1..5))
            .map(|_| match rng.random_range(0..7) {
                0 => float(-1e308, 1.7e308),
                1 => float(0.5, 0.5),
                2 => Domain::Float {
                    low: 1e-320,
                    high: 1e308,
                    scale: Scale::Log,
                },
                3 => Domain::Integer {
                    low: i64::MIN,
                    high: i64::MAX,
                    scale: Scale::Linear,
                },
                4 => Domain::Integer {
                    low: 1,
                    high: i64::MAX,
                    scale: Scale::Log,
                },
                5 => Domain::Choice {
                    count: rng.random_range(1..6),
                },
                _ => Domain::Simplex {
                    dimension: rng.random_range(1..7),
                },
            })
            .collect();
        let objectives = rng.random_range(1..7);
        let mut any = study(domains, objectives);
        let mut gp = make(
            r#"{"raw_samples": 16, "restarts": 2, "samples": 8, "initial": 2}"#,
            1,
            round,
        );
        for _ in 0..14 {
            let Suggestions::Points(found) = gp.suggest(&any, rng.random_range(1..4)).unwrap()
            else {
                break;
            };
            for suggestion in found {
                let id = any.suggest(suggestion);
                let values = (0..objectives)
                    .map(|o| rng.random_range(0..3) as f64 * 10_f64.powi(o as i32 * 5))
                    .collect();
                let noise = rng.random::<bool>().then(|| vec![rng.random(); objectives]);
                match rng.random_range(0..4) {
                    0 => {}
                    1 => any.trials[id as usize].outcome = Outcome::Failed { why: "test".into() },
                    _ => {
                        any.trials[id as usize].outcome = Outcome::Finished {
                            values,
                            noise,
                            constraint_values: Vec::new(),
                        }
                    }
                }
            }
            any.check().unwrap();
        }
    }
}

#[test]
fn few_and_many_members_work() {
    for members in [1, 2, 200] {
        let mut some = coefficients(members, 2);
        for member in 0..members {
            let shares = simplex::vertex(member, members);
            let id = some.suggest(Suggestion::evaluate(vec![Coordinate::Simplex(
                shares.clone(),
            )]));
            finish(&mut some, id, bowls(&shares, 2));
        }
        match make(r#"{"initial": 0}"#, 1, 0).suggest(&some, 2).unwrap() {
            Suggestions::Points(found) => {
                found
                    .iter()
                    .for_each(|s| check_point(&some.space, &s.point).unwrap());
            }
            Suggestions::Done { .. } => assert_eq!(members, 1),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn bytes_that_are_not_ours_do_no_harm() {
    let mut study = coefficients(4, 2);
    walk(make(QUICK, 1, 0).as_mut(), &mut study, 8, |x| {
        Some(bowls(x, 2))
    });
    for (i, trial) in study.trials.iter_mut().enumerate() {
        trial.suggestion.state = (0..i as u8 * 3).collect();
    }
    walk(make(QUICK, 1, 0).as_mut(), &mut study, 1, |x| {
        Some(bowls(x, 2))
    });
}

#[test]
fn nan_missing_objectives_and_empty_spaces_are_refused() {
    let mut nan = coefficients(2, 1);
    walk(make(QUICK, 1, 0).as_mut(), &mut nan, 2, |x| {
        Some(vec![x[0]])
    });
    finish(&mut nan, 1, vec![f64::NAN]);
    let error = make(QUICK, 1, 0).suggest(&nan, 1).unwrap_err();
    assert!(
        error.message.contains("trial 1") && error.message.contains("`a`"),
        "{error}"
    );

    let ragged = Some(vec![0.1; 3]);
    nan.trials[1].outcome = Outcome::Finished {
        values: vec![0.5],
        noise: ragged,
        constraint_values: Vec::new(),
    };
    assert!(make(QUICK, 1, 0).suggest(&nan, 1).is_err());

    assert!(make(QUICK, 1, 0).suggest(&coefficients(2, 0), 1).is_err());
    assert!(make(QUICK, 1, 0).suggest(&study(vec![], 1), 1).is_err());
    let alone = r#"{"acquisition": "log_nehvi"}"#;
    let error = make(alone, 1, 0)
        .suggest(&coefficients(2, 1), 1)
        .unwrap_err();
    assert!(error.message.contains("1 objective,") && error.hint.is_some());
    let library = crate::library();
    assert!(
        library
            .make_optimizer("gp", r#"{"sample": 3}"#, &Context::default())
            .is_err()
    );
}

#[test]
fn values_of_any_magnitude_get_suggestions() {
    for magnitude in [1e-310, 1e-200, 1e-30, 1.0, 1e30, 1e150, 1e300, f64::MAX] {
        for objectives in [1, 2, 5] {
            let mut study = coefficients(3, objectives);
            walk(make(QUICK, 1, 0).as_mut(), &mut study, 9, |x| {
                let signs = [1.0, -1.0, 0.5, -0.25, 0.0];
                let value = |o: usize| magnitude * signs[o] * (x[o % 3] - 0.4);
                Some((0..objectives).map(value).collect())
            });
        }
    }
}

#[test]
fn a_thousand_identical_points_and_near_duplicates_are_survived() {
    for (objectives, count, spread) in [(1, 1000, 0.0), (2, 1000, 0.0), (2, 150, 1e-9)] {
        let mut same = study(vec![float(0.0, 1.0), float(0.0, 1.0)], objectives);
        for trial in 0..count {
            let at = 0.5 + spread * f64::from(trial % 7);
            let point = vec![Coordinate::Float(at), Coordinate::Float(0.5)];
            let id = same.suggest(Suggestion::evaluate(point));
            finish(&mut same, id, vec![f64::from(trial % 3); objectives]);
        }
        let options =
            r#"{"raw_samples": 32, "restarts": 2, "samples": 16, "noise": {"deviation": 0.0}}"#;
        let next = points(make(options, 1, 0).suggest(&same, 1).unwrap());
        let found = numbers(&next[0].point);
        assert!(found.iter().any(|x| (x - 0.5).abs() > 1e-3), "{found:?}");
    }
}

#[test]
fn studies_that_make_no_sense_are_refused() {
    let refused = |domain: Domain, expected: &str| {
        let error = make(QUICK, 1, 0)
            .suggest(&study(vec![domain], 1), 1)
            .unwrap_err();
        assert!(error.message.contains(expected), "{error}");
    };
    refused(float(1.0, 0.0), "expected low <= high");
    refused(float(f64::NAN, 1.0), "expected low <= high");
    refused(float(0.0, f64::INFINITY), "expected low <= high");
    let scale = Scale::Log;
    let (low, high) = (0.0, 1.0);
    refused(Domain::Float { low, high, scale }, "more than 0");
    let (low, high) = (-1, 1);
    refused(Domain::Integer { low, high, scale }, "more than 0");
    refused(Domain::Choice { count: 0 }, "expected one or more");
    refused(Domain::Simplex { dimension: 0 }, "expected 1 or more");

    let mut outside = study(vec![float(0.0, 1.0)], 1);
    let id = outside.suggest(Suggestion::evaluate(vec![Coordinate::Float(7.0)]));
    finish(&mut outside, id, vec![0.0]);
    let error = make(QUICK, 1, 0).suggest(&outside, 1).unwrap_err();
    assert!(error.message.contains("trial 0"), "{error}");
    outside.trials[0].suggestion.point = vec![Coordinate::Choice(1)];
    assert!(make(QUICK, 1, 0).suggest(&outside, 1).is_err());

    let mut flat = study(vec![float(0.0, 1.0)], 1);
    flat.objectives[0].scale = Some((0.5, 0.5));
    let id = flat.suggest(Suggestion::evaluate(vec![Coordinate::Float(0.7)]));
    finish(&mut flat, id, vec![0.2]);
    let error = make(QUICK, 1, 0).suggest(&flat, 1).unwrap_err();
    assert!(error.message.contains("finite on its scale"), "{error}");
}
