//! What weights look like on disk, and how they are combined in memory.

pub mod rules;
