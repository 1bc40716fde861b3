//! Stationary covariances of unit variance with one length scale per dimension.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `sqrt(5)`.
const ROOT_5: f64 = 2.236_067_977_499_79;

/// How covariance falls with distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KernelKind {
    /// Matérn 5/2, `(1 + √5 r + 5/3 r²) exp(-√5 r)`: functions with two derivatives.
    #[default]
    Matern52,
    /// Squared exponential, `exp(-r²/2)`: functions with all derivatives.
    Rbf,
    /// A squared exponential, and a share of Matérn 5/2 over a tenth of the distance, which is fitted: a smooth trend that
    /// carries far, and what varies about it from place to place.
    TwoScales,
}

/// How much larger distances are to the near part of [`KernelKind::TwoScales`], squared.
const NEARER: f64 = 100.0;

/// Matérn 5/2 at a squared distance, and `(dk/dr) / r`.
#[inline]
fn matern52(squared_distance: f64) -> (f64, f64) {
    let s = ROOT_5 * squared_distance.sqrt();
    let decay = (-s).exp();
    (
        (1.0 + s + s * s / 3.0) * decay,
        -5.0 / 3.0 * (1.0 + s) * decay,
    )
}

/// The squared exponential at a squared distance, and `(dk/dr) / r`.
#[inline]
fn rbf(squared_distance: f64) -> (f64, f64) {
    let decay = (-0.5 * squared_distance).exp();
    (decay, -decay)
}

/// A covariance function: `k(x, z)` of the distance `r² = Σ ((x_j - z_j) / length_scale_j)²`.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// How it falls.
    pub kind: KernelKind,
    /// One per dimension, positive.
    pub length_scales: Vec<f64>,
    /// Share of the variance that is of the near part, in `[0, 1]`; it counts in [`KernelKind::TwoScales`] alone.
    pub near: f64,
}

impl Kernel {
    /// Covariance at a squared scaled distance, and `(dk/dr) / r`, which is finite at 0.
    ///
    /// With `s` the second value, `dk/dx_j = s (x_j - z_j) / length_scale_j²` and
    /// `dk/d ln length_scale_j = -s (x_j - z_j)² / length_scale_j²`.
    #[inline]
    #[must_use]
    pub fn covariance(&self, squared_distance: f64) -> (f64, f64) {
        match self.kind {
            KernelKind::Matern52 => matern52(squared_distance),
            KernelKind::Rbf => rbf(squared_distance),
            KernelKind::TwoScales => {
                let (near, near_slope) = matern52(NEARER * squared_distance);
                let (far, far_slope) = rbf(squared_distance);
                (
                    far + self.near * (near - far),
                    far_slope + self.near * (NEARER * near_slope - far_slope),
                )
            }
        }
    }

    /// How covariance at a squared scaled distance changes with [`Self::near`].
    #[inline]
    #[must_use]
    pub fn by_near(&self, squared_distance: f64) -> f64 {
        match self.kind {
            KernelKind::TwoScales => {
                matern52(NEARER * squared_distance).0 - rbf(squared_distance).0
            }
            _ => 0.0,
        }
    }

    /// A point in units of the length scales, in which [`Self::covariance`] measures distances.
    #[must_use]
    pub fn scaled(&self, point: &[f64]) -> Vec<f64> {
        point
            .iter()
            .zip(&self.length_scales)
            .map(|(x, length)| x / length)
            .collect()
    }

    /// The covariances of one point with many, both in units of the length scales.
    #[must_use]
    pub fn cross(&self, scaled: Vec<f64>, others: &[Vec<f64>]) -> Cross {
        let (covariances, slopes) = others
            .iter()
            .map(|z| self.covariance(squared_distance(&scaled, z)))
            .unzip();
        Cross {
            scaled,
            covariances,
            slopes,
        }
    }

