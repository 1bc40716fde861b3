//! What comes out of a model's frozen part, computed once per split.

use bomf_plugin_api::Result;

use crate::bert::Bert;
use crate::engine::Engine;
use crate::text::{Batch, Split, sorted_batches};
use crate::weights::Weights;

/// Tokens per forward pass when features are computed or a split is predicted.
pub const TOKENS: usize = 4096;

/// Features of every text of a split: f32, text after text.
pub struct Features {
    data: Vec<f32>,
    starts: Vec<usize>,
    width: usize,
}

impl Features {
    /// How many bytes the features of a split take.
    pub fn bytes(split: &Split, width: usize) -> usize {
        split.info.tokens as usize * width * size_of::<f32>()
    }

    /// Computes the features of a split.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn compute<E: Engine>(
        engine: &E,
        bert: &Bert,
        weights: &Weights<E>,
        split: &Split,
    ) -> Result<Self> {
        let width = bert.config().hidden_size;
        let lengths = split
            .encoded
            .iter()
            .map(|encoded| encoded.ids.len() * width);
        let starts: Vec<usize> = std::iter::once(0)
            .chain(lengths.scan(0, |sum, length| {
                *sum += length;
                Some(*sum)
            }))
            .collect();
        let mut data = vec![0.0; starts.last().copied().unwrap_or(0)];
        for rows in sorted_batches(split, TOKENS) {
            let batch = Batch::of(split, &rows, !bert.config().is_roberta());
            let features = bert.features(engine, weights, &batch)?;
            let mut out = vec![0.0; batch.ids.len() * width];
            engine.read(&features, &mut out)?;
            let mut rest = out.as_slice();
            for &row in &rows {
                let part;
                (part, rest) = rest.split_at(starts[row + 1] - starts[row]);
                data[starts[row]..starts[row + 1]].copy_from_slice(part);
            }
        }
        Ok(Self {
            data,
            starts,
            width,
        })
    }

    /// The features of a batch: `[tokens, width]`.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn of<E: Engine>(&self, engine: &E, batch: &Batch) -> Result<E::Tensor> {
        let parts = batch
            .rows
            .iter()
            .map(|&row| &self.data[self.starts[row]..self.starts[row + 1]]);
        let gathered: Vec<f32> = parts.flatten().copied().collect();
        engine.constant(&gathered, &[gathered.len() / self.width, self.width])
    }
}
