//! How much a point promises: functions of a posterior, with gradients.

mod feasible;
mod joint;
mod log_ei;
mod log_nehvi;

pub use feasible::Feasible;
pub use log_ei::LogEi;
pub use log_nehvi::{Baseline, MOST_OBJECTIVES, Surrogate, log_nehvi};

use crate::kernel::{Matern52, covariance, squared_distance};

/// A function to be maximised over encoded points `[d]`; finite everywhere.
pub trait Acquisition: Sync {
    /// Value at a point.
    fn value(&self, point: &[f64]) -> f64;

    /// Value at a point; the gradient `[d]` is written.
    fn value_and_gradient(&self, point: &[f64], gradient: &mut [f64]) -> f64;
}

/// Covariances of one point with many, and what their gradient needs.
struct Cross {
    /// `[d]`: the point in units of the length scales.
    scaled: Vec<f64>,
    /// `[n]`: `k(x, z_i)`.
    covariances: Vec<f64>,
    /// `[n]`: `(dk/dr) / r`.
    slopes: Vec<f64>,
}

impl Cross {
    fn new(kernel: &Matern52, point: &[f64], others: &[Vec<f64>]) -> Self {
        let scaled = kernel.scaled(point);
        let (covariances, slopes) = others
            .iter()
            .map(|z| covariance(squared_distance(&scaled, z)))
            .unzip();
        Self {
            scaled,
            covariances,
            slopes,
        }
    }

    /// Adds `Σ_i weights_i dk(x, z_i)/dx` to the gradient `[d]`.
    fn pull_back(
        &self,
        kernel: &Matern52,
        others: &[Vec<f64>],
        weights: &[f64],
        gradient: &mut [f64],
    ) {
        let mut scaled_gradient = vec![0.0; gradient.len()];
        for ((z, weight), slope) in others.iter().zip(weights).zip(&self.slopes) {
            let factor = weight * slope;
            for ((entry, x), z) in scaled_gradient.iter_mut().zip(&self.scaled).zip(z) {
                *entry += factor * (x - z);
            }
        }
        for ((entry, scaled), length) in gradient
            .iter_mut()
            .zip(scaled_gradient)
            .zip(&kernel.length_scales)
        {
            *entry += scaled / length;
        }
    }
}

#[cfg(test)]
mod testing {
    use super::Acquisition;

    /// Compares a gradient with central differences.
    pub(super) fn check_gradient(acquisition: &dyn Acquisition, point: &[f64], tolerance: f64) {
        let mut gradient = vec![0.0; point.len()];
        let value = acquisition.value_and_gradient(point, &mut gradient);
        assert!((value - acquisition.value(point)).abs() <= 1e-12 * value.abs().max(1.0));
        for j in 0..point.len() {
            let step = 1e-6;
            let (mut above, mut below) = (point.to_vec(), point.to_vec());
            above[j] += step;
            below[j] -= step;
            let numeric = (acquisition.value(&above) - acquisition.value(&below)) / (2.0 * step);
            let scale = numeric.abs().max(1.0);
            assert!(
                (gradient[j] - numeric).abs() <= tolerance * scale,
                "coordinate {j}: {} against {numeric}",
                gradient[j]
            );
        }
    }
}
