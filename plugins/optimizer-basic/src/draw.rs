//! Points from numbers in `[0, 1)`.

use bomf_plugin_api::{Coordinate, Domain, Parameter, PluginError, Point, Result, Scale};

/// A point of the space from one number in `[0, 1)` per axis, uniform if they are: on a simplex with respect to its
/// volume, on a log scale with respect to ratios.
///
/// `next` is called once per parameter, per coefficient on a simplex, in the order of the space.
pub(crate) fn point(space: &[Parameter], mut next: impl FnMut() -> f64) -> Result<Point> {
    space
        .iter()
        .map(|parameter| coordinate(&parameter.domain, &mut next))
        .collect()
}

fn coordinate(domain: &Domain, next: &mut impl FnMut() -> f64) -> Result<Coordinate> {
    Ok(match domain {
        Domain::Float { low, high, scale } => {
            Coordinate::Float(between(*low, *high, *scale, next()))
        }
        Domain::Integer { low, high, scale } => {
            Coordinate::Integer(integer(*low, *high, *scale, next()))
        }
        Domain::Choice { count } => {
            // Truncation is the point: equal shares of [0, 1).
            Coordinate::Choice(((next() * *count as f64) as usize).min(count - 1))
        }
        Domain::Simplex { dimension } => {
            let masses = (0..*dimension).map(|_| -(1.0 - next()).ln()).collect();
            Coordinate::Simplex(normalised(masses))
        }
        other => return Err(unknown(other)),
    })
}

/// The value a share `at` of the way from `low` to `high`, never outside of them.
pub(crate) fn between(low: f64, high: f64, scale: Scale, at: f64) -> f64 {
    // The ends exactly: a logarithm and back would miss them by a rounding.
    if at <= 0.0 || at >= 1.0 {
        return if at <= 0.0 { low } else { high };
    }
    let value = match scale {
        Scale::Log => (low.ln() + at * (high.ln() - low.ln())).exp(),
        // Not low + at * (high - low): the range may be too large for a number.
        _ => low * (1.0 - at) + high * at,
    };
    value.clamp(low, high)
}

/// Each integer gets an equal share of `[0, 1)`, on a log scale its share of the ratios.
fn integer(low: i64, high: i64, scale: Scale, at: f64) -> i64 {
    let value = match scale {
        Scale::Log => between(low as f64, high as f64 + 1.0, scale, at),
        _ => low as f64 + at * (high as f64 - low as f64 + 1.0),
    };
    // A cast saturates, and the clamp holds rounding inside the bounds.
    (value.floor() as i64).clamp(low, high)
}

/// Masses that are not negative, scaled to sum to one; nothing but zeros becomes the uniform point.
pub(crate) fn normalised(mut masses: Vec<f64>) -> Vec<f64> {
    let total: f64 = masses.iter().sum();
    let uniform = 1.0 / masses.len() as f64;
    for mass in &mut masses {
        *mass = if total > 0.0 && total.is_finite() {
            *mass / total
        } else {
            uniform
        };
    }
    masses
}

/// The refusal of a domain that was added to the API after this plugin was built.
pub(crate) fn unknown(domain: &Domain) -> PluginError {
    PluginError::unsupported(format!(
        "found the domain {domain:?}, which this version of the plugin does not know"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_reach_both_bounds_and_no_more() {
        for scale in [Scale::Linear, Scale::Log] {
            assert_eq!(integer(1, 8, scale, 0.0), 1);
            assert_eq!(integer(1, 8, scale, 1.0 - 1e-12), 8);
        }
        assert_eq!(integer(i64::MIN, i64::MAX, Scale::Linear, 0.0), i64::MIN);
        assert_eq!(integer(3, 3, Scale::Log, 0.7), 3);
    }

    #[test]
    fn logarithmic_axes_are_uniform_in_the_ratio() {
        assert!((between(1e-6, 1e-2, Scale::Log, 0.5) - 1e-4).abs() < 1e-12);
        assert!(between(1e-6, 1e-2, Scale::Log, 1.0) <= 1e-2);
    }

    #[test]
    fn masses_of_zero_become_the_uniform_point() {
        assert_eq!(normalised(vec![0.0, 0.0]), vec![0.5, 0.5]);
        assert_eq!(normalised(vec![1.0, 3.0]), vec![0.25, 0.75]);
    }
}
