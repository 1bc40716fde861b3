//! Brier score.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, Result, ScoreDescriptor, Scores, Table,
};

use crate::label_scores::LabelScores;

/// Half the mean squared distance of the probabilities from the truth (Brier 1950): for two labels the squared error of
/// the probability of one of them.
pub struct Brier;

impl Component for Brier {
    type Options = ();

    fn describe() -> Descriptor {
        let summary = "half the mean squared distance of the probabilities from the truth";
        Descriptor::new(Kind::Metric, "brier", summary)
            .score(ScoreDescriptor::minimize("brier", 0.0, 1.0).per_example())
    }

    fn new((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
}

impl Metric for Brier {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let all = LabelScores::probabilities(examples)?;
        let rows = all.rows().zip(&all.labels);
        let distances = rows.map(|(scores, &label)| {
            let squared = scores.iter().enumerate().map(|(class, p)| {
                let truth = f64::from(u8::from(class == label));
                (p - truth) * (p - truth)
            });
            // What is off by rounding may not leave the declared range.
            (0.5 * squared.sum::<f64>()).min(1.0)
        });
        let signature = concat!("brier|version:", env!("CARGO_PKG_VERSION"));
        Ok(Scores::new(signature).mean_of("brier", distances.collect()))
    }
}
