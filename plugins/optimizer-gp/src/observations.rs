//! What a process is given: points, and outcomes in standard units.

use crate::error::{GpError, Result};

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

/// Points with their outcomes in standard units.
#[derive(Debug, Clone)]
pub struct Observations {
    /// `[n, d]`, row by row: where.
    pub points: Vec<Vec<f64>>,
    /// `[n]`, in standard units: what was seen.
    pub outcomes: Vec<f64>,
    /// `[n]`: the variance of each outcome's noise where it is known, in squared standard units.
    pub noise: Vec<Option<f64>>,
}

impl Observations {
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
        if !self
            .noise
            .iter()
            .flatten()
            .all(|v| v.is_finite() && *v >= 0.0)
        {
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
}
