//! What weights look like on disk, and how they are combined in memory.
//!
//! The library knows files and numbers: no plugin, no configuration, no model. [`checkpoint::Checkpoint`] opens what
//! training leaves behind, [`compare`] says where members differ, [`linear`] averages them block by block, [`mod@write`] makes
//! a folder that appears whole or not at all, [`record`] says how it was made. [`rules`] holds the other ways to merge tensors.

pub mod checkpoint;
pub mod compare;
pub mod digest;
pub mod dtype;
pub mod error;
pub mod kernel;
pub mod linear;
pub mod record;
pub mod rules;
pub mod write;

pub use checkpoint::Checkpoint;
pub use dtype::Dtype;
pub use error::{Error, Result};
