//! Metrics for regression, with the numbers of scipy and scikit-learn.
//!
//! | name | score | range |
//! |---|---|---|
//! | `pearson` | linear correlation | -1 to 1 |
//! | `spearman` | correlation of the ranks, ties averaged | -1 to 1 |
//! | `mse` | mean squared error, lower is better | from 0 |
//! | `rmse` | root of the mean squared error, lower is better | from 0 |
//! | `mae` | mean absolute error, lower is better | from 0 |
//!
//! All look at the columns `value` and `predicted_value`, over the whole split at once. A correlation with numbers that are
//! all the same is not defined: it is an error, and not 0.
//!
//! ```
//! use bomf_plugin_api::{Context, Table, column};
//!
//! let pearson = metric_regression::library().make_metric("pearson", "{}", &Context::default()).unwrap();
//! let examples = Table::new(3)
//!     .with_numbers(column::VALUE, vec![1.0, 2.0, 4.0])
//!     .and_then(|table| table.with_numbers(column::PREDICTED_VALUE, vec![0.5, 1.0, 2.0]))
//!     .unwrap();
//! assert_eq!(pearson.score(&examples).unwrap().get("pearson"), Some(1.0));
//! ```
//!
//! The types to know: [`Pearson`], [`Spearman`], [`Mse`].

mod correlation;
mod error;
mod pairs;

pub use correlation::{Pearson, Spearman};
pub use error::{Mae, Mse, Rmse};

bomf_plugin_api::export_plugin!(
    metric: Pearson,
    metric: Spearman,
    metric: Mse,
    metric: Rmse,
    metric: Mae,
);

#[cfg(test)]
mod tests;
