//! The probability that a measured value keeps within its bounds.

use super::Acquisition;
use crate::gp::Gp;
use crate::log_space::{log_normal_cdf, log_normal_interval};

/// Least distance of two bounds, in standard units: a value never meets a number exactly.
const LEAST_WIDTH: f64 = 1e-6;

/// `ln P(low <= f(x) <= high)`, exact into the far tail.
pub struct LogFeasibility {
    gp: Gp,
    low: f64,
    high: f64,
}

impl LogFeasibility {
    /// Of bounds in the standard units of `gp`; infinite where there is none.
    #[must_use]
    pub fn new(gp: Gp, low: f64, high: f64) -> Self {
        let middle = 0.5 * (low + high);
        let narrow = high - low < LEAST_WIDTH;
        Self {
            gp,
            low: if narrow {
                middle - 0.5 * LEAST_WIDTH
            } else {
                low
            },
            high: if narrow {
                middle + 0.5 * LEAST_WIDTH
            } else {
                high
            },
        }
    }

    fn evaluate(&self, point: &[f64], gradient: Option<&mut [f64]>) -> f64 {
        let at = self.gp.at(point);
        let z = |bound: f64| (bound - at.mean) / at.deviation;
        // The value, and its slopes in the z of either bound.
        let (value, by_low, by_high) = match (self.low.is_finite(), self.high.is_finite()) {
            (true, true) => log_normal_interval(z(self.low), (self.high - self.low) / at.deviation),
            (true, false) => {
                let (value, slope) = log_normal_cdf(-z(self.low));
                (value, -slope, 0.0)
            }
            (false, true) => {
                let (value, slope) = log_normal_cdf(z(self.high));
                (value, 0.0, slope)
            }
            (false, false) => (0.0, 0.0, 0.0),
        };
        if let Some(gradient) = gradient {
            gradient.fill(0.0);
            let by_mean = -(by_low + by_high) / at.deviation;
            let moment = |slope: f64, bound: f64| if slope == 0.0 { 0.0 } else { slope * z(bound) };
            let by_deviation =
                -(moment(by_low, self.low) + moment(by_high, self.high)) / at.deviation;
            self.gp.pull_back(&at, by_mean, by_deviation, &[], gradient);
        }
        value
    }
}

impl Acquisition for LogFeasibility {
    fn value(&self, point: &[f64]) -> f64 {
        self.evaluate(point, None)
    }

    fn value_and_gradient(&self, point: &[f64], gradient: &mut [f64]) -> f64 {
        self.evaluate(point, Some(gradient))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_gradient, process};
    use super::*;
    use crate::log_space::normal_cdf;

    fn model(low: f64, high: f64) -> LogFeasibility {
        let points: Vec<Vec<f64>> = (0..8)
            .map(|i| vec![f64::from(i) / 7.0, f64::from(i * 3 % 8) / 7.0])
            .collect();
        let outcomes = points.iter().map(|p| (4.0 * p[0]).sin() + p[1]).collect();
        LogFeasibility::new(process(&points, outcomes, 0.01), low, high)
    }

    #[test]
    fn value_is_the_logarithm_of_the_normal_probability() {
        let point = [0.35, 0.6];
        let (mean, variance) = model(0.0, 1.0).gp.predict(&point);
        let below = |bound: f64| normal_cdf((bound - mean) / variance.sqrt());
        for (low, high, expected) in [
            (0.5, f64::INFINITY, 1.0 - below(0.5)),
            (f64::NEG_INFINITY, 0.7, below(0.7)),
            (0.8, 1.1, below(1.1) - below(0.8)),
            (f64::NEG_INFINITY, f64::INFINITY, 1.0),
        ] {
            let found = model(low, high).value(&point);
            assert!((found - expected.ln()).abs() < 1e-10, "{found} {expected}");
        }
    }

    #[test]
    fn gradients_match_finite_differences_near_and_far() {
        for (low, high) in [
            (0.5, f64::INFINITY),
            (30.0, f64::INFINITY),
            (f64::NEG_INFINITY, -30.0),
            (0.8, 1.1),
            (-20.0, -19.5),
            (0.3, 0.3),
        ] {
            for point in [[0.35, 0.6], [0.9, 0.9], [2.0, 2.0]] {
                check_gradient(&model(low, high), &point, 1e-5);
            }
        }
    }

    #[test]
    fn hopeless_bounds_have_a_finite_value_with_a_slope() {
        for (low, high) in [(1e6, f64::INFINITY), (f64::NEG_INFINITY, -1e6), (1e6, 1e6)] {
            let mut gradient = [0.0; 2];
            let value = model(low, high).value_and_gradient(&[0.4, 0.4], &mut gradient);
            assert!(value.is_finite() && gradient.iter().all(|g| g.is_finite() && *g != 0.0));
        }
    }
}
