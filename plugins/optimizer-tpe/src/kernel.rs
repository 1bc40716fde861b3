//! Kernels of single parameters: densities round a value, relative to the uniform one.

use bomf_plugin_api::{Coordinate, Domain, Parameter, Result};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use search::axis::Axis;
use search::point::{normalised, unknown};
use search::random::dirichlet;

/// Standard deviation of a uniform distribution on `[0, 1]`: `1 / sqrt(12)`.
const UNIFORM_DEVIATION: f64 = 0.288_675_134_594_812_9;
/// Cells of integers that are narrower count as points.
const NARROWEST_CELL: f64 = 1e-9;
/// Shares are raised by so much of the average share in densities, so that those of faces are limits of those inside.
const HAIR: f64 = 1e-3;

/// How one parameter is estimated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Estimated {
    Number(Axis),
    Choice(usize),
    Simplex(usize),
}

impl Estimated {
    pub(crate) fn of(parameter: &Parameter) -> Result<Self> {
        if let Some(axis) = Axis::of(&parameter.domain) {
            return Ok(Self::Number(axis));
        }
        match parameter.domain {
            Domain::Choice { count } => Ok(Self::Choice(count)),
            Domain::Simplex { dimension } => Ok(Self::Simplex(dimension)),
            ref other => Err(unknown(other)),
        }
    }

    /// How many numbers can be chosen freely.
    pub(crate) fn dimensions(&self) -> usize {
        match self {
            Self::Number(axis) => usize::from(!axis.is_fixed()),
            Self::Choice(count) => usize::from(*count > 1),
            Self::Simplex(dimension) => dimension - 1,
        }
    }

    /// The kernel at a value. `bandwidth` is a standard deviation on `[0, 1]`, `prior` the share of a choice's kernel
    /// that all choices have alike.
    pub(crate) fn kernel(&self, centre: &Coordinate, bandwidth: f64, prior: f64) -> Kernel {
        match (self, centre) {
            (Self::Number(axis), _) => {
                let (from, to) = axis.cell(centre);
                let mean = 0.5 * (from + to);
                let deviation = bandwidth.max(to - from);
                Kernel::Normal {
                    axis: *axis,
                    mean,
                    deviation,
                    mass: mass(-mean / deviation, (1.0 - mean) / deviation),
                }
            }
            (Self::Simplex(dimension), Coordinate::Simplex(shares)) => {
                Kernel::at_shares(*dimension, shares, bandwidth)
            }
            (Self::Choice(count), Coordinate::Choice(chosen)) => Kernel::Choice {
                count: *count,
                chosen: *chosen,
                alike: prior,
            },
            _ => unreachable!("the study was checked against its space"),
        }
    }
}

/// A density of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kernel {
    /// Normal on `[0, 1]`, cut off there.
    Normal {
        axis: Axis,
        mean: f64,
        deviation: f64,
        /// What the cut leaves.
        mass: f64,
    },
    /// One choice, and `alike` for all together.
    Choice {
        count: usize,
        chosen: usize,
        alike: f64,
    },
    /// `Dir(1 + excess)`.
    Dirichlet {
        excess: Vec<f64>,
        /// Logarithm of the factor before the product of powers, relative to the uniform density.
        log_factor: f64,
    },
}

impl Kernel {
    /// The Dirichlet kernel whose variance is to that of the uniform distribution as on an axis: with concentrations that
    /// sum to `a` variances fall as `1 / (a + 1)`.
    fn at_shares(dimension: usize, shares: &[f64], bandwidth: f64) -> Self {
        let n = dimension as f64;
        let ratio = (bandwidth / UNIFORM_DEVIATION).min(1.0);
        let sharpness = (n + 1.0) * (1.0 / (ratio * ratio) - 1.0);
        let excess: Vec<f64> = shares.iter().map(|share| share * sharpness).collect();
        let log_factor = libm::lgamma(n + sharpness)
            - libm::lgamma(n)
            - excess.iter().map(|e| libm::lgamma(1.0 + e)).sum::<f64>();
        Self::Dirichlet { excess, log_factor }
    }

