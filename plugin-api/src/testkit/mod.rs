//! Conformance suites: what every plugin of a kind has to satisfy, ours or not.
//!
//! Suites panic with a claim that does not hold, and are meant to be called from tests. They take the plain trait objects
//! that both [`crate::Library`] (in process) and [`crate::abi::LoadedLibrary`] (across the border) make, so that a plugin
//! runs the same suite both ways.

pub mod fuser;
pub mod manifest;
pub mod metric;
pub mod model;
pub mod optimizer;
pub mod tolerance;

/// Runs a suite that has to fail and returns the claim that did not hold.
#[cfg(test)]
fn claim_that_fails(suite: impl FnOnce()) -> String {
    let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(suite))
        .expect_err("the suite has to find a fault");
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .expect("panics carry a text")
}
