//! The scores of predictions: of metrics, of their groups of examples, and of combinations of those before.

mod combine;
mod groups;
mod open;
mod resample;

use bomf_plugin_api::{Direction, Metric, Scores, Table};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use combine::Combination;
pub use groups::Groups;
pub use open::open;
pub use resample::Resampler;

use crate::diagnostics::Failure;
use crate::stages::objectives::Score;
use groups::worst;

/// One number per score of the run: the loss first, where there is one, then the metrics in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// In the order of [`Metrics::scores`].
    pub values: Vec<f64>,
}

/// Everything that the metrics say of predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The scores.
    pub evaluation: Evaluation,
    /// How each metric and each combination was computed, by its name.
    pub signatures: Map<String, Value>,
    /// The scores of every group, for the metrics that have a `by`.
    pub groups: Vec<Grouped>,
    /// What metrics returned beside the scores that count, by the metric's name: an object of numbers.
    pub details: Map<String, Value>,
}

/// A metric's scores of every group of examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grouped {
    /// What reports call the metric.
    pub metric: String,
    /// The column that says which group an example is of.
    pub by: String,
    /// Names of the metric's scores, in its own words.
    pub scores: Vec<String>,
    /// The groups, in the order of their names.
    pub groups: Vec<GroupScores>,
}

/// The scores of one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupScores {
    /// The group.
    pub name: String,
    /// How many examples are of it.
    pub examples: usize,
    /// In the order of the metric's scores.
    pub values: Vec<f64>,
}

/// A metric that is open, and what the run knows of its scores.
pub struct OpenMetric {
    /// What reports call it.
    pub label: String,
    /// What messages call it.
    pub plugin: String,
    /// The metric.
    pub metric: Box<dyn Metric>,
    /// Names of the scores that count in its own words, and which way is better.
    pub scores: Vec<(String, Direction)>,
    /// The column that says which group an example is of; the worst group is then a score of its own.
    pub by: Option<String>,
}

/// What gives one score or more.
pub enum Part {
    /// A metric.
    Metric(OpenMetric),
    /// A combination of scores before it.
    Combination(Combination),
}

/// The metrics of a run.
pub struct Metrics {
    parts: Vec<Part>,
    scores: Vec<Score>,
}

impl Metrics {
    /// What gives the scores, in order; the loss, if there is one among the scores, comes before all.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The loss, then the scores of each part.
    pub fn scores(&self) -> &[Score] {
        &self.scores
    }

    /// The columns that metrics are grouped by, each with the position of the metric that wants it.
    pub fn grouped_by(&self) -> impl Iterator<Item = (usize, &str)> {
        let parts = self.parts.iter().enumerate();
        parts.filter_map(|(position, part)| match part {
            Part::Metric(metric) => Some((position, metric.by.as_deref()?)),
            Part::Combination(_) => None,
        })
    }

    /// Scores predictions that stand beside their examples.
    pub fn evaluate(
        &self,
        examples: &Table<'_>,
        mean_loss: Option<f64>,
    ) -> Result<Evaluation, Failure> {
        Ok(self.measure(examples, mean_loss)?.evaluation)
    }

