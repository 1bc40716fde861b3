//! What a plan will take: a few steps are made on a sample of its own data, and counted up.

use std::time::Instant;

use bomf_plugin_api::{Model, PluginError, Table, TrainingSpec};
use fusion::Checkpoint;
use serde::Serialize;

use crate::data::Splits;
use crate::diagnostics::Failure;
use crate::memory;
use crate::model;
use crate::plan::{ModelPlan, Plan, TrainingPlan};
use crate::registry::Registry;
use crate::stages::{TEST, TRAIN, VALIDATION};

/// Rows of the first sample; it grows until a prediction of it takes [`LONG_ENOUGH`].
const SAMPLE: usize = 32;
/// Seconds of work that say how fast the machine is.
const LONG_ENOUGH: f64 = 0.3;

/// What a plan will take on this machine, roughly.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Seconds of the hyperparameter search.
    pub tuning_seconds: f64,
    /// Seconds of the training and the evaluation of its checkpoints; 0 where nothing is trained.
    pub trajectory_seconds: f64,
    /// Seconds of all methods, if each uses all its evaluations.
    pub fusion_seconds: f64,
    /// Seconds of the test.
    pub test_seconds: f64,
    /// Anonymous memory in MiB, where the system tells.
    pub memory_mib: Option<u64>,
    /// Bytes of one member.
    pub member_bytes: u64,
    /// Disk in MiB, when the run folder is largest.
    pub disk_mib: u64,
}

/// Seconds per row, of a model with so many layers frozen.
struct Pace {
    train: f64,
    predict: f64,
    /// Computing once what does not change: tokens, outputs of frozen layers.
    prepare: f64,
    /// Bytes of memory per row for what is kept of that.
    kept: f64,
    trainable_bytes: u64,
    parameters: u64,
}

impl Estimate {
    /// Opens the model and makes a few steps with it.
    ///
    /// # Errors
    /// Those of the model.
    pub fn measure(
        plan: &Plan,
        model: &ModelPlan,
        registry: &Registry,
        checkpoints: &[Checkpoint],
    ) -> Result<Self, Failure> {
        let Some(trained) = &model.training else {
            let opened = model::open_as_trained(plan, model, registry, checkpoints)?;
            return Self::of_members(plan, model, opened);
        };
        let pace = |frozen| {
            let opened = model::open(plan, model, registry, frozen)?;
            Pace::measure(model, plan.config.seed, opened)
        };
        let frozen = plan.config.trajectory.freeze_layers;
        let proxy = match &plan.config.tune {
            Some(tune) if tune.proxy.freeze_layers != frozen => {
                Some(pace(tune.proxy.freeze_layers)?)
            }
            _ => None,
        };
        let pace = pace(frozen)?;
        let [train, validation, test] = model.splits.facts.rows.map(|rows| rows as f64);
        let training = |pace: &Pace, epochs: f64, evaluations: f64| {
            epochs * train * pace.train + evaluations * validation * pace.predict
        };
        let tuning_seconds = trained.tune.as_ref().map_or(0.0, |tune| {
            let own = proxy
                .as_ref()
                .map_or(0.0, |proxy| (train + validation + test) * proxy.prepare);
            let pace = proxy.as_ref().unwrap_or(&pace);
            own + tune.trials as f64 * training(pace, tune.epochs, tune.epochs.ceil())
        });
        let checkpoints = trained.trajectory.checkpoints as f64;
        let searched: u64 = plan.methods.iter().map(|method| method.iterations).sum();
        let rows = train + validation + test;
        let mib = |bytes: f64| (bytes / f64::from(1 << 20)).ceil() as u64;
        let weights = pace.trainable_bytes as f64;
        Ok(Self {
            tuning_seconds,
            trajectory_seconds: rows * pace.prepare
                + training(&pace, trained.trajectory.epochs, checkpoints),
            fusion_seconds: searched as f64 * validation * pace.predict,
            test_seconds: plan.methods.len() as f64 * test * pace.predict,
            member_bytes: pace.trainable_bytes,
            memory_mib: memory::peak_anonymous_mib().map(|now| now + mib(rows * pace.kept)),
            // All checkpoints, the state of the training (weights and two moments, twice while it is replaced), the model.
            disk_mib: mib((checkpoints + 6.0) * weights + 4.0 * pace.parameters as f64),
        })
    }

