//! `fuse:`: how the members are fused.

use std::collections::BTreeMap;

use bomf_plugin_api::Constraint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::UseConfig;

/// How the members are fused.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FuseConfig {
    /// What computes weights from members and coefficients. `auto` chooses by the devices that are there, their free
    /// memory and the size of the members, and says why.
    pub fuser: UseConfig,
    /// What becomes of integers and booleans, which have no average.
    pub integers: IntegersConfig,
    /// Most evaluations of a method beyond those of the members themselves.
    #[schemars(range(min = 0, max = 100000))]
    pub iterations: u64,
    /// The methods that are compared.
    #[schemars(length(min = 1))]
    pub methods: Vec<MethodConfig>,
    /// What a fused model has to fulfil. Optimizers that know constraints search by them; a point that breaks one is chosen
    /// only if all points do, and the report says so.
    pub constraints: Vec<ConstraintConfig>,
    /// How a method's final point is chosen among those it tried.
    pub choose: ChooseConfig,
    /// The reference point of hypervolumes lies below the worst member by this share of the members' spread.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub reference_margin: f64,
}

impl Default for FuseConfig {
    fn default() -> Self {
        let methods = ["best_member", "swa", "greedy", "bomf"];
        Self {
            fuser: UseConfig::new("cpu"),
            integers: IntegersConfig::Error,
            iterations: 75,
            methods: methods.iter().map(|name| MethodConfig::new(name)).collect(),
            constraints: Vec::new(),
            choose: ChooseConfig::Rule(ChooseRule::BestMetricSum),
            reference_margin: 0.1,
        }
    }
}

/// What becomes of integers and booleans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntegersConfig {
    /// They have to be the same in all members.
    Error,
    /// Those of the first member are taken, for example the counters of batch normalisation.
    First,
}

/// A way to get from the members to one model: an optimizer of coefficients. What is not listed here is its option.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MethodConfig {
    /// An optimizer: `bomf plugins list` shows them.
    #[serde(rename = "use")]
    pub plugin: String,
    /// What reports call it; by default as in `use`.
    pub name: Option<String>,
    /// What it looks at: `loss` and names of metrics; by default all.
    pub objectives: Option<Vec<String>>,
    /// Most evaluations beyond those of the members; by default as for all methods.
    #[schemars(range(min = 0, max = 100000))]
    pub iterations: Option<u64>,
    /// Options of the optimizer.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

impl MethodConfig {
    fn new(plugin: &str) -> Self {
        Self {
            plugin: plugin.to_owned(),
            name: None,
            objectives: None,
            iterations: None,
            options: Map::new(),
        }
    }

    /// What reports call it.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.plugin)
    }
}

/// A bound on a value.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConstraintConfig {
    /// The value: `loss` or the name of a metric; outside of runs any name.
    pub name: String,
    /// Least value that is allowed.
    pub at_least: Option<f64>,
    /// Greatest value that is allowed.
    pub at_most: Option<f64>,
}

impl ConstraintConfig {
    /// As studies have it.
    pub fn constraint(&self) -> Constraint {
        let mut constraint = Constraint::at_least(&self.name, 0.0);
        (constraint.at_least, constraint.at_most) = (self.at_least, self.at_most);
        constraint
    }

    /// What is wrong with the bounds together.
    pub fn fault(&self) -> Option<String> {
        match (self.at_least, self.at_most) {
            (None, None) => {
                Some("found no bound, expected `at_least`, `at_most` or both".to_owned())
            }
            (Some(low), Some(high)) if low > high => Some(format!(
                "found at least {low} and at most {high}, expected bounds that leave something between them"
            )),
            _ => None,
        }
    }
}

/// How a method's final point is chosen.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ChooseConfig {
    /// By a rule.
    Rule(ChooseRule),
    /// The best of one score.
    Best(ChooseBest),
    /// The best weighted sum of the normalised scores.
    Weights(ChooseWeights),
}

/// Rules by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChooseRule {
    /// The greatest sum of the normalised metrics.
    BestMetricSum,
    /// The knee of the Pareto front.
    Knee,
}

/// The best of one score, perhaps within a tolerance of the others.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChooseBest {
    /// Name of the score: `loss` or a metric, outside of runs an objective.
    pub best: String,
    /// Tolerances of other scores by name, in their own units: only points count whose score is at most so much worse than
    /// the best of that score among all points. If no point is within all tolerances, the one that misses them least.
    #[serde(default)]
    pub within: BTreeMap<String, Tolerance>,
}

/// A number that is not negative.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Tolerance(#[schemars(range(min = 0.0))] pub f64);

/// A weighted sum of the normalised scores.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChooseWeights {
    /// Weights of scores by name; what is not named does not count.
    pub weights: BTreeMap<String, f64>,
}
