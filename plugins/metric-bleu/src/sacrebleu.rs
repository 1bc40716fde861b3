//! BLEU as sacrebleu computes it, over a corpus and by sentence.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bleu::{add_parts, checked_order, with_parts};
use crate::counts::{Counts, Reading, ReferenceLength};
use crate::pairs::Pairs;
use crate::tokenizer::{Tokenize, Tokenizer};

/// Corpus BLEU, smoothed, with the closest reference's length, from 0 to 100.
pub struct SacreBleu(Settings);

/// The mean of the BLEU of every example by itself, from 0 to 100.
pub struct SentenceBleu(Settings);

/// What may be set; names and defaults are sacrebleu's.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SacreBleuOptions {
    /// How texts are split into tokens.
    pub tokenize: Tokenize,
    /// What becomes of the precision of an order without a match.
    pub smooth_method: SmoothMethod,
    /// The number that `floor` (0.1 if it is not given) and `add-k` (1 if it is not given) work with.
    #[schemars(range(min = 0.0))]
    pub smooth_value: Option<f64>,
    /// Whether upper and lower case are the same.
    pub lowercase: bool,
    /// Whether orders of which a prediction has no n-gram at all are left out of the mean; by default they are for
    /// `sentence_bleu` and not for `sacrebleu`.
    pub effective_order: Option<bool>,
    /// The longest n-grams that count.
    #[schemars(range(min = 1, max = 32))]
    pub max_order: u64,
}

impl Default for SacreBleuOptions {
    fn default() -> Self {
        Self {
            tokenize: Tokenize::default(),
            smooth_method: SmoothMethod::default(),
            smooth_value: None,
            lowercase: false,
            effective_order: None,
            max_order: 4,
        }
    }
}

/// Ways to smooth, by the names of Chen and Cherry (2014).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SmoothMethod {
    /// The first order without a match counts 1/2 of a match, the next one 1/4, and so on, as mteval does.
    #[default]
    Exp,
    /// An order without a match counts `smooth_value` of a match.
    Floor,
    /// `smooth_value` is added to the matches and to the n-grams of all orders but the first.
    AddK,
    /// An order without a match makes the score 0.
    None,
}

impl Component for SacreBleu {
    type Options = SacreBleuOptions;

    fn describe() -> Descriptor {
        let summary = "n-grams in common with references, as sacrebleu: 0 to 100";
        with_parts(
            Descriptor::new(Kind::Metric, "sacrebleu", summary).score(ScoreDescriptor::maximize(
                "sacrebleu",
                0.0,
                100.0,
            )),
            100.0,
        )
    }

    fn new(options: SacreBleuOptions, context: &Context) -> Result<Self> {
        Settings::new(options, false, context).map(Self)
    }
}

impl Metric for SacreBleu {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let pairs = Pairs::of(examples)?;
        let counts = self.0.reading.count(&pairs, self.0.threads);
        let (score, precisions) = self.0.score(&counts);
        let scores = Scores::new(self.0.signature("BLEU", &pairs)).value("sacrebleu", score);
        Ok(add_parts(scores, &counts, &precisions))
    }
}

impl Component for SentenceBleu {
    type Options = SacreBleuOptions;

    fn describe() -> Descriptor {
        let summary = "mean of sacrebleu's sentence BLEU: 0 to 100";
        Descriptor::new(Kind::Metric, "sentence_bleu", summary)
            .score(ScoreDescriptor::maximize("sentence_bleu", 0.0, 100.0).per_example())
    }

    fn new(options: SacreBleuOptions, context: &Context) -> Result<Self> {
        Settings::new(options, true, context).map(Self)
    }
}

impl Metric for SentenceBleu {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let pairs = Pairs::of(examples)?;
        let score = |counts: &Counts| self.0.score(counts).0;
        let per_example = self.0.reading.map(&pairs, self.0.threads, score);
        let signature = self.0.signature("sentence BLEU", &pairs);
        Ok(Scores::new(signature).mean_of("sentence_bleu", per_example))
    }
}

/// The options, checked, and what they lead to.
struct Settings {
    reading: Reading,
    smooth: Smooth,
    effective_order: bool,
    threads: usize,
}

/// [`SmoothMethod`] with its number.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Smooth {
    Exp,
    Floor(f64),
    AddK(f64),
    None,
}

