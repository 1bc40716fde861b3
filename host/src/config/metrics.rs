//! `metrics:`: what counts.

use std::collections::BTreeMap;

use bomf_plugin_api::Direction;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What gives a score or more.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum MetricConfig {
    /// A score made of scores before it.
    Combine(CombineConfig),
    /// A metric.
    Use(UseMetricConfig),
}

impl MetricConfig {
    /// What reports and objectives call it.
    pub fn label(&self) -> &str {
        match self {
            Self::Combine(config) => &config.name,
            Self::Use(config) => config.label(),
        }
    }

    /// The metric, if it is one.
    pub fn as_use(&self) -> Option<&UseMetricConfig> {
        match self {
            Self::Combine(_) => None,
            Self::Use(config) => Some(config),
        }
    }
}

/// A metric. What is not listed here is an option of the metric.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UseMetricConfig {
    /// A metric: `bomf plugins list` shows them.
    #[serde(rename = "use")]
    pub plugin: String,
    /// What reports and objectives call it; by default as in `use`.
    pub name: Option<String>,
    /// Column that says which group an example is of, for example `group` (see `fields`) or `label`. The worst group's value
    /// is then a score too, called `NAME_worst`; reports show all groups.
    pub by: Option<String>,
    /// Which of its scores count; by default all but those that only explain others, such as lengths and thresholds. What
    /// does not count is reported.
    #[schemars(length(min = 1))]
    pub scores: Option<Vec<String>>,
    /// Options of the metric.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

impl UseMetricConfig {
    /// What reports and objectives call it.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.plugin)
    }
}

/// A score made of scores before it: of the loss, of metrics, of other combinations.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CombineConfig {
    /// How.
    pub combine: Combine,
    /// Of which scores: `{ f1: 0.5, accuracy: 0.5 }` for a weighted sum, `[f1, accuracy]` for a minimum.
    pub of: OfConfig,
    /// What reports and objectives call it.
    pub name: String,
}

/// How scores are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// The sum of the scores, each times its weight.
    WeightedSum,
    /// The least of the scores.
    Minimum,
}

/// Which scores are combined.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OfConfig {
    /// Scores with weights, for a weighted sum.
    Weights(BTreeMap<String, f64>),
    /// Scores, for a minimum.
    Names(Vec<String>),
}

/// Which way is better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DirectionConfig {
    /// Higher is better.
    #[default]
    Maximize,
    /// Lower is better.
    Minimize,
}

impl From<DirectionConfig> for Direction {
    fn from(direction: DirectionConfig) -> Self {
        match direction {
            DirectionConfig::Maximize => Self::Maximize,
            DirectionConfig::Minimize => Self::Minimize,
        }
    }
}
