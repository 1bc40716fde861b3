//! Several points' values together: joint draws at a baseline, and at a candidate given them.

use nalgebra::DMatrix;

use super::Cross;
use crate::cholesky::{Cholesky, add_scaled, dot};
use crate::error::Result;
use crate::gp::Gp;
use crate::kernel::{covariance, squared_distance};

/// Least variance of a candidate given the baseline, in squared standard units.
const LEAST_VARIANCE: f64 = 1e-12;

/// The posterior of the noiseless function at several points together.
pub(super) struct JointPosterior {
    /// `[b, d]`, in units of the length scales.
    scaled: Vec<Vec<f64>>,
    /// `[b]`.
    mean: Vec<f64>,
    /// `L⁻¹ K(observed, points)`, `[n, b]`.
    whitened: DMatrix<f64>,
    factor: Cholesky,
}

impl JointPosterior {
    pub(super) fn new(gp: &Gp, points: &[Vec<f64>]) -> Result<Self> {
        let scaled: Vec<_> = points
            .iter()
            .map(|point| gp.kernel().scaled(point))
            .collect();
        let observed = gp.scaled_points();
        let (n, b) = (observed.len(), scaled.len());
        let cross = DMatrix::from_fn(n, b, |i, j| {
            covariance(squared_distance(&observed[i], &scaled[j])).0
        });
        let (prior, weights) = gp.mean_function();
        let column = |j: usize| &cross.as_slice()[j * n..(j + 1) * n];
        let mean = (0..b).map(|j| prior + dot(weights, column(j))).collect();
        let whitened = gp.whitening().transpose() * &cross;
        let mut posterior = DMatrix::from_fn(b, b, |i, j| {
            covariance(squared_distance(&scaled[i], &scaled[j])).0
        });
        posterior.gemm_tr(-1.0, &whitened, &whitened, 1.0);
        // Rounding of the difference is of the prior variance's size, not of the posterior's.
        for i in 0..b {
            posterior[(i, i)] = posterior[(i, i)].max(0.0) + 1e-10;
        }
        Ok(Self {
            scaled,
            mean,
            whitened,
            factor: Cholesky::factor(&posterior)?,
        })
    }

    /// Draws `[b, samples]` from standard normals of that shape.
    pub(super) fn draw(&self, base: &DMatrix<f64>) -> DMatrix<f64> {
        let b = self.mean.len();
        let mut values = DMatrix::zeros(b, base.ncols());
        for s in 0..base.ncols() {
            let z = &base.as_slice()[s * b..(s + 1) * b];
            for (row, (value, mean)) in self
                .factor
                .lower_times(z)
                .into_iter()
                .zip(&self.mean)
                .enumerate()
            {
                values[(row, s)] = mean + value;
            }
        }
        values
    }
}

/// One objective at a candidate, jointly with its draws at the baseline.
///
/// With `k` the candidate's covariances with observed and baseline points together, `g = J k` whitens them: the
/// first n rows belong to the observations, the other b to the baseline given the observations. Then the candidate given
/// observations and draw `s` has mean `prior + weights·k + g_b·z_s` and variance `1 - |g|²`.
pub(super) struct Conditional {
    gp: Gp,
    /// `[n + b, d]`, in units of the length scales: observed points, then baseline points.
    scaled: Vec<Vec<f64>>,
    /// `Jᵀ`, `[n + b, n + b]`: column r is row r of the lower triangular `J`.
    whitening: DMatrix<f64>,
    /// `[b, samples]`: the normals that drew the baseline.
    base: DMatrix<f64>,
    /// `[samples]`: the normals that draw the candidate.
    own: Vec<f64>,
}

/// One objective's draws at a candidate, and what their gradient needs.
pub(super) struct Draws {
    cross: Cross,
    /// `[n + b]`.
    whitened: Vec<f64>,
    deviation: f64,
    /// Whether the variance was at its least, where it has no slope.
    clamped: bool,
    /// `[samples]`.
    pub(super) values: Vec<f64>,
}

