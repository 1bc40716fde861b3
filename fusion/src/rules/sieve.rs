//! Which elements of a delta are kept.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::TensorSeed;
use super::block::{blocks, magnitude, scratch, subtract};
use super::ranking::Ranking;

/// Sums of magnitudes below this are not stretched (mergekit's `eps`).
const SMALLEST_SUM: f64 = 1e-7;

/// Keeps some elements of a delta and drops others; goes over the delta once, front to back, in as many pieces as one
/// likes.
#[derive(Clone)]
pub(super) enum Sieve {
    /// Keeps everything.
    Open,
    /// Keeps nothing.
    Closed,
    /// Keeps magnitudes from one edge to the other.
    Band { lower: Edge, upper: Option<Edge> },
    /// Keeps an element when the next draw of 32 bits is below `threshold`.
    Random {
        generator: Box<ChaCha8Rng>,
        threshold: u64,
    },
}

/// A magnitude at the end of a band. It may occur many times: some of these are inside, by their order in the tensor.
#[derive(Clone)]
pub(super) struct Edge {
    magnitude: u32,
    inside: Range<usize>,
    seen: usize,
}

impl Edge {
    fn new(magnitude: u32, inside: Range<usize>) -> Self {
        Self {
            magnitude,
            inside,
            seen: 0,
        }
    }

    /// Whether the next element of this very magnitude is inside.
    fn take(&mut self) -> bool {
        self.seen += 1;
        self.inside.contains(&(self.seen - 1))
    }
}

impl Sieve {
    /// Keeps the largest magnitudes, a share of `density` of all but at least one. Of equal ones the first are kept.
    pub(super) fn largest(density: f64, base: &[f32], member: &[f32]) -> Self {
        let elements = member.len();
        if density >= 1.0 {
            return Self::Open;
        }
        let kept = share(density, elements).max(1);
        if density <= 0.0 {
            return Self::Closed;
        }
        let Some(place) = Ranking::new(base, member).at(elements.saturating_sub(kept)) else {
            return Self::Closed; // Of nothing, nothing is kept.
        };
        let above = elements - place.below - place.equal;
        Self::Band {
            lower: Edge::new(place.magnitude, 0..kept - above),
            upper: None,
        }
    }

    /// Drops the largest magnitudes, a share of `gamma`, and the smallest until a share of `density` is left. Equal ones are
    /// ranked by their order in the tensor.
    pub(super) fn middle(density: f64, gamma: f64, base: &[f32], member: &[f32]) -> Self {
        let elements = member.len();
        if density >= 1.0 {
            return Self::Open;
        }
        let kept = share(density, elements);
        let first = (elements - kept).saturating_sub(share(gamma, elements));
        if kept == 0 {
            return Self::Closed;
        }
        let ranking = Ranking::new(base, member);
        let Some(place) = ranking.at(first) else {
            return Self::Closed;
        };
        let lower = Edge::new(place.magnitude, first - place.below..usize::MAX);
        let end = first + kept;
        let upper = ranking
            .at(end)
            .map(|place| Edge::new(place.magnitude, 0..end - place.below));
        Self::Band { lower, upper }
    }

    /// Keeps each element with probability `density`. The draws are those of the tensor's seed, the member and the element,
    /// so that pieces of a tensor get what they get in the whole.
    pub(super) fn random(density: f64, seed: TensorSeed, member: usize, first: usize) -> Self {
        if density >= 1.0 {
            return Self::Open;
        }
        let mut generator = ChaCha8Rng::from_seed(seed.0);
        generator.set_stream(member as u64);
        generator.set_word_pos(first as u128);
        let threshold = (density * 2.0_f64.powi(32)).round() as u64;
        Self::Random {
            generator: Box::new(generator),
            threshold,
        }
    }

    /// Sets to zero what is dropped from the next elements of the delta.
    pub(super) fn strain(&mut self, deltas: &mut [f32]) {
        match self {
            Self::Open => {}
            Self::Closed => deltas.fill(0.0),
            Self::Band { lower, upper } => {
                for delta in deltas {
                    if !is_inside(magnitude(*delta), lower, upper.as_mut()) {
                        *delta = 0.0;
                    }
                }
            }
            Self::Random {
                generator,
                threshold,
            } => {
                for delta in deltas {
                    if u64::from(generator.next_u32()) >= *threshold {
                        *delta = 0.0;
                    }
                }
            }
        }
    }

    /// What the kept elements are multiplied by so that their magnitudes add up to those of the whole delta; 1 where
    /// either sum is next to nothing. Costs a pass over the delta.
    pub(super) fn stretch(&self, base: &[f32], member: &[f32]) -> f32 {
        if matches!(self, Self::Open | Self::Closed) {
            return 1.0;
        }
        let mut sieve = self.clone();
        let mut row = scratch(1, member.len()).concat();
        let (mut before, mut after) = (0.0, 0.0);
        for block in blocks(member.len()) {
            let deltas = &mut row[..block.len()];
            subtract(&member[block.clone()], &base[block], deltas);
            before += magnitude_sum(deltas);
            sieve.strain(deltas);
            after += magnitude_sum(deltas);
        }
        if before < SMALLEST_SUM || after < SMALLEST_SUM {
            return 1.0;
        }
        (before / after) as f32
    }
}

