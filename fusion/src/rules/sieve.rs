//! Which elements of a delta are kept.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::TensorSeed;
use super::block::magnitude;
use super::ranking::{Place, Ranking};

/// Sums of magnitudes below this are not stretched (mergekit's `eps`).
const SMALLEST_SUM: f64 = 1e-7;

/// Thins out the delta of one member: keeps some of its elements and drops others. It looks at all of them first, as often
/// as it has to, in order, in as many pieces as one likes; then it strains them in the same way.
pub(super) struct Sieve {
    filter: Filter,
    rescale: bool,
    /// What the kept elements are being measured with, to find what they are to be stretched by.
    gauge: Option<Gauge>,
    /// What kept elements are multiplied by.
    stretch: f32,
}

/// What is kept.
#[derive(Clone)]
enum Filter {
    /// Everything.
    Open,
    /// Nothing.
    Closed,
    /// A band that is still being sought.
    Sought { ranking: Ranking, band: Band },
    /// Magnitudes from one edge to the other.
    Band { lower: Edge, upper: Option<Edge> },
    /// An element when its draw of 32 bits is below `threshold`.
    Random {
        generator: Box<ChaCha8Rng>,
        threshold: u64,
    },
}

/// Which ranks of the ascending magnitudes are kept.
#[derive(Clone)]
struct Band {
    ranks: Range<usize>,
    elements: usize,
    /// Whether of equal magnitudes at the lower end the first in the tensor are kept, or the last.
    keeps_first: bool,
}

/// A magnitude at the end of a band. It may occur many times: some of these are inside, by their order in the tensor.
#[derive(Clone)]
struct Edge {
    magnitude: u32,
    inside: Range<usize>,
    seen: usize,
}

/// Sums of magnitudes before and after a filter.
struct Gauge {
    filter: Filter,
    before: f64,
    after: f64,
    row: Vec<f32>,
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
    /// Keeps everything.
    pub(super) fn open() -> Self {
        Self::new(Filter::Open, false)
    }

    /// Keeps the largest magnitudes, a share of `density` of all but at least one. Of equal ones the first are kept.
    pub(super) fn largest(density: f64, elements: usize, rescale: bool) -> Self {
        if density >= 1.0 || density <= 0.0 || elements == 0 {
            return Self::new(Filter::trivial(density), rescale);
        }
        let kept = share(density, elements).max(1);
        let band = Band {
            ranks: elements - kept..elements,
            elements,
            keeps_first: true,
        };
        Self::new(Filter::sought(band), rescale)
    }

    /// Drops the largest magnitudes, a share of `gamma`, and the smallest until a share of `density` is left. Equal ones are
    /// ranked by their order in the tensor.
    pub(super) fn middle(density: f64, gamma: f64, elements: usize, rescale: bool) -> Self {
        let kept = share(density, elements);
        if density >= 1.0 || kept == 0 {
            return Self::new(Filter::trivial(density), rescale);
        }
        let first = (elements - kept).saturating_sub(share(gamma, elements));
        let band = Band {
            ranks: first..first + kept,
            elements,
            keeps_first: false,
        };
        Self::new(Filter::sought(band), rescale)
    }

    /// Keeps each element with probability `density`. The draws are those of the tensor's seed, the member and the element,
    /// so that pieces of a tensor get what they get in the whole.
    pub(super) fn random(density: f64, seed: TensorSeed, member: usize, rescale: bool) -> Self {
        if density >= 1.0 {
            return Self::new(Filter::Open, rescale);
        }
        let mut generator = ChaCha8Rng::from_seed(seed.0);
        generator.set_stream(member as u64);
        let filter = Filter::Random {
            generator: Box::new(generator),
            threshold: (density * 2.0_f64.powi(32)).round() as u64,
        };
        Self::new(filter, rescale)
    }

    fn new(filter: Filter, rescale: bool) -> Self {
        let mut sieve = Self {
            filter,
            rescale,
            gauge: None,
            stretch: 1.0,
        };
        sieve.begin_gauge();
        sieve
    }

