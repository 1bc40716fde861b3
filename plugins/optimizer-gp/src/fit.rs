//! Hyperparameters by maximum a posteriori, with analytic gradients.

use nalgebra::DMatrix;

use crate::cholesky::{Cholesky, dot, write_inverse_upper};
use crate::error::Result;
use crate::gp::{Hyperparameters, covariances, lower_times, solve, write_covariances};
use crate::kernel::{Kernel, KernelKind, squared_distance};
use crate::lbfgs::{Limits, Minimum, minimise};
use crate::log_space::LN_SQRT_2PI;
use crate::observations::{LEAST_NOISE, Noise, Observations};

/// What is believed before data are seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Prior {
    /// How covariance falls with distance.
    pub kernel: KernelKind,
    /// Mean of each dimension's `ln(length scale)`.
    pub length_scale_mean: Vec<f64>,
    /// Standard deviation of `ln(length scale)`.
    pub length_scale_deviation: f64,
    /// Mean of `ln(noise variance)`, and of the logarithm of the near part's odds.
    pub noise_mean: f64,
    /// Standard deviation of both.
    pub noise_deviation: f64,
    /// Least noise variance, in squared standard units.
    pub noise_floor: f64,
}

impl Prior {
    /// The dimension-scaled prior of Hvarfner, Hellsten & Nardi 2024, `ln l ~ N(√2 + ln(D) / 2, 3)`, where `dimensions`
    /// holds the `D` of each coordinate. Noise is centred where BoTorch's is but three times as wide, `ln σ² ~ N(-4, 3²)`:
    /// computed values often have none at all, and a prior that holds the noise up ends the search at that resolution. The near
    /// part of [`KernelKind::TwoScales`] stands for the same rest of the outcomes as the noise, and its odds have the same prior.
    #[must_use]
    pub fn scaled_by(kernel: KernelKind, dimensions: &[f64], noise_floor: f64) -> Self {
        let mean = |d: &f64| std::f64::consts::SQRT_2 + 0.5 * d.ln();
        Self {
            kernel,
            length_scale_mean: dimensions.iter().map(mean).collect(),
            length_scale_deviation: 3.0_f64.sqrt(),
            noise_mean: -4.0,
            noise_deviation: 3.0,
            noise_floor: noise_floor.max(LEAST_NOISE),
        }
    }

    /// Where walks over hyperparameters begin: logarithms of length scales, at the prior's mode, of the noise above its
    /// floor, and of the near part's odds if there is one. The noise begins a little below its prior's median: from the mode, which is nearly free of noise, walks end
    /// in fits that take ripples and steps for the function itself.
    fn start(&self) -> Vec<f64> {
        let spread = self.length_scale_deviation.powi(2);
        let mut theta: Vec<f64> = self
            .length_scale_mean
            .iter()
            .map(|mean| mean - spread)
            .collect();
        theta.push(self.noise_mean - 1.0);
        if self.kernel == KernelKind::TwoScales {
            theta.push(self.noise_mean - 1.0);
        }
        theta
    }
}

/// The negative logarithm of posterior density over hyperparameters, as a function of `theta = [ln length scales,
/// ln(noise - floor)]`, and the logarithm of the near part's odds if the kernel has one; the constant mean is at its best value for each `theta`.
pub(crate) struct Fitting<'a> {
    data: &'a Observations,
    prior: &'a Prior,
}

/// Matrices `[n, n]` of one evaluation, for the next one to use again.
#[derive(Default)]
struct Room {
    covariances: DMatrix<f64>,
    slopes: DMatrix<f64>,
    factor: Cholesky,
    whitening: DMatrix<f64>,
    inverse: DMatrix<f64>,
}

/// A point of [`Fitting`], with what went into it.
struct Evaluation {
    /// Logarithm of the marginal likelihood.
    log_likelihood: f64,
    /// Best constant mean.
    mean: f64,
    /// Derivative of the logarithm of the marginal likelihood in `theta`.
    gradient: Vec<f64>,
}

impl<'a> Fitting<'a> {
    /// # Errors
    /// If the observations are malformed.
    pub(crate) fn new(data: &'a Observations, prior: &'a Prior) -> Result<Self> {
        data.check(prior.length_scale_mean.len())?;
        Ok(Self { data, prior })
    }

