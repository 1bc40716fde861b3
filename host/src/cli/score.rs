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
Every line is one example. A key stands in all lines or in none; keys that are not listed are passed over.
  prediction                 a text, beside `references`; a label (name or index), beside `label`; a number, beside `value`
  references, reference      texts that would be right; one
  labels, label              labels that would be right; one
  value                      the true number of a regression
  scores                     one number per label, or that of label 1 of two alone
  input, id, group           texts
  no_answer_probability      a number
  loss, tokens, right_tokens what a language model reports: mean loss in nats, tokens that it is a mean over, right ones

Prints {\"METRIC\": {\"SCORE\": number, ...}, ..., \"examples\": n, \"skipped\": n, \"signatures\": {\"METRIC\": text, ...}}; with names
of labels also \"labels\": their order; with groups also \"groups\": {\"METRIC\": {\"GROUP\": {\"SCORE\": number, ...}, ...}, ...}.

Examples:
  bomf score accuracy f1 --examples answers.jsonl
  bomf score rouge bleu --examples summaries.jsonl --option rouge.stemmer=true
  zcat big.jsonl.gz | bomf score f1 --option average=macro --examples - --skip-bad
  bomf score accuracy f1 '{ combine: minimum, of: [accuracy, f1], name: floor }' --examples answers.jsonl --group region";
