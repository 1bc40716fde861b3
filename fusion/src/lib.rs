//! What weights look like on disk, and how they are combined in memory.
//!
//! The library knows files and numbers: no plugin, no configuration, no model. [`checkpoint::Checkpoint`] opens what
//! training leaves behind, [`compare`] says where models differ, [`plan`] which tensor is made of what, [`stream`] makes them
//! block by block, [`mod@write`] a folder that appears whole or not at all, [`record`] says how it was made. [`rules`] holds the
//! ways to merge tensors.

pub mod card;
pub mod checkpoint;
pub mod compare;
pub mod digest;
pub mod dtype;
pub mod error;
pub mod kernel;
mod linear;
pub mod lora;
mod merge;
pub mod plan;
pub mod recipe;
pub mod record;
pub mod rules;
pub mod stream;
mod work;
pub mod write;

pub use checkpoint::Checkpoint;
pub use dtype::Dtype;
pub use error::{Error, Result};
