//! `sobol`: points that fill the space evenly.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Optimizer, Result, Stopping, Study, Suggestion,
    Suggestions, Verdict,
};
use search::point;

use crate::stopping::StoppingOptions;

/// Dimensions and points that one scramble of the tables has; more come from further scrambles.
const DIMENSIONS: u32 = 256;
const POINTS: u64 = 1 << 16;

/// An Owen-scrambled Sobol sequence, one dimension per axis (a simplex of `n` takes `n`).
pub struct Sobol {
    options: StoppingOptions,
    seed: u64,
}

impl Component for Sobol {
    type Options = StoppingOptions;

    fn describe() -> Descriptor {
        Descriptor::new(Kind::Optimizer, "sobol", "a scrambled Sobol sequence")
    }

    fn new(options: StoppingOptions, context: &Context) -> Result<Self> {
        Ok(Self {
            options,
            seed: context.seed,
        })
    }
}

impl Optimizer for Sobol {
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions> {
        let first = study.trials.len() as u64;
        (first..first + count as u64)
            .map(|trial| {
                let mut dimension = 0;
                point::draw(&study.space, || {
                    dimension += 1;
                    number(self.seed, trial, dimension - 1)
                })
                .map(Suggestion::evaluate)
            })
            .collect::<Result<_>>()
            .map(Suggestions::Points)
    }

    fn report(&mut self, study: &Study, trial: u64, step: u64, values: &[f64]) -> Result<Verdict> {
        Stopping::verdict_if(self.options.stopping.as_ref(), study, trial, step, values)
    }
}

/// Dimension `dimension` of point `index`, in `[0, 1)`.
fn number(seed: u64, index: u64, dimension: u32) -> f64 {
    // Both halves of the seed count; blocks of dimensions and of points get scrambles of their own.
    let block = (index / POINTS) as u32;
    let scramble = (seed as u32)
        ^ ((seed >> 32) as u32).rotate_left(16)
        ^ (dimension / DIMENSIONS).wrapping_mul(0x9E37_79B9)
        ^ block.wrapping_mul(0x85EB_CA6B);
    f64::from(sobol_burley::sample(
        (index % POINTS) as u32,
        dimension % DIMENSIONS,
        scramble,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dimension_is_stratified() {
        for dimension in [0, 1, 100, 255, 256, 300] {
            let mut bins = [0; 16];
            for index in 0..64 {
                bins[(number(3, index, dimension) * 16.0) as usize] += 1;
            }
            assert_eq!(bins, [4; 16], "dimension {dimension}");
        }
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(number(1, 5, 0), number(2, 5, 0));
        assert_ne!(number(1, 5, 0), number(1 | 1 << 40, 5, 0));
    }
}
