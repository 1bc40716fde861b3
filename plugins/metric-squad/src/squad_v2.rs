//! SQuAD 2.0: some questions have no answer, and a model may say how sure it is of that.

use std::borrow::Cow;

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table, column,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answers::Answer;
use crate::questions::{Questions, Worth};

/// Exact match and F1, of all questions and of those with and without an answer, and the thresholds that would be best.
pub struct SquadV2 {
    no_answer_threshold: f64,
    threads: usize,
}

/// What may be set.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SquadV2Options {
    /// Above this probability of no answer (column `no_answer_probability`) the predicted text does not count: the model
    /// says that there is no answer.
    pub no_answer_threshold: f64,
}

impl Default for SquadV2Options {
    fn default() -> Self {
        Self {
            no_answer_threshold: 1.0,
        }
    }
}

impl Component for SquadV2 {
    type Options = SquadV2Options;

    fn describe() -> Descriptor {
        let summary =
            "exact match and F1 of answers, with questions that have none, as SQuAD 2.0: 0 to 100";
        let percent = |name: &str| ScoreDescriptor::maximize(name, 0.0, 100.0);
        let unbounded = |name: &str| ScoreDescriptor::maximize(name, 0.0, f64::INFINITY);
        Descriptor::new(Kind::Metric, "squad_v2", summary)
            .score(percent("exact").per_example())
            .score(percent("f1").per_example())
            .score(unbounded("total").detail())
            .score(percent("HasAns_exact").detail())
            .score(percent("HasAns_f1").detail())
            .score(unbounded("HasAns_total").detail())
            .score(percent("NoAns_exact").detail())
            .score(percent("NoAns_f1").detail())
            .score(unbounded("NoAns_total").detail())
            .score(percent("best_exact").detail())
            .score(unbounded("best_exact_thresh").detail())
            .score(percent("best_f1").detail())
            .score(unbounded("best_f1_thresh").detail())
    }

    fn new(options: SquadV2Options, context: &Context) -> Result<Self> {
        Ok(Self {
            no_answer_threshold: options.no_answer_threshold,
            threads: context.threads,
        })
    }
}

impl Metric for SquadV2 {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        // 1. What the predicted texts are worth, whatever the probabilities say.
        let questions = Questions::of(examples)?;
        let probabilities = probabilities(examples)?;
        let raw = questions.worth(self.threads, |reference| !reference.is_empty(), compare);
        let has_answer: Vec<bool> = (0..questions.rows())
            .map(|row| questions.references(row).len() > 0)
            .collect();

        // 2. A question that the model says has no answer is right if it has none.
        let each = self.decide(&raw, &has_answer, &probabilities);

        // 3. All, those with an answer, those without one; a group of none has no scores.
        let signature = format!(
            "squad_v2|no_answer_threshold:{}|version:{}",
            self.no_answer_threshold,
            env!("CARGO_PKG_VERSION")
        );
        let mut scores = Scores::new(signature)
            .mean_of(
                "exact",
                each.iter().map(|worth| 100.0 * worth.exact).collect(),
            )
            .mean_of("f1", each.iter().map(|worth| 100.0 * worth.f1).collect())
            .value("total", each.len() as f64);
        for (group, wanted) in [("HasAns", true), ("NoAns", false)] {
            let members = each.iter().zip(&has_answer);
            let members = members.filter(|&(_, &has_answer)| has_answer == wanted);
            scores = add_group(scores, group, members.map(|(worth, _)| *worth));
        }

        // 4. The thresholds that would have been best.
        let search = Search::new(&questions, &has_answer, &probabilities);
        let (best_exact, exact_threshold) = search.best(|row| raw[row].exact);
        let (best_f1, f1_threshold) = search.best(|row| raw[row].f1);
        Ok(scores
            .value("best_exact", best_exact)
            .value("best_exact_thresh", exact_threshold)
            .value("best_f1", best_f1)
            .value("best_f1_thresh", f1_threshold))
    }
}

