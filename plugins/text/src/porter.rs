//! The Porter stemmer with nltk's extensions: what `nltk.stem.PorterStemmer().stem(word)` gives.
//!
//! Porter, M. "An algorithm for suffix stripping", Program 14.3 (1980), with the changes that Martin Porter made later and
//! those of nltk's default mode: irregular forms, `-ies` and `-ied` of short words, `y` only after a consonant,
//! `-alli` before the other rules of step 2, `-fulli`, and short words in vowel and consonant.

/// Words whose stem is not what the rules make of them.
const IRREGULAR: [(&str, &str); 16] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// Suffix and replacement, if a measure above 0 remains.
const STEP_2: [(&str, &str); 21] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
];

/// Suffix and replacement, if a measure above 0 remains.
const STEP_3: [(&str, &str); 7] = [
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
];

/// Suffixes that go if a measure above 1 remains; `ion` only behind `s` or `t`.
const STEP_4: [&str; 19] = [
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou",
    "ism", "ate", "iti", "ous", "ive", "ize",
];

/// The stem of a word in lower case. A letter beyond ASCII counts as a consonant.
pub fn stem(word: &str) -> String {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(form, _)| *form == word) {
        return (*stem).to_owned();
    }
    match word.is_ascii() {
        true => Word(word.bytes().collect()).stem(),
        false => Word(word.chars().collect()).stem(),
    }
}

/// What a word is made of: bytes where all of them are letters, else characters.
trait Letter: Copy + PartialEq + From<u8> + Into<char> {}

impl<T: Copy + PartialEq + From<u8> + Into<char>> Letter for T {}

struct Word<L>(Vec<L>);

impl<L: Letter> Word<L> {
    fn stem(mut self) -> String {
        if self.0.len() > 2 {
            self.step_1a();
            self.step_1b();
            self.step_1c();
            self.step_2();
            self.first_rule(&STEP_3, |stem| measure(stem) > 0);
            self.step_4();
            self.step_5();
        }
        self.0.into_iter().map(Into::into).collect()
    }

    fn ends_with(&self, suffix: &str) -> bool {
        self.before(suffix).is_some()
    }

    /// The letters before a suffix, if the word ends with it.
    fn before(&self, suffix: &str) -> Option<&[L]> {
        let split = self.0.len().checked_sub(suffix.len())?;
        let (stem, end) = self.0.split_at(split);
        // From the end on: most suffixes differ in their last letter.
        let mut letters = end.iter().zip(suffix.bytes()).rev();
        letters
            .all(|(letter, expected)| *letter == L::from(expected))
            .then_some(stem)
    }

    /// Puts something in the place of the last letters.
    fn replace(&mut self, letters: usize, replacement: &str) {
        self.0.truncate(self.0.len() - letters);
        self.0.extend(replacement.bytes().map(L::from));
    }

    /// Looks for the first suffix of a list, and replaces it if the stem allows: no other suffix is tried.
    fn first_rule(&mut self, rules: &[(&str, &str)], allows: impl Fn(&[L]) -> bool) {
        let found = rules.iter().find_map(|(suffix, replacement)| {
            self.before(suffix)
                .map(|stem| (suffix.len(), *replacement, allows(stem)))
        });
        if let Some((letters, replacement, true)) = found {
            self.replace(letters, replacement);
        }
    }

    fn step_1a(&mut self) {
        if self.0.len() == 4 && self.ends_with("ies") {
            self.replace(1, "");
        } else {
            self.first_rule(
                &[("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")],
                |_| true,
            );
        }
    }

    fn step_1b(&mut self) {
        if self.ends_with("ied") {
            self.replace(if self.0.len() == 4 { 1 } else { 2 }, "");
            return;
        }
        if let Some(stem) = self.before("eed") {
            if measure(stem) > 0 {
                self.replace(1, "");
            }
            return;
        }
        let found = ["ed", "ing"]
            .into_iter()
            .find(|suffix| self.before(suffix).is_some_and(contains_vowel));
        if let Some(suffix) = found {
            self.replace(suffix.len(), "");
            self.mend();
        }
    }

