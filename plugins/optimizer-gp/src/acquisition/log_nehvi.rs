//! qLogNEHVI: the logarithm of the noisy expected hypervolume improvement, for two to four objectives.
//!
//! Daulton, Balandat & Bakshy 2021 (noisy baselines, pending points in the baseline, points one by one), Ament et al. 2023
//! (logarithm of a smoothed improvement). Each quasi-Monte-Carlo sample draws the noiseless objectives at the baseline
//! points, cuts what their front leaves undominated into boxes, and asks by how much the candidate, drawn jointly with them,
//! would raise the hypervolume.
//!
//! The smoothing is this crate's own: each box overlap is a difference of [`fat_positive_part`]s, so the smoothed volume
//! does not depend on how the region was cut, and far from any improvement it falls only like a power of the
//! distance. So the sums over boxes and samples are taken before the logarithm, and no exponential is needed.
//!
//! [`fat_positive_part`]: crate::log_space::fat_positive_part

use super::Acquisition;
use super::joint::{Conditional, Draws, JointPosterior};
use crate::boxes::{Cell, undominated};
use crate::error::{GpError, Result};
use crate::gp::Gp;
use crate::log_space::fat_overlap;
use crate::pareto::dominates;
use crate::quasi::Sobol;

/// Most objectives that boxes are made for.
pub const MOST_OBJECTIVES: usize = 4;

/// Width of the smoothed step, in standard units (BoTorch's `tau_relu` is as wide).
const WIDTH: f64 = 1e-6;

/// One objective's model.
#[derive(Debug, Clone)]
pub struct Surrogate {
    /// Its posterior, in standard units.
    pub gp: Gp,
    /// The value below which nothing counts as a gain, in standard units.
    pub reference: f64,
}

/// Points whose (unknown, noiseless) values a candidate has to improve on.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    /// `[b, d]`: points that were evaluated; those that are never on a sampled front are left out.
    pub evaluated: Vec<Vec<f64>>,
    /// `[p, d]`: points under evaluation, all kept.
    pub pending: Vec<Vec<f64>>,
}

/// The acquisition function over `samples` draws; the same seed gives the same draws.
///
/// # Errors
/// If there are fewer than two objectives or more than [`MOST_OBJECTIVES`], or a posterior covariance has no factor.
pub fn log_nehvi(
    surrogates: &[Surrogate],
    baseline: &Baseline,
    samples: usize,
    seed: u64,
) -> Result<Box<dyn Acquisition>> {
    Ok(match surrogates.len() {
        2 => Box::new(LogNehvi::<2>::new(surrogates, baseline, samples, seed)?),
        3 => Box::new(LogNehvi::<3>::new(surrogates, baseline, samples, seed)?),
        4 => Box::new(LogNehvi::<4>::new(surrogates, baseline, samples, seed)?),
        found => {
            return Err(GpError::Length {
                what: "objectives",
                found,
                expected: MOST_OBJECTIVES,
            });
        }
    })
}

struct LogNehvi<const M: usize> {
    conditionals: Vec<Conditional>,
    /// Boxes of all samples, one after the other.
    cells: Vec<Cell<M>>,
    /// `[samples + 1]`: where each sample's boxes begin.
    starts: Vec<usize>,
}

impl<const M: usize> LogNehvi<M> {
    fn new(
        surrogates: &[Surrogate],
        baseline: &Baseline,
        samples: usize,
        seed: u64,
    ) -> Result<Self> {
        let reference: [f64; M] = std::array::from_fn(|o| surrogates[o].reference);
        // 1. Which evaluated points are on the front of any draw. The draws of this step are not used again.
        let kept = on_some_front::<M>(surrogates, baseline, &reference, samples, !seed)?;

        // 2. The kept ones and the pending ones, drawn with the low (best) dimensions of the sequence. Dimensions 0 to
        //    M - 1 belong to the candidate.
        let points: Vec<_> = kept
            .into_iter()
            .chain(baseline.pending.iter().cloned())
            .collect();
        let sobol = Sobol::new(seed);
        let mut conditionals = Vec::with_capacity(M);
        let mut drawn = Vec::with_capacity(M);
        for (o, surrogate) in surrogates.iter().enumerate() {
            let first = M + o * points.len();
            let base = sobol.normals(first as u32, points.len(), samples);
            let own = sobol.normals(o as u32, 1, samples).as_slice().to_vec();
            let (conditional, values) = Conditional::new(&surrogate.gp, &points, base, own)?;
            conditionals.push(conditional);
            drawn.push(values);
        }

        // 3. Boxes above each draw's front.
        let (mut cells, mut starts) = (Vec::new(), vec![0]);
        for s in 0..samples {
            let values: Vec<[f64; M]> = (0..points.len())
                .map(|b| std::array::from_fn(|o| drawn[o][(b, s)]))
                .collect();
            cells.extend(undominated(&values, &reference));
            starts.push(cells.len());
        }
        Ok(Self {
            conditionals,
            cells,
            starts,
        })
    }

