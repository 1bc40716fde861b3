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
