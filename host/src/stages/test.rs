//! Every method's chosen weights, scored once on data that no search has seen.

use bomf_plugin_api::Table;
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::TEST;
use super::evaluator::{Findings, measure};
use super::fuse::{MethodResult, Workshop};
use super::trajectory::describe;
use crate::diagnostics::Failure;
use crate::metrics::{Evaluation, Grouped, Measured, Resampler};
use crate::statistics::{Interval, percentile_interval};
use crate::timing::Category;

/// How certain the results on the test split are to be stated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TestPlan {
    /// Number of bootstrap resamples.
    pub resamples: usize,
    /// Level of the intervals, for example 0.95.
    pub confidence: f64,
}

/// How a method's model does on the test split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// The method.
    pub name: String,
    /// In the order of the run's scores.
    pub evaluation: Evaluation,
    /// Bootstrap interval of each score; `None` where there are no predictions to draw from.
    pub intervals: Option<Vec<Interval>>,
    /// Difference to the baseline and its paired bootstrap interval, per score; `None` for the baseline itself, and where
    /// there are no predictions to draw from.
    pub differences: Option<Vec<(f64, Interval)>>,
    /// How each metric and each combination was computed, by its name.
    pub signatures: Map<String, Value>,
    /// The scores of every group, for the metrics that have a `by`.
    pub groups: Vec<Grouped>,
    /// What metrics returned beside the scores that count, by the metric's name: an object of numbers.
    pub details: Map<String, Value>,
    /// Resamples that were drawn again, since a metric of one of the methods is not defined on them.
    pub redrawn: usize,
}

/// Predicts the test split once per method, and compares all methods with the baseline on the same resamples.
///
/// `baseline` is the position of the method that the others are compared with.
pub fn test(
    workshop: &mut Workshop<'_, '_>,
    methods: &[MethodResult],
    baseline: Option<usize>,
    plan: TestPlan,
) -> Result<Vec<TestResult>, Failure> {
    let run = workshop.run;
    let progress = run.progress.stage("test", methods.len() as u64);
    let mut found = Vec::new();
    let mut measured: Vec<Measured> = Vec::new();
    for method in methods {
        run.check_stop()?;
        let coefficients = &method.chosen().coefficients;
        let findings: Findings = run
            .journal
            .once_in_file(&format!("test/{}", method.name), || {
                workshop.evaluator.look(coefficients, TEST)
            })?;
        let scored = measure(run, workshop.evaluator, &findings, TEST)?;
        let said = describe(run.metrics.scores(), &scored.evaluation);
        progress.advance(1, &format!("{}: {said}", method.name));
        found.push(findings);
        measured.push(scored);
    }
    progress.finish();
    let predictions = found.iter().map(|findings| match findings {
        Findings::Predictions { table, .. } => Some(table),
        Findings::Scores { .. } => None,
    });
    let predictions: Option<Vec<&Table<'static>>> = predictions.collect();
    let resampled = match predictions {
        None => None,
        Some(predictions) => Some(run.journal.once("test/resampled", || {
            run.timing.measure(Category::Metrics, || {
                resample(workshop, &predictions, plan.resamples)
            })
        })?),
    };
    Ok(summarise(
        methods,
        measured,
        resampled.as_ref(),
        baseline,
        plan.confidence,
    ))
}

/// Scores of every method on every resample.
#[derive(Debug, Serialize, Deserialize)]
pub struct Resampled {
    /// `[methods][resamples][scores]`. All methods see the same resamples.
    scores: Vec<Vec<Vec<f64>>>,
    /// How many resamples were drawn again, since a metric of one of the methods is not defined on them.
    redrawn: usize,
}

impl Resampled {
    fn column(&self, method: usize, score: usize) -> impl Iterator<Item = f64> + '_ {
        self.scores[method].iter().map(move |row| row[score])
    }
}

