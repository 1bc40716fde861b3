//! Smooth stand-ins for positive parts, minima and maxima, whose tails fall like a power.

/// Temperature of the smoothed positive part, in standard units (Ament et al. 2023; the value is BoTorch's).
pub const TAU_RELU: f64 = 1e-6;

/// Temperature of the smoothed maximum over a batch, in log space (Ament et al. 2023; the value is BoTorch's).
pub const TAU_MAX: f64 = 1e-2;

/// Temperature of the smoothed minimum of a rise and a side, in log space (the value is that of BoTorch's qLogNEHVI).
pub const TAU_MIN: f64 = 1e-3;

/// Share of the Cauchy density in [`fat_positive_part`] (Ament et al. 2023, appendix A.4).
const CAUCHY: f64 = 0.1;

/// Beyond so many temperatures softplus is its asymptote to rounding.
const SATURATED: f64 = 40.0;

/// What `fat_positive_part` of `tau |u|` has more than `tau max(u, 0)`, in units of `tau`, as the exponential's part and
/// the Cauchy density `1 / (1 + u²)`; and the exponential's slope.
#[inline]
fn tails(u: f64) -> (f64, f64, f64) {
    let cauchy = 1.0 / (1.0 + u * u);
    if u.abs() > SATURATED {
        return (0.0, cauchy, 0.0);
    }
    let decay = (-u.abs()).exp();
    (decay.ln_1p(), cauchy, decay / (1.0 + decay))
}

/// A smooth, positive, increasing stand-in for `max(x, 0)` and its derivative: `tau (softplus(x / tau) +
/// 0.1 / (1 + (x / tau)²))`, whose tail falls like a power (Ament et al. 2023, "fat" softplus).
///
/// It stays far from underflow, so that products over objectives and sums over boxes may be taken before the logarithm.
#[inline]
#[must_use]
pub fn fat_positive_part(x: f64, tau: f64) -> (f64, f64) {
    let u = x / tau;
    let (excess, cauchy, slope) = tails(u);
    let step = if u > 0.0 { 1.0 - slope } else { slope };
    (
        x.max(0.0) + tau * (excess + CAUCHY * cauchy),
        step - 2.0 * CAUCHY * u * cauchy * cauchy,
    )
}

/// Beyond this ratio, as a logarithm, the smooth minimum of two lengths is the smaller one to 1e-6.
const APART: f64 = 0.05;

/// A smooth, positive stand-in for the length of `(-inf, y]` within `[lower, upper]`, and its derivative in `y`: the smooth
/// minimum of [`fat_positive_part`]`(y - lower)` and `upper - lower`. `upper` may be infinite.
///
/// The minimum is minus the [`fat_maximum`] of minus the logarithms (Ament et al. 2023), so of lengths `a <= b` it is
/// `a (1 + p(ln(b / a) / TAU_MIN))^-TAU_MIN`.
#[inline]
#[must_use]
pub fn fat_length(y: f64, lower: f64, upper: f64) -> (f64, f64) {
    let (rise, slope) = fat_positive_part(y - lower, TAU_RELU);
    let length = upper - lower;
    if rise < length * (-APART).exp() {
        return (rise, slope);
    }
    if rise > length * APART.exp() {
        return (length, 0.0);
    }
    let u = (rise / length).ln().abs() / TAU_MIN;
    let p = 1.0 / (1.0 + u * (1.0 + 0.5 * u));
    let smooth = rise.min(length) * (-TAU_MIN * p.ln_1p()).exp();
    // How the logarithm of the minimum follows that of the larger one.
    let by_larger = (1.0 + u) * p * p / (1.0 + p);
    let by_rise = if rise < length {
        1.0 - by_larger
    } else {
        by_larger
    };
    (smooth, by_rise * smooth / rise * slope)
}

/// A smooth stand-in for the maximum of finite numbers, at least as large as it, with tails that fall like a power; the
/// derivatives `[n]`, positive and of sum 1, are written (Ament et al. 2023, "fat" maximum).
///
/// `max + tau ln Σ p((max - x_i) / tau)` with `p(u) = 2 / (2 + 2 u + u²)`.
pub fn fat_maximum(numbers: &[f64], tau: f64, slopes: &mut [f64]) -> f64 {
    let greatest = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (mut sum, mut falling) = (0.0, 0.0);
    for (number, slope) in numbers.iter().zip(slopes.iter_mut()) {
        let u = (greatest - number) / tau;
        let p = 1.0 / (1.0 + u * (1.0 + 0.5 * u));
        sum += p;
        // Minus the derivative of p.
        *slope = (1.0 + u) * p * p;
        falling += *slope;
    }
    slopes.iter_mut().for_each(|slope| *slope /= sum);
    if let Some(first) = numbers.iter().position(|number| *number == greatest) {
        slopes[first] += 1.0 - falling / sum;
    }
    greatest + tau * sum.ln()
}

