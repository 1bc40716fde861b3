//! Metrics for classification, with the numbers of scikit-learn.
//!
//! | name | score | range |
//! |---|---|---|
//! | `accuracy` | share of right labels; a row may have several right ones | 0 to 1 |
//! | `f1` | harmonic mean of precision and recall | 0 to 1 |
//! | `precision` | share of right ones among those predicted to be of a class | 0 to 1 |
//! | `recall` | share of a class that was found | 0 to 1 |
//! | `matthews` | Matthews correlation, of any number of classes | -1 to 1 |
//! | `balanced_accuracy` | mean recall of the classes that occur among the labels | 0 to 1 |
//! | `auroc` | area under the receiver operating characteristic | 0 to 1 |
//! | `brier` | half the mean squared distance of the probabilities from the truth, lower is better | 0 to 1 |
//! | `ece` | expected calibration error, lower is better | 0 to 1 |
//!
//! The last three look at the columns `label` and `predicted_scores`, the others at `label` and `predicted_label`, over the
//! whole split at once. Where `predicted_scores` is there too, its width is the number of labels (a single score is that of
//! label 1 of two); without it, labels are those from 0 to the greatest that occurs, at least two.
//! A ratio of nothing to nothing is 0, as with scikit-learn's `zero_division=0`.
//!
//! ```
//! use bomf_plugin_api::{Context, Table, column};
//!
//! let f1 = metric_classification::library().make_metric("f1", "{}", &Context::default()).unwrap();
//! let examples = Table::new(4)
//!     .with_integers(column::LABEL, vec![1, 1, 0, 0])
//!     .and_then(|table| table.with_integers(column::PREDICTED_LABEL, vec![1, 0, 1, 0]))
//!     .unwrap();
//! let scores = f1.score(&examples).unwrap();
//! assert_eq!(scores.get("f1"), Some(0.5));
//! assert_eq!(scores.signature, "f1|average:binary|positive:1|version:0.1.0");
//! ```
//!
//! The types to know: [`Accuracy`], [`ByClass`], [`Auroc`].

mod accuracy;
mod auroc;
mod balanced_accuracy;
mod brier;
mod by_class;
mod counts;
mod ece;
mod label_scores;
mod labels;
mod matthews;

pub use accuracy::Accuracy;
pub use auroc::{AreaAverage, Auroc, AurocOptions, MultiClass};
pub use balanced_accuracy::BalancedAccuracy;
pub use brier::Brier;
pub use by_class::{Average, ByClass, ByClassOptions, F1, Precision, Ratio, Recall};
pub use counts::ClassCounts;
pub use ece::{Ece, EceOptions};
pub use matthews::Matthews;

bomf_plugin_api::export_plugin!(
    metric: Accuracy,
    metric: ByClass<F1>,
    metric: ByClass<Precision>,
    metric: ByClass<Recall>,
    metric: Matthews,
    metric: BalancedAccuracy,
    metric: Auroc,
    metric: Brier,
    metric: Ece,
);

#[cfg(test)]
mod tests;
