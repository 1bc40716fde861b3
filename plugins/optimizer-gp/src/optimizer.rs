//! From a study to suggestions.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Objective, Optimizer, Result, Stopping, Study,
    Suggestion, Suggestions, Verdict,
};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use crate::acquisition::{Acquisition, Baseline, Feasible, LogEi, Surrogate, log_nehvi};
use crate::design::Design;
use crate::fit::{Prior, fit};
use crate::goal::{Goal, references};
use crate::gp::{Gp, Hyperparameters, Observations, Standardisation};
use crate::history::History;
use crate::memo::Memo;
use crate::options::{GpOptions, SimplexOption};
use crate::parallel::ordered_map;
use crate::pareto;
use crate::search::{Effort, maximise};
use crate::space::{SearchSpace, SimplexMode};

/// Bayesian optimization with Gaussian processes.
pub struct GpOptimizer {
    options: GpOptions,
    seed: u64,
    threads: usize,
}

impl Component for GpOptimizer {
    type Options = GpOptions;

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Optimizer,
            "gp",
            "Bayesian optimization: Gaussian processes with LogEI or qLogNEHVI",
        )
        .alias("bomf")
    }

    fn new(options: GpOptions, context: &Context) -> Result<Self> {
        Ok(Self {
            options,
            seed: context.seed,
            threads: context.threads,
        })
    }
}

