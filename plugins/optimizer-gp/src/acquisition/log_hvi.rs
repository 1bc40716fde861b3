//! qLogEHVI and qLogNEHVI: the logarithm of the (noisy) expected hypervolume improvement, for two to four objectives.
//!
//! Daulton, Balandat & Bakshy 2021 (noisy baselines, pending points in the baseline, points one by one), Ament et al. 2023
//! (logarithm of a smoothed improvement). Each quasi-Monte-Carlo sample draws the noiseless objectives at the
//! incumbents, cuts what their front leaves undominated into boxes, and asks by how much the candidate, drawn jointly with
//! them, would raise the hypervolume. Incumbents of known values are the same in all samples.
//!
//! A box's side is smoothed as BoTorch does it ([`fat_length`]): both agree to 1e-3 (`tests/parity.rs`). Far from any
//! improvement sides fall only like a power of the distance, so the sums over boxes and samples are taken before the
//! logarithm.
//!
//! [`fat_length`]: crate::log_space::fat_length

use rayon::prelude::*;

use super::{Acquisition, BaseSamples, Incumbents, Surrogate};
use crate::boxes::{Cell, undominated};
use crate::error::{GpError, Result};
use crate::gp::{At, Gp};
use crate::log_space::fat_length;

/// Most objectives that boxes are made for.
pub const MOST_OBJECTIVES: usize = 4;

/// The acquisition function over draws of one candidate.
///
/// ```
/// use nalgebra::DMatrix;
/// use optimizer_gp::acquisition::{Acquisition, BaseSamples, Incumbents, LogHvi, Surrogate};
/// use optimizer_gp::gp::{Gp, Hyperparameters};
/// use optimizer_gp::kernel::{Kernel, KernelKind};
/// use optimizer_gp::observations::{Noise, Observations};
///
/// let points = vec![vec![0.1], vec![0.5], vec![0.9]];
/// let kernel = Kernel { kind: KernelKind::Matern52, length_scales: vec![0.3], near: 0.0 };
/// let hyperparameters = Hyperparameters { kernel, noise: 1e-4, mean: 0.0 };
/// let surrogates: Vec<Surrogate> = [[0.0, 0.5, 1.0], [1.0, 0.8, -1.0]]
///     .into_iter()
///     .map(|outcomes| {
///         let outcomes = outcomes.to_vec();
///         let data = Observations { points: points.clone(), outcomes, noise: vec![Noise::LEARNED; 3] };
///         Ok(Surrogate { gp: Gp::condition(&hyperparameters, &data)?, reference: -1.0 })
///     })
///     .collect::<Result<_, optimizer_gp::error::GpError>>()?;
/// let incumbents = Incumbents { known: vec![], drawn: points };
/// let base = BaseSamples::sobol(7, 2, 3, 1, 128);
/// let log_nehvi = LogHvi::new(&surrogates, &incumbents, base)?;
/// assert!(log_nehvi.value(&[0.7]) > log_nehvi.value(&[0.9]));
/// # Ok::<(), optimizer_gp::error::GpError>(())
/// ```
pub struct LogHvi(Box<dyn Acquisition>);

impl LogHvi {
    /// From one [`BaseSamples`] per objective, for all that is drawn and one candidate.
    ///
    /// # Errors
    /// If there are fewer than two objectives or more than [`MOST_OBJECTIVES`], shapes do not fit, or a posterior covariance
    /// has no factor.
    pub fn new(
        surrogates: &[Surrogate],
        incumbents: &Incumbents,
        base: Vec<BaseSamples>,
    ) -> Result<Self> {
        let lengths = incumbents.known.iter().map(Vec::len);
        for found in lengths.chain([base.len()]) {
            if found != surrogates.len() {
                return Err(GpError::Length {
                    what: "objectives of incumbents or base samples",
                    found,
                    expected: surrogates.len(),
                });
            }
        }
        Ok(Self(match surrogates.len() {
            2 => Box::new(Boxes::<2>::new(surrogates, incumbents, base)?),
            3 => Box::new(Boxes::<3>::new(surrogates, incumbents, base)?),
            4 => Box::new(Boxes::<4>::new(surrogates, incumbents, base)?),
            found => {
                return Err(GpError::Length {
                    what: "objectives",
                    found,
                    expected: MOST_OBJECTIVES,
                });
            }
        }))
    }
}

impl Acquisition for LogHvi {
    fn value(&self, point: &[f64]) -> f64 {
        self.0.value(point)
    }

    fn value_and_gradient(&self, point: &[f64], gradient: &mut [f64]) -> f64 {
        self.0.value_and_gradient(point, gradient)
    }
}

struct Boxes<const M: usize> {
    /// Each given the observations and the drawn incumbents.
    models: Vec<(Gp, BaseSamples)>,
    /// Boxes of all samples, one after the other.
    cells: Vec<Cell<M>>,
    /// `[samples + 1]`: where each sample's boxes begin.
    starts: Vec<usize>,
}

