//! What configurations say about a judge.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What both judges have in common: whom to ask, how, and how much that may cost.
///
/// Options with `x-runtime` in their schema do not change a score: a run may go on with other values of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AskOptions {
    /// Where the endpoint is, up to and without `/chat/completions`: `https://api.openai.com/v1`,
    /// `http://localhost:8000/v1`.
    pub base_url: String,
    /// The model's name, as the endpoint knows it.
    pub model: String,
    /// Name of the environment variable that holds the key, for example `OPENAI_API_KEY`; a local server needs none.
    #[serde(default)]
    #[schemars(extend("x-runtime" = true))]
    pub api_key_env: Option<String>,
    /// A system prompt.
    #[serde(default)]
    pub system: Option<String>,
    /// Sampling temperature; `null` leaves it to the endpoint.
    #[serde(default = "AskOptions::default_temperature")]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f64>,
    /// Sampling seed, for endpoints that know it. A question that is asked again has the next one.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Most tokens of a reply; `null` leaves it to the endpoint.
    #[serde(default = "AskOptions::default_max_tokens")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u32>,
    /// Further fields of the request, for example `{ top_p: 0.9 }`, or `{ max_completion_tokens: 2000 }` beside
    /// `max_tokens: null` for models that think first.
    #[serde(default)]
    pub extra: Map<String, Value>,
    /// How often a question is asked again whose reply cannot be read.
    #[serde(default = "AskOptions::default_reasks")]
    #[schemars(range(max = 20))]
    pub reasks: u32,
    /// Share of the examples that may stay without a readable reply; more is an error.
    #[serde(default = "AskOptions::default_max_failed_share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_failed_share: f64,
    /// Most requests under way at once. Each waits in a thread of its own, beyond the thread budget: it computes nothing.
    #[serde(default = "AskOptions::default_concurrency")]
    #[schemars(range(min = 1, max = 256), extend("x-runtime" = true))]
    pub concurrency: usize,
    /// Longest time for one request, in seconds.
    #[serde(default = "AskOptions::default_timeout_s")]
    #[schemars(range(min = 0.001, max = 86400.0), extend("x-runtime" = true))]
    pub timeout_s: f64,
    /// How often a request is made again after a fault that may pass: no connection, a timeout, an answer cut short,
    /// status 408, 409, 425, 429 or 500 and above.
    #[serde(default = "AskOptions::default_retries")]
    #[schemars(range(max = 100), extend("x-runtime" = true))]
    pub retries: u32,
    /// Wait before the first retry, in seconds; doubled for each further one, less a random part of up to one half. An
    /// endpoint's `Retry-After` goes before it.
    #[serde(default = "AskOptions::default_retry_delay_s")]
    #[schemars(range(min = 0.0, max = 3600.0), extend("x-runtime" = true))]
    pub retry_delay_s: f64,
    /// Longest wait before a retry, in seconds. An endpoint that asks for more ends the scoring.
    #[serde(default = "AskOptions::default_max_wait_s")]
    #[schemars(range(min = 0.0, max = 86400.0), extend("x-runtime" = true))]
    pub max_wait_s: f64,
    /// Most requests in a minute, spread evenly; `null` for no limit.
    #[serde(default)]
    #[schemars(range(min = 0.01), extend("x-runtime" = true))]
    pub requests_per_minute: Option<f64>,
    /// What one process may spend, answers from the cache not counted. Where it ends, scoring stops with an error; all
    /// that was answered is kept.
    #[serde(default)]
    #[schemars(extend("x-runtime" = true))]
    pub budget: Budget,
    /// Folder where replies are kept; by default `judge` in the cache folder that the host gives.
    #[serde(default)]
    #[schemars(extend("x-runtime" = true))]
    pub cache: Option<PathBuf>,
}

/// Ceilings; `null` for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Most requests, retries counted.
    pub requests: Option<u64>,
    /// Most tokens of prompts and replies, as the endpoint counts them. Requests under way when it is reached still
    /// finish.
    pub tokens: Option<u64>,
}

impl AskOptions {
    #[expect(clippy::unnecessary_wraps, reason = "the option's own type")]
    fn default_temperature() -> Option<f64> {
        Some(0.0)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the option's own type")]
    fn default_max_tokens() -> Option<u32> {
        Some(32)
    }

    fn default_reasks() -> u32 {
        2
    }

    fn default_max_failed_share() -> f64 {
        0.05
    }

    fn default_concurrency() -> usize {
        8
    }

    fn default_timeout_s() -> f64 {
        60.0
    }

    fn default_retries() -> u32 {
        5
    }

    fn default_retry_delay_s() -> f64 {
        1.0
    }

    fn default_max_wait_s() -> f64 {
        120.0
    }
}
