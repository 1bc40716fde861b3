//! What configurations may say.

use bomf_plugin_api::Stopping;
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `cma_es`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CmaEsOptions {
    /// Points per generation; `4 + 3 ln n` in `n` dimensions unless given. Doubled at each restart.
    #[schemars(range(min = 4, max = 100000))]
    pub population: Option<usize>,
    /// Standard deviation of the first generation, as a share of each range.
    #[schemars(range(min = 1e-6, max = 1.0))]
    pub sigma: f64,
    /// Try the members themselves and their uniform average first, and start from the average of the better half of
    /// them. Without, the search starts at the uniform average.
    pub members_first: bool,
    /// Ends hyperparameter trials early that will not become good: `{ rule: median, warmup_steps: 0, min_trials: 5 }`. None
    /// is ended unless given.
    pub stopping: Option<Stopping>,
}

impl Default for CmaEsOptions {
    fn default() -> Self {
        Self {
            population: None,
            sigma: 0.3,
            members_first: true,
            stopping: None,
        }
    }
}
