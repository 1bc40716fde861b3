//! Words as numbers: equal words have equal numbers, and numbers index arrays.

use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;
use smol_str::SmolStr;

/// Once it has so many words, a vocabulary may be emptied between two examples: it stays within some ten megabytes and
/// within the processor's cache, whatever the data.
const MOST_WORDS: usize = 1 << 17;

/// Numbers words from 0 on, in the order in which they come.
#[derive(Debug, Default)]
pub struct Vocabulary {
    /// Most words are so short that they stand in the table itself.
    numbers: HashMap<SmolStr, u32>,
}

impl Vocabulary {
    /// The number of a word; a new one if it is new.
    pub fn number(&mut self, word: &str) -> u32 {
        self.number_with(word, |_| ()).0
    }

    /// The number of a word. `learn` is called with the number of a new one.
    pub fn number_with<T>(&mut self, word: &str, learn: impl FnOnce(u32) -> T) -> (u32, Option<T>) {
        let next = self.numbers.len();
        match self.numbers.entry_ref(word) {
            EntryRef::Occupied(known) => (*known.get(), None),
            EntryRef::Vacant(new) => {
                let number = u32::try_from(next).expect("a text has fewer than 2^32 words");
                new.insert_with_key(word.into(), number);
                (number, Some(learn(number)))
            }
        }
    }

    /// The number of a word, if it has one.
    pub fn find(&self, word: &str) -> Option<u32> {
        self.numbers.get(word).copied()
    }

    /// How many words there are: all numbers are below.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there is no word yet.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Whether it has become so large that it should be emptied before the next example.
    pub fn is_full(&self) -> bool {
        self.numbers.len() >= MOST_WORDS
    }

    /// Forgets all words.
    pub fn clear(&mut self) {
        // A table that one very long text has widened is given back.
        self.numbers = HashMap::new();
    }
}

/// Counts of numbers, for comparing bags of them.
#[derive(Debug, Default)]
pub struct Pool {
    counts: Vec<u32>,
}

impl Pool {
    /// Adds one of each; all numbers are below `bound`.
    pub fn fill(&mut self, numbers: &[u32], bound: usize) {
        if self.counts.len() < bound {
            self.counts.resize(bound, 0);
        }
        for &number in numbers {
            self.counts[number as usize] += 1;
        }
    }

    /// Takes one of a number out, if there is one.
    pub fn take(&mut self, number: u32) -> bool {
        match self.counts.get_mut(number as usize) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }

    /// Empties what was filled with these numbers.
    pub fn empty(&mut self, numbers: &[u32]) {
        for &number in numbers {
            self.counts[number as usize] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_order_of_first_sight() {
        let mut words = Vocabulary::default();
        assert_eq!(
            ["b", "a", "b", ""].map(|word| words.number(word)),
            [0, 1, 0, 2]
        );
        assert_eq!(words.len(), 3);
        words.clear();
        assert_eq!(words.number("a"), 0);
    }

    #[test]
    fn a_pool_gives_each_number_as_often_as_it_has_it() {
        let mut pool = Pool::default();
        pool.fill(&[3, 1, 3], 4);
        assert_eq!(
            [3, 3, 3, 1, 2, 9].map(|number| pool.take(number)),
            [true, true, false, true, false, false]
        );
        pool.fill(&[2], 4);
        pool.empty(&[2]);
        assert!(!pool.take(2));
    }
}
