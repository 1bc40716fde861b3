//! The options of `random` and `sobol`.

use bomf_plugin_api::Stopping;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `random` and `sobol`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoppingOptions {
    /// Ends hyperparameter trials early that will not become good: `{ rule: median, warmup_steps: 0, min_trials: 5 }`. None
    /// is ended unless given.
    pub stopping: Option<Stopping>,
}
