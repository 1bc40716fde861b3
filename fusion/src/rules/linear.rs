//! The weighted sum or mean of the members.

use super::block::{blocks, expect_finite};
use super::error::{Operand, Result};
use super::options::coefficients;
use super::{Inputs, Linear, Merge, Shape};

pub(super) struct Sum {
    coefficients: Vec<f32>,
}

impl Sum {
    pub(super) fn new(options: &Linear, given: &[f64], shape: &Shape) -> Result<Self> {
        let coefficients = coefficients(&options.coefficients(given)?, shape.members)?;
        Ok(Self { coefficients })
    }
}

impl Merge for Sum {
    fn merge(&mut self, inputs: &Inputs<'_>, out: &mut [f32]) -> Result<()> {
        for block in blocks(out.len()) {
            let out = &mut out[block.clone()];
            out.fill(0.0);
            let members = inputs.members.iter().zip(&self.coefficients);
            for (index, (member, coefficient)) in members.enumerate() {
                let member = &member[block.clone()];
                expect_finite(Operand::Member(index), inputs.first + block.start, member)?;
                for (out, value) in out.iter_mut().zip(member) {
                    *out += coefficient * value;
                }
            }
        }
        Ok(())
    }
}
