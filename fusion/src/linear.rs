//! Weighted sums.

use crate::error::Result;
use crate::kernel::{SumElement, Term, store, weighted_sum};
use crate::plan::Task;
use crate::work::{Buffers, Piece, Work};

impl<'a> Work<'a> {
    /// Adds up the sources of a piece, block by block, in f64 where it is wide.
    pub(crate) fn sum(
        &self,
        task: &Task<'_>,
        coefficients: &[f64],
        wide: bool,
        piece: Piece,
        buffers: &mut Buffers<'a>,
    ) -> Result<()> {
        // Sources with the coefficient zero take no part, whatever they hold.
        let active: Vec<usize> = (0..coefficients.len())
            .filter(|&source| coefficients[source] != 0.0)
            .collect();
        for block in self.blocks(piece) {
            for &source in &active {
                self.read(source, task, block, buffers)?;
            }
            let Buffers {
                sources,
                narrow,
                wide: wide_sums,
                out,
                ..
            } = &mut *buffers;
            let terms: Vec<Term<'_>> = active
                .iter()
                .map(|&source| Term {
                    bytes: &sources[source],
                    dtype: task.sources[source].tensor.dtype,
                    coefficient: coefficients[source],
                })
                .collect();
            match wide {
                false => self.add(task, block, &terms, narrow, out),
                true => self.add(task, block, &terms, wide_sums, out),
            }
            self.write_finite(task, block, &active, buffers)?;
        }
        Ok(())
    }

    fn add<S: SumElement>(
        &self,
        task: &Task<'_>,
        block: Piece,
        terms: &[Term<'_>],
        sums: &mut Vec<S>,
        out: &mut Vec<u8>,
    ) {
        let dtype = task.specs[0].dtype;
        out.resize(block.length * dtype.size(), 0);
        match S::in_place(out, dtype) {
            Some(out) => weighted_sum(self.level, out, terms),
            None => {
                sums.resize(block.length, S::default());
                weighted_sum(self.level, sums, terms);
                store(self.level, sums, dtype, out);
            }
        }
    }
}