impl Settings {
    fn new(options: SacreBleuOptions, effective_order: bool, context: &Context) -> Result<Self> {
        Ok(Self {
            reading: Reading {
                tokenizer: Tokenizer::new(options.tokenize),
                lowercase: options.lowercase,
                trim_end: true,
                reference_length: ReferenceLength::Closest,
                max_order: checked_order(options.max_order)?,
            },
            smooth: Smooth::new(options.smooth_method, options.smooth_value)?,
            effective_order: options.effective_order.unwrap_or(effective_order),
            threads: context.threads,
        })
    }

    /// The score and the precision of every order, in [0, 100]; the precisions do not depend on the greatest order.
    fn score(&self, counts: &Counts) -> (f64, Vec<f64>) {
        let mut precisions = vec![0.0; counts.totals.len()];
        if counts.matches[0] == 0 {
            return (0.0, precisions);
        }
        let max_order = self.reading.max_order;
        let (mut mean_of, mut halves) = (max_order, 1.0);
        for (index, precision) in precisions.iter_mut().enumerate() {
            let (mut matches, mut total) =
                (counts.matches[index] as f64, counts.totals[index] as f64);
            if let (Smooth::AddK(k), 1..) = (self.smooth, index) {
                (matches, total) = (matches + k, total + k);
            }
            if total == 0.0 {
                break;
            }
            if self.effective_order {
                mean_of = (index + 1).min(max_order);
            }
            if matches == 0.0 {
                matches = match self.smooth {
                    Smooth::Exp => {
                        halves *= 0.5;
                        halves
                    }
                    Smooth::Floor(value) => value,
                    Smooth::AddK(_) | Smooth::None => 0.0,
                };
            }
            *precision = 100.0 * matches / total;
        }
        let taken = &precisions[..mean_of];
        if taken.contains(&0.0) {
            return (0.0, precisions);
        }
        let mean = taken.iter().map(|precision| precision.ln()).sum::<f64>() / mean_of as f64;
        // Rounding may leave a perfect score one unit above 100.
        let score = (counts.brevity_penalty() * mean.exp()).min(100.0);
        (score, precisions)
    }

    /// sacrebleu's line, with our version, and the greatest order where it is not 4.
    fn signature(&self, name: &str, pairs: &Pairs<'_>) -> String {
        let max_order = match self.reading.max_order {
            4 => String::new(),
            order => format!("|max_order:{order}"),
        };
        format!(
            "{name}|nrefs:{}|case:{}|eff:{}|tok:{}|smooth:{}{max_order}|version:{VERSION}",
            pairs.width(),
            case(self.reading.lowercase),
            yes_or_no(self.effective_order),
            self.reading.tokenizer.tokenize().name(),
            self.smooth,
        )
    }
}

impl Smooth {
    fn new(method: SmoothMethod, value: Option<f64>) -> Result<Self> {
        let most = match method {
            SmoothMethod::Floor => 1.0,
            _ => f64::MAX,
        };
        match (method, value) {
            (_, Some(value)) if !(0.0..=most).contains(&value) => Err(PluginError::input(format!(
                "found `smooth_value: {value}`, expected a number from 0{}",
                if most == 1.0 { " to 1 for `floor`" } else { "" }
            ))),
            (SmoothMethod::Exp | SmoothMethod::None, Some(value)) => Err(PluginError::input(format!(
                "found `smooth_value: {value}` beside a method that takes none, expected `floor` or `add-k`"
            ))
            .hint("leave `smooth_value` out, or set `smooth_method`")),
            (SmoothMethod::Exp, None) => Ok(Self::Exp),
            (SmoothMethod::None, None) => Ok(Self::None),
            (SmoothMethod::Floor, value) => Ok(Self::Floor(value.unwrap_or(0.1))),
            (SmoothMethod::AddK, value) => Ok(Self::AddK(value.unwrap_or(1.0))),
        }
    }
}

impl std::fmt::Display for Smooth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exp => f.write_str("exp"),
            Self::Floor(value) => write!(f, "floor[{value:.2}]"),
            Self::AddK(k) => write!(f, "add-k[{k:.2}]"),
            Self::None => f.write_str("none"),
        }
    }
}

/// Ours: nobody should take the line for one that sacrebleu printed.
pub(crate) const VERSION: &str = concat!("bomf-", env!("CARGO_PKG_VERSION"));

pub(crate) fn case(lowercase: bool) -> &'static str {
    if lowercase { "lc" } else { "mixed" }
}

pub(crate) fn yes_or_no(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}
