//! Groups of n words as numbers.

use hashbrown::HashMap;

/// Once it knows so many groups, it forgets them between two examples.
const MOST_GROUPS: usize = 1 << 17;

/// Numbers groups of words: equal groups have equal numbers.
#[derive(Debug, Default)]
pub struct Ngrams {
    /// A group is the group of all its words but the last, and that one.
    numbers: HashMap<(u32, u32), u32>,
}

impl Ngrams {
    /// Between two examples: numbers of the last one may lose their meaning now.
    pub fn begin_example(&mut self) {
        if self.numbers.len() >= MOST_GROUPS {
            self.numbers = HashMap::new();
        }
    }

    /// All numbers of groups of two words or more are below.
    pub fn bound(&self) -> usize {
        self.numbers.len()
    }

    /// The groups of `n` words, in a buffer that is emptied first. Numbers are shared by all `n` above 1; a group of
    /// one word is the word itself.
    pub fn of(&mut self, words: &[u32], n: usize, into: &mut Vec<u32>) {
        into.clear();
        if words.len() < n {
            return;
        }
        into.extend_from_slice(words);
        for length in 1..n {
            let groups = words.len() - length;
            for start in 0..groups {
                let next = self.numbers.len() as u32;
                // A mark in the key keeps the group of a word apart from the group that has the same number.
                let key = (
                    into[start],
                    words[start + length] << 1 | u32::from(length == 1),
                );
                into[start] = *self.numbers.entry(key).or_insert(next);
            }
            into.truncate(groups);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_equal_if_all_their_words_are() {
        let words = [1, 2, 1, 2, 1, 0, 1, 2, 0, 0, 0, 0];
        let mut ngrams = Ngrams::default();
        for n in 1..=13 {
            let mut groups = Vec::new();
            ngrams.of(&words, n, &mut groups);
            assert_eq!(groups.len(), 13usize.saturating_sub(n));
            for (i, a) in groups.iter().enumerate() {
                for (j, b) in groups.iter().enumerate() {
                    assert_eq!(
                        a == b,
                        words[i..i + n] == words[j..j + n],
                        "{n} words from {i} and {j}"
                    );
                }
            }
        }
    }
}
