//! Which n-grams two texts have in common, without a string per n-gram.
//!
//! The words of a prediction become numbers, and its n-grams the nodes of a tree: a node is its (n-1)-gram and the word
//! that follows. References are only looked up, so that a word or an n-gram that the prediction lacks costs one miss.

/// Where a token begins and ends in its line, in bytes.
pub(crate) type Span = (u32, u32);

/// The number of a word that the prediction does not have.
const ABSENT: u32 = u32::MAX;

/// The words of a prediction, numbered in the order in which they first occur.
#[derive(Default)]
pub(crate) struct Words {
    index: Index,
    /// `[words]`: where each one stands in the prediction.
    first: Vec<Span>,
}

impl Words {
    /// Numbers the words of a prediction; `ids` becomes `[spans]`.
    pub(crate) fn read(&mut self, line: &str, spans: &[Span], ids: &mut Vec<u32>) {
        self.index.clear(spans.len());
        self.first.clear();
        ids.clear();
        for &span in spans {
            let word = bytes(line, span);
            let hash = hash(word);
            let same = |id: u32| bytes(line, self.first[id as usize]) == word;
            let id = self.index.find(hash, same).unwrap_or_else(|place| {
                let id = self.first.len() as u32;
                self.index.fill(place, hash, id);
                self.first.push(span);
                id
            });
            ids.push(id);
        }
    }

    /// The numbers of a reference's words, [`ABSENT`] for those that the prediction lacks; `ids` becomes `[spans]`.
    pub(crate) fn look_up(&self, prediction: &str, line: &str, spans: &[Span], ids: &mut Vec<u32>) {
        ids.clear();
        ids.extend(spans.iter().map(|&span| {
            let word = bytes(line, span);
            let same = |id: u32| bytes(prediction, self.first[id as usize]) == word;
            self.index.find(hash(word), same).unwrap_or(ABSENT)
        }));
    }
}

fn bytes(line: &str, (start, end): Span) -> &[u8] {
    &line.as_bytes()[start as usize..end as usize]
}

/// The n-grams of a prediction, and how often they occur in its references.
pub(crate) struct Ngrams {
    orders: usize,
    index: Index,
    /// `[orders + 1]`: the nodes of order `n` are `first[n - 1]..first[n]`.
    first: Vec<usize>,
    /// `[nodes]`: how often the n-gram occurs in the prediction.
    counts: Vec<u32>,
    /// `[nodes]`: how often it occurs in the reference that is being read.
    seen: Vec<u32>,
    /// `[nodes]`: how often it occurs in the reference that has it most often.
    most: Vec<u32>,
    /// `[tokens]`: the node of the n-gram that begins at a token.
    open: Vec<u32>,
}

/// The node of the n-gram of no token.
const ROOT: u32 = 0;

impl Ngrams {
    /// Of the orders 1 to `orders`.
    pub(crate) fn new(orders: usize) -> Self {
        Self {
            orders,
            index: Index::default(),
            first: Vec::new(),
            counts: Vec::new(),
            seen: Vec::new(),
            most: Vec::new(),
            open: Vec::new(),
        }
    }

    /// The greatest order.
    pub(crate) fn orders(&self) -> usize {
        self.orders
    }

    /// Takes the n-grams of another prediction.
    pub(crate) fn read(&mut self, tokens: &[u32]) {
        self.index.clear(tokens.len() * self.orders);
        self.counts.clear();
        self.counts.push(0);
        self.first.clear();
        self.first.push(self.counts.len());
        self.open.clear();
        self.open.resize(tokens.len(), ROOT);
        // Order by order, so that the nodes of one order lie side by side.
        for order in 1..=self.orders {
            for (open, &token) in self.open.iter_mut().zip(tokens.iter().skip(order - 1)) {
                let key = key(*open, token);
                *open = self.index.find(key, |_| true).unwrap_or_else(|place| {
                    let node = self.counts.len() as u32;
                    self.index.fill(place, key, node);
                    self.counts.push(0);
                    node
                });
                self.counts[*open as usize] += 1;
            }
            self.first.push(self.counts.len());
        }
        for counts in [&mut self.seen, &mut self.most] {
            counts.clear();
            counts.resize(self.counts.len(), 0);
        }
    }

    /// Reads a reference; of each n-gram the greatest number of times in one reference stays.
    pub(crate) fn see(&mut self, tokens: &[u32]) {
        for start in 0..tokens.len() {
            let mut node = ROOT;
            for &token in tokens[start..].iter().take(self.orders) {
                let Ok(next) = self.index.find(key(node, token), |_| true) else {
                    break;
                };
                node = next;
                self.seen[node as usize] += 1;
            }
        }
        for (most, seen) in self.most.iter_mut().zip(&mut self.seen) {
            *most = (*most).max(*seen);
            *seen = 0;
        }
    }

    /// How many n-grams of the order the prediction has in common with its references, each counted as often as in the
    /// reference that has it most often.
    pub(crate) fn common(&self, order: usize) -> u64 {
        let nodes = self.first[order - 1]..self.first[order];
        let pairs = self.counts[nodes.clone()].iter().zip(&self.most[nodes]);
        u64::from(pairs.map(|(&count, &most)| count.min(most)).sum::<u32>())
    }

    /// Forgets the references that were read.
    pub(crate) fn forget(&mut self) {
        self.most.fill(0);
    }
}

fn key(node: u32, token: u32) -> u64 {
    u64::from(node) << 32 | u64::from(token)
}

/// How many n-grams a text of so many tokens has.
pub(crate) fn total(tokens: usize, order: usize) -> u64 {
    (tokens + 1).saturating_sub(order) as u64
}

