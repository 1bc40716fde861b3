//! METEOR (Banerjee and Lavie 2005) as nltk computes it: words aligned by form, by stem and by WordNet's synonyms.
//!
//! | name | scores | as in |
//! |---|---|---|
//! | `meteor` | `meteor`, 0 to 1, the mean over the examples | nltk 3.10.4's `meteor_score` |
//!
//! It looks at the columns `predicted_text` and `reference_text`, and gives one value per example; of several references
//! the best one counts. It reads the database files of WordNet 3.0 and refuses to work without them. With `tokenizer: punkt` it finds
//! sentences with nltk's trained model first, as Hugging Face's evaluate does.
//!
//! ```no_run
//! use bomf_plugin_api::{Context, Table, column};
//!
//! let options = r#"{"wordnet": "/usr/share/wordnet"}"#;
//! let meteor = metric_meteor::library().make_metric("meteor", options, &Context::default()).unwrap();
//! let examples = Table::new(1)
//!     .with_texts(column::PREDICTED_TEXT, ["A child bought an automobile."])
//!     .and_then(|table| table.with_texts(column::REFERENCE_TEXT, ["A child bought a car."]))
//!     .unwrap();
//! println!("{:?}", meteor.score(&examples).unwrap().get("meteor"));
//! ```
//!
//! The types to know: [`Meteor`], [`WordNet`].

mod align;
mod assets;
mod characters;
mod meteor;
mod punkt;
mod treebank;
mod wordnet;
mod words;

pub use meteor::{Meteor, MeteorOptions, Tokenizer};
pub use wordnet::WordNet;

bomf_plugin_api::export_plugin!(metric: Meteor);

#[cfg(test)]
mod tests;
