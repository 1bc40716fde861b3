//! What is sought, and what a point has to fulfil.

use serde::{Deserialize, Serialize};

use crate::error::{PluginError, Result};

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Higher is better.
    Maximize,
    /// Lower is better.
    Minimize,
}

/// A metric or the loss, with a direction and a normalisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Objective {
    /// The name of the score, for example `f1` or `loss`.
    pub name: String,
    /// Which way is better, of the raw value.
    pub direction: Direction,
    /// The raw values that normalise to 0 and to 1; `None`: none is known. Where several objectives are summed,
    /// [`Objective::units`] stands in for it.
    #[serde(default)]
    pub scale: Option<(f64, f64)>,
    /// The raw value below which (in the sense of the direction) nothing counts as a gain; for hypervolumes.
    #[serde(default)]
    pub reference: Option<f64>,
}

/// A bound on a measured value, for example an accuracy of at least 0.8. A point that breaks one counts for nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Constraint {
    /// The name of the score.
    pub name: String,
    /// Least raw value that is allowed; `None`: any.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// Greatest raw value that is allowed; `None`: any.
    #[serde(default)]
    pub at_most: Option<f64>,
}

impl Constraint {
    /// A value of at least that much.
    pub fn at_least(name: impl Into<String>, bound: f64) -> Self {
        Self {
            name: name.into(),
            at_least: Some(bound),
            at_most: None,
        }
    }

    /// A value of at most that much.
    pub fn at_most(name: impl Into<String>, bound: f64) -> Self {
        Self {
            name: name.into(),
            at_least: None,
            at_most: Some(bound),
        }
    }

    /// Whether a raw value is allowed.
    pub fn holds(&self, value: f64) -> bool {
        self.at_least.is_none_or(|bound| value >= bound)
            && self.at_most.is_none_or(|bound| value <= bound)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let low = self.at_least.unwrap_or(f64::MIN);
        let high = self.at_most.unwrap_or(f64::MAX);
        if low.is_finite() && high.is_finite() && low <= high {
            return Ok(());
        }
        Err(PluginError::input(format!(
            "constraint `{}`: found the bounds {low} and {high}, expected finite ones, the least not above the greatest",
            self.name
        )))
    }
}

/// Refuses values of another number than their names, and values that are not finite.
pub(crate) fn check_values(kind: &str, names: &[&str], values: &[f64]) -> Result<()> {
    if values.len() != names.len() {
        return Err(PluginError::input(format!(
            "found {} values, expected {}, one per {kind}",
            values.len(),
            names.len()
        )));
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(position) => Err(PluginError::input(format!(
            "found {} for {kind} `{}`, expected a finite number",
            values[position], names[position]
        ))
        .hint("record the trial as failed instead")),
    }
}

impl Objective {
    /// An objective without scale and reference.
    pub fn new(name: impl Into<String>, direction: Direction) -> Self {
        Self {
            name: name.into(),
            direction,
            scale: None,
            reference: None,
        }
    }

    /// Sets the raw values that normalise to 0 and to 1.
    #[must_use]
    pub fn with_scale(mut self, zero: f64, one: f64) -> Self {
        self.scale = Some((zero, one));
        self
    }

    /// Sets the raw value below which nothing counts as a gain.
    #[must_use]
    pub fn with_reference(mut self, reference: f64) -> Self {
        self.reference = Some(reference);
        self
    }

    /// A raw value on the objective's scale: higher is better.
    ///
    /// Without a scale the raw value, negated where lower is better.
    pub fn normalise(&self, value: f64) -> f64 {
        match (self.scale, self.direction) {
            (Some((zero, one)), _) => (value - zero) / (one - zero),
            (None, Direction::Maximize) => value,
            (None, Direction::Minimize) => -value,
        }
    }

    /// By what normalised values `[n][objectives]` are divided before those of one point are summed: 1 on a scale and of an
    /// only objective, else the range of the values, so that no objective drowns the others by its unit alone. 1 where
    /// they have none.
    pub fn units<V: AsRef<[f64]>>(objectives: &[Self], normalised: &[V]) -> Vec<f64> {
        let range = |at: usize| {
            let column = || normalised.iter().map(|values| values.as_ref()[at]);
            let low = column().fold(f64::INFINITY, f64::min);
            column().fold(f64::NEG_INFINITY, f64::max) - low
        };
        let unit = |(at, objective): (usize, &Self)| match range(at) {
            range if objectives.len() > 1 && objective.scale.is_none() && range > 0.0 => {
                range.min(f64::MAX)
            }
            _ => 1.0,
        };
        objectives.iter().enumerate().map(unit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalised_values_grow_with_quality() {
        let loss = Objective::new("loss", Direction::Minimize).with_scale(0.9, -0.1);
        assert!((loss.normalise(0.9) - 0.0).abs() < 1e-12);
        assert!((loss.normalise(-0.1) - 1.0).abs() < 1e-12);
        assert!(Objective::new("loss", Direction::Minimize).normalise(2.0) < 0.0);
    }

    #[test]
    fn units_are_ranges_where_there_is_no_scale() {
        let plain = Objective::new("a", Direction::Maximize);
        let scaled = plain.clone().with_scale(0.0, 5.0);
        let of = |objectives: &[Objective], rows: &[[f64; 2]]| Objective::units(objectives, rows);
        let both = [plain.clone(), scaled];
        assert_eq!(of(&both, &[[3.0, 0.0], [7.0, 9.0]]), [4.0, 1.0]);
        assert_eq!(of(&both, &[[3.0, 0.0]]), [1.0, 1.0]);
        assert_eq!(of(&both, &[]), [1.0, 1.0]);
        assert_eq!(of(&both, &[[f64::MAX, 0.0], [-f64::MAX, 0.0]])[0], f64::MAX);
        assert_eq!(of(&[plain], &[[3.0, 0.0], [7.0, 0.0]]), [1.0]);
    }
}
