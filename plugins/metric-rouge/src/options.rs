//! What can be chosen about ROUGE.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of `rouge`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RougeOptions {
    /// `f`: the harmonic mean of precision and recall. `precision`: the share of the prediction that is in the reference.
    /// `recall`: the share of the reference that is in the prediction. Of several references the one with the best F
    /// counts in each case.
    pub measure: Measure,
    /// Whether words of more than three letters are cut to their stem (Porter's, as in nltk), so that `walks` and
    /// `walking` are the same.
    pub stemmer: bool,
    /// What a word is. `rouge_score`: a run of the letters a to z and digits, in lower case, as in rouge_score; all other
    /// scripts vanish. `unicode`: a word of any script, and for Korean, Chinese, Japanese, Thai, Lao, Khmer and Burmese each
    /// character; no other tool gives these numbers.
    pub tokenizer: Tokenizer,
}

/// Options of `rouge_n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RougeNOptions {
    /// How many words in a row are compared.
    #[schemars(range(min = 1, max = 100))]
    pub n: u64,
    /// `f`: the harmonic mean of precision and recall. `precision`: the share of the prediction that is in the reference.
    /// `recall`: the share of the reference that is in the prediction. Of several references the one with the best F
    /// counts in each case.
    pub measure: Measure,
    /// Whether words of more than three letters are cut to their stem (Porter's, as in nltk).
    pub stemmer: bool,
    /// What a word is: `rouge_score` or `unicode`, as for `rouge`.
    pub tokenizer: Tokenizer,
}

impl Default for RougeNOptions {
    fn default() -> Self {
        let RougeOptions {
            measure,
            stemmer,
            tokenizer,
        } = RougeOptions::default();
        Self {
            n: 3,
            measure,
            stemmer,
            tokenizer,
        }
    }
}

/// Which number of a comparison counts. `Serialize` lets the default into the options' schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Harmonic mean of precision and recall.
    #[default]
    F,
    /// Share of the prediction that is in the reference.
    Precision,
    /// Share of the reference that is in the prediction.
    Recall,
}

/// What a word is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tokenizer {
    /// A run of a to z and 0 to 9.
    #[default]
    RougeScore,
    /// A word of any script.
    Unicode,
}

impl RougeOptions {
    /// The part of the signature that says how texts are compared.
    pub(crate) fn signature(self) -> String {
        let measure = match self.measure {
            Measure::F => "f",
            Measure::Precision => "precision",
            Measure::Recall => "recall",
        };
        let stemmer = if self.stemmer { "porter" } else { "no" };
        let tokenizer = match self.tokenizer {
            Tokenizer::RougeScore => "rouge_score",
            Tokenizer::Unicode => "unicode(not-rouge_score)",
        };
        format!(
            "measure:{measure}|stemmer:{stemmer}|tokenizer:{tokenizer}|version:{}",
            env!("CARGO_PKG_VERSION")
        )
    }
}

impl RougeNOptions {
    pub(crate) fn shared(self) -> RougeOptions {
        let Self {
            n: _,
            measure,
            stemmer,
            tokenizer,
        } = self;
        RougeOptions {
            measure,
            stemmer,
            tokenizer,
        }
    }
}
