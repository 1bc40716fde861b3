//! `bomf run`: the walk from a configuration to a report.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bomf_plugin_api::{Fuser, Kind, Member as Weights, Model, ModelInfo, Objective};
use fusion::Checkpoint;
use serde_json::{Map, Value, json};

use crate::cli::RunArguments;
use crate::config::{self, Config, MetricConfig};
use crate::diagnostics::{Failure, Failures};
use crate::fuser::{self, Choice, Size};
use crate::journal::{self, JOURNAL, Journal, RUNS, file};
use crate::model;
use crate::output;
use crate::plan::{self, ModelPlan, Plan, TrainingPlan};
use crate::progress::{Progress, now};
use crate::registry::Registry;
use crate::report::{self, Report};
use crate::stages::bench::{Bench, Fusion};
use crate::stages::choice::Aim;
use crate::stages::evaluator::{Evaluator, ModelEvaluator};
use crate::stages::fuse::{self, MethodResult, Workshop};
use crate::stages::members::{self, Member};
use crate::stages::program::{ProgramEvaluator, call};
use crate::stages::test;
use crate::stages::trajectory::{self, Trajectory};
use crate::stages::tune::{self, Tuning};
use crate::stages::{Run, TEST, TRAIN, VALIDATION};

/// Set by the first Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

/// Tunes, trains, fuses, tests and reports. Returns the run folder.
pub fn run(
    arguments: &RunArguments,
    registry_of: impl Fn(&[PathBuf]) -> Registry,
    progress: &Progress,
) -> Result<PathBuf, Failures> {
    let loaded = config::load(&arguments.config.config, &arguments.config.set)?;
    let registry = registry_of(&loaded.config.plugins);
    let source = loaded.document.text();
    let plan = plan::resolve(loaded, &registry, &|line| progress.say(line))?;
    let checkpoints = members::open(&plan.members)?;
    let journal = open_journal(arguments, &plan, &checkpoints, &registry, &source)?;
    let log = journal.folder().join("log.txt");
    progress
        .log_to(&log)
        .map_err(|error| Failure::io("run::log", &log, &error))?;
    listen_for_ctrl_c(progress);
    let run = Run {
        seed: plan.config.seed,
        train_rows: plan.model().map_or(0, |model| model.splits.train.rows()),
        journal: &journal,
        metrics: &plan.metrics,
        progress,
        timing: journal.timing(),
        stop: &|| STOP.load(Ordering::Relaxed),
    };
    let Ready {
        mut evaluator,
        model,
        fuser,
        tuning,
        trajectory,
    } = match &plan.evaluation {
        plan::Evaluation::Model(model) => ready(&plan, model, &registry, &run, &checkpoints)?,
        plan::Evaluation::Program(program) => {
            Ready::of(ProgramEvaluator::new(program, &checkpoints, &run)?)
        }
    };
    let members = match &trajectory {
        Some(trajectory) => members::of_trajectory(trajectory),
        None => members::examine(
            &run,
            &plan.members,
            &checkpoints,
            &mut *evaluator,
            plan.threads,
        )?,
    };
    let objectives = objectives(&plan, &members);
    let mut workshop = Workshop {
        run: &run,
        evaluator: &mut *evaluator,
        known: members::known(&members),
    };
    let aim = Aim {
        objectives: &objectives,
        constraints: &plan.constraints,
        choice: &plan.choice,
    };
    let methods = fuse_all(&plan, &registry, &mut workshop, &aim)?;
    let baseline = plan
        .methods
        .iter()
        .position(|method| method.optimizer == "best_member");
    let tested = match plan.tests() {
        true => test::test(&mut workshop, &methods, baseline, plan.test)?,
        false => Vec::new(),
    };
    let chosen = chosen_method(&methods, &aim);
    let report = Report::new(report::Parts {
        plan: &plan,
        registry: &registry,
        model: model.as_ref(),
        fuser: fuser.as_ref(),
        tuning: tuning.as_ref(),
        trajectory: trajectory.as_ref(),
        members: &members,
        objectives: &objectives,
        methods: &methods,
        tested: &tested,
        chosen,
    });
    output::write(
        &mut workshop,
        &methods[chosen],
        &members,
        &checkpoints,
        &report,
    )?;
    report.write(journal.folder(), &journal.timing().spent())?;
    Ok(journal.folder().to_owned())
}

