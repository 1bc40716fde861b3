//! Inner products of members with each other and with a gradient, in f64 throughout.
//!
//! Sums are the same for the same machine, however many threads work; another machine may differ in the last bits, since
//! products and sums are fused where that is as fast.

use bytemuck::cast_slice;

use super::element::{Element, LINE, Machine, dispatch};
use super::{Level, read_body};
use crate::dtype::Dtype;

/// Elements of every member that are looked at together: all members' fit into the first-level cache as f64.
pub const TILE: usize = 256;

/// Most f64 numbers that a register holds.
const WIDEST: usize = 8;

/// Elements of one member, at most [`TILE`], as they are stored.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The elements.
    pub bytes: &'a [u8],
    /// Their type: one that can be fused.
    pub dtype: Dtype,
}

/// Differences of one member, or zeros behind them. Aligned to a line of the cache, which a widest register holds.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Row([f64; TILE]);

/// One sum in as many parts as a register holds.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Lanes([f64; WIDEST]);

/// Adds up the Gram matrix of centred members, tile by tile.
///
/// Multiplied are differences from the first member, which are zeros in one row less than there are members: near-identical
/// weights keep all their digits. Centring is linear in the products, and comes at the end; entries are then exact to some
/// roundings of the largest.
pub struct Gram {
    level: Level,
    members: usize,
    /// For each member but the first.
    tile: Vec<Row>,
    /// Products of these rows on and below the diagonal, `[members - 1, members - 1]`.
    sums: Vec<Lanes>,
}

impl Gram {
    /// Nothing is summed yet.
    pub fn new(level: Level, members: usize) -> Self {
        let rows = members.saturating_sub(1);
        Self {
            level,
            members,
            tile: vec![Row([0.0; TILE]); rows],
            sums: vec![Lanes([0.0; WIDEST]); rows * rows],
        }
    }

