//! Every option has its effect, and every acquisition finds what it should.

use super::*;

fn with(option: &str) -> String {
    QUICK.replace('{', &format!("{{{option}, "))
}

#[test]
fn every_acquisition_climbs_a_hill() {
    for acquisition in ["log_ei", "log_nei", "q_log_ei", "parego", "auto"] {
        let options = with(&format!(r#""acquisition": "{acquisition}""#));
        let mut hill = study(vec![float(0.0, 1.0), float(0.0, 1.0)], 1);
        walk(make(&options, 1, 2).as_mut(), &mut hill, 18, |x| {
            Some(vec![-(x[0] - 0.3).powi(2) - (x[1] - 0.8).powi(2)])
        });
        let values = hill.finished().map(|(_, values)| values[0]);
        let best = values.fold(f64::NEG_INFINITY, f64::max);
        assert!(best > -2e-3, "{acquisition}: {best}");
    }
}

#[test]
fn every_acquisition_of_several_objectives_beats_its_first_points() {
    for acquisition in ["log_ehvi", "log_nehvi", "parego"] {
        let options = with(&format!(r#""acquisition": "{acquisition}""#));
        let mut bowls_of = coefficients(5, 2);
        walk(make(&options, 1, 2).as_mut(), &mut bowls_of, 24, |x| {
            Some(bowls(x, 2))
        });
        let values: Vec<_> = bowls_of.finished().map(|(_, v)| v.to_vec()).collect();
        let volume = |count: usize| pareto::hypervolume(&values[..count], &[-0.3, -0.3]).unwrap();
        assert!(volume(24) > 1.02 * volume(7), "{acquisition}");
    }
}

#[test]
fn a_batch_is_searched_together() {
    let options = with(r#""acquisition": "q_log_ei", "noise": {"deviation": 0.0}"#);
    let mut hills = study(vec![float(0.0, 1.0)], 1);
    // Two tops alike.
    let value = |x: f64| -(x - 0.2).powi(2).min((x - 0.8).powi(2));
    for x in [0.0, 0.1, 0.28, 0.4, 0.5, 0.6, 0.72, 0.9, 1.0] {
        let id = hills.suggest(Suggestion::evaluate(vec![Coordinate::Float(x)]));
        finish(&mut hills, id, vec![value(x)]);
    }
    let batch = points(make(&options, 1, 2).suggest(&hills, 2).unwrap());
    let mut found: Vec<f64> = batch.iter().map(|s| numbers(&s.point)[0]).collect();
    found.sort_by(f64::total_cmp);
    assert!(
        (found[0] - 0.2).abs() < 0.1 && (found[1] - 0.8).abs() < 0.1,
        "{found:?}"
    );
    // More than are searched for together come in rounds; again they come out the same.
    let suggest = |threads| points(make(&options, threads, 2).suggest(&hills, 11).unwrap());
    let many = suggest(1);
    assert_eq!(many.len(), 11);
    assert_eq!(many, suggest(2));
}

#[test]
fn hypervolume_of_one_objective_is_refused_and_of_five_becomes_random_weights() {
    for acquisition in ["log_ehvi", "log_nehvi"] {
        let options = with(&format!(r#""acquisition": "{acquisition}""#));
        let refused = make(&options, 1, 0).suggest(&coefficients(2, 1), 1);
        assert!(refused.unwrap_err().message.contains(acquisition));
        let suggestions = |options: &str| {
            let mut five = coefficients(3, 5);
            walk(make(options, 1, 0).as_mut(), &mut five, 8, |x| {
                Some(bowls(x, 5))
            });
            five.trials
        };
        assert_eq!(
            suggestions(&options),
            suggestions(&with(r#""acquisition": "parego""#))
        );
    }
}

#[test]
fn kernels_and_noise_change_what_is_suggested() {
    let mut seen = coefficients(4, 2);
    walk(make(QUICK, 1, 1).as_mut(), &mut seen, 9, |x| {
        Some(bowls(x, 2))
    });
    let next = |option: &str| {
        let found = points(make(&with(option), 1, 1).suggest(&seen, 1).unwrap());
        numbers(&found[0].point)
    };
    let plain = next(r#""kernel": "two_scales""#);
    assert_eq!(plain, next(r#""noise": "learned""#));
    for option in [
        r#""kernel": "rbf""#,
        r#""kernel": "matern52""#,
        r#""noise": {"deviation": 0.2}"#,
        r#""noise": {"relative_deviation": 0.5}"#,
    ] {
        assert_ne!(plain, next(option), "{option}");
    }
    let library = crate::library();
    for bad in [
        r#"{"noise": {"deviation": -1.0}}"#,
        r#"{"noise": {"relative_deviation": 1e999}}"#,
        r#"{"noise": "none"}"#,
        r#"{"kernel": "cubic"}"#,
    ] {
        assert!(
            library
                .make_optimizer("gp", bad, &Context::default())
                .is_err(),
            "{bad}"
        );
    }
}

#[test]
fn a_known_deviation_is_that_of_every_trial() {
    let mut seen = coefficients(4, 2);
    walk(make(QUICK, 1, 1).as_mut(), &mut seen, 9, |x| {
        Some(bowls(x, 2))
    });
    let mut each = seen.clone();
    for trial in &mut each.trials {
        if let Outcome::Finished { noise, .. } = &mut trial.outcome {
            *noise = Some(vec![0.05, 0.05]);
        }
    }
    let by_option = make(&with(r#""noise": {"deviation": 0.05}"#), 1, 1).suggest(&seen, 1);
    assert_eq!(
        by_option.unwrap(),
        make(QUICK, 1, 1).suggest(&each, 1).unwrap()
    );
}