impl Conditional {
    /// Also returns the draws at the baseline, `[b, samples]`.
    pub(super) fn new(
        gp: &Gp,
        baseline: &[Vec<f64>],
        base: DMatrix<f64>,
        own: Vec<f64>,
    ) -> Result<(Self, DMatrix<f64>)> {
        let joint = JointPosterior::new(gp, baseline)?;
        let values = joint.draw(&base);
        let (n, b) = (gp.scaled_points().len(), baseline.len());
        // J = [ L⁻¹, 0; -L_b⁻¹ Qᵀ L⁻¹, L_b⁻¹ ] with Q = L⁻¹ K(observed, baseline).
        let baseline_inverse = joint.factor.inverse_lower_transposed();
        let mut whitening = DMatrix::zeros(n + b, n + b);
        whitening.view_mut((0, 0), (n, n)).copy_from(gp.whitening());
        whitening
            .view_mut((n, n), (b, b))
            .copy_from(&baseline_inverse);
        let coupling = -(gp.whitening() * &joint.whitened * &baseline_inverse);
        whitening.view_mut((0, n), (n, b)).copy_from(&coupling);
        let mut scaled = gp.scaled_points().to_vec();
        scaled.extend(joint.scaled);
        Ok((
            Self {
                gp: gp.clone(),
                scaled,
                whitening,
                base,
                own,
            },
            values,
        ))
    }

    pub(super) fn draw(&self, point: &[f64]) -> Draws {
        let cross = Cross::new(self.gp.kernel(), point, &self.scaled);
        let size = self.scaled.len();
        let n = self.gp.scaled_points().len();
        let b = size - n;
        let rows = self.whitening.as_slice();
        let whitened: Vec<f64> = (0..size)
            .map(|r| dot(&rows[r * size..=r * size + r], &cross.covariances[..=r]))
            .collect();
        let (prior, weights) = self.gp.mean_function();
        let mean = prior + dot(weights, &cross.covariances[..n]);
        let raw_variance = 1.0 - dot(&whitened, &whitened);
        let deviation = raw_variance.max(LEAST_VARIANCE).sqrt();
        let base = self.base.as_slice();
        let values = self
            .own
            .iter()
            .enumerate()
            .map(|(s, z)| mean + dot(&base[s * b..(s + 1) * b], &whitened[n..]) + deviation * z)
            .collect();
        let clamped = raw_variance <= LEAST_VARIANCE;
        Draws {
            cross,
            whitened,
            deviation,
            clamped,
            values,
        }
    }

    /// Adds `Σ_s slopes_s d value_s / dx` to the gradient `[d]`.
    pub(super) fn pull_back(&self, draws: &Draws, slopes: &[f64], gradient: &mut [f64]) {
        let size = self.scaled.len();
        let n = self.gp.scaled_points().len();
        let b = size - n;
        // 1. To mean, deviation and whitened covariances.
        let by_mean: f64 = slopes.iter().sum();
        let by_deviation = dot(slopes, &self.own);
        let by_variance = if draws.clamped {
            0.0
        } else {
            0.5 * by_deviation / draws.deviation
        };
        let mut by_whitened: Vec<f64> = draws
            .whitened
            .iter()
            .map(|g| -2.0 * by_variance * g)
            .collect();
        let base = self.base.as_slice();
        for (s, slope) in slopes.iter().enumerate() {
            add_scaled(&mut by_whitened[n..], *slope, &base[s * b..(s + 1) * b]);
        }
        // 2. To covariances.
        let (_, weights) = self.gp.mean_function();
        let mut by_covariances = vec![0.0; size];
        add_scaled(&mut by_covariances[..n], by_mean, weights);
        let rows = self.whitening.as_slice();
        for (r, slope) in by_whitened.iter().enumerate() {
            add_scaled(
                &mut by_covariances[..=r],
                *slope,
                &rows[r * size..=r * size + r],
            );
        }
        // 3. To the point.
        draws
            .cross
            .pull_back(self.gp.kernel(), &self.scaled, &by_covariances, gradient);
    }
}
