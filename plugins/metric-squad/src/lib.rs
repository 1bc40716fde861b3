//! Exact match and F1 of answers, with the numbers of SQuAD's official scripts.
//!
//! | name | scores | range |
//! |---|---|---|
//! | `squad` | `exact_match`, `f1`: SQuAD 1.1, every question has an answer | 0 to 100 |
//! | `squad_v2` | `exact`, `f1`, those of questions with and without an answer, and the best that a threshold would give | 0 to 100 |
//!
//! Both look at the columns `predicted_text` and `reference_text`; for `squad_v2` a row without a reference is a question without
//! an answer, and the column `no_answer_probability` may be there. Answers are compared in lower case, without punctuation
//! and articles; the best of several references counts.
//!
//! ```
//! use bomf_plugin_api::{Context, Table, column};
//!
//! let squad = metric_squad::library().make_metric("squad", "{}", &Context::default()).unwrap();
//! let examples = Table::new(2)
//!     .with_texts(column::PREDICTED_TEXT, ["the Eiffel Tower!", "in 1889"])
//!     .and_then(|table| table.with_texts(column::REFERENCE_TEXT, ["Eiffel tower", "1889"]))
//!     .unwrap();
//! let scores = squad.score(&examples).unwrap();
//! assert_eq!(scores.get("exact_match"), Some(50.0));
//! assert_eq!(scores.per_example[1].1[0], 100.0);
//! ```
//!
//! The types to know: [`Squad`], [`SquadV2`].

mod answers;
mod questions;
mod squad;
mod squad_v2;

pub use squad::Squad;
pub use squad_v2::{SquadV2, SquadV2Options};

bomf_plugin_api::export_plugin!(metric: Squad, metric: SquadV2);

#[cfg(test)]
mod tests;