/// What evaluates, with its members open, and how it came to be.
struct Ready<'a> {
    evaluator: Box<dyn Evaluator + 'a>,
    model: Option<ModelInfo>,
    fuser: Option<Choice>,
    tuning: Option<Tuning>,
    trajectory: Option<Trajectory>,
}

impl<'a> Ready<'a> {
    fn of(evaluator: impl Evaluator + 'a) -> Self {
        Self {
            evaluator: Box::new(evaluator),
            model: None,
            fuser: None,
            tuning: None,
            trajectory: None,
        }
    }
}

/// The model, and its members: trained here, or there already.
fn ready<'a>(
    plan: &'a Plan,
    model: &'a ModelPlan,
    registry: &Registry,
    run: &Run<'a>,
    checkpoints: &'a [Checkpoint],
) -> Result<Ready<'a>, Failure> {
    // Before anything is trained: a fuser that cannot be opened is no surprise at the end.
    let named = fuser::open_named(&plan.config.fuse.fuser, registry, &plan.context())?;
    let opened = match &model.training {
        Some(_) => model::open(plan, model, registry, plan.config.trajectory.freeze_layers)?,
        None => model::open_as_trained(plan, model, registry, checkpoints)?,
    };
    let mut bench = open_bench(opened, model, run)?;
    let (mut tuning, mut trajectory) = (None, None);
    let members = match &model.training {
        Some(training) => {
            tuning = tune(plan, model, training, registry, run, &mut bench)?;
            let trained = train(training, run, tuning.as_ref(), &mut bench)?;
            let members = trajectory::members(run, &trained, bench.model())?;
            trajectory = Some(trained);
            members
        }
        None => members::weights(&plan.members, checkpoints, &bench.model().trainable())?,
    };
    let (fuser, engine) = open_fuser(plan, registry, run, named, &members)?;
    let fusion = Fusion::open(&*engine, &fuser.name, members, bench.model().trainable())?;
    let info = bench.model().info();
    let batch_size = plan.config.trajectory.hyperparameters.batch_size;
    let evaluator =
        ModelEvaluator::new(bench, fusion, checkpoints, run.timing, run.seed, batch_size);
    Ok(Ready {
        model: Some(info),
        fuser: Some(fuser),
        tuning,
        trajectory,
        ..Ready::of(evaluator)
    })
}

/// Makes or reopens the run folder. A run can only go on with what it was begun with.
fn open_journal(
    arguments: &RunArguments,
    plan: &Plan,
    checkpoints: &[Checkpoint],
    registry: &Registry,
    source: &str,
) -> Result<Journal, Failure> {
    let name = &plan.config.name;
    let journal = match (&arguments.out, arguments.resume) {
        (Some(folder), true) => Journal::reopen(folder)?,
        (None, true) => Journal::reopen(&journal::last(Path::new(RUNS), name, JOURNAL)?)?,
        (Some(folder), false) => Journal::create(folder)?,
        (None, false) => {
            Journal::create(&PathBuf::from(RUNS).join(format!("{name}-{}", timestamp())))?
        }
    };
    let begun: Value = journal.once("begun", || {
        file::write(&journal.folder().join("config.yaml"), source.as_bytes())?;
        let identity = identity(plan, checkpoints, registry);
        file::write_json(&journal.folder().join("plan.json"), &identity)?;
        Ok(identity)
    })?;
    let now = identity(plan, checkpoints, registry);
    let differing: Vec<&str> = [
        "config", "data", "members", "scores", "plugins", "bomf", "threads",
    ]
    .into_iter()
    .filter(|part| begun[part] != now[part])
    .collect();
    match differing[..] {
        [] => Ok(journal),
        _ => Err(Failure::input(
            "run::changed",
            journal.folder().display(),
            format!("found a run begun with other values of: {}", differing.join(", ")),
        )
        .hint("go on with what it was begun with (config.yaml and plan.json in its folder), or start a new run")),
    }
}

