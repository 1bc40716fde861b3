//! The models of one suggestion: one process per value that is sought, one per constraint.

use bomf_plugin_api::{Constraint, Objective, Result};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::acquisition::{
    Acquisition, BaseSamples, Incumbents, LogEi, LogFeasibility, LogHvi, LogSuccess, Product,
    QLogEi, Surrogate, leading,
};
use crate::error::GpError;
use crate::fit::{Fit, Fitting, Prior};
use crate::goal::{Goal, SumBy, references};
use crate::gp::{Gp, Hyperparameters};
use crate::history::History;
use crate::observations::{Noise, Observations, Standardisation};

/// Furthest that a reference or a bound lies from the outcomes' mean, in standard units: beyond it nothing changes but
/// the size of numbers.
const FURTHEST: f64 = 1e9;

/// Most points that a search looks around of.
const FRONT_INCUMBENTS: usize = 20;
const SUM_INCUMBENTS: usize = 5;

/// One modelled value.
pub(crate) struct Model {
    gp: Gp,
    standard: Standardisation,
    hyperparameters: Hyperparameters,
}

/// Some outcomes to be modelled, in standard units.
struct Task<'a> {
    name: &'a str,
    standard: Standardisation,
    data: Observations,
}

impl<'a> Task<'a> {
    /// Of raw outcomes `[n]`, with the variances `[n]` of their noise where known.
    ///
    /// `relative` is the noise's deviation where it is not, as a share of the outcomes'.
    fn of(
        name: &'a str,
        points: &[Vec<f64>],
        (outcomes, noise): (Vec<f64>, Vec<Option<f64>>),
        relative: Option<f64>,
    ) -> Self {
        let standard = Standardisation::of(&outcomes);
        let of_trial = |variance: &Option<f64>| {
            // A level of noise that is not a number is one that is not known.
            let known = variance.map(|v| standard.apply_to_variance(v));
            known
                .filter(|v| v.is_finite())
                .or(relative.map(|share| share * share))
                .map_or(Noise::LEARNED, Noise::Known)
        };
        let all = Observations {
            points: points.to_vec(),
            outcomes: outcomes.iter().map(|y| standard.apply(*y)).collect(),
            noise: noise.iter().map(of_trial).collect(),
        };
        Self {
            name,
            standard,
            data: all.merged(),
        }
    }

    /// The process with these hyperparameters, given the outcomes.
    fn model(&self, fit: Fit) -> Result<Model, GpError> {
        let (name, hyperparameters) = (self.name, fit.hyperparameters);
        let gp = Gp::condition(&hyperparameters, &self.data)?;
        tracing::debug!(
            "model of {name}: log likelihood {:.3}, noise {:.2e}, near part {:.2e}, length scales {:.3?}",
            fit.log_likelihood,
            hyperparameters.noise,
            hyperparameters.kernel.near,
            hyperparameters.kernel.length_scales
        );
        if gp.jitter > 0.0 {
            tracing::warn!(
                "model of {name}: the covariance of {} points needed a jitter of {:.0e} of its diagonal",
                self.data.points.len(),
                gp.jitter
            );
        }
        Ok(Model {
            gp,
            standard: self.standard,
            hyperparameters,
        })
    }
}

impl Model {
    /// A raw value in standard units, not too far out.
    fn standardised(&self, raw: f64) -> f64 {
        self.standard.apply(raw).clamp(-FURTHEST, FURTHEST)
    }
}

/// All models of a study.
pub(crate) struct Models {
    goal: Goal,
    /// One per value that the goal needs.
    outputs: Vec<Model>,
    /// One per constraint.
    constraints: Vec<Model>,
}

/// What a fit needs to know besides the history.
pub(crate) struct FitOptions<'a> {
    pub(crate) prior: Prior,
    /// Deviation of the noise as a share of the outcomes', if it is known so.
    pub(crate) relative_noise: Option<f64>,
    pub(crate) objectives: &'a [Objective],
    pub(crate) constraints: &'a [Constraint],
}

/// How draws are made.
pub(crate) struct Drawing<'a> {
    pub(crate) samples: usize,
    /// For each number of an encoded point, what its length scale's prior is scaled by.
    pub(crate) dimensions: &'a [f64],
    /// How many points are asked for together.
    pub(crate) together: usize,
}