    fn evaluate(&self, point: &[f64], gradient: Option<&mut [f64]>) -> f64 {
        // 1. The candidate's draws given the baseline's, per objective.
        let draws: Vec<Draws> = self.conditionals.iter().map(|c| c.draw(point)).collect();

        // 2. Smoothed improvement per sample, and its slope in each drawn value: [M][samples].
        let samples = self.starts.len() - 1;
        let mut total = 0.0;
        let mut slopes: Vec<Vec<f64>> = (0..M).map(|_| Vec::with_capacity(samples)).collect();
        for (s, range) in self.starts.windows(2).enumerate() {
            let y: [f64; M] = std::array::from_fn(|o| draws[o].values[s]);
            let (improvement, slope) = improvement(&self.cells[range[0]..range[1]], &y);
            total += improvement;
            for (of_objective, slope) in slopes.iter_mut().zip(slope) {
                of_objective.push(slope);
            }
        }

        // 3. d ln(total) = d total / total.
        if let Some(gradient) = gradient {
            gradient.fill(0.0);
            for ((conditional, draws), slopes) in
                self.conditionals.iter().zip(&draws).zip(&mut slopes)
            {
                slopes.iter_mut().for_each(|slope| *slope /= total);
                conditional.pull_back(draws, slopes, gradient);
            }
        }
        (total / samples as f64).ln()
    }
}

impl<const M: usize> Acquisition for LogNehvi<M> {
    fn value(&self, point: &[f64]) -> f64 {
        self.evaluate(point, None)
    }

    fn value_and_gradient(&self, point: &[f64], gradient: &mut [f64]) -> f64 {
        self.evaluate(point, Some(gradient))
    }
}

/// The smoothed volume that `y` adds to the region below the boxes, and its slope in each of `y`.
fn improvement<const M: usize>(cells: &[Cell<M>], y: &[f64; M]) -> (f64, [f64; M]) {
    let (mut total, mut slopes) = (0.0, [0.0; M]);
    for cell in cells {
        let overlaps: [(f64, f64); M] =
            std::array::from_fn(|o| fat_overlap(y[o], cell.lower[o], cell.upper[o], WIDTH));
        // Products of all overlaps, and of all but one.
        let mut before = 1.0;
        let mut partial = [1.0; M];
        for o in 0..M {
            partial[o] = before;
            before *= overlaps[o].0;
        }
        total += before;
        let mut after = 1.0;
        for o in (0..M).rev() {
            slopes[o] += partial[o] * after * overlaps[o].1;
            after *= overlaps[o].0;
        }
    }
    (total, slopes)
}