    /// Where walks begin, those first that may be the longest: at the prior's start, and at `warm` (those of an earlier fit)
    /// or, without it, at shorter length scales with little noise and at longer ones with more.
    pub(crate) fn starts(&self, warm: Option<&Hyperparameters>) -> Vec<Vec<f64>> {
        let prior = self.prior;
        let d = prior.length_scale_mean.len();
        let start = prior.start();
        let mut starts = vec![start.clone()];
        let is_alike = |warm: &&Hyperparameters| {
            warm.kernel.kind == prior.kernel && warm.kernel.length_scales.len() == d
        };
        match warm.filter(is_alike) {
            Some(warm) => {
                let mut theta: Vec<f64> =
                    warm.kernel.length_scales.iter().map(|l| l.ln()).collect();
                // A noise at the floor has no logarithm above it: start a little higher.
                theta.push(
                    (warm.noise - prior.noise_floor)
                        .max(1e-3 * prior.noise_floor)
                        .ln(),
                );
                if prior.kernel == KernelKind::TwoScales {
                    let near = warm.kernel.near.clamp(1e-9, 1.0 - 1e-9);
                    theta.push((near / (1.0 - near)).ln());
                }
                starts.push(theta);
            }
            None => {
                for (length_scale, noise) in [(-1.0, -3.0), (1.5, 2.0)] {
                    let mut theta = start.clone();
                    theta[..d]
                        .iter_mut()
                        .for_each(|entry| *entry += length_scale);
                    theta[d] += noise;
                    starts.push(theta);
                }
            }
        }
        starts
    }

    /// Walks uphill from a start.
    pub(crate) fn walk(&self, start: Vec<f64>) -> Minimum {
        const LIMITS: Limits = Limits {
            iterations: 60,
            gradient: 1e-3,
            gain: 1e-6,
            step: 2.0,
        };
        let mut room = Room::default();
        minimise(start, LIMITS, |theta, gradient| {
            self.cost(theta, gradient, &mut room)
        })
    }

    /// The best end of the walks, the last of equals.
    ///
    /// # Errors
    /// If the covariance has no factor at any of them.
    pub(crate) fn best(&self, ends: impl IntoIterator<Item = Minimum>) -> Result<Fit> {
        let best = ends
            .into_iter()
            .reduce(|best, next| if next.value <= best.value { next } else { best })
            .expect("there is a start");
        let likelihood = self.likelihood(&best.point, &mut Room::default())?;
        Ok(Fit {
            hyperparameters: self.hyperparameters(&best.point, likelihood.mean),
            log_likelihood: likelihood.log_likelihood,
        })
    }

    fn hyperparameters(&self, theta: &[f64], mean: f64) -> Hyperparameters {
        let (length_scales, rest) = theta.split_at(self.prior.length_scale_mean.len());
        Hyperparameters {
            kernel: Kernel {
                kind: self.prior.kernel,
                length_scales: length_scales.iter().map(|l| l.exp()).collect(),
                near: rest.get(1).map_or(0.0, |odds| 1.0 / (1.0 + (-odds).exp())),
            },
            noise: self.prior.noise_floor + rest[0].exp(),
            mean,
        }
    }

    /// Rasmussen & Williams 2006, equations 2.30 and 5.9.
    fn likelihood(&self, theta: &[f64], room: &mut Room) -> Result<Evaluation> {
        let hyper = self.hyperparameters(theta, 0.0);
        let d = hyper.kernel.length_scales.len();
        let n = self.data.points.len();
        // 1. Covariance, and the slopes that the gradient needs: [n, n], above the diagonal.
        let scaled: Vec<_> = self
            .data
            .points
            .iter()
            .map(|point| hyper.kernel.scaled(point))
            .collect();
        let Room {
            covariances,
            slopes,
            factor,
            whitening,
            inverse,
        } = room;
        write_covariances(&hyper, &scaled, &self.data.noise, covariances, slopes);
        factor.refactor(covariances)?;
        factor.write_inverse_lower_transposed(whitening);

        // 2. The mean that explains the outcomes best, and the likelihood there.
        let ones = lower_times(whitening, &vec![1.0; n]);
        let outcomes = lower_times(whitening, &self.data.outcomes);
        let mean = if n == 0 {
            0.0
        } else {
            dot(&ones, &outcomes) / dot(&ones, &ones)
        };
        let residual: Vec<f64> = self.data.outcomes.iter().map(|y| y - mean).collect();
        let scatter = log_density_of_scatter(self.data, hyper.noise);
        let log_likelihood = density(factor, &lower_times(whitening, &residual)) + scatter;
        let weights = solve(whitening, &residual);

        // 3. Half of tr((weights weightsᵀ - K⁻¹) dK); every pair counts twice. The mean is stationary.
        write_inverse_upper(whitening, inverse);
        let mut gradient = vec![0.0; theta.len()];
        let (mut noise_gradient, mut near_gradient) = (0.0, 0.0);
        let has_near = theta.len() > d + 1;
        for j in 0..n {
            for i in 0..j {
                let pull = weights[i] * weights[j] - inverse[(i, j)];
                add_squares(
                    &mut gradient[..d],
                    -pull * slopes[(i, j)],
                    &scaled[i],
                    &scaled[j],
                );
                if has_near {
                    let square = squared_distance(&scaled[i], &scaled[j]);
                    near_gradient += pull * hyper.kernel.by_near(square);
                }
            }
            if let Noise::Learned {
                measurements,
                scatter,
            } = self.data.noise[j]
            {
                let pull = weights[j] * weights[j] - inverse[(j, j)];
                noise_gradient += 0.5 * pull / measurements;
                // That of the density of the scatter.
                noise_gradient +=
                    0.5 * (scatter / hyper.noise - (measurements - 1.0)) / hyper.noise;
            }
        }
        gradient[d] = noise_gradient * theta[d].exp();
        if has_near {
            let near = hyper.kernel.near;
            gradient[d + 1] = near_gradient * near * (1.0 - near);
        }
        Ok(Evaluation {
            log_likelihood,
            mean,
            gradient,
        })
    }

