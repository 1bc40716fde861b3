//! Averages of products, taken apart into factors of a given rank.
//!
//! The sum of `coefficient * scale * B A` over adapters is a product of stacked factors, `[outputs, ranks] [ranks, inputs]`.
//! Orthogonal bases of both are found by QR; what is left is a small matrix, whose singular values say what a lower rank
//! costs. All of it in f64: checkpoints of one run are nearly the same, and their stacks nearly singular.

use nalgebra::{DMatrix, DMatrixView};

use crate::error::{Error, Result};
use crate::kernel::{has_non_finite, store};
use crate::lora::{Module, Modules};
use crate::plan::{Make, Source, Task};
use crate::recipe::Recipe;
use crate::work::{Buffers, Work};
use crate::write::Spec;

/// When the small matrix counts as diagonal, and after how many steps it is given up.
const TOLERANCE: f64 = 5.0 * f64::EPSILON;
const MOST_ITERATIONS: usize = 100_000;

/// How the factors of a module are made.
#[derive(Debug)]
pub(crate) struct Refactor {
    /// The module's name.
    pub(crate) module: String,
    /// What the product of each adapter is multiplied by. Its factors are sources `2 i` and `2 i + 1`.
    coefficients: Vec<f64>,
    ranks: Vec<usize>,
    /// That of the result.
    rank: usize,
}

/// What was lost by giving a product a lower rank: squares of Frobenius norms.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Truncation {
    /// Of what was left out.
    pub lost: f64,
    /// Of the whole.
    pub whole: f64,
}

impl Truncation {
    /// The norm of what was left out, as a share of the whole's.
    pub fn relative(self) -> f64 {
        match self.whole > 0.0 {
            true => (self.lost / self.whole).sqrt(),
            false => 0.0,
        }
    }
}

/// The tasks that make both factors of every module, with ranks and scales of the result.
pub(super) fn tasks<'a>(
    modules: &[Module<'a>],
    rank: Option<usize>,
    recipe: &Recipe,
) -> Result<(Vec<Task<'a>>, Modules)> {
    let largest = modules.iter().map(Module::rank).max().unwrap_or(1);
    let rank = rank.unwrap_or(largest);
    let tasks = modules.iter().map(|module| task(module, rank, recipe));
    let tasks = tasks.collect::<Result<_>>()?;
    let made = modules
        .iter()
        .map(|module| (module.name.clone(), (rank, 1.0)));
    Ok((tasks, made.collect()))
}

fn task<'a>(module: &Module<'a>, rank: usize, recipe: &Recipe) -> Result<Task<'a>> {
    let [a, b] = &module.factors;
    let given = recipe.coefficients(&[a, b])?;
    let parts = module.parts.iter();
    let coefficients = parts.map(|part| given[part.model] * part.scale).collect();
    let sources = module
        .parts
        .iter()
        .flat_map(|part| [part.a, part.b].map(|tensor| Source::new(part.model, tensor)));
    let sources: Vec<Source<'a>> = sources.collect();
    let shapes = module.shapes(rank).into_iter();
    let specs = shapes
        .zip(&module.factors)
        .zip(&sources)
        .map(|((shape, name), source)| Spec {
            name: name.clone(),
            dtype: recipe.dtype.unwrap_or(source.tensor.dtype),
            shape,
        });
    let refactor = Refactor {
        module: module.name.clone(),
        coefficients,
        ranks: module.parts.iter().map(|part| part.rank).collect(),
        rank,
    };
    Ok(Task::new(
        specs.collect(),
        sources,
        Make::Refactor(refactor),
    ))
}

impl Refactor {
    /// Most bytes that matrices of `outputs` and `inputs` take.
    pub(crate) fn bytes(&self, task: &Task<'_>) -> usize {
        let sides: usize = task.specs.iter().map(Spec::elements).sum::<usize>() / self.rank;
        let stacked: usize = self.ranks.iter().sum();
        // The stacks, their decompositions and bases; the new factors and what is written.
        sides * (3 * stacked + 2 * self.rank) * size_of::<f64>()
    }

