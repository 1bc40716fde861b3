//! Tensors block by block, so that what is worked on stays in the cache.

use std::ops::Range;

use super::error::{Operand, Result, RuleError};

/// Elements per block: those of some fifteen members fit the second-level cache together. Sums are made block by block, so
/// whoever cuts a tensor anew cuts it between blocks.
pub const BLOCK: usize = 2048;

/// Lanes of an f64 sum: independent, so that they are added side by side.
const LANES: usize = 8;

/// Blocks of a tensor, in order; of nothing there are none.
pub(super) fn blocks(elements: usize) -> impl Iterator<Item = Range<usize>> {
    (0..elements)
        .step_by(BLOCK)
        .map(move |start| start..elements.min(start + BLOCK))
}

/// Rows of scratch, one for each of `rows` members, of the length of a block.
pub(super) fn scratch(rows: usize, elements: usize) -> Vec<Vec<f32>> {
    vec![vec![0.0; elements.min(BLOCK)]; rows]
}

/// Expects finite values; `first` is the place of the first one in its tensor.
pub(super) fn expect_finite(tensor: Operand, first: usize, values: &[f32]) -> Result<()> {
    // Not a search: a maximum over all is one instruction for many elements.
    let largest = values
        .iter()
        .fold(0, |largest, &value| magnitude(value).max(largest));
    if largest < f32::INFINITY.to_bits() {
        return Ok(());
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(RuleError::NotFinite {
            tensor,
            element: first + at,
            found: values[at],
        }),
        None => Ok(()),
    }
}

/// The bits of a number without its sign: integers in the order of the magnitudes.
pub(super) fn magnitude(value: f32) -> u32 {
    value.abs().to_bits()
}

/// Writes `member - base`.
pub(super) fn subtract(member: &[f32], base: &[f32], out: &mut [f32]) {
    for ((out, member), base) in out.iter_mut().zip(member).zip(base) {
        *out = member - base;
    }
}

/// Sum of the products, in f64.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = product_sum(a_chunks.remainder(), b_chunks.remainder());
    let mut lanes = [0.0; LANES];
    for (a, b) in a_chunks.zip(b_chunks) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += f64::from(*a) * f64::from(*b);
        }
    }
    lanes.iter().sum::<f64>() + rest
}

fn product_sum(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_element_once() {
        for elements in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 3] {
            let covered: Vec<usize> = blocks(elements).flatten().collect();
            assert_eq!(covered, (0..elements).collect::<Vec<_>>());
        }
    }

    #[test]
    fn dots_of_whole_numbers_are_exact() {
        let a: Vec<f32> = (0..1003).map(|k| k as f32).collect();
        assert_eq!(dot(&a, &a), (1002.0 * 1003.0 * 2005.0) / 6.0);
        assert_eq!(dot(&[], &[]), 0.0);
    }

    #[test]
    fn the_first_fault_is_named() {
        let mut values = vec![f32::MAX; 20];
        assert_eq!(expect_finite(Operand::Base, 0, &values), Ok(()));
        values[17] = f32::NEG_INFINITY;
        let found = expect_finite(Operand::Member(2), 100, &values).unwrap_err();
        assert_eq!(
            found.to_string(),
            "member 2, element 117: found -inf, expected a finite number"
        );
        values[3] = f32::NAN;
        let found = expect_finite(Operand::Base, 0, &values).unwrap_err();
        assert_eq!(
            found.to_string(),
            "base, element 3: found NaN, expected a finite number"
        );
    }
}
