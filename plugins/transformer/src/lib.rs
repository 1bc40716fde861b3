//! Transformer architectures, generic over the engine that executes the tensor code, with what a model backend needs
//! around them: text, training, prediction, folders that `transformers` loads.
//!
//! A backend implements [`Engine`] and hands itself to [`TextModel::open`].

mod bert;
mod engine;
mod export;
mod features;
mod model;
mod schedule;
mod source;
mod text;
mod training;
mod weights;

pub use bert::{Bert, Config, DropoutSeeds, Pooling};
pub use engine::{AdamW, Dropout, Engine};
pub use model::{Settings, TextModel};
pub use source::Source;
pub use text::{Batch, Encoded, Split, Targets};
pub use weights::Weights;
