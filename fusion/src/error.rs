//! What can go wrong with checkpoints.

use std::fmt;
use std::path::Path;

/// A result of this library.
pub type Result<T> = std::result::Result<T, Error>;

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was given is not as it has to be.
    Input,
    /// The system refused to read or write.
    Io,
}

/// What was found, where, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// Whose fault it is.
    pub kind: ErrorKind,
    /// Stable, for programs: `checkpoint::header`.
    pub code: &'static str,
    /// A file, and a tensor where there is one.
    pub place: String,
    /// What was found and what was expected.
    pub message: String,
    /// What to do next, where that is known.
    pub hint: Option<String>,
}

impl Error {
    /// What was given is not as it has to be.
    pub fn input(code: &'static str, place: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self {
            kind: ErrorKind::Input,
            code,
            place: place.to_string(),
            message: message.to_string(),
            hint: None,
        }
    }

    /// The system refused.
    pub fn io(code: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self {
            kind: ErrorKind::Io,
            ..Self::input(code, path.display(), error)
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}
