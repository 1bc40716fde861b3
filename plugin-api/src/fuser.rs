//! Fusers: weights from members and coefficients.

use crate::error::{PluginError, Result};
use crate::tensor::{Member, Tensor, TensorMut};

/// Opens sessions that fuse a fixed set of members again and again.
pub trait Fuser: Send + 'static {
    /// Takes the members over: they stay where they are (a mapped file) or are brought where the work is done (a GPU),
    /// once. `groups[t]` is the row of coefficients that tensor `t` uses; empty: all tensors use row 0.
    ///
    /// # Errors
    /// When there is no member, when names, order or shapes of tensors differ between members (names the first
    /// difference), when a type cannot be fused, or when memory does not suffice.
    fn open(&self, members: Vec<Member>, groups: Vec<usize>) -> Result<Box<dyn FuserSession>>;
}

/// A set of members ready to be fused; only coefficients travel between calls.
///
/// `Send`, not `Sync`: called from one thread at a time.
pub trait FuserSession: Send {
    /// `out[t] = sum_m coefficients[group(t), m] * member[m][t]`, accumulated in f32 or wider.
    ///
    /// `coefficients` is row-major `[groups, members]`, any finite numbers (landscapes leave the simplex). `out` has one
    /// entry per tensor, in the members' order, same shapes; its element types say what to store.
    ///
    /// # Errors
    /// When a length, shape or type does not fit, or a coefficient is not finite.
    fn fuse(&mut self, coefficients: &[f64], out: &mut [TensorMut<'_>]) -> Result<()>;

    /// The Gram matrix of the centred members, row-major `[members, members]`: entry `(i, j)` is
    /// `<w_i - mean(w), w_j - mean(w)>` over all tensors, with f64 sums (from raw f32 sums most digits would cancel:
    /// checkpoints of one run are nearly identical).
    ///
    /// # Errors
    /// When the fuser cannot do it.
    fn gram(&mut self) -> Result<Vec<f64>> {
        Err(PluginError::unsupported(
            "this fuser computes no gram matrix",
        ))
    }

    /// `[members]`: the inner product of each member with a gradient of the same tensors, with f64 sums.
    ///
    /// # Errors
    /// When the fuser cannot do it, or names, order or shapes differ from the members'.
    fn project(&mut self, gradient: &[Tensor]) -> Result<Vec<f64>> {
        let _ = gradient;
        Err(PluginError::unsupported("this fuser projects no gradient"))
    }
}
