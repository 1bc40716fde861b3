//! Order statistics of the magnitudes of a delta without sorting and without a copy of it.
//!
//! Magnitudes of f32 are integers of 31 bits in disguise. A histogram of the upper 16 bits says in which bin a rank lies; a
//! second one, of the lower 15 bits of that bin's members, says where. Two passes and two small tables, whatever the
//! tensor's size; exact.

use super::block::magnitude;

const LOW_BITS: u32 = 15;
const COARSE: usize = 1 << 16;
const FINE: usize = 1 << LOW_BITS;

/// The magnitudes of `member - base` in ascending order.
pub(super) struct Ranking<'a> {
    base: &'a [f32],
    member: &'a [f32],
    /// How many magnitudes have these upper bits.
    coarse: Vec<usize>,
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

impl<'a> Ranking<'a> {
    pub(super) fn new(base: &'a [f32], member: &'a [f32]) -> Self {
        let mut ranking = Self {
            base,
            member,
            coarse: vec![0; COARSE],
        };
        let mut coarse = std::mem::take(&mut ranking.coarse);
        for magnitude in ranking.magnitudes() {
            coarse[(magnitude >> LOW_BITS) as usize] += 1;
        }
        ranking.coarse = coarse;
        ranking
    }

    /// The magnitude that `rank` others come before; `None` past the last.
    pub(super) fn at(&self, rank: usize) -> Option<Place> {
        let (upper, before) = walk(&self.coarse, rank)?;
        let mut fine = vec![0; FINE];
        for magnitude in self.magnitudes() {
            if (magnitude >> LOW_BITS) as usize == upper {
                fine[magnitude as usize % FINE] += 1;
            }
        }
        let (lower, below) = walk(&fine, rank - before)?;
        let equal = fine[lower];
        let magnitude = (upper << LOW_BITS | lower) as u32;
        Some(Place {
            magnitude,
            below: before + below,
            equal,
        })
    }

    fn magnitudes(&self) -> impl Iterator<Item = u32> {
        self.member
            .iter()
            .zip(self.base)
            .map(|(member, base)| magnitude(member - base))
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
            member in prop::collection::vec(
                prop_oneof![prop::num::f32::NORMAL | prop::num::f32::ZERO | prop::num::f32::SUBNORMAL, (-3i8..3).prop_map(f32::from)],
                1..80,
            ),
        ) {
            let base = vec![0.0; member.len()];
            let ranking = Ranking::new(&base, &member);
            let mut sorted: Vec<u32> = member.iter().map(|value| magnitude(*value)).collect();
            sorted.sort_unstable();
            for (rank, &expected) in sorted.iter().enumerate() {
                let place = ranking.at(rank).unwrap();
                prop_assert_eq!(place.magnitude, expected);
                prop_assert_eq!(place.below, sorted.partition_point(|&other| other < expected));
                prop_assert_eq!(place.equal, sorted.iter().filter(|&&other| other == expected).count());
            }
            prop_assert_eq!(ranking.at(sorted.len()), None);
        }
    }
}
