//! Normal tails and smooth positive parts, accurate where plain formulas under- or overflow.
//!
//! Every logarithm of an improvement in this crate is taken here. The tests hold each function to
//! `|z| = 1e6`: finite, monotone, derivative against finite differences.

mod fat;
mod normal;

pub use fat::{TAU_MAX, TAU_MIN, TAU_RELU, fat_length, fat_maximum, fat_positive_part};
pub use normal::{
    LN_SQRT_2PI, log_expected_improvement, log_normal_cdf, log_normal_interval, mills_ratio,
    normal_cdf, normal_pdf, normal_quantile,
};

/// The points of the house rule for the far tail, both signs, and a few ordinary ones.
#[cfg(test)]
const TAIL: [f64; 13] = [
    -1e6, -1e3, -40.0, -15.0, -5.0, -1.0, -0.3, 0.0, 0.7, 5.0, 40.0, 1e3, 1e6,
];
