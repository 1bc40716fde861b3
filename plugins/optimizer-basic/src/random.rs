//! `random` and `dirichlet`: independent draws.

use bomf_plugin_api::{
    Component, Context, Coordinate, Descriptor, Domain, Kind, Optimizer, PluginError, Point,
    Result, Stopping, Study, Suggestion, Suggestions, Verdict,
};
use rand::RngExt as _;
use schemars::JsonSchema;
use search::point;
use search::random::{dirichlet, generator};
use serde::Deserialize;

use crate::stopping::StoppingOptions;

/// Independent points, uniform over the space.
pub struct Random {
    options: StoppingOptions,
    seed: u64,
}

impl Component for Random {
    type Options = StoppingOptions;

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Optimizer,
            "random",
            "independent points, uniform over the space",
        )
    }

    fn new(options: StoppingOptions, context: &Context) -> Result<Self> {
        Ok(Self {
            options,
            seed: context.seed,
        })
    }
}

impl Optimizer for Random {
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions> {
        let first = study.trials.len() as u64;
        (first..first + count as u64)
            .map(|trial| {
                let mut generator = generator(self.seed, trial);
                point::draw(&study.space, || generator.random()).map(Suggestion::evaluate)
            })
            .collect::<Result<_>>()
            .map(Suggestions::Points)
    }

    fn report(&mut self, study: &Study, trial: u64, step: u64, values: &[f64]) -> Result<Verdict> {
        Stopping::verdict_if(self.options.stopping.as_ref(), study, trial, step, values)
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
            && let Ok(dimension) = point::members(&study.space)
        {
            let mut start = point::vertices(dimension);
            start.push(point::uniform(dimension));
            points = point::untried(study, start);
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
        let mut point = point::draw(&study.space, || generator.random())?;
        for (coordinate, parameter) in point.iter_mut().zip(&study.space) {
            if let (Coordinate::Simplex(shares), Domain::Simplex { dimension }) =
                (coordinate, &parameter.domain)
            {
                *shares = dirichlet((0..*dimension).map(|_| self.options.alpha), &mut generator);
            }
        }
        Ok(point)
    }
}
