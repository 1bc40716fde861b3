//! The weighted sum or mean of the members.

use super::block::{blocks, expect_finite};
use super::error::{Operand, Result, RuleError};
use super::{Inputs, Linear};

pub(super) fn merge(options: &Linear, inputs: &Inputs<'_>, out: &mut [f32]) -> Result<()> {
    let coefficients = options.coefficients.coefficients(inputs.members.len())?;
    let sum: f32 = coefficients.iter().sum();
    if options.normalize && sum == 0.0 {
        return Err(RuleError::CoefficientSum { found: sum });
    }
    let divisor = if options.normalize { sum } else { 1.0 };
    for block in blocks(out.len()) {
        let out = &mut out[block.clone()];
        out.fill(0.0);
        for (index, (member, coefficient)) in inputs.members.iter().zip(&coefficients).enumerate() {
            let member = &member[block.clone()];
            expect_finite(Operand::Member(index), inputs.first + block.start, member)?;
            for (out, value) in out.iter_mut().zip(member) {
                *out += coefficient * value;
            }
        }
        for out in out {
            *out /= divisor;
        }
    }
    Ok(())
}
