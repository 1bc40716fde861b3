//! Spherical linear interpolation (Shoemake 1985) between two tensors as vectors.

use super::block::{blocks, dot, expect_finite};
use super::error::{Operand, Result, RuleError};
use super::options::finite;
use super::{Inputs, Slerp};

/// Vectors whose cosine is beyond this in magnitude are interpolated on a straight line (mergekit's `dot_threshold`).
const STRAIGHT: f64 = 0.9995;

/// Vectors shorter than this are not divided by their length (mergekit's `eps`).
const SHORTEST: f64 = 1e-8;

pub(super) fn merge(options: &Slerp, inputs: &Inputs<'_>, out: &mut [f32]) -> Result<()> {
    let t = finite("t", options.t)?;
    let models = inputs.operands();
    let &[from, to] = models.as_slice() else {
        return Err(RuleError::ModelCount {
            rule: "slerp",
            found: models.len(),
            expected: "2, the base included",
        });
    };
    let (share_from, share_to) = shares(t, cosine(from, to, inputs.first)?);
    for ((out, from), to) in out.iter_mut().zip(from.1).zip(to.1) {
        *out = share_from * from + share_to * to;
    }
    Ok(())
}

/// The cosine of the angle between two vectors. One next to zero length counts as a part of a vector of length 1.
fn cosine(a: (Operand, &[f32]), b: (Operand, &[f32]), first: usize) -> Result<f64> {
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for block in blocks(a.1.len()) {
        let (x, y) = (&a.1[block.clone()], &b.1[block.clone()]);
        expect_finite(a.0, first + block.start, x)?;
        expect_finite(b.0, first + block.start, y)?;
        aa += dot(x, x);
        bb += dot(y, y);
        ab += dot(x, y);
    }
    let length = |square: f64| {
        if square.sqrt() > SHORTEST {
            square.sqrt()
        } else {
            1.0
        }
    };
    Ok((ab / length(aa) / length(bb)).clamp(-1.0, 1.0))
}

/// What the two vectors are multiplied by.
fn shares(t: f64, cosine: f64) -> (f32, f32) {
    if cosine.abs() > STRAIGHT {
        return ((1.0 - t) as f32, t as f32);
    }
    let angle = cosine.acos();
    let share = |t: f64| ((t * angle).sin() / angle.sin()) as f32;
    (share(1.0 - t), share(t))
}
