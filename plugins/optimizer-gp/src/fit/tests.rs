use super::*;
use crate::gp::Gp;

fn wavy(n: usize, noise: impl Fn(usize) -> Noise) -> Observations {
    let points: Vec<Vec<f64>> = (0..n)
        .map(|i| {
            (1..4)
                .map(|j| (i as f64 * 0.618 * f64::from(j)).fract())
                .collect()
        })
        .collect();
    let outcomes = points
        .iter()
        .map(|p| (6.0 * p[0]).sin() + 0.3 * p[1] + 0.01 * (97.0 * p[2]).sin())
        .collect();
    Observations {
        points,
        outcomes,
        noise: (0..n).map(noise).collect(),
    }
}

fn every_other(i: usize) -> Noise {
    match i % 2 {
        0 => Noise::Known(0.05),
        _ => Noise::LEARNED,
    }
}

/// Three measurements, or four, at each of some points.
fn replicated(noise: impl Fn(usize) -> Noise) -> Observations {
    let once = wavy(7, |_| Noise::LEARNED);
    let places: Vec<usize> = (0..24).map(|i| i * 5 % 7).collect();
    let outcome = |(i, place): (usize, &usize)| once.outcomes[*place] + 0.3 * (i as f64).sin();
    Observations {
        points: places.iter().map(|i| once.points[*i].clone()).collect(),
        outcomes: places.iter().enumerate().map(outcome).collect(),
        noise: (0..24).map(noise).collect(),
    }
}

#[test]
fn likelihood_and_cost_gradients_match_finite_differences() {
    for (kernel, data, theta) in [
        (
            KernelKind::Matern52,
            wavy(20, |_| Noise::LEARNED),
            vec![-0.5, 0.3, 0.8, -3.0],
        ),
        (
            KernelKind::Matern52,
            wavy(13, every_other),
            vec![0.2, -1.0, 0.1, -6.0],
        ),
        (
            KernelKind::Matern52,
            replicated(every_other).merged(),
            vec![0.2, -1.0, 0.1, -2.0],
        ),
        (
            KernelKind::Rbf,
            wavy(20, |_| Noise::LEARNED),
            vec![-0.5, 0.3, 0.8, -3.0],
        ),
        (
            KernelKind::TwoScales,
            wavy(20, |_| Noise::LEARNED),
            vec![0.9, 1.3, 0.8, -3.0, -1.5],
        ),
    ] {
        let prior = Prior::scaled_by(kernel, &[3.0; 3], 1e-6);
        let fitting = Fitting {
            data: &data,
            prior: &prior,
        };
        let mut cost_gradient = vec![0.0; theta.len()];
        let mut room = Room::default();
        fitting.cost(&theta, &mut cost_gradient, &mut room);
        let gradient = fitting.likelihood(&theta, &mut room).unwrap().gradient;
        for j in 0..theta.len() {
            let step = 1e-5;
            let (mut above, mut below) = (theta.clone(), theta.clone());
            above[j] += step;
            below[j] -= step;
            let numeric = (fitting
                .likelihood(&above, &mut room)
                .unwrap()
                .log_likelihood
                - fitting
                    .likelihood(&below, &mut room)
                    .unwrap()
                    .log_likelihood)
                / (2.0 * step);
            assert!(
                (gradient[j] - numeric).abs() < 1e-6 * numeric.abs().max(1.0),
                "{j}"
            );
            let mut unused = cost_gradient.clone();
            let numeric = (fitting.cost(&above, &mut unused, &mut room)
                - fitting.cost(&below, &mut unused, &mut room))
                / (2.0 * step);
            assert!(
                (cost_gradient[j] - numeric).abs() < 1e-6 * numeric.abs().max(1.0),
                "{j}"
            );
        }
    }
}

#[test]
fn likelihood_is_the_normal_density_of_the_outcomes() {
    let data = wavy(6, |_| Noise::LEARNED);
    let prior = Prior::scaled_by(KernelKind::Matern52, &[3.0; 3], 1e-6);
    let fitting = Fitting {
        data: &data,
        prior: &prior,
    };
    let theta = [0.0, 0.2, 0.4, -2.0];
    let found = fitting.likelihood(&theta, &mut Room::default()).unwrap();
    let hyper = fitting.hyperparameters(&theta, found.mean);
    let alone = log_marginal_likelihood(&hyper, &data).unwrap();
    assert!((found.log_likelihood - alone).abs() < 1e-10);
    // The chain rule of densities: one outcome at a time, each given those before it.
    let mut expected = 0.0;
    for i in 0..6 {
        let before = Observations {
            points: data.points[..i].to_vec(),
            outcomes: data.outcomes[..i].to_vec(),
            noise: data.noise[..i].to_vec(),
        };
        let (mean, variance) = Gp::condition(&hyper, &before)
            .unwrap()
            .predict(&data.points[i]);
        let variance = variance + hyper.noise;
        let z = (data.outcomes[i] - mean) / variance.sqrt();
        expected += -0.5 * z * z - LN_SQRT_2PI - 0.5 * variance.ln();
    }
    assert!((found.log_likelihood - expected).abs() < 1e-9);
}

