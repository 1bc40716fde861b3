//! Exact Gaussian process regression on standardised outcomes.

use nalgebra::DMatrix;

use crate::cholesky::{Cholesky, dot};
use crate::error::{GpError, Result};
use crate::kernel::{Matern52, covariance, squared_distance};

/// Outcomes shifted and scaled to mean 0 and standard deviation 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standardisation {
    /// Mean of the raw outcomes.
    pub mean: f64,
    /// Their standard deviation, 1 where they are all alike.
    pub deviation: f64,
}

impl Standardisation {
    /// Of some raw outcomes, finite; of none, the identity.
    #[must_use]
    pub fn of(outcomes: &[f64]) -> Self {
        if outcomes.is_empty() {
            return Self {
                mean: 0.0,
                deviation: 1.0,
            };
        }
        let n = outcomes.len() as f64;
        let mean = outcomes.iter().sum::<f64>() / n;
        let squares = outcomes
            .iter()
            .map(|y| (y - mean) * (y - mean))
            .sum::<f64>();
        let deviation = (squares / (n - 1.0).max(1.0)).sqrt();
        // Alike up to rounding counts as alike: dividing by the rounding would make noise of it.
        let alike = deviation.is_nan() || deviation <= 1e-12 * mean.abs().max(1e-280);
        Self {
            mean,
            deviation: if alike { 1.0 } else { deviation },
        }
    }

    /// A raw outcome in standard units.
    #[must_use]
    pub fn apply(&self, outcome: f64) -> f64 {
        (outcome - self.mean) / self.deviation
    }

    /// The raw outcome of a value in standard units.
    #[must_use]
    pub fn undo(&self, standard: f64) -> f64 {
        self.mean + self.deviation * standard
    }
}

/// Points with their outcomes in standard units.
#[derive(Debug, Clone)]
pub struct Observations {
    /// `[n, d]`, row by row: where.
    pub points: Vec<Vec<f64>>,
    /// `[n]`, in standard units: what was seen.
    pub outcomes: Vec<f64>,
    /// `[n]`: the variance of each outcome's noise where it is known, in squared standard units.
    pub noise: Vec<Option<f64>>,
}

impl Observations {
    /// Refuses lists of different lengths and numbers that are not finite.
    ///
    /// # Errors
    /// Says which.
    pub fn check(&self, dimension: usize) -> Result<()> {
        let n = self.points.len();
        for (what, found) in [
            ("outcomes", self.outcomes.len()),
            ("noise levels", self.noise.len()),
        ] {
            if found != n {
                return Err(GpError::Length {
                    what,
                    found,
                    expected: n,
                });
            }
        }
        for point in &self.points {
            if point.len() != dimension {
                let (what, found) = ("coordinates", point.len());
                return Err(GpError::Length {
                    what,
                    found,
                    expected: dimension,
                });
            }
            if !point.iter().all(|x| x.is_finite()) {
                return Err(GpError::NotFinite { what: "a point" });
            }
        }
        if !self.outcomes.iter().all(|y| y.is_finite()) {
            return Err(GpError::NotFinite { what: "an outcome" });
        }
        if !self
            .noise
            .iter()
            .flatten()
            .all(|v| v.is_finite() && *v >= 0.0)
        {
            return Err(GpError::NotFinite {
                what: "a noise level",
            });
        }
        Ok(())
    }
}

/// What the marginal likelihood is maximised over.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyperparameters {
    /// The covariance function.
    pub kernel: Matern52,
    /// Variance of the noise where it is not known, in squared standard units.
    pub noise: f64,
    /// The constant prior mean, in standard units.
    pub mean: f64,
}

/// A Gaussian process given observations; the posterior is of the noiseless function.
#[derive(Debug, Clone)]
pub struct Gp {
    kernel: Matern52,
    mean: f64,
    /// `[n, d]`, in units of the length scales.
    scaled: Vec<Vec<f64>>,
    /// `(K + noise)⁻¹ (y - mean)`, `[n]`.
    weights: Vec<f64>,
    /// `L⁻¹` transposed, `[n, n]`: column i is row i of `L⁻¹`.
    inverse_lower_transposed: DMatrix<f64>,
    /// What had to be added to the covariance's diagonal, as a share of its mean.
    pub jitter: f64,
}

