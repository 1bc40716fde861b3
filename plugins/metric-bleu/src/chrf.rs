//! chrF and chrF++ as sacrebleu computes them (Popović 2015, 2017).

use std::borrow::Cow;

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::ngrams::{Ngrams, Span, Words, total};
use crate::pairs::Pairs;
use crate::sacrebleu::{VERSION, case, yes_or_no};
use crate::tokenizer::is_space;

/// F-score of character n-grams, and of word n-grams for chrF++, from 0 to 100.
pub struct ChrF {
    char_order: usize,
    word_order: usize,
    beta: u64,
    lowercase: bool,
    whitespace: bool,
    eps_smoothing: bool,
    threads: usize,
}

/// What may be set; names and defaults are sacrebleu's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChrFOptions {
    /// The longest character n-grams that count.
    #[schemars(range(min = 0, max = 32))]
    pub char_order: u64,
    /// The longest word n-grams that count beside them: 0 is chrF, 2 is chrF++.
    #[schemars(range(min = 0, max = 32))]
    pub word_order: u64,
    /// How many times as much recall weighs as precision.
    #[schemars(range(min = 0, max = 1000))]
    pub beta: u64,
    /// Whether upper and lower case are the same.
    pub lowercase: bool,
    /// Whether white space counts as characters.
    pub whitespace: bool,
    /// Whether the score is the mean of the F-scores of all orders, where an order without an n-gram counts as one without
    /// a match, as in chrF++.py, Moses and NLTK. Else it is the F-score of the mean precision and the mean recall, over
    /// the orders of which both texts have an n-gram.
    pub eps_smoothing: bool,
}

impl Default for ChrFOptions {
    fn default() -> Self {
        Self {
            char_order: 6,
            word_order: 0,
            beta: 2,
            lowercase: false,
            whitespace: false,
            eps_smoothing: false,
        }
    }
}

/// The n-grams of one order: of the predictions, of the references, and in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct OrderCounts {
    prediction: u64,
    reference: u64,
    common: u64,
}

impl Component for ChrF {
    type Options = ChrFOptions;

    fn describe() -> Descriptor {
        let summary =
            "F-score of character n-grams, and of words for chrF++, as sacrebleu: 0 to 100";
        Descriptor::new(Kind::Metric, "chrf", summary)
            .score(ScoreDescriptor::maximize("chrf", 0.0, 100.0))
    }

    fn new(options: ChrFOptions, context: &Context) -> Result<Self> {
        let order = |name: &str, order: u64| match usize::try_from(order) {
            Ok(order @ 0..=32) => Ok(order),
            _ => Err(PluginError::input(format!(
                "found `{name}: {order}`, expected 0 to 32"
            ))),
        };
        if options.char_order + options.word_order == 0 {
            return Err(PluginError::input(
                "found 0 for both `char_order` and `word_order`, expected one above",
            ));
        }
        Ok(Self {
            char_order: order("char_order", options.char_order)?,
            word_order: order("word_order", options.word_order)?,
            beta: options.beta,
            lowercase: options.lowercase,
            whitespace: options.whitespace,
            eps_smoothing: options.eps_smoothing,
            threads: context.threads,
        })
    }
}

impl Metric for ChrF {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let pairs = Pairs::of(examples)?;
        let shares = pairs.share_out(self.threads, |rows| {
            let mut counter = Counter::new(self);
            let mut sums = vec![OrderCounts::default(); self.char_order + self.word_order];
            rows.for_each(|row| add(&mut sums, counter.count(&pairs, row)));
            sums
        });
        let mut sums = vec![OrderCounts::default(); self.char_order + self.word_order];
        shares.iter().for_each(|share| add(&mut sums, share));
        // Rounding may leave a perfect score one unit above 100.
        let score = self.f_score(&sums).min(100.0);
        Ok(Scores::new(self.signature(&pairs)).value("chrf", score))
    }
}

fn add(sums: &mut [OrderCounts], counts: &[OrderCounts]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        sum.prediction += count.prediction;
        sum.reference += count.reference;
        sum.common += count.common;
    }
}

impl ChrF {
    /// In [0, 100], to the last bit as sacrebleu has it.
    fn f_score(&self, counts: &[OrderCounts]) -> f64 {
        /// What chrF++.py takes for a ratio of nothing to nothing.
        const EPSILON: f64 = 1e-16;
        let factor = (self.beta * self.beta) as f64;
        let ratio = |part: u64, whole: u64| match whole {
            0 => EPSILON,
            whole => part as f64 / whole as f64,
        };
        let (mut f_scores, mut precisions, mut recalls, mut orders) = (0.0, 0.0, 0.0, 0);
        for count in counts {
            let precision = ratio(count.common, count.prediction);
            let recall = ratio(count.common, count.reference);
            let weighted = factor * precision + recall;
            f_scores += match weighted > 0.0 {
                true => (1.0 + factor) * precision * recall / weighted,
                false => EPSILON,
            };
            if count.prediction > 0 && count.reference > 0 {
                (precisions, recalls, orders) =
                    (precisions + precision, recalls + recall, orders + 1);
            }
        }
        if self.eps_smoothing {
            return 100.0 * f_scores / counts.len() as f64;
        }
        if precisions + recalls == 0.0 {
            return 0.0;
        }
        let (precision, recall) = (precisions / f64::from(orders), recalls / f64::from(orders));
        100.0 * ((1.0 + factor) * precision * recall / (factor * precision + recall))
    }

