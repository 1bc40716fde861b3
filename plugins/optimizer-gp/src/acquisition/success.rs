//! Keeping away from where trials failed.

use super::Acquisition;
use crate::kernel::{Cross, Kernel, KernelKind, squared_distance};

/// Evidence for success that every point starts with, in trials.
const PRIOR: f64 = 0.02;

/// Power of the share: where values rise towards a cliff, points beyond it promise more than those before it.
const STRENGTH: f64 = 3.0;

/// Distance over which trials speak for each other, in units of the box per root of its dimension.
const BANDWIDTH: f64 = 0.1;

/// Squared distance, in bandwidths, within which trials count as being at the point.
const AT_THE_POINT: f64 = 1e-4;

/// The logarithm of a power of the share of success among the trials round about.
///
/// The share is `(s + p) / (s + f + p)` with `s` and `f` the finished and failed trials, each counted by its covariance with
/// the point over its squared distance (Shepard 1968): between a success and a failure the nearer one decides, however near
/// they are to each other, so that an edge is closed in on from both sides. Far from every failure the share is 1. Failures are not shown to the objectives' models: a cliff in otherwise smooth
/// values would spoil them.
pub struct LogSuccess {
    kernel: Kernel,
    /// In units of the bandwidths.
    finished: Vec<Vec<f64>>,
    failed: Vec<Vec<f64>>,
}

impl LogSuccess {
    /// Of trials at these points; `dimensions` are those of
    /// [`SearchSpace::prior_dimensions`](crate::space::SearchSpace::prior_dimensions).
    #[must_use]
    pub fn new(dimensions: &[f64], finished: &[Vec<f64>], failed: &[Vec<f64>]) -> Self {
        let kernel = Kernel {
            kind: KernelKind::Matern52,
            length_scales: dimensions.iter().map(|d| BANDWIDTH * d.sqrt()).collect(),
            near: 0.0,
        };
        let scaled =
            |points: &[Vec<f64>]| points.iter().map(|point| kernel.scaled(point)).collect();
        let (finished, failed) = (scaled(finished), scaled(failed));
        Self {
            kernel,
            finished,
            failed,
        }
    }

    /// How much each of some trials counts at a point, in place of covariances.
    fn counts(&self, point: &[f64], trials: &[Vec<f64>]) -> Cross {
        let mut cross = self.kernel.cross(self.kernel.scaled(point), trials);
        for (i, trial) in trials.iter().enumerate() {
            let nearness = 1.0 / (squared_distance(&cross.scaled, trial) + AT_THE_POINT);
            // d(k nearness)/dr / r, with d nearness/dr = -2 r nearness².
            cross.slopes[i] = (cross.slopes[i] - 2.0 * cross.covariances[i] * nearness) * nearness;
            cross.covariances[i] *= nearness;
        }
        cross
    }

    fn evaluate(&self, point: &[f64], gradient: Option<&mut [f64]>) -> f64 {
        let successes = self.counts(point, &self.finished);
        let failures = self.counts(point, &self.failed);
        let good = successes.covariances.iter().sum::<f64>() + PRIOR;
        let all = failures.covariances.iter().sum::<f64>() + good;
        if let Some(gradient) = gradient {
            gradient.fill(0.0);
            let by_success = vec![STRENGTH * (1.0 / good - 1.0 / all); self.finished.len()];
            self.kernel
                .pull_back(&successes, &self.finished, &by_success, gradient);
            let by_failure = vec![-STRENGTH / all; self.failed.len()];
            self.kernel
                .pull_back(&failures, &self.failed, &by_failure, gradient);
        }
        STRENGTH * (good / all).ln()
    }
}

impl Acquisition for LogSuccess {
    fn value(&self, point: &[f64]) -> f64 {
        self.evaluate(point, None)
    }

    fn value_and_gradient(&self, point: &[f64], gradient: &mut [f64]) -> f64 {
        self.evaluate(point, Some(gradient))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::check_gradient;
    use super::*;

    fn near_a_failure() -> LogSuccess {
        let finished = [vec![0.1, 0.2], vec![0.4, 0.5]];
        LogSuccess::new(&[2.0, 2.0], &finished, &[vec![0.9, 0.9]])
    }

    #[test]
    fn failures_lower_the_value_and_successes_do_not() {
        let success = near_a_failure();
        assert!(success.value(&[0.9, 0.9]) < -5.0);
        assert!(success.value(&[0.1, 0.2]) > -0.05);
    }

    #[test]
    fn gradient_matches_finite_differences() {
        for point in [[0.7, 0.8], [0.3, 0.3], [0.95, 0.85]] {
            check_gradient(&near_a_failure(), &point, 1e-6);
        }
    }
}
