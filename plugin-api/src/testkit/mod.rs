//! Conformance suites: what every plugin of a kind has to satisfy, ours or not.
//!
//! Suites panic with a claim that does not hold, and are meant to be called from tests, in process or across the border.

pub mod fuser;
pub mod tolerance;