    /// sacrebleu's line, with our version.
    fn signature(&self, pairs: &Pairs<'_>) -> String {
        format!(
            "chrF{}{}|nrefs:{}|case:{}|eff:{}|nc:{}|nw:{}|space:{}|version:{VERSION}",
            self.beta,
            "+".repeat(self.word_order),
            pairs.width(),
            case(self.lowercase),
            yes_or_no(!self.eps_smoothing),
            self.char_order,
            self.word_order,
            yes_or_no(self.whitespace),
        )
    }

    fn prepare<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.lowercase {
            true => Cow::Owned(text.to_lowercase()),
            false => Cow::Borrowed(text),
        }
    }

    /// The characters that count, as numbers.
    fn read_chars(&self, text: &str, ids: &mut Vec<u32>) {
        ids.clear();
        let counts = |c: &char| self.whitespace || !is_space(*c);
        ids.extend(text.chars().filter(counts).map(u32::from));
    }
}

/// Counts row after row, in buffers that are used again.
struct Counter<'m> {
    metric: &'m ChrF,
    spans: Vec<Span>,
    ids: Vec<u32>,
    words: Words,
    char_ngrams: Ngrams,
    word_ngrams: Ngrams,
    counts: Vec<OrderCounts>,
    best: Vec<OrderCounts>,
}

impl<'m> Counter<'m> {
    fn new(metric: &'m ChrF) -> Self {
        Self {
            metric,
            spans: Vec::new(),
            ids: Vec::new(),
            words: Words::default(),
            char_ngrams: Ngrams::new(metric.char_order),
            word_ngrams: Ngrams::new(metric.word_order),
            counts: Vec::new(),
            best: Vec::new(),
        }
    }

    /// The counts with the reference that gives the best score, the first of those that do.
    fn count(&mut self, pairs: &Pairs<'_>, row: usize) -> &[OrderCounts] {
        let prediction = self.metric.prepare(pairs.prediction(row));
        self.metric.read_chars(&prediction, &mut self.ids);
        self.char_ngrams.read(&self.ids);
        let chars = self.ids.len();
        split_words(&prediction, &mut self.spans);
        self.words.read(&prediction, &self.spans, &mut self.ids);
        self.word_ngrams.read(&self.ids);
        let words = self.ids.len();

        let mut best_score = -1.0;
        for reference in pairs.references(row) {
            let reference = self.metric.prepare(reference);
            self.counts.clear();
            self.metric.read_chars(&reference, &mut self.ids);
            compare(&mut self.char_ngrams, chars, &self.ids, &mut self.counts);
            split_words(&reference, &mut self.spans);
            self.words
                .look_up(&prediction, &reference, &self.spans, &mut self.ids);
            compare(&mut self.word_ngrams, words, &self.ids, &mut self.counts);
            let score = self.metric.f_score(&self.counts);
            if score > best_score {
                best_score = score;
                std::mem::swap(&mut self.best, &mut self.counts);
            }
        }
        &self.best
    }
}

/// Adds the counts of every order. Where a reference has no n-gram of an order, those of the prediction do not count.
fn compare(ngrams: &mut Ngrams, tokens: usize, reference: &[u32], counts: &mut Vec<OrderCounts>) {
    ngrams.see(reference);
    counts.extend((1..=ngrams.orders()).map(|order| {
        let in_reference = total(reference.len(), order);
        OrderCounts {
            prediction: if in_reference > 0 {
                total(tokens, order)
            } else {
                0
            },
            reference: in_reference,
            common: ngrams.common(order),
        }
    }));
    ngrams.forget();
}

/// Words at white space, with one ASCII punctuation mark split off: at the end, or else at the beginning.
fn split_words(text: &str, spans: &mut Vec<Span>) {
    spans.clear();
    let mut push = |start: usize, end: usize| spans.push((start as u32, end as u32));
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        let end = start + word.len();
        let (first, last) = (word.as_bytes()[0], word.as_bytes()[word.len() - 1]);
        let cut = match word.chars().nth(1) {
            Some(_) if last.is_ascii_punctuation() => end - 1,
            Some(_) if first.is_ascii_punctuation() => start + 1,
            _ => end,
        };
        push(start, cut);
        if cut < end {
            push(cut, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mark_per_word_is_split_off() {
        let mut spans = Vec::new();
        let text = " (hi) \"a b.. é! . .. x";
        split_words(text, &mut spans);
        let words: Vec<&str> = spans
            .iter()
            .map(|&(start, end)| &text[start as usize..end as usize])
            .collect();
        assert_eq!(
            words,
            [
                "(hi", ")", "\"", "a", "b.", ".", "é", "!", ".", ".", ".", "x"
            ]
        );
    }
}
