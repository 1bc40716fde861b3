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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bomf_plugin_api::{Direction, Metric, Result, ScoreDescriptor, Scores};

    use super::*;
    use crate::metrics::OpenMetric;
    use crate::stages::objectives::Score;

    /// The mean of the column `value`, with its values per example, or its greatest value, which is no mean.
    struct Suspect {
        is_mean: bool,
        calls: Arc<AtomicUsize>,
    }

    impl Metric for Suspect {
        fn score(&self, examples: &Table<'_>) -> Result<Scores> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            let values = examples.numbers(column::VALUE)?;
            Ok(match self.is_mean {
                true => Scores::new("mean").mean_of("score", values.to_vec()),
                false => {
                    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    Scores::new("greatest").value("score", greatest)
                }
            })
        }
    }

    fn metrics(is_mean: bool) -> (Metrics, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let metric = OpenMetric {
            label: "suspect".to_owned(),
            plugin: "suspect".to_owned(),
            metric: Box::new(Suspect {
                is_mean,
                calls: Arc::clone(&calls),
            }),
            scores: vec![("score".to_owned(), Direction::Maximize)],
            by: Some(column::GROUP.to_owned()),
        };
        let descriptor = ScoreDescriptor::maximize("score", 0.0, 10.0);
        let names = ["suspect", "suspect_worst"].map(str::to_owned);
        let metrics = Metrics {
            parts: vec![Part::Metric(metric)],
            scores: names.map(|name| Score::metric(name, &descriptor)).to_vec(),
        };
        (metrics, calls)
    }

    #[test]
    fn means_are_averaged_and_all_else_is_computed_anew() {
        let table = Table::new(4)
            .with_numbers(column::VALUE, vec![1.0, 2.0, 4.0, 8.0])
            .and_then(|table| table.with_texts(column::GROUP, ["a", "b", "a", "b"]))
            .unwrap();
        let rows = [3, 3, 0, 2];
        for (is_mean, expected, calls) in [(true, [5.25, 2.5], 1), (false, [8.0, 4.0], 4)] {
            let (metrics, counted) = metrics(is_mean);
            let resampler = Resampler::new(&metrics, table.borrow()).unwrap();
            assert_eq!(resampler.scores(&rows).unwrap(), expected);
            assert_eq!(
                counted.load(Ordering::Relaxed),
                calls,
                "the whole, the draw, two groups"
            );
            // A resample is as good as a table of the rows drawn.
            let drawn = metrics.measure(&table.take(&rows), None).unwrap();
            assert_eq!(drawn.evaluation.values, expected);
        }
        let (metrics, _) = metrics(true);
        let resampler = Resampler::new(&metrics, table.borrow()).unwrap();
        // Only one group was drawn: the worst is among those there are.
        assert_eq!(resampler.scores(&[1, 3]).unwrap(), [5.0, 5.0]);
    }
}
