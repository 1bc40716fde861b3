//! Counts of tokens.

use bomf_plugin_api::{PluginError, Result, Table};

/// Refuses a split without an example: it has no score.
pub(crate) fn refuse_empty(examples: &Table<'_>) -> Result<()> {
    if examples.rows() == 0 {
        return Err(PluginError::input(
            "found no example, expected one or more to score",
        ));
    }
    Ok(())
}

/// A column of counts, `[rows]`, none below 0.
pub(crate) fn counts<'a>(examples: &'a Table<'_>, name: &str) -> Result<&'a [i64]> {
    let counts = examples.integers(name)?;
    match counts.iter().position(|&count| count < 0) {
        None => Ok(counts),
        Some(row) => Err(PluginError::input(format!(
            "found {} in row {row} of column `{name}`, expected a count",
            counts[row]
        ))),
    }
}

/// Says what to do where the backend does not report a column.
pub(crate) fn not_reported(error: PluginError, what: &str) -> PluginError {
    error.hint(format!(
        "this metric needs a model backend that reports {what} of every example"
    ))
}
