//! Which words of a prediction belong to which words of a reference.

/// No word.
const NONE: u32 = u32::MAX;

/// The places of words that still are free, the last of each word first.
#[derive(Debug, Default)]
struct Places {
    /// For each word its last free place.
    last: Vec<u32>,
    /// For each place the one before it with the same word.
    before: Vec<u32>,
    /// The words that have a place, to empty `last` by.
    filled: Vec<u32>,
}

/// Aligns two texts; keeps its buffers.
#[derive(Debug, Default)]
pub struct Alignment {
    places: Places,
    /// For each word of the prediction where it belongs.
    matches: Vec<u32>,
    /// Which words of the reference are taken.
    taken: Vec<bool>,
    aligned: usize,
}

impl Alignment {
    /// Begins with nothing aligned.
    pub fn begin(&mut self, predicted: usize, reference: usize) {
        self.matches.clear();
        self.matches.resize(predicted, NONE);
        self.taken.clear();
        self.taken.resize(reference, false);
        self.aligned = 0;
    }

    /// Whether nothing is left in one of the texts.
    fn is_complete(&self) -> bool {
        self.aligned == self.matches.len().min(self.taken.len())
    }

    /// Aligns what is free. From the end of the prediction on, each word takes the last free place in the reference that
    /// has one of the keys that `keys` gives for it. The reference's own keys, one per word, are below `bound`; a place
    /// without a key is passed over.
    pub fn stage<'k>(
        &mut self,
        reference: impl Iterator<Item = Option<u32>>,
        bound: usize,
        keys: impl Fn(usize) -> &'k [u32],
    ) {
        if self.is_complete() {
            return;
        }
        let Self {
            places,
            matches,
            taken,
            aligned,
        } = self;
        places.last.resize(places.last.len().max(bound), NONE);
        places.before.clear();
        places.filled.clear();
        for (place, key) in reference.enumerate() {
            let key = key.filter(|_| !taken[place]);
            places.before.push(key.map_or(NONE, |key| {
                std::mem::replace(&mut places.last[key as usize], place as u32)
            }));
            places.filled.extend(key);
        }
        for (word, found) in matches
            .iter_mut()
            .enumerate()
            .rev()
            .filter(|(_, found)| **found == NONE)
        {
            // `NONE` is the greatest number: one more makes it the least.
            let last = |key: &u32| {
                places
                    .last
                    .get(*key as usize)
                    .map_or(0, |place| place.wrapping_add(1))
            };
            let Some(&key) = keys(word)
                .iter()
                .max_by_key(|key| last(key))
                .filter(|key| last(key) > 0)
            else {
                continue;
            };
            let place = places.last[key as usize];
            places.last[key as usize] = places.before[place as usize];
            taken[place as usize] = true;
            *found = place;
            *aligned += 1;
        }
        for &key in &places.filled {
            places.last[key as usize] = NONE;
        }
    }

    /// The prediction's words that are not aligned; none if nothing is left in the reference.
    pub fn free(&self) -> impl Iterator<Item = usize> {
        let matches = match self.is_complete() {
            true => &[][..],
            false => &self.matches,
        };
        matches
            .iter()
            .enumerate()
            .filter(|(_, place)| **place == NONE)
            .map(|(word, _)| word)
    }

    /// How many words are aligned, and in how many chunks: runs that stand side by side in both texts.
    pub fn matches_and_chunks(&self) -> (usize, usize) {
        let (mut matches, mut chunks, mut expected) = (0, 0, NONE);
        for &place in &self.matches {
            if place == NONE {
                expected = NONE;
                continue;
            }
            matches += 1;
            chunks += usize::from(place != expected);
            expected = place + 1;
        }
        (matches, chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn align(predicted: &[u32], reference: &[u32]) -> Alignment {
        let mut alignment = Alignment::default();
        for _ in 0..2 {
            alignment.begin(predicted.len(), reference.len());
            let keys = |word: usize| std::slice::from_ref(&predicted[word]);
            alignment.stage(reference.iter().map(|word| Some(*word)), 10, keys);
        }
        alignment
    }

    #[test]
    fn the_last_words_take_the_last_places() {
        assert_eq!(align(&[1, 1], &[1, 2, 1, 1]).matches, [2, 3]);
        assert_eq!(align(&[1, 1, 1], &[1, 2]).matches, [NONE, NONE, 0]);
        assert_eq!(align(&[], &[1]).matches_and_chunks(), (0, 0));
    }

    #[test]
    fn chunks_are_runs_in_both_texts() {
        assert_eq!(align(&[1, 2, 3], &[1, 2, 3]).matches_and_chunks(), (3, 1));
        assert_eq!(align(&[1, 2, 3], &[3, 1, 2]).matches_and_chunks(), (3, 2));
        assert_eq!(align(&[1, 9, 2], &[1, 2]).matches_and_chunks(), (2, 2));
        assert_eq!(align(&[0, 3], &[3, 0]).matches_and_chunks(), (2, 2));
    }

    #[test]
    fn of_several_keys_the_one_with_the_last_place_counts_and_stages_go_on() {
        let mut alignment = Alignment::default();
        alignment.begin(2, 3);
        alignment.stage([Some(4), None, Some(5)].into_iter(), 6, |word| {
            if word == 1 { &[4, 5, 9] } else { &[] }
        });
        assert_eq!(alignment.matches, [NONE, 2]);
        alignment.stage([Some(4), Some(4), Some(4)].into_iter(), 6, |_| &[4]);
        assert_eq!(alignment.matches, [1, 2]);
    }
}
