//! Floats and integers as numbers in `[0, 1]`.

use bomf_plugin_api::{Coordinate, Domain, Scale};

/// A parameter that is one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    /// The ends of `[0, 1]`; for integers the upper one is one beyond the greatest, so that each has a cell of its own.
    low: f64,
    high: f64,
    scale: Scale,
    /// Bounds of an integer.
    integer: Option<(i64, i64)>,
}

impl Axis {
    /// The axis of a float or an integer; `None` for what is no single number.
    #[must_use]
    pub fn of(domain: &Domain) -> Option<Self> {
        match *domain {
            Domain::Float { low, high, scale } => Some(Self {
                low,
                high,
                scale,
                integer: None,
            }),
            Domain::Integer { low, high, scale } => Some(Self {
                low: low as f64,
                high: high as f64 + 1.0,
                scale,
                integer: Some((low, high)),
            }),
            _ => None,
        }
    }

    /// Whether there is one value only.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        match self.integer {
            Some((low, high)) => low == high,
            None => self.low == self.high,
        }
    }

    /// Whether its values are integers.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        self.integer.is_some()
    }

    /// The value a share `at` of the way up, never outside of the bounds. Each integer has an equal share of `[0, 1)`, on
    /// a log scale its share of the ratios.
    #[must_use]
    pub fn value(&self, at: f64) -> Coordinate {
        let value = between(self.low, self.high, self.scale, at);
        match self.integer {
            // A cast saturates, and the clamp holds rounding inside the bounds.
            Some((low, high)) => Coordinate::Integer((value.floor() as i64).clamp(low, high)),
            None => Coordinate::Float(value),
        }
    }

    /// How far up a value lies, in `[0, 1]`; an integer in the middle of its cell.
    #[must_use]
    pub fn place(&self, value: &Coordinate) -> f64 {
        let (from, to) = self.cell(value);
        0.5 * (from + to)
    }

    /// The part of `[0, 1]` that a value stands for: a point for a float, an interval for an integer.
    #[must_use]
    pub fn cell(&self, value: &Coordinate) -> (f64, f64) {
        let at = |x| share(self.low, self.high, self.scale, x);
        match *value {
            Coordinate::Integer(i) => (at(i as f64), at(i as f64 + 1.0)),
            Coordinate::Float(x) => (at(x), at(x)),
            _ => (0.0, 1.0),
        }
    }
}

/// The value a share `at` of the way from `low` to `high`, never outside of them.
#[must_use]
pub fn between(low: f64, high: f64, scale: Scale, at: f64) -> f64 {
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

/// How far `x` lies from `low` to `high`, in `[0, 1]`; 0 if there is no way between.
fn share(low: f64, high: f64, scale: Scale, x: f64) -> f64 {
    if low >= high {
        return 0.0;
    }
    let share = match scale {
        Scale::Log => (x.ln() - low.ln()) / (high.ln() - low.ln()),
        // Halves: the whole range may be too large for a number.
        _ => (0.5 * x - 0.5 * low) / (0.5 * high - 0.5 * low),
    };
    share.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integers(low: i64, high: i64, scale: Scale) -> Axis {
        Axis::of(&Domain::Integer { low, high, scale }).unwrap()
    }

    #[test]
    fn integers_reach_both_bounds_and_no_more() {
        for scale in [Scale::Linear, Scale::Log] {
            let axis = integers(1, 8, scale);
            assert_eq!(axis.value(0.0), Coordinate::Integer(1));
            assert_eq!(axis.value(1.0), Coordinate::Integer(8));
        }
        let all = integers(i64::MIN, i64::MAX, Scale::Linear);
        assert_eq!(all.value(0.0), Coordinate::Integer(i64::MIN));
        assert_eq!(all.value(1.0), Coordinate::Integer(i64::MAX));
        let one = integers(3, 3, Scale::Log);
        assert_eq!(one.value(0.7), Coordinate::Integer(3));
        assert!(one.is_fixed());
    }

    #[test]
    fn logarithmic_axes_are_uniform_in_the_ratio() {
        assert!((between(1e-6, 1e-2, Scale::Log, 0.5) - 1e-4).abs() < 1e-12);
        assert!(between(1e-6, 1e-2, Scale::Log, 1.0) <= 1e-2);
    }

    #[test]
    fn places_lead_back_to_their_values() {
        for scale in [Scale::Linear, Scale::Log] {
            let axis = integers(1, 40, scale);
            for i in 1..=40 {
                let value = Coordinate::Integer(i);
                assert_eq!(axis.value(axis.place(&value)), value);
            }
        }
        let wide = Axis::of(&Domain::Float {
            low: -f64::MAX,
            high: f64::MAX,
            scale: Scale::Linear,
        })
        .unwrap();
        assert_eq!(wide.place(&Coordinate::Float(0.0)), 0.5);
        assert_eq!(wide.value(1.0), Coordinate::Float(f64::MAX));
    }

    #[test]
    fn cells_of_integers_fill_the_axis() {
        for scale in [Scale::Linear, Scale::Log] {
            let axis = integers(2, 9, scale);
            let mut reached = 0.0;
            for i in 2..=9 {
                let (from, to) = axis.cell(&Coordinate::Integer(i));
                assert!((from - reached).abs() < 1e-12 && to > from);
                reached = to;
            }
            assert!((reached - 1.0).abs() < 1e-12);
        }
    }
}
