//! The true and the predicted number of every row.

use bomf_plugin_api::{PluginError, Result, Table, column};

/// Both columns, `[rows]` each, finite and not empty.
pub(crate) fn pairs<'a>(examples: &'a Table<'_>) -> Result<(&'a [f64], &'a [f64])> {
    if examples.rows() == 0 {
        return Err(PluginError::input(
            "found no example, expected one or more to score",
        ));
    }
    Ok((
        finite(examples, column::VALUE)?,
        finite(examples, column::PREDICTED_VALUE)?,
    ))
}

fn finite<'a>(examples: &'a Table<'_>, name: &str) -> Result<&'a [f64]> {
    let values = examples.numbers(name)?;
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(values),
        Some(row) => {
            let message = format!(
                "found {} in row {row} of column `{name}`, expected a finite number",
                values[row]
            );
            // What a model predicts is its own failure; what stands in the data is the user's.
            Err(match name {
                column::PREDICTED_VALUE => PluginError::failed(message),
                _ => PluginError::input(message),
            })
        }
    }
}
