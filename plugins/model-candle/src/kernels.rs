//! Forward and backward of the operations that transformers spend their time in.

use std::sync::Arc;

use candle_core::Shape;
use rayon::prelude::*;
use transformer::Dropout;

use crate::matmul::{Matrix, multiply_rows};
use crate::numeric::{Mask, exp, gelu, gelu_slope};
use crate::op::{Kernel, Slice};
use crate::simd::vectorised;

/// Elements that one thread takes at a time in element-wise loops.
const CHUNK: usize = 1 << 14;
/// Rows that one thread takes at a time.
const ROWS: usize = 32;

fn like(slice: Slice<'_>) -> Shape {
    Shape::from(slice.shape)
}

/// `x w^T + b`.
pub struct Linear;

impl Kernel for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn forward(&self, inputs: &[Slice<'_>]) -> (Vec<f32>, Shape) {
        let [x, w, b] = inputs else {
            unreachable!("linear has three inputs")
        };
        let (rows, width, out_width) = (x.rows(), x.width(), w.rows());
        let mut out = Vec::with_capacity(rows * out_width);
        (0..rows).for_each(|_| out.extend_from_slice(b.data));
        let w = Matrix::new(w.data, out_width, width, width).transposed();
        multiply_rows(&mut out, Matrix::new(x.data, rows, width, width), w, true);
        (out, Shape::from((rows, out_width)))
    }

    fn backward(&self, inputs: &[Slice<'_>], gradient: &[f32]) -> Vec<Vec<f32>> {
        let [x, w, _] = inputs else {
            unreachable!("linear has three inputs")
        };
        let (rows, width, out_width) = (x.rows(), x.width(), w.rows());
        let g = Matrix::new(gradient, rows, out_width, out_width);
        let mut dx = vec![0.0; rows * width];
        multiply_rows(
            &mut dx,
            g,
            Matrix::new(w.data, out_width, width, width),
            false,
        );
        let mut dw = vec![0.0; out_width * width];
        multiply_rows(
            &mut dw,
            g.transposed(),
            Matrix::new(x.data, rows, width, width),
            false,
        );
        vec![dx, dw, column_sums(gradient, out_width)]
    }
}

/// The sum of each column, rows added in order.
fn column_sums(data: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    for row in data.chunks_exact(width) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    sums
}

/// The Gaussian error linear unit.
pub struct Gelu;

vectorised!(
    fn gelu_chunk(out: &mut [f32], x: &[f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = gelu(x);
        }
    }
);

vectorised!(
    fn gelu_slope_chunk(out: &mut [f32], x: &[f32], gradient: &[f32]) {
        for ((out, &x), g) in out.iter_mut().zip(x).zip(gradient) {
            *out = g * gelu_slope(x);
        }
    }
);

impl Kernel for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn forward(&self, inputs: &[Slice<'_>]) -> (Vec<f32>, Shape) {
        let x = inputs[0];
        let mut out = vec![0.0; x.data.len()];
        out.par_chunks_mut(CHUNK)
            .zip(x.data.par_chunks(CHUNK))
            .for_each(|(out, x)| gelu_chunk(out, x));
        (out, like(x))
    }

    fn backward(&self, inputs: &[Slice<'_>], gradient: &[f32]) -> Vec<Vec<f32>> {
        let x = inputs[0].data;
        let mut out = vec![0.0; x.len()];
        let parts = out
            .par_chunks_mut(CHUNK)
            .zip(x.par_chunks(CHUNK))
            .zip(gradient.par_chunks(CHUNK));
        parts.for_each(|((out, x), g)| gelu_slope_chunk(out, x, g));
        vec![out]
    }
}

/// `dropout(x) (+ residual)`: one or two inputs.
pub struct AddDropout(pub Dropout);

vectorised!(
    fn add_dropout_chunk(out: &mut [f32], x: &[f32], mask: Mask, first: u32) {
        for (i, (out, x)) in out.iter_mut().zip(x).enumerate() {
            *out += x * mask.factor(first.wrapping_add(i as u32));
        }
    }
);

impl AddDropout {
    /// Adds the masked `x` to `out`.
    fn apply(&self, out: &mut [f32], x: &[f32]) {
        let mask = Mask::new(self.0.seed, self.0.rate);
        let parts = out
            .par_chunks_mut(CHUNK)
            .zip(x.par_chunks(CHUNK))
            .enumerate();
        parts.for_each(|(index, (out, x))| add_dropout_chunk(out, x, mask, (index * CHUNK) as u32));
    }
}

impl Kernel for AddDropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn forward(&self, inputs: &[Slice<'_>]) -> (Vec<f32>, Shape) {
        let x = inputs[0];
        let mut out = inputs
            .get(1)
            .map_or_else(|| vec![0.0; x.data.len()], |r| r.data.to_vec());
        self.apply(&mut out, x.data);
        (out, like(x))
    }

    fn backward(&self, inputs: &[Slice<'_>], gradient: &[f32]) -> Vec<Vec<f32>> {
        let mut dx = vec![0.0; gradient.len()];
        self.apply(&mut dx, gradient);
        match inputs.len() {
            1 => vec![dx],
            _ => vec![dx, gradient.to_vec()],
        }
    }
}

/// Layer normalisation of each row.
pub struct LayerNorm {
    /// Added to the variance.
    pub epsilon: f32,
}

/// Mean and inverse deviation of a row, with eight running sums.
#[inline(always)]
fn moments(row: &[f32], epsilon: f32) -> (f32, f32) {
    let width = row.len() as f32;
    let mean = sum(row.iter().copied(), row.len()) / width;
    let variance = sum(row.iter().map(|x| (x - mean) * (x - mean)), row.len()) / width;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// A sum in a fixed order that vectorises: sixteen running sums.
#[inline(always)]
fn sum(values: impl Iterator<Item = f32>, length: usize) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let mut values = values;
    for _ in 0..length / LANES {
        for sum in &mut sums {
            *sum += values.next().unwrap_or(0.0);
        }
    }
    sums.iter().sum::<f32>() + values.sum::<f32>()
}

vectorised!(
    fn layer_norm_rows(out: &mut [f32], x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32) {
        let width = gamma.len();
        for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let (mean, scale) = moments(x, epsilon);
            for (((out, x), gamma), beta) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
                *out = (x - mean) * scale * gamma + beta;
            }
        }
    }
);

vectorised!(
    fn layer_norm_rows_back(
        dx: &mut [f32],
        sums: &mut [f32],
        x: &[f32],
        gradient: &[f32],
        gamma: &[f32],
        epsilon: f32,
    ) {
        let width = gamma.len();
        let (dgamma, dbeta) = sums.split_at_mut(width);
        for ((dx, x), g) in dx
            .chunks_exact_mut(width)
            .zip(x.chunks_exact(width))
            .zip(gradient.chunks_exact(width))
        {
            let (mean, scale) = moments(x, epsilon);
            // With n = (x - mean) * scale and h = g * gamma: dx = scale * (h - mean(h) - n * mean(h n)).
            let h = sum(g.iter().zip(gamma).map(|(g, gamma)| g * gamma), width) / width as f32;
            let hn = sum(
                g.iter()
                    .zip(gamma)
                    .zip(x)
                    .map(|((g, gamma), x)| g * gamma * (x - mean) * scale),
                width,
            ) / width as f32;
            for i in 0..width {
                let n = (x[i] - mean) * scale;
                dx[i] = scale * (g[i] * gamma[i] - h - n * hn);
                dgamma[i] += g[i] * n;
                dbeta[i] += g[i];
            }
        }
    }
);

impl Kernel for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn forward(&self, inputs: &[Slice<'_>]) -> (Vec<f32>, Shape) {
        let [x, gamma, beta] = inputs else {
            unreachable!("layer norm has three inputs")
        };
        let size = ROWS * x.width();
        let mut out = vec![0.0; x.data.len()];
        out.par_chunks_mut(size)
            .zip(x.data.par_chunks(size))
            .for_each(|(out, x)| {
                layer_norm_rows(out, x, gamma.data, beta.data, self.epsilon);
            });
        (out, like(*x))
    }

    fn backward(&self, inputs: &[Slice<'_>], gradient: &[f32]) -> Vec<Vec<f32>> {
        let [x, gamma, _] = inputs else {
            unreachable!("layer norm has three inputs")
        };
        let width = x.width();
        let size = ROWS * width;
        let mut dx = vec![0.0; x.data.len()];
        let parts = dx
            .par_chunks_mut(size)
            .zip(x.data.par_chunks(size))
            .zip(gradient.par_chunks(size));
        // One partial sum per chunk, added in order: the number of threads changes nothing.
        let partial: Vec<Vec<f32>> = parts
            .map(|((dx, x), g)| {
                let mut sums = vec![0.0; 2 * width];
                layer_norm_rows_back(dx, &mut sums, x, g, gamma.data, self.epsilon);
                sums
            })
            .collect();
        let mut dgamma = column_sums(&partial.concat(), 2 * width);
        let dbeta = dgamma.split_off(width);
        vec![dx, dgamma, dbeta]
    }
}

/// Rows of a table.
pub struct Embedding(pub Arc<[u32]>);

impl Kernel for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn forward(&self, inputs: &[Slice<'_>]) -> (Vec<f32>, Shape) {
        let (table, width) = (inputs[0].data, inputs[0].width());
        let mut out = Vec::with_capacity(self.0.len() * width);
        for &id in &*self.0 {
            out.extend_from_slice(&table[id as usize * width..][..width]);
        }
        (out, Shape::from((self.0.len(), width)))
    }

    fn backward(&self, inputs: &[Slice<'_>], gradient: &[f32]) -> Vec<Vec<f32>> {
        let width = inputs[0].width();
        let mut table = vec![0.0; inputs[0].data.len()];
        for (&id, g) in self.0.iter().zip(gradient.chunks_exact(width)) {
            let row = &mut table[id as usize * width..][..width];
            row.iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
        }
        vec![table]
    }
}

/// Mean of the rows of each sequence.
pub struct SequenceMean(pub Arc<[usize]>);

impl Kernel for SequenceMean {
    fn name(&self) -> &'static str {
        "sequence_mean"
    }

    fn forward(&self, inputs: &[Slice<'_>]) -> (Vec<f32>, Shape) {
        let width = inputs[0].width();
        let mut rest = inputs[0].data;
        let mut out = Vec::with_capacity(self.0.len() * width);
        for &length in &*self.0 {
            let rows;
            (rows, rest) = rest.split_at(length * width);
            out.extend(
                column_sums(rows, width)
                    .into_iter()
                    .map(|sum| sum / length as f32),
            );
        }
        (out, Shape::from((self.0.len(), width)))
    }

    fn backward(&self, inputs: &[Slice<'_>], gradient: &[f32]) -> Vec<Vec<f32>> {
        let width = inputs[0].width();
        let mut out = Vec::with_capacity(inputs[0].data.len());
        for (&length, g) in self.0.iter().zip(gradient.chunks_exact(width)) {
            (0..length).for_each(|_| out.extend(g.iter().map(|g| g / length as f32)));
        }
        vec![out]
    }
}

/// `-log softmax(logits)[label]` per row.
pub struct CrossEntropy {
    /// One per row.
    pub labels: Arc<[u32]>,
    /// Share of the probability that is spread over all classes.
    pub smoothing: f32,
}

impl CrossEntropy {
    /// The probability that a class should have.
    fn target(&self, label: u32, class: usize, classes: usize) -> f32 {
        let spread = self.smoothing / classes as f32;
        if label as usize == class {
            1.0 - self.smoothing + spread
        } else {
            spread
        }
    }
}

/// Log of the sum of the exponentials, in f64.
fn log_sum_exp(row: &[f32]) -> f64 {
    let greatest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&x| f64::from(x - greatest).exp()).sum();
    f64::from(greatest) + sum.ln()
}

impl Kernel for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn forward(&self, inputs: &[Slice<'_>]) -> (Vec<f32>, Shape) {
        let classes = inputs[0].width();
        let rows = inputs[0].data.chunks_exact(classes).zip(&*self.labels);
        let losses = rows.map(|(row, &label)| {
            let whole = log_sum_exp(row);
            let terms = row.iter().enumerate();
            let loss: f64 = terms
                .map(|(class, &x)| {
                    f64::from(self.target(label, class, classes)) * (whole - f64::from(x))
                })
                .sum();
            loss as f32
        });
        (losses.collect(), Shape::from(self.labels.len()))
    }

    fn backward(&self, inputs: &[Slice<'_>], gradient: &[f32]) -> Vec<Vec<f32>> {
        let classes = inputs[0].width();
        let mut out = Vec::with_capacity(inputs[0].data.len());
        for ((row, &label), &g) in inputs[0]
            .data
            .chunks_exact(classes)
            .zip(&*self.labels)
            .zip(gradient)
        {
            let whole = log_sum_exp(row);
            for (class, &x) in row.iter().enumerate() {
                let probability = (f64::from(x) - whole).exp() as f32;
                out.push(g * (probability - self.target(label, class, classes)));
            }
        }
        vec![out]
    }
}

/// Squared difference to a constant, per row.
pub struct SquaredError(pub Vec<f32>);

impl Kernel for SquaredError {
    fn name(&self) -> &'static str {
        "squared_error"
    }

    fn forward(&self, inputs: &[Slice<'_>]) -> (Vec<f32>, Shape) {
        let pairs = inputs[0].data.iter().zip(&self.0);
        (
            pairs.map(|(x, y)| (x - y) * (x - y)).collect(),
            Shape::from(self.0.len()),
        )
    }

    fn backward(&self, inputs: &[Slice<'_>], gradient: &[f32]) -> Vec<Vec<f32>> {
        let pairs = inputs[0].data.iter().zip(&self.0).zip(gradient);
        vec![pairs.map(|((x, y), g)| 2.0 * (x - y) * g).collect()]
    }
}

vectorised!(
    /// Turns scores into probabilities, row by row.
    pub fn softmax_rows(scores: &mut [f32], width: usize) {
        for row in scores.chunks_exact_mut(width) {
            let mut greatest = f32::NEG_INFINITY;
            for &x in row.iter() {
                greatest = if x > greatest { x } else { greatest };
            }
            for x in row.iter_mut() {
                *x = exp(*x - greatest);
            }
            let total = sum(row.iter().copied(), width);
            let scale = 1.0 / total;
            for x in row.iter_mut() {
                *x *= scale;
            }
        }
    }
);

vectorised!(
    /// The gradient of scores from that of probabilities: `p * (g - sum(p g))`, written over `g`.
    pub fn softmax_rows_back(gradient: &mut [f32], probabilities: &[f32], width: usize) {
        for (g, p) in gradient
            .chunks_exact_mut(width)
            .zip(probabilities.chunks_exact(width))
        {
            let inner = sum(g.iter().zip(p).map(|(g, p)| g * p), width);
            for (g, p) in g.iter_mut().zip(p) {
                *g = p * (*g - inner);
            }
        }
    }
);