    /// Adds `Σ_i weights_i dk(x, z_i)/dx` to the gradient `[d]`.
    pub fn pull_back(
        &self,
        cross: &Cross,
        others: &[Vec<f64>],
        weights: &[f64],
        gradient: &mut [f64],
    ) {
        let mut scaled_gradient = vec![0.0; gradient.len()];
        for ((z, weight), slope) in others.iter().zip(weights).zip(&cross.slopes) {
            let factor = weight * slope;
            for ((entry, x), z) in scaled_gradient.iter_mut().zip(&cross.scaled).zip(z) {
                *entry += factor * (x - z);
            }
        }
        for ((entry, scaled), length) in gradient
            .iter_mut()
            .zip(scaled_gradient)
            .zip(&self.length_scales)
        {
            *entry += scaled / length;
        }
    }
}

/// Covariances of one point with many, and what their gradient needs.
#[derive(Debug, Clone)]
pub struct Cross {
    /// `[d]`: the point in units of the length scales.
    pub scaled: Vec<f64>,
    /// `[n]`: `k(x, z_i)`.
    pub covariances: Vec<f64>,
    /// `[n]`: `(dk/dr) / r`.
    pub slopes: Vec<f64>,
}

/// Squared distance of two scaled points of one length.
#[inline]
#[must_use]
pub fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    let (blocks_a, rest_a) = a.as_chunks::<4>();
    let (blocks_b, rest_b) = b.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (x, y) in blocks_a.iter().zip(blocks_b) {
        for lane in 0..4 {
            sums[lane] += (x[lane] - y[lane]) * (x[lane] - y[lane]);
        }
    }
    let rest: f64 = rest_a
        .iter()
        .zip(rest_b)
        .map(|(x, y)| (x - y) * (x - y))
        .sum();
    (sums[0] + sums[2]) + (sums[1] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [KernelKind; 3] = [KernelKind::Matern52, KernelKind::Rbf, KernelKind::TwoScales];

    fn kernel(kind: KernelKind) -> Kernel {
        Kernel {
            kind,
            length_scales: vec![0.3, 2.0],
            near: 0.2,
        }
    }

    #[test]
    fn covariance_is_one_at_the_point_itself_and_falls() {
        for kernel in KINDS.map(kernel) {
            assert_eq!(kernel.covariance(0.0).0, 1.0);
            let mut last = 1.0;
            for step in 1..200 {
                let (value, slope) = kernel.covariance((f64::from(step) * 0.1).powi(2));
                assert!(value < last && value > 0.0 && slope < 0.0);
                last = value;
            }
            assert_eq!(kernel.covariance(1e12).0, 0.0);
        }
    }

    #[test]
    fn a_near_part_leaves_far_covariances_and_their_slope_in_the_share_is_right() {
        let mut two = kernel(KernelKind::TwoScales);
        assert!((two.covariance(1.0).0 - 0.8 * rbf(1.0).0).abs() < 1e-6);
        for square in [0.0, 1e-4, 0.03, 1.0] {
            let (before, slope) = (two.covariance(square).0, two.by_near(square));
            two.near += 0.1;
            let moved = two.covariance(square).0 - before;
            two.near -= 0.1;
            assert!((moved - 0.1 * slope).abs() < 1e-12, "{square}");
        }
    }

    #[test]
    fn gradient_of_a_weighted_sum_matches_finite_differences() {
        for kind in KINDS {
            let kernel = kernel(kind);
            let others: Vec<_> = [[0.5, 0.1], [0.2, 0.8], [0.21, 0.9]]
                .iter()
                .map(|z| kernel.scaled(z))
                .collect();
            let weights = [0.7, -2.0, 1.5];
            let at = |x: &[f64]| {
                let cross = kernel.cross(kernel.scaled(x), &others);
                let terms = cross.covariances.iter().zip(&weights);
                (terms.map(|(k, w)| k * w).sum::<f64>(), cross)
            };
            let x = [0.2, 0.9];
            let mut gradient = vec![0.0; 2];
            kernel.pull_back(&at(&x).1, &others, &weights, &mut gradient);
            for j in 0..2 {
                let step = 1e-6;
                let (mut above, mut below) = (x, x);
                above[j] += step;
                below[j] -= step;
                let numeric = (at(&above).0 - at(&below).0) / (2.0 * step);
                assert!((numeric - gradient[j]).abs() < 1e-8);
            }
        }
    }
}
