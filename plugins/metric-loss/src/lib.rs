//! Metrics of what the model backend reports beside its predictions: losses and right tokens.
//!
//! | name | score | range |
//! |---|---|---|
//! | `perplexity` | e to the mean loss of a token, lower is better | from 1 |
//! | `token_accuracy` | share of tokens that were the most likely ones | 0 to 1 |
//!
//! `perplexity` looks at the columns `loss` (in nats, the mean over the example's tokens) and `tokens` (how many these are):
//! each example counts as much as it has tokens. Without `tokens`, each counts once. `token_accuracy` looks at
//! `right_tokens` and `tokens`.
//!
//! ```
//! use bomf_plugin_api::{Context, Table, column};
//!
//! let perplexity = metric_loss::library().make_metric("perplexity", "{}", &Context::default()).unwrap();
//! let examples = Table::new(2)
//!     .with_numbers(column::LOSS, vec![0.0, 4f64.ln()])
//!     .and_then(|table| table.with_integers(column::TOKENS, vec![3, 3]))
//!     .unwrap();
//! let scores = perplexity.score(&examples).unwrap();
//! assert!((scores.values[0].1 - 2.0).abs() < 1e-12);
//! ```
//!
//! The types to know: [`Perplexity`], [`TokenAccuracy`].

mod perplexity;
mod token_accuracy;
mod tokens;

pub use perplexity::Perplexity;
pub use token_accuracy::TokenAccuracy;

bomf_plugin_api::export_plugin!(metric: Perplexity, metric: TokenAccuracy);

#[cfg(test)]
mod tests;
