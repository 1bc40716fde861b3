//! A number for each prediction.

use bomf_plugin_api::{
    Column, Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor,
    Scores, Table, Values, column,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::options::AskOptions;
use crate::panel::{self, Panel, Questions};
use crate::prompt::Template;
use crate::reading::{self, Scale};
use crate::request::digest;

const NAME: &str = "llm-judge";
const PLACES: [&str; 5] = ["input", "prediction", "reference", "low", "high"];
const INPUT: usize = 0;
const PREDICTION: usize = 1;
const REFERENCE: usize = 2;

const PROMPT: &str = "\
How close in meaning is the first text to the second? Rate it with a number from {low} to {high}: {high} if it says all \
that the second says and nothing else, {low} if the two have nothing in common.

First text:
{prediction}

Second text:
{reference}

Answer with the number alone.";

/// Asks a model for a number for each prediction.
pub struct Judge {
    panel: Panel,
    template: Template,
    references: References,
    scale: Scale,
    signature: String,
}

/// How predictions are rated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgeOptions {
    /// The prompt. `{prediction}` has to stand in it, `{reference}`, `{input}`, `{low}` and `{high}` may; other braces
    /// stand for themselves. By default it asks how close prediction and reference are in meaning.
    #[serde(default = "JudgeOptions::default_prompt")]
    pub prompt: String,
    /// A regular expression with one group around the number. By default the first number of the reply that lies in
    /// `range` is read.
    #[serde(default)]
    pub pattern: Option<String>,
    /// The worst and the best number that a reply may hold. The score is on a scale from 0 to 100 all the same.
    #[serde(default)]
    pub range: RangeOptions,
    /// What several references of one example mean: `best` asks about each and takes the highest number, `mean` the mean,
    /// `all` shows them together in one prompt, numbered.
    #[serde(default)]
    pub references: References,
    /// Whom to ask, and how.
    #[serde(flatten)]
    pub ask: AskOptions,
}

/// The ends of the scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RangeOptions {
    /// The worst.
    pub low: f64,
    /// The best.
    pub high: f64,
}

impl Default for RangeOptions {
    fn default() -> Self {
        let (low, high) = (0.0, 100.0);
        Self { low, high }
    }
}

/// What several references of one example mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum References {
    /// The best number of all.
    #[default]
    Best,
    /// The mean of their numbers.
    Mean,
    /// One prompt for all.
    All,
}

impl JudgeOptions {
    fn default_prompt() -> String {
        PROMPT.to_owned()
    }
}

impl Component for Judge {
    type Options = JudgeOptions;

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Metric,
            NAME,
            "a number from a language model for each prediction",
        )
        .score(ScoreDescriptor::maximize("judge", 0.0, 100.0).per_example())
        .score(
            ScoreDescriptor::minimize("judge_failed", 0.0, 1.0)
                .per_example()
                .detail(),
        )
    }

    fn new(options: JudgeOptions, context: &Context) -> Result<Self> {
        let RangeOptions { low, high } = options.range;
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Err(PluginError::input(format!(
                "range: found {low} to {high}, expected a low end below the high one"
            )));
        }
        let template = Template::new(&options.prompt, &PLACES);
        if !template.has(PREDICTION) {
            return Err(PluginError::input(
                "prompt: found no `{prediction}`, expected one",
            ));
        }
        let scale = Scale { low, high };
        let pattern = options
            .pattern
            .as_deref()
            .map(reading::pattern)
            .transpose()?;
        let reader = Box::new(move |reply: &str| scale.read(reply, pattern.as_ref()));
        let reminder = format!("Answer with one number from {low} to {high} and nothing else.");
        let panel = Panel::new(options.ask, context, reminder, reader)?;
        let references = match options.references {
            References::Best => "best",
            References::Mean => "mean",
            References::All => "all",
        };
        let pattern = options
            .pattern
            .map_or("none".to_owned(), |text| digest(&[&text]));
        let own = format!("references:{references}|range:{low}-{high}|pattern:{pattern}");
        Ok(Self {
            signature: panel.signature(NAME, &options.prompt, &own),
            panel,
            template,
            references: options.references,
            scale,
        })
    }
}