impl Models {
    /// Fits one model per value that the goal needs, and one per constraint.
    pub(crate) fn fit(
        goal: Goal,
        history: &History,
        options: &FitOptions,
        generator: &mut ChaCha8Rng,
    ) -> Result<Self> {
        // 1. What there is to model.
        let task = |name, column| Task::of(name, &history.points, column, options.relative_noise);
        let mut tasks: Vec<Task> = goal
            .columns(history, options.objectives, generator)
            .into_iter()
            .enumerate()
            .map(|(index, column)| match goal {
                Goal::Hypervolume { .. } => task(&options.objectives[index].name, column),
                _ if options.objectives.len() == 1 => task(&options.objectives[0].name, column),
                _ => task("all objectives", column),
            })
            .collect();
        let outputs = tasks.len();
        for (index, constraint) in options.constraints.iter().enumerate() {
            let values: Vec<f64> = history.constraint_values.iter().map(|v| v[index]).collect();
            // A bound on an objective: its noise is known where the objective's is.
            let objective = options
                .objectives
                .iter()
                .position(|o| o.name == constraint.name);
            let noise = |variances: &Option<Vec<f64>>| {
                let objective = objective?;
                let unit = options.objectives[objective]
                    .scale
                    .map_or(1.0, |(zero, one)| one - zero);
                Some(variances.as_ref()?[objective] * unit * unit)
            };
            tasks.push(task(
                &constraint.name,
                (values, history.noise.iter().map(noise).collect()),
            ));
        }

        // 2. Walks over hyperparameters. Fits of another goal, or of another space, are no start.
        let warm = Some(&history.last_fits).filter(|fits| fits.len() == tasks.len());
        let fittings = tasks
            .iter()
            .map(|task| Fitting::new(&task.data, &options.prior))
            .collect::<Result<Vec<_>, GpError>>()?;
        let starts: Vec<Vec<Vec<f64>>> = (fittings.iter().enumerate())
            .map(|(index, fitting)| fitting.starts(warm.map(|fits| &fits[index])))
            .collect();
        let mut models = (tasks.par_iter().zip(&fittings).zip(starts))
            .with_max_len(1)
            .map(|((task, fitting), starts)| {
                let walks = starts.into_par_iter().with_max_len(1);
                let ends: Vec<_> = walks.map(|start| fitting.walk(start)).collect();
                task.model(fitting.best(ends)?)
            })
            .collect::<Result<Vec<_>, GpError>>()?;
        let constraints = models.split_off(outputs);
        Ok(Self {
            goal,
            outputs: models,
            constraints,
        })
    }

    /// The fits, for the next ones to start from.
    pub(crate) fn hyperparameters(&self) -> Vec<Hyperparameters> {
        let all = self.outputs.iter().chain(&self.constraints);
        all.map(|model| model.hyperparameters.clone()).collect()
    }

    /// What a point promises, given all that is known and under evaluation.
    ///
    /// Until a trial fulfils all constraints, that is the probability to be the first.
    pub(crate) fn acquisition(
        &self,
        history: &History,
        objectives: &[Objective],
        constraints: &[Constraint],
        drawing: &Drawing,
        generator: &mut ChaCha8Rng,
    ) -> Result<Box<dyn Acquisition>> {
        let mut weight = Product(self.feasibility(constraints, &history.pending)?);
        let any_feasible = history.feasible_trials().next().is_some();
        let mut failed = history.failed.clone();
        if !any_feasible {
            // A pending point that is expected to be feasible is no place to look for another.
            failed.extend_from_slice(&history.pending);
        }
        if !failed.is_empty() {
            let success = LogSuccess::new(drawing.dimensions, &history.points, &failed);
            weight.0.push(Box::new(success));
        }
        if !any_feasible {
            return Ok(Box::new(weight));
        }
        let improvement: Box<dyn Acquisition> = match self.goal {
            Goal::Hypervolume { noisy } => {
                Box::new(self.log_hvi(noisy, history, objectives, drawing, generator)?)
            }
            Goal::Sum(SumBy::Mean) | Goal::RandomWeights => Box::new(self.log_ei(history)?),
            Goal::Sum(by) => {
                let q = drawing.together;
                let noisy = by == SumBy::Draws;
                // Each of the points counts by its own weight.
                let weight = std::mem::take(&mut weight);
                Box::new(self.q_log_ei(noisy, q, weight, history, drawing, generator)?)
            }
        };
        if weight.0.is_empty() {
            return Ok(improvement);
        }
        weight.0.insert(0, improvement);
        Ok(Box::new(weight))
    }

