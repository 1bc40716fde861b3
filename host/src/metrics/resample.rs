//! Scores of resampled examples, for bootstrap intervals.

use std::cell::OnceCell;

use bomf_plugin_api::{Table, column};

use super::groups::worst;
use super::{Basis, Metrics, Part};
use crate::diagnostics::Failure;

/// Scores resamples of one table.
///
/// Each metric has scored the whole table once. Scores that are means of values per example are then means of the values
/// drawn; all others (F1, correlations, BLEU) are computed anew on the examples drawn, since they are no means.
pub struct Resampler<'a> {
    metrics: &'a Metrics,
    examples: Table<'a>,
    /// One for each metric among the parts, in order.
    bases: Vec<Basis>,
}

impl<'a> Resampler<'a> {
    /// Scores the whole table.
    pub fn new(metrics: &'a Metrics, examples: Table<'a>) -> Result<Self, Failure> {
        let metrics_alone = metrics.parts.iter().filter_map(|part| match part {
            Part::Metric(metric) => Some(metric),
            Part::Combination(_) => None,
        });
        let bases = metrics_alone.map(|metric| Basis::new(metric, &examples));
        let bases = bases.collect::<Result<_, _>>()?;
        Ok(Self {
            metrics,
            examples,
            bases,
        })
    }

    /// All scores of the rows drawn, in the order of [`Metrics::scores`].
    ///
    /// # Errors
    /// When a metric is not defined on them, for example because a class was not drawn.
    pub fn scores(&self, rows: &[u32]) -> Result<Vec<f64>, Failure> {
        let mut values = self.metrics.first(self.loss(rows)?)?;
        // Made for the first metric that needs the examples themselves, and shared by all.
        let drawn = OnceCell::new();
        let mut bases = self.bases.iter();
        for part in &self.metrics.parts {
            let metric = match part {
                Part::Metric(metric) => metric,
                Part::Combination(combination) => {
                    values.push(combination.value(&values));
                    continue;
                }
            };
            let basis = bases.next().expect("one for each metric");
            values.extend(match basis.means(metric, rows) {
                Some(means) => means,
                None => {
                    let drawn = drawn.get_or_init(|| self.examples.take(rows));
                    metric.values(&metric.score(drawn)?)?
                }
            });
            if let Some(groups) = &basis.groups {
                let of_groups =
                    groups.scores(rows, |rows| basis.of(metric, &self.examples, rows))?;
                values.extend(worst(metric, &of_groups));
            }
        }
        Ok(values)
    }

    fn loss(&self, rows: &[u32]) -> Result<Option<f64>, Failure> {
        if self.examples.get(column::LOSS).is_none() {
            return Ok(None);
        }
        let losses = self.examples.numbers(column::LOSS);
        let losses = losses.map_err(|error| Failure::plugin("the model", &error))?;
        let sum: f64 = rows.iter().map(|&row| losses[row as usize]).sum();
        Ok(Some(sum / rows.len() as f64))
    }
}