/// The evaluated points that are on the front of at least one draw.
fn on_some_front<const M: usize>(
    surrogates: &[Surrogate],
    baseline: &Baseline,
    reference: &[f64; M],
    samples: usize,
    seed: u64,
) -> Result<Vec<Vec<f64>>> {
    let points = &baseline.evaluated;
    let sobol = Sobol::new(seed);
    let mut drawn = Vec::with_capacity(M);
    for (o, surrogate) in surrogates.iter().enumerate() {
        let base = sobol.normals((o * points.len()) as u32, points.len(), samples);
        drawn.push(JointPosterior::new(&surrogate.gp, points)?.draw(&base));
    }
    let mut kept = vec![false; points.len()];
    for s in 0..samples {
        let values: Vec<[f64; M]> = (0..points.len())
            .map(|b| std::array::from_fn(|o| drawn[o][(b, s)]))
            .collect();
        for (b, value) in values.iter().enumerate() {
            kept[b] = kept[b]
                || (value.iter().zip(reference).all(|(v, r)| v > r)
                    && !values.iter().any(|other| dominates(other, value)));
        }
    }
    Ok(points
        .iter()
        .zip(kept)
        .filter(|(_, kept)| *kept)
        .map(|(point, _)| point.clone())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::check_gradient;
    use super::*;
    use crate::gp::{Hyperparameters, Observations};
    use crate::kernel::Matern52;
    use crate::pareto::hypervolume;

    fn points() -> Vec<Vec<f64>> {
        (0..9)
            .map(|i| vec![f64::from(i) / 8.0, f64::from(i * 5 % 9) / 8.0])
            .collect()
    }

    fn surrogates(m: usize, noise: f64) -> Vec<Surrogate> {
        (0..m)
            .map(|o| {
                let points = points();
                let shift = 0.3 * o as f64;
                let outcomes = points
                    .iter()
                    .map(|p| (4.0 * (p[0] - shift)).cos() + (1.0 - shift) * p[1])
                    .collect();
                let data = Observations {
                    noise: vec![None; points.len()],
                    outcomes,
                    points,
                };
                let kernel = Matern52 {
                    length_scales: vec![0.4, 0.8],
                };
                let hyper = Hyperparameters {
                    kernel,
                    noise,
                    mean: 0.0,
                };
                Surrogate {
                    gp: Gp::condition(&hyper, &data).unwrap(),
                    reference: -1.0,
                }
            })
            .collect()
    }

    fn baseline(pending: Vec<Vec<f64>>) -> Baseline {
        Baseline {
            evaluated: points(),
            pending,
        }
    }

    #[test]
    fn gradients_match_finite_differences() {
        for m in [2, 3, 4] {
            for noise in [1e-4, 0.1] {
                let pending = vec![vec![0.35, 0.6]];
                let acquisition =
                    log_nehvi(&surrogates(m, noise), &baseline(pending), 16, 7).unwrap();
                for point in [[0.3, 0.5], [0.8, 0.9], [0.05, 0.1]] {
                    check_gradient(acquisition.as_ref(), &point, 2e-3);
                }
            }
        }
    }

    #[test]
    fn value_is_the_mean_gain_in_hypervolume_when_outcomes_are_noiseless() {
        // With hardly any noise the baseline is known: compare with plain Monte Carlo over the candidate alone.
        for m in [2, 3] {
            let models = surrogates(m, 1e-8);
            let acquisition = log_nehvi(&models, &baseline(vec![]), 4096, 3).unwrap();
            let reference = vec![-1.0; m];
            let known: Vec<Vec<f64>> = points()
                .iter()
                .map(|p| models.iter().map(|s| s.gp.predict(p).0).collect())
                .collect();
            let before = hypervolume(&known, &reference).unwrap();
            for point in [[0.3, 0.62], [0.15, 0.95], [0.9, 0.3]] {
                let normals = Sobol::new(99).normals(0, m, 4096);
                let mut gain = 0.0;
                for s in 0..4096 {
                    let mut values = known.clone();
                    values.push(
                        (0..m)
                            .map(|o| {
                                let (mean, variance) = models[o].gp.predict(&point);
                                mean + variance.sqrt() * normals[(o, s)]
                            })
                            .collect(),
                    );
                    gain += (hypervolume(&values, &reference).unwrap() - before) / 4096.0;
                }
                let found = acquisition.value(&point).exp();
                assert!(
                    (found - gain).abs() < 0.03 * gain + 1e-9,
                    "{m} {point:?}: {found} {gain}"
                );
            }
        }
    }

    #[test]
    fn far_from_any_gain_the_value_is_finite_and_has_a_slope() {
        let mut models = surrogates(2, 1e-6);
        // Nothing can reach this reference.
        models.iter_mut().for_each(|model| model.reference = 1e6);
        let acquisition = log_nehvi(&models, &baseline(vec![]), 32, 1).unwrap();
        let mut gradient = vec![0.0; 2];
        let value = acquisition.value_and_gradient(&[0.4, 0.4], &mut gradient);
        assert!(value.is_finite() && gradient.iter().any(|slope| *slope != 0.0));
    }

    #[test]
    fn a_pending_point_promises_less_than_before() {
        let free = log_nehvi(&surrogates(2, 1e-4), &baseline(vec![]), 128, 1).unwrap();
        let taken = log_nehvi(
            &surrogates(2, 1e-4),
            &baseline(vec![vec![0.3, 0.5]]),
            128,
            1,
        )
        .unwrap();
        assert!(taken.value(&[0.3, 0.5]) < free.value(&[0.3, 0.5]) - 1.0);
    }

    #[test]
    fn one_objective_and_five_are_refused() {
        assert!(log_nehvi(&surrogates(1, 0.1), &baseline(vec![]), 8, 0).is_err());
        assert!(log_nehvi(&surrogates(5, 0.1), &baseline(vec![]), 8, 0).is_err());
    }
}
