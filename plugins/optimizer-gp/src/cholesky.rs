//! Cholesky factors of covariance matrices, with a growing jitter that is reported.

use nalgebra::DMatrix;

use crate::error::{GpError, Result};

/// `a + jitter * mean(diag a) * I = L Lᵀ`.
///
/// Rows of `L` lie contiguous in memory (as columns of its transpose): every inner loop is a dot product or a scaled sum
/// of two slices.
#[derive(Debug, Clone, Default)]
pub struct Cholesky {
    /// `Lᵀ`, `[n, n]`; below its diagonal undefined.
    transposed: DMatrix<f64>,
    /// What had to be added to the diagonal, as a share of its mean; 0 if nothing.
    pub jitter: f64,
}

/// Shares of the mean diagonal tried one after the other.
const JITTERS: [f64; 10] = [0.0, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4];

impl Cholesky {
    /// Factors a symmetric matrix `[n, n]`, reading the part on and above the diagonal.
    ///
    /// # Errors
    /// If an entry is not finite, or the matrix is indefinite beyond the largest jitter.
    pub fn factor(matrix: &DMatrix<f64>) -> Result<Self> {
        let mut factor = Self::default();
        factor.refactor(matrix)?;
        Ok(factor)
    }

    /// Replaces this factor by that of another matrix, in the same memory where the sizes are equal.
    ///
    /// # Errors
    /// As [`Cholesky::factor`]; this factor is of no use then.
    pub fn refactor(&mut self, matrix: &DMatrix<f64>) -> Result<()> {
        let n = matrix.nrows();
        let scale = if n == 0 {
            1.0
        } else {
            matrix.trace() / n as f64
        };
        if !matrix.iter().all(|entry| entry.is_finite()) {
            return Err(GpError::NotFinite {
                what: "a covariance",
            });
        }
        resize(&mut self.transposed, n);
        for jitter in JITTERS {
            if attempt(matrix, jitter * scale, &mut self.transposed) {
                self.jitter = jitter;
                return Ok(());
            }
        }
        Err(GpError::Indefinite { size: n })
    }

    /// Row `i` of `L`, up to its diagonal.
    fn row(&self, i: usize) -> &[f64] {
        &self.transposed.column_part(i, i + 1).data.into_slice()[..=i]
    }

    /// `ln det(a) / 2`.
    #[must_use]
    pub fn half_log_determinant(&self) -> f64 {
        self.transposed
            .diagonal()
            .iter()
            .map(|entry| entry.ln())
            .sum()
    }

    /// `L z` for `z` of length n.
    #[must_use]
    pub fn lower_times(&self, z: &[f64]) -> Vec<f64> {
        (0..z.len()).map(|i| dot(self.row(i), &z[..=i])).collect()
    }

    /// `L⁻¹`, `[n, n]`, zeros above its diagonal, transposed: column `i` is row `i` of `L⁻¹`.
    #[must_use]
    pub fn inverse_lower_transposed(&self) -> DMatrix<f64> {
        let mut inverse = DMatrix::default();
        self.write_inverse_lower_transposed(&mut inverse);
        inverse
    }

    /// The same into a matrix that was written so before, or is empty.
    pub(crate) fn write_inverse_lower_transposed(&self, inverse: &mut DMatrix<f64>) {
        let n = self.transposed.nrows();
        resize(inverse, n);
        for i in 0..n {
            let row = self.row(i);
            let scale = 1.0 / row[i];
            let (done, rest) = inverse.as_mut_slice().split_at_mut(i * n);
            let target = &mut rest[..n];
            target[..i].fill(0.0);
            for k in 0..i {
                add_scaled(
                    &mut target[..=k],
                    -row[k] * scale,
                    &done[k * n..k * n + k + 1],
                );
            }
            target[i] = scale;
        }
    }
}

/// Makes a matrix `[n, n]` of zeros, unless it has that size.
pub(crate) fn resize(matrix: &mut DMatrix<f64>, n: usize) {
    if matrix.shape() != (n, n) {
        *matrix = DMatrix::zeros(n, n);
    }
}

