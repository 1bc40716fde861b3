//! Exact Gaussian process regression on standardised outcomes.

use nalgebra::DMatrix;

use crate::cholesky::{Cholesky, add_scaled, dot, resize};
use crate::error::Result;
use crate::kernel::{Cross, Kernel, squared_distance};
use crate::observations::{Noise, Observations};

/// What the marginal likelihood is maximised over.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyperparameters {
    /// The covariance function.
    pub kernel: Kernel,
    /// Variance of a measurement's noise where it is not known, in squared standard units.
    pub noise: f64,
    /// The constant prior mean, in standard units.
    pub mean: f64,
}

/// A Gaussian process given observations; the posterior is of the noiseless function.
#[derive(Debug, Clone)]
pub struct Gp {
    kernel: Kernel,
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

/// Least variance that logarithms and divisions are taken of, in squared standard units: at a noiseless observation it
/// would be 0 exactly.
pub const LEAST_VARIANCE: f64 = 1e-12;

/// The covariance of scaled points with noise on its diagonal, `[n, n]`, filled on and above the diagonal.
pub(crate) fn covariances(
    hyperparameters: &Hyperparameters,
    scaled: &[Vec<f64>],
    noise: &[Noise],
) -> DMatrix<f64> {
    let (mut matrix, mut slopes) = (DMatrix::default(), DMatrix::default());
    write_covariances(hyperparameters, scaled, noise, &mut matrix, &mut slopes);
    matrix
}

/// The same into a matrix, and the `(dk/dr) / r` into another above its diagonal.
pub(crate) fn write_covariances(
    hyperparameters: &Hyperparameters,
    scaled: &[Vec<f64>],
    noise: &[Noise],
    matrix: &mut DMatrix<f64>,
    slopes: &mut DMatrix<f64>,
) {
    let n = scaled.len();
    resize(matrix, n);
    resize(slopes, n);
    for j in 0..n {
        for i in 0..j {
            let square = squared_distance(&scaled[i], &scaled[j]);
            let (k, slope) = hyperparameters.kernel.covariance(square);
            matrix[(i, j)] = k;
            slopes[(i, j)] = slope;
        }
        matrix[(j, j)] = 1.0 + noise[j].variance(hyperparameters.noise);
    }
}

/// A point as a process sees it, and what gradients need.
#[derive(Debug, Clone)]
pub struct At {
    /// Covariances with the observations.
    pub cross: Cross,
    /// `[n]`: those covariances whitened, `L⁻¹ k`.
    pub whitened: Vec<f64>,
    /// Posterior mean.
    pub mean: f64,
    /// Posterior standard deviation, at least the root of [`LEAST_VARIANCE`].
    pub deviation: f64,
    /// Whether the variance was at its least, where it has no slope.
    clamped: bool,
}

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
        let matrix = covariances(hyperparameters, &scaled, &data.noise);
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