impl Metric for Judge {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let rows = examples.rows();
        refuse_empty(rows)?;
        let predictions: Vec<&str> = examples.texts(column::PREDICTED_TEXT)?.collect();
        let inputs = self
            .template
            .has(INPUT)
            .then(|| inputs(examples))
            .transpose()?;
        let references = self
            .template
            .has(REFERENCE)
            .then(|| texts(examples, column::REFERENCE_TEXT));
        let references = references.transpose()?;
        // One question for each row, or for each of its references.
        let asked = |row: usize| match (references, self.references) {
            (Some(column), References::Best | References::Mean) => column.range(row).len(),
            _ => 1,
        };
        let about: Vec<(usize, usize)> = (0..rows)
            .flat_map(|row| (0..asked(row)).map(move |which| (row, which)))
            .collect();
        let (low, high) = (self.scale.low.to_string(), self.scale.high.to_string());
        let text = |number: usize| {
            let (row, which) = about[number];
            let reference = references.map_or(String::new(), |column| match self.references {
                References::All => numbered(column, row),
                _ => column.texts(row).nth(which).unwrap_or_default().to_owned(),
            });
            let input = inputs.as_ref().map_or("", |inputs| inputs[row]);
            self.template
                .fill(&[input, predictions[row], &reference, &low, &high])
        };
        let row_of = about.iter().map(|(row, _)| *row).collect();
        let answers = self.panel.ask(&Questions {
            rows,
            row_of,
            text: &text,
        })?;
        let mut answers = answers.into_iter();
        let rows: Vec<Option<f64>> = (0..rows)
            .map(|row| self.worth(answers.by_ref().take(asked(row)).collect()))
            .collect();
        panel::scores(self.signature.clone(), "judge", "judge_failed", &rows)
    }
}

impl Judge {
    /// One number from 0 to 100 for a row. If one of its questions has no answer, neither has the row: the best or mean of
    /// the rest would be that of other references.
    fn worth(&self, answers: Vec<Option<f64>>) -> Option<f64> {
        let numbers = answers.into_iter().collect::<Option<Vec<f64>>>()?;
        let number = match self.references {
            References::Mean => numbers.iter().sum::<f64>() / numbers.len() as f64,
            _ => numbers.into_iter().reduce(f64::max)?,
        };
        // In this order a number from 0 to 100 stays as it is, to the last bit.
        Some((number - self.scale.low) * 100.0 / (self.scale.high - self.scale.low))
    }
}

fn numbered(column: &Column<'_>, row: usize) -> String {
    let texts = column.texts(row);
    if texts.len() == 1 {
        return texts.collect();
    }
    let lines: Vec<String> = texts
        .enumerate()
        .map(|(i, text)| format!("{}. {text}", i + 1))
        .collect();
    lines.join("\n")
}

pub(crate) fn refuse_empty(rows: usize) -> Result<()> {
    match rows {
        0 => Err(PluginError::input(
            "found no example, expected one or more to judge",
        )),
        _ => Ok(()),
    }
}

/// What each prediction answers.
pub(crate) fn inputs<'a>(examples: &'a Table<'_>) -> Result<Vec<&'a str>> {
    Ok(examples.texts(column::TEXT)?.collect())
}

/// A column with one or more texts in each row.
pub(crate) fn texts<'a, 'b>(examples: &'a Table<'b>, name: &str) -> Result<&'a Column<'b>> {
    let column = examples.column(name)?;
    if !matches!(column.values(), Values::Texts { .. }) {
        return Err(PluginError::input(format!(
            "found no texts in column `{name}`, expected some"
        )));
    }
    match (0..examples.rows()).find(|&row| column.range(row).is_empty()) {
        None => Ok(column),
        Some(row) => Err(PluginError::input(format!(
            "found no text in row {row} of column `{name}`, expected one or more"
        ))),
    }
}
