//! What a process is given: points, and outcomes in standard units.

use std::collections::HashMap;

use crate::error::{GpError, Result};
use crate::log_space::LN_SQRT_2PI;

/// Least noise variance of a measurement, in squared standard units: known noise of zero still needs a regular matrix.
pub const LEAST_NOISE: f64 = 1e-8;

/// Most noise variance of a measurement, in squared standard units: an outcome with more says nothing anyway.
pub const MOST_NOISE: f64 = 1e12;

/// Outcomes shifted and scaled to mean 0 and standard deviation 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standardisation {
    /// Outcomes are divided by it first, so that squares of huge and of tiny ones are still numbers.
    unit: f64,
    /// Mean, in units.
    mean: f64,
    /// Standard deviation in units, 1 where all are alike.
    deviation: f64,
}

impl Standardisation {
    /// Of some raw outcomes, finite; of none, the identity.
    #[must_use]
    pub fn of(outcomes: &[f64]) -> Self {
        let largest = outcomes.iter().fold(0.0_f64, |most, y| most.max(y.abs()));
        let unit = match largest {
            0.0 => 1.0,
            1e-100..=1e100 => 1.0,
            // Halves: neither sums nor differences leave the range of numbers.
            _ => largest / 2.0 + f64::MIN_POSITIVE,
        };
        let n = outcomes.len().max(1) as f64;
        let mean = outcomes.iter().map(|y| y / unit).sum::<f64>() / n;
        let squares = outcomes
            .iter()
            .map(|y| (y / unit - mean) * (y / unit - mean))
            .sum::<f64>();
        let deviation = (squares / (n - 1.0).max(1.0)).sqrt();
        // Alike up to rounding counts as alike: dividing by the rounding would make noise of it.
        let alike = deviation <= 1e-12 * mean.abs() || deviation == 0.0;
        Self {
            unit,
            mean,
            deviation: if alike { 1.0 } else { deviation },
        }
    }

    /// A raw outcome in standard units.
    #[must_use]
    pub fn apply(&self, outcome: f64) -> f64 {
        (outcome / self.unit - self.mean) / self.deviation
    }

    /// The variance of a raw outcome's noise in squared standard units.
    #[must_use]
    pub fn apply_to_variance(&self, variance: f64) -> f64 {
        variance / self.unit / self.unit / (self.deviation * self.deviation)
    }

    /// The raw outcome of a value in standard units.
    #[must_use]
    pub fn undo(&self, standard: f64) -> f64 {
        self.unit * (self.mean + self.deviation * standard)
    }
}

/// What is known of an outcome's noise, in squared standard units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Noise {
    /// Its variance.
    Known(f64),
    /// Its variance is the hyperparameters' over the number of measurements that the outcome is the mean of.
    Learned {
        /// How many, at least 1.
        measurements: f64,
        /// The sum of their squared deviations from the outcome.
        scatter: f64,
    },
}

impl Noise {
    /// Of one measurement, as large as the others'.
    pub const LEARNED: Self = Self::Learned {
        measurements: 1.0,
        scatter: 0.0,
    };

    /// The outcome's variance where that of one measurement, if it is learned, is `learned`.
    #[must_use]
    pub fn variance(self, learned: f64) -> f64 {
        match self {
            Self::Known(variance) => within_limits(variance),
            Self::Learned { measurements, .. } => within_limits(learned) / measurements,
        }
    }

    /// Of the mean of two outcomes that are `gap` apart, and the other's weight in it; both are of one kind.
    fn joined(self, other: Self, gap: f64) -> (Self, f64) {
        match (self, other) {
            (Self::Known(own), Self::Known(other)) => {
                let (own, other) = (within_limits(own), within_limits(other));
                let weight = own / (own + other);
                (Self::Known(weight * other), weight)
            }
            (
                Self::Learned {
                    measurements: own,
                    scatter: within,
                },
                Self::Learned {
                    measurements: others,
                    scatter: within_others,
                },
            ) => {
                let measurements = own + others;
                let weight = others / measurements;
                let scatter = within + within_others + own * weight * gap * gap;
                let joint = Self::Learned {
                    measurements,
                    scatter,
                };
                (joint, weight)
            }
            _ => unreachable!("one is known, the other learned"),
        }
    }

    /// The logarithm of the density of the measurements about their mean, which is the outcome.
    #[must_use]
    pub fn log_density_of_scatter(self, learned: f64) -> f64 {
        match self {
            Self::Learned {
                measurements,
                scatter,
            } if measurements > 1.0 => {
                let learned = within_limits(learned);
                let others = measurements - 1.0;
                -others * (LN_SQRT_2PI + 0.5 * learned.ln())
                    - 0.5 * measurements.ln()
                    - 0.5 * scatter / learned
            }
            _ => 0.0,
        }
    }
}

/// What two equal points have in common, and no others.
pub(crate) fn key(point: &[f64]) -> Vec<u64> {
    // The two zeros are one.
    point.iter().map(|x| (x + 0.0).to_bits()).collect()
}

fn within_limits(variance: f64) -> f64 {
    variance.clamp(LEAST_NOISE, MOST_NOISE)
}

/// Points with their outcomes in standard units.
#[derive(Debug, Clone)]
pub struct Observations {
    /// `[n, d]`, row by row: where.
    pub points: Vec<Vec<f64>>,
    /// `[n]`, in standard units: what was seen.
    pub outcomes: Vec<f64>,
    /// `[n]`: how exactly.
    pub noise: Vec<Noise>,
}

