//! Prediction against another text, asked both ways round.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table, column,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::judge::{inputs, refuse_empty, texts};
use crate::options::AskOptions;
use crate::panel::{self, Panel, Questions};
use crate::prompt::Template;
use crate::reading::{self, Verdict};
use crate::request::digest;

const NAME: &str = "llm-judge-pairwise";
const PLACES: [&str; 3] = ["input", "a", "b"];
const INPUT: usize = 0;
const REMINDER: &str = "Answer with A, B or tie and nothing else.";

const PROMPT: &str = "\
Below are a task and two results. Which one does the task better: correct, complete, to the point and well written? \
Neither their order nor their length counts.

Task:
{input}

Result A:
{a}

Result B:
{b}

Answer with A, B or tie and nothing else.";

/// Asks a model which of two texts is better.
pub struct Pairwise {
    panel: Panel,
    template: Template,
    against: String,
    signature: String,
}

/// How predictions are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairwiseOptions {
    /// The prompt. `{a}` and `{b}` have to stand in it, `{input}` may; other braces stand for themselves. By default it
    /// asks which of the two does the task better.
    #[serde(default = "PairwiseOptions::default_prompt")]
    pub prompt: String,
    /// A regular expression with one group around `A`, `B` or `tie`. By default the only one of these words in the reply
    /// is read.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Column of the texts that predictions are compared with; where a row holds several, the mean over them counts.
    #[serde(default = "PairwiseOptions::default_against")]
    pub against: String,
    /// Whom to ask, and how.
    #[serde(flatten)]
    pub ask: AskOptions,
}

impl PairwiseOptions {
    fn default_prompt() -> String {
        PROMPT.to_owned()
    }

    fn default_against() -> String {
        column::REFERENCE_TEXT.to_owned()
    }
}

impl Component for Pairwise {
    type Options = PairwiseOptions;

    fn describe() -> Descriptor {
        let summary = "how often a language model prefers the prediction to another text";
        Descriptor::new(Kind::Metric, NAME, summary)
            .score(ScoreDescriptor::maximize("win_rate", 0.0, 1.0).per_example())
            .score(
                ScoreDescriptor::minimize("judge_failed", 0.0, 1.0)
                    .per_example()
                    .detail(),
            )
    }

    fn new(options: PairwiseOptions, context: &Context) -> Result<Self> {
        let template = Template::new(&options.prompt, &PLACES);
        if !(template.has(1) && template.has(2)) {
            return Err(PluginError::input(
                "prompt: found no `{a}` or no `{b}`, expected both",
            ));
        }
        let pattern = options
            .pattern
            .as_deref()
            .map(reading::pattern)
            .transpose()?;
        let reader = Box::new(move |reply: &str| {
            Verdict::read(reply, pattern.as_ref()).map(|verdict| match verdict {
                Verdict::A => 1.0,
                Verdict::B => 0.0,
                Verdict::Tie => 0.5,
            })
        });
        let panel = Panel::new(options.ask, context, REMINDER.to_owned(), reader)?;
        let pattern = options
            .pattern
            .map_or("none".to_owned(), |text| digest(&[&text]));
        let own = format!(
            "against:{}|pattern:{pattern}",
            options.against.escape_debug()
        );
        Ok(Self {
            signature: panel.signature(NAME, &options.prompt, &own),
            panel,
            template,
            against: options.against,
        })
    }
}

impl Metric for Pairwise {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let rows = examples.rows();
        refuse_empty(rows)?;
        let predictions: Vec<&str> = examples.texts(column::PREDICTED_TEXT)?.collect();
        let others = texts(examples, &self.against)?;
        let inputs = self
            .template
            .has(INPUT)
            .then(|| inputs(examples))
            .transpose()?;
        // Row, which of its other texts, and whether the prediction comes second.
        let about: Vec<(usize, usize, bool)> = (0..rows)
            .flat_map(|row| {
                let pairs = 0..others.range(row).len();
                pairs.flat_map(move |which| [(row, which, false), (row, which, true)])
            })
            .collect();
        let text = |number: usize| {
            let (row, which, swapped) = about[number];
            let other = others.texts(row).nth(which).unwrap_or_default();
            let input = inputs.as_ref().map_or("", |inputs| inputs[row]);
            match swapped {
                false => self.template.fill(&[input, predictions[row], other]),
                true => self.template.fill(&[input, other, predictions[row]]),
            }
        };
        let row_of = about.iter().map(|(row, _, _)| *row).collect();
        let answers = self.panel.ask(&Questions {
            rows,
            row_of,
            text: &text,
        })?;
        let mut pairs = answers
            .chunks_exact(2)
            .map(|pair| Some(outcome(pair[0]?, pair[1]?)));
        let rows: Vec<Option<f64>> = (0..rows)
            .map(|row| {
                let outcomes: Vec<Option<f64>> =
                    pairs.by_ref().take(others.range(row).len()).collect();
                let outcomes = outcomes.into_iter().collect::<Option<Vec<f64>>>()?;
                Some(outcomes.iter().sum::<f64>() / outcomes.len() as f64)
            })
            .collect();
        panel::scores(self.signature.clone(), "win_rate", "judge_failed", &rows)
    }
}

/// 1 for a win, 0 for a loss, 0.5 for a tie and where the two orders disagree. Both arguments say how A fared.
fn outcome(prediction_first: f64, other_first: f64) -> f64 {
    let (first, second) = (prediction_first, 1.0 - other_first);
    if first == second { first } else { 0.5 }
}
