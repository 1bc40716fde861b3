//! What can be chosen about each rule, under mergekit's names. Coefficients are no option: each tensor may have its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{Result, RuleError};

/// One number for all members, or a list with one for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PerMember {
    /// The same for all.
    Same(f64),
    /// One for each, in the members' order.
    Each(Vec<f64>),
}

impl PerMember {
    /// The share of each of `members` members, from 0 to 1.
    pub(super) fn shares(&self, option: &'static str, members: usize) -> Result<Vec<f64>> {
        let values = match self {
            Self::Same(value) => vec![*value; members],
            Self::Each(values) => values.clone(),
        };
        if values.len() != members {
            let found = values.len();
            return Err(RuleError::OptionCount {
                option,
                found,
                expected: members,
            });
        }
        match values.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            Some(&found) => Err(RuleError::OptionRange {
                option,
                found,
                expected: "a number from 0 to 1",
            }),
            None => Ok(values),
        }
    }
}

/// Expects one coefficient for each of `members` members, of numbers that f32 can hold.
pub(super) fn coefficients(values: &[f64], members: usize) -> Result<Vec<f32>> {
    if values.len() != members {
        return Err(RuleError::OptionCount {
            option: "coefficients",
            found: values.len(),
            expected: members,
        });
    }
    let values = values.iter().map(|&value| finite("coefficients", value));
    values.map(|value| Ok(value? as f32)).collect()
}

/// Expects that an option is a number that f32 can hold.
pub(super) fn finite(option: &'static str, found: f64) -> Result<f64> {
    if (found as f32).is_finite() {
        return Ok(found);
    }
    Err(RuleError::OptionRange {
        option,
        found,
        expected: "a finite number",
    })
}

/// Options of `linear`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Linear {
    /// Whether the coefficients are divided by their sum.
    pub normalize: bool,
}

impl Linear {
    /// What each member is multiplied by.
    ///
    /// # Errors
    /// When the coefficients are divided by their sum and that is 0.
    pub fn coefficients(&self, given: &[f64]) -> Result<Vec<f64>> {
        let sum: f64 = given.iter().sum();
        if self.normalize && sum == 0.0 {
            return Err(RuleError::CoefficientSum { found: sum });
        }
        let divisor = if self.normalize { sum } else { 1.0 };
        Ok(given
            .iter()
            .map(|coefficient| coefficient / divisor)
            .collect())
    }
}

/// Options of `slerp`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Slerp {
    /// Where on the arc: 0 is the base, or the first member if there is no base; 1 is the other model.
    pub t: f64,
}

impl Default for Slerp {
    fn default() -> Self {
        Self { t: 0.5 }
    }
}

/// Options of `task_arithmetic`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TaskArithmetic {
    /// Whether the sum is divided by the sum of the coefficients.
    pub normalize: bool,
    /// What the sum is multiplied by before the base is added.
    pub lambda: f64,
}

impl Default for TaskArithmetic {
    fn default() -> Self {
        Self {
            normalize: false,
            lambda: 1.0,
        }
    }
}

/// Options of `ties`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ties {
    /// Share of each difference that is kept, the largest magnitudes of the tensor, from 0 to 1: one number, or a list.
    pub density: PerMember,
    /// Whether each element's sum is divided by the coefficients that took part in it.
    pub normalize: bool,
    /// What the sum is multiplied by before the base is added.
    pub lambda: f64,
    /// Whether what is kept is stretched to the sum of magnitudes that the whole had.
    pub rescale: bool,
}

impl Default for Ties {
    fn default() -> Self {
        Self {
            density: PerMember::Same(1.0),
            normalize: true,
            lambda: 1.0,
            rescale: false,
        }
    }
}

/// Options of `dare_linear` and `dare_ties`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dare {
    /// How likely each element of a difference is kept, from 0 to 1: one number, or a list.
    pub density: PerMember,
    /// Whether each element's sum is divided by the coefficients that took part in it.
    pub normalize: bool,
    /// What the sum is multiplied by before the base is added.
    pub lambda: f64,
    /// Whether what is kept is stretched to the sum of magnitudes that the whole had, about `1 / density`.
    pub rescale: bool,
}

impl Default for Dare {
    fn default() -> Self {
        Self {
            density: PerMember::Same(1.0),
            normalize: false,
            lambda: 1.0,
            rescale: true,
        }
    }
}

/// Options of `breadcrumbs` and `breadcrumbs_ties`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Breadcrumbs {
    /// Share of each difference that is kept, from 0 to 1: one number, or a list. At 1 everything is, outliers included.
    pub density: PerMember,
    /// Share of each difference, the largest magnitudes, that is dropped as outliers, from 0 to 1: one number, or a list.
    /// Fewer are dropped where `density` would be missed otherwise.
    pub gamma: PerMember,
    /// Whether each element's sum is divided by the coefficients that took part in it.
    pub normalize: bool,
    /// What the sum is multiplied by before the base is added.
    pub lambda: f64,
    /// Whether what is kept is stretched to the sum of magnitudes that the whole had.
    pub rescale: bool,
}

impl Default for Breadcrumbs {
    fn default() -> Self {
        Self {
            density: PerMember::Same(1.0),
            gamma: PerMember::Same(0.01),
            normalize: false,
            lambda: 1.0,
            rescale: false,
        }
    }
}

/// Options of `model_stock`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelStock {
    /// Whether each row of a tensor gets a share of its own, from the angles of that row.
    pub filter_wise: bool,
}