    /// Gives back what went together with `-ed` or `-ing`, or takes away what they had doubled.
    fn mend(&mut self) {
        if self.ends_with("at") || self.ends_with("bl") || self.ends_with("iz") {
            self.replace(0, "e");
            return;
        }
        let last = *self.0.last().expect("a vowel is left");
        // nltk writes the rule about double consonants as the suffix `*d`, and applies it to a word that ends so, too.
        if ends_double_consonant(&self.0) || self.ends_with("*d") {
            if !matches!(last.into(), 'l' | 's' | 'z') {
                self.replace(2, "");
                self.0.push(last);
            }
        } else if measure(&self.0) == 1 && ends_cvc(&self.0) {
            self.replace(0, "e");
        }
    }

    fn step_1c(&mut self) {
        if self
            .before("y")
            .is_some_and(|stem| stem.len() > 1 && is_consonant(stem, stem.len() - 1))
        {
            self.replace(1, "i");
        }
    }

    fn step_2(&mut self) {
        if self.before("alli").is_some_and(|stem| measure(stem) > 0) {
            self.replace(2, "");
            return self.step_2();
        }
        if STEP_2.iter().any(|(suffix, _)| self.ends_with(suffix)) {
            self.first_rule(&STEP_2, |stem| measure(stem) > 0);
        } else if self.ends_with("logi") && measure(&self.0[..self.0.len() - 3]) > 0 {
            self.replace(1, "");
        }
    }

    fn step_4(&mut self) {
        let found = STEP_4
            .into_iter()
            .find_map(|suffix| self.before(suffix).map(|stem| (suffix, stem)));
        let Some((suffix, stem)) = found else { return };
        if measure(stem) > 1 && (suffix != "ion" || ends_in(stem, &['s', 't'])) {
            self.replace(suffix.len(), "");
        }
    }

    fn step_5(&mut self) {
        if let Some(stem) = self.before("e") {
            let measure = measure(stem);
            if measure > 1 || (measure == 1 && !ends_cvc(stem)) {
                self.replace(1, "");
            }
        }
        if self.ends_with("ll") && measure(&self.0[..self.0.len() - 1]) > 1 {
            self.replace(1, "");
        }
    }
}

/// For each letter whether it is a consonant: neither `a`, `e`, `i`, `o`, `u` nor a `y` behind a consonant.
fn consonants<L: Letter>(word: &[L]) -> impl Iterator<Item = bool> {
    word.iter().scan(false, |before, letter| {
        *before = match (*letter).into() {
            'a' | 'e' | 'i' | 'o' | 'u' => false,
            'y' => !*before,
            _ => true,
        };
        Some(*before)
    })
}

fn is_consonant<L: Letter>(word: &[L], place: usize) -> bool {
    consonants(&word[..=place]).last() == Some(true)
}

fn contains_vowel<L: Letter>(stem: &[L]) -> bool {
    consonants(stem).any(|consonant| !consonant)
}

/// How often a vowel is followed by a consonant: the m of the paper.
fn measure<L: Letter>(stem: &[L]) -> usize {
    let mut vowel_before = false;
    consonants(stem)
        .filter(|&consonant| std::mem::replace(&mut vowel_before, !consonant) && consonant)
        .count()
}

fn ends_in<L: Letter>(word: &[L], letters: &[char]) -> bool {
    word.last()
        .is_some_and(|last| letters.contains(&(*last).into()))
}

fn ends_double_consonant<L: Letter>(word: &[L]) -> bool {
    matches!(word, [.., a, b] if a == b) && is_consonant(word, word.len() - 1)
}

/// Whether a word ends in consonant, vowel and consonant other than `w`, `x` and `y`, or is vowel and consonant.
fn ends_cvc<L: Letter>(word: &[L]) -> bool {
    let mut last = [None; 3];
    for consonant in consonants(word) {
        last = [last[1], last[2], Some(consonant)];
    }
    match last {
        [Some(true), Some(false), Some(true)] => !ends_in(word, &['w', 'x', 'y']),
        [None, Some(false), Some(true)] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_stem_is_that_of_nltk() {
        let golden: Value = serde_json::from_str(include_str!("../goldens/nltk.json")).unwrap();
        let stems = golden["stems"].as_object().unwrap();
        for (word, expected) in stems {
            assert_eq!(stem(word), expected.as_str().unwrap(), "{word}");
        }
        assert!(stems.len() > 5000, "{} stems compared", stems.len());
    }
}
