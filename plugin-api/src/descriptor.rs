//! What a plugin says about itself, before and after its library is opened.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::objective::Direction;

/// The version of this API. Hosts and plugins of one major version work together as far as both understand.
pub const API_VERSION: &str = "1.0";

/// The four kinds of things a plugin can bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// Opens, trains and evaluates models.
    Model,
    /// Scores predictions.
    Metric,
    /// Suggests points.
    Optimizer,
    /// Computes weights from members and coefficients.
    Fuser,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Model => "model",
            Kind::Metric => "metric",
            Kind::Optimizer => "optimizer",
            Kind::Fuser => "fuser",
        })
    }
}

/// What a library brings: the contents of `plugin.toml`, but for what only the file system knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// The library's name, the same as its folder's.
    pub name: String,
    /// The library's own version.
    pub version: String,
    /// The version of this API that it was built against, `major.minor`.
    pub api_version: String,
    /// Target triple it was built for, for example `x86_64-unknown-linux-gnu`.
    pub platform: String,
    /// SPDX licence expression.
    #[serde(default)]
    pub license: String,
    /// Foreign libraries to be found and opened first.
    #[serde(default)]
    pub preload: Vec<Preload>,
    /// What it brings.
    pub provides: Vec<Descriptor>,
}

/// A foreign library that a plugin is linked with and that does not lie beside it, such as LibTorch. The host finds its folder
/// and opens what is in there, with symbols visible to the plugin, before it opens the plugin.
///
/// It looks in the option called `name` of the component that is made, in the environment variable `NAME`, in bomf's cache as
/// `name-version`, and in the package of `python_module`. The folder has the libraries in `lib/`, and its version in
/// `build-version` or `version.py`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Preload {
    /// What it is called, in lower case: `libtorch`.
    pub name: String,
    /// The version that the plugin was built for; no other will do.
    pub version: String,
    /// Its libraries in the order in which they are opened, without a system's prefix and suffix: `c10`.
    pub libraries: Vec<String>,
    /// Libraries that are opened as well where they are there.
    #[serde(default)]
    pub optional: Vec<String>,
    /// A Python module whose package folder is such a folder.
    #[serde(default)]
    pub python_module: Option<String>,
    /// What users do who do not have it.
    #[serde(default)]
    pub hint: String,
}

impl Preload {
    /// A foreign library of a version, and what it is made of.
    pub fn new(name: &str, version: &str, libraries: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            libraries: libraries.iter().map(|&library| library.into()).collect(),
            optional: Vec::new(),
            python_module: None,
            hint: String::new(),
        }
    }

    /// Adds a library that need not be there.
    #[must_use]
    pub fn optional(mut self, library: &str) -> Self {
        self.optional.push(library.to_owned());
        self
    }

    /// Names a Python module that brings the same libraries.
    #[must_use]
    pub fn python_module(mut self, module: &str) -> Self {
        self.python_module = Some(module.to_owned());
        self
    }

    /// Says what users do who do not have it.
    #[must_use]
    pub fn hint(mut self, hint: &str) -> Self {
        self.hint = hint.to_owned();
        self
    }
}

/// One thing that a plugin brings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Descriptor {
    /// Which of the four kinds it is.
    pub kind: Kind,
    /// What configurations call it in `use:`.
    pub name: String,
    /// Other names it answers to.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// One line for people.
    pub summary: String,
    /// JSON Schema of its options.
    #[serde(default)]
    pub options: Value,
    /// What a metric returns; the first is its main score.
    #[serde(default)]
    pub scores: Vec<ScoreDescriptor>,
    /// Whether an optimizer wants the members' centred Gram matrix in the study.
    #[serde(default)]
    pub needs_gram: bool,
}

impl Descriptor {
    /// A descriptor of that kind and name.
    pub fn new(kind: Kind, name: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            aliases: Vec::new(),
            summary: summary.into(),
            options: Value::Null,
            scores: Vec::new(),
            needs_gram: false,
        }
    }

    /// Adds another name.
    #[must_use]
    pub fn alias(mut self, alias: &str) -> Self {
        self.aliases.push(alias.to_owned());
        self
    }

    /// Adds a score that a metric returns; the first one added is its main score.
    #[must_use]
    pub fn score(mut self, score: ScoreDescriptor) -> Self {
        self.scores.push(score);
        self
    }

    /// Asks for the members' centred Gram matrix in the study.
    #[must_use]
    pub fn with_gram(mut self) -> Self {
        self.needs_gram = true;
        self
    }

    /// Whether `name` is its name or one of its aliases.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// One number that a metric returns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScoreDescriptor {
    /// Its name in [`crate::Scores::values`].
    pub name: String,
    /// Which way is better.
    pub direction: Direction,
    /// Least and greatest possible value; `None` where one of them is infinite.
    #[serde(default)]
    pub range: Option<(f64, f64)>,
    /// Whether the score of a split is the mean of values per example, which the metric then returns too.
    #[serde(default)]
    pub per_example: bool,
    /// Whether it only explains the scores beside it (a length, a threshold, a part of the examples): reported, but not
    /// sought unless a configuration names it. A metric may leave it out where it has no value.
    #[serde(default)]
    pub detail: bool,
}

impl ScoreDescriptor {
    /// A score that is to be maximised between two bounds, which may be infinite.
    pub fn maximize(name: impl Into<String>, low: f64, high: f64) -> Self {
        Self::new(name.into(), Direction::Maximize, low, high)
    }

    /// A score that is to be minimised between two bounds, which may be infinite.
    pub fn minimize(name: impl Into<String>, low: f64, high: f64) -> Self {
        Self::new(name.into(), Direction::Minimize, low, high)
    }

    fn new(name: String, direction: Direction, low: f64, high: f64) -> Self {
        let range = (low.is_finite() && high.is_finite()).then_some((low, high));
        Self {
            name,
            direction,
            range,
            per_example: false,
            detail: false,
        }
    }

    /// Says that the score is the mean of values per example, which the metric returns too.
    #[must_use]
    pub fn per_example(mut self) -> Self {
        self.per_example = true;
        self
    }

    /// Says that it only explains the scores beside it, and may be left out where it has no value.
    #[must_use]
    pub fn detail(mut self) -> Self {
        self.detail = true;
        self
    }
}
