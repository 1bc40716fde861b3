//! `random` and `dirichlet`: independent draws.

use bomf_plugin_api::{
    Component, Context, Coordinate, Descriptor, Domain, Kind, Optimizer, PluginError, Point,
    Result, Study, Suggestion, Suggestions,
};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{draw, members};

/// A generator of its own for each trial, so that a draw depends on the trial's number alone.
fn generator(seed: u64, trial: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(trial);
    generator
}

/// Independent points, uniform over the space.
pub struct Random {
    seed: u64,
}

impl Component for Random {
    type Options = ();

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Optimizer,
            "random",
            "independent points, uniform over the space",
        )
    }

    fn new((): (), context: &Context) -> Result<Self> {
        Ok(Self { seed: context.seed })
    }
}

impl Optimizer for Random {
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions> {
        let first = study.trials.len() as u64;
        (first..first + count as u64)
            .map(|trial| {
                let mut generator = generator(self.seed, trial);
                draw::point(&study.space, || generator.random()).map(Suggestion::evaluate)
            })
            .collect::<Result<_>>()
            .map(Suggestions::Points)
    }
}

/// Options of `dirichlet`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DirichletOptions {
    /// Concentration: 1 is uniform over the simplex, less prefers few members, more prefers the average of all.
    #[schemars(range(min = 0.001, max = 1000.0))]
    pub alpha: f64,
    /// Try the members themselves and their uniform average first.
    pub members_first: bool,
}

impl Default for DirichletOptions {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            members_first: true,
        }
    }
}

/// Random coefficients, after the members and their average.
pub struct Dirichlet {
    options: DirichletOptions,
    seed: u64,
}

impl Component for Dirichlet {
    type Options = DirichletOptions;

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Optimizer,
            "dirichlet",
            "the members, their average, then random coefficients",
        )
    }

    fn new(options: DirichletOptions, context: &Context) -> Result<Self> {
        if !(options.alpha > 0.0 && options.alpha.is_finite()) {
            return Err(PluginError::input(format!(
                "alpha: found {}, expected a number above 0",
                options.alpha
            )));
        }
        Ok(Self {
            options,
            seed: context.seed,
        })
    }
}

impl Optimizer for Dirichlet {
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions> {
        // 1. The members and their average, where the space is a simplex and nothing else.
        let mut points = Vec::new();
        if self.options.members_first
            && let Ok(dimension) = members::count(study)
        {
            let mut start = members::vertices(dimension);
            start.push(members::uniform(dimension));
            points = members::untried(study, start);
            points.truncate(count);
        }
        // 2. Draws, each from its trial's own generator.
        let first = study.trials.len();
        for trial in first + points.len()..first + count {
            points.push(self.draw(study, trial as u64)?);
        }
        Ok(Suggestions::Points(
            points.into_iter().map(Suggestion::evaluate).collect(),
        ))
    }
}

impl Dirichlet {
    fn draw(&self, study: &Study, trial: u64) -> Result<Point> {
        let mut generator = generator(self.seed, trial);
        let mut point = draw::point(&study.space, || generator.random())?;
        for (coordinate, parameter) in point.iter_mut().zip(&study.space) {
            if let (Coordinate::Simplex(shares), Domain::Simplex { dimension }) =
                (coordinate, &parameter.domain)
            {
                let logs: Vec<f64> = (0..*dimension)
                    .map(|_| log_gamma_draw(self.options.alpha, &mut generator))
                    .collect();
                let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                *shares = draw::normalised(logs.iter().map(|log| (log - largest).exp()).collect());
            }
        }
        Ok(point)
    }
}

/// The logarithm of a gamma variate of shape `alpha` (Marsaglia & Tsang 2000); a logarithm, because variates of a small
/// shape underflow.
fn log_gamma_draw(alpha: f64, generator: &mut ChaCha8Rng) -> f64 {
    // Shapes below one: draw at alpha + 1 and multiply by u^(1 / alpha).
    if alpha < 1.0 {
        let u: f64 = 1.0 - generator.random::<f64>();
        return log_gamma_draw(alpha + 1.0, generator) + u.ln() / alpha;
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let z = normal_draw(generator);
        let v = (1.0 + c * z).powi(3);
        let u: f64 = 1.0 - generator.random::<f64>();
        if v > 0.0 && u.ln() < 0.5 * z * z + d - d * v + d * v.ln() {
            return (d * v).ln();
        }
    }
}

/// A standard normal variate (Box & Muller).
fn normal_draw(generator: &mut ChaCha8Rng) -> f64 {
    let u: f64 = 1.0 - generator.random::<f64>();
    let angle = std::f64::consts::TAU * generator.random::<f64>();
    (-2.0 * u.ln()).sqrt() * angle.cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gamma_variates_have_mean_and_variance_of_their_shape() {
        for alpha in [0.3, 1.0, 4.0] {
            let mut generator = generator(7, 0);
            let draws: Vec<f64> = (0..20_000)
                .map(|_| log_gamma_draw(alpha, &mut generator).exp())
                .collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let variance =
                draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
            // Five standard errors of the mean; the variance is looser by the kurtosis.
            assert!(
                (mean - alpha).abs() < 5.0 * (alpha / 20_000.0).sqrt(),
                "{alpha}: {mean}"
            );
            assert!((variance / alpha - 1.0).abs() < 0.15, "{alpha}: {variance}");
        }
    }
}