    /// The function that is minimised; infinite where the covariance has no factor.
    fn cost(&self, theta: &[f64], gradient: &mut [f64], room: &mut Room) -> f64 {
        let Ok(likelihood) = self.likelihood(theta, room) else {
            return f64::INFINITY;
        };
        let prior = self.prior;
        let d = prior.length_scale_mean.len();
        let mut cost = -likelihood.log_likelihood;
        for (slope, of_likelihood) in gradient.iter_mut().zip(&likelihood.gradient) {
            *slope = -of_likelihood;
        }
        for (j, mean) in prior.length_scale_mean.iter().enumerate() {
            let (own, slope) = log_normal_cost(theta[j], *mean, prior.length_scale_deviation);
            cost += own;
            gradient[j] += slope;
        }
        let of_rest = |ln| log_normal_cost(ln, prior.noise_mean, prior.noise_deviation);
        let noise = prior.noise_floor + theta[d].exp();
        let (own, slope) = of_rest(noise.ln());
        cost += own;
        gradient[d] += slope * theta[d].exp() / noise;
        if let Some(odds) = theta.get(d + 1) {
            let (own, slope) = of_rest(*odds);
            cost += own;
            gradient[d + 1] += slope;
        }
        cost
    }
}

/// Minus the logarithm of a log-normal density at `x`, up to a constant, and its slope, both in terms of `ln x`.
fn log_normal_cost(ln_x: f64, mean: f64, deviation: f64) -> (f64, f64) {
    let excess = (ln_x - mean) / deviation;
    (0.5 * excess * excess + ln_x, excess / deviation + 1.0)
}

/// Logarithm of the observations' density under a process: Rasmussen & Williams 2006, equation 2.30.
///
/// # Errors
/// If the observations are malformed, or their covariance has no factor.
pub fn log_marginal_likelihood(
    hyperparameters: &Hyperparameters,
    data: &Observations,
) -> Result<f64> {
    data.check(hyperparameters.kernel.length_scales.len())?;
    let scaled: Vec<_> = data
        .points
        .iter()
        .map(|point| hyperparameters.kernel.scaled(point))
        .collect();
    let factor = Cholesky::factor(&covariances(hyperparameters, &scaled, &data.noise))?;
    let residual: Vec<f64> = data
        .outcomes
        .iter()
        .map(|y| y - hyperparameters.mean)
        .collect();
    let whitened = lower_times(&factor.inverse_lower_transposed(), &residual);
    let scatter = log_density_of_scatter(data, hyperparameters.noise);
    Ok(density(&factor, &whitened) + scatter)
}

/// That of all outcomes that are means of several measurements.
fn log_density_of_scatter(data: &Observations, learned: f64) -> f64 {
    let of = |noise: &Noise| noise.log_density_of_scatter(learned);
    data.noise.iter().map(of).sum()
}

/// Logarithm of a normal density at whitened residuals.
fn density(factor: &Cholesky, whitened: &[f64]) -> f64 {
    -0.5 * dot(whitened, whitened)
        - factor.half_log_determinant()
        - whitened.len() as f64 * LN_SQRT_2PI
}

/// `to_j += factor * (a_j - b_j)²`.
fn add_squares(to: &mut [f64], factor: f64, a: &[f64], b: &[f64]) {
    for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
        *to += factor * (a - b) * (a - b);
    }
}

/// Where a fit ended.
#[derive(Debug, Clone)]
pub struct Fit {
    /// The best hyperparameters met.
    pub hyperparameters: Hyperparameters,
    /// Logarithm of the marginal likelihood there.
    pub log_likelihood: f64,
}

/// The hyperparameters of highest posterior density, from several starts, one of them `warm` (those of an earlier fit).
///
/// # Errors
/// If the observations are malformed, or their covariance has no factor at any start.
pub fn fit(data: &Observations, prior: &Prior, warm: Option<&Hyperparameters>) -> Result<Fit> {
    let fitting = Fitting::new(data, prior)?;
    let starts = fitting.starts(warm).into_iter();
    fitting.best(starts.map(|start| fitting.walk(start)))
}

#[cfg(test)]
mod tests {
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
            let merged = apart.merged();
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
}
