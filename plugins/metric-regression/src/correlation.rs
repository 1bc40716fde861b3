//! Correlations.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table, column,
};

use crate::pairs::pairs;

/// Linear correlation of the true and the predicted numbers.
pub struct Pearson;

/// Linear correlation of their ranks; equal numbers share the mean of their ranks.
pub struct Spearman;

impl Component for Pearson {
    type Options = ();

    fn describe() -> Descriptor {
        Descriptor::new(Kind::Metric, "pearson", "linear correlation")
            .score(ScoreDescriptor::maximize("pearson", -1.0, 1.0))
    }

    fn new((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
}

impl Component for Spearman {
    type Options = ();

    fn describe() -> Descriptor {
        Descriptor::new(Kind::Metric, "spearman", "correlation of the ranks")
            .score(ScoreDescriptor::maximize("spearman", -1.0, 1.0))
    }

    fn new((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
}

impl Metric for Pearson {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let (truth, predicted) = pairs(examples)?;
        let signature = concat!("pearson|version:", env!("CARGO_PKG_VERSION"));
        Ok(Scores::new(signature).value("pearson", correlation(truth, predicted)?))
    }
}

impl Metric for Spearman {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let (truth, predicted) = pairs(examples)?;
        let value = correlation(&ranks(truth), &ranks(predicted))?;
        let signature = concat!("spearman|version:", env!("CARGO_PKG_VERSION"));
        Ok(Scores::new(signature).value("spearman", value))
    }
}

/// The cosine of the centred vectors.
fn correlation(truth: &[f64], predicted: &[f64]) -> Result<f64> {
    let truth = centred(truth).ok_or_else(|| PluginError::input(constant(column::VALUE)))?;
    // A model that says the same of everything fails; the run goes on without this trial.
    let predicted =
        centred(predicted).ok_or_else(|| PluginError::failed(constant(column::PREDICTED_VALUE)))?;
    let cosine: f64 = truth.iter().zip(&predicted).map(|(a, b)| a * b).sum();
    // Rounding may leave a perfect correlation one unit above 1.
    Ok(cosine.clamp(-1.0, 1.0))
}

fn constant(name: &str) -> String {
    format!(
        "found the same number in every row of column `{name}`, expected different ones: the correlation is not defined"
    )
}

/// The differences from the mean, scaled to unit length; `None` where all numbers are the same.
fn centred(values: &[f64]) -> Option<Vec<f64>> {
    if values.iter().all(|value| *value == values[0]) {
        return None;
    }
    // The greatest magnitude is taken out first, so that neither sums nor squares overflow or vanish.
    let greatest = |values: &[f64]| values.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let scale = greatest(values);
    let scaled: Vec<f64> = values.iter().map(|x| x / scale).collect();
    let mean = scaled.iter().sum::<f64>() / scaled.len() as f64;
    let mut centred: Vec<f64> = scaled.iter().map(|x| x - mean).collect();
    let spread = greatest(&centred);
    centred.iter_mut().for_each(|x| *x /= spread);
    let norm = centred.iter().map(|x| x * x).sum::<f64>().sqrt();
    centred.iter_mut().for_each(|x| *x /= norm);
    Some(centred)
}

/// Ranks from 1, equal numbers sharing the mean of theirs: O(n log n).
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    // `total_cmp` puts -0 beside 0, and `==` makes a tie of them.
    for ties in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (ties.len() as f64 + 1.0) / 2.0;
        ties.iter().for_each(|&row| ranks[row] = rank);
        before += ties.len();
    }
    ranks
}