/// All that decides the outcome of a run.
fn identity(plan: &Plan, checkpoints: &[Checkpoint], registry: &Registry) -> Value {
    json!({
        "bomf": env!("CARGO_PKG_VERSION"),
        "config": decisive(&plan.config, registry),
        "data": plan.model().map(|model| &model.splits.facts.digest),
        "members": members::stamps(&plan.members, checkpoints),
        // What is recorded has values in this order.
        "scores": plan.metrics.scores().iter().map(|score| &score.name).collect::<Vec<_>>(),
        "threads": plan.threads,
        "plugins": report::plugins(plan, registry),
    })
}

/// The configuration without the options that change no result, such as how many requests may be under way: their plugins
/// mark them with `x-runtime` in the schema.
fn decisive(config: &Config, registry: &Registry) -> Config {
    let mut config = config.clone();
    let strip = |kind: Kind, plugin: &str, options: &mut Map<String, Value>| {
        if let Some((_, descriptor)) = registry.find(kind, plugin) {
            let properties = &descriptor.options["properties"];
            options.retain(|name, _| properties[name]["x-runtime"] != true);
        }
    };
    if let Some(model) = &mut config.model {
        strip(Kind::Model, &model.plugin, &mut model.options);
    }
    for metric in &mut config.metrics {
        if let MetricConfig::Use(metric) = metric {
            strip(Kind::Metric, &metric.plugin, &mut metric.options);
        }
    }
    if let Some(tune) = &mut config.tune {
        strip(
            Kind::Optimizer,
            &tune.optimizer.plugin,
            &mut tune.optimizer.options,
        );
    }
    let fuser = &mut config.fuse.fuser;
    strip(Kind::Fuser, &fuser.plugin, &mut fuser.options);
    for method in &mut config.fuse.methods {
        strip(Kind::Optimizer, &method.plugin, &mut method.options);
    }
    config
}

/// Now, as `20260131-235959` in UTC.
fn timestamp() -> String {
    let now = now().replace(['-', ':'], "").replace('T', "-");
    now[..15].to_owned()
}

/// The first Ctrl-C asks the stages to stop after the current step, the second ends the process.
fn listen_for_ctrl_c(progress: &Progress) {
    let progress = progress.clone();
    let listening = ctrlc::set_handler(move || {
        if STOP.swap(true, Ordering::Relaxed) {
            call::end_running();
            std::process::exit(130);
        }
        progress.say("stopping after the current step; once more ends at once");
    });
    if let Err(error) = listening {
        tracing::warn!("Ctrl-C will end the run at once: {error}");
    }
}

/// The fuser that was named, or the one that suits the members; a resumed run keeps what was chosen first.
fn open_fuser(
    plan: &Plan,
    registry: &Registry,
    run: &Run<'_>,
    named: Option<Box<dyn Fuser>>,
    members: &[Weights],
) -> Result<(Choice, Box<dyn Fuser>), Failure> {
    if let Some(named) = named {
        return Ok((Choice::named(&plan.config.fuse.fuser.plugin), named));
    }
    let context = plan.context();
    let choice: Choice = run.journal.once("fuser", || {
        let size = Size::of(members);
        Ok(fuser::choose(registry, &context, &size)?)
    })?;
    run.progress.say(&format!("fuser: {choice}"));
    let engine = registry.fuser(&choice.name, &json!({}), &context)?;
    Ok((choice, engine))
}

