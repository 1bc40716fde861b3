//! Quasi-random numbers: scrambled Sobol points in the unit cube and their normal counterparts.

use nalgebra::DMatrix;
use rayon::prelude::*;

use crate::log_space::normal_quantile;

/// Dimensions and points that one scramble of the tables has; more come from further scrambles.
const DIMENSIONS: u32 = 256;
const POINTS: u64 = 1 << 16;

/// Half a step of the tables' 24 bits: moves `[0, 1)` to the open interval.
const HALF_STEP: f64 = 1.0 / (1u64 << 25) as f64;

/// An Owen-scrambled Sobol sequence of any dimension and length; a value of its own per seed.
#[derive(Debug, Clone, Copy)]
pub struct Sobol {
    seed: u64,
}

impl Sobol {
    /// The sequence of that seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Dimension `dimension` of point `index`, in `(0, 1)`.
    ///
    /// Within 256 dimensions and 65,536 points one net; beyond, independently scrambled and shuffled nets (Burley 2020).
    #[must_use]
    pub fn number(&self, index: u64, dimension: u32) -> f64 {
        let block = (index / POINTS) as u32;
        let scramble = (self.seed as u32)
            ^ ((self.seed >> 32) as u32).rotate_left(16)
            ^ (dimension / DIMENSIONS).wrapping_mul(0x9E37_79B9)
            ^ block.wrapping_mul(0x85EB_CA6B);
        let index = (index % POINTS) as u32;
        f64::from(sobol_burley::sample(
            index,
            dimension % DIMENSIONS,
            scramble,
        )) + HALF_STEP
    }

    /// Standard normal numbers `[dimensions, count]`, one column per point, from dimension `first` on.
    #[must_use]
    pub fn normals(&self, first: u32, dimensions: usize, count: usize) -> DMatrix<f64> {
        let mut normals = DMatrix::zeros(dimensions, count);
        let columns = normals.as_mut_slice().par_chunks_mut(dimensions.max(1));
        columns.enumerate().for_each(|(column, numbers)| {
            for (row, number) in (first..).zip(numbers) {
                *number = normal_quantile(self.number(column as u64, row));
            }
        });
        normals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_inside_the_open_interval_and_stratified() {
        let sobol = Sobol::new(11);
        for dimension in [0, 7, 255, 256, 700] {
            let mut bins = [0; 16];
            for index in 0..128 {
                let number = sobol.number(index, dimension);
                assert!(number > 0.0 && number < 1.0);
                bins[(number * 16.0) as usize] += 1;
            }
            assert_eq!(bins, [8; 16], "dimension {dimension}");
        }
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one_in_every_dimension() {
        let normals = Sobol::new(3).normals(2, 300, 128);
        for row in normals.row_iter() {
            assert!(row.mean().abs() < 0.02, "{}", row.mean());
            assert!((row.variance() - 1.0).abs() < 0.12, "{}", row.variance());
        }
    }

    #[test]
    fn dimensions_of_different_blocks_are_not_the_same_numbers() {
        let normals = Sobol::new(3).normals(0, 512, 256);
        for (a, b) in [(0, 256), (1, 257), (0, 1), (255, 511)] {
            let correlation = normals.row(a).dot(&normals.row(b)) / 256.0;
            assert!(correlation.abs() < 0.25, "{a} {b}: {correlation}");
        }
    }
}
