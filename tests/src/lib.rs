//! What the end-to-end tests share: the built binary, plugin folders, a tiny model with its data, plugins made on the spot.
//!
//! The tests look at bomf from outside, as its users do. `cargo xtask test` builds everything they need and says where it is;
//! without that they fail and say so.
//!
//! The types to know: [`Bomf`] (one call of the binary), [`Output`] (what it said), [`TinyRun`] (a folder with a model, data
//! and a configuration that runs in seconds).

pub mod binary;
pub mod conversation;
pub mod fixture;
pub mod plugin_folder;
pub mod safetensors;
pub mod tiny;

pub use binary::{Bomf, Output};
pub use conversation::Conversation;
pub use tiny::{Results, TinyRun};

use std::path::PathBuf;

/// The repository.
pub fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent()
        .expect("the tests are a folder of the repository")
        .to_owned()
}

/// The folder of built plugins, one folder each.
///
/// # Panics
/// When `cargo xtask test` did not say where it is.
pub fn plugins() -> PathBuf {
    from_xtask("BOMF_PLUGINS_DIR")
}

/// Where plugins that are made on the spot are built.
///
/// # Panics
/// When `cargo xtask test` did not say where it is.
pub fn fixtures() -> PathBuf {
    from_xtask("BOMF_FIXTURES_DIR")
}

/// A path that `cargo xtask test` hands over.
pub(crate) fn from_xtask(variable: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) if !path.is_empty() => path.into(),
        _ => panic!(
            "{variable} is not set: these tests need the built binary and plugins, run `cargo xtask test`"
        ),
    }
}

/// Says loudly that a test cannot run here, and fails if `variable` demands it.
///
/// # Panics
/// When the environment variable is set to anything but `0`.
pub fn skip(variable: &str, why: &str) {
    let required = std::env::var(variable).is_ok_and(|value| !value.is_empty() && value != "0");
    assert!(!required, "{variable} is set, but {why}");
    eprintln!("SKIPPED: {why} (set {variable}=1 to make this a failure)");
}