    /// Scores predictions, and says how each metric was computed and what came of each group.
    pub fn measure(
        &self,
        examples: &Table<'_>,
        mean_loss: Option<f64>,
    ) -> Result<Measured, Failure> {
        let mut values = self.first(mean_loss)?;
        let (mut signatures, mut details) = (Map::new(), Map::new());
        let mut grouped = Vec::new();
        for part in &self.parts {
            match part {
                Part::Metric(metric) => {
                    let basis = Basis::new(metric, examples)?;
                    values.extend(metric.values(&basis.scores)?);
                    let explained = metric.details(&basis.scores);
                    if !explained.is_empty() {
                        details.insert(metric.label.clone(), explained.into());
                    }
                    let mut signature = basis.scores.signature.clone();
                    if let (Some(by), Some(groups)) = (&metric.by, &basis.groups) {
                        let rows: Vec<u32> = (0..examples.rows() as u32).collect();
                        let of_groups =
                            groups.scores(&rows, |rows| basis.of(metric, examples, rows))?;
                        values.extend(worst(metric, &of_groups));
                        signature.push_str(&format!("|worst by:{by}"));
                        grouped.push(Grouped {
                            metric: metric.label.clone(),
                            by: by.clone(),
                            scores: metric.scores.iter().map(|(name, _)| name.clone()).collect(),
                            groups: of_groups,
                        });
                    }
                    signatures.insert(metric.label.clone(), signature.into());
                }
                Part::Combination(combination) => {
                    values.push(combination.value(&values));
                    let signature = combination.signature(&self.scores);
                    signatures.insert(combination.label.clone(), signature.into());
                }
            }
        }
        Ok(Measured {
            evaluation: Evaluation { values },
            signatures,
            groups: grouped,
            details,
        })
    }

    /// What stands before the scores of the parts: the loss, where it is a score.
    fn first(&self, mean_loss: Option<f64>) -> Result<Vec<f64>, Failure> {
        if !self.scores.first().is_some_and(Score::is_loss) {
            return Ok(Vec::new());
        }
        let loss = mean_loss.ok_or_else(|| {
            Failure::run(
                "model::no_loss",
                "the model",
                "found no loss, expected one: the split has labels",
            )
        })?;
        Ok(vec![loss])
    }
}

impl OpenMetric {
    fn score(&self, examples: &Table<'_>) -> Result<Scores, Failure> {
        self.metric
            .score(examples)
            .map_err(|error| Failure::plugin(&self.plugin, &error))
    }

    /// What the metric returned beside the scores that count.
    fn details(&self, scores: &Scores) -> Map<String, Value> {
        let counts = |name: &String| self.scores.iter().any(|(other, _)| other == name);
        let others = scores.values.iter().filter(|(name, _)| !counts(name));
        others
            .map(|(name, value)| (name.clone(), (*value).into()))
            .collect()
    }

    /// The scores that count, in order, all finite.
    fn values(&self, scores: &Scores) -> Result<Vec<f64>, Failure> {
        let values = self.scores.iter().map(|(name, _)| match scores.get(name) {
            Some(value) if value.is_finite() => Ok(value),
            found => Err(Failure::run(
                "metric::value",
                &self.plugin,
                format!("score `{name}`: found {found:?}, expected a finite number"),
            )),
        });
        values.collect()
    }
}

/// What is known of a metric on a whole table, for scores of some of its rows.
struct Basis {
    scores: Scores,
    groups: Option<Groups>,
}

impl Basis {
    fn new(metric: &OpenMetric, examples: &Table<'_>) -> Result<Self, Failure> {
        let scores = metric.score(examples)?;
        let groups = match &metric.by {
            Some(by) => Some(Groups::of(examples, by)?),
            None => None,
        };
        Ok(Self { scores, groups })
    }

    /// The metric's scores of some rows, which may come more than once; `[scores]`.
    ///
    /// Scores that are means of values per example need no look at the examples; the others are computed anew, since most
    /// scores of a whole are no means.
    fn of(
        &self,
        metric: &OpenMetric,
        examples: &Table<'_>,
        rows: &[u32],
    ) -> Result<Vec<f64>, Failure> {
        match self.means(metric, rows) {
            Some(means) => Ok(means),
            None => metric.values(&metric.score(&examples.take(rows))?),
        }
    }

    /// The scores as means over some rows, if all of them are such means.
    fn means(&self, metric: &OpenMetric, rows: &[u32]) -> Option<Vec<f64>> {
        let means = metric.scores.iter().map(|(name, _)| {
            let values = self
                .scores
                .per_example
                .iter()
                .find(|(other, _)| other == name);
            let (_, values) = values?;
            let sum: f64 = rows.iter().map(|&row| values[row as usize]).sum();
            Some(sum / rows.len() as f64)
        });
        means.collect()
    }
}
