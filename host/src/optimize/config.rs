//! What may stand in the file of `bomf optimize`.
//!
//! The doc comments of the sections below are their reference text.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    ChoicesConfig, ChooseBest, ChooseWeights, ConstraintConfig, DirectionConfig, Named,
    RangeConfig, UseConfig,
};

/// A space, what is sought in it, and by what.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// Where points lie: parameters by name.
    pub space: Named<DomainConfig>,
    /// What is sought.
    #[schemars(length(min = 1))]
    pub objectives: Vec<ObjectiveConfig>,
    /// Bounds on values: of objectives, or of others that are told beside them.
    #[serde(default)]
    pub constraints: Vec<ConstraintConfig>,
    /// What suggests the points.
    #[serde(default = "SearchConfig::default_optimizer")]
    pub optimizer: UseConfig,
    /// Asks in all, a ceiling; left out, the session goes on until its input is closed.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub budget: Option<u64>,
    /// Asks that are open at once.
    #[serde(default = "SearchConfig::default_parallel")]
    #[schemars(range(min = 1, max = 1000))]
    pub parallel: usize,
    /// Seeds everything random.
    #[serde(default)]
    pub seed: u64,
    /// Threads to use; by default all processors.
    #[schemars(range(min = 1, max = 4096))]
    pub threads: Option<usize>,
    /// How one point is chosen in the end.
    #[serde(default = "SearchConfig::default_choose")]
    pub choose: ChooseConfig,
    /// Folders with plugins, searched before the usual ones.
    #[serde(default)]
    pub plugins: Vec<PathBuf>,
}

impl SearchConfig {
    fn default_optimizer() -> UseConfig {
        UseConfig::new("gp")
    }

    fn default_parallel() -> usize {
        1
    }

    fn default_choose() -> ChooseConfig {
        ChooseConfig::Rule(ChooseRule::BestSum)
    }
}

/// The values that a parameter may take.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DomainConfig {
    /// Numbers that are not negative and sum to 1.
    Simplex(SimplexConfig),
    /// All numbers between two bounds.
    Range(RangeConfig),
    /// Some values.
    Choices(ChoicesConfig),
}

/// Numbers that are not negative and sum to 1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimplexConfig {
    /// How many there are.
    #[schemars(range(min = 1, max = 10000))]
    pub simplex: usize,
}

/// A value that is sought.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveConfig {
    /// What tells call it.
    pub name: String,
    /// Which way is better.
    pub direction: DirectionConfig,
    /// The value that any point of use is better than; hypervolumes are measured from it.
    pub reference: Option<f64>,
    /// A bad and a good value, which normalise to 0 and 1. Without it, optimizers and the final choice scale by what they see.
    pub scale: Option<(f64, f64)>,
}

/// How one point is chosen in the end.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ChooseConfig {
    /// By a rule.
    Rule(ChooseRule),
    /// The best of one objective, perhaps within a tolerance of the others.
    Best(ChooseBest),
    /// The best weighted sum of the normalised objectives.
    Weights(ChooseWeights),
}

/// Rules by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChooseRule {
    /// The greatest sum of the normalised objectives.
    BestSum,
    /// The knee of the Pareto front.
    Knee,
}
