//! Texts as numbered words, sentence by sentence.

use text::Vocabulary;
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use crate::options::{RougeOptions, Tokenizer};

/// The words of a text, and where its lines end: for ROUGE-Lsum a sentence is a line.
#[derive(Debug, Default)]
pub struct Tokens {
    /// All words.
    pub words: Vec<u32>,
    ends: Vec<usize>,
}

impl Tokens {
    /// The lines that have a word.
    pub fn sentences(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let lines = starts
            .zip(&self.ends)
            .map(|(start, &end)| &self.words[start..end]);
        lines.filter(|line| !line.is_empty())
    }
}

/// Turns texts into numbers; words are equal if their numbers are.
pub struct Reader {
    options: RougeOptions,
    words: Vocabulary,
    /// With a stemmer: which word each form that was met becomes.
    forms: Vocabulary,
    words_of_forms: Vec<u32>,
    /// The word that is being read.
    letters: String,
}

impl Reader {
    pub fn new(options: RougeOptions) -> Self {
        Self {
            options,
            words: Vocabulary::default(),
            forms: Vocabulary::default(),
            words_of_forms: Vec::new(),
            letters: String::new(),
        }
    }

    /// Between two examples: numbers of the last one may lose their meaning now.
    pub fn begin_example(&mut self) {
        if self.words.is_full() || self.forms.is_full() {
            self.words.clear();
            self.forms.clear();
            self.words_of_forms.clear();
        }
    }

    /// All numbers so far are below.
    pub fn bound(&self) -> usize {
        self.words.len()
    }

    /// Reads a text into a buffer, which is emptied first.
    pub fn read(&mut self, text: &str, into: &mut Tokens) {
        into.words.clear();
        into.ends.clear();
        for line in text.split('\n') {
            match self.options.tokenizer {
                Tokenizer::RougeScore => self.read_latin(line, &mut into.words),
                Tokenizer::Unicode => self.read_unicode(line, &mut into.words),
            }
            into.ends.push(into.words.len());
        }
    }

    /// Lower case, then runs of `[a-z0-9]`. Beyond ASCII two letters have one of these in their lower case.
    fn read_latin(&mut self, line: &str, words: &mut Vec<u32>) {
        let bytes = line.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'a'..=b'z' | b'0'..=b'9' => self.letters.push(byte.into()),
                b'A'..=b'Z' => self.letters.push(byte.to_ascii_lowercase().into()),
                // The Kelvin sign becomes `k`.
                0xE2 if bytes[at..].starts_with(&[0x84, 0xAA]) => {
                    self.letters.push('k');
                    at += 2;
                }
                // The capital I with a dot becomes `i` and a combining dot.
                0xC4 if bytes[at..].starts_with(&[0xB0]) => {
                    self.letters.push('i');
                    self.finish_word(words);
                }
                _ => self.finish_word(words),
            }
        }
        self.finish_word(words);
    }

    /// Lower case, composed (NFC), then words as Unicode (UAX #29) has them, but characters where words have no gaps.
    fn read_unicode(&mut self, line: &str, words: &mut Vec<u32>) {
        let line: String = line.to_lowercase().nfc().collect();
        for word in line.unicode_words() {
            for character in word.graphemes(true) {
                if character
                    .chars()
                    .next()
                    .is_some_and(is_written_without_gaps)
                {
                    self.finish_word(words);
                    self.letters.push_str(character);
                    self.finish_word(words);
                } else {
                    self.letters.push_str(character);
                }
            }
            self.finish_word(words);
        }
    }

    fn finish_word(&mut self, words: &mut Vec<u32>) {
        if self.letters.is_empty() {
            return;
        }
        words.push(self.number());
        self.letters.clear();
    }

    fn number(&mut self) -> u32 {
        let Self {
            options,
            words,
            forms,
            words_of_forms,
            letters,
        } = self;
        if !options.stemmer {
            return words.number(letters);
        }
        let (form, new) = forms.number_with(letters, |_| {
            // The stemmer knows English; a stem of four letters or more never is empty.
            match letters.len() > 3 && letters.is_ascii() {
                true => words.number(&text::stem(letters)),
                false => words.number(letters),
            }
        });
        words_of_forms.extend(new);
        words_of_forms[form as usize]
    }
}

