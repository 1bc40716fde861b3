//! Model Stock (Jang, Yun, Han 2024): the members' mean is drawn towards the base, the farther the less the members agree
//! on where to go.

use super::block::{blocks, dot, expect_finite, scratch, subtract};
use super::error::{Operand, Result, RuleError};
use super::{Inputs, ModelStock};

/// Products of lengths below this are not divided by (mergekit's clamp).
const SMALLEST_PRODUCT: f64 = 1e-6;

/// Denominators below this have no finite share: the base stays (mergekit's bound).
const SINGULAR: f64 = 1e-6;

pub(super) fn merge(
    options: &ModelStock,
    inputs: &Inputs<'_>,
    base: &[f32],
    out: &mut [f32],
) -> Result<()> {
    let row = if options.filter_wise {
        inputs.row
    } else {
        out.len()
    };
    if inputs.members.len() < 2 {
        let found = inputs.members.len();
        return Err(RuleError::ModelCount {
            rule: "model_stock",
            found,
            expected: "at least 2 beside the base",
        });
    }
    if out.is_empty() {
        return Ok(());
    }
    if row == 0 || !out.len().is_multiple_of(row) {
        return Err(RuleError::RowLength {
            found: row,
            elements: out.len(),
        });
    }
    let mut offsets = scratch(inputs.members.len(), row);
    for start in (0..out.len()).step_by(row) {
        let members: Vec<&[f32]> = inputs
            .members
            .iter()
            .map(|member| &member[start..start + row])
            .collect();
        let base = &base[start..start + row];
        let products = products(&members, base, inputs.first + start, &mut offsets)?;
        mix(
            share(&products),
            &members,
            base,
            &mut out[start..start + row],
        );
    }
    Ok(())
}

/// Inner products of the members' offsets from the base, `[members, members]`, upper triangle.
fn products(
    members: &[&[f32]],
    base: &[f32],
    first: usize,
    offsets: &mut [Vec<f32>],
) -> Result<Vec<Vec<f64>>> {
    let count = members.len();
    let mut products = vec![vec![0.0; count]; count];
    for block in blocks(base.len()) {
        expect_finite(Operand::Base, first + block.start, &base[block.clone()])?;
        for (index, (member, offset)) in members.iter().zip(offsets.iter_mut()).enumerate() {
            expect_finite(
                Operand::Member(index),
                first + block.start,
                &member[block.clone()],
            )?;
            subtract(
                &member[block.clone()],
                &base[block.clone()],
                &mut offset[..block.len()],
            );
        }
        for i in 0..count {
            for j in i..count {
                products[i][j] += dot(&offsets[i][..block.len()], &offsets[j][..block.len()]);
            }
        }
    }
    Ok(products)
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

fn mix(share: f64, members: &[&[f32]], base: &[f32], out: &mut [f32]) {
    let (mean_share, base_share) = (share as f32, (1.0 - share) as f32);
    let count = members.len() as f32;
    out.fill(0.0);
    for block in blocks(out.len()) {
        let out = &mut out[block.clone()];
        for member in members {
            for (out, value) in out.iter_mut().zip(&member[block.clone()]) {
                *out += value;
            }
        }
        for (out, base) in out.iter_mut().zip(&base[block]) {
            *out = mean_share * (*out / count) + base_share * base;
        }
    }
}