    /// Adds the products of a run of elements: one per member, all of one length.
    pub fn add(&mut self, runs: &[Run<'_>]) {
        differences(self.level, runs, &mut self.tile);
        products(self.level, &self.tile, &mut self.sums, runs);
    }

    /// The matrix, `[members, members]`, row by row.
    pub fn finish(self) -> Vec<f64> {
        let n = self.members;
        // Products of differences from the first member, whose own are zero.
        let product = |i: usize, j: usize| match (i.max(j), i.min(j)) {
            (_, 0) => 0.0,
            (i, j) => self.sums[(i - 1) * (n - 1) + j - 1].0.iter().sum(),
        };
        let products: Vec<f64> = (0..n * n).map(|at| product(at / n, at % n)).collect();
        let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / n as f64;
        let means: Vec<f64> = products.chunks(n.max(1)).map(mean).collect();
        let total = mean(&means);
        (0..n * n)
            .map(|at| products[at] - means[at / n] - means[at % n] + total)
            .collect()
    }
}

levelled!(
    /// Fills the rows of a tile with the differences of members from the first; what is behind their elements becomes zero.
    differences, differences_body, (runs: &[Run<'_>], tile: &mut [Row])
);
levelled!(
    /// Adds the inner products of the rows of a tile, on and below the diagonal of the matrix.
    products, registers products_body, (rows: &[Row], sums: &mut [Lanes], ahead: &[Run<'_>])
);
levelled!(
    /// Inner product of f64 numbers with as many elements.
    pub inner, inner_body, (numbers: &[f64], run: Run<'_>) -> f64
);

#[inline(always)]
fn differences_body<M: Machine>(runs: &[Run<'_>], tile: &mut [Row]) {
    let Some((first, others)) = runs.split_first() else {
        return;
    };
    let length = first.bytes.len() / first.dtype.size();
    let mut origin = Row([0.0; TILE]);
    let origin = &mut origin.0[..length];
    read_body::<f64, M>(first.bytes, first.dtype, origin);
    for (run, row) in others.iter().zip(tile) {
        let (row, rest) = row.0.split_at_mut(length);
        rest.fill(0.0);
        dispatch!(loops run.dtype, E, L => subtract::<M, E, L>(run.bytes, origin, row));
    }
}

/// `out = elements - origin`.
#[inline(always)]
fn subtract<M: Machine, E: Element<f64, L>, const L: usize>(
    bytes: &[u8],
    origin: &[f64],
    out: &mut [f64],
) {
    let (elements, elements_rest) = cast_slice::<_, E::Stored>(bytes).as_chunks::<L>();
    let (origin, origin_rest) = origin.as_chunks::<L>();
    let (out, out_rest) = out.as_chunks_mut::<L>();
    for ((out, elements), origin) in out.iter_mut().zip(elements).zip(origin) {
        let numbers = E::read::<M>(*elements);
        for lane in 0..L {
            out[lane] = numbers[lane] - origin[lane];
        }
    }
    for ((out, &element), origin) in out_rest.iter_mut().zip(elements_rest).zip(origin_rest) {
        *out = E::read::<M>([element; L])[0] - origin;
    }
}

#[inline(always)]
fn products_body<M: Machine, const SIDE: usize, const LANES: usize>(
    rows: &[Row],
    sums: &mut [Lanes],
    ahead: &[Run<'_>],
) {
    // While it multiplies, the next tile comes from memory: some members of it with every block.
    let bands = rows.len().div_ceil(SIDE);
    let each = ahead.len().div_ceil((bands * (bands + 1) / 2).max(1));
    let mut ahead = ahead.iter();
    let mut prefetch = || {
        for run in ahead.by_ref().take(each) {
            for line in run.bytes.chunks(LINE) {
                M::prefetch(&line[0]);
            }
        }
    };
    for i in (0..rows.len()).step_by(SIDE) {
        match rows.len() - i {
            1 => band::<M, 1, SIDE, LANES>(rows, i, sums, &mut prefetch),
            2 => band::<M, 2, SIDE, LANES>(rows, i, sums, &mut prefetch),
            3 => band::<M, 3, SIDE, LANES>(rows, i, sums, &mut prefetch),
            _ => band::<M, SIDE, SIDE, LANES>(rows, i, sums, &mut prefetch),
        }
    }
}

/// Adds the products of some rows with all before them, a square block at a time, and with each other.
#[inline(always)]
fn band<M: Machine, const ROWS: usize, const SIDE: usize, const LANES: usize>(
    rows: &[Row],
    i: usize,
    sums: &mut [Lanes],
    prefetch: &mut impl FnMut(),
) {
    for j in (0..i).step_by(SIDE) {
        prefetch();
        block::<M, ROWS, SIDE, LANES>(rows, (i, j), sums, |_, _| true);
    }
    prefetch();
    block::<M, ROWS, ROWS, LANES>(rows, (i, i), sums, |r, c| c <= r);
}

/// Adds the products of the rows from `i` on with those from `j` on that are `wanted`.
#[inline(always)]
fn block<M: Machine, const ROWS: usize, const COLUMNS: usize, const LANES: usize>(
    rows: &[Row],
    (i, j): (usize, usize),
    sums: &mut [Lanes],
    wanted: impl Fn(usize, usize) -> bool,
) {
    let a: [_; ROWS] = std::array::from_fn(|r| rows[i + r].0.as_chunks::<LANES>().0);
    let b: [_; COLUMNS] = std::array::from_fn(|c| rows[j + c].0.as_chunks::<LANES>().0);
    let mut block = [[[0.0; LANES]; COLUMNS]; ROWS];
    for at in 0..TILE / LANES {
        let a: [[f64; LANES]; ROWS] = std::array::from_fn(|r| a[r][at]);
        let b: [[f64; LANES]; COLUMNS] = std::array::from_fn(|c| b[c][at]);
        for r in 0..ROWS {
            for c in 0..COLUMNS {
                if wanted(r, c) {
                    block[r][c] = multiply_add::<M, LANES>(a[r], b[c], block[r][c]);
                }
            }
        }
    }
    for r in 0..ROWS {
        for c in 0..COLUMNS {
            if wanted(r, c) {
                let total = sums[(i + r) * rows.len() + j + c].0.iter_mut();
                for (total, sum) in total.zip(&block[r][c]) {
                    *total += sum;
                }
            }
        }
    }
}

#[inline(always)]
fn multiply_add<M: Machine, const LANES: usize>(
    a: [f64; LANES],
    b: [f64; LANES],
    mut sums: [f64; LANES],
) -> [f64; LANES] {
    for lane in 0..LANES {
        sums[lane] = M::multiply_add(a[lane], b[lane], sums[lane]);
    }
    sums
}

/// Sums of an inner product beside each other: enough registers for additions not to wait for each other.
const SUMS: usize = 32;

#[inline(always)]
fn inner_body<M: Machine>(numbers: &[f64], run: Run<'_>) -> f64 {
    let mut sums = [0.0; SUMS];
    dispatch!(loops run.dtype, E, L => {
        let elements = cast_slice::<_, <E as Element<f64, L>>::Stored>(run.bytes);
        let (chunks, rest) = elements.as_chunks::<SUMS>();
        let (numbers, numbers_rest) = numbers.as_chunks::<SUMS>();
        let convert = |chunk: &[_; SUMS]| {
            let mut converted = [0.0; SUMS];
            let parts = chunk.as_chunks::<L>().0.iter();
            for (out, part) in converted.as_chunks_mut::<L>().0.iter_mut().zip(parts) {
                *out = E::read::<M>(*part);
            }
            converted
        };
        for (chunk, numbers) in chunks.iter().zip(numbers) {
            sums = multiply_add::<M, SUMS>(convert(chunk), *numbers, sums);
        }
        if let Some(first) = rest.first() {
            let (mut padded, mut zeros) = ([*first; SUMS], [0.0; SUMS]);
            padded[..rest.len()].copy_from_slice(rest);
            zeros[..rest.len()].copy_from_slice(numbers_rest);
            sums = multiply_add::<M, SUMS>(convert(&padded), zeros, sums);
        }
    });
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: usize, length: usize) -> Vec<Vec<f32>> {
        let element = |m: usize, i: usize| ((i * 7 + m * m * 3) % 11) as f32 * 0.25 + 100.0;
        let member = |m| (0..length).map(|i| element(m, i)).collect();
        (0..count).map(member).collect()
    }

    fn run(member: &[f32]) -> Run<'_> {
        Run {
            bytes: bytemuck::cast_slice(member),
            dtype: Dtype::F32,
        }
    }

    #[test]
    fn the_gram_matrix_is_that_of_centred_members() {
        for (count, length) in [(1, 5), (2, 128), (5, 77), (9, 3), (16, 128)] {
            let members = members(count, length);
            let mean =
                |i: usize| members.iter().map(|m| f64::from(m[i])).sum::<f64>() / count as f64;
            let centred = |m: usize, i: usize| f64::from(members[m][i]) - mean(i);
            for level in Level::supported() {
                let mut gram = Gram::new(level, count);
                for _ in 0..2 {
                    gram.add(&members.iter().map(|m| run(m)).collect::<Vec<_>>());
                }
                let gram = gram.finish();
                let expected = |i: usize, j: usize| -> f64 {
                    2.0 * (0..length)
                        .map(|e| centred(i, e) * centred(j, e))
                        .sum::<f64>()
                };
                let largest = (0..count).map(|i| expected(i, i)).fold(0.0, f64::max);
                for i in 0..count {
                    for j in 0..count {
                        let found = gram[i * count + j];
                        assert!(
                            (found - expected(i, j)).abs() <= 1e-13 * largest,
                            "{count} {length} {i} {j}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn inner_products_take_all_types_and_lengths() {
        let numbers: Vec<f64> = (0..TILE).map(|i| i as f64 * 0.5 - 3.0).collect();
        for length in [0, 1, 15, 16, 17, 128] {
            let values: Vec<f32> = (0..length).map(|i| (i % 9) as f32 - 4.0).collect();
            let expected: f64 = values
                .iter()
                .zip(&numbers)
                .map(|(x, y)| f64::from(*x) * y)
                .sum();
            for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16, Dtype::F64] {
                for level in Level::supported() {
                    let mut bytes = vec![0; length * dtype.size()];
                    crate::kernel::store(level, &values, dtype, &mut bytes);
                    let run = Run {
                        bytes: &bytes,
                        dtype,
                    };
                    let found = inner(level, &numbers[..length], run);
                    assert!((found - expected).abs() < 1e-9, "{dtype} {length}");
                }
            }
        }
    }
}