    /// Without a training: the members are evaluated, and searched.
    fn of_members(plan: &Plan, model: &ModelPlan, opened: Box<dyn Model>) -> Result<Self, Failure> {
        let pace = Pace::measure(model, plan.config.seed, opened)?;
        let [_, validation, test] = model.splits.facts.rows.map(|rows| rows as f64);
        let searched: u64 = plan.methods.iter().map(|method| method.iterations).sum();
        let evaluations = searched as f64 + plan.members.len() as f64;
        let rows = validation + test;
        let mib = |bytes: f64| (bytes / f64::from(1 << 20)).ceil() as u64;
        Ok(Self {
            tuning_seconds: 0.0,
            trajectory_seconds: 0.0,
            fusion_seconds: rows * pace.prepare + evaluations * validation * pace.predict,
            test_seconds: plan.methods.len() as f64 * test * pace.predict,
            member_bytes: pace.trainable_bytes,
            memory_mib: memory::peak_anonymous_mib().map(|now| now + mib(rows * pace.kept)),
            disk_mib: mib(4.0 * pace.parameters as f64),
        })
    }

    /// Seconds in all.
    pub fn seconds(&self) -> f64 {
        self.tuning_seconds + self.trajectory_seconds + self.fusion_seconds + self.test_seconds
    }
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "about {} (", time(self.seconds()))?;
        if self.trajectory_seconds > 0.0 {
            let (tuning, trajectory) = (self.tuning_seconds, self.trajectory_seconds);
            write!(
                f,
                "tuning {}, trajectory {}, ",
                time(tuning),
                time(trajectory)
            )?;
        }
        let (fusion, test) = (time(self.fusion_seconds), time(self.test_seconds));
        write!(f, "fusion at most {fusion}, test {test})")?;
        if let Some(memory) = self.memory_mib {
            write!(f, ", {memory} MiB of memory")?;
        }
        write!(f, ", {} MiB of disk", self.disk_mib)
    }
}

/// Seconds as people say them.
fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds < 90.0 => format!("{seconds:.0} s"),
        _ if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

impl Pace {
    fn measure(plan: &ModelPlan, seed: u64, mut model: Box<dyn Model>) -> Result<Self, Failure> {
        let splits = &plan.splits;
        let fault = |error| Failure::plugin(&plan.backend.plugin, &error);

        let mut rows = SAMPLE;
        let (predict, info) = loop {
            let info = model.add_split(VALIDATION, &sample(&splits.validation, rows));
            let info = info.map_err(fault)?;
            model.predict(VALIDATION).map_err(fault)?;
            let (predict, predicted) = timed(|| model.predict(VALIDATION));
            predicted.map_err(fault)?;
            if predict >= LONG_ENOUGH || rows >= splits.validation.rows() {
                break (predict, info);
            }
            rows *= 4;
        };
        // All buffers have their size now: what memory grows by with a second split is what is kept of it.
        let before = memory::anonymous_bytes();
        let test = sample(&splits.test, rows);
        let (first, predicted) = timed(|| {
            model.add_split(TEST, &test)?;
            model.predict(TEST)
        });
        predicted.map_err(fault)?;
        let kept = memory::anonymous_bytes()
            .zip(before)
            .map_or(0, |(now, before)| now.saturating_sub(before));

        let train = match &plan.training {
            Some(trained) => train_pace(&mut *model, trained, splits, rows, seed).map_err(fault)?,
            None => 0.0,
        };

        let rows = info.examples.max(1) as f64;
        let facts = model.info();
        Ok(Self {
            train,
            predict: predict / rows,
            prepare: (first / test.rows() as f64 - predict / rows).max(0.0),
            kept: kept as f64 / test.rows() as f64,
            trainable_bytes: 4 * facts.trainable_parameters,
            parameters: facts.parameters,
        })
    }
}

/// Seconds per row of a training step.
fn train_pace(
    model: &mut dyn Model,
    trained: &TrainingPlan,
    splits: &Splits,
    rows: usize,
    seed: u64,
) -> Result<f64, PluginError> {
    let train = sample(&splits.train, rows);
    model.add_split(TRAIN, &train)?;
    let hyperparameters = trained.trajectory.hyperparameters.clone();
    let per_step = (hyperparameters.batch_size * hyperparameters.accumulation).max(1);
    // Long enough for a step that is not timed and one that is.
    let epochs = 2.0 * per_step as f64 / train.rows() as f64;
    let spec = TrainingSpec::new(TRAIN, epochs.max(2.0), seed, hyperparameters);
    let mut training = model.begin_training(&spec)?;
    training.advance(1)?;
    let (step, made) = timed(|| training.advance(1));
    made?;
    Ok(step / per_step.min(train.rows() as u64) as f64)
}

/// Rows from all over a split.
fn sample(split: &Table<'static>, most: usize) -> Table<'static> {
    let count = split.rows().min(most);
    let rows: Vec<u32> = (0..count)
        .map(|i| (i * split.rows() / count) as u32)
        .collect();
    split.take(&rows)
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed().as_secs_f64(), result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_units_that_fit() {
        assert_eq!(time(3.4), "3 s");
        assert_eq!(time(240.0), "4 min");
        assert_eq!(time(9000.0), "2.5 h");
    }
}
