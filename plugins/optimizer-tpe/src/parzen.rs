//! A density over the whole space: a mixture of kernels.

use bomf_plugin_api::{Coordinate, Parameter, Point, Result};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use search::point;

use crate::kernel::{Estimated, Kernel, without_small};

/// Bandwidth of a single trial's kernel, as a share of the range (the constant of hyperopt's and optuna's multivariate
/// estimators); more trials make it narrower by Scott's rule.
const BANDWIDTH: f64 = 0.2;
/// No kernel is narrower than the range over so many.
const FINEST: f64 = 100.0;

/// A mixture of one kernel per trial and a uniform one.
pub(crate) struct Parzen<'a> {
    space: &'a [Parameter],
    /// Weights, `[trials + 1]`, the uniform one last; they sum to one.
    weights: Vec<f64>,
    /// `[trials][parameters]`.
    kernels: Vec<Vec<Kernel>>,
}

impl<'a> Parzen<'a> {
    /// The density of some points with their weights, each in (0, 1]; the uniform part weighs 1.
    pub(crate) fn new(
        space: &'a [Parameter],
        estimated: &[Estimated],
        points: &[(&Point, f64)],
    ) -> Self {
        let dimensions: usize = estimated.iter().map(Estimated::dimensions).sum();
        let count = points.len().max(1) as f64;
        // Scott's rule.
        let scott = BANDWIDTH * count.powf(-1.0 / (dimensions as f64 + 4.0));
        let bandwidth = scott.max(1.0 / FINEST.min(count + 2.0));
        let total = 1.0 + points.iter().map(|(_, weight)| weight).sum::<f64>();
        let kernels = points.iter().map(|(point, _)| {
            let parameters = estimated.iter().zip(point.iter());
            // A choice is blurred as if each had been seen in 1 of all kernels.
            let kernel = |(estimated, value): (&Estimated, &Coordinate)| {
                let choices = match estimated {
                    Estimated::Choice(count) => *count as f64,
                    _ => 0.0,
                };
                estimated.kernel(value, bandwidth, choices / (choices + count + 1.0))
            };
            parameters.map(kernel).collect()
        });
        let weights = points.iter().map(|(_, weight)| weight / total);
        Self {
            space,
            kernels: kernels.collect(),
            weights: weights.chain([1.0 / total]).collect(),
        }
    }

    /// Logarithm of the density at a point, relative to the uniform one.
    pub(crate) fn log_density(&self, point: &Point) -> f64 {
        let product = |kernels: &Vec<Kernel>| -> f64 {
            let parameters = kernels.iter().zip(point);
            parameters.map(|(kernel, x)| kernel.log_density(x)).sum()
        };
        // The uniform part is 1 everywhere.
        let logs = self.kernels.iter().map(product).chain([0.0]);
        let terms: Vec<f64> = logs
            .zip(&self.weights)
            .map(|(log, weight)| log + weight.ln())
            .collect();
        let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        largest + terms.iter().map(|t| (t - largest).exp()).sum::<f64>().ln()
    }

    /// A draw from the density.
    pub(crate) fn draw(&self, generator: &mut ChaCha8Rng) -> Result<Point> {
        let mut left: f64 = generator.random();
        for (kernels, weight) in self.kernels.iter().zip(&self.weights) {
            left -= weight;
            if left < 0.0 {
                return Ok(kernels
                    .iter()
                    .map(|kernel| kernel.draw(generator))
                    .collect());
            }
        }
        let mut drawn = point::draw(self.space, || generator.random())?;
        for coordinate in &mut drawn {
            if let Coordinate::Simplex(shares) = coordinate
                && generator.random()
            {
                *shares = without_small(std::mem::take(shares), generator);
            }
        }
        Ok(drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bomf_plugin_api::{Domain, Scale};
    use search::random::generator;

    fn space() -> Vec<Parameter> {
        let parameter = |domain| Parameter {
            name: "p".into(),
            domain,
        };
        let (low, high, scale) = (0.0, 1.0, Scale::Linear);
        vec![
            parameter(Domain::Float { low, high, scale }),
            parameter(Domain::Choice { count: 3 }),
        ]
    }

    fn at(x: f64, choice: usize) -> Point {
        vec![Coordinate::Float(x), Coordinate::Choice(choice)]
    }

    #[test]
    fn what_goes_together_stays_together() {
        let space = space();
        let estimated: Vec<Estimated> = space.iter().map(|p| Estimated::of(p).unwrap()).collect();
        let (low, high) = (at(0.1, 0), at(0.9, 2));
        let mut points = vec![(&low, 1.0); 10];
        points.extend(vec![(&high, 1.0); 10]);
        let density = Parzen::new(&space, &estimated, &points);
        assert!(density.log_density(&low) > density.log_density(&at(0.1, 2)) + 1.0);
        assert!(density.log_density(&high) > density.log_density(&at(0.9, 0)) + 1.0);
    }

    #[test]
    fn a_density_integrates_to_one_and_is_uniform_without_trials() {
        let space = space();
        let estimated: Vec<Estimated> = space.iter().map(|p| Estimated::of(p).unwrap()).collect();
        let (a, b) = (at(0.2, 1), at(0.7, 0));
        let density = Parzen::new(&space, &estimated, &[(&a, 1.0), (&b, 0.2)]);
        let mut sum = 0.0;
        for i in 0..3000 {
            for choice in 0..3 {
                let x = (f64::from(i) + 0.5) / 3000.0;
                sum += density.log_density(&at(x, choice)).exp() / 9000.0;
            }
        }
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        let empty = Parzen::new(&space, &estimated, &[]);
        assert_eq!(empty.log_density(&a), 0.0);
        let mut random = generator(1, 0);
        let drawn = empty.draw(&mut random).unwrap();
        bomf_plugin_api::check_point(&space, &drawn).unwrap();
    }
}
