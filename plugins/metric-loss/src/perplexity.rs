//! Perplexity.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table, column,
};

use crate::tokens::{counts, not_reported, refuse_empty};

/// e to the mean loss of a token: among how many equally likely tokens the model hesitates.
pub struct Perplexity;

impl Component for Perplexity {
    type Options = ();

    fn describe() -> Descriptor {
        Descriptor::new(Kind::Metric, "perplexity", "e to the mean loss of a token")
            .score(ScoreDescriptor::minimize("perplexity", 1.0, f64::INFINITY))
    }

    fn new((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
}

impl Metric for Perplexity {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        refuse_empty(examples)?;
        let losses = losses(examples)?;
        let (mean, weights) = match examples.get(column::TOKENS) {
            Some(_) => (
                mean_of_tokens(losses, counts(examples, column::TOKENS)?)?,
                "tokens",
            ),
            None => (losses.iter().sum::<f64>() / losses.len() as f64, "examples"),
        };
        let value = mean.exp();
        if !value.is_finite() {
            return Err(PluginError::failed(format!(
                "found a mean loss of {mean} nats, whose perplexity is no finite number"
            )));
        }
        let signature = format!(
            "perplexity|mean:{weights}|version:{}",
            env!("CARGO_PKG_VERSION")
        );
        Ok(Scores::new(signature).value("perplexity", value))
    }
}

fn losses<'a>(examples: &'a Table<'_>) -> Result<&'a [f64]> {
    let losses = examples
        .numbers(column::LOSS)
        .map_err(|error| not_reported(error, "the loss"))?;
    match losses
        .iter()
        .position(|loss| !(loss.is_finite() && *loss >= 0.0))
    {
        None => Ok(losses),
        Some(row) => Err(PluginError::failed(format!(
            "found {} in row {row} of column `{}`, expected a finite number, at least 0",
            losses[row],
            column::LOSS
        ))),
    }
}

fn mean_of_tokens(losses: &[f64], tokens: &[i64]) -> Result<f64> {
    let (mut sum, mut all) = (0.0, 0.0);
    for (&loss, &count) in losses.iter().zip(tokens) {
        sum += loss * count as f64;
        all += count as f64;
    }
    if all == 0.0 {
        return Err(PluginError::input(format!(
            "found no token in column `{}`, expected one or more",
            column::TOKENS
        )));
    }
    Ok(sum / all)
}
