//! Task arithmetic and its kin: differences from a base are thinned out, multiplied, added up and put back on the base.

use super::block::{blocks, expect_finite, scratch, subtract};
use super::error::{Operand, Result};
use super::options::{self, Breadcrumbs, Dare, TaskArithmetic, Ties, finite};
use super::sieve::Sieve;
use super::{Inputs, Merge, Shape};

/// Divisors smaller than this count as 1 (mergekit's bound).
const SMALLEST_DIVISOR: f32 = 1e-8;

/// Elements whose signs are elected side by side.
const LANES: usize = 16;

/// What distinguishes the rules of this family.
pub(super) struct Task {
    /// What each member's delta is multiplied by.
    coefficients: Vec<f32>,
    /// What of each member's delta is kept.
    sieves: Vec<Sieve>,
    /// Whether each element's sign is elected, and only the deltas of that sign are added up.
    elects: bool,
    /// Whether the sum is divided by the coefficients that took part in it.
    normalize: bool,
    /// What the sum is multiplied by.
    lambda: f32,
    deltas: Vec<Vec<f32>>,
}

impl Task {
    pub(super) fn arithmetic(
        options: &TaskArithmetic,
        coefficients: &[f64],
        shape: &Shape,
    ) -> Result<Self> {
        let task = Self::new(coefficients, options.normalize, options.lambda, shape)?;
        Ok(task.sifted(false, |_| Sieve::open()))
    }

    pub(super) fn ties(options: &Ties, coefficients: &[f64], shape: &Shape) -> Result<Self> {
        let density = options.density.shares("density", shape.members)?;
        let task = Self::new(coefficients, options.normalize, options.lambda, shape)?;
        Ok(task.sifted(true, |member| {
            Sieve::largest(density[member], shape.elements, options.rescale)
        }))
    }

    pub(super) fn dare(
        options: &Dare,
        elects: bool,
        coefficients: &[f64],
        shape: &Shape,
    ) -> Result<Self> {
        let density = options.density.shares("density", shape.members)?;
        let task = Self::new(coefficients, options.normalize, options.lambda, shape)?;
        Ok(task.sifted(elects, |member| {
            Sieve::random(density[member], shape.seed, member, options.rescale)
        }))
    }

    pub(super) fn breadcrumbs(
        options: &Breadcrumbs,
        elects: bool,
        coefficients: &[f64],
        shape: &Shape,
    ) -> Result<Self> {
        let density = options.density.shares("density", shape.members)?;
        let gamma = options.gamma.shares("gamma", shape.members)?;
        let task = Self::new(coefficients, options.normalize, options.lambda, shape)?;
        Ok(task.sifted(elects, |member| {
            Sieve::middle(
                density[member],
                gamma[member],
                shape.elements,
                options.rescale,
            )
        }))
    }

    fn new(coefficients: &[f64], normalize: bool, lambda: f64, shape: &Shape) -> Result<Self> {
        Ok(Self {
            coefficients: options::coefficients(coefficients, shape.members)?,
            sieves: Vec::new(),
            elects: false,
            normalize,
            lambda: finite("lambda", lambda)? as f32,
            deltas: scratch(shape.members, shape.elements),
        })
    }

    /// Keeps of each member's delta what its sieve does.
    fn sifted(mut self, elects: bool, sieve: impl Fn(usize) -> Sieve) -> Self {
        self.sieves = (0..self.coefficients.len()).map(sieve).collect();
        self.elects = elects;
        self
    }

    fn add(&self, out: &mut [f32]) {
        let sum: f32 = self.coefficients.iter().sum();
        let divisor = if self.normalize && sum.abs() >= SMALLEST_DIVISOR {
            sum
        } else {
            1.0
        };
        out.fill(0.0);
        for row in &self.deltas {
            for (out, delta) in out.iter_mut().zip(row) {
                *out += delta;
            }
        }
        for out in out {
            *out /= divisor;
        }
    }

    /// Elects the sign of each sum and adds up the deltas that have it (Yadav et al. 2023, section 4).
    fn add_elected(&self, out: &mut [f32]) {
        for (group, out) in out.chunks_mut(LANES).enumerate() {
            let (mut sum, mut merged, mut divisor) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
            let start = group * LANES;
            let rows = self.deltas.iter().map(|row| &row[start..start + out.len()]);
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

impl Merge for Task {
    fn looks(&self) -> usize {
        self.sieves.iter().map(Sieve::looks).max().unwrap_or(0)
    }

    fn look(&mut self, inputs: &Inputs<'_>) -> Result<()> {
        for block in blocks(inputs.elements()) {
            let base = &inputs.base()[block.clone()];
            let members = inputs.members.iter().zip(&mut self.sieves);
            for ((member, sieve), row) in members.zip(&mut self.deltas) {
                if sieve.looks() > 0 {
                    let row = &mut row[..block.len()];
                    subtract(&member[block.clone()], base, row);
                    sieve.look(inputs.first + block.start, row);
                }
            }
        }
        Ok(())
    }

    fn turn(&mut self) {
        self.sieves.iter_mut().for_each(Sieve::turn);
    }

    fn merge(&mut self, inputs: &Inputs<'_>, out: &mut [f32]) -> Result<()> {
        for block in blocks(out.len()) {
            let first = inputs.first + block.start;
            let base = &inputs.base()[block.clone()];
            let out = &mut out[block.clone()];
            expect_finite(Operand::Base, first, base)?;
            for (index, row) in self.deltas.iter_mut().enumerate() {
                let member = &inputs.members[index][block.clone()];
                expect_finite(Operand::Member(index), first, member)?;
                let row = &mut row[..block.len()];
                subtract(member, base, row);
                let stretch = self.sieves[index].strain(first, row);
                for delta in row {
                    *delta = *delta * stretch * self.coefficients[index];
                }
            }
            if self.elects {
                self.add_elected(out);
            } else {
                self.add(out);
            }
            for (out, base) in out.iter_mut().zip(base) {
                *out = base + *out * self.lambda;
            }
        }
        Ok(())
    }
}
