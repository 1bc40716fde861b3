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
mod tests;