impl Observations {
    /// The same with one outcome, their mean, in place of those that were seen at the same point; weighted by precision
    /// where their noise is known.
    ///
    /// Posteriors are the same (Binois, Gramacy & Ludkovski 2018, section 3.1), and so are likelihoods, but for the density of the
    /// scatter of outcomes whose noise is known, which no hyperparameter changes. The time of a fit grows with the cube of
    /// the number of outcomes, and a covariance with equal rows has no factor without jitter.
    #[must_use]
    pub(crate) fn merged(self) -> Self {
        let mut merged = Self {
            points: Vec::new(),
            outcomes: Vec::new(),
            noise: Vec::new(),
        };
        let mut places = HashMap::new();
        let outcomes = self.outcomes.into_iter().zip(self.noise);
        for (point, (outcome, noise)) in self.points.into_iter().zip(outcomes) {
            let key = (key(&point), std::mem::discriminant(&noise));
            let place = *places.entry(key).or_insert(merged.points.len());
            if place == merged.points.len() {
                merged.points.push(point);
                merged.outcomes.push(outcome);
                merged.noise.push(noise);
                continue;
            }
            let gap = outcome - merged.outcomes[place];
            let (joint, weight) = merged.noise[place].joined(noise, gap);
            merged.outcomes[place] += weight * gap;
            merged.noise[place] = joint;
        }
        merged
    }

    /// Refuses lists of different lengths and numbers that are not finite.
    ///
    /// # Errors
    /// Says which.
    pub fn check(&self, dimension: usize) -> Result<()> {
        let n = self.points.len();
        for (what, found) in [
            ("outcomes", self.outcomes.len()),
            ("noise levels", self.noise.len()),
        ] {
            if found != n {
                return Err(GpError::Length {
                    what,
                    found,
                    expected: n,
                });
            }
        }
        for point in &self.points {
            if point.len() != dimension {
                let (what, found) = ("coordinates", point.len());
                return Err(GpError::Length {
                    what,
                    found,
                    expected: dimension,
                });
            }
            if !point.iter().all(|x| x.is_finite()) {
                return Err(GpError::NotFinite { what: "a point" });
            }
        }
        if !self.outcomes.iter().all(|y| y.is_finite()) {
            return Err(GpError::NotFinite { what: "an outcome" });
        }
        let is_noise = |noise: &Noise| match *noise {
            Noise::Known(variance) => variance.is_finite() && variance >= 0.0,
            Noise::Learned {
                measurements,
                scatter,
            } => {
                measurements.is_finite()
                    && measurements >= 1.0
                    && scatter.is_finite()
                    && scatter >= 0.0
            }
        };
        if !self.noise.iter().all(is_noise) {
            return Err(GpError::NotFinite {
                what: "a noise level",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standardisation_goes_there_and_back() {
        let values = [3.0, 5.0, 10.0];
        let standard = Standardisation::of(&values);
        let there: Vec<f64> = values.iter().map(|v| standard.apply(*v)).collect();
        assert!(there.iter().sum::<f64>().abs() < 1e-12);
        assert!((standard.undo(there[2]) - 10.0).abs() < 1e-12);
        assert_eq!(Standardisation::of(&[4.0, 4.0]).deviation, 1.0);
        assert_eq!(Standardisation::of(&[4.0]).deviation, 1.0);
        assert_eq!(Standardisation::of(&[]).apply(3.0), 3.0);
    }

    #[test]
    fn standardisation_keeps_huge_and_tiny_outcomes_apart() {
        for size in [1e-320, 1e-300, 1e-50, 1.0, 1e200, f64::MAX] {
            let values = [-size, 0.0, size];
            let standard = Standardisation::of(&values);
            let there: Vec<f64> = values.iter().map(|v| standard.apply(*v)).collect();
            for (found, expected) in there.iter().zip([-1.0, 0.0, 1.0]) {
                assert!((found - expected).abs() < 1e-3, "{size}: {there:?}");
            }
        }
    }

    #[test]
    fn outcomes_at_one_point_merge_into_their_mean() {
        let learned = |measurements, scatter| Noise::Learned {
            measurements,
            scatter,
        };
        let merged = Observations {
            points: [0.5, 0.2, 0.5, 0.5, 0.2, 0.2, 0.2]
                .map(|x| vec![x, 0.0])
                .to_vec(),
            outcomes: vec![1.0, 7.0, 2.0, 6.0, -1.0, 3.0, 4.0],
            noise: vec![
                Noise::LEARNED,
                Noise::LEARNED,
                Noise::LEARNED,
                Noise::LEARNED,
                Noise::Known(0.1),
                Noise::Known(0.3),
                Noise::LEARNED,
            ],
        }
        .merged();
        assert_eq!(merged.points, [[0.5, 0.0], [0.2, 0.0], [0.2, 0.0]]);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        for (found, expected) in merged.outcomes.iter().zip([3.0, 5.5, 0.0]) {
            near(*found, expected);
        }
        assert_eq!(merged.noise[0], learned(3.0, 14.0));
        assert_eq!(merged.noise[1], learned(2.0, 4.5));
        near(merged.noise[2].variance(9.0), 0.075);
    }
}
