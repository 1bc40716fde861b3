//! Mean errors.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table,
};

use crate::pairs::pairs;

/// Mean squared error.
pub struct Mse;

/// Root of the mean squared error: on the scale of the numbers themselves.
pub struct Rmse;

/// Mean absolute error.
pub struct Mae;

impl Component for Mse {
    type Options = ();

    fn describe() -> Descriptor {
        Descriptor::new(Kind::Metric, "mse", "mean squared error")
            .score(ScoreDescriptor::minimize("mse", 0.0, f64::INFINITY).per_example())
    }

    fn new((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
}

impl Component for Rmse {
    type Options = ();

    fn describe() -> Descriptor {
        Descriptor::new(Kind::Metric, "rmse", "root of the mean squared error")
            .score(ScoreDescriptor::minimize("rmse", 0.0, f64::INFINITY))
    }

    fn new((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
}

impl Component for Mae {
    type Options = ();

    fn describe() -> Descriptor {
        Descriptor::new(Kind::Metric, "mae", "mean absolute error")
            .score(ScoreDescriptor::minimize("mae", 0.0, f64::INFINITY).per_example())
    }

    fn new((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
}

impl Metric for Mse {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let squares = errors(examples, |error| error * error)?;
        let signature = concat!("mse|version:", env!("CARGO_PKG_VERSION"));
        Ok(Scores::new(signature).mean_of("mse", squares))
    }
}

impl Metric for Rmse {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let squares = errors(examples, |error| error * error)?;
        let mean = squares.iter().sum::<f64>() / squares.len() as f64;
        let signature = concat!("rmse|version:", env!("CARGO_PKG_VERSION"));
        Ok(Scores::new(signature).value("rmse", mean.sqrt()))
    }
}

impl Metric for Mae {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let distances = errors(examples, f64::abs)?;
        let signature = concat!("mae|version:", env!("CARGO_PKG_VERSION"));
        Ok(Scores::new(signature).mean_of("mae", distances))
    }
}

/// The error of every row, measured; finite.
fn errors(examples: &Table<'_>, measure: impl Fn(f64) -> f64) -> Result<Vec<f64>> {
    let (truth, predicted) = pairs(examples)?;
    let measured = truth.iter().zip(predicted).map(|(a, b)| measure(a - b));
    let measured: Vec<f64> = measured.collect();
    match measured.iter().position(|error| !error.is_finite()) {
        None => Ok(measured),
        Some(row) => Err(PluginError::failed(format!(
            "found {} for {} in row {row}, whose error is no finite number",
            predicted[row], truth[row]
        ))),
    }
}
