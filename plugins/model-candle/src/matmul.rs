//! Matrix products through `gemm`, split over a thread pool by rows.
#![expect(
    unsafe_code,
    reason = "gemm takes raw pointers; shapes are checked here first"
)]

use gemm::Parallelism;
use rayon::prelude::*;

/// A row-major matrix, or the transpose of one, within a slice.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` rows of `columns` numbers, `stride` apart.
    ///
    /// # Panics
    /// When the slice is too short.
    pub fn new(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(rows == 0 || columns == 0 || data.len() >= (rows - 1) * stride + columns);
        Self {
            data,
            rows,
            columns,
            row_stride: stride,
            column_stride: 1,
        }
    }

    /// Its transpose; nothing is moved.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn rows_from(self, row: usize, rows: usize) -> Self {
        Self {
            data: &self.data[row * self.row_stride..],
            rows,
            ..self
        }
    }
}

/// `out = scale * a b`, or `out += scale * a b` with `add`. `out` has rows `stride` apart.
///
/// # Panics
/// When shapes do not fit.
pub fn multiply(
    out: &mut [f32],
    stride: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    scale: f32,
    add: bool,
) {
    assert_eq!(a.columns, b.rows);
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    assert!(out.len() >= (a.rows - 1) * stride + b.columns && stride >= b.columns);
    // SAFETY: all three pointers cover their matrices: asserted above for `out`, and when `a` and `b` were made; `out` is
    // borrowed exclusively, so it overlaps neither.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            stride as isize,
            add,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `gemm` takes another way for very few rows or columns, which rounds otherwise.
const FEWEST_ROWS: usize = 16;
const FEWEST_COLUMNS: usize = 16;

/// `out = a b (+ out)`, the rows split evenly over the current thread pool. `out` is `[rows, columns]`, dense.
///
/// Each row of the result depends on its own row of `a` alone, bit by bit: how many rows there are, and which thread has
/// them, changes nothing.
///
/// # Panics
/// When shapes do not fit.
pub fn multiply_rows(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, add: bool) {
    let (rows, columns) = (a.rows, b.columns);
    assert_eq!(out.len(), rows * columns);
    if rows == 0 || columns == 0 {
        return;
    }
    let share = rows
        .div_ceil(rayon::current_num_threads())
        .next_multiple_of(FEWEST_ROWS);
    out.par_chunks_mut(share * columns)
        .enumerate()
        .for_each(|(index, out)| {
            let part = a.rows_from(index * share, out.len() / columns);
            if columns < FEWEST_COLUMNS {
                multiply_narrow(out, part, b, add);
            } else if part.rows >= FEWEST_ROWS {
                multiply(out, columns, part, b, 1.0, add);
            } else {
                multiply_few(out, part, b, add);
            }
        });
}

/// Few columns, as a classifier has: element by element.
fn multiply_narrow(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, add: bool) {
    for row in 0..a.rows {
        for column in 0..b.columns {
            let terms = (0..a.columns).map(|i| {
                a.data[row * a.row_stride + i * a.column_stride]
                    * b.data[i * b.row_stride + column * b.column_stride]
            });
            let out = &mut out[row * b.columns + column];
            *out = terms.sum::<f32>() + if add { *out } else { 0.0 };
        }
    }
}

/// Fewer rows than `gemm` treats as the others: zeros make up for them.
fn multiply_few(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, add: bool) {
    let (rows, columns) = (a.rows, b.columns);
    let mut padded = vec![0.0; FEWEST_ROWS * a.columns];
    for row in 0..rows {
        for column in 0..a.columns {
            padded[row * a.columns + column] =
                a.data[row * a.row_stride + column * a.column_stride];
        }
    }
    let mut room = vec![0.0; FEWEST_ROWS * columns];
    room[..rows * columns].copy_from_slice(out);
    let padded = Matrix::new(&padded, FEWEST_ROWS, a.columns, a.columns);
    multiply(&mut room, columns, padded, b, 1.0, add);
    out.copy_from_slice(&room[..rows * columns]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn products_are_right_in_all_orientations() {
        let (m, k, n) = (5, 7, 3);
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let at = |i: usize, j: usize| -> f32 { (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum() };
        let transpose = |x: &[f32], rows: usize, columns: usize| -> Vec<f32> {
            (0..columns)
                .flat_map(|j| (0..rows).map(move |i| (i, j)))
                .map(|(i, j)| x[i * columns + j])
                .collect()
        };
        let (at_, bt) = (transpose(&a, m, k), transpose(&b, k, n));
        let left = [
            Matrix::new(&a, m, k, k),
            Matrix::new(&at_, k, m, m).transposed(),
        ];
        let right = [
            Matrix::new(&b, k, n, n),
            Matrix::new(&bt, n, k, k).transposed(),
        ];
        for a in left {
            for b in right {
                let mut out = vec![1.0; m * n];
                multiply_rows(&mut out, a, b, true);
                for i in 0..m {
                    for j in 0..n {
                        assert!((out[i * n + j] - 1.0 - at(i, j)).abs() < 1e-5);
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_others_nor_on_the_threads() {
        let (k, n) = (384, 96);
        for (k, n) in [(k, n), (1536, 40), (32, 2), (7, 1)] {
            let (a, b) = (numbers(700 * k, 3), numbers(n * k, 4));
            let b = Matrix::new(&b, n, k, k).transposed();
            let run = |threads: usize, rows: usize| {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                let mut out = vec![0.0; rows * n];
                pool.install(|| multiply_rows(&mut out, Matrix::new(&a, rows, k, k), b, false));
                out
            };
            let whole = run(1, 700);
            for threads in [1, 2, 3] {
                for rows in [1, 2, 5, 15, 16, 17, 31, 100, 257, 513, 700] {
                    let part = run(threads, rows);
                    assert!(
                        part == whole[..rows * n],
                        "{threads} threads, {rows} rows, {k} x {n}"
                    );
                }
            }
        }
    }
}
