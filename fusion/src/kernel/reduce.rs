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

/// Rows of the Gram matrix whose sums stay in registers together, each with some columns.
const ROWS: usize = 4;
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

/// Adds up the Gram matrix of centred members, tile by tile.
pub struct Gram {
    level: Level,
    members: usize,
    rows: usize,
    /// Rows of [`TILE`] elements, one per member and some of zeros.
    tile: Vec<f64>,
    /// Blocks on and below the diagonal of the matrix, each number of it in as many parts as a register holds.
    sums: Vec<f64>,
}

impl Gram {
    /// Nothing is summed yet.
    pub fn new(level: Level, members: usize) -> Self {
        let rows = members.next_multiple_of(ROWS);
        Self {
            level,
            members,
            rows,
            tile: vec![0.0; rows * TILE],
            sums: vec![0.0; rows * (rows + ROWS) / 2 * WIDEST],
        }
    }

    /// Adds the products of a run of elements: one per member, all of one length.
    ///
    /// From each element the mean of the members is subtracted: differences of near-identical weights keep all their digits.
    pub fn add(&mut self, runs: &[Run<'_>]) {
        centre(self.level, runs, &mut self.tile[..self.members * TILE]);
        products(self.level, &self.tile, self.rows, &mut self.sums, runs);
    }

    /// The matrix, `[members, members]`, row by row.
    pub fn finish(self) -> Vec<f64> {
        let mut all = vec![0.0; self.rows * self.rows];
        gather(self.level, &self.sums, self.rows, &mut all);
        let at = |i: usize, j: usize| all[i.max(j) * self.rows + i.min(j)];
        let pairs = (0..self.members).flat_map(|i| (0..self.members).map(move |j| (i, j)));
        pairs.map(|(i, j)| at(i, j)).collect()
    }
}

levelled!(
    /// Fills the rows of a tile with members less their mean; what is behind their elements becomes zero.
    centre, centre_body, (runs: &[Run<'_>], tile: &mut [f64])
);
levelled!(
    /// Adds the inner products of the rows of a tile, in blocks on and below the diagonal of the matrix.
    products, registers products_body, (tile: &[f64], rows: usize, sums: &mut [f64], ahead: &[Run<'_>])
);
levelled!(
    /// Puts the numbers of the blocks where they belong in the matrix.
    gather, registers gather_body, (sums: &[f64], rows: usize, matrix: &mut [f64])
);
levelled!(
    /// Inner product of f64 numbers with as many elements.
    inner, inner_body, (numbers: &[f64], run: Run<'_>) -> f64
);

#[inline(always)]
fn centre_body<M: Machine>(runs: &[Run<'_>], tile: &mut [f64]) {
    let mut means = [0.0; TILE];
    let rows = tile.as_chunks_mut::<TILE>().0;
    for (run, row) in runs.iter().zip(&mut *rows) {
        let (numbers, rest) = row.split_at_mut(run.bytes.len() / run.dtype.size());
        read_body::<f64, M>(run.bytes, run.dtype, numbers);
        rest.fill(0.0);
        for i in 0..TILE {
            means[i] += row[i];
        }
    }
    let share = 1.0 / runs.len() as f64;
    means.iter_mut().for_each(|mean| *mean *= share);
    for row in rows {
        for i in 0..TILE {
            row[i] -= means[i];
        }
    }
}

/// First row and first column of each block, in the order of the sums.
#[inline(always)]
fn blocks<const COLUMNS: usize>(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let first_rows = (0..rows).step_by(ROWS);
    first_rows.flat_map(|i| (0..i + ROWS).step_by(COLUMNS).map(move |j| (i, j)))
}

#[inline(always)]
fn products_body<M: Machine, const COLUMNS: usize, const LANES: usize>(
    tile: &[f64],
    rows: usize,
    sums: &mut [f64],
    ahead: &[Run<'_>],
) {
    // While it multiplies, the next tile comes from memory: some lines of it with every block.
    let blocks_count = blocks::<COLUMNS>(rows).count();
    let lines = ahead
        .iter()
        .map(|run| run.bytes.len().div_ceil(LINE))
        .sum::<usize>();
    let mut ahead = ahead.iter().flat_map(|run| run.bytes.chunks(LINE));
    let tile = tile.as_chunks::<TILE>().0;
    let row = |index: usize| &tile[index].as_chunks::<LANES>().0[..TILE / LANES];
    let sums = sums.as_chunks_mut::<LANES>().0;
    let sums = sums.as_chunks_mut::<COLUMNS>().0.as_chunks_mut::<ROWS>().0;
    for ((i, j), sums) in blocks::<COLUMNS>(rows).zip(sums) {
        for line in ahead.by_ref().take(lines.div_ceil(blocks_count)) {
            M::prefetch(&line[0]);
        }
        let a: [_; ROWS] = std::array::from_fn(|r| row(i + r));
        let b: [_; COLUMNS] = std::array::from_fn(|c| row(j + c));
        // A copy that the compiler keeps in registers.
        let mut block = *sums;
        for at in 0..TILE / LANES {
            let a: [[f64; LANES]; ROWS] = std::array::from_fn(|r| a[r][at]);
            let b: [[f64; LANES]; COLUMNS] = std::array::from_fn(|c| b[c][at]);
            for r in 0..ROWS {
                for c in 0..COLUMNS {
                    block[r][c] = multiply_add::<M, LANES>(a[r], b[c], block[r][c]);
                }
            }
        }
        *sums = block;
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

#[expect(
    clippy::extra_unused_type_parameters,
    reason = "bodies are generic over the machine"
)]
#[inline(always)]
fn gather_body<M: Machine, const COLUMNS: usize, const LANES: usize>(
    sums: &[f64],
    rows: usize,
    matrix: &mut [f64],
) {
    let sums = sums.as_chunks::<LANES>().0;
    let sums = sums.as_chunks::<COLUMNS>().0.as_chunks::<ROWS>().0;
    for ((i, j), block) in blocks::<COLUMNS>(rows).zip(sums) {
        for (r, columns) in block.iter().enumerate() {
            for (c, lanes) in columns.iter().enumerate() {
                matrix[(i + r) * rows + j + c] = lanes.iter().sum();
            }
        }
    }
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
                for i in 0..count {
                    for j in 0..count {
                        let expected: f64 =
                            (0..length).map(|e| centred(i, e) * centred(j, e)).sum();
                        let found = gram[i * count + j];
                        assert!(
                            (found - 2.0 * expected).abs() < 1e-9,
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
