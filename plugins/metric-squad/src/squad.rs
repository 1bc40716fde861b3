//! SQuAD 1.1: every question has an answer.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table, column,
};

use crate::questions::{Questions, Worth};

/// Exact match and F1 of answers beside the best of their references, from 0 to 100.
pub struct Squad {
    threads: usize,
}

impl Component for Squad {
    type Options = ();

    fn describe() -> Descriptor {
        let summary = "exact match and F1 of answers, as SQuAD 1.1: 0 to 100";
        Descriptor::new(Kind::Metric, "squad", summary)
            .score(ScoreDescriptor::maximize("exact_match", 0.0, 100.0).per_example())
            .score(ScoreDescriptor::maximize("f1", 0.0, 100.0).per_example())
    }

    fn new((): (), context: &Context) -> Result<Self> {
        Ok(Self {
            threads: context.threads,
        })
    }
}

impl Metric for Squad {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let questions = Questions::of(examples)?;
        if let Some(row) = (0..questions.rows()).find(|&row| questions.references(row).len() == 0) {
            return Err(PluginError::input(format!(
                "found no answer in row {row} of column `{}`, expected one or more",
                column::REFERENCE_TEXT
            ))
            .hint("`squad_v2` scores questions without an answer"));
        }
        let each = questions.worth(
            self.threads,
            |_| true,
            |prediction, reference| Worth {
                exact: f64::from(u8::from(prediction.is_same(reference))),
                f1: prediction.f1(reference),
            },
        );
        let signature = concat!("squad|version:", env!("CARGO_PKG_VERSION"));
        Ok(Scores::new(signature)
            .mean_of(
                "exact_match",
                each.iter().map(|worth| 100.0 * worth.exact).collect(),
            )
            .mean_of("f1", each.iter().map(|worth| 100.0 * worth.f1).collect()))
    }
}
