//! From a study to suggestions.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Optimizer, Parameter, PluginError, Result, Stopping,
    Study, Suggestion, Suggestions, Verdict,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::design::Design;
use crate::fit::Prior;
use crate::goal::{Goal, SumBy};
use crate::history::History;
use crate::kernel::KernelKind;
use crate::memo::Memo;
use crate::models::{Drawing, FitOptions, Models};
use crate::options::{AcquisitionKind, GpOptions, NoiseOption, SimplexOption};
use crate::search::{Effort, maximise};
use crate::space::{SearchSpace, SimplexMode};
use crate::taken::Taken;

/// Most points that are searched for together: beyond, the search has too many numbers to get right at once.
const MOST_TOGETHER: usize = 8;

/// Bayesian optimization with Gaussian processes.
pub struct GpOptimizer {
    options: GpOptions,
    seed: u64,
    threads: ThreadPool,
    /// Whether it was said that another acquisition is used than one would think.
    said: bool,
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
        options.noise.check()?;
        let threads = ThreadPoolBuilder::new()
            .num_threads(context.threads.max(1))
            .thread_name(|index| format!("gp-{index}"))
            .build()
            .map_err(|error| PluginError::failed(format!("found no threads: {error}")))?;
        Ok(Self {
            options,
            seed: context.seed,
            threads,
            said: false,
        })
    }
}

