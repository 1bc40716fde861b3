//! Multi-head attention within sequences that lie one after the other.

use std::sync::Arc;

use candle_core::Shape;
use rayon::prelude::*;
use transformer::Dropout;

use crate::kernels::{softmax_rows, softmax_rows_back};
use crate::matmul::{Matrix, multiply};
use crate::numeric::Mask;
use crate::op::{Kernel, Slice};

/// Attention; its probabilities are computed again in the backward pass instead of being kept.
pub struct Attention {
    /// Of the sequences, in rows.
    pub lengths: Arc<[usize]>,
    /// Number of heads; the width is a multiple of it.
    pub heads: usize,
    /// On the probabilities.
    pub dropout: Option<Dropout>,
}

/// One sequence of each of `q`, `k` and `v`, and where it stands.
struct Sequence<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    /// Number of the first element of the first head's probabilities, for the dropout mask.
    first: u32,
    length: usize,
}

impl Attention {
    fn sequences<'a>(&self, inputs: &[Slice<'a>]) -> Vec<Sequence<'a>> {
        let width = inputs[0].width();
        let (mut start, mut first) = (0, 0u32);
        let sequences = self.lengths.iter().map(|&length| {
            let [q, k, v] =
                [0, 1, 2].map(|i| &inputs[i].data[start * width..(start + length) * width]);
            let sequence = Sequence {
                q,
                k,
                v,
                first,
                length,
            };
            start += length;
            first = first.wrapping_add((self.heads * length * length) as u32);
            sequence
        });
        sequences.collect()
    }

    /// Rows of each sequence, exclusively.
    fn split<'a>(&self, data: &'a mut [f32], width: usize) -> Vec<&'a mut [f32]> {
        let mut rest = data;
        let parts = self.lengths.iter().map(|&length| {
            let (part, tail) = std::mem::take(&mut rest).split_at_mut(length * width);
            rest = tail;
            part
        });
        parts.collect()
    }

    /// Softmax of the scaled scores of one head: `[length, length]`.
    fn probabilities(&self, sequence: &Sequence<'_>, head: usize, width: usize, out: &mut [f32]) {
        let (length, depth) = (sequence.length, width / self.heads);
        let scale = 1.0 / (depth as f32).sqrt();
        let q = Matrix::new(&sequence.q[head * depth..], length, depth, width);
        let k = Matrix::new(&sequence.k[head * depth..], length, depth, width);
        multiply(out, length, q, k.transposed(), scale, false);
        softmax_rows(out, length);
    }

    /// Applies the dropout mask of one head.
    fn mask(&self, sequence: &Sequence<'_>, head: usize, values: &mut [f32]) {
        let Some(dropout) = self.dropout else { return };
        let mask = Mask::new(dropout.seed, dropout.rate);
        let first = sequence.first.wrapping_add((head * values.len()) as u32);
        for (i, value) in values.iter_mut().enumerate() {
            *value *= mask.factor(first.wrapping_add(i as u32));
        }
    }

    fn forward_one(&self, sequence: &Sequence<'_>, width: usize, out: &mut [f32]) {
        let (length, depth) = (sequence.length, width / self.heads);
        let mut p = vec![0.0; length * length];
        for head in 0..self.heads {
            self.probabilities(sequence, head, width, &mut p);
            self.mask(sequence, head, &mut p);
            let v = Matrix::new(&sequence.v[head * depth..], length, depth, width);
            multiply(
                &mut out[head * depth..],
                width,
                Matrix::new(&p, length, length, length),
                v,
                1.0,
                false,
            );
        }
    }

    fn backward_one(
        &self,
        sequence: &Sequence<'_>,
        width: usize,
        gradient: &[f32],
        [dq, dk, dv]: [&mut [f32]; 3],
    ) {
        let (length, depth) = (sequence.length, width / self.heads);
        let scale = 1.0 / (depth as f32).sqrt();
        let size = length * length;
        let (mut p, mut masked, mut dp) = (vec![0.0; size], vec![0.0; size], vec![0.0; size]);
        fn square(data: &[f32], length: usize) -> Matrix<'_> {
            Matrix::new(data, length, length, length)
        }
        for head in 0..self.heads {
            let at = head * depth;
            let part = |data| Matrix::new(data, length, depth, width);
            self.probabilities(sequence, head, width, &mut p);
            masked.copy_from_slice(&p);
            self.mask(sequence, head, &mut masked);
            let g = part(&gradient[at..]);
            multiply(
                &mut dv[at..],
                width,
                square(&masked, length).transposed(),
                g,
                1.0,
                false,
            );
            multiply(
                &mut dp,
                length,
                g,
                part(&sequence.v[at..]).transposed(),
                1.0,
                false,
            );
            self.mask(sequence, head, &mut dp);
            softmax_rows_back(&mut dp, &p, length);
            multiply(
                &mut dq[at..],
                width,
                square(&dp, length),
                part(&sequence.k[at..]),
                scale,
                false,
            );
            multiply(
                &mut dk[at..],
                width,
                square(&dp, length).transposed(),
                part(&sequence.q[at..]),
                scale,
                false,
            );
        }
    }
}

impl Kernel for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn forward(&self, inputs: &[Slice<'_>]) -> (Vec<f32>, Shape) {
        let width = inputs[0].width();
        let mut out = vec![0.0; inputs[0].data.len()];
        let sequences = self.sequences(inputs);
        let parts = sequences
            .par_iter()
            .zip(self.split(&mut out, width).into_par_iter());
        parts.for_each(|(sequence, out)| self.forward_one(sequence, width, out));
        (out, Shape::from(inputs[0].shape))
    }

    fn backward(&self, inputs: &[Slice<'_>], gradient: &[f32]) -> Vec<Vec<f32>> {
        let width = inputs[0].width();
        let mut outs = [0, 1, 2].map(|i: usize| vec![0.0; inputs[i].data.len()]);
        let [dq, dk, dv] = outs.each_mut().map(|out| self.split(out, width));
        let starts = self.lengths.iter().scan(0, |start, length| {
            let first = *start;
            *start += length * width;
            Some(first)
        });
        let starts: Vec<usize> = starts.collect();
        let sequences = self.sequences(inputs);
        sequences
            .par_iter()
            .zip(dq)
            .zip(dk)
            .zip(dv)
            .zip(starts)
            .for_each(|((((sequence, dq), dk), dv), start)| {
                let g = &gradient[start..start + sequence.length * width];
                self.backward_one(sequence, width, g, [dq, dk, dv]);
            });
        outs.into()
    }
}