/// A hash table from keys to ids that is emptied in constant time: what was filled in an earlier round counts as free.
/// It is at most half full, since the greatest number of ids is said beforehand.
#[derive(Default)]
struct Index {
    slots: Vec<Slot>,
    mask: usize,
    round: u32,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    key: u64,
    round: u32,
    id: u32,
}

impl Index {
    /// Empties it and makes room for up to `most` ids. A short text uses the front of a table that a long one left.
    fn clear(&mut self, most: usize) {
        let slots = (2 * most).next_power_of_two();
        if slots > self.slots.len() || self.round == u32::MAX {
            self.slots.clear();
            self.slots.resize(slots, Slot::default());
            self.round = 0;
        }
        self.round += 1;
        self.mask = slots - 1;
    }

    /// The id of the key for which `same` holds, or the place where to fill it in.
    #[inline]
    fn find(&self, key: u64, same: impl Fn(u32) -> bool) -> Result<u32, usize> {
        let mut place = scatter(key) & self.mask;
        loop {
            let slot = &self.slots[place];
            if slot.round != self.round {
                return Err(place);
            }
            if slot.key == key && same(slot.id) {
                return Ok(slot.id);
            }
            place = (place + 1) & self.mask;
        }
    }

    fn fill(&mut self, place: usize, key: u64, id: u32) {
        let round = self.round;
        self.slots[place] = Slot { key, round, id };
    }
}

/// 2^64 over the golden ratio, odd: products with it spread neighbouring numbers evenly (Knuth, volume 3, 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn scatter(key: u64) -> usize {
    (key.wrapping_mul(GOLDEN) >> 32) as usize
}

/// Words of one hash are told apart by their bytes.
fn hash(word: &[u8]) -> u64 {
    let (mut hash, mut rest) = (word.len() as u64, word);
    while let Some((chunk, tail)) = rest.split_first_chunk() {
        hash = mix(hash, u64::from_le_bytes(*chunk));
        rest = tail;
    }
    // Four bytes from either end, which overlap, or the few that are left one by one.
    let part = match (rest.first_chunk(), rest.last_chunk()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        _ => rest
            .iter()
            .fold(0, |part, &byte| part << 8 | u64::from(byte)),
    };
    mix(hash, part)
}

fn mix(hash: u64, part: u64) -> u64 {
    (hash.rotate_left(23) ^ part).wrapping_mul(GOLDEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Common n-grams of the orders 1 to 3.
    fn common(prediction: &[u32], references: &[&[u32]]) -> [u64; 3] {
        let mut ngrams = Ngrams::new(3);
        // What an earlier, longer text left must not be seen.
        ngrams.read(&[1; 50]);
        ngrams.see(&[1; 50]);
        ngrams.read(prediction);
        references
            .iter()
            .for_each(|reference| ngrams.see(reference));
        [1, 2, 3].map(|order| ngrams.common(order))
    }

    #[test]
    fn common_ngrams_are_counted_as_often_as_in_one_reference() {
        assert_eq!(common(&[1, 2, 3], &[&[1, 2, 3]]), [3, 2, 1]);
        assert_eq!(common(&[1, 1, 1, 1], &[&[1, 1], &[1, 2, 1, 1]]), [3, 1, 0]);
        assert_eq!(common(&[1, 2, 1, 2], &[&[2, 1], &[1, 2]]), [2, 2, 0]);
        assert_eq!(common(&[1, 2], &[&[ABSENT, 1, ABSENT, 2]]), [2, 0, 0]);
        assert_eq!(common(&[], &[&[1]]), [0, 0, 0]);
        assert_eq!(common(&[1], &[&[], &[]]), [0, 0, 0]);
    }

    #[test]
    fn a_forgotten_reference_does_not_count() {
        let mut ngrams = Ngrams::new(1);
        ngrams.read(&[1, 2]);
        ngrams.see(&[1, 2]);
        ngrams.forget();
        ngrams.see(&[2]);
        assert_eq!(ngrams.common(1), 1);
    }

    #[test]
    fn equal_words_have_one_number() {
        let (mut words, mut ids) = (Words::default(), Vec::new());
        let line = "a bb a a-word-beyond-eight-bytes bb a-word-beyond-eight-bytes";
        words.read(line, &spans(line), &mut ids);
        assert_eq!(ids, [0, 1, 0, 2, 1, 2]);
        let other = "a-word-beyond-eight-byteS bb a c";
        words.look_up(line, other, &spans(other), &mut ids);
        assert_eq!(ids, [ABSENT, 1, 0, ABSENT]);
    }

    fn spans(line: &str) -> Vec<Span> {
        let start = |word: &str| word.as_ptr() as usize - line.as_ptr() as usize;
        let words = line.split(' ');
        words
            .map(|word| (start(word) as u32, (start(word) + word.len()) as u32))
            .collect()
    }

    #[test]
    fn words_that_differ_little_have_other_hashes() {
        let words = [
            "",
            "\0",
            "\0\0",
            "a",
            "a\0",
            "\0a",
            "abcdefgh",
            "abcdefg",
            "abcdefg\0",
        ];
        for (index, a) in words.iter().enumerate() {
            for b in &words[..index] {
                assert_ne!(hash(a.as_bytes()), hash(b.as_bytes()), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn rounds_that_run_over_start_again() {
        let mut index = Index::default();
        index.clear(4);
        index.fill(0, 7, 7);
        index.round = u32::MAX;
        index.clear(4);
        assert_eq!((index.round, index.find(7, |_| true).is_err()), (1, true));
    }
}
