//! What an architecture needs of the library that executes tensor code.
//!
//! Tensors are f32, row-major and immutable; only [`Engine::adamw`] and [`Engine::write`] change one, in place, and are
//! given parameters alone. Sequences of a batch lie one after the other without padding: `[tokens, width]`, with their
//! lengths beside them. Randomness comes in as seeds. Gradients are the engine's own affair: an architecture never sees
//! its bookkeeping.

use std::sync::Arc;

use bomf_plugin_api::Result;

/// Dropout with a mask that is a function of the seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Share of elements set to zero, in [0, 1); the others are scaled by `1 / (1 - rate)`.
    pub rate: f32,
    /// Decides which.
    pub seed: u64,
}

/// Settings of one AdamW step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Step size.
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the denominator.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// The gradient is multiplied by this first (clipping).
    pub gradient_scale: f32,
    /// Number of this step, from 1, for the bias correction.
    pub step: u64,
}

/// Executes tensor code.
pub trait Engine: Clone + Send + 'static {
    /// An immutable tensor; cloning shares it.
    type Tensor: Clone + Send;

    /// What executes, with version and device: `candle 0.11.1, cpu`.
    fn describe(&self) -> String;

    /// A constant, copied from row-major numbers.
    fn constant(&self, data: &[f32], shape: &[usize]) -> Result<Self::Tensor>;
    /// A tensor that gradients can be asked for, copied from row-major numbers.
    fn parameter(&self, data: &[f32], shape: &[usize]) -> Result<Self::Tensor>;
    /// The same numbers without a gradient, for forward passes that nothing is learned from. Shares the memory.
    fn detach(&self, tensor: &Self::Tensor) -> Self::Tensor;
    /// Copies a tensor out, row-major.
    fn read(&self, tensor: &Self::Tensor, out: &mut [f32]) -> Result<()>;
    /// Overwrites a parameter. Nothing computed from it before may be used in [`Engine::backward`] any more.
    fn write(&self, parameter: &Self::Tensor, data: &[f32]) -> Result<()>;

    /// `x w^T + b`: `[n, i]`, `[o, i]`, `[o]` to `[n, o]`. A row of the result depends on its own row of `x` alone, bit by
    /// bit, whatever stands in the other rows.
    fn linear(&self, x: &Self::Tensor, w: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor>;
    /// Element by element, same shapes.
    fn add(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor>;
    /// Gaussian error linear unit, the exact one (Hendrycks and Gimpel 2016).
    fn gelu(&self, x: &Self::Tensor) -> Result<Self::Tensor>;
    /// Hyperbolic tangent.
    fn tanh(&self, x: &Self::Tensor) -> Result<Self::Tensor>;
    /// Sets elements to zero and scales the others.
    fn dropout(&self, x: &Self::Tensor, dropout: Dropout) -> Result<Self::Tensor>;
    /// Per row: subtract the mean, divide by the deviation, scale by `gamma`, shift by `beta`: `[n, h]`, `[h]`, `[h]`.
    fn layer_norm(
        &self,
        x: &Self::Tensor,
        gamma: &Self::Tensor,
        beta: &Self::Tensor,
        epsilon: f32,
    ) -> Result<Self::Tensor>;
    /// Multi-head attention within each sequence: `q`, `k`, `v` are `[tokens, heads * d]`, scores are divided by
    /// `sqrt(d)`, dropout is on the probabilities. Sequences do not see each other.
    fn attention(
        &self,
        q: &Self::Tensor,
        k: &Self::Tensor,
        v: &Self::Tensor,
        lengths: &Arc<[usize]>,
        heads: usize,
        dropout: Option<Dropout>,
    ) -> Result<Self::Tensor>;
    /// Rows of a table: `[rows, h]` to `[ids, h]`.
    fn embedding(&self, table: &Self::Tensor, ids: &Arc<[u32]>) -> Result<Self::Tensor>;
    /// The mean of each sequence's rows: `[tokens, h]` to `[sequences, h]`.
    fn sequence_mean(&self, x: &Self::Tensor, lengths: &Arc<[usize]>) -> Result<Self::Tensor>;
    /// `-log softmax(logits)[label]` per row, in nats: `[n, classes]` to `[n]`; with smoothing, the label's probability
    /// gives that share to all classes evenly.
    fn cross_entropy(
        &self,
        logits: &Self::Tensor,
        labels: &Arc<[u32]>,
        smoothing: f32,
    ) -> Result<Self::Tensor>;
    /// Squared difference per row: `[n, 1]` to `[n]`.
    fn squared_error(&self, x: &Self::Tensor, targets: &[f32]) -> Result<Self::Tensor>;

    /// The gradients of `sum(output * output_gradient)` with respect to parameters, in their order. A parameter that the
    /// output does not depend on is an error: no gradient is ever dropped silently.
    fn backward(
        &self,
        output: &Self::Tensor,
        output_gradient: &[f32],
        with_respect_to: &[Self::Tensor],
    ) -> Result<Vec<Self::Tensor>>;
    /// Sum of the squares of all elements, in f64, in a fixed order.
    fn sum_of_squares(&self, tensors: &[Self::Tensor]) -> Result<f64>;
    /// One AdamW step (Loshchilov and Hutter 2019) on a parameter, in place. `first` and `second` are its moments.
    fn adamw(
        &self,
        parameter: &Self::Tensor,
        gradient: &Self::Tensor,
        first: &mut [f32],
        second: &mut [f32],
        settings: AdamW,
    ) -> Result<()>;

    /// `residual + dropout(x)`; room for a fused version.
    fn add_dropout(
        &self,
        x: &Self::Tensor,
        residual: &Self::Tensor,
        dropout: Option<Dropout>,
    ) -> Result<Self::Tensor> {
        match dropout {
            Some(dropout) => self.add(&self.dropout(x, dropout)?, residual),
            None => self.add(x, residual),
        }
    }

    /// `gelu(x w^T + b)`; room for a fused version.
    fn linear_gelu(
        &self,
        x: &Self::Tensor,
        w: &Self::Tensor,
        b: &Self::Tensor,
    ) -> Result<Self::Tensor> {
        self.gelu(&self.linear(x, w, b)?)
    }
}
