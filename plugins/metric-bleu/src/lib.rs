//! BLEU and chrF, with the numbers of evaluate and sacrebleu.
//!
//! | name | score | range |
//! |---|---|---|
//! | `bleu` | BLEU of a corpus as Hugging Face's evaluate computes it, and its parts | 0 to 1 |
//! | `sacrebleu` | BLEU of a corpus as sacrebleu computes it, and its parts | 0 to 100 |
//! | `sentence_bleu` | mean of sacrebleu's BLEU of every example by itself | 0 to 100 |
//! | `chrf` | chrF, or chrF++ with `word_order: 2`, as sacrebleu computes it | 0 to 100 |
//!
//! All look at the columns `predicted_text` and `reference_text`, with one reference or more per row, and at the whole split
//! at once. Counts are integers, so that results depend neither on the order of the rows nor on the number of threads.
//!
//! ```
//! use bomf_plugin_api::{Context, Table, column};
//!
//! let bleu = metric_bleu::library().make_metric("sacrebleu", "{}", &Context::default()).unwrap();
//! let examples = Table::new(1)
//!     .with_texts(column::PREDICTED_TEXT, ["The dog bit the man."])
//!     .and_then(|table| table.with_texts(column::REFERENCE_TEXT, ["The dog had bit the man."]))
//!     .unwrap();
//! let scores = bleu.score(&examples).unwrap();
//! assert_eq!(format!("{:.2}", scores.get("sacrebleu").unwrap()), "51.15");
//! assert_eq!(
//!     scores.signature,
//!     "BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:bomf-0.1.0"
//! );
//! ```
//!
//! The types to know: [`Bleu`], [`SacreBleu`], [`ChrF`].

mod bleu;
mod chrf;
mod counts;
mod ngrams;
mod pairs;
mod sacrebleu;
mod tokenizer;

pub use bleu::{Bleu, BleuOptions};
pub use chrf::{ChrF, ChrFOptions};
pub use sacrebleu::{SacreBleu, SacreBleuOptions, SentenceBleu, SmoothMethod};
pub use tokenizer::Tokenize;

bomf_plugin_api::export_plugin!(
    metric: Bleu,
    metric: SacreBleu,
    metric: SentenceBleu,
    metric: ChrF,
);

#[cfg(test)]
mod tests;
