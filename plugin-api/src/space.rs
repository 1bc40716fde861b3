//! Where points lie: the axes of a search and their values.

use serde::{Deserialize, Serialize};

use crate::error::{PluginError, Result};

/// One axis of the space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// The name in the configuration.
    pub name: String,
    /// Which values it may take.
    pub domain: Domain,
}

/// Which values a parameter may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Domain {
    /// Any number in `[low, high]`.
    Float {
        /// Least value.
        low: f64,
        /// Greatest value.
        high: f64,
        /// How the axis is measured.
        #[serde(default)]
        scale: Scale,
    },
    /// Any integer in `[low, high]`.
    Integer {
        /// Least value.
        low: i64,
        /// Greatest value.
        high: i64,
        /// How the axis is measured.
        #[serde(default)]
        scale: Scale,
    },
    /// One of so many choices; a point holds its index.
    Choice {
        /// How many there are, at least one.
        count: usize,
    },
    /// Numbers that are not negative and sum to one.
    Simplex {
        /// How many there are, at least one.
        dimension: usize,
    },
}

/// How an axis is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scale {
    /// By differences.
    #[default]
    Linear,
    /// By ratios; bounds are positive.
    Log,
}

/// A value of one parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Coordinate {
    /// For [`Domain::Float`].
    Float(f64),
    /// For [`Domain::Integer`].
    Integer(i64),
    /// For [`Domain::Choice`]: an index.
    Choice(usize),
    /// For [`Domain::Simplex`].
    Simplex(Vec<f64>),
}

/// One value per parameter of the space, in its order.
pub type Point = Vec<Coordinate>;

impl Parameter {
    pub(crate) fn check(&self) -> Result<()> {
        let fault = |what: &str| {
            Err(PluginError::input(format!(
                "parameter `{}`: found {what}",
                self.name
            )))
        };
        match &self.domain {
            Domain::Float { low, high, scale } => {
                if !(low.is_finite() && high.is_finite() && low <= high) {
                    return fault(&format!(
                        "the bounds {low} and {high}, expected low <= high, finite"
                    ));
                }
                if *scale == Scale::Log && *low <= 0.0 {
                    return fault(&format!(
                        "the bound {low}, expected more than 0 on a log scale"
                    ));
                }
            }
            Domain::Integer { low, high, scale } => {
                if low > high {
                    return fault(&format!(
                        "the bounds {low} and {high}, expected low <= high"
                    ));
                }
                if *scale == Scale::Log && *low <= 0 {
                    return fault(&format!(
                        "the bound {low}, expected more than 0 on a log scale"
                    ));
                }
            }
            Domain::Choice { count } if *count == 0 => {
                return fault("no choice, expected one or more");
            }
            Domain::Simplex { dimension } if *dimension == 0 => {
                return fault("the dimension 0, expected 1 or more");
            }
            _ => {}
        }
        Ok(())
    }
}

/// How far the sum of coefficients may be from one.
pub const SIMPLEX_TOLERANCE: f64 = 1e-6;

/// Refuses a point that does not lie in the space.
///
/// # Errors
/// Names the parameter, what was found and what was expected.
pub fn check_point(space: &[Parameter], point: &Point) -> Result<()> {
    if space.len() != point.len() {
        return Err(PluginError::input(format!(
            "found {} coordinates, expected {}",
            point.len(),
            space.len()
        )));
    }
    for (parameter, coordinate) in space.iter().zip(point) {
        let inside = match (&parameter.domain, coordinate) {
            (Domain::Float { low, high, .. }, Coordinate::Float(x)) => (low..=high).contains(&x),
            (Domain::Integer { low, high, .. }, Coordinate::Integer(x)) => {
                (low..=high).contains(&x)
            }
            (Domain::Choice { count }, Coordinate::Choice(index)) => index < count,
            (Domain::Simplex { dimension }, Coordinate::Simplex(x)) => {
                let sum: f64 = x.iter().sum();
                x.len() == *dimension
                    && x.iter().all(|&c| c >= 0.0)
                    && (sum - 1.0).abs() <= SIMPLEX_TOLERANCE
            }
            _ => false,
        };
        if !inside {
            return Err(PluginError::input(format!(
                "parameter `{}`: found {coordinate:?}, expected a value in {:?}",
                parameter.name, parameter.domain
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_outside_are_refused() {
        let space = vec![Parameter {
            name: "c".into(),
            domain: Domain::Simplex { dimension: 2 },
        }];
        for bad in [
            vec![0.5, 0.6],
            vec![1.5, -0.5],
            vec![1.0],
            vec![f64::NAN, 1.0],
        ] {
            assert!(check_point(&space, &vec![Coordinate::Simplex(bad)]).is_err());
        }
        assert!(check_point(&space, &vec![Coordinate::Float(1.0)]).is_err());
        assert!(check_point(&space, &vec![]).is_err());
        assert!(check_point(&space, &vec![Coordinate::Simplex(vec![0.25, 0.75])]).is_ok());
    }
}
