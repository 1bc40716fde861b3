//! The border itself: the only place that knows abi_stable.
//!
//! Control values (options, studies, specs, facts) cross as JSON, which both sides may extend; bulk data (columns,
//! tensors) crosses as borrowed or owned slices without a copy. Everything that runs in a plugin is guarded: a panic
//! becomes an error. The root module and every trait grow at the end only.
#![expect(
    unsafe_code,
    reason = "abi_stable's macros make unsafe code; our own is in `root` and `open`"
)]
#![allow(
    non_local_definitions,
    non_camel_case_types,
    clippy::needless_lifetimes,
    reason = "abi_stable's macros expand to such code"
)]

mod check;
mod fuser;
mod metric;
mod model;
mod open;
mod optimizer;
mod root;
mod values;

pub use open::{LoadError, LoadedLibrary};
pub use root::{Exported, LibHeader, header};

use std::ops::{Deref, DerefMut};

use abi_stable::std_types::{RResult, RString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{PluginError, Result};
use crate::library::guard;

/// What every call across the border returns; the error is a [`PluginError`] as JSON.
type AbiResult<T> = RResult<T, RString>;

/// Runs the plugin's side of a call.
fn answer<T>(work: impl FnOnce() -> Result<T>) -> AbiResult<T> {
    match guard(work) {
        Ok(value) => RResult::ROk(value),
        Err(error) => RResult::RErr(match serde_json::to_string(&error) {
            Ok(text) => text.into(),
            Err(_) => error.message.into(),
        }),
    }
}

/// A plugin's own value, in the host's hands. The host decides when it goes, and a panic on the way must not reach it.
struct Owned<T: ?Sized>(Option<Box<T>>);

impl<T: ?Sized> Owned<T> {
    fn new(value: Box<T>) -> Self {
        Self(Some(value))
    }
}

impl<T: ?Sized> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().expect("only `drop` takes the value")
    }
}

impl<T: ?Sized> DerefMut for Owned<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_deref_mut().expect("only `drop` takes the value")
    }
}

impl<T: ?Sized> Drop for Owned<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        let dropped = guard(|| {
            drop(value);
            Ok(())
        });
        if let Err(error) = dropped {
            tracing::error!("while it was dropped: {}", error.message);
        }
    }
}

/// Reads the answer on the host's side.
fn outcome<T>(answer: AbiResult<T>) -> Result<T> {
    answer.into_result().map_err(|text| {
        serde_json::from_str(&text).unwrap_or_else(|_| PluginError::failed(text.into_string()))
    })
}

fn to_json<T: Serialize>(value: &T) -> Result<RString> {
    let text = serde_json::to_string(value)
        .map_err(|error| PluginError::failed(format!("cannot write a value as JSON: {error}")))?;
    Ok(text.into())
}

fn from_json<T: DeserializeOwned>(text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        PluginError::failed(format!("found a {what} that cannot be read: {error}"))
            .hint("host and plugin may be of different versions: update the older one")
    })
}
