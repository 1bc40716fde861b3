//! Which labels there may be, and what to say about one that is none.

use bomf_plugin_api::{PluginError, Result, Table, Values, column};

/// No task has more labels than this: a greater number is a fault in the data, and counting it would fill the memory.
pub(crate) const MOST_LABELS: usize = 1 << 20;

/// The number of labels of the task, if the predictions say it: the width of `predicted_scores`, where a single score is
/// that of label 1 of two.
pub(crate) fn declared(examples: &Table<'_>) -> Result<Option<usize>> {
    let Some(scores) = examples.get(column::PREDICTED_SCORES) else {
        return Ok(None);
    };
    if !matches!(scores.values(), Values::Numbers(_)) {
        return Err(PluginError::input(format!(
            "found no numbers in column `{}`, expected one per label",
            column::PREDICTED_SCORES
        )));
    }
    let mut widths = (0..examples.rows()).map(|row| scores.range(row).len());
    let Some(first) = widths.next() else {
        return Ok(None);
    };
    if let Some(later) = widths.position(|width| width != first) {
        let row = later + 1;
        return Err(PluginError::input(format!(
            "found {} numbers in row {row} of column `{}`, expected {first} as in row 0",
            scores.range(row).len(),
            column::PREDICTED_SCORES
        )));
    }
    Ok(Some(if first == 1 { 2 } else { first }))
}

/// Refuses a split without an example: it has no score.
pub(crate) fn refuse_empty(examples: &Table<'_>) -> Result<()> {
    if examples.rows() == 0 {
        return Err(PluginError::input(
            "found no example, expected one or more to score",
        ));
    }
    Ok(())
}

/// Says which label is out of range, and where.
pub(crate) fn out_of_range(label: i64, row: usize, name: &str, bound: usize) -> PluginError {
    PluginError::input(format!(
        "found the label {label} in row {row} of column `{name}`, expected 0 to {}",
        bound.saturating_sub(1)
    ))
}

/// The label as an index below `bound`.
pub(crate) fn index(label: i64, bound: usize) -> Option<usize> {
    usize::try_from(label).ok().filter(|&index| index < bound)
}
