//! LogEI: the logarithm of expected improvement, for one objective.

use super::Acquisition;
use crate::gp::Gp;
use crate::log_space::log_expected_improvement;

/// `ln E[max(f(x) - best, 0)]` (Ament et al. 2023, equation 9), in standard units.
pub struct LogEi {
    gp: Gp,
    best: f64,
}

impl LogEi {
    /// Improvement over a value in standard units.
    #[must_use]
    pub fn new(gp: Gp, best: f64) -> Self {
        Self { gp, best }
    }

    fn evaluate(&self, point: &[f64], gradient: Option<&mut [f64]>) -> f64 {
        let at = self.gp.at(point);
        let z = (at.mean - self.best) / at.deviation;
        let (log_improvement, slope) = log_expected_improvement(z);
        if let Some(gradient) = gradient {
            gradient.fill(0.0);
            // d value = slope dz + d deviation / deviation, dz = (d mean - z d deviation) / deviation.
            let by_mean = slope / at.deviation;
            let by_deviation = (1.0 - slope * z) / at.deviation;
            self.gp.pull_back(&at, by_mean, by_deviation, &[], gradient);
        }
        log_improvement + at.deviation.ln()
    }
}

impl Acquisition for LogEi {
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
    use crate::log_space::{normal_cdf, normal_pdf};

    fn model(noise: f64, height: f64) -> LogEi {
        let points: Vec<Vec<f64>> = (0..10)
            .map(|i| vec![f64::from(i) / 9.0, f64::from(i * 3 % 10) / 9.0])
            .collect();
        let outcomes = points
            .iter()
            .map(|p| height * (5.0 * p[0]).sin() * p[1])
            .collect();
        let gp = process(&points, outcomes, noise);
        let best = points
            .iter()
            .map(|point| gp.predict(point).0)
            .fold(f64::NEG_INFINITY, f64::max);
        LogEi::new(gp, best)
    }

    #[test]
    fn value_is_the_logarithm_of_the_textbook_formula() {
        let acquisition = model(0.01, 1.0);
        for point in [[0.2, 0.8], [0.35, 0.9], [0.9, 0.1]] {
            let (mean, variance) = acquisition.gp.predict(&point);
            let (sd, gap) = (variance.sqrt(), mean - acquisition.best);
            let expected = gap * normal_cdf(gap / sd) + sd * normal_pdf(gap / sd);
            assert!((acquisition.value(&point) - expected.ln()).abs() < 1e-9);
        }
    }

    #[test]
    fn gradient_matches_finite_differences_near_and_far_below_the_best() {
        for height in [1.0, 30.0, 1000.0] {
            for point in [[0.2, 0.8], [0.5, 0.45], [0.95, 0.2], [3.0, 3.0]] {
                check_gradient(&model(0.01, height), &point, 1e-5);
            }
        }
    }

    #[test]
    fn at_a_noiseless_observation_the_value_is_finite() {
        assert!(model(0.0, 1.0).value(&[0.0, 0.0]).is_finite());
    }
}