/// Korean, Chinese, Japanese, Thai, Lao, Khmer, Burmese: spaces do not separate words, or too few.
fn is_written_without_gaps(character: char) -> bool {
    matches!(u32::from(character),
        0x0E00..=0x0EFF // Thai, Lao
        | 0x1000..=0x109F // Burmese
        | 0x1100..=0x11FF // Hangul
        | 0x1780..=0x17FF // Khmer
        | 0x2E80..=0x2FDF // Han
        | 0x3005..=0x3007 // Han
        | 0x3021..=0x3029 // Han
        | 0x3040..=0x30FF // Hiragana, Katakana
        | 0x3100..=0x312F // Bopomofo
        | 0x3130..=0x318F // Hangul
        | 0x31A0..=0x31BF // Bopomofo
        | 0x31F0..=0x31FF // Katakana
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF // Han
        | 0xA960..=0xA97F | 0xAC00..=0xD7FF // Hangul
        | 0xF900..=0xFAFF // Han
        | 0xFF66..=0xFF9F // Katakana
        | 0xFFA0..=0xFFDC // Hangul
        | 0x1B000..=0x1B16F // Kana
        | 0x20000..=0x3FFFD // Han
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words as they can be told apart: each by the first place at which it stands.
    fn shape(text: &str, options: RougeOptions) -> Vec<u32> {
        let mut tokens = Tokens::default();
        Reader::new(options).read(text, &mut tokens);
        tokens.words
    }

    const UNICODE: RougeOptions = RougeOptions {
        measure: crate::Measure::F,
        stemmer: false,
        tokenizer: Tokenizer::Unicode,
    };

    #[test]
    fn no_other_letter_has_a_latin_one_in_its_lower_case() {
        for character in ('\u{80}'..=char::MAX).filter(|c| !['\u{212A}', '\u{130}'].contains(c)) {
            assert!(
                !character.to_lowercase().any(|c| c.is_ascii_alphanumeric()),
                "{character}"
            );
        }
        assert_eq!(
            shape("K k \u{212A} a\u{130}b ai b", RougeOptions::default()),
            [0, 0, 0, 1, 2, 1, 2]
        );
    }

    #[test]
    fn scripts_without_gaps_are_read_by_character() {
        for (text, expected) in [
            ("안녕 안", &[0, 1, 0][..]),
            ("中文字 文", &[0, 1, 2, 1]),
            ("カタカナ", &[0, 1, 0, 2]),
            ("ひらがな が", &[0, 1, 2, 3, 2]),
            ("ที่นี่ ที่", &[0, 1, 0]),
            ("LG전자 lg 전", &[0, 1, 2, 0, 1]),
            ("Ünïcode ÜNÏCODE u\u{308}nïcode", &[0, 0, 0]),
            ("привет, мир! שלום привет", &[0, 1, 2, 0]),
            ("can't 3.5 🙂 — can't", &[0, 1, 0]),
        ] {
            assert_eq!(shape(text, UNICODE), expected, "{text}");
        }
    }

    #[test]
    fn stems_are_equal_and_short_words_are_left_alone() {
        let options = RougeOptions {
            stemmer: true,
            ..RougeOptions::default()
        };
        assert_eq!(shape("walks walking walk was wa", options), [0, 0, 0, 1, 2]);
    }

    #[test]
    fn sentences_are_the_lines_that_have_words() {
        let mut tokens = Tokens::default();
        Reader::new(RougeOptions::default()).read("a b\n\n...\nc\r\nd", &mut tokens);
        let sentences: Vec<_> = tokens.sentences().collect();
        assert_eq!(sentences, [&[0, 1][..], &[2], &[3]]);
    }
}
