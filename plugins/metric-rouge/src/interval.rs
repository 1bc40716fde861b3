//! The bootstrap interval of rouge_score's `BootstrapAggregator`.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::options::{Measure, RougeOptions, Tokenizer};
use crate::score::{VARIANTS, per_example};

/// Low, middle and high of each variant of ROUGE, from the means of resamples of the examples.
pub struct RougeInterval {
    options: IntervalOptions,
    threads: usize,
    seed: u64,
}

/// Options of `rouge_interval`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IntervalOptions {
    /// How many times the examples are drawn, with replacement.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub resamples: u64,
    /// Level of the interval.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence: f64,
    /// `f`, `precision` or `recall`, as for `rouge`.
    pub measure: Measure,
    /// Whether words of more than three letters are cut to their stem (Porter's, as in nltk).
    pub stemmer: bool,
    /// What a word is: `rouge_score` or `unicode`, as for `rouge`.
    pub tokenizer: Tokenizer,
}

impl Default for IntervalOptions {
    fn default() -> Self {
        let RougeOptions {
            measure,
            stemmer,
            tokenizer,
        } = RougeOptions::default();
        Self {
            resamples: 1000,
            confidence: 0.95,
            measure,
            stemmer,
            tokenizer,
        }
    }
}

impl Component for RougeInterval {
    type Options = IntervalOptions;

    fn describe() -> Descriptor {
        let descriptor = Descriptor::new(
            Kind::Metric,
            "rouge_interval",
            "bootstrap interval of ROUGE over the examples",
        );
        let names = VARIANTS.iter().flat_map(|(name, _)| bounds(name));
        names.fold(descriptor, |descriptor, name| {
            descriptor.score(ScoreDescriptor::maximize(name, 0.0, 1.0))
        })
    }

    fn new(options: IntervalOptions, context: &Context) -> Result<Self> {
        if options.resamples == 0 {
            return Err(PluginError::input(
                "found `resamples: 0`, expected 1 or more",
            ));
        }
        if !(0.0..=1.0).contains(&options.confidence) {
            return Err(PluginError::input(format!(
                "found `confidence: {}`, expected 0 to 1",
                options.confidence
            )));
        }
        Ok(Self {
            options,
            threads: context.threads,
            seed: context.seed,
        })
    }
}

impl Metric for RougeInterval {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let IntervalOptions {
            resamples,
            confidence,
            measure,
            stemmer,
            tokenizer,
        } = self.options;
        let options = RougeOptions {
            measure,
            stemmer,
            tokenizer,
        };
        let columns = per_example(
            examples,
            options,
            self.threads,
            VARIANTS.map(|(_, variant)| variant),
        )?;
        let mut scores = Scores::new(format!(
            "rouge_interval|resamples:{resamples}|confidence:{confidence}|seed:{}|{}",
            self.seed,
            options.signature()
        ));
        for ((name, _), column) in VARIANTS.iter().zip(columns) {
            let means = self.resampled(column);
            let tail = (1.0 - confidence) / 2.0;
            for (bound, share) in bounds(name).iter().zip([tail, 0.5, 1.0 - tail]) {
                scores = scores.value(bound, percentile(&means, share));
            }
        }
        Ok(scores)
    }
}

impl RougeInterval {
    /// Means of the resamples, sorted. Only how often each value is drawn matters, so that values are sorted first: the
    /// order of the examples then makes no difference.
    fn resampled(&self, mut values: Vec<f64>) -> Vec<f64> {
        values.sort_by(f64::total_cmp);
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let count = values.len();
        let mut means: Vec<f64> = (0..self.options.resamples)
            .map(|_| {
                (0..count)
                    .map(|_| values[random.random_range(0..count)])
                    .sum::<f64>()
                    / count as f64
            })
            .collect();
        means.sort_by(f64::total_cmp);
        means
    }
}

fn bounds(name: &str) -> [String; 3] {
    ["low", "mid", "high"].map(|bound| format!("{name}_{bound}"))
}

/// Linear between the two neighbours in sorted values, as numpy's percentile.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_neighbours() {
        let sorted = [0.0, 1.0, 4.0];
        for (share, expected) in [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.75, 2.5), (1.0, 4.0)] {
            assert_eq!(percentile(&sorted, share), expected);
        }
        assert_eq!(percentile(&[3.0], 0.3), 3.0);
    }
}
