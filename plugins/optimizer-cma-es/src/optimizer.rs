//! From a study to suggestions.

use std::collections::BTreeMap;

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Optimizer, Outcome, Parameter, PluginError, Result,
    Stopping, Study, Suggestion, Suggestions, Trial, Verdict,
};
use search::point;
use search::standing::standings;

use crate::chart::Chart;
use crate::memo::Memo;
use crate::options::CmaEsOptions;
use crate::walk::{Seen, Walk};

/// The covariance matrix adaptation evolution strategy.
pub struct CmaEs {
    options: CmaEsOptions,
    seed: u64,
    cache: Option<Cache>,
}

/// How far a study was walked: what a fresh instance would compute again.
struct Cache {
    space: Vec<Parameter>,
    /// The generations that were learnt from.
    seen: Vec<Vec<Seen>>,
    walk: Walk,
}

impl Component for CmaEs {
    type Options = CmaEsOptions;

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Optimizer,
            "cma_es",
            "covariance matrix adaptation evolution strategy with restarts",
        )
    }

    fn new(options: CmaEsOptions, context: &Context) -> Result<Self> {
        let population = options.population.unwrap_or(4);
        if population < 4 || !(options.sigma > 0.0 && options.sigma <= 1.0) {
            return Err(PluginError::input(format!(
                "found a population of {population} and a sigma of {}, expected at least 4 and a number in (0, 1]",
                options.sigma
            )));
        }
        Ok(Self {
            options,
            seed: context.seed,
            cache: None,
        })
    }
}

impl Optimizer for CmaEs {
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions> {
        // 1. What can be searched.
        if study.space.is_empty() || study.objectives.is_empty() {
            return Err(PluginError::input(format!(
                "found {} parameters and {} objectives, expected at least one of each",
                study.space.len(),
                study.objectives.len()
            )));
        }
        let chart = Chart::new(&study.space)?;
        if study.objectives.len() > 1 && study.trials.is_empty() {
            tracing::info!(
                "cma_es searches the normalised sum of the {} objectives",
                study.objectives.len()
            );
        }
        if chart.dimension == 0 {
            return Ok(only_point(&chart, study, count));
        }
        if point::is_used_up(study) {
            return Ok(Suggestions::Done {
                why: "every point of the space was tried".to_owned(),
            });
        }

        // 2. All generations that have ended, then what the next one still lacks.
        let seed = self.seed;
        let generations = generations(study, chart.dimension);
        let walk = self.walk(study, &chart, &generations)?;
        let begun = generations.get(&walk.generation).map_or(0, Vec::len);
        let room = walk.population().saturating_sub(begun).min(count);
        let suggestions = (0..room).map(|ahead| {
            let trial = (study.trials.len() + ahead) as u64;
            let memo = Memo {
                generation: walk.generation,
                drawn: walk.draw(begun + ahead, seed, trial),
            };
            Suggestion::evaluate(chart.point(&memo.drawn)).with_state(memo.to_bytes())
        });
        Ok(Suggestions::Points(suggestions.collect()))
    }

    fn report(&mut self, study: &Study, trial: u64, step: u64, values: &[f64]) -> Result<Verdict> {
        Stopping::verdict_if(self.options.stopping.as_ref(), study, trial, step, values)
    }
}

impl CmaEs {
    /// Learns from every generation of which all trials have ended.
    fn walk(&mut self, study: &Study, chart: &Chart, all: &Generations<'_>) -> Result<&Walk> {
        let cache = self.cache.take().filter(|cache| cache.fits(study, all));
        let mut cache = cache.unwrap_or_else(|| Cache {
            space: study.space.clone(),
            seen: Vec::new(),
            walk: Walk::new(study, chart.clone(), &self.options),
        });
        while let Some(next) = ended(study, all, &cache.walk) {
            cache.walk.learn(&next, &study.space, self.seed)?;
            cache.seen.push(next);
        }
        Ok(&self.cache.insert(cache).walk)
    }
}

impl Cache {
    /// Whether a study begins with what was walked.
    fn fits(&self, study: &Study, all: &Generations<'_>) -> bool {
        let is_same = |(generation, seen): (u32, &Vec<Seen>)| {
            let trials = all.get(&generation).and_then(|t| t.get(..seen.len()));
            trials.is_some_and(|trials| see(study, trials) == *seen)
        };
        self.space == study.space && (0..).zip(&self.seen).all(is_same)
    }
}

/// Trials with what was drawn for them, in order, by generation. Trials that this search did not suggest are in none.
type Generations<'a> = BTreeMap<u32, Vec<(&'a Trial, Vec<f64>)>>;

fn generations(study: &Study, dimension: usize) -> Generations<'_> {
    let mut generations = Generations::new();
    for trial in &study.trials {
        if let Some(memo) = Memo::from_bytes(&trial.suggestion.state, dimension) {
            let generation = generations.entry(memo.generation).or_default();
            generation.push((trial, memo.drawn));
        }
    }
    generations
}

/// The next generation, if all its trials have ended.
fn ended(study: &Study, all: &Generations<'_>, walk: &Walk) -> Option<Vec<Seen>> {
    let whole = all.get(&walk.generation)?.get(..walk.population())?;
    let is_pending = |(trial, _): &(&Trial, Vec<f64>)| matches!(trial.outcome, Outcome::Pending);
    (!whole.iter().any(is_pending)).then(|| see(study, whole))
}

fn see(study: &Study, generation: &[(&Trial, Vec<f64>)]) -> Vec<Seen> {
    let trials: Vec<&Trial> = generation.iter().map(|(trial, _)| *trial).collect();
    let standings = standings(study, &trials).into_iter().zip(generation);
    let seen = standings.filter_map(|(standing, (_, drawn))| {
        Some(Seen {
            drawn: drawn.clone(),
            standing: standing?,
        })
    });
    seen.collect()
}

/// The one point of a space without any freedom, once.
fn only_point(chart: &Chart, study: &Study, count: usize) -> Suggestions {
    match study.trials.is_empty() {
        true => {
            let only = Suggestion::evaluate(chart.point(&[]));
            Suggestions::Points(vec![only].into_iter().take(count).collect())
        }
        false => Suggestions::Done {
            why: "the only point of the space was tried".to_owned(),
        },
    }
}
