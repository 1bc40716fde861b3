//! Merge rules over tensors on disk: as many passes over the blocks of a tensor as the rule wants.

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::kernel::{read, store};
use crate::plan::Task;
use crate::rules::{Inputs, Operand, Rule, RuleError, Shape};
use crate::work::{Buffers, Piece, Work};

impl<'a> Work<'a> {
    /// Merges a piece. The sources are those of the members, and behind them that of the base.
    pub(crate) fn merge(
        &self,
        task: &Task<'_>,
        (rule, coefficients, shape): (&Rule, &[f64], &Shape),
        piece: Piece,
        buffers: &mut Buffers<'a>,
    ) -> Result<()> {
        let fault = |error| self.rule_fault(task, shape, error);
        let mut merge = rule.begin(coefficients, shape).map_err(fault)?;
        // What fits into one block is read once.
        let mut is_read = false;
        loop {
            let is_last = merge.looks() == 0;
            for block in self.blocks(piece) {
                if !is_read {
                    self.read_floats(task, block, buffers)?;
                    is_read = block.length == piece.length;
                }
                let floats: Vec<&[f32]> = buffers.floats.iter().map(Vec::as_slice).collect();
                let (members, base) = floats[..task.sources.len()].split_at(shape.members);
                let inputs = Inputs {
                    base: base.first().copied(),
                    members,
                    first: block.start,
                };
                if !is_last {
                    merge.look(&inputs).map_err(fault)?;
                    continue;
                }
                buffers.narrow.resize(block.length, 0.0);
                merge.merge(&inputs, &mut buffers.narrow).map_err(fault)?;
                let dtype = task.specs[0].dtype;
                buffers.out.resize(block.length * dtype.size(), 0);
                store(self.level, &buffers.narrow, dtype, &mut buffers.out);
                self.write_finite(task, block, &[], buffers)?;
            }
            if is_last {
                return Ok(());
            }
            merge.turn();
        }
    }

    fn read_floats(&self, task: &Task<'_>, block: Piece, buffers: &mut Buffers<'a>) -> Result<()> {
        buffers.floats.resize(task.sources.len(), Vec::new());
        for (number, source) in task.sources.iter().enumerate() {
            self.read(number, task, block, buffers)?;
            let floats = &mut buffers.floats[number];
            floats.resize(block.length, 0.0);
            read(
                self.level,
                &buffers.sources[number],
                source.tensor.dtype,
                floats,
            );
        }
        Ok(())
    }

    fn rule_fault(&self, task: &Task<'_>, shape: &Shape, error: RuleError) -> Error {
        match error {
            RuleError::NotFinite {
                tensor,
                element,
                found,
            } => {
                let source = match tensor {
                    Operand::Member(number) => number,
                    Operand::Base => shape.members,
                };
                if found.is_infinite() && task.sources[source].tensor.dtype == Dtype::F64 {
                    let what = "found a number that f32 does not hold, expected smaller ones: merge rules compute in f32";
                    return Error::input(
                        "fuse::range",
                        self.path(task, source),
                        format!("{}: {what}", task.place()),
                    );
                }
                self.not_finite(task, source, element, f64::from(found))
            }
            other => Error::input("fuse::method", task.place(), other),
        }
    }
}
