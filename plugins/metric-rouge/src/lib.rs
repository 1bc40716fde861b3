//! ROUGE (Lin 2004): how much of the references' words, word groups and word order a prediction has.
//!
//! | name | scores | as in rouge_score 0.1.2 |
//! |---|---|---|
//! | `rouge` | `rouge1`, `rouge2`, `rougeL`, `rougeLsum` | the same names; the mean over the examples |
//! | `rouge_n` | `rouge_n` | `rougeN` for any `n` |
//! | `rouge_interval` | `rouge1_low`, `rouge1_mid`, `rouge1_high`, ... | `BootstrapAggregator` |
//!
//! All lie between 0 and 1, look at the columns `predicted_text` and `reference_text`, and give one value per example (but
//! for the intervals). Of several references the one with the best F counts, for each score by itself.
//!
//! ```
//! use bomf_plugin_api::{Context, Table, column};
//!
//! let rouge = metric_rouge::library().make_metric("rouge", "{}", &Context::default()).unwrap();
//! let examples = Table::new(1)
//!     .with_texts(column::PREDICTED_TEXT, ["the cat sat"])
//!     .and_then(|table| table.with_texts(column::REFERENCE_TEXT, ["The cat is on the mat."]))
//!     .unwrap();
//! let scores = rouge.score(&examples).unwrap();
//! assert_eq!(scores.get("rouge1"), Some(4.0 / 9.0)); // 2 of 3 words, 2 of 6: their harmonic mean
//! assert_eq!(scores.signature, "rouge|measure:f|stemmer:no|tokenizer:rouge_score|version:0.1.0");
//! ```
//!
//! The types to know: [`Rouge`], [`RougeN`], [`RougeInterval`].

mod interval;
mod lcs;
mod ngrams;
mod options;
mod score;
mod scorer;
mod tokenize;

pub use interval::{IntervalOptions, RougeInterval};
pub use options::{Measure, RougeNOptions, RougeOptions, Tokenizer};
pub use score::{Rouge, RougeN};

bomf_plugin_api::export_plugin!(
    metric: Rouge,
    metric: RougeN,
    metric: RougeInterval,
);

#[cfg(test)]
mod tests;
