//! `data:`: where the examples come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
