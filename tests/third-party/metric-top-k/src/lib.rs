//! Share of examples whose label is among the k most likely ones.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table, column, export_plugin,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// The metric. It keeps its options and nothing else: the same instance scores many splits.
struct TopK {
    options: Options,
}

/// Users write these in their configuration; doc comments are what `bomf plugins show` prints.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// How many of the most likely labels count as an answer.
    #[schemars(range(min = 1))]
    k: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { k: 3 }
    }
}

impl Component for TopK {
    type Options = Options;

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Metric,
            "top_k",
            "share of labels among the k most likely ones",
        )
        .score(ScoreDescriptor::maximize("top_k", 0.0, 1.0).per_example())
    }

    fn new(options: Options, _: &Context) -> Result<Self> {
        if options.k == 0 {
            return Err(PluginError::input("found `k: 0`, expected 1 or more"));
        }
        Ok(Self { options })
    }
}

impl Metric for TopK {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        // 1. One label per row, and for every row one score per label.
        let labels = examples.integers(column::LABEL)?;
        let scores = examples.column(column::PREDICTED_SCORES)?;
        if labels.is_empty() {
            return Err(PluginError::input("found no example, expected one or more"));
        }
        let widest = scores.numbers(0).len();
        if self.options.k as usize >= widest {
            tracing::warn!(k = self.options.k, labels = widest, "every answer is right");
        }

        // 2. A label is found if fewer than k others are more likely.
        let mut found = Vec::with_capacity(labels.len());
        for (row, &label) in labels.iter().enumerate() {
            let scores = scores.numbers(row);
            let own = usize::try_from(label)
                .ok()
                .and_then(|label| scores.get(label));
            let Some(own) = own else {
                return Err(PluginError::input(format!(
                    "found the label {label} in row {row} of column `{}`, expected one of {} labels",
                    column::LABEL,
                    scores.len()
                ))
                .hint("metrics that look at scores need a model that gives one per label"));
            };
            let ahead = scores.iter().filter(|&score| score > own).count() as u64;
            found.push(if ahead < self.options.k { 1.0 } else { 0.0 });
        }

        // 3. The signature is printed beside the number: all that decides it.
        let signature = format!(
            "top_k|k:{}|version:{}",
            self.options.k,
            env!("CARGO_PKG_VERSION")
        );
        Ok(Scores::new(signature).mean_of("top_k", found))
    }
}

export_plugin!(metric: TopK);
