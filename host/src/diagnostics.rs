//! What went wrong, where, and what to do next: the one place where errors become text and exit codes.

use std::fmt;

use bomf_plugin_api::{ErrorKind, PluginError};
use serde::Serialize;

use crate::registry::Fault;

/// Which exit code a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Bad input or configuration: 2.
    Input,
    /// A plugin: 3.
    Plugin,
    /// The run failed: 4.
    Run,
}

/// Why the program stops.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// Decides the exit code.
    pub class: Class,
    /// Stable, for programs: `config::unknown_key`.
    pub code: &'static str,
    /// File, key path, plugin, trial or tensor.
    pub place: String,
    /// What was found and what was expected.
    pub message: String,
    /// Lines of the source with a caret, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    fn new(
        class: Class,
        code: &'static str,
        place: impl ToString,
        message: impl Into<String>,
    ) -> Self {
        Self {
            class,
            code,
            place: place.to_string(),
            message: message.into(),
            excerpt: None,
            hint: None,
        }
    }

    /// Something from outside is not as it has to be.
    pub fn input(code: &'static str, place: impl ToString, message: impl Into<String>) -> Self {
        Self::new(Class::Input, code, place, message)
    }

    /// The run cannot go on.
    pub fn run(code: &'static str, place: impl ToString, message: impl Into<String>) -> Self {
        Self::new(Class::Run, code, place, message)
    }

    /// A plugin returned an error.
    pub fn plugin(plugin: &str, error: &PluginError) -> Self {
        let class = match error.kind {
            ErrorKind::Input => Class::Input,
            _ => Class::Plugin,
        };
        let place = format!("plugin `{plugin}`");
        let failure = Self::new(class, "plugin::failed", place, error.message.clone());
        Self {
            hint: error.hint.clone(),
            ..failure
        }
    }

    /// The user asked to stop.
    pub fn interrupted() -> Self {
        Self::run(
            "run::interrupted",
            "run",
            "stopped as asked, all that was finished is on disk",
        )
        .hint("the same command with `--resume` goes on from here")
    }

    /// A file could not be read or written.
    pub fn io(code: &'static str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let failure = Self::run(code, path.display(), error.to_string());
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => failure.hint(
                "make room on the disk, then go on with `--resume`: all that was finished is kept",
            ),
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                failure.hint("name a folder that can be written to with `--out`")
            }
            _ => failure,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether a plugin failed while it worked, so that the trial failed and not the run.
    pub fn is_plugin_failure(&self) -> bool {
        self.class == Class::Plugin
    }

    /// The exit code: 2, 3 or 4.
    pub fn exit_code(&self) -> u8 {
        match self.class {
            Class::Input => 2,
            Class::Plugin => 3,
            Class::Run => 4,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}] {}: {}", self.code, self.place, self.message)?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "\n{excerpt}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  {hint}")?;
        }
        Ok(())
    }
}

impl From<fusion::Error> for Failure {
    fn from(error: fusion::Error) -> Self {
        let class = match error.kind {
            fusion::error::ErrorKind::Input => Class::Input,
            fusion::error::ErrorKind::Io => Class::Run,
        };
        let failure = Self::new(class, error.code, error.place, error.message);
        Self {
            hint: error.hint,
            ..failure
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let failure = Self::new(Class::Plugin, fault.code, fault.place, fault.message);
        Self {
            hint: fault.hint,
            ..failure
        }
    }
}

/// Everything wrong that was found before stopping; never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Failures(pub Vec<Failure>);

impl From<Failure> for Failures {
    fn from(failure: Failure) -> Self {
        Self(vec![failure])
    }
}

impl From<Fault> for Failures {
    fn from(fault: Fault) -> Self {
        Failure::from(fault).into()
    }
}

impl Failures {
    /// The exit code of the first failure.
    pub fn exit_code(&self) -> u8 {
        self.0.first().map_or(4, Failure::exit_code)
    }
}