/// An opened model with all splits.
fn open_bench<'a>(
    opened: Box<dyn Model>,
    model: &'a ModelPlan,
    run: &Run<'a>,
) -> Result<Bench<'a>, Failure> {
    describe(&opened.info());
    let mut bench = Bench::new(opened, &model.backend.plugin, run.metrics, run.timing)?;
    if model.training.is_some() {
        bench.add_split(TRAIN, model.splits.train.borrow())?;
    }
    bench.add_split(VALIDATION, model.splits.validation.borrow())?;
    bench.add_split(TEST, model.splits.test.borrow())?;
    Ok(bench)
}

fn describe(info: &ModelInfo) {
    tracing::info!(
        "{}: {} layers, {:.1} M parameters, {:.1} M trained, on {}",
        info.architecture,
        info.layers,
        info.parameters as f64 / 1e6,
        info.trainable_parameters as f64 / 1e6,
        info.engine
    );
}

fn tune<'a>(
    plan: &Plan,
    model: &'a ModelPlan,
    training: &TrainingPlan,
    registry: &Registry,
    run: &Run<'a>,
    bench: &mut Bench<'a>,
) -> Result<Option<Tuning>, Failure> {
    let (Some(tune_plan), Some(tune_config)) = (&training.tune, &plan.config.tune) else {
        return Ok(None);
    };
    let context = plan.context();
    let optimizer = registry.optimizer(&tune_plan.optimizer, &tune_plan.options, &context)?;
    let proxy = tune_config.proxy.freeze_layers;
    // The trajectory's own model serves where it is the proxy.
    let tuning = if proxy == plan.config.trajectory.freeze_layers {
        tune::tune(run, tune_plan, optimizer, bench)?
    } else {
        let opened = model::open(plan, model, registry, proxy)?;
        let mut proxy = open_bench(opened, model, run)?;
        tune::tune(run, tune_plan, optimizer, &mut proxy)?
    };
    Ok(Some(tuning))
}

fn train(
    training: &TrainingPlan,
    run: &Run<'_>,
    tuning: Option<&Tuning>,
    bench: &mut Bench<'_>,
) -> Result<Trajectory, Failure> {
    let mut plan = training.trajectory.clone();
    if let Some(tuning) = tuning {
        plan.hyperparameters.clone_from(&tuning.hyperparameters);
    }
    trajectory::trajectory(run, &plan, bench)
}

/// Every score, normalised from the members' own values.
fn objectives(plan: &Plan, members: &[Member]) -> Vec<Objective> {
    let scores = plan.metrics.scores().iter().enumerate();
    let margin = plan.config.fuse.reference_margin;
    let objective = scores.map(|(index, score)| {
        let values = members.iter().map(|member| member.evaluation.values[index]);
        score.objective(&values.collect::<Vec<f64>>(), margin)
    });
    objective.collect()
}

fn fuse_all(
    plan: &Plan,
    registry: &Registry,
    workshop: &mut Workshop<'_, '_>,
    aim: &Aim<'_>,
) -> Result<Vec<MethodResult>, Failure> {
    let context = plan.context();
    let mut results = Vec::new();
    for method in &plan.methods {
        let optimizer = registry.optimizer(&method.optimizer, &method.options, &context)?;
        let result = fuse::fuse(workshop, method, optimizer, aim)?;
        let path = workshop
            .run
            .journal
            .folder()
            .join(format!("fuse/{}.json", method.name));
        file::write_json(&path, &result)?;
        results.push(result);
    }
    Ok(results)
}

/// The method whose choice is best on the validation split.
fn chosen_method(methods: &[MethodResult], aim: &Aim<'_>) -> usize {
    let chosen = methods.iter().map(|method| {
        let evaluation = method.chosen().evaluation.as_ref();
        &evaluation.expect("what was chosen was evaluated").values[..]
    });
    aim.choose(&chosen.collect::<Vec<_>>())
        .expect("there is one method or more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sort_as_they_pass() {
        let time = timestamp();
        assert_eq!(time.len(), 15);
        assert!(time.as_str() > "20250101-000000" && time.as_str() < "21000101-000000");
    }
}