impl Optimizer for GpOptimizer {
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions> {
        // 1. What is known.
        study.check()?;
        let mode = match self.options.simplex {
            SimplexOption::Shares => SimplexMode::Shares,
            SimplexOption::Normalize => SimplexMode::Normalize,
        };
        let space = SearchSpace::new(&study.space, mode)?;
        let deviation = match self.options.noise {
            NoiseOption::Deviation(level) => Some(level),
            _ => None,
        };
        let mut history = History::new(study, &space, deviation)?;
        let goal = Goal::of(self.options.acquisition, &study.objectives)?;
        self.say(goal, study.objectives.len());
        let design = Design::new(&space, self.seed, study.budget);

        // 2. Point after point, each pending for those after it.
        let mut suggestions = Vec::new();
        let mut models: Option<Models> = None;
        let count = count.max(1);
        while suggestions.len() < count {
            let mut fits = Vec::new();
            let taken = history.taken(&space);
            let next = match self.next_of_design(&design, &history, &taken) {
                Some(point) => vec![point],
                None if is_used_up(&study.space, &taken) => break,
                None if history.points.is_empty() => {
                    let next = next_untried(&design, &history, &taken);
                    next.into_iter().collect()
                }
                None => self.threads.install(|| {
                    // A random weighting is another one for each suggestion, and has a model of its own.
                    if models.is_none() || goal == Goal::RandomWeights {
                        models = Some(self.fit(goal, &space, &history, study)?);
                    }
                    let models = models.as_ref().expect("made above");
                    fits = models.hyperparameters();
                    let together = match goal {
                        Goal::Sum(SumBy::Batch) => (count - suggestions.len()).min(MOST_TOGETHER),
                        _ => 1,
                    };
                    self.next_by_model(models, together, &space, &design, &history, study)
                })?,
            };
            if next.is_empty() {
                break;
            }
            for encoded in next {
                let kept = match mode {
                    SimplexMode::Normalize => encoded.clone(),
                    SimplexMode::Shares => Vec::new(),
                };
                let state = Memo {
                    encoded: kept,
                    fits: fits.clone(),
                }
                .to_bytes();
                suggestions.push(Suggestion::evaluate(space.decode(&encoded)).with_state(state));
                history.pending.push(encoded);
                history.trials += 1;
            }
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

impl GpOptimizer {
    /// Says once if there are too many objectives for what was asked for.
    fn say(&mut self, goal: Goal, objectives: usize) {
        let asked = self.options.acquisition == AcquisitionKind::Parego;
        if goal == Goal::RandomWeights && !asked && !self.said {
            self.said = true;
            tracing::warn!(
                "{objectives} objectives are too many for boxes of hypervolume (at most {}): \
                 each suggestion improves a random weighting instead (parego)",
                crate::acquisition::MOST_OBJECTIVES
            );
        }
    }

    /// A generator for one suggestion, named by its number in the study.
    fn generator(&self, trial: usize) -> ChaCha8Rng {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream(trial as u64);
        generator
    }

    /// Members and their average that no trial is at; then filling points, until there are as many trials as the design
    /// has points.
    fn next_of_design(
        &self,
        design: &Design,
        history: &History,
        taken: &Taken,
    ) -> Option<Vec<f64>> {
        if let Some(member) = design.members.iter().find(|point| !taken.has(point)) {
            return Some(member.clone());
        }
        let unless_given = if design.members.is_empty() { 3 } else { 1 };
        let wanted = design.members.len() + self.options.initial.unwrap_or(unless_given);
        (history.trials < wanted)
            .then(|| design.filling(history.trials as u64))
            .filter(|point| !taken.has(point))
    }

    fn fit(
        &self,
        goal: Goal,
        space: &SearchSpace,
        history: &History,
        study: &Study,
    ) -> Result<Models> {
        let kernel = self.options.kernel.unwrap_or(default_kernel(space));
        let floor = self.options.noise_floor;
        let options = FitOptions {
            prior: Prior::scaled_by(kernel, &space.prior_dimensions(), floor),
            relative_noise: match self.options.noise {
                NoiseOption::RelativeDeviation(share) => Some(share),
                _ => None,
            },
            objectives: &study.objectives,
            constraints: &study.constraints,
        };
        Models::fit(goal, history, &options, &mut self.generator(history.trials))
    }

    /// The most promising points, `together` of them if there are so many new ones.
    fn next_by_model(
        &self,
        models: &Models,
        together: usize,
        space: &SearchSpace,
        design: &Design,
        history: &History,
        study: &Study,
    ) -> Result<Vec<Vec<f64>>> {
        let mut generator = self.generator(history.trials);
        // 1. What points promise. A search for the first feasible point goes one by one.
        let together = match history.feasible_trials().next() {
            Some(_) => together,
            None => 1,
        };
        let drawing = Drawing {
            samples: self.options.samples,
            dimensions: &space.prior_dimensions(),
            together,
        };
        let acquisition = models.acquisition(
            history,
            &study.objectives,
            &study.constraints,
            &drawing,
            &mut generator,
        )?;

        // 2. The best points, as one of the space of so many at once.
        let leaders = models.leaders(history, &study.constraints)?;
        let next_leaders = |first: usize| leaders.iter().cycle().skip(first).take(together);
        let starts: Vec<Vec<f64>> = (0..leaders.len())
            .map(|first| next_leaders(first).flatten().copied().collect())
            .collect();
        let (mut taken, none) = (history.taken(space), Taken::of(space, []));
        let effort = Effort {
            raw_samples: self.options.raw_samples,
            restarts: self.options.restarts,
        };
        let best = maximise(
            acquisition.as_ref(),
            &space.repeated(together),
            &starts,
            if together == 1 { &taken } else { &none },
            effort,
            &mut generator,
        );

        // 3. Each new and different from the others.
        let mut next = Vec::with_capacity(together);
        for point in best.iter().flat_map(|best| best.chunks(space.dimension())) {
            if !taken.has(point) {
                taken.insert(point);
                next.push(point.to_vec());
            }
        }
        if next.is_empty() {
            // All that was looked at is taken, but the space is not used up.
            next.extend(next_untried(design, history, &taken));
        }
        Ok(next)
    }
}

/// One scale where the first points fill the space. On a simplex they are its corners, and all that is sought lies within a
/// small part of the distance between them: what they say about the trend has to carry over to there, whatever the
/// values do from one point to the next.
fn default_kernel(space: &SearchSpace) -> KernelKind {
    match space.has_shares() {
        true => KernelKind::TwoScales,
        false => KernelKind::Matern52,
    }
}

/// Whether every point of a finite space was tried.
fn is_used_up(space: &[Parameter], taken: &Taken) -> bool {
    let size = ::search::point::count(space);
    size.is_some_and(|size| size <= taken.count() as u128)
}

/// A filling point that no trial is at; `None` if many in a row are taken.
fn next_untried(design: &Design, history: &History, taken: &Taken) -> Option<Vec<f64>> {
    let from = history.trials as u64;
    (from..from + 10_000)
        .map(|index| design.filling(index))
        .find(|point| !taken.has(point))
}
