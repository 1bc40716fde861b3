//! What configurations may say.

use bomf_plugin_api::{PluginError, Result, Stopping};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernel::KernelKind;

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
    /// How the model's covariance falls with distance; each dimension has a length scale of its own. Unless given it is
    /// `two_scales` where there are coefficients and `matern52` elsewhere.
    pub kernel: Option<KernelKind>,
    /// Noise of outcomes that come without a level of their own.
    pub noise: NoiseOption,
    /// Least variance that learned noise has, relative to their variance. More where evaluations are noisy and the search
    /// chases single lucky values; the default is next to none, so that exact values can be searched to many digits.
    #[schemars(range(min = 1e-8, max = 1.0))]
    pub noise_floor: f64,
    /// Ends hyperparameter trials early that will not become good: `{ rule: median, warmup_steps: 0, min_trials: 5 }`. None
    /// is ended unless given.
    pub stopping: Option<Stopping>,
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
            kernel: None,
            noise: NoiseOption::Learned,
            noise_floor: 1e-8,
            stopping: None,
        }
    }
}

/// Acquisition functions by name. Pending trials count in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AcquisitionKind {
    /// `log_ei` for one objective, `log_nehvi` for two to four, `parego` for more.
    Auto,
    /// Logarithm of the expected improvement on the best posterior mean; of several objectives, of their normalised sum.
    LogEi,
    /// The same over draws of all points evaluated: for noisy outcomes.
    LogNei,
    /// The same for all points that are asked for at once, together.
    QLogEi,
    /// Logarithm of the expected hypervolume improvement on the posterior means, for two to four objectives.
    LogEhvi,
    /// The same over draws of all points evaluated: for noisy outcomes.
    LogNehvi,
    /// Logarithm of the expected improvement of a random weighting of the objectives, a new one for each suggestion.
    Parego,
}

/// Beyond these levels variances are no numbers to compute with.
const MOST_DEVIATION: f64 = 1e100;
const MOST_RELATIVE_DEVIATION: f64 = 1e3;

/// What is known of the outcomes' noise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoiseOption {
    /// Its variance is fitted, one per objective.
    Learned,
    /// Its standard deviation in the units of the objectives, the same for each. That of constraints on other values is learned.
    Deviation(#[schemars(range(min = 0.0, max = MOST_DEVIATION))] f64),
    /// Its standard deviation as a share of that of the outcomes seen.
    RelativeDeviation(#[schemars(range(min = 0.0, max = MOST_RELATIVE_DEVIATION))] f64),
}

impl NoiseOption {
    /// Refuses levels that are no standard deviations.
    pub(crate) fn check(self) -> Result<()> {
        let (level, most) = match self {
            Self::Learned => return Ok(()),
            Self::Deviation(level) => (level, MOST_DEVIATION),
            Self::RelativeDeviation(level) => (level, MOST_RELATIVE_DEVIATION),
        };
        match (0.0..=most).contains(&level) {
            true => Ok(()),
            false => Err(PluginError::input(format!(
                "noise: found the standard deviation {level}, expected a number from 0 to {most:e}"
            ))),
        }
    }
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
