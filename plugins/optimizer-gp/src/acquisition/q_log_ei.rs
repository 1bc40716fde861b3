//! qLogEI and qLogNEI: the logarithm of the (noisy) expected improvement of several points together, for one objective.

use super::{Acquisition, BaseSamples, Incumbents, Product};
use crate::cholesky::dot;
use crate::error::{GpError, Result};
use crate::gp::{At, Gp, LEAST_VARIANCE};
use crate::log_space::{TAU_MAX, TAU_RELU, fat_maximum, fat_positive_part};

/// `ln E[max_i max(f(x_i) - best, 0)]` over draws of q points together, smoothed (Ament et al. 2023, equations 10 and 12).
///
/// A point of this function is the q points one after the other, `[q d]`.
pub struct QLogEi {
    /// Given the observations and the drawn incumbents.
    gp: Gp,
    base: BaseSamples,
    /// `[samples]`: the best incumbent of each draw.
    best: Vec<f64>,
    /// What each point's improvement is multiplied with.
    weight: Product,
}

/// The draws of q points, and what their gradient needs.
struct Draws {
    ats: Vec<At>,
    /// Rows of the Cholesky factor of their covariance given the incumbents.
    factor: Vec<Vec<f64>>,
    /// Whether each pivot was raised to the least variance, where it has no slope.
    raised: Vec<bool>,
    /// `[q][samples]`.
    values: Vec<Vec<f64>>,
}

impl QLogEi {
    /// Over incumbents whose known values have one number each, with as many points as `base` has candidates; each
    /// point's improvement counts by `weight`.
    ///
    /// # Errors
    /// If there is no incumbent, shapes do not fit, or a posterior covariance has no factor.
    pub fn new(
        gp: &Gp,
        incumbents: &Incumbents,
        base: BaseSamples,
        weight: Product,
    ) -> Result<Self> {
        base.check(incumbents.drawn.len(), base.candidates.nrows().max(1))?;
        if incumbents.known.is_empty() && incumbents.drawn.is_empty() {
            return Err(GpError::Length {
                what: "incumbents",
                found: 0,
                expected: 1,
            });
        }
        let joint = gp.joint(&incumbents.drawn)?;
        let drawn = joint.draw(&base.incumbents);
        let known = incumbents
            .known
            .iter()
            .filter_map(|value| value.first().copied())
            .fold(f64::NEG_INFINITY, f64::max);
        let best = (0..base.samples())
            .map(|s| drawn.column(s).iter().copied().fold(known, f64::max))
            .collect();
        Ok(Self {
            gp: joint.given(),
            base,
            best,
            weight,
        })
    }

    fn draw(&self, points: &[f64]) -> Draws {
        let q = self.base.candidates.nrows();
        let d = points.len() / q;
        let ats: Vec<At> = points.chunks(d).map(|point| self.gp.at(point)).collect();
        let (mut factor, mut raised): (Vec<Vec<f64>>, Vec<bool>) = (Vec::new(), Vec::new());
        for (i, at) in ats.iter().enumerate() {
            let mut row: Vec<f64> = Vec::with_capacity(i + 1);
            for (j, other) in factor.iter().enumerate() {
                let rest = self.gp.covariance_between(at, &ats[j]) - dot(&row, &other[..j]);
                row.push(rest / other[j]);
            }
            let pivot = at.deviation * at.deviation - dot(&row, &row);
            raised.push(pivot <= LEAST_VARIANCE);
            row.push(pivot.max(LEAST_VARIANCE).sqrt());
            factor.push(row);
        }
        let normals = self.base.candidates.as_slice();
        let values = ats
            .iter()
            .zip(&factor)
            .map(|(at, row)| {
                let mut draws = self.base.means(at);
                for (draw, z) in draws.iter_mut().zip(normals.chunks(q)) {
                    *draw += dot(row, &z[..row.len()]);
                }
                draws
            })
            .collect();
        Draws {
            ats,
            factor,
            raised,
            values,
        }
    }

