//! LogEI: the logarithm of expected improvement, for one objective.

use super::{Acquisition, Cross};
use crate::cholesky::{add_scaled, dot};
use crate::gp::{Gp, lower_times};
use crate::log_space::log_expected_improvement;

/// Least posterior variance, in squared standard units: at a noiseless observation the improvement would be 0 exactly.
const LEAST_VARIANCE: f64 = 1e-12;

/// `ln E[max(f(x) - best, 0)]` (Ament et al. 2023, equation 9), in standard units.
pub struct LogEi {
    gp: Gp,
    best: f64,
}

impl LogEi {
    /// Improvement over the best posterior mean among `points`: outcomes may be noisy, the posterior mean is not.
    #[must_use]
    pub fn over_best_mean(gp: Gp, points: &[Vec<f64>]) -> Self {
        let best = points
            .iter()
            .map(|point| gp.predict(point).0)
            .fold(f64::NEG_INFINITY, f64::max);
        // Without any point there is nothing to improve on but the prior.
        let best = if best.is_finite() {
            best
        } else {
            gp.mean_function().0
        };
        Self { gp, best }
    }

    fn evaluate(&self, point: &[f64], gradient: Option<&mut [f64]>) -> f64 {
        let (prior, weights) = self.gp.mean_function();
        let others = self.gp.scaled_points();
        let cross = Cross::new(self.gp.kernel(), point, others);
        let whitened = lower_times(self.gp.whitening(), &cross.covariances);
        let mean = prior + dot(weights, &cross.covariances);
        let raw_variance = 1.0 - dot(&whitened, &whitened);
        let deviation = raw_variance.max(LEAST_VARIANCE).sqrt();
        let z = (mean - self.best) / deviation;
        let (log_improvement, slope) = log_expected_improvement(z);
        if let Some(gradient) = gradient {
            gradient.fill(0.0);
            // d value = slope dz + d deviation / deviation, dz = (d mean - z d deviation) / deviation.
            let by_mean = slope / deviation;
            let by_deviation = (1.0 - slope * z) / deviation;
            let mut by_covariances: Vec<f64> = weights.iter().map(|w| by_mean * w).collect();
            if raw_variance > LEAST_VARIANCE {
                // d variance = -2 (L⁻ᵀ L⁻¹ k) dk.
                let factor = -by_deviation / deviation;
                let n = whitened.len();
                let rows = self.gp.whitening().as_slice();
                for (i, entry) in whitened.iter().enumerate() {
                    let row = &rows[i * n..=i * n + i];
                    add_scaled(&mut by_covariances[..=i], factor * entry, row);
                }
            }
            cross.pull_back(self.gp.kernel(), others, &by_covariances, gradient);
        }
        log_improvement + deviation.ln()
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
    use super::super::testing::check_gradient;
    use super::*;
    use crate::gp::{Hyperparameters, Observations};
    use crate::kernel::Matern52;
    use crate::log_space::{normal_cdf, normal_pdf};

    fn model(noise: f64, height: f64) -> LogEi {
        let points: Vec<Vec<f64>> = (0..10)
            .map(|i| vec![f64::from(i) / 9.0, f64::from(i * 3 % 10) / 9.0])
            .collect();
        let outcomes = points
            .iter()
            .map(|p| height * (5.0 * p[0]).sin() * p[1])
            .collect();
        let data = Observations {
            noise: vec![None; points.len()],
            outcomes,
            points: points.clone(),
        };
        let kernel = Matern52 {
            length_scales: vec![0.3, 0.6],
        };
        let gp = Gp::condition(
            &Hyperparameters {
                kernel,
                noise,
                mean: 0.1,
            },
            &data,
        )
        .unwrap();
        LogEi::over_best_mean(gp, &points)
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
                check_gradient(&model(0.01, height), &point, 1e-4);
            }
        }
    }

    #[test]
    fn at_a_noiseless_observation_the_value_is_finite() {
        assert!(model(0.0, 1.0).value(&[0.0, 0.0]).is_finite());
    }
}