#[cfg(test)]
mod tests {
    use super::super::TAIL;
    use super::*;

    #[test]
    fn fat_positive_part_is_positive_increasing_and_has_the_right_slope_in_the_far_tail() {
        for tau in [TAU_RELU, 0.1, 1.0] {
            let mut last = 0.0;
            for x in TAIL {
                let (value, slope) = fat_positive_part(x, tau);
                assert!(value > last && slope > 0.0, "x = {x}");
                last = value;
                let step = 1e-5 * x.abs().max(tau);
                let numeric = (fat_positive_part(x + step, tau).0
                    - fat_positive_part(x - step, tau).0)
                    / (2.0 * step);
                assert!(
                    (slope - numeric).abs() <= 1e-5 * slope,
                    "x = {x}, tau = {tau}"
                );
            }
        }
        assert!((fat_positive_part(2.0, TAU_RELU).0 - 2.0).abs() < 1e-11);
    }

    #[test]
    fn fat_maximum_is_above_the_maximum_and_its_slopes_are_right() {
        for spread in [1e-3, 1.0, 1e3, 1e6] {
            let numbers = [-0.3 * spread, 0.5 * spread, 0.4 * spread, -spread];
            let mut slopes = [0.0; 4];
            let value = fat_maximum(&numbers, TAU_MAX, &mut slopes);
            assert!(value >= 0.5 * spread && value <= 0.5 * spread + TAU_MAX * 4_f64.ln());
            assert!((slopes.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for (i, slope) in slopes.into_iter().enumerate() {
                let at = |shift: f64| {
                    let mut moved = numbers;
                    moved[i] += shift;
                    fat_maximum(&moved, TAU_MAX, &mut [0.0; 4])
                };
                let step = 1e-5 * spread.min(1.0);
                let numeric = (at(step) - at(-step)) / (2.0 * step);
                assert!(
                    slope > 0.0 && (slope - numeric).abs() < 1e-5,
                    "{slope} {numeric}"
                );
            }
        }
        assert_eq!(fat_maximum(&[-7.0], TAU_MAX, &mut [0.0]), -7.0);
    }

    #[test]
    fn lengths_are_positive_and_increasing_to_a_million_deviations() {
        for (lower, upper) in [(0.0, 1.0), (-3.0, -3.0 + 1e-9), (0.2, f64::INFINITY)] {
            let mut last = 0.0;
            for y in TAIL {
                let (length, slope) = fat_length(y, lower, upper);
                assert!(
                    length.is_finite() && length > 0.0 && slope >= 0.0,
                    "y = {y}"
                );
                assert!(length >= last, "y = {y}: {length} after {last}");
                last = length;
            }
        }
    }

    #[test]
    fn lengths_are_the_smooth_minimum_of_rise_and_side() {
        for (y, upper) in [
            (0.3, 1.0),
            (0.5, 0.501),
            (0.5, 0.4999),
            (2.0, 1.0),
            (9.0, 1.0),
        ] {
            let minus_logarithms = [-f64::ln(y), -f64::ln(upper)];
            let expected = -fat_maximum(&minus_logarithms, TAU_MIN, &mut [0.0; 2]);
            let found = fat_length(y, 0.0, upper).0.ln();
            assert!((found - expected).abs() < 3e-6, "{y}: {found} {expected}");
        }
    }

    #[test]
    fn length_slope_matches_finite_differences() {
        for y in [
            -0.9, -0.01, 0.0, 0.3, 0.7, 0.99, 0.9999, 1.0001, 1.02, 1.5, 3.0,
        ] {
            let step = 1e-7;
            let numeric = (fat_length(y + step, 0.0, 1.0).0 - fat_length(y - step, 0.0, 1.0).0)
                / (2.0 * step);
            let slope = fat_length(y, 0.0, 1.0).1;
            assert!((slope - numeric).abs() < 1e-5, "y = {y}: {slope} {numeric}");
        }
    }
}
