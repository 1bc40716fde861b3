//! Order statistics of the magnitudes of a delta without sorting and without a copy of it.
//!
//! Magnitudes of f32 are integers of 31 bits in disguise. A histogram of the upper 16 bits says in which bin a rank lies; a
//! second one, of the lower 15 bits of that bin's members, says where. Two passes and two small tables, whatever the
//! tensor's size; exact.

use super::block::magnitude;

const LOW_BITS: u32 = 15;
const COARSE: usize = 1 << 16;
const FINE: usize = 1 << LOW_BITS;

/// Bytes of the tables while two ranks are sought.
pub(super) const BYTES: usize = (COARSE + 2 * FINE) * size_of::<usize>();

/// Finds the magnitudes at some ranks, in ascending order, by looking twice at all of them.
#[derive(Clone)]
pub(super) struct Ranking {
    ranks: Vec<usize>,
    /// How many magnitudes have these upper bits; nothing before the first look and after it.
    coarse: Vec<usize>,
    /// Where each rank is, from the first look on; `None` past the last magnitude.
    bins: Option<Vec<Option<Bin>>>,
}

/// The magnitudes that share their upper bits with the one at a rank.
#[derive(Clone)]
struct Bin {
    upper: usize,
    /// How many magnitudes are in the bins before it.
    before: usize,
    /// How many have these lower bits.
    fine: Vec<usize>,
}

/// The magnitude at a rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its bits.
    pub magnitude: u32,
    /// How many magnitudes are smaller.
    pub below: usize,
    /// How many are the same, itself included.
    pub equal: usize,
}

impl Ranking {
    /// A rank is the number of magnitudes that come before.
    pub(super) fn new(ranks: Vec<usize>) -> Self {
        Self {
            ranks,
            coarse: Vec::new(),
            bins: None,
        }
    }

    pub(super) fn look(&mut self, deltas: &[f32]) {
        let magnitudes = deltas.iter().map(|delta| magnitude(*delta));
        let Some(bins) = &mut self.bins else {
            self.coarse.resize(COARSE, 0);
            magnitudes.for_each(|magnitude| self.coarse[(magnitude >> LOW_BITS) as usize] += 1);
            return;
        };
        for bin in bins.iter_mut().flatten() {
            for magnitude in magnitudes.clone() {
                if (magnitude >> LOW_BITS) as usize == bin.upper {
                    bin.fine[magnitude as usize % FINE] += 1;
                }
            }
        }
    }

    /// Ends a look; says whether it was the second.
    pub(super) fn turn(&mut self) -> bool {
        if self.bins.is_some() {
            return true;
        }
        let coarse = std::mem::take(&mut self.coarse);
        let bin = |&rank: &usize| {
            let (upper, before) = walk(&coarse, rank)?;
            let fine = vec![0; FINE];
            Some(Bin {
                upper,
                before,
                fine,
            })
        };
        self.bins = Some(self.ranks.iter().map(bin).collect());
        false
    }

    /// The magnitude at each rank, after both looks; `None` past the last.
    pub(super) fn places(&self) -> Vec<Option<Place>> {
        let bins = self.bins.as_deref().unwrap_or_default();
        let place = |(bin, &rank): (&Option<Bin>, &usize)| {
            let bin = bin.as_ref()?;
            let (lower, below) = walk(&bin.fine, rank - bin.before)?;
            Some(Place {
                magnitude: (bin.upper << LOW_BITS | lower) as u32,
                below: bin.before + below,
                equal: bin.fine[lower],
            })
        };
        bins.iter().zip(&self.ranks).map(place).collect()
    }
}

/// The bin that holds a rank, and how many come in the bins before it.
fn walk(bins: &[usize], rank: usize) -> Option<(usize, usize)> {
    let mut before = 0;
    for (bin, &count) in bins.iter().enumerate() {
        if rank < before + count {
            return Some((bin, before));
        }
        before += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_are_those_of_the_sorted_magnitudes(
            deltas in prop::collection::vec(
                prop_oneof![prop::num::f32::NORMAL | prop::num::f32::ZERO | prop::num::f32::SUBNORMAL, (-3i8..3).prop_map(f32::from)],
                1..40,
            ),
            piece in 1usize..9,
        ) {
            let mut sorted: Vec<u32> = deltas.iter().map(|value| magnitude(*value)).collect();
            sorted.sort_unstable();
            let mut ranking = Ranking::new((0..=sorted.len()).collect());
            for is_second in [false, true] {
                deltas.chunks(piece).for_each(|piece| ranking.look(piece));
                prop_assert_eq!(ranking.turn(), is_second);
            }
            let places = ranking.places();
            for (place, &expected) in places.iter().zip(&sorted) {
                let place = place.unwrap();
                prop_assert_eq!(place.magnitude, expected);
                prop_assert_eq!(place.below, sorted.partition_point(|&other| other < expected));
                prop_assert_eq!(place.equal, sorted.iter().filter(|&&other| other == expected).count());
            }
            prop_assert_eq!(places[sorted.len()], None);
        }
    }
}
