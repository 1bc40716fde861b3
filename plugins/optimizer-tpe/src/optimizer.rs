//! From a study to suggestions.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Optimizer, PluginError, Point, Result, Stopping, Study,
    Suggestion, Suggestions, Verdict,
};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use search::point;
use search::random::generator;
use search::standing::standings;

use crate::groups::Groups;
use crate::kernel::Estimated;
use crate::options::TpeOptions;
use crate::parzen::Parzen;

/// Draws in search of a point that was not tried, before a space that is finite but huge counts as used up.
const DRAWS: usize = 10_000;

/// The tree-structured Parzen estimator.
pub struct Tpe {
    options: TpeOptions,
    seed: u64,
}

impl Component for Tpe {
    type Options = TpeOptions;

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Optimizer,
            "tpe",
            "tree-structured Parzen estimator: densities of good and bad trials",
        )
    }

    fn new(options: TpeOptions, context: &Context) -> Result<Self> {
        Ok(Self {
            options,
            seed: context.seed,
        })
    }
}

impl Optimizer for Tpe {
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions> {
        if study.space.is_empty() || study.objectives.is_empty() {
            return Err(PluginError::input(format!(
                "found {} parameters and {} objectives, expected at least one of each",
                study.space.len(),
                study.objectives.len()
            )));
        }
        // Point after point, each pending for those after it.
        let mut study = study.clone();
        let mut suggestions = Vec::new();
        while suggestions.len() < count {
            let Some(point) = self.next(&study)? else {
                break;
            };
            let suggestion = Suggestion::evaluate(point);
            study.suggest(suggestion.clone());
            suggestions.push(suggestion);
        }
        Ok(match suggestions.is_empty() && count > 0 {
            true => Suggestions::Done {
                why: "every point of the space was tried".to_owned(),
            },
            false => Suggestions::Points(suggestions),
        })
    }

    fn report(&mut self, study: &Study, trial: u64, step: u64, values: &[f64]) -> Result<Verdict> {
        Stopping::verdict_if(self.options.stopping.as_ref(), study, trial, step, values)
    }
}

impl Tpe {
    /// The next point; `None` when none is left.
    fn next(&self, study: &Study) -> Result<Option<Point>> {
        let mut generator = generator(self.seed, study.trials.len() as u64);
        // 1. Members and their average, then random points.
        let mut members = Vec::new();
        if let Ok(dimension) = point::members(&study.space) {
            let (vertices, uniform) = (point::vertices(dimension), point::uniform(dimension));
            let of = |corner: usize| vertices.get(corner).unwrap_or(&uniform).clone();
            let corners = point::corners(dimension, study.budget).into_iter();
            members = corners.map(of).collect();
        }
        let initial = members.len() + self.options.initial;
        if let Some(member) = point::untried(study, members).into_iter().next() {
            return Ok(Some(member));
        }
        let groups = Groups::of(&standings(study, &study.trials.iter().collect::<Vec<_>>()));
        if study.trials.len() < initial || groups.good.is_empty() {
            return untried_draw(study, &mut generator);
        }

        // 2. Two densities.
        let estimated = study
            .space
            .iter()
            .map(Estimated::of)
            .collect::<Result<Vec<_>>>()?;
        let place = |i: usize| &study.trials[i].suggestion.point;
        let good: Vec<_> = groups.good.iter().map(|&(i, w)| (place(i), w)).collect();
        let bad: Vec<_> = groups.bad.iter().map(|&i| (place(i), 1.0)).collect();
        let good = Parzen::new(&study.space, &estimated, &good);
        let bad = Parzen::new(&study.space, &estimated, &bad);

        // 3. The draw from the good one that is most unlike the bad one.
        let mut best: Option<(f64, Point)> = None;
        for _ in 0..self.options.candidates {
            let candidate = good.draw(&mut generator)?;
            if point::trial_at(study, &candidate).is_some() {
                continue;
            }
            let promise = good.log_density(&candidate) - bad.log_density(&candidate);
            if best.as_ref().is_none_or(|(most, _)| promise > *most) {
                best = Some((promise, candidate));
            }
        }
        match best {
            Some((_, point)) => Ok(Some(point)),
            None => untried_draw(study, &mut generator),
        }
    }
}

/// A random point that no trial is at; `None` if the space is used up.
fn untried_draw(study: &Study, generator: &mut ChaCha8Rng) -> Result<Option<Point>> {
    if point::is_used_up(study) {
        return Ok(None);
    }
    for _ in 0..DRAWS {
        let drawn = point::draw(&study.space, || generator.random())?;
        if point::trial_at(study, &drawn).is_none() {
            return Ok(Some(drawn));
        }
    }
    Ok(None)
}