impl Optimizer for GpOptimizer {
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions> {
        // 1. What is known.
        let mode = match self.options.simplex {
            SimplexOption::Shares => SimplexMode::Shares,
            SimplexOption::Normalize => SimplexMode::Normalize,
        };
        let space = SearchSpace::new(&study.space, mode)?;
        let mut history = History::new(study, &space)?;
        let goal = Goal::of(self.options.acquisition, &study.objectives)?;
        let design = Design::new(&space, self.seed);

        // 2. Point after point, each pending for those after it.
        let mut suggestions = Vec::new();
        let mut models: Option<Models> = None;
        while suggestions.len() < count.max(1) {
            let next = match self.next_of_design(&design, &history) {
                Some(point) => Some((point, Vec::new())),
                None if history.points.is_empty() => self.next_untried(&space, &design, &history),
                None => {
                    // A random weighting is another one for each suggestion, and has a model of its own.
                    if models.is_none() || goal == Goal::RandomWeights {
                        models = Some(self.fit(goal, &space, &history)?);
                    }
                    let models = models.as_ref().expect("made above");
                    self.next_by_model(models, &space, &design, &history, &study.objectives)?
                }
            };
            let Some((encoded, fits)) = next else { break };
            let kept = if mode == SimplexMode::Normalize {
                encoded.clone()
            } else {
                Vec::new()
            };
            let state = Memo {
                encoded: kept,
                fits,
            }
            .to_bytes();
            suggestions.push(Suggestion::evaluate(space.decode(&encoded)).with_state(state));
            history.pending.push(encoded);
            history.trials += 1;
        }
        Ok(match suggestions.is_empty() {
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

/// An encoded point, and the fits behind it.
type Next = (Vec<f64>, Vec<Hyperparameters>);

/// One model per modelled value.
struct Models {
    goal: Goal,
    /// `[models]`.
    outputs: Vec<Output>,
}

/// One modelled value.
struct Output {
    /// What was seen of it, in standard units.
    data: Observations,
    standard: Standardisation,
    hyperparameters: Hyperparameters,
}

impl GpOptimizer {
    /// A generator for one suggestion, named by its number in the study.
    fn generator(&self, trial: usize) -> ChaCha8Rng {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream(trial as u64);
        generator
    }

    /// Members and their average that no trial is at; then filling points, until there are as many trials as the design
    /// has points.
    fn next_of_design(&self, design: &Design, history: &History) -> Option<Vec<f64>> {
        let taken = history.taken();
        if let Some(member) = design.members.iter().find(|point| !is_taken(&taken, point)) {
            return Some(member.clone());
        }
        let unless_given = if design.members.is_empty() { 3 } else { 1 };
        let wanted = design.members.len() + self.options.initial.unwrap_or(unless_given);
        (history.trials < wanted)
            .then(|| design.filling(history.trials as u64))
            .filter(|point| !is_taken(&taken, point))
    }

    /// A filling point that no trial is at; `None` if many in a row are taken: then the space is used up.
    fn next_untried(
        &self,
        space: &SearchSpace,
        design: &Design,
        history: &History,
    ) -> Option<Next> {
        let taken = history.taken();
        if space
            .size()
            .is_some_and(|size| size <= distinct(&taken) as u128)
        {
            return None;
        }
        let from = history.trials as u64;
        (from..from + 10_000)
            .map(|index| design.filling(index))
            .find(|point| !is_taken(&taken, point))
            .map(|point| (point, Vec::new()))
    }

    /// Fits one model per value that the goal needs.
    fn fit(&self, goal: Goal, space: &SearchSpace, history: &History) -> Result<Models> {
        let columns = goal.columns(history, &mut self.generator(history.trials));
        let prior = Prior::scaled_by(&space.prior_dimensions(), self.options.noise_floor);
        // Fits of another goal, or of another space, are no start.
        let warm = Some(&history.last_fits).filter(|fits| fits.len() == columns.len());
        let jobs: Vec<_> = columns.into_iter().enumerate().collect();
        let outputs = ordered_map(jobs, self.threads, |(index, (outcomes, noise))| {
            let standard = Standardisation::of(&outcomes);
            let scale = standard.deviation * standard.deviation;
            let data = Observations {
                points: history.points.clone(),
                outcomes: outcomes.iter().map(|y| standard.apply(*y)).collect(),
                // A level of noise that is not a number is one that is not known.
                noise: noise
                    .iter()
                    .map(|v| v.map(|v| v / scale).filter(|v| v.is_finite()))
                    .collect(),
            };
            let fit = fit(&data, &prior, warm.map(|fits| &fits[index]))?;
            tracing::debug!(
                "model {index}: log likelihood {:.3}, noise {:.2e}, length scales {:.3?}",
                fit.log_likelihood,
                fit.hyperparameters.noise,
                fit.hyperparameters.kernel.length_scales
            );
            Ok(Output {
                data,
                standard,
                hyperparameters: fit.hyperparameters,
            })
        })
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
        Ok(Models { goal, outputs })
    }

    fn next_by_model(
        &self,
        models: &Models,
        space: &SearchSpace,
        design: &Design,
        history: &History,
        objectives: &[Objective],
    ) -> Result<Option<Next>> {
        let taken = history.taken();
        if space
            .size()
            .is_some_and(|size| size <= distinct(&taken) as u128)
        {
            return Ok(None);
        }
        let mut generator = self.generator(history.trials);
        // 1. Posteriors.
        let posteriors = models
            .outputs
            .iter()
            .map(|output| output.posterior(&[]))
            .collect::<Result<Vec<Gp>>>()?;

        // 2. Acquisition.
        let mut acquisition: Box<dyn Acquisition> = match models.goal {
            Goal::Hypervolume => {
                let references = references(history, objectives);
                let surrogates: Vec<Surrogate> = posteriors
                    .iter()
                    .zip(&models.outputs)
                    .zip(references)
                    .map(|((gp, output), reference)| Surrogate {
                        gp: gp.clone(),
                        reference: output.standard.apply(reference),
                    })
                    .collect();
                let baseline = Baseline {
                    evaluated: history.points.clone(),
                    pending: history.pending.clone(),
                };
                log_nehvi(
                    &surrogates,
                    &baseline,
                    self.options.samples,
                    generator.random(),
                )?
            }
            Goal::Sum | Goal::RandomWeights => {
                Box::new(expecting(&models.outputs[0], &posteriors[0], history)?)
            }
        };

        if !history.failed.is_empty() {
            let dimensions = space.prior_dimensions();
            acquisition = Box::new(Feasible::new(
                acquisition,
                &dimensions,
                &history.points,
                &history.failed,
            ));
        }

        // 3. Its best point.
        let incumbents = incumbents(&posteriors, history)?;
        let effort = Effort {
            raw_samples: self.options.raw_samples,
            restarts: self.options.restarts,
            threads: self.threads,
        };
        let best = maximise(
            acquisition.as_ref(),
            space,
            &incumbents,
            &taken,
            effort,
            &mut generator,
        );
        let fits = models
            .outputs
            .iter()
            .map(|output| output.hyperparameters.clone())
            .collect();
        Ok(match best {
            Some(point) => Some((point, fits)),
            // All that was looked at is taken, but the space is not used up.
            None => self.next_untried(space, design, history),
        })
    }
}

impl Output {
    /// The posterior given what was seen, and `more` points taken for what they are expected to be.
    fn posterior(&self, more: &[(Vec<f64>, f64)]) -> Result<Gp> {
        let mut data = self.data.clone();
        for (point, outcome) in more {
            data.points.push(point.clone());
            data.outcomes.push(*outcome);
            data.noise.push(None);
        }
        let gp = Gp::condition(&self.hyperparameters, &data)?;
        if gp.jitter > 0.0 {
            tracing::warn!(
                "the covariance of {} points needed a jitter of {:.0e}",
                data.points.len(),
                gp.jitter
            );
        }
        Ok(gp)
    }
}

/// LogEI; pending points are taken to turn out as the model expects them to.
fn expecting(output: &Output, posterior: &Gp, history: &History) -> Result<LogEi> {
    let pending: Vec<_> = history
        .pending
        .iter()
        .map(|point| (point.clone(), posterior.predict(point).0))
        .collect();
    let known: Vec<_> = history
        .points
        .iter()
        .chain(&history.pending)
        .cloned()
        .collect();
    Ok(LogEi::over_best_mean(output.posterior(&pending)?, &known))
}

/// Evaluated points that lead by posterior mean (a front, if there are several models), best sum first.
fn incumbents(posteriors: &[Gp], history: &History) -> Result<Vec<Vec<f64>>> {
    let means: Vec<Vec<f64>> = history
        .points
        .iter()
        .map(|point| posteriors.iter().map(|gp| gp.predict(point).0).collect())
        .collect();
    let mut order: Vec<usize> = (0..means.len()).collect();
    let sum = |i: &usize| means[*i].iter().sum::<f64>();
    order.sort_by(|a, b| sum(b).total_cmp(&sum(a)));
    let front = pareto::front(&means)?;
    if posteriors.len() > 1 {
        order.retain(|i| front.contains(i));
    }
    order.truncate(if posteriors.len() > 1 {
        FRONT_INCUMBENTS
    } else {
        SUM_INCUMBENTS
    });
    Ok(order
        .into_iter()
        .map(|i| history.points[i].clone())
        .collect())
}

/// Most points that a search looks around of.
const FRONT_INCUMBENTS: usize = 20;
const SUM_INCUMBENTS: usize = 5;

/// How far encoded points may differ and still be the same.
const SAME: f64 = 1e-9;

fn is_same(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= SAME)
}

fn is_taken(taken: &[Vec<f64>], point: &[f64]) -> bool {
    taken.iter().any(|other| is_same(other, point))
}

/// How many different points there are.
fn distinct(points: &[Vec<f64>]) -> usize {
    (0..points.len())
        .filter(|&i| !is_taken(&points[..i], &points[i]))
        .count()
}