/// Whether a magnitude is in the band. Both edges see the elements that are equal to them, whatever the other says.
fn is_inside(magnitude: u32, lower: &mut Edge, upper: Option<&mut Edge>) -> bool {
    let above = magnitude > lower.magnitude || (magnitude == lower.magnitude && lower.take());
    let Some(upper) = upper else {
        return above;
    };
    let below = magnitude < upper.magnitude || (magnitude == upper.magnitude && upper.take());
    above && below
}

/// A share of a number of elements, rounded down.
fn share(share: f64, elements: usize) -> usize {
    (share * elements as f64) as usize
}

fn magnitude_sum(deltas: &[f32]) -> f64 {
    deltas.iter().map(|delta| f64::from(delta.abs())).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(mut sieve: Sieve, deltas: &[f32], piece: usize) -> Vec<usize> {
        let mut out = deltas.to_vec();
        out.chunks_mut(piece).for_each(|piece| sieve.strain(piece));
        (0..deltas.len()).filter(|&at| out[at] != 0.0).collect()
    }

    fn deltas() -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(prop_oneof![(1i8..5), (-4i8..0)].prop_map(f32::from), 1..60)
    }

    proptest! {
        #[test]
        fn the_largest_are_those_of_a_stable_sort(deltas in deltas(), density in 0.01f64..1.0, piece in 1usize..9) {
            let base = vec![0.0; deltas.len()];
            let mut order: Vec<usize> = (0..deltas.len()).collect();
            order.sort_by_key(|&at| std::cmp::Reverse(magnitude(deltas[at])));
            order.truncate(share(density, deltas.len()).max(1));
            order.sort_unstable();
            prop_assert_eq!(kept(Sieve::largest(density, &base, &deltas), &deltas, piece), order);
        }

        #[test]
        fn the_middle_is_that_of_a_stable_sort(
            deltas in deltas(), density in 0.0f64..1.0, gamma in 0.0f64..1.0, piece in 1usize..9,
        ) {
            let base = vec![0.0; deltas.len()];
            let mut order: Vec<usize> = (0..deltas.len()).collect();
            order.sort_by_key(|&at| magnitude(deltas[at]));
            let target = share(density, deltas.len());
            let first = (deltas.len() - target).saturating_sub(share(gamma, deltas.len()));
            let mut order = order[first..first + target].to_vec();
            order.sort_unstable();
            prop_assert_eq!(kept(Sieve::middle(density, gamma, &base, &deltas), &deltas, piece), order);
        }
    }

    #[test]
    fn draws_depend_on_seed_member_and_place_alone() {
        let ones = vec![1.0; 5000];
        let seed = TensorSeed::new(17, "layer.weight");
        let whole = kept(Sieve::random(0.4, seed, 1, 0), &ones, 5000);
        assert_eq!(kept(Sieve::random(0.4, seed, 1, 0), &ones, 7), whole);
        let tail = kept(Sieve::random(0.4, seed, 1, 1003), &ones[1003..], 64);
        let expected = whole.iter().filter(|&&at| at >= 1003).map(|at| at - 1003);
        assert_eq!(tail, expected.collect::<Vec<_>>());
        for other in [
            Sieve::random(0.4, seed, 0, 0),
            Sieve::random(0.4, TensorSeed::new(18, "layer.weight"), 1, 0),
            Sieve::random(0.4, TensorSeed::new(17, "layer.bias"), 1, 0),
        ] {
            assert_ne!(kept(other, &ones, 5000), whole);
        }
    }

    #[test]
    fn the_share_that_draws_keep_is_the_density() {
        let ones = vec![1.0; 200_000];
        for density in [0.01, 0.1, 0.5, 0.9, 0.99] {
            let sieve = Sieve::random(density, TensorSeed::new(3, "w"), 0, 0);
            let rate = kept(sieve, &ones, 4096).len() as f64 / ones.len() as f64;
            // Five standard deviations of a binomial share.
            let deviation = (density * (1.0 - density) / ones.len() as f64).sqrt();
            assert!(
                (rate - density).abs() < 5.0 * deviation,
                "found {rate} at {density}"
            );
        }
        assert!(
            kept(
                Sieve::random(0.0, TensorSeed::new(3, "w"), 0, 0),
                &ones,
                4096
            )
            .is_empty()
        );
    }

    #[test]
    fn stretching_restores_the_sum_of_magnitudes() {
        let base = vec![0.5; 3000];
        let member: Vec<f32> = (0..3000)
            .map(|k| 0.5 + (k as f32 - 1400.0) / 1024.0)
            .collect();
        for sieve in [
            Sieve::largest(0.1, &base, &member),
            Sieve::middle(0.3, 0.2, &base, &member),
            Sieve::random(0.5, TensorSeed::new(1, "w"), 0, 0),
        ] {
            let stretch = f64::from(sieve.stretch(&base, &member));
            let whole: Vec<f32> = member.iter().map(|value| value - 0.5).collect();
            let mut strained = whole.clone();
            sieve.clone().strain(&mut strained);
            let found = magnitude_sum(&strained) * stretch / magnitude_sum(&whole);
            assert!(stretch > 1.0 && (found - 1.0).abs() < 1e-7, "found {found}");
        }
        assert_eq!(Sieve::largest(0.5, &base, &base).stretch(&base, &base), 1.0);
    }
}