    fn evaluate(&self, points: &[f64], gradient: Option<&mut [f64]>) -> f64 {
        let (q, samples) = (self.base.candidates.nrows(), self.base.samples());
        let draws = self.draw(points);
        // 1. The weights of the points, with their gradients.
        let d = points.len() / q;
        let mut weight_gradient = vec![0.0; points.len()];
        let log_weights: Vec<f64> = points
            .chunks(d)
            .zip(weight_gradient.chunks_mut(d))
            .map(|(point, gradient)| match self.weight.0.is_empty() {
                true => 0.0,
                false => self.weight.value_and_gradient(point, gradient),
            })
            .collect();

        // 2. The greatest improvement of each draw; its slopes in the logarithms of the points' improvements, and those
        //    in the drawn values.
        let mut greatest = Vec::with_capacity(samples);
        let mut shares = vec![vec![0.0; samples]; q];
        let mut slopes = vec![vec![0.0; samples]; q];
        let (mut logs, mut parts) = (vec![0.0; q], vec![0.0; q]);
        for s in 0..samples {
            for i in 0..q {
                let (part, slope) = fat_positive_part(draws.values[i][s] - self.best[s], TAU_RELU);
                logs[i] = part.ln() + log_weights[i];
                slopes[i][s] = slope / part;
            }
            greatest.push(fat_maximum(&logs, TAU_MAX, &mut parts));
            for i in 0..q {
                shares[i][s] = parts[i];
            }
        }
        let top = greatest.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let odds: Vec<f64> = greatest.iter().map(|value| (value - top).exp()).collect();
        let total: f64 = odds.iter().sum();

        // 3. d ln(total) = Σ odds d greatest / total.
        if let Some(gradient) = gradient {
            for i in 0..q {
                for s in 0..samples {
                    shares[i][s] *= odds[s] / total;
                    slopes[i][s] *= shares[i][s];
                }
                let by_weight: f64 = shares[i].iter().sum();
                for (to, from) in gradient[i * d..(i + 1) * d]
                    .iter_mut()
                    .zip(&weight_gradient[i * d..])
                {
                    *to = by_weight * from;
                }
            }
            self.pull_back(&draws, &slopes, gradient);
        }
        top + (total / samples as f64).ln()
    }

    /// Adds the gradient `[q d]` of something that has `slopes` `[q][samples]` in the drawn values.
    fn pull_back(&self, draws: &Draws, slopes: &[Vec<f64>], gradient: &mut [f64]) {
        let q = slopes.len();
        let d = gradient.len() / q;
        // 1. To the factor, and through it to the covariances, last row first.
        let normals = self.base.candidates.as_slice();
        let mut by_factor: Vec<Vec<f64>> = (0..q)
            .map(|i| {
                let along = |j: usize| (normals.iter().skip(j).step_by(q)).zip(&slopes[i]);
                (0..=i)
                    .map(|j| along(j).map(|(z, s)| z * s).sum())
                    .collect()
            })
            .collect();
        let factor = &draws.factor;
        let mut by_covariance = vec![vec![0.0; q]; q];
        for i in (0..q).rev() {
            if !draws.raised[i] {
                let slope = by_factor[i][i] / (2.0 * factor[i][i]);
                by_covariance[i][i] = slope;
                for k in 0..i {
                    by_factor[i][k] -= 2.0 * slope * factor[i][k];
                }
            }
            for j in (0..i).rev() {
                let slope = by_factor[i][j] / factor[j][j];
                (by_covariance[i][j], by_covariance[j][i]) = (slope, slope);
                by_factor[j][j] -= slope * factor[i][j];
                for k in 0..j {
                    by_factor[i][k] -= slope * factor[j][k];
                    by_factor[j][k] -= slope * factor[i][k];
                }
            }
        }
        // 2. To each point: its mean, its variance, its whitened covariances, its covariances with the others.
        let scaled: Vec<Vec<f64>> = draws.ats.iter().map(|at| at.cross.scaled.clone()).collect();
        for (i, at) in draws.ats.iter().enumerate() {
            let target = &mut gradient[i * d..(i + 1) * d];
            let mut by_whitened = vec![0.0; self.gp.len()];
            self.base.pull_back(&slopes[i], &mut by_whitened);
            let mut weights = by_covariance[i].clone();
            weights[i] = 0.0;
            for (weight, other) in weights.iter().zip(&draws.ats) {
                crate::cholesky::add_scaled(&mut by_whitened, -weight, &other.whitened);
            }
            let by_deviation = 2.0 * at.deviation * by_covariance[i][i];
            let by_mean = slopes[i].iter().sum();
            self.gp
                .pull_back(at, by_mean, by_deviation, &by_whitened, target);
            let kernel = self.gp.kernel();
            let cross = kernel.cross(at.cross.scaled.clone(), &scaled);
            kernel.pull_back(&cross, &scaled, &weights, target);
        }
    }
}

