//! One full training; its checkpoints become the members.

use std::path::PathBuf;

use bomf_plugin_api::{Hyperparameters, Member, Model, Training, TrainingSpec, TrainingState};
use serde::{Deserialize, Serialize};

use super::bench::{Bench, WeightsBuffer};
use super::objectives::{Score, loss_of, metric_sum};
use super::window::{self, Rule, Window};
use super::{Run, TRAIN, VALIDATION};
use crate::diagnostics::Failure;
use crate::metrics::Evaluation;
use crate::progress::Stage;
use crate::timing::Category;
use crate::weights;

/// How to train, and what to keep.
#[derive(Debug, Clone, PartialEq)]
pub struct TrajectoryPlan {
    /// Passes over the training split.
    pub epochs: f64,
    /// Checkpoints on the grid.
    pub checkpoints: u64,
    /// Members wanted.
    pub members: usize,
    /// Where members are looked for.
    pub rule: Rule,
    /// Settings of the training.
    pub hyperparameters: Hyperparameters,
}

/// A checkpoint with what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Optimizer steps made.
    pub step: u64,
    /// Mean training loss since the checkpoint before, in nats.
    pub training_loss: f64,
    /// Step size of the last step.
    pub learning_rate: f64,
    /// Scores on the validation split.
    pub evaluation: Evaluation,
    /// BLAKE3 of its weights, tensor after tensor.
    pub digest: String,
}

/// The training that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trajectory {
    /// Steps of the whole training.
    pub total_steps: u64,
    /// Its checkpoints, ascending by step.
    pub checkpoints: Vec<Checkpoint>,
    /// The members among them.
    pub window: Window,
}

impl Trajectory {
    /// The checkpoints that are members, ascending by step.
    pub fn members(&self) -> impl Iterator<Item = &Checkpoint> {
        self.checkpoints
            .iter()
            .filter(|checkpoint| self.window.members.contains(&checkpoint.step))
    }
}

/// Trains, evaluates every checkpoint of the grid, finds B* and the members' window, and drops the other weights.
pub fn trajectory(
    run: &Run<'_>,
    plan: &TrajectoryPlan,
    bench: &mut Bench<'_>,
) -> Result<Trajectory, Failure> {
    let checkpoints = train(run, plan, bench)?;
    let total_steps = total_steps(run, plan);
    let scores = run.metrics.scores();
    let keys: Vec<(f64, f64)> = checkpoints
        .iter()
        .map(|c| {
            (
                metric_sum(scores, &c.evaluation.values),
                loss_of(scores, &c.evaluation.values),
            )
        })
        .collect();
    let best = window::best_checkpoint(&keys).expect("a training has at least one checkpoint");
    let grid: Vec<u64> = checkpoints
        .iter()
        .map(|checkpoint| checkpoint.step)
        .collect();
    let window = window::members(&grid, grid[best], total_steps, plan.rule, plan.members);
    report(&window, plan, scores, &checkpoints[best]);
    for step in grid.iter().filter(|step| !window.members.contains(step)) {
        run.journal.forget_folder(&folder(*step))?;
    }
    Ok(Trajectory {
        total_steps,
        checkpoints,
        window,
    })
}

/// The members' weights, mapped from their files.
pub fn members(
    run: &Run<'_>,
    trajectory: &Trajectory,
    model: &dyn Model,
) -> Result<Vec<Member>, Failure> {
    let specs = model.trainable();
    let steps = &trajectory.window.members;
    steps
        .iter()
        .map(|&step| {
            let tensors = weights::open_as(&run.journal.folder().join(weights_file(step)), &specs)?;
            Ok(Member {
                name: format!("step-{step:06}"),
                tensors,
            })
        })
        .collect()
}

/// The weights that are left when a run has come to its end, as a pattern below its folder.
pub const WEIGHTS_OF_MEMBERS: &str = "trajectory/step-*/weights.safetensors";

fn folder(step: u64) -> PathBuf {
    PathBuf::from("trajectory").join(format!("step-{step:06}"))
}

fn weights_file(step: u64) -> PathBuf {
    folder(step).join("weights.safetensors")
}

fn state_file(step: u64) -> PathBuf {
    folder(step).join("state.safetensors")
}

fn total_steps(run: &Run<'_>, plan: &TrajectoryPlan) -> u64 {
    spec(run, plan).total_steps(run.train_rows as u64)
}

fn spec(run: &Run<'_>, plan: &TrajectoryPlan) -> TrainingSpec {
    TrainingSpec::new(TRAIN, plan.epochs, run.seed, plan.hyperparameters.clone())
}

/// The steps of the grid: evenly spaced, the last one at the end of the training.
fn grid(total: u64, checkpoints: u64) -> Vec<u64> {
    let count = checkpoints.clamp(1, total);
    (1..=count).map(|i| (i * total).div_ceil(count)).collect()
}