#[test]
fn merged_outcomes_have_the_same_likelihood_and_posterior() {
    let prior = Prior::scaled_by(KernelKind::Matern52, &[3.0; 3], 1e-6);
    let noises: [fn(usize) -> Noise; 3] = [
        |_| Noise::LEARNED,
        every_other,
        |i| Noise::Known(0.01 * (i % 5) as f64),
    ];
    let mut gaps = Vec::new();
    for noise in noises {
        let apart = replicated(noise);
        let merged = apart.clone().merged();
        assert!(merged.points.len() <= 14);
        // The density of known scatter is left out: the gap must not depend on hyperparameters.
        let gap = |theta: &[f64]| {
            let of = |data| {
                let fitting = Fitting {
                    data,
                    prior: &prior,
                };
                fitting.likelihood(theta, &mut Room::default()).unwrap()
            };
            let (apart, merged) = (of(&apart), of(&merged));
            assert!((apart.mean - merged.mean).abs() < 1e-8);
            apart.log_likelihood - merged.log_likelihood
        };
        let (theta, other) = ([0.0, 0.2, 0.4, -2.0], [0.5, -0.3, 0.1, -3.5]);
        assert!((gap(&theta) - gap(&other)).abs() < 1e-6);
        gaps.push(gap(&theta));

        let fitting = Fitting {
            data: &apart,
            prior: &prior,
        };
        let hyper = fitting.hyperparameters(&theta, 0.1);
        let [a, b] = [&apart, &merged].map(|data| Gp::condition(&hyper, data).unwrap());
        for x in [[0.1, 0.2, 0.3], [0.9, 0.9, 0.1], [0.5, 0.5, 0.5]] {
            let (a, b) = (a.predict(&x), b.predict(&x));
            assert!((a.0 - b.0).abs() < 1e-6 && (a.1 - b.1).abs() < 1e-6);
        }
    }
    assert!(gaps[0].abs() < 1e-9, "{gaps:?}");
}

#[test]
fn what_matters_gets_a_short_length_scale_and_what_does_not_a_long_one() {
    let fit = fit(
        &wavy(40, |_| Noise::LEARNED),
        &Prior::scaled_by(KernelKind::Matern52, &[3.0; 3], 1e-6),
        None,
    )
    .unwrap();
    let lengths = &fit.hyperparameters.kernel.length_scales;
    assert!(
        lengths[0] < 1.0 && lengths[2] > 2.0 * lengths[0],
        "{lengths:?}"
    );
    assert!(fit.hyperparameters.noise < 0.01);
}

#[test]
fn a_warm_start_ends_at_least_as_high() {
    let (data, prior) = (
        wavy(30, |_| Noise::LEARNED),
        Prior::scaled_by(KernelKind::Matern52, &[3.0; 3], 1e-6),
    );
    let cold = fit(&data, &prior, None).unwrap();
    let warm = fit(&data, &prior, Some(&cold.hyperparameters)).unwrap();
    assert!(warm.log_likelihood > cold.log_likelihood - 0.05);
}

#[test]
fn constant_outcomes_single_points_and_duplicates_have_a_fit() {
    let prior = Prior::scaled_by(KernelKind::Matern52, &[1.0], 1e-6);
    for (points, outcomes) in [
        (vec![vec![0.5]], vec![0.0]),
        (vec![vec![0.1], vec![0.7], vec![0.9]], vec![0.0; 3]),
        (
            vec![vec![0.4]; 30],
            (0..30).map(|i| f64::from(i % 3) - 1.0).collect(),
        ),
    ] {
        let noise = vec![Noise::LEARNED; points.len()];
        let fit = fit(
            &Observations {
                points,
                outcomes,
                noise,
            },
            &prior,
            None,
        )
        .unwrap();
        assert!(fit.log_likelihood.is_finite());
        assert!(fit.hyperparameters.kernel.length_scales[0].is_finite());
    }
}