    /// Measures what a filter keeps, once it is known.
    fn begin_gauge(&mut self) {
        let keeps_some = matches!(self.filter, Filter::Band { .. } | Filter::Random { .. });
        self.gauge = (self.rescale && keeps_some).then(|| Gauge {
            filter: self.filter.clone(),
            before: 0.0,
            after: 0.0,
            row: Vec::new(),
        });
    }

    /// How often it still has to look at the delta.
    pub(super) fn looks(&self) -> usize {
        match (&self.filter, &self.gauge) {
            (Filter::Sought { .. }, _) => 2 + usize::from(self.rescale),
            (_, gauge) => usize::from(gauge.is_some()),
        }
    }

    /// Looks at the elements from `first` on.
    pub(super) fn look(&mut self, first: usize, deltas: &[f32]) {
        if let Filter::Sought { ranking, .. } = &mut self.filter {
            ranking.look(deltas);
        }
        if let Some(gauge) = &mut self.gauge {
            gauge.row.clear();
            gauge.row.extend_from_slice(deltas);
            gauge.before += magnitude_sum(&gauge.row);
            gauge.filter.strain(first, &mut gauge.row);
            gauge.after += magnitude_sum(&gauge.row);
        }
    }

    /// Ends a look at the whole delta.
    pub(super) fn turn(&mut self) {
        if let Some(gauge) = self.gauge.take() {
            // The magnitudes that are kept add up to those of the whole then.
            if gauge.before >= SMALLEST_SUM && gauge.after >= SMALLEST_SUM {
                self.stretch = (gauge.before / gauge.after) as f32;
            }
        } else if let Filter::Sought { ranking, band } = &mut self.filter
            && ranking.turn()
        {
            self.filter = band.filter(&ranking.places());
            self.begin_gauge();
        }
    }

    /// Sets to zero what is dropped of the elements from `first` on; returns what the others are to be multiplied by.
    pub(super) fn strain(&mut self, first: usize, deltas: &mut [f32]) -> f32 {
        self.filter.strain(first, deltas);
        self.stretch
    }
}

impl Filter {
    /// Everything at a density of 1, else nothing.
    fn trivial(density: f64) -> Self {
        if density >= 1.0 {
            Self::Open
        } else {
            Self::Closed
        }
    }

    fn sought(band: Band) -> Self {
        Self::Sought {
            ranking: Ranking::new(vec![band.ranks.start, band.ranks.end]),
            band,
        }
    }

    fn strain(&mut self, first: usize, deltas: &mut [f32]) {
        match self {
            Self::Open => {}
            Self::Closed | Self::Sought { .. } => deltas.fill(0.0),
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
                generator.set_word_pos(first as u128);
                for delta in deltas {
                    if u64::from(generator.next_u32()) >= *threshold {
                        *delta = 0.0;
                    }
                }
            }
        }
    }
}

impl Band {
    /// The filter, once the magnitudes at both ends are known.
    fn filter(&self, ends: &[Option<Place>]) -> Filter {
        let &[Some(low), high] = ends else {
            return Filter::Closed;
        };
        let Range { start, end } = self.ranks;
        let inside = match self.keeps_first {
            true => 0..low.below + low.equal - start,
            false => start - low.below..usize::MAX,
        };
        // At the upper end of the tensor there is no next magnitude.
        let upper = high.filter(|_| end < self.elements);
        Filter::Band {
            lower: Edge::new(low.magnitude, inside),
            upper: upper.map(|place| Edge::new(place.magnitude, 0..end - place.below)),
        }
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

    /// Lets a sieve look as often as it wants, and strain; all in pieces.
    fn strained(mut sieve: Sieve, first: usize, deltas: &[f32], piece: usize) -> (Vec<f32>, f32) {
        let places = |index: usize| first + index * piece;
        for _ in 0..sieve.looks() {
            let pieces = deltas.chunks(piece).enumerate();
            pieces.for_each(|(index, piece)| sieve.look(places(index), piece));
            sieve.turn();
        }
        assert_eq!(sieve.looks(), 0);
        let (mut out, mut stretch) = (deltas.to_vec(), 1.0);
        for (index, piece) in out.chunks_mut(piece).enumerate() {
            stretch = sieve.strain(places(index), piece);
        }
        (out, stretch)
    }

    fn kept(sieve: Sieve, first: usize, deltas: &[f32], piece: usize) -> Vec<usize> {
        let (out, _) = strained(sieve, first, deltas, piece);
        (0..deltas.len()).filter(|&at| out[at] != 0.0).collect()
    }

    fn deltas() -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(prop_oneof![(1i8..5), (-4i8..0)].prop_map(f32::from), 1..60)
    }