impl<const M: usize> Boxes<M> {
    fn new(
        surrogates: &[Surrogate],
        incumbents: &Incumbents,
        base: Vec<BaseSamples>,
    ) -> Result<Self> {
        let reference: [f64; M] = std::array::from_fn(|o| surrogates[o].reference);
        let samples = base[0].samples();
        // 1. Draws of the incumbents.
        let draw = |(surrogate, base): (&Surrogate, BaseSamples)| {
            base.check(incumbents.drawn.len(), 1)?;
            let joint = surrogate.gp.joint(&incumbents.drawn)?;
            let drawn = joint.draw(&base.incumbents);
            Ok(((joint.given(), base), drawn))
        };
        let drawn: Result<Vec<_>> = surrogates.par_iter().zip(base).map(draw).collect();
        let (models, drawn): (Vec<_>, Vec<_>) = drawn?.into_iter().unzip();

        // 2. Boxes above each draw's front.
        let known: Vec<[f64; M]> = incumbents
            .known
            .iter()
            .map(|value| std::array::from_fn(|o| value[o]))
            .collect();
        let boxes_of = |s| {
            let mut values = known.clone();
            let of_point = |b: usize| std::array::from_fn(|o| drawn[o][(b, s)]);
            values.extend((0..incumbents.drawn.len()).map(of_point));
            undominated(&values, &reference)
        };
        let of_samples: Vec<_> = (0..samples).into_par_iter().map(boxes_of).collect();
        let (mut cells, mut starts) = (Vec::new(), vec![0]);
        for of_sample in of_samples {
            cells.extend(of_sample);
            starts.push(cells.len());
        }
        Ok(Self {
            models,
            cells,
            starts,
        })
    }

    fn evaluate(&self, point: &[f64], gradient: Option<&mut [f64]>) -> f64 {
        // 1. The candidate's draws given the incumbents', per objective.
        let ats: Vec<At> = self.models.iter().map(|(gp, _)| gp.at(point)).collect();
        let draws: Vec<Vec<f64>> = ats
            .iter()
            .zip(&self.models)
            .map(|(at, (_, base))| {
                let mut draws = base.means(at);
                let normals = base.candidates.as_slice();
                draws
                    .iter_mut()
                    .zip(normals)
                    .for_each(|(draw, z)| *draw += at.deviation * z);
                draws
            })
            .collect();

        // 2. Smoothed improvement per sample, and its slope in each drawn value: [M][samples].
        let samples = self.starts.len() - 1;
        let mut total = f64::MIN_POSITIVE;
        let mut slopes: Vec<Vec<f64>> = (0..M).map(|_| Vec::with_capacity(samples)).collect();
        for (s, range) in self.starts.windows(2).enumerate() {
            let y: [f64; M] = std::array::from_fn(|o| draws[o][s]);
            let (improvement, slope) = improvement(&self.cells[range[0]..range[1]], &y);
            total += improvement;
            for (of_objective, slope) in slopes.iter_mut().zip(slope) {
                of_objective.push(slope);
            }
        }

        // 3. d ln(total) = d total / total.
        if let Some(gradient) = gradient {
            gradient.fill(0.0);
            for (((gp, base), at), slopes) in self.models.iter().zip(&ats).zip(&mut slopes) {
                slopes.iter_mut().for_each(|slope| *slope /= total);
                let by_mean: f64 = slopes.iter().sum();
                let by_deviation = crate::cholesky::dot(slopes, base.candidates.as_slice());
                let mut by_whitened = vec![0.0; gp.len()];
                base.pull_back(slopes, &mut by_whitened);
                gp.pull_back(at, by_mean, by_deviation, &by_whitened, gradient);
            }
        }
        (total / samples as f64).ln()
    }
}

impl<const M: usize> Acquisition for Boxes<M> {
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
        let lengths: [(f64, f64); M] =
            std::array::from_fn(|o| fat_length(y[o], cell.lower[o], cell.upper[o]));
        // Products of all lengths, and of all but one.
        let mut before = 1.0;
        let mut partial = [1.0; M];
        for o in 0..M {
            partial[o] = before;
            before *= lengths[o].0;
        }
        total += before;
        let mut after = 1.0;
        for o in (0..M).rev() {
            slopes[o] += partial[o] * after * lengths[o].1;
            after *= lengths[o].0;
        }
    }
    (total, slopes)
}

