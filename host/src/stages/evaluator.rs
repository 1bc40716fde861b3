//! What turns coefficients into predictions or scores: a model in this process, or a program outside.

use bomf_plugin_api::{Export, Table};
use fusion::Checkpoint;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Run;
use super::bench::{Bench, Fusion, WeightsBuffer};
use crate::diagnostics::Failure;
use crate::metrics::{Evaluation, Measured};
use crate::timing::{Category, Timing};

/// What is known of a model on a split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Findings {
    /// What it predicted, which metrics can score.
    Predictions {
        /// One row per example.
        table: Table<'static>,
        /// The mean loss, where one was computed, in nats.
        mean_loss: Option<f64>,
    },
    /// Its scores alone.
    Scores {
        /// In the order of the run's.
        evaluation: Evaluation,
        /// How each was computed, by its name.
        signatures: Map<String, Value>,
    },
}

/// Members that are open, and what looks at their fusions.
pub trait Evaluator {
    /// How many members there are.
    fn members(&self) -> usize;

    /// Looks at the fusion of these coefficients, one per member, on a split.
    fn look(&mut self, coefficients: &[f64], split: &str) -> Result<Findings, Failure>;

    /// The examples of a split with what was predicted beside them.
    fn examples<'a>(
        &'a self,
        split: &str,
        predicted: &'a Table<'static>,
    ) -> Result<Table<'a>, Failure>;

    /// The centred Gram matrix of the members, row by row.
    fn gram(&mut self) -> Result<Vec<Vec<f64>>, Failure> {
        Err(only_a_model("the members' Gram matrix"))
    }

    /// The loss and its gradient with respect to the coefficients, on one batch of a split.
    fn gradient(
        &mut self,
        _coefficients: &[f64],
        _split: &str,
        _batch: u64,
    ) -> Result<(f64, Vec<f64>), Failure> {
        Err(only_a_model("the gradient of the loss"))
    }

    /// The fused model with everything that makes it usable elsewhere.
    fn export(&mut self, _coefficients: &[f64]) -> Result<Export, Failure> {
        Err(only_a_model("a model to be exported"))
    }
}

fn only_a_model(what: &str) -> Failure {
    let message = format!("found a program that evaluates, which has not got {what}");
    Failure::input("evaluate::program", "evaluate", message)
        .hint("leave the method that asks for it out, or let a model backend evaluate")
}

/// Everything that is to be said of the fusion of these coefficients on a split.
pub fn measure(
    run: &Run<'_>,
    evaluator: &dyn Evaluator,
    findings: &Findings,
    split: &str,
) -> Result<Measured, Failure> {
    match findings {
        Findings::Predictions { table, mean_loss } => {
            let examples = evaluator.examples(split, table)?;
            run.timing.measure(Category::Metrics, || {
                run.metrics.measure(&examples, *mean_loss)
            })
        }
        Findings::Scores {
            evaluation,
            signatures,
        } => Ok(Measured {
            evaluation: evaluation.clone(),
            signatures: signatures.clone(),
            groups: Vec::new(),
            details: Map::new(),
        }),
    }
}

/// The scores of the fusion of these coefficients on a split.
pub fn evaluate(
    run: &Run<'_>,
    evaluator: &mut dyn Evaluator,
    coefficients: &[f64],
    split: &str,
) -> Result<Evaluation, Failure> {
    let findings = evaluator.look(coefficients, split)?;
    Ok(measure(run, evaluator, &findings, split)?.evaluation)
}

/// A model in this process, and members in a fuser's session.
pub struct ModelEvaluator<'a> {
    bench: Bench<'a>,
    fusion: Fusion,
    /// Where the members lie, if they were there before the run.
    checkpoints: &'a [Checkpoint],
    timing: &'a Timing,
    seed: u64,
    batch_size: u64,
}

impl<'a> ModelEvaluator<'a> {
    /// Gradients are of batches of so many rows, drawn by the seed.
    pub fn new(
        bench: Bench<'a>,
        fusion: Fusion,
        checkpoints: &'a [Checkpoint],
        timing: &'a Timing,
        seed: u64,
        batch_size: u64,
    ) -> Self {
        Self {
            bench,
            fusion,
            checkpoints,
            timing,
            seed,
            batch_size,
        }
    }

    fn load(&mut self, coefficients: &[f64]) -> Result<(), Failure> {
        let fusion = &mut self.fusion;
        let weights = self
            .timing
            .measure(Category::Fusion, || fusion.fuse(coefficients))?;
        // They are read where they lie: what was read is what they were.
        self.checkpoints
            .iter()
            .try_for_each(Checkpoint::check_unchanged)?;
        self.bench.load(&weights)
    }
}

impl Evaluator for ModelEvaluator<'_> {
    fn members(&self) -> usize {
        self.fusion.members()
    }

    fn look(&mut self, coefficients: &[f64], split: &str) -> Result<Findings, Failure> {
        self.load(coefficients)?;
        let predicted = self.bench.predict(split)?;
        Ok(Findings::Predictions {
            table: predicted.table,
            mean_loss: predicted.mean_loss,
        })
    }

    fn examples<'b>(
        &'b self,
        split: &str,
        predicted: &'b Table<'static>,
    ) -> Result<Table<'b>, Failure> {
        self.bench.beside(split, predicted)
    }

    fn gram(&mut self) -> Result<Vec<Vec<f64>>, Failure> {
        let fusion = &mut self.fusion;
        self.timing.measure(Category::Fusion, || fusion.gram())
    }

    fn gradient(
        &mut self,
        coefficients: &[f64],
        split: &str,
        batch: u64,
    ) -> Result<(f64, Vec<f64>), Failure> {
        self.load(coefficients)?;
        let rows = batch_rows(self.bench.rows(split)?, self.batch_size, self.seed, batch);
        let loss = self.timing.measure(Category::Training, || {
            self.bench.model().gradient(split, &rows)
        });
        let loss = loss.map_err(|error| self.bench.fault(&error))?;
        let mut buffer = WeightsBuffer::new(self.bench.model().trainable());
        let gradient = buffer.fill(|out| self.bench.model().read_gradient(out));
        let gradient = gradient.map_err(|error| self.bench.fault(&error))?;
        let fusion = &mut self.fusion;
        let projected = self
            .timing
            .measure(Category::Fusion, || fusion.project(&gradient))?;
        Ok((loss, projected))
    }

    fn export(&mut self, coefficients: &[f64]) -> Result<Export, Failure> {
        self.load(coefficients)?;
        let export = self.bench.model().export();
        export.map_err(|error| self.bench.fault(&error))
    }
}

/// Rows of one batch of a split that is shuffled anew for every pass over it.
fn batch_rows(rows: usize, batch_size: u64, seed: u64, batch: u64) -> Vec<u64> {
    let batches = (rows as u64).div_ceil(batch_size);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(batch / batches);
    let mut order: Vec<u64> = (0..rows as u64).collect();
    order.shuffle(&mut random);
    let start = (batch % batches * batch_size) as usize;
    order[start..rows.min(start + batch_size as usize)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batches_of_a_pass_hold_every_row_once() {
        let pass = |number: u64| {
            (0..4)
                .flat_map(|i| batch_rows(10, 3, 1, number * 4 + i))
                .collect::<Vec<_>>()
        };
        let mut first = pass(0);
        assert_ne!(first, pass(1));
        first.sort_unstable();
        assert_eq!(first, (0..10).collect::<Vec<_>>());
    }
}
