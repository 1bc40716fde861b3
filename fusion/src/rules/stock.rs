//! Model Stock (Jang, Yun, Han 2024): the members' mean is drawn towards the base, the farther the less the members agree
//! on where to go.

use std::ops::Range;

use super::block::{blocks, dot, expect_finite, scratch, subtract};
use super::error::{Result, RuleError};
use super::{Inputs, Merge, ModelStock, Shape};

/// Products of lengths below this are not divided by (mergekit's clamp).
const SMALLEST_PRODUCT: f64 = 1e-6;

/// Denominators below this have no finite share: the base stays (mergekit's bound).
const SINGULAR: f64 = 1e-6;

pub(super) struct Stock {
    /// Elements that have one share of the mean: a row, or all.
    group: usize,
    /// Inner products of the members' offsets from the base, over the group looked at, `[members, members]`, upper triangle.
    products: Vec<Vec<f64>>,
    /// The share of the mean in each group; known after a look.
    shares: Vec<f64>,
    has_looked: bool,
    offsets: Vec<Vec<f32>>,
}

impl Stock {
    pub(super) fn new(options: &ModelStock, shape: &Shape) -> Result<Self> {
        let members = shape.members;
        if members < 2 {
            return Err(RuleError::ModelCount {
                rule: "model_stock",
                found: members,
                expected: "at least 2 beside the base",
            });
        }
        let group = if options.filter_wise {
            shape.row
        } else {
            shape.elements
        };
        if shape.elements > 0 && (group == 0 || !shape.elements.is_multiple_of(group)) {
            return Err(RuleError::RowLength {
                found: group,
                elements: shape.elements,
            });
        }
        Ok(Self {
            group,
            products: vec![vec![0.0; members]; members],
            shares: Vec::new(),
            has_looked: false,
            offsets: scratch(members, shape.elements),
        })
    }

    fn add_products(&mut self, inputs: &Inputs<'_>, part: Range<usize>) {
        for (member, offset) in inputs.members.iter().zip(&mut self.offsets) {
            let offset = &mut offset[..part.len()];
            subtract(&member[part.clone()], &inputs.base()[part.clone()], offset);
        }
        let offsets: Vec<&[f32]> = self.offsets.iter().map(|row| &row[..part.len()]).collect();
        for (i, row) in self.products.iter_mut().enumerate() {
            for (j, product) in row.iter_mut().enumerate().skip(i) {
                *product += dot(offsets[i], offsets[j]);
            }
        }
    }
}

impl Merge for Stock {
    fn looks(&self) -> usize {
        usize::from(!self.has_looked)
    }

    fn look(&mut self, inputs: &Inputs<'_>) -> Result<()> {
        for block in blocks(inputs.elements()) {
            for (operand, values) in inputs.operands() {
                expect_finite(operand, inputs.first + block.start, &values[block.clone()])?;
            }
            for (part, is_end) in parts(block, inputs.first, self.group) {
                self.add_products(inputs, part);
                if is_end {
                    self.shares.push(share(&self.products));
                    self.products.iter_mut().for_each(|row| row.fill(0.0));
                }
            }
        }
        Ok(())
    }

    fn turn(&mut self) {
        self.has_looked = true;
    }

    fn merge(&mut self, inputs: &Inputs<'_>, out: &mut [f32]) -> Result<()> {
        for block in blocks(out.len()) {
            for (part, _) in parts(block, inputs.first, self.group) {
                let share = self.shares[(inputs.first + part.start) / self.group];
                mix(share, inputs, part.clone(), &mut out[part]);
            }
        }
        Ok(())
    }
}

/// A block cut where groups end, each part with whether its group ends there. `first` is the block's place in the tensor.
fn parts(
    block: Range<usize>,
    first: usize,
    group: usize,
) -> impl Iterator<Item = (Range<usize>, bool)> {
    let mut start = block.start;
    std::iter::from_fn(move || {
        let left = group - (first + start) % group;
        let part = start..block.end.min(start + left);
        start = part.end;
        (!part.is_empty()).then(|| (part.clone(), part.len() == left))
    })
}

/// The share of the members' mean: `t = N cos / (1 + (N - 1) cos)`, with the mean cosine of all pairs of offsets
/// (equation 5 of the paper, for N members).
fn share(products: &[Vec<f64>]) -> f64 {
    let count = products.len();
    let (mut sum, mut pairs) = (0.0, 0.0);
    for i in 0..count {
        for j in i + 1..count {
            let lengths = products[i][i].sqrt() * products[j][j].sqrt();
            sum += (products[i][j] / lengths.max(SMALLEST_PRODUCT)).clamp(-1.0, 1.0);
            pairs += 1.0;
        }
    }
    let cosine = sum / pairs;
    let denominator = 1.0 + (count as f64 - 1.0) * cosine;
    if denominator.abs() < SINGULAR {
        return 0.0;
    }
    count as f64 * cosine / denominator
}

fn mix(share: f64, inputs: &Inputs<'_>, part: Range<usize>, out: &mut [f32]) {
    let (mean_share, base_share) = (share as f32, (1.0 - share) as f32);
    let count = inputs.members.len() as f32;
    out.fill(0.0);
    for member in inputs.members {
        for (out, value) in out.iter_mut().zip(&member[part.clone()]) {
            *out += value;
        }
    }
    for (out, base) in out.iter_mut().zip(&inputs.base()[part]) {
        *out = mean_share * (*out / count) + base_share * base;
    }
}
