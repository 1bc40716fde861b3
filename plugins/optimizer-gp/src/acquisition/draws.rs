//! What draws of an improvement are made from: models, incumbents, and standard normals.

use nalgebra::DMatrix;
use rayon::prelude::*;

use crate::cholesky::{add_scaled, dot};
use crate::error::{GpError, Result};
use crate::gp::{At, Gp};
use crate::quasi::Sobol;

/// One objective's model.
#[derive(Debug, Clone)]
pub struct Surrogate {
    /// Its posterior, in standard units.
    pub gp: Gp,
    /// The value below which nothing counts as a gain, in standard units.
    pub reference: f64,
}

/// What a candidate has to improve on.
///
/// Values that are known make an acquisition "expected", values that are drawn together with the candidate's "noisy
/// expected"; points under evaluation are always drawn.
#[derive(Debug, Clone, Default)]
pub struct Incumbents {
    /// `[k, m]`, in standard units: known values.
    pub known: Vec<Vec<f64>>,
    /// `[b, d]`: points whose noiseless values are drawn.
    pub drawn: Vec<Vec<f64>>,
}

/// Standard normals behind one objective's draws.
#[derive(Debug, Clone)]
pub struct BaseSamples {
    /// `[b, samples]`: they draw the incumbents.
    pub incumbents: DMatrix<f64>,
    /// `[q, samples]`: they draw the candidates given the incumbents.
    pub candidates: DMatrix<f64>,
}

impl BaseSamples {
    /// Quasi-random ones, for each of `objectives` models; the same seed gives the same.
    ///
    /// The low (best) dimensions of the sequence belong to the candidates.
    #[must_use]
    pub fn sobol(
        seed: u64,
        objectives: usize,
        incumbents: usize,
        candidates: usize,
        samples: usize,
    ) -> Vec<Self> {
        let sobol = Sobol::new(seed);
        (0..objectives)
            .map(|o| {
                let first = objectives * candidates + o * incumbents;
                Self {
                    incumbents: sobol.normals(first as u32, incumbents, samples),
                    candidates: sobol.normals((o * candidates) as u32, candidates, samples),
                }
            })
            .collect()
    }

    /// How many draws there are.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.candidates.ncols()
    }

    /// Refuses shapes that do not belong to so many incumbents and candidates.
    pub(super) fn check(&self, incumbents: usize, candidates: usize) -> Result<()> {
        let samples = self.samples();
        for (what, found, expected) in [
            (
                "base samples of incumbents",
                self.incumbents.nrows(),
                incumbents,
            ),
            (
                "base samples of candidates",
                self.candidates.nrows(),
                candidates,
            ),
            ("draws of incumbents", self.incumbents.ncols(), samples),
            ("draws", samples, samples.max(1)),
        ] {
            if found != expected {
                return Err(GpError::Length {
                    what,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }

    /// A candidate's mean in each draw, given the incumbents', `[samples]`.
    pub(super) fn means(&self, at: &At) -> Vec<f64> {
        let b = self.incumbents.nrows();
        let whitened = &at.whitened[at.whitened.len() - b..];
        let base = self.incumbents.as_slice();
        (0..self.samples())
            .map(|s| at.mean + dot(&base[s * b..(s + 1) * b], whitened))
            .collect()
    }

    /// Adds the slopes `[n + b]` in a candidate's whitened covariances of something that has `slopes` in [`Self::means`].
    pub(super) fn pull_back(&self, slopes: &[f64], by_whitened: &mut [f64]) {
        let b = self.incumbents.nrows();
        let first = by_whitened.len() - b;
        let base = self.incumbents.as_slice();
        for (s, slope) in slopes.iter().enumerate() {
            add_scaled(&mut by_whitened[first..], *slope, &base[s * b..(s + 1) * b]);
        }
    }
}

/// The points `[b, d]` that are on the front of at least one draw: none of the others is an incumbent.
///
/// The draws of one seed should not be used for both this and the acquisition.
///
/// # Errors
/// If a posterior covariance has no factor.
pub fn leading(
    surrogates: &[Surrogate],
    points: &[Vec<f64>],
    samples: usize,
    seed: u64,
) -> Result<Vec<Vec<f64>>> {
    let draw = |(o, surrogate): (usize, &Surrogate)| {
        let first = (o * points.len()) as u32;
        let base = Sobol::new(seed).normals(first, points.len(), samples);
        Ok(surrogate.gp.joint(points)?.draw(&base))
    };
    let drawn: Vec<_> = surrogates
        .par_iter()
        .enumerate()
        .map(draw)
        .collect::<Result<_>>()?;
    let front_of = |s: usize| {
        let values: Vec<Vec<f64>> = (0..points.len())
            .map(|b| drawn.iter().map(|values| values[(b, s)]).collect())
            .collect();
        let mut front = pareto::undominated(&values);
        let above = |(value, surrogate): (&f64, &Surrogate)| *value > surrogate.reference;
        front.retain(|b| values[*b].iter().zip(surrogates).all(above));
        front
    };
    let fronts: Vec<Vec<usize>> = (0..samples).into_par_iter().map(front_of).collect();
    let mut leads = vec![false; points.len()];
    fronts.into_iter().flatten().for_each(|b| leads[b] = true);
    let kept = points.iter().zip(leads).filter(|(_, leads)| *leads);
    Ok(kept.map(|(point, _)| point.clone()).collect())
}
