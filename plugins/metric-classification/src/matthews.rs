//! Matthews correlation.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, Result, ScoreDescriptor, Scores, Table,
};

use crate::counts::Counts;

/// Correlation of labels and predictions, of two classes or more (Gorodkin 2004, the R_K statistic); 0 where all labels
/// or all predictions are the same.
pub struct Matthews;

impl Component for Matthews {
    type Options = ();

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Metric,
            "matthews",
            "Matthews correlation of labels and predictions",
        )
        .score(ScoreDescriptor::maximize("matthews", -1.0, 1.0))
    }

    fn new((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
}

impl Metric for Matthews {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let signature = concat!("matthews|version:", env!("CARGO_PKG_VERSION"));
        let value = correlation(&Counts::of(examples)?);
        Ok(Scores::new(signature).value("matthews", value))
    }
}

/// Covariance over the geometric mean of the variances, each times the number of rows squared: all three are integers
/// and computed as such (rows below 2^63, so that the squares fit into 128 bits).
fn correlation(counts: &Counts) -> f64 {
    let rows = i128::from(counts.total.support);
    let (mut together, mut predicted, mut support) = (0, 0, 0);
    for class in &counts.classes {
        let (p, s) = (i128::from(class.predicted), i128::from(class.support));
        together += p * s;
        predicted += p * p;
        support += s * s;
    }
    let covariance = i128::from(counts.total.right) * rows - together;
    let variances = (rows * rows - predicted) as f64 * (rows * rows - support) as f64;
    if variances == 0.0 {
        return 0.0;
    }
    // Rounding may leave a perfect correlation one unit above 1.
    (covariance as f64 / variances.sqrt()).clamp(-1.0, 1.0)
}
