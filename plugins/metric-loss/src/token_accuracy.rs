//! Token accuracy.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table, column,
};

use crate::tokens::{counts, not_reported, refuse_empty};

/// Share of tokens, of all examples together, for which the right one was the most likely.
pub struct TokenAccuracy;

impl Component for TokenAccuracy {
    type Options = ();

    fn describe() -> Descriptor {
        let summary = "share of tokens that were the most likely ones";
        Descriptor::new(Kind::Metric, "token_accuracy", summary).score(ScoreDescriptor::maximize(
            "token_accuracy",
            0.0,
            1.0,
        ))
    }

    fn new((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
}

impl Metric for TokenAccuracy {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        refuse_empty(examples)?;
        let reported = |name| {
            counts(examples, name)
                .map_err(|error| not_reported(error, "how many tokens were right"))
        };
        let (right, tokens) = (reported(column::RIGHT_TOKENS)?, reported(column::TOKENS)?);
        if let Some(row) = right
            .iter()
            .zip(tokens)
            .position(|(right, all)| right > all)
        {
            return Err(PluginError::input(format!(
                "found {} in row {row} of column `{}`, expected at most {}, the number of its tokens",
                right[row],
                column::RIGHT_TOKENS,
                tokens[row]
            )));
        }
        let sum = |counts: &[i64]| counts.iter().map(|&count| i128::from(count)).sum::<i128>();
        let all = sum(tokens);
        if all == 0 {
            return Err(PluginError::input(format!(
                "found no token in column `{}`, expected one or more",
                column::TOKENS
            )));
        }
        let signature = concat!("token_accuracy|version:", env!("CARGO_PKG_VERSION"));
        Ok(Scores::new(signature).value("token_accuracy", sum(right) as f64 / all as f64))
    }
}
