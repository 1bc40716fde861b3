//! BLEU as Hugging Face's evaluate computes it.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table, column,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::counts::{Counts, REPORTED_ORDERS, Reading, ReferenceLength};
use crate::pairs::Pairs;
use crate::tokenizer::{Tokenize, Tokenizer};

/// Corpus BLEU with `13a` tokens, the shortest reference's length and no smoothing, from 0 to 1.
pub struct Bleu {
    reading: Reading,
    smooth: bool,
    threads: usize,
}

/// What may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BleuOptions {
    /// The longest n-grams that count.
    #[schemars(range(min = 1, max = 32))]
    pub max_order: u64,
    /// Whether one is added to the matches and to the n-grams of every order (Lin and Och 2004), so that an order without
    /// a match does not make the score 0.
    pub smooth: bool,
}

impl Default for BleuOptions {
    fn default() -> Self {
        Self {
            max_order: 4,
            smooth: false,
        }
    }
}

impl Component for Bleu {
    type Options = BleuOptions;

    fn describe() -> Descriptor {
        let summary = "n-grams in common with references, as evaluate's bleu: 0 to 1";
        with_parts(
            Descriptor::new(Kind::Metric, "bleu", summary)
                .score(ScoreDescriptor::maximize("bleu", 0.0, 1.0)),
            1.0,
        )
    }

    fn new(options: BleuOptions, context: &Context) -> Result<Self> {
        Ok(Self {
            reading: Reading {
                tokenizer: Tokenizer::new(Tokenize::V13a),
                lowercase: false,
                trim_end: false,
                reference_length: ReferenceLength::Shortest,
                max_order: checked_order(options.max_order)?,
            },
            smooth: options.smooth,
            threads: context.threads,
        })
    }
}

impl Metric for Bleu {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let pairs = Pairs::of(examples)?;
        let counts = self.reading.count(&pairs, self.threads);
        if counts.reference_length == 0 {
            return Err(PluginError::input(format!(
                "found a reference without a token in every row of column `{}`, expected a row without one",
                column::REFERENCE_TEXT
            )));
        }
        let precisions = self.precisions(&counts);
        let score =
            counts.brevity_penalty() * geometric_mean(&precisions[..self.reading.max_order]);
        let signature = format!(
            "bleu|nrefs:{}|tok:13a|max_order:{}|smooth:{}|version:{}",
            pairs.width(),
            self.reading.max_order,
            if self.smooth { "yes" } else { "no" },
            env!("CARGO_PKG_VERSION")
        );
        // Rounding may leave a perfect score one unit above 1.
        let scores = Scores::new(signature).value("bleu", score.min(1.0));
        Ok(add_parts(scores, &counts, &precisions))
    }
}

impl Bleu {
    /// One per order, in [0, 1].
    fn precisions(&self, counts: &Counts) -> Vec<f64> {
        let one = if self.smooth { 1.0 } else { 0.0 };
        let orders = counts.matches.iter().zip(&counts.totals);
        orders
            .map(|(&matches, &total)| match total as f64 + one {
                0.0 => 0.0,
                total => (matches as f64 + one) / total,
            })
            .collect()
    }
}

/// 0 where one of them is 0.
fn geometric_mean(precisions: &[f64]) -> f64 {
    if precisions.contains(&0.0) {
        return 0.0;
    }
    let logs = precisions.iter().map(|precision| precision.ln());
    (logs.sum::<f64>() / precisions.len() as f64).exp()
}

/// The order as an index; the schema says the same to those who write configurations.
pub(crate) fn checked_order(max_order: u64) -> Result<usize> {
    match usize::try_from(max_order) {
        Ok(order @ 1..=32) => Ok(order),
        _ => Err(PluginError::input(format!(
            "found `max_order: {max_order}`, expected 1 to 32"
        ))),
    }
}

/// Declares what BLEU is made of; precisions lie between 0 and `most`.
pub(crate) fn with_parts(descriptor: Descriptor, most: f64) -> Descriptor {
    let detail = |name: &str, most: f64| ScoreDescriptor::maximize(name, 0.0, most).detail();
    let precisions = (1..=REPORTED_ORDERS).fold(descriptor, |descriptor, order| {
        descriptor.score(detail(&precision_name(order), most))
    });
    precisions
        .score(detail("brevity_penalty", 1.0))
        .score(detail("length_ratio", f64::INFINITY))
        .score(detail("translation_length", f64::INFINITY))
        .score(detail("reference_length", f64::INFINITY))
}

/// Adds what [`with_parts`] declares.
pub(crate) fn add_parts(scores: Scores, counts: &Counts, precisions: &[f64]) -> Scores {
    let precisions = (1..=REPORTED_ORDERS).zip(precisions);
    precisions
        .fold(scores, |scores, (order, &precision)| {
            scores.value(&precision_name(order), precision)
        })
        .value("brevity_penalty", counts.brevity_penalty())
        .value("length_ratio", counts.length_ratio())
        .value("translation_length", counts.prediction_length as f64)
        .value("reference_length", counts.reference_length as f64)
}

fn precision_name(order: usize) -> String {
    format!("precision_{order}")
}