/// A training and the step it stands at.
struct Session {
    training: Box<dyn Training>,
    step: u64,
}

fn train(
    run: &Run<'_>,
    plan: &TrajectoryPlan,
    bench: &mut Bench<'_>,
) -> Result<Vec<Checkpoint>, Failure> {
    let grid = grid(total_steps(run, plan), plan.checkpoints);
    let progress = run.progress.stage("trajectory", grid.len() as u64);
    let mut session = None;
    let mut buffer = WeightsBuffer::new(bench.model().trainable());
    let mut checkpoints: Vec<Checkpoint> = Vec::new();
    for &step in &grid {
        run.check_stop()?;
        let previous = checkpoints.last().map(|checkpoint| checkpoint.step);
        let checkpoint = run.journal.once(&format!("trajectory/{step}"), || {
            let mut here = match session.take() {
                Some(session) => session,
                None => begin(run, plan, bench, previous)?,
            };
            let checkpoint = advance(run, bench, &progress, &mut here, &mut buffer, step)?;
            session = Some(here);
            Ok(checkpoint)
        })?;
        // Only now: until the checkpoint was recorded, the state before it was the place to go on from.
        if let Some(previous) = previous {
            run.journal.forget_file(&state_file(previous))?;
        }
        progress.advance(1, &describe(run.metrics.scores(), &checkpoint.evaluation));
        checkpoints.push(checkpoint);
    }
    progress.finish();
    Ok(checkpoints)
}

/// Begins anew, or goes on where the last finished checkpoint left off.
fn begin(
    run: &Run<'_>,
    plan: &TrajectoryPlan,
    bench: &mut Bench<'_>,
    previous: Option<u64>,
) -> Result<Session, Failure> {
    bench.reset()?;
    let begun = bench.model().begin_training(&spec(run, plan));
    let mut training = begun.map_err(|error| bench.fault(&error))?;
    if let Some(step) = previous {
        let (tensors, state) =
            weights::open_with_note(&run.journal.folder().join(state_file(step)))?;
        let state = TrainingState::new(tensors, state);
        training
            .restore(&state)
            .map_err(|error| bench.fault(&error))?;
    }
    Ok(Session {
        training,
        step: previous.unwrap_or(0),
    })
}

/// Trains up to a step, evaluates the weights there, and puts weights and state on disk.
fn advance(
    run: &Run<'_>,
    bench: &mut Bench<'_>,
    progress: &Stage<'_>,
    session: &mut Session,
    buffer: &mut WeightsBuffer,
    step: u64,
) -> Result<Checkpoint, Failure> {
    let training = &mut *session.training;
    let report = bench.train(run, progress, training, step - session.step)?;
    session.step = step;
    let weights = buffer
        .fill(|out| training.read(out))
        .map_err(|error| bench.fault(&error))?;
    bench.load(&weights)?;
    let evaluation = bench.evaluate(VALIDATION)?;
    let state = training.save().map_err(|error| bench.fault(&error))?;
    run.timing.measure(Category::Io, || {
        run.journal
            .write_tensors(&weights_file(step), &weights, None)?;
        run.journal
            .write_tensors(&state_file(step), &state.tensors, Some(&state.state))
    })?;
    let mut hasher = blake3::Hasher::new();
    weights.iter().for_each(|tensor| {
        hasher.update(tensor.data());
    });
    Ok(Checkpoint {
        step,
        training_loss: report.loss,
        learning_rate: report.learning_rate,
        evaluation,
        digest: format!("blake3:{}", hasher.finalize().to_hex()),
    })
}

/// One line on how good weights are: `loss 0.41, accuracy 0.853, f1 0.861`.
pub fn describe(scores: &[Score], evaluation: &Evaluation) -> String {
    let parts = scores.iter().zip(&evaluation.values);
    parts
        .map(|(score, value)| format!("{} {value:.4}", score.name))
        .collect::<Vec<_>>()
        .join(", ")
}

fn report(window: &Window, plan: &TrajectoryPlan, scores: &[Score], best: &Checkpoint) {
    tracing::info!(
        "best step {}: {}",
        best.step,
        describe(scores, &best.evaluation)
    );
    if window.cut_short {
        tracing::warn!(
            "the window of members ends with the training at step {}: the best step {} comes late, \
             more epochs would give members beyond it",
            window.last,
            window.best
        );
    }
    if window.members.len() < plan.members {
        tracing::warn!(
            "found {} checkpoints between steps {} and {}, {} members were wanted: \
             a larger `trajectory.checkpoints` gives a finer grid",
            window.members.len(),
            window.first,
            window.last,
            plan.members
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_even_and_ends_with_the_training() {
        assert_eq!(grid(10, 5), [2, 4, 6, 8, 10]);
        assert_eq!(grid(7, 3), [3, 5, 7]);
        assert_eq!(grid(2, 30), [1, 2]);
        assert_eq!(grid(5, 0), [5]);
    }
}
