//! `bomf score`: what the user typed.

use std::path::PathBuf;

use clap::Args;

/// What is scored, and how.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct ScoreArguments {
    /// A metric by its name, or an entry as under `metrics:` of a configuration, such as `{ use: f1, average: macro, name:
    /// macro }`; `bomf plugins list` shows the names.
    #[arg(required = true, value_name = "METRIC")]
    pub metrics: Vec<String>,
    /// The examples, one JSON object per line; `-` reads standard input.
    #[arg(long, value_name = "FILE.jsonl")]
    pub examples: PathBuf,
    /// An option of the metrics: of all that know it, or of one, as in `rouge.stemmer=true`. `bomf plugins show NAME` shows
    /// a metric's options.
    #[arg(long = "option", value_name = "[METRIC.]KEY=VALUE")]
    pub options: Vec<String>,
    /// Names of the labels, in the order of their indices; by default all that occur, sorted.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Key that says which group an example is of: scores of every group and of the worst one are printed too.
    #[arg(long, value_name = "KEY")]
    pub group: Option<String>,
    /// Pass over lines that cannot be read, and say how many they were.
    #[arg(long)]
    pub skip_bad: bool,
    /// Threads to use; by default all processors.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub threads: Option<u16>,
    /// Seeds what metrics draw at random.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

const HELP: &str = "\
Every line is one example. A key stands in all lines or in none; others are passed over.
  prediction              a text; beside `label` a label; beside `value` a number
  references, reference   texts that would be right; one
  labels, label           labels (names or indices) that would be right; one
  value                   the true number of a regression
  scores                  one number per label, or that of label 1 of two alone
  input, id, group        texts
  no_answer_probability   a number
  loss                    what a language model reports: mean over tokens, in nats
  tokens, right_tokens    how many tokens these are; how many of them were right

Prints one JSON object:
  METRIC        {SCORE: number, ...}, for each metric
  examples      how many were scored
  skipped       how many lines were passed over
  signatures    {METRIC: how it was computed, ...}
  labels        names of the labels in the order of their indices, if they have names
  groups        {METRIC: {GROUP: {SCORE: number, ...}, ...}, ...}, with --group

Examples:
  bomf score accuracy f1 --examples answers.jsonl
  bomf score rouge bleu --examples summaries.jsonl --option rouge.stemmer=true
  zcat big.jsonl.gz | bomf score f1 --option average=macro --examples - --skip-bad
  bomf score accuracy --examples answers.jsonl --group region
  bomf score accuracy f1 --examples answers.jsonl \\
    '{ combine: minimum, of: [accuracy, f1], name: floor }'

Exit codes: 0 done, 2 bad input, 3 plugin.";
