//! What can go wrong between a study and a suggestion.

use bomf_plugin_api::PluginError;

/// A failure of the model or the search.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GpError {
    /// A number that is not finite where only finite ones make sense.
    #[error("found a number that is not finite in {what}, expected finite numbers")]
    NotFinite {
        /// Where it was found.
        what: &'static str,
    },
    /// A covariance matrix that no jitter made positive definite.
    #[error("found an indefinite covariance matrix of {size} points, even with the largest jitter")]
    Indefinite {
        /// Rows of the matrix.
        size: usize,
    },
    /// Points or values of different lengths, or none.
    #[error("found {found} {what}, expected {expected}")]
    Length {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
}

/// Results of this crate.
pub type Result<T, E = GpError> = std::result::Result<T, E>;

impl From<GpError> for PluginError {
    fn from(error: GpError) -> Self {
        match error {
            GpError::NotFinite { .. } | GpError::Length { .. } => {
                PluginError::input(error.to_string())
            }
            GpError::Indefinite { .. } => PluginError::failed(error.to_string())
                .hint("this is a fault of the optimizer: report the study that caused it"),
        }
    }
}
