//! Hyperparameter search: an optimizer suggests, a cheap proxy trains, the metrics score.

use bomf_plugin_api::{
    Coordinate, Direction, Domain, Hyperparameters, Objective, Optimizer, Outcome, Parameter,
    Study, TrainingSpec, Trial, Verdict,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::bench::{Bench, WeightsBuffer};
use super::objectives::{loss_of, metric_sum};
use super::study::Search;
use super::trajectory::describe;
use super::window::best_checkpoint;
use super::{Run, TRAIN, VALIDATION};
use crate::diagnostics::Failure;
use crate::metrics::Evaluation;
use crate::progress::Stage;

/// What is searched, and how each point is tried.
#[derive(Debug, Clone, PartialEq)]
pub struct TunePlan {
    /// Name of the optimizer.
    pub optimizer: String,
    /// Its options.
    pub options: Value,
    /// Hyperparameters that are searched: name, domain, and for a choice the values behind its indices.
    pub axes: Vec<Axis>,
    /// Settings of those that are not.
    pub base: Hyperparameters,
    /// Most trials.
    pub trials: u64,
    /// Passes over the training split per trial.
    pub epochs: f64,
}

/// One searched hyperparameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Name and domain.
    pub parameter: Parameter,
    /// The values of a choice.
    pub choices: Vec<Value>,
}

impl Axis {
    /// What people and programs see of a coordinate: a number, a choice's value, or a list of coefficients.
    pub fn value(&self, coordinate: &Coordinate) -> Value {
        match coordinate {
            Coordinate::Float(x) => Value::from(*x),
            Coordinate::Integer(x) => Value::from(*x),
            Coordinate::Choice(index) => self.choices[*index].clone(),
            Coordinate::Simplex(coefficients) => Value::from(coefficients.as_slice()),
            _ => Value::Null,
        }
    }
}

/// The values behind a point.
pub fn point_values(axes: &[Axis], point: &[Coordinate]) -> Map<String, Value> {
    let pairs = axes.iter().zip(point);
    pairs
        .map(|(axis, coordinate)| (axis.parameter.name.clone(), axis.value(coordinate)))
        .collect()
}

/// A finished trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TuneTrial {
    /// The searched hyperparameters.
    pub point: Map<String, Value>,
    /// Step of its best checkpoint.
    pub best_step: u64,
    /// Scores of its best checkpoint on the validation split; `None` when the trial failed.
    pub evaluation: Option<Evaluation>,
    /// Why the trial failed.
    pub failed: Option<String>,
    /// What was reported while it ran: part of the training from 1, metric sum.
    #[serde(default)]
    pub reports: Vec<(u64, Vec<f64>)>,
    /// Whether the optimizer ended it early, after the last report.
    pub stopped: bool,
    /// Sum of the range-scaled metrics: what was maximised.
    pub metric_sum: Option<f64>,
}

/// What the search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// All trials, in order.
    pub trials: Vec<TuneTrial>,
    /// Position of the best trial.
    pub best: usize,
    /// Equal parts that each training was divided into: what reports count.
    pub parts: u64,
    /// Its hyperparameters, whole.
    pub hyperparameters: Hyperparameters,
}

/// Searches on the proxy that `bench` holds.
pub fn tune(
    run: &Run<'_>,
    plan: &TunePlan,
    optimizer: Box<dyn Optimizer>,
    bench: &mut Bench<'_>,
) -> Result<Tuning, Failure> {
    let space = plan
        .axes
        .iter()
        .map(|axis| axis.parameter.clone())
        .collect();
    let objective = Objective::new("metric_sum", Direction::Maximize);
    let mut search = Search {
        key: "tune".to_owned(),
        optimizer_name: plan.optimizer.clone(),
        optimizer,
        study: Study::new(space, vec![objective]),
        ceiling: plan.trials,
        run,
    };
    let progress = run.progress.stage("tune", plan.trials);
    let mut trials: Vec<TuneTrial> = Vec::new();
    search.run(|study, trial, optimizer| {
        let done = run.journal.once(&format!("tune/trial/{}", trial.id), || {
            attempt(run, plan, bench, &progress, study, trial, optimizer)
        })?;
        progress.advance(1, &summary(run, &done));
        let outcome = match (done.metric_sum, &done.failed) {
            (Some(sum), _) => Outcome::finished(vec![sum]),
            (None, why) => Outcome::Failed {
                why: why.clone().unwrap_or_default(),
            },
        };
        trial.reports = done.reports.clone();
        trials.push(done);
        Ok(outcome)
    })?;
    progress.finish();
    let keys: Vec<(f64, f64)> = trials.iter().map(|trial| key(run, trial)).collect();
    let best = best_checkpoint(&keys).filter(|&best| trials[best].evaluation.is_some());
    let best = best.ok_or_else(|| {
        let why = trials
            .iter()
            .find_map(|trial| trial.failed.clone())
            .unwrap_or_default();
        Failure::run(
            "tune::all_failed",
            "tune",
            format!("found no trial that finished: {why}"),
        )
        .hint("narrow `tune.space`, above all the learning rate's upper bound")
    })?;
    let hyperparameters = overlay(&plan.base, &trials[best].point)?;
    Ok(Tuning {
        trials,
        best,
        parts: parts(plan.epochs),
        hyperparameters,
    })
}