impl SquadV2 {
    /// `[rows]`: what the answers are worth where the model may say that there is none.
    fn decide(&self, raw: &[Worth], has_answer: &[bool], probabilities: &[f64]) -> Vec<Worth> {
        let rows = raw.iter().zip(has_answer).zip(probabilities);
        rows.map(|((&worth, &has_answer), &probability)| {
            match (probability > self.no_answer_threshold, has_answer) {
                (false, _) => worth,
                (true, true) => Worth::NOTHING,
                (true, false) => Worth::ALL,
            }
        })
        .collect()
    }
}

/// Nothing beside nothing is right. A reference of nothing stands for questions without an answer.
fn compare(prediction: &Answer, reference: &Answer) -> Worth {
    let exact = f64::from(u8::from(prediction.is_same(reference)));
    let f1 = match prediction.is_empty() || reference.is_empty() {
        true => exact,
        false => prediction.f1(reference),
    };
    Worth { exact, f1 }
}

/// One per row; 0 for all where there is no such column.
fn probabilities<'t>(examples: &'t Table<'_>) -> Result<Cow<'t, [f64]>> {
    if examples.get(column::NO_ANSWER_PROBABILITY).is_none() {
        return Ok(Cow::Owned(vec![0.0; examples.rows()]));
    }
    let found = examples.numbers(column::NO_ANSWER_PROBABILITY)?;
    if let Some(row) = found
        .iter()
        .position(|probability| !probability.is_finite())
    {
        return Err(PluginError::input(format!(
            "found {} in row {row} of column `{}`, expected a finite number",
            found[row],
            column::NO_ANSWER_PROBABILITY
        )));
    }
    Ok(Cow::Borrowed(found))
}

/// Adds the means over a group, if it has members.
fn add_group(scores: Scores, group: &str, members: impl Iterator<Item = Worth>) -> Scores {
    let (mut exact, mut f1, mut total) = (0.0, 0.0, 0.0);
    for worth in members {
        (exact, f1, total) = (exact + worth.exact, f1 + worth.f1, total + 1.0);
    }
    if total == 0.0 {
        return scores;
    }
    scores
        .value(&format!("{group}_exact"), 100.0 * exact / total)
        .value(&format!("{group}_f1"), 100.0 * f1 / total)
        .value(&format!("{group}_total"), total)
}

/// What the search for the best threshold looks at.
struct Search<'s> {
    questions: &'s Questions<'s>,
    has_answer: &'s [bool],
    probabilities: &'s [f64],
    /// The rows by probability, and where it is the same, as they come.
    order: Vec<u32>,
}

impl<'s> Search<'s> {
    fn new(questions: &'s Questions<'s>, has_answer: &'s [bool], probabilities: &'s [f64]) -> Self {
        let mut order: Vec<u32> = (0..questions.rows() as u32).collect();
        // Not `total_cmp`: 0 and -0 are the same probability.
        order.sort_by(|&a, &b| {
            let [a, b] = [a, b].map(|row| probabilities[row as usize]);
            a.partial_cmp(&b).expect("probabilities are finite")
        });
        Self {
            questions,
            has_answer,
            probabilities,
            order,
        }
    }

    /// The best score that a threshold would give, in [0, 100], and that threshold. It begins with none answered, and answers
    /// row after row; as in the official script, rows of the same probability count one by one.
    fn best(&self, worth: impl Fn(usize) -> f64) -> (f64, f64) {
        let unanswerable = self
            .has_answer
            .iter()
            .filter(|&&has_answer| !has_answer)
            .count();
        let mut score = unanswerable as f64;
        let (mut best, mut threshold) = (score, 0.0);
        for &row in &self.order {
            let row = row as usize;
            if self.has_answer[row] {
                score += worth(row);
            } else if !self.questions.prediction(row).is_empty() {
                score -= 1.0;
            }
            if score > best {
                (best, threshold) = (score, self.probabilities[row]);
            }
        }
        (100.0 * best / self.order.len() as f64, threshold)
    }
}