    proptest! {
        #[test]
        fn the_largest_are_those_of_a_stable_sort(deltas in deltas(), density in 0.01f64..1.0, piece in 1usize..9) {
            let mut order: Vec<usize> = (0..deltas.len()).collect();
            order.sort_by_key(|&at| std::cmp::Reverse(magnitude(deltas[at])));
            order.truncate(share(density, deltas.len()).max(1));
            order.sort_unstable();
            prop_assert_eq!(kept(Sieve::largest(density, deltas.len(), false), 0, &deltas, piece), order);
        }

        #[test]
        fn the_middle_is_that_of_a_stable_sort(
            deltas in deltas(), density in 0.0f64..1.0, gamma in 0.0f64..1.0, piece in 1usize..9,
        ) {
            let mut order: Vec<usize> = (0..deltas.len()).collect();
            order.sort_by_key(|&at| magnitude(deltas[at]));
            let target = share(density, deltas.len());
            let first = (deltas.len() - target).saturating_sub(share(gamma, deltas.len()));
            let mut order = order[first..first + target].to_vec();
            order.sort_unstable();
            prop_assert_eq!(kept(Sieve::middle(density, gamma, deltas.len(), false), 0, &deltas, piece), order);
        }
    }

    #[test]
    fn draws_depend_on_seed_member_and_place_alone() {
        let ones = vec![1.0; 5000];
        let seed = TensorSeed::new(17, "layer.weight");
        let draws = |seed, member| Sieve::random(0.4, seed, member, false);
        let whole = kept(draws(seed, 1), 0, &ones, 5000);
        assert_eq!(kept(draws(seed, 1), 0, &ones, 7), whole);
        let tail = kept(draws(seed, 1), 1003, &ones[1003..], 64);
        let expected = whole.iter().filter(|&&at| at >= 1003).map(|at| at - 1003);
        assert_eq!(tail, expected.collect::<Vec<_>>());
        for other in [
            draws(seed, 0),
            draws(TensorSeed::new(18, "layer.weight"), 1),
            draws(TensorSeed::new(17, "layer.bias"), 1),
        ] {
            assert_ne!(kept(other, 0, &ones, 5000), whole);
        }
    }

    #[test]
    fn the_share_that_draws_keep_is_the_density() {
        let ones = vec![1.0; 200_000];
        for density in [0.01, 0.1, 0.5, 0.9, 0.99] {
            let sieve = Sieve::random(density, TensorSeed::new(3, "w"), 0, false);
            let rate = kept(sieve, 0, &ones, 4096).len() as f64 / ones.len() as f64;
            // Five standard deviations of a binomial share.
            let deviation = (density * (1.0 - density) / ones.len() as f64).sqrt();
            assert!(
                (rate - density).abs() < 5.0 * deviation,
                "found {rate} at {density}"
            );
        }
        let none = Sieve::random(0.0, TensorSeed::new(3, "w"), 0, false);
        assert!(kept(none, 0, &ones, 4096).is_empty());
    }

    #[test]
    fn stretching_restores_the_sum_of_magnitudes() {
        let whole: Vec<f32> = (0..3000).map(|k| (k as f32 - 1400.0) / 1024.0).collect();
        for sieve in [
            Sieve::largest(0.1, 3000, true),
            Sieve::middle(0.3, 0.2, 3000, true),
            Sieve::random(0.5, TensorSeed::new(1, "w"), 0, true),
        ] {
            let (out, stretch) = strained(sieve, 0, &whole, 1000);
            let found = magnitude_sum(&out) * f64::from(stretch) / magnitude_sum(&whole);
            assert!(stretch > 1.0 && (found - 1.0).abs() < 1e-7, "found {found}");
        }
        let (_, stretch) = strained(Sieve::largest(0.5, 3000, true), 0, &[0.0; 3000], 1000);
        assert_eq!(stretch, 1.0);
    }
}
