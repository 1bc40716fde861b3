//! `tune:`: what is searched before the training.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::UseConfig;

/// Hyperparameter search on a cheap proxy.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TuneConfig {
    /// What suggests the points.
    #[serde(default = "TuneConfig::default_optimizer")]
    pub optimizer: UseConfig,
    /// Trials before the optimizer's model is used.
    #[serde(default = "TuneConfig::default_initial")]
    pub initial: u64,
    /// Trials after those.
    #[serde(default = "TuneConfig::default_iterations")]
    pub iterations: u64,
    /// Passes over the training split per trial.
    #[serde(default = "TuneConfig::default_epochs")]
    #[schemars(range(min = 0.0001, max = 10000.0))]
    pub epochs: f64,
    /// What makes the trials cheap.
    #[serde(default)]
    pub proxy: ProxyConfig,
    /// Which hyperparameters are searched, and where.
    #[serde(default = "TuneConfig::default_space")]
    pub space: BTreeMap<String, AxisConfig>,
}

impl TuneConfig {
    fn default_optimizer() -> UseConfig {
        UseConfig::new("gp")
    }

    fn default_initial() -> u64 {
        3
    }

    fn default_iterations() -> u64 {
        10
    }

    fn default_epochs() -> f64 {
        1.0
    }

    fn default_space() -> BTreeMap<String, AxisConfig> {
        let range = RangeConfig {
            low: 1e-6,
            high: 1e-4,
            scale: ScaleConfig::Log,
            integer: false,
        };
        BTreeMap::from([("learning_rate".to_owned(), AxisConfig::Range(range))])
    }
}

/// What makes a trial cheap. The best hyperparameters carry over to the whole model.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyConfig {
    /// Freeze the embeddings and so many of the lowest layers; their outputs are computed once.
    pub freeze_layers: Option<u32>,
}

/// The values that a hyperparameter may take.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AxisConfig {
    /// All numbers between two bounds.
    Range(RangeConfig),
    /// Some values.
    Choices(ChoicesConfig),
}

/// All numbers between two bounds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeConfig {
    /// Least value.
    pub low: f64,
    /// Greatest value.
    pub high: f64,
    /// How the axis is measured.
    #[serde(default)]
    pub scale: ScaleConfig,
    /// Whole numbers only.
    #[serde(default)]
    pub integer: bool,
}

impl RangeConfig {
    /// What is wrong with the bounds together, and the key that it is wrong with, if it is one.
    pub fn fault(&self) -> Option<(Option<&'static str>, String)> {
        let Self { low, high, .. } = *self;
        if low > high {
            return Some((None, format!("found {low} to {high}, expected low <= high")));
        }
        if self.scale == ScaleConfig::Log && low <= 0.0 {
            return Some((
                Some("low"),
                format!("found {low}, expected more than 0 on a log scale"),
            ));
        }
        if !(high - low).is_finite() {
            let message = format!("found {low} to {high}, expected bounds that are less far apart");
            return Some((None, message));
        }
        // Whole numbers beyond this are not told apart in JSON.
        const WHOLE: f64 = (1_u64 << 53) as f64;
        if self.integer && (low.ceil() > high.floor() || low < -WHOLE || high > WHOLE) {
            let message = format!(
                "found {low} to {high}, expected a whole number between them, none beyond 2^53"
            );
            return Some((None, message));
        }
        None
    }
}

/// How an axis is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScaleConfig {
    /// By differences.
    #[default]
    Linear,
    /// By ratios.
    Log,
}

/// Some values.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChoicesConfig {
    /// The values.
    #[schemars(length(min = 1))]
    pub choices: Vec<Value>,
}
