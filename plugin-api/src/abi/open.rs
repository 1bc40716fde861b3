//! The host's side: a library is opened and its root module checked.

use std::path::Path;

use abi_stable::abi_stability::abi_checking::{
    AbiInstabilityErrors, CheckingGlobals, check_layout_compatibility_with_globals,
};
use abi_stable::library::{LibHeader, lib_header_from_path};
use abi_stable::std_types::RStr;
use abi_stable::type_layout::TypeLayout;

use super::root::{AbiHost, AbiHost_TO, RootRef, level_of};
use super::{check, from_json, fuser, metric, model, optimizer, outcome, to_json};
use crate::descriptor::Manifest;
use crate::error::{PluginError, Result};
use crate::fuser::Fuser;
use crate::library::Context;
use crate::logging::LogSink;
use crate::metric::Metric;
use crate::model::ModelBackend;
use crate::optimizer::Optimizer;

/// Why a file is not a plugin that this host can use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// The system cannot open it, or it is no plugin at all.
    NotAPlugin(String),
    /// It was built against an API that does not fit: one line per fault; the whole dump for `--verbose`.
    Incompatible {
        /// One line per fault: path of field names, expected, found.
        faults: Vec<String>,
        /// Everything that abi_stable has to say.
        details: String,
    },
    /// It was built with `panic = "abort"`, so that its panics would end the host.
    Aborts,
    /// Its own code reported an error while it was set up.
    Setup(PluginError),
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LoadError::NotAPlugin(why) => write!(f, "found no bomf plugin: {why}"),
            LoadError::Incompatible { faults, .. } => {
                write!(f, "found a plugin built against an API that does not fit")?;
                faults
                    .iter()
                    .try_for_each(|fault| write!(f, "\n    {fault}"))
            }
            LoadError::Aborts => f.write_str(
                "found a plugin built with `panic = \"abort\"`, expected `panic = \"unwind\"`: \
                 a panic in it would end the host",
            ),
            LoadError::Setup(error) => write!(f, "the plugin could not be set up: {error}"),
        }
    }
}

impl std::error::Error for LoadError {}

/// An open plugin library. It stays open until the process ends.
#[derive(Clone, Copy)]
pub struct LoadedLibrary {
    root: RootRef,
}

struct Sink<S>(S);

impl<S: LogSink> AbiHost for Sink<S> {
    fn log_enabled(&self, level: u8, target: RStr<'_>) -> bool {
        self.0.enabled(level_of(level), &target)
    }

    fn log(&self, level: u8, target: RStr<'_>, message: RStr<'_>) {
        self.0.log(level_of(level), &target, &message);
    }
}

impl LoadedLibrary {
    /// Opens a library (which runs its initialisers: read its manifest first), checks that its root module fits in one
    /// direction or the other, and hands it a place for its log events.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn open(path: &Path, logs: impl LogSink) -> Result<Self, LoadError> {
        let header = lib_header_from_path(path)
            .map_err(|error| LoadError::NotAPlugin(first_line(&error.to_string())))?;
        let root = checked_root(header)?;
        if !(root.unwinds())() {
            return Err(LoadError::Aborts);
        }
        let host = AbiHost_TO::from_value(Sink(logs), abi_stable::erased_types::TD_Opaque);
        outcome((root.initialize())(host)).map_err(LoadError::Setup)?;
        Ok(Self { root })
    }

    /// What the library says about itself.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn manifest(&self) -> Result<Manifest> {
        from_json(&outcome((self.root.manifest())())?, "manifest")
    }

    /// Makes a metric from its options as JSON.
    ///
    /// # Errors
    /// When the library has none of that name, or refuses the options.
    pub fn metric(&self, name: &str, options: &str, context: &Context) -> Result<Box<dyn Metric>> {
        let make = self.root.metric();
        let made = make(name.into(), options.into(), to_json(context)?.as_rstr());
        Ok(Box::new(metric::Import(outcome(made)?)))
    }

    /// Makes an optimizer from its options as JSON.
    ///
    /// # Errors
    /// When the library has none of that name, or refuses the options.
    pub fn optimizer(
        &self,
        name: &str,
        options: &str,
        context: &Context,
    ) -> Result<Box<dyn Optimizer>> {
        let make = self.root.optimizer();
        let made = make(name.into(), options.into(), to_json(context)?.as_rstr());
        Ok(Box::new(optimizer::Import(outcome(made)?)))
    }

    /// Makes a fuser from its options as JSON.
    ///
    /// # Errors
    /// When the library has none of that name, or refuses the options.
    pub fn fuser(&self, name: &str, options: &str, context: &Context) -> Result<Box<dyn Fuser>> {
        let make = self.root.fuser();
        let made = make(name.into(), options.into(), to_json(context)?.as_rstr());
        Ok(Box::new(fuser::Import(outcome(made)?)))
    }

    /// Makes a model backend from its options as JSON.
    ///
    /// # Errors
    /// When the library has none of that name, or refuses the options.
    pub fn model(
        &self,
        name: &str,
        options: &str,
        context: &Context,
    ) -> Result<Box<dyn ModelBackend>> {
        let make = self.root.model();
        let made = make(name.into(), options.into(), to_json(context)?.as_rstr());
        Ok(Box::new(model::Import(outcome(made)?)))
    }
}

/// The root module, once it is known to fit.
///
/// abi_stable accepts a library that has more at the end than this host, and refuses one that has less. Both are fine
/// here (missing fields read as `None`, missing methods run their defaults), so the check is made both ways.
fn checked_root(header: &'static LibHeader) -> Result<RootRef, LoadError> {
    let ours = <RootRef as abi_stable::StableAbi>::LAYOUT;
    let theirs = header
        .layout()
        .ok_or_else(|| LoadError::NotAPlugin("it carries no layout to be checked".to_owned()))?;
    if let Err(errors) = compare(ours, theirs)
        && compare(theirs, ours).is_err()
    {
        return Err(LoadError::Incompatible {
            faults: check::faults(&errors),
            details: errors.to_string(),
        });
    }
    // SAFETY: the layouts were found compatible, in one of the two directions that grow at the end only.
    unsafe { header.init_root_module_with_unchecked_layout::<RootRef>() }
        .map_err(|error| LoadError::NotAPlugin(first_line(&error.to_string())))
}

/// Compares two layouts and nothing else. abi_stable's own table of what other libraries had would refuse a library because
/// of an older one that was opened before; but libraries meet the host only, never each other.
fn compare(
    expected: &'static TypeLayout,
    found: &'static TypeLayout,
) -> Result<(), AbiInstabilityErrors> {
    check_layout_compatibility_with_globals(expected, found, &CheckingGlobals::new())
}

fn first_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
