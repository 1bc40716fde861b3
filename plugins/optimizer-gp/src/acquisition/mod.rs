//! How much a point promises: functions of a posterior, with gradients.
//!
//! Improvement is analytic for one objective ([`LogEi`]) or a mean over draws: of several points at once or over drawn
//! incumbents ([`QLogEi`]), or of hypervolume ([`LogHvi`], with fixed incumbents EHVI, with drawn ones NEHVI). What a point
//! must fulfil besides is a probability ([`LogFeasibility`] of a constraint, [`LogSuccess`] of not failing), and all are
//! put together as the logarithm of their [`Product`].

mod draws;
mod feasibility;
mod log_ei;
mod log_hvi;
mod q_log_ei;
mod success;

pub use draws::{BaseSamples, Incumbents, Surrogate, leading};
pub use feasibility::LogFeasibility;
pub use log_ei::LogEi;
pub use log_hvi::{LogHvi, MOST_OBJECTIVES};
pub use q_log_ei::QLogEi;
pub use success::LogSuccess;

/// A function to be maximised over encoded points `[d]`; finite everywhere.
pub trait Acquisition: Sync {
    /// Value at a point.
    fn value(&self, point: &[f64]) -> f64;

    /// Value at a point; the gradient `[d]` is written.
    fn value_and_gradient(&self, point: &[f64], gradient: &mut [f64]) -> f64;
}

/// The product of functions that are given by their logarithms; of none, 1.
#[derive(Default)]
pub struct Product(pub Vec<Box<dyn Acquisition>>);

impl Acquisition for Product {
    fn value(&self, point: &[f64]) -> f64 {
        self.0.iter().map(|factor| factor.value(point)).sum()
    }

    fn value_and_gradient(&self, point: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        let mut own = vec![0.0; point.len()];
        let mut total = 0.0;
        for factor in &self.0 {
            total += factor.value_and_gradient(point, &mut own);
            gradient.iter_mut().zip(&own).for_each(|(sum, g)| *sum += g);
        }
        total
    }
}

#[cfg(test)]
mod testing {
    use super::Acquisition;
    use crate::gp::{Gp, Hyperparameters};
    use crate::kernel::{Kernel, KernelKind};
    use crate::observations::{Noise, Observations};

    /// A process of two coordinates over some outcomes.
    pub(super) fn process(points: &[Vec<f64>], outcomes: Vec<f64>, noise: f64) -> Gp {
        let data = Observations {
            noise: vec![Noise::LEARNED; points.len()],
            outcomes,
            points: points.to_vec(),
        };
        let kernel = Kernel {
            kind: KernelKind::Matern52,
            length_scales: vec![0.3, 0.6],
            near: 0.0,
        };
        let hyperparameters = Hyperparameters {
            kernel,
            noise,
            mean: 0.1,
        };
        Gp::condition(&hyperparameters, &data).unwrap()
    }

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
            let rounding = f64::EPSILON * value.abs() / step;
            assert!(
                (gradient[j] - numeric).abs() <= tolerance * scale + rounding,
                "coordinate {j}: {} against {numeric}",
                gradient[j]
            );
        }
    }
}
