//! Keeping away from where trials failed.

use super::{Acquisition, Cross};
use crate::kernel::Matern52;

/// Evidence for success that every point starts with, in trials.
const PRIOR: f64 = 0.02;

/// Power of the share: where values rise towards a cliff, points beyond it promise more than those before it.
const STRENGTH: f64 = 3.0;

/// Distance over which trials speak for each other, in units of the box per root of its dimension.
const BANDWIDTH: f64 = 0.1;

/// An acquisition function weighted, in log space, by a power of the share of success among the trials round about.
///
/// The share is `(s + p) / (s + f + p)` with `s` and `f` the finished and failed trials, each counted by its covariance with
/// the point. Far from every failure it is 1. Failures are not shown to the objectives' models: a cliff in otherwise smooth
/// values would spoil them.
pub struct Feasible {
    inner: Box<dyn Acquisition>,
    kernel: Matern52,
    /// In units of the bandwidths.
    finished: Vec<Vec<f64>>,
    failed: Vec<Vec<f64>>,
}

impl Feasible {
    /// Weighs `inner` by trials at these points; `dimensions` are those of
    /// [`SearchSpace::prior_dimensions`](crate::space::SearchSpace::prior_dimensions).
    #[must_use]
    pub fn new(
        inner: Box<dyn Acquisition>,
        dimensions: &[f64],
        finished: &[Vec<f64>],
        failed: &[Vec<f64>],
    ) -> Self {
        let length_scales = dimensions.iter().map(|d| BANDWIDTH * d.sqrt()).collect();
        let kernel = Matern52 { length_scales };
        let scaled =
            |points: &[Vec<f64>]| points.iter().map(|point| kernel.scaled(point)).collect();
        let (finished, failed) = (scaled(finished), scaled(failed));
        Self {
            inner,
            kernel,
            finished,
            failed,
        }
    }

    /// Logarithm of the share's power; its gradient is added.
    fn log_share(&self, point: &[f64], gradient: Option<&mut [f64]>) -> f64 {
        let successes = Cross::new(&self.kernel, point, &self.finished);
        let failures = Cross::new(&self.kernel, point, &self.failed);
        let good = successes.covariances.iter().sum::<f64>() + PRIOR;
        let all = failures.covariances.iter().sum::<f64>() + good;
        if let Some(gradient) = gradient {
            let by_success = vec![STRENGTH * (1.0 / good - 1.0 / all); self.finished.len()];
            successes.pull_back(&self.kernel, &self.finished, &by_success, gradient);
            let by_failure = vec![-STRENGTH / all; self.failed.len()];
            failures.pull_back(&self.kernel, &self.failed, &by_failure, gradient);
        }
        STRENGTH * (good / all).ln()
    }
}

impl Acquisition for Feasible {
    fn value(&self, point: &[f64]) -> f64 {
        self.inner.value(point) + self.log_share(point, None)
    }

    fn value_and_gradient(&self, point: &[f64], gradient: &mut [f64]) -> f64 {
        let value = self.inner.value_and_gradient(point, gradient);
        value + self.log_share(point, Some(gradient))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::check_gradient;
    use super::*;

    struct Flat;

    impl Acquisition for Flat {
        fn value(&self, _: &[f64]) -> f64 {
            0.0
        }

        fn value_and_gradient(&self, _: &[f64], gradient: &mut [f64]) -> f64 {
            gradient.fill(0.0);
            0.0
        }
    }

    fn weighted() -> Feasible {
        let finished = [vec![0.1, 0.2], vec![0.4, 0.5]];
        Feasible::new(Box::new(Flat), &[2.0, 2.0], &finished, &[vec![0.9, 0.9]])
    }

    #[test]
    fn failures_lower_the_value_and_successes_do_not() {
        let weighted = weighted();
        assert!(weighted.value(&[0.9, 0.9]) < -5.0);
        assert!(weighted.value(&[0.1, 0.2]) > -0.05);
    }

    #[test]
    fn gradient_matches_finite_differences() {
        for point in [[0.7, 0.8], [0.3, 0.3], [0.95, 0.85]] {
            check_gradient(&weighted(), &point, 1e-6);
        }
    }
}
