//! Task arithmetic and its kin: differences from a base are thinned out, multiplied, added up and put back on the base.

use super::block::{blocks, expect_finite, scratch, subtract};
use super::error::{Operand, Result};
use super::options::{Breadcrumbs, Dare, TaskArithmetic, Ties, finite};
use super::sieve::Sieve;
use super::{Inputs, PerMember};

/// Divisors smaller than this count as 1 (mergekit's bound).
const SMALLEST_DIVISOR: f32 = 1e-8;

/// Elements whose signs are elected side by side.
const LANES: usize = 16;

pub(super) fn merge(
    options: &TaskArithmetic,
    inputs: &Inputs<'_>,
    base: &[f32],
    out: &mut [f32],
) -> Result<()> {
    let TaskArithmetic {
        coefficients,
        normalize,
        lambda,
    } = options;
    let task = Task::new(coefficients, *normalize, *lambda, false, inputs)?;
    task.merge(inputs, base, out)
}

pub(super) fn merge_ties(
    options: &Ties,
    inputs: &Inputs<'_>,
    base: &[f32],
    out: &mut [f32],
) -> Result<()> {
    let Ties {
        coefficients,
        density,
        normalize,
        lambda,
        rescale,
    } = options;
    let density = density.shares("density", inputs.members.len())?;
    let mut task = Task::new(coefficients, *normalize, *lambda, true, inputs)?;
    task.sift(*rescale, inputs, base, |index, member| {
        Sieve::largest(density[index], base, member)
    });
    task.merge(inputs, base, out)
}

pub(super) fn merge_dare(
    options: &Dare,
    elects: bool,
    inputs: &Inputs<'_>,
    base: &[f32],
    out: &mut [f32],
) -> Result<()> {
    let Dare {
        coefficients,
        density,
        normalize,
        lambda,
        rescale,
    } = options;
    let density = density.shares("density", inputs.members.len())?;
    let mut task = Task::new(coefficients, *normalize, *lambda, elects, inputs)?;
    task.sift(*rescale, inputs, base, |index, _| {
        Sieve::random(density[index], inputs.seed, index, inputs.first)
    });
    task.merge(inputs, base, out)
}

pub(super) fn merge_breadcrumbs(
    options: &Breadcrumbs,
    elects: bool,
    inputs: &Inputs<'_>,
    base: &[f32],
    out: &mut [f32],
) -> Result<()> {
    let Breadcrumbs {
        coefficients,
        density,
        gamma,
        normalize,
        lambda,
        rescale,
    } = options;
    let density = density.shares("density", inputs.members.len())?;
    let gamma = gamma.shares("gamma", inputs.members.len())?;
    let mut task = Task::new(coefficients, *normalize, *lambda, elects, inputs)?;
    task.sift(*rescale, inputs, base, |index, member| {
        Sieve::middle(density[index], gamma[index], base, member)
    });
    task.merge(inputs, base, out)
}

/// What distinguishes the rules of this family.
struct Task {
    /// What each member's delta is multiplied by.
    coefficients: Vec<f32>,
    /// What of each member's delta is kept, and what that is multiplied by.
    sieves: Vec<(Sieve, f32)>,
    /// Whether each element's sign is elected, and only the deltas of that sign are added up.
    elects: bool,
    /// Whether the sum is divided by the coefficients that took part in it.
    normalize: bool,
    /// What the sum is multiplied by.
    lambda: f32,
}

impl Task {
    /// Keeps all of every delta.
    fn new(
        coefficients: &PerMember,
        normalize: bool,
        lambda: f64,
        elects: bool,
        inputs: &Inputs<'_>,
    ) -> Result<Self> {
        let members = inputs.members.len();
        Ok(Self {
            coefficients: coefficients.coefficients(members)?,
            sieves: vec![(Sieve::Open, 1.0); members],
            elects,
            normalize,
            lambda: finite("lambda", lambda)? as f32,
        })
    }

    /// Keeps what a sieve made for each member does.
    fn sift(
        &mut self,
        rescale: bool,
        inputs: &Inputs<'_>,
        base: &[f32],
        sieve: impl Fn(usize, &[f32]) -> Sieve,
    ) {
        for (index, member) in inputs.members.iter().enumerate() {
            let sieve = sieve(index, member);
            let stretch = if rescale {
                sieve.stretch(base, member)
            } else {
                1.0
            };
            self.sieves[index] = (sieve, stretch);
        }
    }

    fn merge(mut self, inputs: &Inputs<'_>, base: &[f32], out: &mut [f32]) -> Result<()> {
        let mut deltas = scratch(inputs.members.len(), out.len());
        for block in blocks(out.len()) {
            let first = inputs.first + block.start;
            let base = &base[block.clone()];
            let out = &mut out[block.clone()];
            expect_finite(Operand::Base, first, base)?;
            for (index, row) in deltas.iter_mut().enumerate() {
                let member = &inputs.members[index][block.clone()];
                expect_finite(Operand::Member(index), first, member)?;
                let row = &mut row[..block.len()];
                subtract(member, base, row);
                self.thin(index, row);
            }
            if self.elects {
                self.add_elected(&deltas, out);
            } else {
                self.add(&deltas, out);
            }
            for (out, base) in out.iter_mut().zip(base) {
                *out = base + *out * self.lambda;
            }
        }
        Ok(())
    }

    fn thin(&mut self, member: usize, deltas: &mut [f32]) {
        let (sieve, stretch) = &mut self.sieves[member];
        sieve.strain(deltas);
        for delta in deltas {
            *delta = *delta * *stretch * self.coefficients[member];
        }
    }

    fn add(&self, deltas: &[Vec<f32>], out: &mut [f32]) {
        let sum: f32 = self.coefficients.iter().sum();
        let divisor = if self.normalize && sum.abs() >= SMALLEST_DIVISOR {
            sum
        } else {
            1.0
        };
        out.fill(0.0);
        for row in deltas {
            for (out, delta) in out.iter_mut().zip(row) {
                *out += delta;
            }
        }
        for out in out {
            *out /= divisor;
        }
    }

    /// Elects the sign of each sum and adds up the deltas that have it (Yadav et al. 2023, section 4).
    fn add_elected(&self, deltas: &[Vec<f32>], out: &mut [f32]) {
        for (group, out) in out.chunks_mut(LANES).enumerate() {
            let (mut sum, mut merged, mut divisor) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
            let start = group * LANES;
            let rows = deltas.iter().map(|row| &row[start..start + out.len()]);
            for row in rows.clone() {
                for (sum, delta) in sum.iter_mut().zip(row) {
                    *sum += delta;
                }
            }
            for (row, coefficient) in rows.zip(&self.coefficients) {
                for (lane, &delta) in row.iter().enumerate() {
                    let agrees = if sum[lane] >= 0.0 {
                        delta > 0.0
                    } else {
                        delta < 0.0
                    };
                    merged[lane] += if agrees { delta } else { 0.0 };
                    divisor[lane] += if agrees { *coefficient } else { 0.0 };
                }
            }
            for (lane, out) in out.iter_mut().enumerate() {
                let divides = self.normalize && divisor[lane] != 0.0;
                *out = if divides {
                    merged[lane] / divisor[lane]
                } else {
                    merged[lane]
                };
            }
        }
    }
}