fn key(run: &Run<'_>, trial: &TuneTrial) -> (f64, f64) {
    let loss = trial
        .evaluation
        .as_ref()
        .map(|e| loss_of(run.metrics.scores(), &e.values));
    (
        trial.metric_sum.unwrap_or(f64::NEG_INFINITY),
        loss.unwrap_or(f64::INFINITY),
    )
}

fn summary(run: &Run<'_>, trial: &TuneTrial) -> String {
    let point: Vec<String> = trial
        .point
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let outcome = match (&trial.evaluation, &trial.failed) {
        (Some(evaluation), _) => describe(run.metrics.scores(), evaluation),
        (None, why) => format!(
            "failed: {}",
            why.as_deref().unwrap_or("no reason was given")
        ),
    };
    let ended = if trial.stopped { ", stopped" } else { "" };
    format!("{}: {outcome}{ended}", point.join(", "))
}

/// The base settings with some of them replaced.
pub fn overlay(
    base: &Hyperparameters,
    point: &Map<String, Value>,
) -> Result<Hyperparameters, Failure> {
    let fault = |error: serde_json::Error| {
        Failure::input(
            "tune::value",
            "tune.space",
            format!("found a value that does not fit: {error}"),
        )
    };
    let mut all = match serde_json::to_value(base).map_err(fault)? {
        Value::Object(all) => all,
        _ => Map::new(),
    };
    all.extend(point.clone());
    serde_json::from_value(Value::Object(all)).map_err(fault)
}

/// Trains once. A training that fails is a failed trial; input that is at fault ends the run.
fn attempt(
    run: &Run<'_>,
    plan: &TunePlan,
    bench: &mut Bench<'_>,
    progress: &Stage<'_>,
    study: &Study,
    trial: &Trial,
    optimizer: &mut dyn Optimizer,
) -> Result<TuneTrial, Failure> {
    let point = point_values(&plan.axes, &trial.suggestion.point);
    let spec = TrainingSpec::new(TRAIN, plan.epochs, run.seed, overlay(&plan.base, &point)?);
    let mut done = TuneTrial {
        point,
        best_step: 0,
        evaluation: None,
        failed: None,
        reports: Vec::new(),
        stopped: false,
        metric_sum: None,
    };
    match train(
        run,
        bench,
        progress,
        &spec,
        plan.epochs,
        study,
        trial,
        optimizer,
        &mut done,
    ) {
        Err(failure) if failure.is_plugin_failure() => {
            tracing::warn!("trial {} failed: {failure}", trial.id);
            done = TuneTrial {
                failed: Some(failure.to_string()),
                evaluation: None,
                metric_sum: None,
                ..done
            };
        }
        other => other?,
    }
    Ok(done)
}

#[expect(
    clippy::too_many_arguments,
    reason = "one call, each argument a thing of its own"
)]
fn train(
    run: &Run<'_>,
    bench: &mut Bench<'_>,
    progress: &Stage<'_>,
    spec: &TrainingSpec,
    epochs: f64,
    study: &Study,
    trial: &Trial,
    optimizer: &mut dyn Optimizer,
    done: &mut TuneTrial,
) -> Result<(), Failure> {
    bench.reset()?;
    let begun = bench.model().begin_training(spec);
    let mut training = begun.map_err(|error| bench.fault(&error))?;
    let mut buffer = WeightsBuffer::new(bench.model().trainable());
    let total = spec.total_steps(run.train_rows as u64);
    // Trials with other batch sizes have other steps: reports count equal parts of the training, which they have in common.
    let parts = parts(epochs);
    let mut study = study.clone();
    let mut best = (f64::NEG_INFINITY, f64::INFINITY);
    let mut at = 0;
    for part in 1..=parts {
        run.check_stop()?;
        let step = (part * total).div_ceil(parts);
        // A training may have fewer steps than parts.
        if step == at {
            continue;
        }
        bench.train(run, progress, &mut *training, step - at)?;
        at = step;
        let weights = buffer
            .fill(|out| training.read(out))
            .map_err(|error| bench.fault(&error))?;
        bench.load(&weights)?;
        let evaluation = bench.evaluate(VALIDATION)?;
        let scores = run.metrics.scores();
        let key = (
            metric_sum(scores, &evaluation.values),
            loss_of(scores, &evaluation.values),
        );
        if key.0 > best.0 || (key.0 == best.0 && key.1 < best.1) {
            best = key;
            (done.best_step, done.metric_sum, done.evaluation) =
                (step, Some(key.0), Some(evaluation));
        }
        if step < total {
            let verdict = optimizer
                .report(&study, trial.id, part, &[key.0])
                .map_err(|error| Failure::plugin("the optimizer", &error))?;
            done.stopped = verdict == Verdict::Stop;
        }
        done.reports.push((part, vec![key.0]));
        study.trials[trial.id as usize].reports = done.reports.clone();
        if done.stopped {
            break;
        }
    }
    Ok(())
}

/// Equal parts that a training of so many epochs is divided into; it is evaluated after each.
fn parts(epochs: f64) -> u64 {
    (epochs.ceil() as u64).max(1)
}

/// The domain of an axis as the report shows it.
pub fn describe_domain(axis: &Axis) -> String {
    match &axis.parameter.domain {
        Domain::Float { low, high, .. } => format!("{low:e} to {high:e}"),
        Domain::Integer { low, high, .. } => format!("{low} to {high}"),
        _ => axis
            .choices
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    }
}
