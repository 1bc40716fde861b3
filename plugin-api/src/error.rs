//! The one error type that crosses the border.

use serde::{Deserialize, Serialize};

/// What went wrong inside a plugin, in the words of the plugin.
///
/// The host adds which plugin it was and what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PluginError {
    /// What kind of failure it is; decides the host's exit code.
    #[serde(default)]
    pub kind: ErrorKind,
    /// What was found and what was expected: lower case, no full stop.
    pub message: String,
    /// What to do next, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Where the cause of a [`PluginError`] lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// Options, files or values from outside are not as they have to be.
    Input,
    /// The plugin cannot do this (an optional ability it does not have).
    Unsupported,
    /// The work failed while it ran. Kinds this version does not know read as this one.
    #[default]
    #[serde(other)]
    Failed,
}

/// The result of everything a plugin returns.
pub type Result<T, E = PluginError> = std::result::Result<T, E>;

impl PluginError {
    /// An error about something that came from outside.
    pub fn input(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Input,
            message: message.into(),
            hint: None,
        }
    }

    /// An ability that this plugin does not have.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Unsupported,
            message: message.into(),
            hint: None,
        }
    }

    /// Work that failed while it ran.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Failed,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for PluginError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PluginError {}