/// Least noise variance on the diagonal, in squared standard units: known noise of zero still needs a regular matrix.
pub const LEAST_NOISE: f64 = 1e-8;

impl Gp {
    /// Conditions the prior on observations.
    ///
    /// # Errors
    /// If they are malformed, or their covariance is indefinite beyond the largest jitter.
    pub fn condition(hyperparameters: &Hyperparameters, data: &Observations) -> Result<Self> {
        let kernel = hyperparameters.kernel.clone();
        data.check(kernel.length_scales.len())?;
        let scaled: Vec<_> = data
            .points
            .iter()
            .map(|point| kernel.scaled(point))
            .collect();
        let n = scaled.len();
        let mut matrix = DMatrix::zeros(n, n);
        for j in 0..n {
            for i in 0..j {
                matrix[(i, j)] = covariance(squared_distance(&scaled[i], &scaled[j])).0;
            }
            let noise = data.noise[j].unwrap_or(hyperparameters.noise);
            matrix[(j, j)] = 1.0 + noise.max(LEAST_NOISE);
        }
        let factor = Cholesky::factor(&matrix)?;
        let inverse_lower_transposed = factor.inverse_lower_transposed();
        let residual: Vec<f64> = data
            .outcomes
            .iter()
            .map(|y| y - hyperparameters.mean)
            .collect();
        let weights = solve(&inverse_lower_transposed, &residual);
        let jitter = factor.jitter;
        Ok(Self {
            kernel,
            mean: hyperparameters.mean,
            scaled,
            weights,
            inverse_lower_transposed,
            jitter,
        })
    }

    /// The covariance function.
    #[must_use]
    pub fn kernel(&self) -> &Matern52 {
        &self.kernel
    }

    /// The observed points in units of the length scales, `[n, d]`.
    #[must_use]
    pub fn scaled_points(&self) -> &[Vec<f64>] {
        &self.scaled
    }

    /// The prior mean and the weights `[n]` of `mean(x) = prior + Σ weight_i k(x, x_i)`.
    #[must_use]
    pub fn mean_function(&self) -> (f64, &[f64]) {
        (self.mean, &self.weights)
    }

    /// `L⁻¹` of the observations' covariance, transposed: column i is row i.
    #[must_use]
    pub fn whitening(&self) -> &DMatrix<f64> {
        &self.inverse_lower_transposed
    }

    /// Posterior mean and variance at a point, in standard units.
    #[must_use]
    pub fn predict(&self, point: &[f64]) -> (f64, f64) {
        let x = self.kernel.scaled(point);
        let k: Vec<f64> = self
            .scaled
            .iter()
            .map(|z| covariance(squared_distance(&x, z)).0)
            .collect();
        let whitened = lower_times(&self.inverse_lower_transposed, &k);
        let variance = 1.0 - dot(&whitened, &whitened);
        (self.mean + dot(&self.weights, &k), variance.max(0.0))
    }
}

/// `L⁻¹ v` from the transposed inverse.
pub(crate) fn lower_times(inverse_lower_transposed: &DMatrix<f64>, v: &[f64]) -> Vec<f64> {
    let n = v.len();
    let rows = inverse_lower_transposed.as_slice();
    (0..n)
        .map(|i| dot(&rows[i * n..=i * n + i], &v[..=i]))
        .collect()
}