    /// The noiseless function at some points `[b, d]` together.
    ///
    /// # Errors
    /// If their posterior covariance is indefinite beyond the largest jitter.
    pub fn joint(&self, points: &[Vec<f64>]) -> Result<Joint<'_>> {
        let ats: Vec<At> = points.iter().map(|point| self.at(point)).collect();
        let b = ats.len();
        let mut covariance = DMatrix::zeros(b, b);
        for j in 0..b {
            for i in 0..=j {
                covariance[(i, j)] = self.covariance_between(&ats[i], &ats[j]);
            }
            // Rounding of the difference is of the prior variance's size, not of the posterior's.
            covariance[(j, j)] = covariance[(j, j)].max(0.0) + 1e-10;
        }
        Ok(Joint {
            gp: self,
            factor: Cholesky::factor(&covariance)?,
            ats,
        })
    }

    /// Posterior covariance of two points.
    #[must_use]
    pub fn covariance_between(&self, a: &At, b: &At) -> f64 {
        let square = squared_distance(&a.cross.scaled, &b.cross.scaled);
        self.kernel.covariance(square).0 - dot(&a.whitened, &b.whitened)
    }

    /// The covariance function.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// How many values the process is given.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scaled.len()
    }

    /// Whether it is given none: the prior.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scaled.is_empty()
    }

    /// The posterior at a point, in standard units.
    #[must_use]
    pub fn at(&self, point: &[f64]) -> At {
        let cross = self.kernel.cross(self.kernel.scaled(point), &self.scaled);
        let whitened = lower_times(&self.inverse_lower_transposed, &cross.covariances);
        let mean = self.mean + dot(&self.weights, &cross.covariances);
        let variance = 1.0 - dot(&whitened, &whitened);
        At {
            cross,
            whitened,
            mean,
            deviation: variance.max(LEAST_VARIANCE).sqrt(),
            clamped: variance <= LEAST_VARIANCE,
        }
    }

    /// Adds the gradient `[d]` at a point of something that has these slopes in its mean, its deviation and its whitened
    /// covariances (`[n]`, or empty for none).
    pub fn pull_back(
        &self,
        at: &At,
        by_mean: f64,
        by_deviation: f64,
        by_whitened: &[f64],
        gradient: &mut [f64],
    ) {
        let n = self.scaled.len();
        // 1. To whitened covariances: deviation² = 1 - |whitened|².
        let mut slopes = vec![0.0; n];
        slopes[..by_whitened.len()].copy_from_slice(by_whitened);
        if !at.clamped {
            add_scaled(&mut slopes, -by_deviation / at.deviation, &at.whitened);
        }
        // 2. To covariances.
        let mut by_covariances: Vec<f64> = self.weights.iter().map(|w| by_mean * w).collect();
        let rows = self.inverse_lower_transposed.as_slice();
        for (i, slope) in slopes.iter().enumerate() {
            let row = &rows[i * n..=i * n + i];
            add_scaled(&mut by_covariances[..=i], *slope, row);
        }
        // 3. To the point.
        self.kernel
            .pull_back(&at.cross, &self.scaled, &by_covariances, gradient);
    }

    /// Posterior mean at a point, in standard units.
    #[must_use]
    pub fn mean(&self, point: &[f64]) -> f64 {
        let cross = self.kernel.cross(self.kernel.scaled(point), &self.scaled);
        self.mean + dot(&self.weights, &cross.covariances)
    }

    /// Posterior mean and variance at a point, in standard units.
    #[must_use]
    pub fn predict(&self, point: &[f64]) -> (f64, f64) {
        let at = self.at(point);
        let variance = 1.0 - dot(&at.whitened, &at.whitened);
        (at.mean, variance.max(0.0))
    }
}

/// The posterior of the noiseless function at b points together.
pub struct Joint<'a> {
    gp: &'a Gp,
    ats: Vec<At>,
    /// Of their posterior covariance.
    factor: Cholesky,
}