    /// Logarithm of the density at a value, relative to the uniform one.
    pub(crate) fn log_density(&self, value: &Coordinate) -> f64 {
        match (self, value) {
            (
                Self::Normal {
                    axis,
                    mean,
                    deviation,
                    mass: whole,
                },
                _,
            ) => {
                let (from, to) = axis.cell(value);
                if axis.is_fixed() {
                    return 0.0;
                }
                // Of integers beyond counting, cells are too narrow for numbers.
                if to - from > NARROWEST_CELL {
                    let own = mass((from - mean) / deviation, (to - mean) / deviation);
                    return (own / (to - from) / whole).ln();
                }
                let z = (from - mean) / deviation;
                -0.5 * z * z - (deviation * whole * std::f64::consts::TAU.sqrt()).ln()
            }
            (Self::Dirichlet { excess, log_factor }, Coordinate::Simplex(shares)) => {
                let hair = HAIR / shares.len() as f64;
                let log_share = |share: &f64| ((share + hair) / (1.0 + HAIR)).ln();
                let powers = excess.iter().zip(shares);
                log_factor + powers.map(|(e, s)| e * log_share(s)).sum::<f64>()
            }
            (
                Self::Choice {
                    count,
                    chosen,
                    alike,
                },
                Coordinate::Choice(index),
            ) => {
                let own = if index == chosen { 1.0 - alike } else { 0.0 };
                (own * *count as f64 + alike).ln()
            }
            _ => unreachable!("points are made for the space"),
        }
    }

    /// A draw from the density. Of coefficients half the draws have small shares cut off.
    pub(crate) fn draw(&self, generator: &mut ChaCha8Rng) -> Coordinate {
        match self {
            Self::Normal {
                axis,
                mean,
                deviation,
                mass,
            } => {
                // The inverse of the cut distribution.
                let below = cumulative(-mean / deviation);
                let at = quantile(below + mass * generator.random::<f64>());
                axis.value((mean + deviation * at).clamp(0.0, 1.0))
            }
            Self::Choice {
                count,
                chosen,
                alike,
            } => Coordinate::Choice(match generator.random::<f64>() < *alike {
                true => generator.random_range(0..*count),
                false => *chosen,
            }),
            Self::Dirichlet { excess, .. } => {
                let shares = dirichlet(excess.iter().map(|e| 1.0 + e), generator);
                Coordinate::Simplex(match generator.random() {
                    true => without_small(shares, generator),
                    false => shares,
                })
            }
        }
    }
}

/// Cuts off shares below a random threshold, between a hundredth of the average share and all but the largest.
pub(crate) fn without_small(shares: Vec<f64>, generator: &mut ChaCha8Rng) -> Vec<f64> {
    let largest = shares.iter().copied().fold(0.0, f64::max);
    let least = 0.01 / shares.len() as f64;
    // Evenly on a log scale: small cuts as often as large ones.
    let threshold = least * (largest / least).powf(generator.random());
    let kept = shares.iter().map(|&s| if s < threshold { 0.0 } else { s });
    normalised(kept.collect())
}

/// Mass of the standard normal distribution between two numbers, at least the smallest one above 0.
fn mass(from: f64, to: f64) -> f64 {
    // In the tail where both are small, so that their difference keeps its digits.
    let (from, to) = if from > 0.0 { (-to, -from) } else { (from, to) };
    (cumulative(to) - cumulative(from)).max(f64::MIN_POSITIVE)
}

