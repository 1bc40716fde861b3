//! What metrics of texts share.
//!
//! ```
//! assert_eq!(text::stem("relational"), "relat");
//!
//! let mut words = text::Vocabulary::default();
//! assert_eq!(words.number("a"), words.number("a"));
//! assert_ne!(words.number("a"), words.number("b"));
//! ```
//!
//! The types to know: [`Pairs`], the predictions of a split beside their references, scored by several threads;
//! [`Vocabulary`], which makes numbers of words.

mod pairs;
mod porter;
mod vocabulary;

pub use pairs::{Pairs, References};
pub use porter::stem;
pub use vocabulary::{Pool, Vocabulary};
