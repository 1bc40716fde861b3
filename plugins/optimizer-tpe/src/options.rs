//! What configurations may say.

use bomf_plugin_api::Stopping;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `tpe`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TpeOptions {
    /// Random points before the densities take over. Where there are coefficients and nothing else they come after the
    /// members and their uniform average.
    #[schemars(range(min = 0, max = 10000))]
    pub initial: usize,
    /// Points drawn per suggestion, of which the most promising is taken. More trust the densities more.
    #[schemars(range(min = 1, max = 100000))]
    pub candidates: usize,
    /// Ends hyperparameter trials early that will not become good: `{ rule: median, warmup_steps: 0, min_trials: 5 }`. None
    /// is ended unless given.
    pub stopping: Option<Stopping>,
}

impl Default for TpeOptions {
    fn default() -> Self {
        Self {
            initial: 10,
            candidates: 24,
            stopping: None,
        }
    }
}