#[cfg(test)]
mod tests {
    use super::super::leading;
    use super::super::testing::{check_gradient, process};
    use super::*;
    use pareto::hypervolume;

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
                Surrogate {
                    gp: process(&points, outcomes, noise),
                    reference: -1.0,
                }
            })
            .collect()
    }

    /// Noisy, over all points and those pending.
    fn log_nehvi(
        models: &[Surrogate],
        pending: &[Vec<f64>],
        samples: usize,
        seed: u64,
    ) -> Result<LogHvi> {
        let mut drawn = leading(models, &points(), samples, !seed)?;
        drawn.extend_from_slice(pending);
        let base = BaseSamples::sobol(seed, models.len(), drawn.len(), 1, samples);
        let known = vec![];
        LogHvi::new(models, &Incumbents { known, drawn }, base)
    }

    fn means(models: &[Surrogate]) -> Vec<Vec<f64>> {
        points()
            .iter()
            .map(|p| models.iter().map(|s| s.gp.predict(p).0).collect())
            .collect()
    }

    #[test]
    fn gradients_match_finite_differences() {
        for m in [2, 3, 4] {
            for noise in [1e-4, 0.1] {
                let pending = [vec![0.35, 0.6]];
                let acquisition = log_nehvi(&surrogates(m, noise), &pending, 16, 7).unwrap();
                for point in [[0.3, 0.5], [0.8, 0.9], [0.05, 0.1]] {
                    check_gradient(&acquisition, &point, 1e-5);
                }
            }
        }
    }

    #[test]
    fn value_is_the_mean_gain_in_hypervolume_when_outcomes_are_noiseless() {
        // With hardly any noise the baseline is known: compare with plain Monte Carlo over the candidate alone.
        for m in [2, 3] {
            let models = surrogates(m, 1e-8);
            let noisy = log_nehvi(&models, &[], 4096, 3).unwrap();
            let reference = vec![-1.0; m];
            let known = means(&models);
            let before = hypervolume(&known, &reference).unwrap();
            let (drawn, base) = (vec![], BaseSamples::sobol(3, m, 0, 1, 4096));
            let normals: Vec<_> = base.iter().map(|base| base.candidates.clone()).collect();
            let incumbents = Incumbents {
                known: known.clone(),
                drawn,
            };
            let plain = LogHvi::new(&models, &incumbents, base).unwrap();
            for point in [[0.3, 0.62], [0.15, 0.95], [0.9, 0.3]] {
                let mut gain = 0.0;
                for s in 0..4096 {
                    let mut values = known.clone();
                    values.push(
                        (0..m)
                            .map(|o| {
                                let (mean, variance) = models[o].gp.predict(&point);
                                mean + variance.sqrt() * normals[o][(0, s)]
                            })
                            .collect(),
                    );
                    gain += (hypervolume(&values, &reference).unwrap() - before) / 4096.0;
                }
                let (plain, noisy) = (plain.value(&point).exp(), noisy.value(&point).exp());
                assert!(
                    (plain - gain).abs() < 1e-4 * gain + 1e-9,
                    "{m}: {plain} {gain}"
                );
                // Other normals, and hardly any noise.
                assert!(
                    (noisy - gain).abs() < 0.05 * gain + 1e-4,
                    "{m}: {noisy} {gain}"
                );
            }
        }
    }

    #[test]
    fn far_from_any_gain_the_value_is_finite_and_has_a_slope() {
        for m in [2, 4] {
            let mut models = surrogates(m, 1e-6);
            // Nothing can reach this reference.
            models.iter_mut().for_each(|model| model.reference = 1e6);
            let acquisition = log_nehvi(&models, &[], 32, 1).unwrap();
            let mut gradient = vec![0.0; 2];
            let value = acquisition.value_and_gradient(&[0.4, 0.4], &mut gradient);
            assert!(value.is_finite() && gradient.iter().any(|slope| *slope != 0.0));
        }
    }

    #[test]
    fn a_pending_point_promises_less_than_before() {
        let models = surrogates(2, 1e-4);
        let free = log_nehvi(&models, &[], 128, 1).unwrap();
        let taken = log_nehvi(&models, &[vec![0.3, 0.5]], 128, 1).unwrap();
        assert!(taken.value(&[0.3, 0.5]) < free.value(&[0.3, 0.5]) - 1.0);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        assert!(log_nehvi(&surrogates(1, 0.1), &[], 8, 0).is_err());
        assert!(log_nehvi(&surrogates(5, 0.1), &[], 8, 0).is_err());
        let models = surrogates(2, 0.1);
        let none = Incumbents::default();
        for base in [
            BaseSamples::sobol(1, 1, 0, 1, 8),
            BaseSamples::sobol(1, 2, 3, 1, 8),
            BaseSamples::sobol(1, 2, 0, 2, 8),
            BaseSamples::sobol(1, 2, 0, 1, 0),
        ] {
            assert!(LogHvi::new(&models, &none, base).is_err());
        }
        let ragged = Incumbents {
            known: vec![vec![1.0]],
            drawn: vec![],
        };
        assert!(LogHvi::new(&models, &ragged, BaseSamples::sobol(1, 2, 0, 1, 8)).is_err());
    }
}