    /// Pending points are taken to turn out as the models expect them to.
    fn feasibility(
        &self,
        constraints: &[Constraint],
        pending: &[Vec<f64>],
    ) -> Result<Vec<Box<dyn Acquisition>>> {
        let of = |(model, constraint): (&Model, &Constraint)| -> Result<Box<dyn Acquisition>> {
            let bound =
                |raw: Option<f64>, none: f64| raw.map_or(none, |raw| model.standardised(raw));
            let low = bound(constraint.at_least, f64::NEG_INFINITY);
            let high = bound(constraint.at_most, f64::INFINITY);
            let gp = model.gp.joint(pending)?.given();
            Ok(Box::new(LogFeasibility::new(gp, low, high)))
        };
        self.constraints.iter().zip(constraints).map(of).collect()
    }

    /// Pending points are taken to turn out as the model expects them to.
    fn log_ei(&self, history: &History) -> Result<LogEi> {
        let gp = &self.outputs[0].gp;
        let best = history
            .feasible_points()
            .iter()
            .chain(&history.pending)
            .map(|point| gp.mean(point))
            .fold(f64::NEG_INFINITY, f64::max);
        Ok(LogEi::new(gp.joint(&history.pending)?.given(), best))
    }

    fn q_log_ei(
        &self,
        noisy: bool,
        q: usize,
        weight: Product,
        history: &History,
        drawing: &Drawing,
        generator: &mut ChaCha8Rng,
    ) -> Result<QLogEi> {
        let model = &self.outputs[0];
        let surrogate = Surrogate {
            gp: model.gp.clone(),
            reference: f64::NEG_INFINITY,
        };
        let incumbents = Self::incumbents(&[surrogate], noisy, history, drawing, generator)?;
        let drawn = incumbents.drawn.len();
        let mut base = BaseSamples::sobol(generator.random(), 1, drawn, q, drawing.samples);
        Ok(QLogEi::new(&model.gp, &incumbents, base.remove(0), weight)?)
    }

    fn log_hvi(
        &self,
        noisy: bool,
        history: &History,
        objectives: &[Objective],
        drawing: &Drawing,
        generator: &mut ChaCha8Rng,
    ) -> Result<LogHvi> {
        let surrogates: Vec<Surrogate> = self
            .outputs
            .iter()
            .zip(references(history, objectives))
            .map(|(model, reference)| Surrogate {
                gp: model.gp.clone(),
                reference: model.standardised(reference),
            })
            .collect();
        let incumbents = Self::incumbents(&surrogates, noisy, history, drawing, generator)?;
        let (m, drawn) = (surrogates.len(), incumbents.drawn.len());
        let base = BaseSamples::sobol(generator.random(), m, drawn, 1, drawing.samples);
        Ok(LogHvi::new(&surrogates, &incumbents, base)?)
    }

    /// Feasible points, drawn or at their posterior means; pending points are always drawn.
    fn incumbents(
        surrogates: &[Surrogate],
        noisy: bool,
        history: &History,
        drawing: &Drawing,
        generator: &mut ChaCha8Rng,
    ) -> Result<Incumbents> {
        let feasible = history.feasible_points();
        let mut incumbents = Incumbents::default();
        if noisy {
            let seed = generator.random();
            incumbents.drawn = leading(surrogates, &feasible, drawing.samples, seed)?;
        } else {
            let means = |point: &Vec<f64>| -> Vec<f64> {
                surrogates.iter().map(|s| s.gp.mean(point)).collect()
            };
            incumbents.known = feasible.iter().map(means).collect();
        }
        incumbents.drawn.extend_from_slice(&history.pending);
        Ok(incumbents)
    }

    /// Evaluated points that lead by posterior mean (a front, if there are several models), best sum first; before any is
    /// feasible, those that are likeliest to be.
    pub(crate) fn leaders(
        &self,
        history: &History,
        constraints: &[Constraint],
    ) -> Result<Vec<Vec<f64>>> {
        let mut points = history.feasible_points();
        let mut most = SUM_INCUMBENTS;
        let scores: Vec<f64> = if points.is_empty() {
            points = history.distinct_points(0..history.points.len());
            let feasibility = Product(self.feasibility(constraints, &[])?);
            let scores = points.iter().map(|point| feasibility.value(point));
            scores.collect()
        } else {
            let means = |point: &Vec<f64>| -> Vec<f64> {
                let models = self.outputs.iter();
                models.map(|model| model.gp.mean(point)).collect()
            };
            let mut means: Vec<Vec<f64>> = points.iter().map(means).collect();
            if self.outputs.len() > 1 {
                let front = pareto::undominated(&means);
                points = front.iter().map(|i| points[*i].clone()).collect();
                means = front.iter().map(|i| means[*i].clone()).collect();
                most = FRONT_INCUMBENTS;
            }
            means.iter().map(|values| values.iter().sum()).collect()
        };
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        order.truncate(most);
        Ok(order.into_iter().map(|i| points[i].clone()).collect())
    }
}
