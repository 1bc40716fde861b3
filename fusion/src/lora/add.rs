//! Products of factors, added to the tensors of a model row by row.

use crate::dtype::Dtype;
use crate::error::Result;
use crate::kernel::{SumElement, Term, read, store, weighted_sum};
use crate::plan::Task;
use crate::work::{Buffers, Piece, Work};

/// How a tensor of the base is changed.
#[derive(Debug)]
pub(crate) struct AddProducts {
    pub(super) products: Vec<Product>,
    /// Elements per row: all axes but the first.
    pub(super) row: usize,
    pub(super) wide: bool,
}

/// What one adapter adds. Its factors are sources `2 i + 1` and `2 i + 2`, behind the base's tensor.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) coefficient: f64,
    pub(super) rank: usize,
    /// Whether the weights lie `[inputs, outputs]`.
    pub(super) is_transposed: bool,
}

/// Factors of a product, as rows of the result need them.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// `[rows, rank]`.
    left: Vec<f64>,
    /// `[rank, row]`, as stored.
    right: Vec<u8>,
    dtype: Dtype,
}

impl AddProducts {
    /// Most bytes that the factors take.
    pub(crate) fn bytes(&self, task: &Task<'_>) -> usize {
        let factors = task.sources[1..].iter();
        let elements: usize = factors.map(|source| source.tensor.elements()).sum();
        // As numbers, as stored, and what is read.
        elements * 3 * size_of::<f64>()
    }
}

impl<'a> Work<'a> {
    /// Adds products to a piece of a tensor of the base.
    pub(crate) fn add_products(
        &self,
        task: &Task<'_>,
        add: &AddProducts,
        piece: Piece,
        buffers: &mut Buffers<'a>,
    ) -> Result<()> {
        // A thread takes most pieces of a tensor one behind the other.
        if buffers.loaded.0 != Some(piece.task) {
            buffers.loaded.0 = None;
            buffers.loaded.1 = self.load(task, add, buffers)?;
            buffers.loaded.0 = Some(piece.task);
        }
        for block in self.blocks(piece) {
            self.read(0, task, block, buffers)?;
            let (mut narrow, mut wide) = (
                std::mem::take(&mut buffers.narrow),
                std::mem::take(&mut buffers.wide),
            );
            match add.wide {
                false => self.add_rows(task, add, block, &mut narrow, buffers),
                true => self.add_rows(task, add, block, &mut wide, buffers),
            }
            (buffers.narrow, buffers.wide) = (narrow, wide);
            self.write_finite(task, block, &[0], buffers)?;
        }
        Ok(())
    }

    fn add_rows<S: SumElement>(
        &self,
        task: &Task<'_>,
        add: &AddProducts,
        block: Piece,
        sums: &mut Vec<S>,
        buffers: &mut Buffers<'a>,
    ) {
        let base = task.sources[0].tensor.dtype;
        let bytes = &buffers.sources[0];
        sums.resize(block.length, S::default());
        let mut terms = Vec::new();
        let mut start = 0;
        while start < block.length {
            let (row, column) = (
                (block.start + start) / add.row,
                (block.start + start) % add.row,
            );
            let end = block.length.min(start + add.row - column);
            let part = |first: usize, dtype: Dtype| {
                first * dtype.size()..(first + end - start) * dtype.size()
            };
            terms.clear();
            terms.push(Term {
                bytes: &bytes[part(start, base)],
                dtype: base,
                coefficient: 1.0,
            });
            for (product, loaded) in add.products.iter().zip(&buffers.loaded.1) {
                for k in 0..product.rank {
                    let coefficient = product.coefficient * loaded.left[row * product.rank + k];
                    if coefficient != 0.0 {
                        let range = part(k * add.row + column, loaded.dtype);
                        terms.push(Term {
                            bytes: &loaded.right[range],
                            dtype: loaded.dtype,
                            coefficient,
                        });
                    }
                }
            }
            weighted_sum(self.level, &mut sums[start..end], &terms);
            start = end;
        }
        let dtype = task.specs[0].dtype;
        buffers.out.resize(block.length * dtype.size(), 0);
        store(self.level, sums, dtype, &mut buffers.out);
    }

    fn load(
        &self,
        task: &Task<'_>,
        add: &AddProducts,
        buffers: &mut Buffers<'a>,
    ) -> Result<Vec<Loaded>> {
        let products = add.products.iter().enumerate();
        let loaded = products.map(|(number, product)| {
            let (a, b) = (2 * number + 1, 2 * number + 2);
            let (left, right) = match product.is_transposed {
                false => (b, a),
                true => (a, b),
            };
            let mut numbers = self.read_whole(task, left, buffers)?;
            // Also says where the other factor is not finite.
            self.read_whole(task, right, buffers)?;
            let dtype = task.sources[right].tensor.dtype;
            let mut stored = buffers.sources[right].to_vec();
            if product.is_transposed {
                numbers = transposed(&numbers, product.rank, 1);
                stored = transposed(
                    &stored,
                    stored.len() / product.rank / dtype.size(),
                    dtype.size(),
                );
            }
            Ok(Loaded {
                left: numbers,
                right: stored,
                dtype,
            })
        });
        loaded.collect()
    }

    /// All numbers of a source, which also stay as they are stored in its buffer.
    pub(crate) fn read_whole(
        &self,
        task: &Task<'_>,
        source: usize,
        buffers: &mut Buffers<'a>,
    ) -> Result<Vec<f64>> {
        let tensor = task.sources[source].tensor;
        let whole = Piece {
            task: 0,
            start: 0,
            length: tensor.elements(),
        };
        self.read(source, task, whole, buffers)?;
        let mut numbers = vec![0f64; tensor.elements()];
        read(
            self.level,
            &buffers.sources[source],
            tensor.dtype,
            &mut numbers,
        );
        match numbers.iter().position(|number| !number.is_finite()) {
            Some(at) => Err(self.not_finite(task, source, at, numbers[at])),
            None => Ok(numbers),
        }
    }
}

/// The transpose of a row-major matrix of so many rows, whose elements have `size` parts.
fn transposed<T: Copy>(matrix: &[T], rows: usize, size: usize) -> Vec<T> {
    let columns = matrix.len() / rows / size;
    let places = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
    let elements = places.flat_map(|place| &matrix[place * size..(place + 1) * size]);
    elements.copied().collect()
}