    /// New factors `A`, `[rank, inputs]`, and `B`, `[outputs, rank]`, of factors in the same order, row-major; `None` if a
    /// product is no finite number.
    fn new_factors(
        &self,
        factors: &[Vec<f64>],
    ) -> Option<(DMatrix<f64>, DMatrix<f64>, Truncation)> {
        let stacked: usize = self.ranks.iter().sum();
        let inputs = factors[0].len() / self.ranks[0];
        let outputs = factors[1].len() / self.ranks[0];
        // 1. Stacks, both with a column for each rank.
        let (mut a, mut b) = (
            DMatrix::zeros(inputs, stacked),
            DMatrix::zeros(outputs, stacked),
        );
        let mut column = 0;
        for (part, (&rank, &coefficient)) in self.ranks.iter().zip(&self.coefficients).enumerate() {
            // A row-major matrix is the transpose of a column-major one.
            let view = DMatrixView::from_slice(&factors[2 * part], inputs, rank);
            a.columns_mut(column, rank).copy_from(&view);
            let view = DMatrixView::from_slice(&factors[2 * part + 1], rank, outputs);
            b.columns_mut(column, rank)
                .copy_from(&(view.transpose() * coefficient));
            column += rank;
        }
        // 2. Orthogonal bases, and the small matrix between them.
        let (a, b) = (a.qr(), b.qr());
        let core = b.r() * a.r().transpose();
        if !core.iter().all(|entry| entry.is_finite()) {
            return None;
        }
        let svd = core.try_svd(true, true, TOLERANCE, MOST_ITERATIONS)?;
        let (u, v_t) = (svd.u.expect("asked for"), svd.v_t.expect("asked for"));
        // 3. The largest singular values, shared out evenly between the factors.
        let squares = || svd.singular_values.iter().map(|value| value * value);
        let truncation = Truncation {
            lost: squares().skip(self.rank).sum(),
            whole: squares().sum(),
        };
        let kept = self.rank.min(svd.singular_values.len());
        let roots = svd.singular_values.rows(0, kept).map(f64::sqrt);
        let roots = DMatrix::from_diagonal(&roots);
        let (mut new_a, mut new_b) = (
            DMatrix::zeros(self.rank, inputs),
            DMatrix::zeros(outputs, self.rank),
        );
        new_a
            .rows_mut(0, kept)
            .copy_from(&(&roots * v_t.rows(0, kept) * a.q().transpose()));
        new_b
            .columns_mut(0, kept)
            .copy_from(&(b.q() * u.columns(0, kept) * &roots));
        Some((new_a, new_b, truncation))
    }
}

impl<'a> Work<'a> {
    /// Makes both factors of a module.
    pub(crate) fn refactor(
        &self,
        task: &Task<'_>,
        refactor: &Refactor,
        buffers: &mut Buffers<'a>,
    ) -> Result<()> {
        let sources = 0..task.sources.len();
        let factors = sources.map(|source| self.read_whole(task, source, buffers));
        let factors = factors.collect::<Result<Vec<_>>>()?;
        let made = refactor.new_factors(&factors);
        let (a, b, truncation) = made.ok_or_else(|| {
            let place = format!("module `{}`", refactor.module);
            let what = "found factors whose products are too large, expected finite ones";
            Error::input("fuse::overflow", place, what)
        })?;
        self.note_truncation(&refactor.module, truncation);
        // Row-major: the transposes as they lie.
        for (number, matrix) in [a.transpose(), b.transpose()].iter().enumerate() {
            let dtype = task.specs[number].dtype;
            buffers.out.resize(matrix.len() * dtype.size(), 0);
            store(self.level, matrix.as_slice(), dtype, &mut buffers.out);
            if has_non_finite(&buffers.out, dtype) {
                return Err(self.overflow(task, number, 0, &buffers.out));
            }
            self.write(task, number, 0, &buffers.out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `rows x columns`, row-major, from a seed.
    fn matrix(rows: usize, columns: usize, seed: usize) -> Vec<f64> {
        let element = |k: usize| ((k * 7919 + seed * 104_729) % 613) as f64 / 307.0 - 1.0;
        (0..rows * columns).map(element).collect()
    }

    fn row_major(rows: usize, columns: usize, values: &[f64]) -> DMatrix<f64> {
        DMatrix::from_row_slice(rows, columns, values)
    }

    proptest! {
        #[test]
        fn at_full_rank_products_are_exact_and_below_it_the_error_is_the_one_told(
            outputs in 1usize..12, inputs in 1usize..12, ranks in prop::collection::vec(1usize..6, 1..4), rank in 1usize..14,
        ) {
            let mut factors = Vec::new();
            let mut expected = DMatrix::zeros(outputs, inputs);
            let coefficients: Vec<f64> = (0..ranks.len()).map(|k| 0.5 - k as f64 * 0.3).collect();
            for (part, &r) in ranks.iter().enumerate() {
                let (a, b) = (matrix(r, inputs, part + 1), matrix(outputs, r, part + 50));
                expected += row_major(outputs, r, &b) * row_major(r, inputs, &a) * coefficients[part];
                factors.extend([a, b]);
            }
            let refactor = Refactor { module: String::new(), coefficients, ranks: ranks.clone(), rank };
            let (a, b, truncation) = refactor.new_factors(&factors).expect("they are small");
            prop_assert_eq!((a.shape(), b.shape()), ((rank, inputs), (outputs, rank)));
            let error = (&expected - b * a).norm();
            prop_assert!((error - truncation.lost.sqrt()).abs() <= 1e-12 * (1.0 + expected.norm()));
            prop_assert!((truncation.whole.sqrt() - expected.norm()).abs() <= 1e-12 * (1.0 + expected.norm()));
            if rank >= outputs.min(inputs).min(ranks.iter().sum()) {
                prop_assert!(error <= 1e-12 * (1.0 + expected.norm()), "{}", error);
            }
        }
    }
}
