//! `members:` and `evaluate:`: checkpoints that are there already, and what evaluates their fusions.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DirectionConfig, Named};

/// A checkpoint that is there already: whatever `bomf fuse --member` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum MemberConfig {
    /// A file or a folder. In names `*` and `?` stand for any characters and for one; all that fit take part, in the order of
    /// the numbers in their names.
    Path(String),
    /// A checkpoint with a name.
    Named(NamedMemberConfig),
    /// The members of an earlier run.
    Run(RunMembersConfig),
}

/// A checkpoint with a name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedMemberConfig {
    /// The file or folder.
    pub path: String,
    /// What reports call it.
    pub name: String,
}

/// The members of an earlier run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunMembersConfig {
    /// Name of the run: the last one of that name that has come to its end and trained its members.
    pub run: String,
}

/// What evaluates a fused model.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "use", rename_all = "snake_case", deny_unknown_fields)]
pub enum EvaluateConfig {
    /// The model backend predicts the splits of `data`, `metrics` score.
    Model {},
    /// Any program: it is given the folder of a fused model and prints a JSON object with numbers.
    Command {
        /// The program, see `run` in docs/existing-checkpoints.md: a line for the shell, or a list of arguments. `{model}` is
        /// the folder, `{split}` is `validation` or `test`, `{out}` is a path where it may leave its JSON instead of printing.
        run: RunConfig,
        /// The numbers that count, by what reports call them, in this order.
        #[schemars(length(min = 1))]
        scores: Named<ScoreConfig>,
        /// Seconds after which an attempt is ended.
        #[serde(default = "EvaluateConfig::hour")]
        #[schemars(range(min = 0.001, max = 31_536_000.0))]
        timeout: f64,
        /// Further attempts when one fails.
        #[serde(default = "EvaluateConfig::once")]
        #[schemars(range(min = 0, max = 100))]
        retries: u32,
        /// Folder for the fused model while it is evaluated, for example `/dev/shm`; by default the run folder.
        scratch: Option<PathBuf>,
    },
    /// Any program that predicts: it is given the folder of a fused model and writes predictions as `bomf score` reads them.
    Predictions {
        /// The program, as for a command; it writes lines of JSON to `{out}`. Left out, the run stops before each evaluation
        /// and says where predictions are expected; once they are there, `--resume` goes on.
        run: Option<RunConfig>,
        /// Names of the labels, in the order of their indices; by default all that occur, sorted.
        #[serde(default)]
        labels: Vec<String>,
        /// Key that says which group an example is of.
        group: Option<String>,
        /// Seconds after which an attempt is ended.
        #[serde(default = "EvaluateConfig::hour")]
        #[schemars(range(min = 0.001, max = 31_536_000.0))]
        timeout: f64,
        /// Further attempts when one fails.
        #[serde(default = "EvaluateConfig::once")]
        #[schemars(range(min = 0, max = 100))]
        retries: u32,
        /// Folder for the fused model while it is evaluated, for example `/dev/shm`; by default the run folder.
        scratch: Option<PathBuf>,
    },
}

impl EvaluateConfig {
    fn hour() -> f64 {
        3600.0
    }

    fn once() -> u32 {
        1
    }

    /// The program, if there is one.
    pub fn program(&self) -> Option<&RunConfig> {
        match self {
            Self::Model {} => None,
            Self::Command { run, .. } => Some(run),
            Self::Predictions { run, .. } => run.as_ref(),
        }
    }
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self::Model {}
    }
}

/// How a program is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RunConfig {
    /// A line for the system's shell. What is put in for `{...}` is quoted.
    Line(String),
    /// The program and its arguments, without a shell.
    Arguments(#[schemars(length(min = 1))] Vec<String>),
}

impl RunConfig {
    /// Whether something such as `model` stands in it, as `{model}` or by its variable, `BOMF_MODEL`.
    pub fn mentions(&self, name: &str) -> bool {
        let words = [
            format!("{{{name}}}"),
            format!("BOMF_{}", name.to_uppercase()),
        ];
        let has_it = |text: &String| words.iter().any(|word| text.contains(word));
        match self {
            Self::Line(line) => has_it(line),
            Self::Arguments(arguments) => arguments.iter().any(has_it),
        }
    }
}

/// A number of a program's JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScoreConfig {
    /// Keys that lead to it, for example `[results, hellaswag, "acc_norm,none"]`; by default its name.
    pub at: Option<Vec<String>>,
    /// Which way is better.
    pub direction: DirectionConfig,
    /// Least and greatest possible value, for example `[0, 1]`; by default unbounded. A tenth of it, or 1 where it is
    /// unbounded, is what objectives are measured by.
    pub range: Option<(f64, f64)>,
}