/// The standard normal distribution function.
fn cumulative(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// Its inverse, by bisection: exact to a rounding wherever a draw can be, at 60 evaluations.
fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-38.0, 38.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        match cumulative(middle) < p {
            true => low = middle,
            false => high = middle,
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bomf_plugin_api::Scale;
    use search::random::generator;

    fn estimated(domain: Domain) -> Estimated {
        Estimated::of(&Parameter {
            name: "p".into(),
            domain,
        })
        .unwrap()
    }

    fn float() -> Estimated {
        estimated(Domain::Float {
            low: -2.0,
            high: 2.0,
            scale: Scale::Linear,
        })
    }

    #[test]
    fn densities_of_floats_integrate_to_one() {
        for (centre, bandwidth) in [(-2.0, 0.1), (0.3, 0.02), (1.9, 0.3), (0.0, 5.0)] {
            let kernel = float().kernel(&Coordinate::Float(centre), bandwidth, 0.1);
            let steps = 40_000;
            let sum: f64 = (0..steps)
                .map(|i| -2.0 + 4.0 * (f64::from(i) + 0.5) / f64::from(steps))
                .map(|x| kernel.log_density(&Coordinate::Float(x)).exp())
                .sum();
            assert!((sum / f64::from(steps) - 1.0).abs() < 1e-6, "{centre}");
        }
    }

    #[test]
    fn masses_of_integers_and_choices_sum_to_one() {
        for scale in [Scale::Linear, Scale::Log] {
            let domain = Domain::Integer {
                low: 1,
                high: 12,
                scale,
            };
            let Estimated::Number(axis) = estimated(domain.clone()) else {
                panic!("an integer is a number")
            };
            let kernel = estimated(domain).kernel(&Coordinate::Integer(3), 0.1, 0.1);
            let mass = |i| {
                let value = Coordinate::Integer(i);
                let (from, to) = axis.cell(&value);
                (to - from) * kernel.log_density(&value).exp()
            };
            let sum: f64 = (1..=12).map(mass).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        }
        let kernel =
            estimated(Domain::Choice { count: 4 }).kernel(&Coordinate::Choice(2), 0.1, 0.2);
        let density = |i| kernel.log_density(&Coordinate::Choice(i)).exp();
        assert!(((0..4).map(density).sum::<f64>() / 4.0 - 1.0).abs() < 1e-12);
        assert!(density(2) > density(0));
    }

    #[test]
    fn densities_on_the_simplex_average_to_one_and_peak_at_their_centre() {
        let mut random = generator(3, 0);
        for centre in [[0.2, 0.3, 0.5], [0.0, 0.4, 0.6], [0.0, 0.0, 1.0]] {
            let kernel = estimated(Domain::Simplex { dimension: 3 }).kernel(
                &Coordinate::Simplex(centre.to_vec()),
                0.1,
                0.1,
            );
            let at = |shares: Vec<f64>| kernel.log_density(&Coordinate::Simplex(shares)).exp();
            let draws = 200_000;
            let sum: f64 = (0..draws)
                .map(|_| at(dirichlet([1.0; 3], &mut random)))
                .sum();
            // The hair shifts a density a little; its variance is below 100.
            assert!((sum / f64::from(draws) - 1.0).abs() < 0.1, "{sum}");
            let peak = at(centre.to_vec());
            for _ in 0..1000 {
                let other = without_small(dirichlet([0.3; 3], &mut random), &mut random);
                assert!(at(other) <= peak * 1.02);
            }
        }
    }

    #[test]
    fn draws_follow_their_density_and_reach_faces() {
        let mut random = generator(4, 0);
        let kernel = float().kernel(&Coordinate::Float(1.0), 0.05, 0.1);
        let draws: Vec<f64> = (0..20_000)
            .map(|_| match kernel.draw(&mut random) {
                Coordinate::Float(x) => x,
                other => panic!("found {other:?}"),
            })
            .collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!((variance.sqrt() - 0.2).abs() < 0.01, "{variance}");

        let corner = Coordinate::Simplex(vec![1.0, 0.0, 0.0, 0.0]);
        let kernel = estimated(Domain::Simplex { dimension: 4 }).kernel(&corner, 0.1, 0.1);
        let found: Vec<Coordinate> = (0..200).map(|_| kernel.draw(&mut random)).collect();
        assert!(found.contains(&corner));
        let inside =
            |c: &Coordinate| matches!(c, Coordinate::Simplex(s) if s.iter().all(|&s| s > 0.0));
        assert!(found.iter().any(inside));
    }

    #[test]
    fn far_tails_and_narrow_kernels_stay_finite_numbers() {
        let kernel = float().kernel(&Coordinate::Float(-2.0), 1e-6, 0.1);
        let found = kernel.log_density(&Coordinate::Float(2.0));
        assert!(found < -1e9 && !found.is_nan());
        let simplex = estimated(Domain::Simplex { dimension: 200 });
        let corner = |at: usize| {
            Coordinate::Simplex((0..200).map(|i| f64::from(u8::from(i == at))).collect())
        };
        let kernel = simplex.kernel(&corner(0), 1e-4, 0.1);
        assert!(kernel.log_density(&corner(0)).is_finite());
        assert!(kernel.log_density(&corner(1)) < kernel.log_density(&corner(0)));
        assert!((quantile(cumulative(-7.5)) + 7.5).abs() < 1e-9);
    }
}