/// Draws until there are so many resamples on which all metrics of all methods are defined.
fn resample(
    workshop: &Workshop<'_, '_>,
    predictions: &[&Table<'static>],
    resamples: usize,
) -> Result<Resampled, Failure> {
    let run = workshop.run;
    let rows = predictions.first().map_or(0, |table| table.rows());
    if let Some(other) = predictions.iter().find(|table| table.rows() != rows) {
        let message = format!(
            "found {rows} and {} examples, expected the same for all methods",
            other.rows()
        );
        return Err(Failure::run("test::rows", "test", message));
    }
    let resamplers = predictions.iter().map(|predicted| {
        let examples = workshop.evaluator.examples(TEST, predicted)?;
        Resampler::new(run.metrics, examples)
    });
    let resamplers: Vec<Resampler<'_>> = resamplers.collect::<Result<_, Failure>>()?;
    let rows = rows as u32;
    let progress = run.progress.stage("bootstrap", resamples as u64);
    let mut random = ChaCha8Rng::seed_from_u64(run.seed);
    let mut scores = vec![Vec::with_capacity(resamples); predictions.len()];
    let (mut redrawn, step) = (0, resamples.div_ceil(20));
    for done in 0..resamples {
        let of_all: Vec<Vec<f64>> = loop {
            run.check_stop()?;
            let drawn: Vec<u32> = (0..rows).map(|_| random.random_range(0..rows)).collect();
            let scored = resamplers.iter().map(|resampler| resampler.scores(&drawn));
            match scored.collect::<Result<_, Failure>>() {
                Ok(scored) => break scored,
                // Every other one may fail; beyond that an interval would say little of the test split.
                Err(failure) if redrawn >= resamples => {
                    return Err(undefined(done, redrawn, &failure));
                }
                Err(_) => redrawn += 1,
            }
        };
        for (all, one) in scores.iter_mut().zip(of_all) {
            all.push(one);
        }
        if (done + 1).is_multiple_of(step) || done + 1 == resamples {
            progress.advance((done % step + 1) as u64, "");
        }
    }
    progress.finish();
    Ok(Resampled { scores, redrawn })
}

fn undefined(done: usize, redrawn: usize, last: &Failure) -> Failure {
    let tried = done + redrawn + 1;
    Failure::run(
        "test::undefined",
        "test",
        format!(
            "found {done} of {tried} resamples on which the metrics are defined; the last: {last}"
        ),
    )
    .hint("a larger test split, or groups and classes with more examples, makes them defined")
}

fn summarise(
    methods: &[MethodResult],
    measured: Vec<Measured>,
    resampled: Option<&Resampled>,
    baseline: Option<usize>,
    confidence: f64,
) -> Vec<TestResult> {
    let base = baseline.map(|position| measured[position].evaluation.clone());
    let results = methods.iter().zip(measured).enumerate();
    results
        .map(|(position, (method, measured))| {
            let evaluation = measured.evaluation;
            let scores = 0..evaluation.values.len();
            let interval = |score, other: Option<usize>| {
                let resampled = resampled?;
                let own = resampled.column(position, score);
                let drawn = match other {
                    None => own.collect(),
                    Some(other) => own
                        .zip(resampled.column(other, score))
                        .map(|(a, b)| a - b)
                        .collect(),
                };
                Some(percentile_interval(drawn, confidence))
            };
            let intervals = scores.clone().map(|score| interval(score, None)).collect();
            let against = baseline.zip(base.as_ref());
            let differences =
                against
                    .filter(|(other, _)| *other != position)
                    .and_then(|(other, base)| {
                        let difference = |score: usize| {
                            let interval = interval(score, Some(other))?;
                            Some((evaluation.values[score] - base.values[score], interval))
                        };
                        scores.map(difference).collect()
                    });
            TestResult {
                name: method.name.clone(),
                evaluation,
                intervals,
                differences,
                signatures: measured.signatures,
                groups: measured.groups,
                details: measured.details,
                redrawn: resampled.map_or(0, |resampled| resampled.redrawn),
            }
        })
        .collect()
}
