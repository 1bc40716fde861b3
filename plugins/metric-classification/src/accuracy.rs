//! Share of right labels.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table, Values, column,
};

use crate::labels::{MOST_LABELS, declared, index, out_of_range, refuse_empty};

/// Share of rows whose predicted label is right. A row may have several right labels: any of them counts.
pub struct Accuracy;

impl Component for Accuracy {
    type Options = ();

    fn describe() -> Descriptor {
        Descriptor::new(Kind::Metric, "accuracy", "share of right labels")
            .score(ScoreDescriptor::maximize("accuracy", 0.0, 1.0).per_example())
    }

    fn new((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
}

impl Metric for Accuracy {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        refuse_empty(examples)?;
        let truth = examples.column(column::LABEL)?;
        if !matches!(truth.values(), Values::Integers(_)) {
            return Err(PluginError::input(format!(
                "found no integers in column `{}`, expected the index of a label",
                column::LABEL
            )));
        }
        let predicted = examples.integers(column::PREDICTED_LABEL)?;
        let bound = declared(examples)?.unwrap_or(MOST_LABELS);

        let mut right = Vec::with_capacity(examples.rows());
        for (row, &answer) in predicted.iter().enumerate() {
            index(answer, bound)
                .ok_or_else(|| out_of_range(answer, row, column::PREDICTED_LABEL, bound))?;
            let labels = truth.integers(row);
            if labels.is_empty() {
                return Err(PluginError::input(format!(
                    "found no label in row {row} of column `{}`, expected one or more",
                    column::LABEL
                )));
            }
            if let Some(&label) = labels.iter().find(|&&label| index(label, bound).is_none()) {
                return Err(out_of_range(label, row, column::LABEL, bound));
            }
            right.push(f64::from(u8::from(labels.contains(&answer))));
        }
        let signature = concat!("accuracy|version:", env!("CARGO_PKG_VERSION"));
        Ok(Scores::new(signature).mean_of("accuracy", right))
    }
}
