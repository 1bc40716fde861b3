//! Maximisation over a convex set: spectral projected gradient (Birgin, Martínez & Raydan 2000, SPG2).

use crate::cholesky::dot;

/// Function values that a step may fall back behind.
const MEMORY: usize = 5;

/// Where a walk is; it can go on from there.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The best point met.
    pub point: Vec<f64>,
    /// The function there.
    pub value: f64,
}

/// Walks uphill from `start`, which lies in the set, for at most so many iterations.
///
/// `project` replaces a point by the nearest one of the set; `function` writes the gradient and returns the value, finite
/// on the set. Stops where the projected gradient no longer moves the point by more than `1e-7`.
pub fn ascend(
    start: Vec<f64>,
    iterations: usize,
    project: impl Fn(&mut [f64]),
    mut function: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> Walk {
    let n = start.len();
    let mut at = start;
    let mut gradient = vec![0.0; n];
    let mut value = function(&at, &mut gradient);
    let mut best = Walk {
        point: at.clone(),
        value,
    };
    let mut recent = vec![value];
    let steepest = gradient
        .iter()
        .fold(0.0_f64, |most, slope| most.max(slope.abs()));
    // The first step moves no coordinate by more than a tenth of the unit box.
    let mut length = if steepest > 0.0 { 0.1 / steepest } else { 1.0 };
    let (mut next, mut next_gradient) = (vec![0.0; n], vec![0.0; n]);
    for _ in 0..iterations {
        // 1. Direction: to the projection of a gradient step.
        let mut target: Vec<f64> = at
            .iter()
            .zip(&gradient)
            .map(|(x, g)| x + length * g)
            .collect();
        project(&mut target);
        let direction: Vec<f64> = target.iter().zip(&at).map(|(t, x)| t - x).collect();
        let rise = dot(&direction, &gradient);
        if direction.iter().all(|d| d.abs() <= 1e-7) || rise.is_nan() || rise <= 0.0 {
            break;
        }
        // 2. Backtracking until above the lowest recent value.
        let floor = recent.iter().copied().fold(f64::INFINITY, f64::min);
        let mut step = 1.0;
        let mut accepted = None;
        for _ in 0..12 {
            for ((next, x), d) in next.iter_mut().zip(&at).zip(&direction) {
                *next = x + step * d;
            }
            let next_value = function(&next, &mut next_gradient);
            if next_value >= floor + 1e-4 * step * rise {
                accepted = Some(next_value);
                break;
            }
            let parabola = 0.5 * rise * step / (rise * step - (next_value - value));
            step *= if parabola.is_finite() {
                parabola.clamp(0.1, 0.5)
            } else {
                0.1
            };
        }
        let Some(next_value) = accepted else { break };
        // 3. The next length, from the curvature along the step.
        let (mut squares, mut curvature) = (0.0, 0.0);
        for j in 0..n {
            let moved = next[j] - at[j];
            squares += moved * moved;
            curvature -= moved * (next_gradient[j] - gradient[j]);
        }
        length = if curvature > 0.0 {
            squares / curvature
        } else {
            4.0 * length
        }
        .clamp(1e-12, 1e6);
        std::mem::swap(&mut at, &mut next);
        std::mem::swap(&mut gradient, &mut next_gradient);
        value = next_value;
        if recent.len() == MEMORY {
            recent.remove(0);
        }
        recent.push(value);
        if value > best.value {
            best = Walk {
                point: at.clone(),
                value,
            };
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simplex::centre;
    use ::search::simplex::project;

    #[test]
    fn a_quadratic_on_the_simplex_ends_at_its_projection() {
        let target = [0.9, 0.4, -0.5, 0.1];
        let mut expected = target.to_vec();
        project(&mut expected);
        let weights = [1.0; 4];
        let found = ascend(centre(4), 200, project, |x, gradient| {
            let mut value = 0.0;
            for j in 0..4 {
                gradient[j] = -2.0 * weights[j] * (x[j] - target[j]);
                value -= weights[j] * (x[j] - target[j]).powi(2);
            }
            value
        });
        for (a, b) in found.point.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-6, "{found:?} {expected:?}");
        }
        assert!(found.point[2] == 0.0, "the face is reached exactly");
    }

    #[test]
    fn an_ill_conditioned_box_problem_is_solved() {
        let clamp = |x: &mut [f64]| x.iter_mut().for_each(|x| *x = x.clamp(0.0, 1.0));
        let found = ascend(vec![0.0; 3], 300, clamp, |x, gradient| {
            let mut value = 0.0;
            for (j, scale) in [1.0, 100.0, 3.0].into_iter().enumerate() {
                let off = x[j] - [0.3, 0.6, 2.0][j];
                value -= scale * off * off;
                gradient[j] = -2.0 * scale * off;
            }
            value
        });
        for (a, b) in found.point.iter().zip([0.3, 0.6, 1.0]) {
            assert!((a - b).abs() < 1e-5, "{found:?}");
        }
    }
}
