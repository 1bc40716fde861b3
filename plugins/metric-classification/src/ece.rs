//! Expected calibration error.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::label_scores::LabelScores;

/// How far the probability of the most likely label is from the share of rows in which that label is right.
pub struct Ece {
    options: EceOptions,
}

/// How confidences are binned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EceOptions {
    /// Number of bins of equal width from 0 to 1; each includes its upper end.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub bins: usize,
}

impl Default for EceOptions {
    fn default() -> Self {
        // Guo et al. 2017, section 5.
        Self { bins: 15 }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    confidence: f64,
    right: f64,
}

impl Component for Ece {
    type Options = EceOptions;

    fn describe() -> Descriptor {
        Descriptor::new(Kind::Metric, "ece", "expected calibration error")
            .alias("expected_calibration_error")
            .score(ScoreDescriptor::minimize("ece", 0.0, 1.0))
    }

    fn new(options: EceOptions, _: &Context) -> Result<Self> {
        if options.bins == 0 {
            return Err(PluginError::input("found `bins: 0`, expected 1 or more"));
        }
        Ok(Self { options })
    }
}

impl Metric for Ece {
    /// Guo et al. 2017, equation 3: the gap between accuracy and confidence of each bin, weighted by its rows.
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let all = LabelScores::probabilities(examples)?;
        let mut bins = vec![Bin::default(); self.options.bins];
        for (scores, &label) in all.rows().zip(&all.labels) {
            let (answer, confidence) = most_likely(scores);
            let bin = &mut bins[place(confidence, self.options.bins)];
            bin.confidence += confidence;
            bin.right += f64::from(u8::from(answer == label));
        }
        let gaps: f64 = bins
            .iter()
            .map(|bin| (bin.right - bin.confidence).abs())
            .sum();
        let signature = format!(
            "ece|bins:{}|version:{}",
            self.options.bins,
            env!("CARGO_PKG_VERSION")
        );
        let value = (gaps / examples.rows() as f64).min(1.0);
        Ok(Scores::new(signature).value("ece", value))
    }
}

/// The first of the labels with the greatest probability.
fn most_likely(scores: &[f64]) -> (usize, f64) {
    let mut best = (0, scores[0]);
    for (label, &p) in scores.iter().enumerate().skip(1) {
        if p > best.1 {
            best = (label, p);
        }
    }
    best
}

/// The bin whose bounds `(i / bins, (i + 1) / bins]` hold the confidence.
fn place(confidence: f64, bins: usize) -> usize {
    let bound = |i: usize| i as f64 / bins as f64;
    // The product rounds: a neighbour may be the right one.
    let mut bin = ((confidence * bins as f64).ceil().max(1.0) as usize - 1).min(bins - 1);
    if confidence <= bound(bin) && bin > 0 {
        bin -= 1;
    } else if confidence > bound(bin + 1) && bin + 1 < bins {
        bin += 1;
    }
    bin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bin_includes_its_upper_end_and_not_its_lower_one() {
        for bins in [1, 3, 7, 10, 15, 49, 100] {
            for i in 1..=bins {
                let bound = i as f64 / bins as f64;
                assert_eq!(place(bound, bins), i - 1, "{bound} of {bins}");
                assert_eq!(
                    place(bound.next_up(), bins),
                    i.min(bins - 1),
                    "above {bound} of {bins}"
                );
            }
        }
    }
}
