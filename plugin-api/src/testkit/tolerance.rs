//! Named tolerances, each with its reason.

/// Relative error of a sum of up to 64 products in f32, in any order and with or without fused multiply-add: about
/// `64 * 2^-24`.
pub const F32_SUM: f64 = 4e-6;

/// Relative error of rounding to bf16: `2^-8`.
pub const BF16_ROUNDING: f64 = 3.91e-3;

/// Relative error of rounding to f16: `2^-11`.
pub const F16_ROUNDING: f64 = 4.9e-4;

/// Relative error of f64 sums over a few thousand products.
pub const F64_SUM: f64 = 1e-12;

/// Error of a GPU's inner products, as a share of the sum of the products' sizes or of the squares: f32 sums of some 64
/// products, of which some 64 are added in f32 before the rest is added in f64, about `(64 + 64 + 8) * 2^-24`. GPUs may drop
/// what compensates for more, so it does not count.
pub const F32_BLOCK_SUM: f64 = 1e-5;

/// Statistics in f64 (metrics, means of losses), summed in another order or by another program.
pub const STATISTIC: f64 = 1e-12;

/// Logits and probabilities of two engines, or of two batchings: f32 matrix products of some hundred terms through a dozen
/// layers.
pub const F32_FORWARD: f64 = 1e-4;

/// Mean losses in nats of two engines: f32 forward passes, averaged over rows.
pub const F32_LOSS: f64 = 1e-5;

/// Gradients of two engines, as a share of the gradient's norm: f32 products backwards through a dozen layers.
pub const F32_GRADIENT: f64 = 1e-3;

/// A directional derivative beside central differences of an f32 loss: the loss is rounded to 24 bits and divided by a step
/// of some `1e-3`, and the loss bends within that step.
pub const FINITE_DIFFERENCE: f64 = 2e-2;

/// Whether two numbers differ by at most `tolerance`, absolute below 1 and relative above. NaN is close to nothing.
pub fn is_close(found: f64, expected: f64, tolerance: f64) -> bool {
    found == expected
        || (found - expected).abs()
            <= tolerance * found.abs().max(expected.abs()).clamp(1.0, f64::MAX)
}

/// Expects that two numbers differ by at most `tolerance`, absolute below 1 and relative above.
///
/// # Panics
/// When they do not: says what they are and how far apart.
#[track_caller]
pub fn expect(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!(
        is_close(found, expected, tolerance),
        "{what}: found {found}, expected {expected} within {tolerance:e}; they differ by {:e}",
        (found - expected).abs()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_apart_are_told_from_close_ones() {
        assert!(is_close(1.0, 1.0 + 1e-13, STATISTIC));
        assert!(!is_close(1.0, 1.0 + 1e-11, STATISTIC));
        assert!(is_close(1e6, 1e6 + 1e-7, STATISTIC));
        assert!(is_close(0.1, 0.1, 0.0) && !is_close(0.1, 0.1 + f64::EPSILON, 0.0));
    }

    #[test]
    fn nan_is_close_to_nothing() {
        assert!(!is_close(f64::NAN, f64::NAN, 1.0));
        assert!(!is_close(f64::NAN, 0.0, 1.0));
        assert!(!is_close(f64::INFINITY, 0.0, 1.0));
        assert!(is_close(f64::INFINITY, f64::INFINITY, 0.0));
    }
}
