//! Normal tails and smooth positive parts, accurate where plain formulas under- or overflow.
//!
//! Every logarithm of an improvement in this crate is taken here. The tests hold each function to
//! `|z| = 1e6`: finite, monotone, derivative against finite differences.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// `ln(sqrt(2 pi))`.
pub const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_8;

/// `1 / sqrt(2 pi)`.
const INV_SQRT_2PI: f64 = 0.398_942_280_401_432_7;

/// Below this many standard deviations the asymptotic series is exact to rounding.
const ASYMPTOTIC_FROM: f64 = 15.0;

/// Density of the standard normal at `z`.
#[must_use]
pub fn normal_pdf(z: f64) -> f64 {
    INV_SQRT_2PI * (-0.5 * z * z).exp()
}

/// Distribution function of the standard normal at `z`, full relative precision in the lower tail
/// down to `z = -37`.
#[must_use]
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// Mills' ratio `(1 - cdf(x)) / pdf(x)` for `x >= 0`; finite for every finite `x`, in `(0, 1.2534]`.
#[must_use]
pub fn mills_ratio(x: f64) -> f64 {
    debug_assert!(x >= 0.0);
    if x < 5.0 {
        return (0.5 * PI).sqrt() * (0.5 * x * x).exp() * libm::erfc(x * FRAC_1_SQRT_2);
    }
    // Laplace's continued fraction 1/(x + 1/(x + 2/(x + ...))); 60 terms reach rounding at x = 5.
    let mut tail = x;
    for term in (1..=60).rev() {
        tail = x + f64::from(term) / tail;
    }
    1.0 / tail
}

/// `1 - x * mills_ratio(x)` for `x >= 1`, without the cancellation at large `x`.
fn one_minus_x_mills(x: f64) -> f64 {
    if x < ASYMPTOTIC_FROM {
        return 1.0 - x * mills_ratio(x);
    }
    // sum_k (-1)^k (2k+1)!! / x^(2k+2); the terms fall until 2k + 3 = x^2 > 225.
    let inverse_square = 1.0 / (x * x);
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..=20 {
        term *= -f64::from(2 * k + 1) * inverse_square;
        sum += term;
    }
    sum * inverse_square
}

/// `ln(pdf(z) + z cdf(z))` and its derivative: the logarithm of the expected improvement of a
/// standard normal over `-z` (Ament et al. 2023, equation 9).
///
/// Finite and increasing for every finite `z`; the derivative is positive.
#[must_use]
pub fn log_expected_improvement(z: f64) -> (f64, f64) {
    if z > -1.0 {
        let cdf = normal_cdf(z);
        let improvement = normal_pdf(z) + z * cdf;
        return (improvement.ln(), cdf / improvement);
    }
    let x = -z;
    let rest = one_minus_x_mills(x);
    (
        -0.5 * x * x - LN_SQRT_2PI + rest.ln(),
        mills_ratio(x) / rest,
    )
}

/// Quantile of the standard normal at `probability`, which must lie strictly between 0 and 1.
///
/// A rational start (Abramowitz & Stegun 26.2.23) and three Halley steps: relative error 1e-14.
///
/// # Panics
/// If `probability` is not inside `(0, 1)`.
#[must_use]
pub fn normal_quantile(probability: f64) -> f64 {
    assert!(
        probability > 0.0 && probability < 1.0,
        "a quantile needs a probability in (0, 1)"
    );
    // Work in the lower half, where the distribution function has full relative precision.
    let tail = probability.min(1.0 - probability);
    let t = (-2.0 * tail.ln()).sqrt();
    let start = t
        - (2.515_517 + t * (0.802_853 + t * 0.010_328))
            / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    let mut z = -start;
    for _ in 0..3 {
        let excess = (normal_cdf(z) - tail) / normal_pdf(z);
        z -= excess / (1.0 + 0.5 * z * excess);
    }
    if probability < 0.5 { z } else { -z }
}

/// A smooth, positive, increasing stand-in for `max(x, 0)` with the slow tail `width² / |x|`.
///
/// `(x + sqrt(x² + 4 width²)) / 2`: unlike softplus it needs one root and no exponential, and it
/// stays far from underflow, so that products over objectives and sums over boxes may be taken
/// before the logarithm. Returns the value and `s = sqrt(x² + 4 width²)`; the derivative is
/// `value / s`.
#[inline]
#[must_use]
pub fn fat_positive_part(x: f64, width: f64) -> (f64, f64) {
    let square = 4.0 * width * width;
    let root = (x * x + square).sqrt();
    (x.max(0.0) + 0.5 * square / (root + x.abs()), root)
}