impl Acquisition for QLogEi {
    fn value(&self, point: &[f64]) -> f64 {
        self.evaluate(point, None)
    }

    fn value_and_gradient(&self, point: &[f64], gradient: &mut [f64]) -> f64 {
        self.evaluate(point, Some(gradient))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_gradient, process};
    use super::super::{LogEi, LogSuccess};
    use super::*;

    fn points() -> Vec<Vec<f64>> {
        (0..8)
            .map(|i| vec![f64::from(i) / 7.0, f64::from(i * 3 % 8) / 7.0])
            .collect()
    }

    fn model(noise: f64) -> Gp {
        let outcomes = points().iter().map(|p| (4.0 * p[0]).sin() + p[1]).collect();
        process(&points(), outcomes, noise)
    }

    fn over(known: f64, q: usize, samples: usize, weight: Product) -> QLogEi {
        let incumbents = Incumbents {
            known: vec![vec![known]],
            drawn: vec![],
        };
        let base = BaseSamples::sobol(5, 1, 0, q, samples).remove(0);
        QLogEi::new(&model(0.01), &incumbents, base, weight).unwrap()
    }

    fn noisy(noise: f64, q: usize) -> QLogEi {
        let incumbents = Incumbents {
            known: vec![],
            drawn: points(),
        };
        let base = BaseSamples::sobol(5, 1, 8, q, 64).remove(0);
        QLogEi::new(&model(noise), &incumbents, base, Product::default()).unwrap()
    }

    #[test]
    fn one_point_over_a_known_value_has_its_expected_improvement() {
        let exact = LogEi::new(model(0.01), 1.2);
        let drawn = over(1.2, 1, 4096, Product::default());
        for point in [[0.35, 0.9], [0.5, 0.7], [0.6, 0.95]] {
            let (a, b) = (exact.value(&point), drawn.value(&point));
            assert!((a - b).abs() < 0.02, "{a} {b}");
        }
    }

    #[test]
    fn two_points_promise_more_than_one_and_twice_the_same_no_more() {
        let (one, two) = (
            over(1.2, 1, 1024, Product::default()),
            over(1.2, 2, 1024, Product::default()),
        );
        let (a, b) = ([0.35, 0.9], [0.6, 0.95]);
        let both = two.value(&[a, b].concat());
        assert!(both > one.value(&a).max(one.value(&b)) + 0.05);
        let same = two.value(&[a, a].concat());
        assert!((same - one.value(&a)).abs() < 0.03);
    }

    #[test]
    fn gradients_match_finite_differences() {
        let at = [0.35, 0.9, 0.6, 0.7, 0.1, 0.2];
        for q in [1, 2, 3] {
            check_gradient(&over(1.2, q, 64, Product::default()), &at[..2 * q], 1e-5);
            check_gradient(&noisy(0.05, q), &at[..2 * q], 1e-5);
            let success = LogSuccess::new(&[2.0, 2.0], &points(), &[vec![0.4, 0.8]]);
            let weight = Product(vec![Box::new(success)]);
            check_gradient(&over(1.2, q, 64, weight), &at[..2 * q], 1e-5);
        }
    }

    #[test]
    fn far_below_the_best_the_value_is_finite_and_has_a_slope() {
        let hopeless = over(1e6, 3, 32, Product::default());
        let mut gradient = [0.0; 6];
        let at = [0.35, 0.9, 0.35, 0.9, 0.1, 0.2];
        let value = hopeless.value_and_gradient(&at, &mut gradient);
        assert!(value.is_finite() && gradient.iter().all(|g| g.is_finite()));
        assert!(gradient.iter().any(|g| *g != 0.0));
    }

    #[test]
    fn no_incumbent_is_refused() {
        let base = BaseSamples::sobol(5, 1, 0, 1, 8).remove(0);
        let none = Incumbents::default();
        assert!(QLogEi::new(&model(0.1), &none, base, Product::default()).is_err());
    }
}