/// `a⁻¹ = L⁻ᵀ L⁻¹`, `[n, n]`, from the transposed inverse factor. Written on and above the diagonal only.
pub(crate) fn write_inverse_upper(
    inverse_lower_transposed: &DMatrix<f64>,
    inverse: &mut DMatrix<f64>,
) {
    let n = inverse_lower_transposed.nrows();
    resize(inverse, n);
    for k in 0..n {
        let row = &inverse_lower_transposed.as_slice()[k * n..k * n + k + 1];
        inverse.as_mut_slice()[k * n..k * n + k + 1].fill(0.0);
        for i in 0..=k {
            add_scaled(
                &mut inverse.as_mut_slice()[i * n..i * n + i + 1],
                row[i],
                &row[..=i],
            );
        }
    }
}

/// Whether there is a factor, which is written then.
fn attempt(matrix: &DMatrix<f64>, added: f64, transposed: &mut DMatrix<f64>) -> bool {
    let n = matrix.nrows();
    for i in 0..n {
        let (done, rest) = transposed.as_mut_slice().split_at_mut(i * n);
        let row = &mut rest[..n];
        for j in 0..i {
            let other = &done[j * n..j * n + j + 1];
            row[j] = (matrix[(j, i)] - dot(&row[..j], &other[..j])) / other[j];
        }
        let pivot = matrix[(i, i)] + added - dot(&row[..i], &row[..i]);
        // A pivot of rounding size means that the row is a combination of those before it.
        if pivot.is_nan() || pivot <= 1e-14 * matrix[(i, i)] {
            return false;
        }
        row[i] = pivot.sqrt();
    }
    true
}

/// Inner product of two slices of one length, in eight running sums (a fixed order: the result never varies).
#[must_use]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (blocks_a, rest_a) = a.as_chunks::<8>();
    let (blocks_b, rest_b) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (x, y) in blocks_a.iter().zip(blocks_b) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum();
    ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7])) + rest
}

/// `target += factor * source`, slices of one length.
pub fn add_scaled(target: &mut [f64], factor: f64, source: &[f64]) {
    for (target, source) in target.iter_mut().zip(source) {
        *target += factor * source;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covariance(n: usize) -> DMatrix<f64> {
        DMatrix::from_fn(n, n, |i, j| {
            (-0.1 * (i as f64 - j as f64).powi(2)).exp() + if i == j { 0.01 } else { 0.0 }
        })
    }

    #[test]
    fn factor_and_inverse_agree_with_nalgebra() {
        for n in [1, 2, 9, 40] {
            let a = covariance(n);
            let factor = Cholesky::factor(&a).unwrap();
            assert_eq!(factor.jitter, 0.0);
            let inverse_lower = factor.inverse_lower_transposed();
            let mut inverse = DMatrix::default();
            write_inverse_upper(&inverse_lower, &mut inverse);
            let expected = a.clone().cholesky().unwrap();
            for i in 0..n {
                for j in 0..=i {
                    assert!((factor.transposed[(j, i)] - expected.l()[(i, j)]).abs() < 1e-12);
                    assert!((inverse[(j, i)] - expected.inverse()[(j, i)]).abs() < 1e-9);
                }
            }
            let half: f64 = expected.l().diagonal().iter().map(|x| x.ln()).sum();
            assert!((factor.half_log_determinant() - half).abs() < 1e-11);
        }
    }

    #[test]
    fn a_singular_matrix_gets_a_jitter_and_says_so() {
        let factor = Cholesky::factor(&DMatrix::from_element(5, 5, 1.0)).unwrap();
        assert!(factor.jitter > 0.0);
        assert!(
            factor
                .inverse_lower_transposed()
                .iter()
                .all(|x| x.is_finite())
        );
    }

    #[test]
    fn indefinite_and_nan_are_errors() {
        let indefinite = DMatrix::from_row_slice(2, 2, &[1.0, 2.0, 2.0, 1.0]);
        assert!(matches!(
            Cholesky::factor(&indefinite),
            Err(GpError::Indefinite { size: 2 })
        ));
        let nan = DMatrix::from_element(1, 1, f64::NAN);
        assert!(matches!(
            Cholesky::factor(&nan),
            Err(GpError::NotFinite { .. })
        ));
    }
}
