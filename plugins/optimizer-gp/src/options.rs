//! What configurations may say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of `gp`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GpOptions {
    /// What makes a point worth trying.
    pub acquisition: AcquisitionKind,
    /// Points that fill the space before the model takes over: 3 unless given. Where there are coefficients these points
    /// come after the members and their uniform average, and there is 1 unless given.
    #[schemars(range(min = 0, max = 10000))]
    pub initial: Option<usize>,
    /// How coefficients are modelled and searched.
    pub simplex: SimplexOption,
    /// Quasi-Monte-Carlo draws per acquisition value, with several objectives.
    #[schemars(range(min = 8, max = 4096))]
    pub samples: usize,
    /// Points looked at before any is refined.
    #[schemars(range(min = 1, max = 100000))]
    pub raw_samples: usize,
    /// Points refined with gradients.
    #[schemars(range(min = 1, max = 1000))]
    pub restarts: usize,
    /// Least variance of the outcomes' noise, relative to their variance. More where evaluations are noisy and the search
    /// chases single lucky values; the default is next to none, so that exact values can be searched to many digits.
    #[schemars(range(min = 1e-8, max = 1.0))]
    pub noise_floor: f64,
}

impl Default for GpOptions {
    fn default() -> Self {
        Self {
            acquisition: AcquisitionKind::Auto,
            initial: None,
            simplex: SimplexOption::Shares,
            samples: 128,
            raw_samples: 512,
            restarts: 10,
            noise_floor: 1e-8,
        }
    }
}

/// Acquisition functions by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AcquisitionKind {
    /// `log_ei` for one objective, `log_nehvi` for two to four, `parego` for more.
    Auto,
    /// Logarithm of the expected improvement; of several objectives, of their normalised sum.
    LogEi,
    /// Logarithm of the noisy expected hypervolume improvement, for two to four objectives.
    LogNehvi,
    /// Logarithm of the expected improvement of a random weighting of the objectives, a new one for each suggestion.
    Parego,
}

/// Ways to treat coefficients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SimplexOption {
    /// Model and search see the coefficients themselves, on the simplex.
    Shares,
    /// Model and search see a box, whose points are divided by their sum when they are evaluated: the way of the paper.
    Normalize,
}
