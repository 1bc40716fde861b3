//! Minimisation without constraints: limited-memory BFGS (Nocedal & Wright 2006, algorithm 7.4) with backtracking.

use crate::cholesky::{add_scaled, dot};

/// When to stop, and how far to go at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most iterations.
    pub iterations: usize,
    /// Stop when no partial derivative is larger.
    pub gradient: f64,
    /// Stop when an iteration gains less than this, relative to `1 + |value|`.
    pub gain: f64,
    /// No coordinate moves further in one iteration.
    pub step: f64,
}

/// Pairs of steps and gradient changes that are kept.
const MEMORY: usize = 10;

/// Where the search ended.
#[derive(Debug, Clone)]
pub struct Minimum {
    /// The best point met.
    pub point: Vec<f64>,
    /// The function there; infinite if it was nowhere finite.
    pub value: f64,
}

/// Walks downhill from `start`.
///
/// `function` writes its gradient and returns its value; a value that is not finite marks a point as out of bounds, and
/// the step there is shortened.
pub fn minimise(
    start: Vec<f64>,
    limits: Limits,
    mut function: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> Minimum {
    let n = start.len();
    let mut point = start;
    let mut gradient = vec![0.0; n];
    let mut value = function(&point, &mut gradient);
    if !value.is_finite() {
        return Minimum {
            point,
            value: f64::INFINITY,
        };
    }
    let mut pairs: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
    for _ in 0..limits.iterations {
        if gradient.iter().all(|slope| slope.abs() <= limits.gradient) {
            break;
        }
        // 1. Direction: quasi-Newton, or straight downhill if that does not descend.
        let mut direction = two_loops(&gradient, &pairs);
        let mut descent = dot(&direction, &gradient);
        if descent >= 0.0 || !descent.is_finite() {
            pairs.clear();
            direction = gradient.iter().map(|slope| -slope).collect();
            descent = -dot(&gradient, &gradient);
        }
        let longest = direction
            .iter()
            .fold(0.0_f64, |longest, x| longest.max(x.abs()));
        let first_try = if pairs.is_empty() {
            (1.0 / longest).min(1.0)
        } else {
            1.0
        };
        let mut step = first_try.min(limits.step / longest);

        // 2. Backtracking to sufficient descent.
        let (mut next, mut next_gradient) = (vec![0.0; n], vec![0.0; n]);
        let mut accepted = None;
        for _ in 0..25 {
            next.copy_from_slice(&point);
            add_scaled(&mut next, step, &direction);
            let next_value = function(&next, &mut next_gradient);
            if next_value <= value + 1e-4 * step * descent {
                accepted = Some(next_value);
                break;
            }
            // The parabola through value, slope and next value; a tenth to a half of the step.
            let parabola = -0.5 * descent * step / (next_value - value - descent * step);
            step *= if parabola.is_finite() {
                parabola.clamp(0.1, 0.5)
            } else {
                0.1
            };
        }
        let Some(next_value) = accepted else { break };

        // 3. Remember the curvature seen.
        let moved: Vec<f64> = next.iter().zip(&point).map(|(a, b)| a - b).collect();
        let turned: Vec<f64> = next_gradient
            .iter()
            .zip(&gradient)
            .map(|(a, b)| a - b)
            .collect();
        let curvature = dot(&moved, &turned);
        if curvature > 1e-10 * dot(&turned, &turned).sqrt() * dot(&moved, &moved).sqrt() {
            if pairs.len() == MEMORY {
                pairs.remove(0);
            }
            pairs.push((moved, turned, 1.0 / curvature));
        }
        let gain = value - next_value;
        (point, gradient, value) = (next, next_gradient, next_value);
        if gain <= limits.gain * (1.0 + value.abs()) {
            break;
        }
    }
    Minimum { point, value }
}

/// The product of the inverse Hessian's estimate with the negative gradient.
fn two_loops(gradient: &[f64], pairs: &[(Vec<f64>, Vec<f64>, f64)]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
    let mut weights = vec![0.0; pairs.len()];
    for (weight, (moved, turned, inverse)) in weights.iter_mut().zip(pairs).rev() {
        *weight = inverse * dot(moved, &direction);
        add_scaled(&mut direction, -*weight, turned);
    }
    if let Some((_, turned, inverse)) = pairs.last() {
        let scale = 1.0 / (inverse * dot(turned, turned));
        direction.iter_mut().for_each(|x| *x *= scale);
    }
    for (weight, (moved, turned, inverse)) in weights.iter().zip(pairs) {
        let correction = weight - inverse * dot(turned, &direction);
        add_scaled(&mut direction, correction, moved);
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        iterations: 200,
        gradient: 1e-8,
        gain: 0.0,
        step: 10.0,
    };

    #[test]
    fn rosenbrock_is_solved() {
        let found = minimise(vec![-1.2, 1.0, -1.2, 1.0], LIMITS, |x, gradient| {
            gradient.fill(0.0);
            let mut sum = 0.0;
            for i in 0..x.len() - 1 {
                let bend = x[i + 1] - x[i] * x[i];
                sum += 100.0 * bend * bend + (1.0 - x[i]).powi(2);
                gradient[i] += -400.0 * bend * x[i] - 2.0 * (1.0 - x[i]);
                gradient[i + 1] += 200.0 * bend;
            }
            sum
        });
        assert!(found.value < 1e-12, "{found:?}");
    }

    #[test]
    fn walls_of_infinity_are_respected() {
        // -ln x - ln (1 - x), not defined outside (0, 1).
        let found = minimise(vec![0.9], LIMITS, |x, gradient| {
            gradient[0] = -1.0 / x[0] + 1.0 / (1.0 - x[0]);
            if x[0] > 0.0 && x[0] < 1.0 {
                -x[0].ln() - (1.0 - x[0]).ln()
            } else {
                f64::INFINITY
            }
        });
        assert!((found.point[0] - 0.5).abs() < 1e-6);
        let nowhere = minimise(vec![2.0], LIMITS, |_, _| f64::NAN);
        assert_eq!(nowhere.value, f64::INFINITY);
    }
}
