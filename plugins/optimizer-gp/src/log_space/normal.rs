//! The normal distribution's tails and logarithms.

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
/// A rational start (Abramowitz & Stegun 26.2.23) and two Halley steps, each of which cubes
/// the error: 4.5e-4, 1e-9, rounding.
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
    for _ in 0..2 {
        let excess = (normal_cdf(z) - tail) / normal_pdf(z);
        z -= excess / (1.0 + 0.5 * z * excess);
    }
    if probability < 0.5 { z } else { -z }
}

/// `ln cdf(z)` of the standard normal and its derivative `pdf(z) / cdf(z)`.
#[must_use]
pub fn log_normal_cdf(z: f64) -> (f64, f64) {
    if z > -1.0 {
        let cdf = normal_cdf(z);
        return ((-normal_cdf(-z)).ln_1p(), normal_pdf(z) / cdf);
    }
    let mills = mills_ratio(-z);
    (-0.5 * z * z - LN_SQRT_2PI + mills.ln(), 1.0 / mills)
}

/// `ln (cdf(low + width) - cdf(low))` of the standard normal, and its derivatives in the lower and in the upper end.
///
/// `width` is positive; it is given in place of the upper end because far out the sum would lose it.
#[must_use]
pub fn log_normal_interval(low: f64, width: f64) -> (f64, f64, f64) {
    if low + 0.5 * width <= 0.0 {
        return log_interval_of_lower_half(low, width);
    }
    // The mirror image lies in the lower half, where the distribution function has full relative precision.
    let (value, by_low, by_high) = log_interval_of_lower_half(-(low + width), width);
    (value, -by_high, -by_low)
}

/// `cdf(high) (1 - q)` with `q = cdf(low) / cdf(high)`, whose logarithm is found without the difference of two squares.
fn log_interval_of_lower_half(low: f64, width: f64) -> (f64, f64, f64) {
    let (high, middle) = (low + width, low + 0.5 * width);
    if width * (1.0 - middle) < 1e-3 {
        // Narrow: the density at the middle, and the first term of its curvature; the next is of the fourth order.
        let bend = middle * middle - 1.0;
        let log_density = -0.5 * middle * middle - LN_SQRT_2PI;
        let by_middle = width * width * middle / 12.0 - middle;
        let by_width = 1.0 / width + width * bend / 12.0;
        return (
            width.ln() + log_density + width * width * bend / 24.0,
            0.5 * by_middle - by_width,
            0.5 * by_middle + by_width,
        );
    }
    let ((log_low, slope_low), (log_high, slope_high)) =
        (log_normal_cdf(low), log_normal_cdf(high));
    let log_q = match high < -1.0 {
        true => 0.5 * width * (low + high) + (slope_high / slope_low).ln(),
        false => log_low - log_high,
    };
    let log_q = log_q.min(-f64::MIN_POSITIVE);
    let rest = -log_q.exp_m1();
    (
        log_high + log_one_minus_exp(log_q),
        -slope_low * log_q.exp() / rest,
        slope_high / rest,
    )
}

/// `ln(1 - exp(x))` for negative `x` (Mächler 2012).
fn log_one_minus_exp(x: f64) -> f64 {
    if x > -std::f64::consts::LN_2 {
        (-x.exp_m1()).ln()
    } else {
        (-x.exp()).ln_1p()
    }
}

#[cfg(test)]
mod tests {
    use super::super::TAIL;
    use super::*;

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
        // In the lower half the distribution function has full relative precision, and so has its inverse.
        for z in [-30.0, -12.0, -3.3, -0.77] {
            let back = normal_quantile(normal_cdf(z));
            assert!(
                (back - z).abs() < 1e-13 * z.abs().max(1.0),
                "z = {z}: {back}"
            );
        }
    }

    #[test]
    fn log_normal_cdf_is_finite_increasing_and_agrees_with_known_values() {
        let mut last = f64::NEG_INFINITY;
        for z in TAIL {
            let (value, slope) = log_normal_cdf(z);
            assert!(value.is_finite() && slope >= 0.0, "z = {z}");
            // Above 39 the distance to 1 is below the least number.
            assert!(value > last || (z > 39.0 && value == 0.0), "z = {z}");
            last = value;
            let step = 1e-6 * z.abs().max(1.0);
            let numeric = (log_normal_cdf(z + step).0 - log_normal_cdf(z - step).0) / (2.0 * step);
            assert!(
                (slope - numeric).abs() <= 1e-5 * slope.max(1e-9),
                "z = {z}: {slope} {numeric}"
            );
        }
        // mpmath 1.3: log(ncdf(z)), 60 digits.
        for (z, expected) in [
            (0.0, -std::f64::consts::LN_2),
            (-5.0, -15.064_998_393_988_726),
            (-40.0, -804.608_442_013_753_8),
            (-1000.0, -500_007.826_694_812_2),
            (5.0, -2.866_516_129_637_636e-7),
        ] {
            let (value, _) = log_normal_cdf(z);
            assert!(
                (value - expected).abs() <= 1e-12 * expected.abs(),
                "{z}: {value}"
            );
        }
    }

    #[test]
    fn log_normal_interval_is_finite_wherever_it_lies_and_its_slopes_are_right() {
        for low in TAIL {
            for width in [1e-6, 0.1, 1.0, 30.0, 1e6] {
                let (value, by_low, by_high) = log_normal_interval(low, width);
                assert!(
                    value.is_finite() && by_low.is_finite() && by_high.is_finite(),
                    "{low} {width}: {value} {by_low} {by_high}"
                );
                assert!(
                    by_low <= 0.0 && by_high >= 0.0 && value <= 0.0,
                    "{low} {width}"
                );
                let mirrored = log_normal_interval(-low - width, width).0;
                assert!((value - mirrored).abs() <= 1e-9 * value.abs().max(1e-300) + 1e-15);
                if low.abs() <= 40.0 && width < 1e6 {
                    let step = 1e-3 * width.min(1.0);
                    let moved =
                        |up: f64, down: f64| log_normal_interval(low + down, width + up - down).0;
                    for (slope, numeric) in [
                        (by_low, moved(0.0, step) - moved(0.0, -step)),
                        (by_high, moved(step, 0.0) - moved(-step, 0.0)),
                    ] {
                        let numeric = numeric / (2.0 * step);
                        let rounding = 1e-15 * value.abs().max(1.0) / step;
                        assert!(
                            (slope - numeric).abs() <= 1e-5 * slope.abs().max(1.0) + rounding,
                            "{low} {width}: {slope} {numeric}"
                        );
                    }
                }
            }
        }
        let within = normal_cdf(1.0) - normal_cdf(-0.5);
        assert!((log_normal_interval(-0.5, 1.5).0 - within.ln()).abs() < 1e-14);
        // All of it beyond one end: what lies above that end alone.
        let (value, ..) = log_normal_interval(8.0, 1e9);
        assert!((value - log_normal_cdf(-8.0).0).abs() < 1e-12 * value.abs());
    }
}