/// `L⁻ᵀ L⁻¹ v` from the transposed inverse.
pub(crate) fn solve(inverse_lower_transposed: &DMatrix<f64>, v: &[f64]) -> Vec<f64> {
    let n = v.len();
    let whitened = lower_times(inverse_lower_transposed, v);
    let rows = inverse_lower_transposed.as_slice();
    let mut solution = vec![0.0; n];
    for (i, entry) in whitened.into_iter().enumerate() {
        crate::cholesky::add_scaled(&mut solution[..=i], entry, &rows[i * n..=i * n + i]);
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DVector;

    fn data() -> (Hyperparameters, Observations) {
        let points: Vec<Vec<f64>> = (0..12)
            .map(|i| vec![f64::from(i % 4) / 3.0, f64::from(i * 7 % 12) / 11.0])
            .collect();
        let outcomes = points
            .iter()
            .map(|p| (3.0 * p[0]).sin() + p[1] * p[1])
            .collect();
        let noise = (0..12).map(|i| (i % 3 == 0).then_some(0.02)).collect();
        let kernel = Matern52 {
            length_scales: vec![0.4, 0.7],
        };
        let hyperparameters = Hyperparameters {
            kernel,
            noise: 0.01,
            mean: 0.3,
        };
        (
            hyperparameters,
            Observations {
                points,
                outcomes,
                noise,
            },
        )
    }

    #[test]
    fn posterior_is_the_textbook_formula() {
        // Rasmussen & Williams 2006, equations 2.25 and 2.26, by a plain inverse.
        let (hyper, data) = data();
        let k = |a: &[f64], b: &[f64]| {
            let r = a
                .iter()
                .zip(b)
                .zip(&hyper.kernel.length_scales)
                .map(|((a, b), l)| ((a - b) / l).powi(2))
                .sum::<f64>()
                .sqrt();
            let s = 5.0_f64.sqrt() * r;
            (1.0 + s + s * s / 3.0) * (-s).exp()
        };
        let n = data.points.len();
        let matrix = DMatrix::from_fn(n, n, |i, j| {
            k(&data.points[i], &data.points[j])
                + if i == j {
                    data.noise[i].unwrap_or(hyper.noise)
                } else {
                    0.0
                }
        });
        let inverse = matrix.try_inverse().unwrap();
        let residual = DVector::from_iterator(n, data.outcomes.iter().map(|y| y - hyper.mean));
        let gp = Gp::condition(&hyper, &data).unwrap();
        for x in [[0.1, 0.2], [0.9, 0.9], [0.5, 0.5]] {
            let cross = DVector::from_iterator(n, data.points.iter().map(|p| k(&x, p)));
            let mean = hyper.mean + cross.dot(&(&inverse * &residual));
            let variance = 1.0 - cross.dot(&(&inverse * &cross));
            let found = gp.predict(&x);
            assert!((found.0 - mean).abs() < 1e-10, "{found:?} {mean}");
            assert!((found.1 - variance).abs() < 1e-10, "{found:?} {variance}");
        }
    }

    #[test]
    fn a_thousand_identical_points_survive() {
        let (hyper, _) = data();
        let data = Observations {
            points: vec![vec![0.5, 0.5]; 1000],
            outcomes: (0..1000).map(|i| f64::from(i % 2)).collect(),
            noise: vec![Some(0.0); 1000],
        };
        let (mean, variance) = Gp::condition(&hyper, &data).unwrap().predict(&[0.5, 0.5]);
        assert!((mean - 0.5).abs() < 1e-3 && (0.0..1e-3).contains(&variance));
    }

    #[test]
    fn without_data_the_posterior_is_the_prior() {
        let (hyper, _) = data();
        let none = Observations {
            points: vec![],
            outcomes: vec![],
            noise: vec![],
        };
        assert_eq!(
            Gp::condition(&hyper, &none).unwrap().predict(&[0.5, 0.5]),
            (0.3, 1.0)
        );
    }

    #[test]
    fn nan_and_ragged_data_are_refused() {
        let (hyper, data) = data();
        let mut nan = data.clone();
        nan.outcomes[3] = f64::NAN;
        assert!(Gp::condition(&hyper, &nan).is_err());
        let mut ragged = data.clone();
        ragged.points[2].pop();
        assert!(Gp::condition(&hyper, &ragged).is_err());
        let mut short = data;
        short.noise.pop();
        assert!(Gp::condition(&hyper, &short).is_err());
    }

    #[test]
    fn standardisation_goes_there_and_back() {
        let values = [3.0, 5.0, 10.0];
        let standard = Standardisation::of(&values);
        let there: Vec<f64> = values.iter().map(|v| standard.apply(*v)).collect();
        assert!(there.iter().sum::<f64>().abs() < 1e-12);
        assert!((standard.undo(there[2]) - 10.0).abs() < 1e-12);
        assert_eq!(Standardisation::of(&[4.0, 4.0]).deviation, 1.0);
        assert_eq!(Standardisation::of(&[4.0]).deviation, 1.0);
    }
}