impl Joint<'_> {
    /// Draws `[b, samples]`, `mean + factor z`, from standard normals z of that shape.
    #[must_use]
    pub fn draw(&self, base: &DMatrix<f64>) -> DMatrix<f64> {
        let b = self.ats.len();
        let mut values = DMatrix::zeros(b, base.ncols());
        for s in 0..base.ncols() {
            let z = &base.as_slice()[s * b..(s + 1) * b];
            let spread = self.factor.lower_times(z);
            for (row, (spread, at)) in spread.into_iter().zip(&self.ats).enumerate() {
                values[(row, s)] = at.mean + spread;
            }
        }
        values
    }

    /// The process given also the function at these points, whose values stay open: where they are drawn from z, a point's
    /// mean rises by `whitened[n..]·z`.
    ///
    /// The whitening is `J = [ L⁻¹, 0; -L_b⁻¹ Qᵀ L⁻¹, L_b⁻¹ ]` with `Q = L⁻¹ K(observed, points)`.
    #[must_use]
    pub fn given(self) -> Gp {
        let (n, b) = (self.gp.scaled.len(), self.ats.len());
        let own = self.factor.inverse_lower_transposed();
        let mut whitening = DMatrix::zeros(n + b, n + b);
        whitening
            .view_mut((0, 0), (n, n))
            .copy_from(&self.gp.inverse_lower_transposed);
        whitening.view_mut((n, n), (b, b)).copy_from(&own);
        let mut whitened = DMatrix::zeros(n, b);
        for (j, at) in self.ats.iter().enumerate() {
            whitened.column_mut(j).copy_from_slice(&at.whitened);
        }
        let coupling = -(&self.gp.inverse_lower_transposed * whitened * own);
        whitening.view_mut((0, n), (n, b)).copy_from(&coupling);

        let mut gp = self.gp.clone();
        gp.scaled
            .extend(self.ats.into_iter().map(|at| at.cross.scaled));
        // Values that stay open pull the mean nowhere.
        gp.weights.resize(n + b, 0.0);
        gp.inverse_lower_transposed = whitening;
        gp
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
        add_scaled(&mut solution[..=i], entry, &rows[i * n..=i * n + i]);
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::KernelKind;
    use nalgebra::DVector;

    fn data() -> (Hyperparameters, Observations) {
        let points: Vec<Vec<f64>> = (0..12)
            .map(|i| vec![f64::from(i % 4) / 3.0, f64::from(i * 7 % 12) / 11.0])
            .collect();
        let outcomes = points
            .iter()
            .map(|p| (3.0 * p[0]).sin() + p[1] * p[1])
            .collect();
        let of = |i| match i % 3 {
            0 => Noise::Known(0.02),
            _ => Noise::LEARNED,
        };
        let noise = (0..12).map(of).collect();
        let kernel = Kernel {
            kind: KernelKind::Matern52,
            length_scales: vec![0.4, 0.7],
            near: 0.0,
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
                    data.noise[i].variance(hyper.noise)
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
            noise: vec![Noise::Known(0.0); 1000],
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
    fn posterior_does_not_depend_on_the_order_of_observations() {
        let (hyper, data) = data();
        let order = [7, 2, 11, 0, 5, 9, 1, 3, 10, 4, 8, 6];
        let shuffled = Observations {
            points: order.iter().map(|i| data.points[*i].clone()).collect(),
            outcomes: order.iter().map(|i| data.outcomes[*i]).collect(),
            noise: order.iter().map(|i| data.noise[*i]).collect(),
        };
        let ours = Gp::condition(&hyper, &data).unwrap();
        let theirs = Gp::condition(&hyper, &shuffled).unwrap();
        for x in [[0.1, 0.2], [0.9, 0.9], [0.5, 0.5]] {
            let (a, b) = (ours.predict(&x), theirs.predict(&x));
            assert!((a.0 - b.0).abs() < 1e-10 && (a.1 - b.1).abs() < 1e-10);
        }
    }

    #[test]
    fn an_extension_given_its_mean_is_the_process_with_one_more_exact_value() {
        let (hyper, mut data) = data();
        let gp = Gp::condition(&hyper, &data).unwrap();
        let more = [vec![0.31, 0.77], vec![0.6, 0.05]];
        let joint = gp.joint(&more).unwrap();
        let base = DMatrix::from_row_slice(2, 1, &[0.8, -1.3]);
        let drawn = joint.draw(&base);
        for (point, value) in more.iter().zip(drawn.iter()) {
            data.points.push(point.clone());
            data.outcomes.push(*value);
            data.noise.push(Noise::Known(0.0));
        }
        let exact = Gp::condition(&hyper, &data).unwrap();
        let given = joint.given();
        for x in [[0.1, 0.2], [0.33, 0.7], [0.9, 0.9]] {
            let at = given.at(&x);
            let mean = at.mean + dot(&at.whitened[12..], base.as_slice());
            let (expected, variance) = exact.predict(&x);
            assert!((exact.mean(&x) - expected).abs() < 1e-12);
            assert!((mean - expected).abs() < 1e-5, "{mean} {expected}");
            assert!((at.deviation.powi(2) - variance).abs() < 1e-5);
        }
    }
}
