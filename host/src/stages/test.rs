//! Every method's chosen weights, scored once on data that no search has seen.

use bomf_plugin_api::Predictions;
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::TEST;
use super::bench::{Evaluation, Metrics};
use super::fuse::{MethodResult, Workshop};
use super::trajectory::describe;
use crate::diagnostics::Failure;
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
    /// Bootstrap interval of each score.
    pub intervals: Vec<Interval>,
    /// Difference to the baseline and its paired bootstrap interval, per score; `None` for the baseline itself.
    pub differences: Option<Vec<(f64, Interval)>>,
    /// How each metric was computed.
    pub signatures: Vec<String>,
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
    let mut predictions = Vec::new();
    let mut measured: Vec<(Evaluation, Vec<String>)> = Vec::new();
    for method in methods {
        run.check_stop()?;
        let predicted = predict(workshop, method)?;
        let examples = workshop.bench.beside(TEST, &predicted)?;
        let scored = run.timing.measure(Category::Metrics, || {
            run.metrics
                .evaluate_with_signatures(&examples, predicted.mean_loss)
        })?;
        progress.advance(
            1,
            &format!(
                "{}: {}",
                method.name,
                describe(run.metrics.scores(), &scored.0)
            ),
        );
        predictions.push(predicted);
        measured.push(scored);
    }
    progress.finish();
    let resampled = run.journal.once("test/resampled", || {
        run.timing.measure(Category::Metrics, || {
            resample(workshop, &predictions, plan.resamples)
        })
    })?;
    Ok(summarise(
        methods,
        measured,
        &resampled,
        baseline,
        plan.confidence,
    ))
}

/// Predictions of a method's choice on the test split, from the journal if they were made before.
fn predict(workshop: &mut Workshop<'_, '_>, method: &MethodResult) -> Result<Predictions, Failure> {
    let run = workshop.run;
    let coefficients = method.chosen().coefficients.clone();
    let (table, mean_loss) = run
        .journal
        .once_in_file(&format!("test/{}", method.name), || {
            workshop.load(&coefficients)?;
            let predictions = workshop.bench.predict(TEST)?;
            Ok((predictions.table, predictions.mean_loss))
        })?;
    Ok(Predictions::new(table, mean_loss))
}

/// Scores of every method on every resample: `[methods][resamples][scores]`. All methods see the same resamples.
fn resample(
    workshop: &Workshop<'_, '_>,
    predictions: &[Predictions],
    resamples: usize,
) -> Result<Vec<Vec<Vec<f64>>>, Failure> {
    let run = workshop.run;
    predictions
        .iter()
        .map(|predicted| {
            let examples = workshop.bench.beside(TEST, predicted)?;
            let mut random = ChaCha8Rng::seed_from_u64(run.seed);
            (0..resamples)
                .map(|_| {
                    let rows = examples.rows() as u32;
                    let drawn: Vec<u32> = (0..rows).map(|_| random.random_range(0..rows)).collect();
                    scores_of(run.metrics, &examples, predicted, &drawn)
                })
                .collect()
        })
        .collect()
}

fn scores_of(
    metrics: &Metrics,
    examples: &bomf_plugin_api::Table<'_>,
    predicted: &Predictions,
    rows: &[u32],
) -> Result<Vec<f64>, Failure> {
    let losses = predicted.table.numbers(bomf_plugin_api::column::LOSS);
    let losses = losses.map_err(|error| Failure::plugin("the model", &error))?;
    let loss = rows.iter().map(|&row| losses[row as usize]).sum::<f64>() / rows.len() as f64;
    Ok(metrics.evaluate(&examples.take(rows), Some(loss))?.values)
}

fn summarise(
    methods: &[MethodResult],
    measured: Vec<(Evaluation, Vec<String>)>,
    resampled: &[Vec<Vec<f64>>],
    baseline: Option<usize>,
    confidence: f64,
) -> Vec<TestResult> {
    let scores = measured
        .first()
        .map_or(0, |(evaluation, _)| evaluation.values.len());
    let column = |method: usize, score: usize| resampled[method].iter().map(move |row| row[score]);
    let base = baseline.map(|position| measured[position].0.clone());
    let results = methods.iter().zip(measured).enumerate();
    results
        .map(|(position, (method, (evaluation, signatures)))| {
            let intervals = (0..scores)
                .map(|score| percentile_interval(column(position, score).collect(), confidence))
                .collect();
            let against = baseline
                .zip(base.as_ref())
                .filter(|(other, _)| *other != position);
            let differences = against.map(|(other, base)| {
                let difference = |score: usize| {
                    let pairs = column(position, score).zip(column(other, score));
                    let interval =
                        percentile_interval(pairs.map(|(a, b)| a - b).collect(), confidence);
                    (evaluation.values[score] - base.values[score], interval)
                };
                (0..scores).map(difference).collect()
            });
            TestResult {
                name: method.name.clone(),
                evaluation,
                intervals,
                differences,
                signatures,
            }
        })
        .collect()
}