/// Exact-to-rounding `fat_positive_part(y - lower) - fat_positive_part(y - upper)` and its
/// derivative in `y`: the smoothed overlap of `(-inf, y]` with `[lower, upper]`.
///
/// Sums over adjacent intervals telescope, so the smoothed volume of a region does not depend on how
/// it was cut into boxes. `upper` may be infinite.
#[inline]
#[must_use]
pub fn fat_overlap(y: f64, lower: f64, upper: f64, width: f64) -> (f64, f64) {
    let (from_lower, root_lower) = fat_positive_part(y - lower, width);
    if upper == f64::INFINITY {
        return (from_lower, from_lower / root_lower);
    }
    let (from_upper, root_upper) = fat_positive_part(y - upper, width);
    // h(a) - h(b) = (a - b)(h(a) + h(b)) / (s(a) + s(b)): no cancellation in the tail.
    let length = (upper - lower) * (from_lower + from_upper) / (root_lower + root_upper);
    (length, from_lower / root_lower - from_upper / root_upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The points of the house rule for the far tail, both signs, and a few ordinary ones.
    const TAIL: [f64; 13] = [
        -1e6, -1e3, -40.0, -15.0, -5.0, -1.0, -0.3, 0.0, 0.7, 5.0, 40.0, 1e3, 1e6,
    ];

    #[test]
    fn log_expected_improvement_is_finite_and_increasing_to_a_million_deviations() {
        let mut last = f64::NEG_INFINITY;
        for z in TAIL {
            let (value, slope) = log_expected_improvement(z);
            assert!(
                value.is_finite() && slope.is_finite() && slope > 0.0,
                "z = {z}"
            );
            assert!(value > last, "z = {z}: {value} after {last}");
            last = value;
        }
    }

    #[test]
    fn log_expected_improvement_agrees_with_known_values() {
        // mpmath 1.3: log(npdf(z) + z*ncdf(z)) erfc form, 60 digits.
        for (z, expected) in [
            (0.0, -0.918_938_533_204_672_8),
            (-1.0, -2.485_121_025_712_641_3),
            (-5.0, -16.744_301_162_660_99),
            (-40.0, -808.298_568_356_62),
            (-1000.0, -500_014.734_452_091_16),
        ] {
            let (value, _) = log_expected_improvement(z);
            assert!(
                (value - expected).abs() <= 1e-12 * expected.abs(),
                "z = {z}: {value}"
            );
        }
    }

    #[test]
    fn log_expected_improvement_slope_matches_finite_differences() {
        for z in TAIL {
            let step = 1e-5 * z.abs().max(1.0);
            let (above, _) = log_expected_improvement(z + step);
            let (below, _) = log_expected_improvement(z - step);
            let (_, slope) = log_expected_improvement(z);
            let numeric = (above - below) / (2.0 * step);
            // The difference of two numbers near z²/2 loses digits as |z| grows.
            assert!(
                (slope - numeric).abs() <= 1e-5 * slope.abs().max(1.0 / z.abs().max(1.0)),
                "z = {z}: {slope} {numeric}"
            );
        }
    }

    #[test]
    fn the_two_branches_meet() {
        for (left, right) in [(-1.0 - 1e-12, -1.0 + 1e-12), (-15.0 - 1e-12, -15.0 + 1e-12)] {
            let (a, slope_a) = log_expected_improvement(left);
            let (b, slope_b) = log_expected_improvement(right);
            assert!((a - b).abs() < 1e-9 && (slope_a - slope_b).abs() < 1e-9 * slope_a);
        }
        assert!((mills_ratio(5.0 - 1e-13) - mills_ratio(5.0)).abs() < 1e-13);
    }

    #[test]
    fn quantile_inverts_the_distribution_function() {
        for z in [-8.0, -5.0, -2.0, -0.1, 0.0, 0.1, 1.0, 3.0, 5.0] {
            let back = normal_quantile(normal_cdf(z));
            assert!((back - z).abs() < 1e-9, "z = {z}: {back}");
        }
        assert!((normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-13);
    }

    #[test]
    fn fat_positive_part_is_positive_and_increasing_in_the_far_tail() {
        let mut last = 0.0;
        for x in TAIL {
            let (value, _) = fat_positive_part(x, 1e-6);
            assert!(value > last, "x = {x}");
            last = value;
        }
        assert!((fat_positive_part(2.0, 1e-6).0 - 2.0).abs() < 1e-11);
    }

    #[test]
    fn overlaps_of_adjacent_intervals_add_up() {
        for y in [-30.0, -1.0, 0.2, 0.5, 3.0] {
            let (whole, slope) = fat_overlap(y, 0.0, f64::INFINITY, 1e-3);
            let parts = [(0.0, 0.25), (0.25, 1.0), (1.0, f64::INFINITY)]
                .map(|(lower, upper)| fat_overlap(y, lower, upper, 1e-3));
            let sum: f64 = parts.iter().map(|part| part.0).sum();
            let slopes: f64 = parts.iter().map(|part| part.1).sum();
            assert!((whole - sum).abs() <= 1e-13 * whole, "y = {y}");
            assert!((slope - slopes).abs() <= 1e-12 * slope.max(1e-6), "y = {y}");
        }
    }

    #[test]
    fn overlap_slope_matches_finite_differences() {
        for y in [-0.9, -0.01, 0.0, 0.3, 0.999, 1.5] {
            let step = 1e-6;
            let numeric = (fat_overlap(y + step, 0.0, 1.0, 0.05).0
                - fat_overlap(y - step, 0.0, 1.0, 0.05).0)
                / (2.0 * step);
            assert!(
                (fat_overlap(y, 0.0, 1.0, 0.05).1 - numeric).abs() < 1e-7,
                "y = {y}"
            );
        }
    }
}
