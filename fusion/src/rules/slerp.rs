//! Spherical linear interpolation (Shoemake 1985) between two tensors as vectors.

use super::block::{blocks, dot, expect_finite};
use super::error::{Result, RuleError};
use super::options::finite;
use super::{Inputs, Merge, Shape, Slerp};

/// Vectors whose cosine is beyond this in magnitude are interpolated on a straight line (mergekit's `dot_threshold`).
const STRAIGHT: f64 = 0.9995;

/// Vectors shorter than this are not divided by their length (mergekit's `eps`).
const SHORTEST: f64 = 1e-8;

/// The arc from one vector to another.
pub(super) struct Arc {
    t: f64,
    /// Inner products: of the first vector with itself, of the second, of both.
    products: [f64; 3],
    /// What the two are multiplied by; known after a look.
    shares: Option<[f32; 2]>,
}

impl Arc {
    pub(super) fn new(options: &Slerp, shape: &Shape) -> Result<Self> {
        let found = shape.members + usize::from(shape.has_base);
        if found != 2 {
            return Err(RuleError::ModelCount {
                rule: "slerp",
                found,
                expected: "2, the base included",
            });
        }
        Ok(Self {
            t: finite("t", options.t)?,
            products: [0.0; 3],
            shares: None,
        })
    }
}

impl Merge for Arc {
    fn looks(&self) -> usize {
        usize::from(self.shares.is_none())
    }

    fn look(&mut self, inputs: &Inputs<'_>) -> Result<()> {
        let ends = inputs.operands();
        for block in blocks(inputs.elements()) {
            for (operand, values) in &ends {
                expect_finite(*operand, inputs.first + block.start, &values[block.clone()])?;
            }
            let (a, b) = (&ends[0].1[block.clone()], &ends[1].1[block]);
            for (sum, product) in self
                .products
                .iter_mut()
                .zip([dot(a, a), dot(b, b), dot(a, b)])
            {
                *sum += product;
            }
        }
        Ok(())
    }

    fn turn(&mut self) {
        self.shares = Some(shares(self.t, cosine(self.products)));
    }

    fn merge(&mut self, inputs: &Inputs<'_>, out: &mut [f32]) -> Result<()> {
        let ends = inputs.operands();
        let [share_from, share_to] = self.shares.expect("it has looked before it merges");
        for ((out, from), to) in out.iter_mut().zip(ends[0].1).zip(ends[1].1) {
            *out = share_from * from + share_to * to;
        }
        Ok(())
    }
}

/// The cosine of the angle between two vectors. One next to zero length counts as a part of a vector of length 1.
fn cosine([aa, bb, ab]: [f64; 3]) -> f64 {
    let length = |square: f64| {
        if square.sqrt() > SHORTEST {
            square.sqrt()
        } else {
            1.0
        }
    };
    (ab / length(aa) / length(bb)).clamp(-1.0, 1.0)
}

/// What the two vectors are multiplied by.
fn shares(t: f64, cosine: f64) -> [f32; 2] {
    if cosine.abs() > STRAIGHT {
        return [(1.0 - t) as f32, t as f32];
    }
    let angle = cosine.acos();
    let share = |t: f64| ((t * angle).sin() / angle.sin()) as f32;
    [share(1.0 - t), share(t)]
}
