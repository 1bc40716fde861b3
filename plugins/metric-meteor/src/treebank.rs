//! The words of `nltk.tokenize.NLTKWordTokenizer`, which follows the Penn Treebank: one substitution after the other puts
//! spaces around what stands for itself.
//!
//! Each step is written with the regular expression of nltk that it equals.

use crate::characters::{is_digit, is_letter, is_space, is_word};

/// Contractions in two parts, which are words of their own.
const CONTRACTIONS: [(&str, &str); 8] = [
    ("can", "not"),
    ("d", "'ye"),
    ("gim", "me"),
    ("gon", "na"),
    ("got", "ta"),
    ("lem", "me"),
    ("more", "'n"),
    ("wan", "na"),
];

/// Cuts a text into parts that have the same words by themselves as within the text, and tells which is the last.
///
/// No step looks further than at one white space on either side, which a part keeps. Only the period at the very end may
/// have other signs behind it: all from the word before it on belongs to the last part.
pub fn parts<'t>(text: &'t str, mut part: impl FnMut(&'t str, bool)) {
    let last = start_of_last_part(text);
    let (mut start, mut is_empty) = (0, true);
    for (at, c) in text[..last].char_indices() {
        if !c.is_whitespace() {
            is_empty = false;
            continue;
        }
        if !is_empty {
            part(&text[start..at + c.len_utf8()], false);
            is_empty = true;
        }
        start = at;
    }
    part(&text[start..], true);
}

fn start_of_last_part(text: &str) -> usize {
    let words = text.trim_end();
    let to_period = words.trim_end_matches(|c: char| c.is_whitespace() || closes(c));
    let end = match to_period.ends_with('.') {
        true => to_period,
        false => words,
    };
    let mut spaces = end.char_indices().rev().filter(|(_, c)| c.is_whitespace());
    spaces.next().map_or(0, |(at, c)| at + c.len_utf8())
}

/// Buffers for any number of texts.
#[derive(Debug, Default)]
pub struct Treebank {
    text: Vec<char>,
    /// The next text, as far as it differs.
    spare: Vec<char>,
    /// What a step puts in the place of something.
    piece: Vec<char>,
}

/// What a step does at a place: how many characters it takes, if any, having written what replaces them.
type Taken = Option<usize>;

impl Treebank {
    /// Calls `word` with every word of a part of a text, in order.
    pub fn words(&mut self, part: &str, is_last: bool, word: &mut dyn FnMut(&str)) {
        if is_plain(part.trim()) {
            return word(part.trim());
        }
        self.text.clear();
        self.text.extend(part.chars());
        self.starting_quotes();
        self.punctuation(is_last);
        self.text.insert(0, ' ');
        self.text.push(' ');
        self.ending_quotes();
        self.contractions();
        let mut letters = String::new();
        for part in self
            .text
            .split(|&c| is_space(c))
            .filter(|part| !part.is_empty())
        {
            letters.clear();
            letters.extend(part);
            word(&letters);
        }
    }

    fn starting_quotes(&mut self) {
        // ([«“‘„]|[`]+)
        self.rewrite(
            |c| matches!(c, '«' | '“' | '‘' | '„' | '`'),
            |text, at, out| match text[at] {
                '`' => pad(
                    text,
                    at,
                    text[at..].iter().take_while(|c| **c == '`').count(),
                    out,
                ),
                _ => pad(text, at, 1, out),
            },
        );
        // ^"
        if self.text.first() == Some(&'"') {
            self.text.splice(..1, ['`', '`']);
        }
        // (``)
        self.rewrite(
            |c| c == '`',
            |text, at, out| {
                if text[at..].starts_with(&['`', '`']) {
                    pad(text, at, 2, out)
                } else {
                    None
                }
            },
        );
        // ([ \(\[{<])("|'{2})
        self.rewrite(
            |c| matches!(c, ' ' | '(' | '[' | '{' | '<'),
            |text, at, out| {
                let taken = match text[at + 1..] {
                    ['"', ..] => 2,
                    ['\'', '\'', ..] => 3,
                    _ => return None,
                };
                out.extend([text[at], ' ', '`', '`', ' ']);
                Some(taken)
            },
        );
        // (?i)(?<!\w)(')(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)
        self.rewrite(
            |c| c == '\'',
            |text, at, out| {
                let rest = &text[at + 1..];
                let is_clitic = |clitic: &&str| is_part(rest, 0, clitic, is_word);
                let opens = !at
                    .checked_sub(1)
                    .is_some_and(|before| is_word(text[before]))
                    && rest.first().is_some_and(|c| is_word(*c))
                    && !["re", "ve", "ll", "m", "t", "s", "d", "n"]
                        .iter()
                        .any(is_clitic);
                opens.then(|| {
                    out.extend(['\'', ' ']);
                    1
                })
            },
        );
    }

    fn punctuation(&mut self, is_last: bool) {
        // ([^\.])(\.)([\]\)}>"' »”’]*+)\s*$
        if is_last {
            self.final_period(|c| c == ' ' || closes(c), true);
        }
        // ([:,])([^\d])
        self.rewrite(
            |c| matches!(c, ':' | ','),
            |text, at, out| {
                let next = *text.get(at + 1).filter(|c| !is_digit(**c))?;
                out.extend([' ', text[at], ' ', next]);
                Some(2)
            },
        );
        // ([:,])$
        let length = self.text.len();
        let last = if self.text.last() == Some(&'\n') {
            length.saturating_sub(2)
        } else {
            length.saturating_sub(1)
        };
        if let Some(&sign @ (':' | ',')) = self.text.get(last) {
            self.text.splice(last..=last, [' ', sign, ' ']);
        }
        // \.{2,}
        self.rewrite(
            |c| c == '.',
            |text, at, out| match text[at..].iter().take_while(|c| **c == '.').count() {
                1 => None,
                dots => pad(text, at, dots, out),
            },
        );
        // [;@#$%&] and [\u2012-\u2015]
        self.pad_each(|c| {
            matches!(
                c,
                ';' | '@' | '#' | '$' | '%' | '&' | '\u{2012}'..='\u{2015}'
            )
        });
        // ([^\.])(\.)([\]\)}>"']*)\s*$
        if is_last {
            self.final_period(|c| closes(c) && c.is_ascii(), false);
        }
        // [?!]
        self.pad_each(|c| matches!(c, '?' | '!'));
        // ([^'])'␣ (behind a space it only adds one more)
        self.split_before(|rest| usize::from(rest.starts_with(&['\'', ' '])));
        // [*], then [\]\[\(\)\{\}\<\>]
        self.pad_each(|c| matches!(c, '*' | ']' | '[' | '(' | ')' | '{' | '}' | '<' | '>'));
        // --
        self.rewrite(
            |c| c == '-',
            |text, at, out| {
                if text[at..].starts_with(&['-', '-']) {
                    pad(text, at, 2, out)
                } else {
                    None
                }
            },
        );
    }

    fn ending_quotes(&mut self) {
        // ([»”’])
        self.pad_each(|c| matches!(c, '»' | '”' | '’'));
        // '', then "
        self.rewrite(
            |c| matches!(c, '\'' | '"'),
            |text, at, out| {
                let taken = match text[at..] {
                    ['\'', '\'', ..] => 2,
                    ['"', ..] => 1,
                    _ => return None,
                };
                out.extend([' ', '\'', '\'', ' ']);
                Some(taken)
            },
        );
        // \s+
        self.rewrite(char::is_whitespace, |text, at, out| {
            let spaces = text[at..].iter().take_while(|c| c.is_whitespace()).count();
            if (text[at], spaces) == (' ', 1) {
                return None;
            }
            out.push(' ');
            Some(spaces)
        });
        // ([^' ])('[sS]|'[mM]|'[dD]|')␣
        self.split_before(|rest| match rest {
            ['\'', 's' | 'S' | 'm' | 'M' | 'd' | 'D', ' ', ..] => 2,
            ['\'', ' ', ..] => 1,
            _ => 0,
        });
        // ([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T)␣
        self.split_before(|rest| match rest {
            ['\'', 'l', 'l', ' ', ..] | ['\'', 'L', 'L', ' ', ..] => 3,
            ['\'', 'r' | 'v', 'e', ' ', ..] | ['\'', 'R' | 'V', 'E', ' ', ..] => 3,
            ['n', '\'', 't', ' ', ..] | ['N', '\'', 'T', ' ', ..] => 3,
            _ => 0,
        });
    }

    /// `(?i)\b(can)(not)\b` and the like; the last ones are `(?i) ('t)(is)\b` and `(?i) ('t)(was)\b`.
    fn contractions(&mut self) {
        for (first, second) in CONTRACTIONS {
            self.contraction(first, second, |text, at| {
                let ends_in_space =
                    first != "wan" || text.get(at + 5).is_some_and(|c| is_space(*c));
                ends_in_space
                    && at
                        .checked_sub(1)
                        .is_none_or(|before| !is_letter(text[before]))
            });
        }
        for second in ["is", "was"] {
            self.contraction(" 't", second, |_, _| true);
        }
    }

    fn contraction(&mut self, first: &str, second: &str, fits: impl Fn(&[char], usize) -> bool) {
        let needs_quote = first.contains('\'') || second.contains('\'');
        if needs_quote && !self.text.contains(&'\'') {
            return;
        }
        let initial = first.chars().next().expect("no part is empty");
        self.rewrite(
            |c| same_letter(c, initial),
            |text, at, out| {
                let middle = at + first.len();
                let is_here = starts_with(&text[at..], first)
                    && is_part(text, middle, second, is_letter)
                    && fits(text, at);
                is_here.then(|| {
                    out.push(' ');
                    out.extend(text[at..middle].iter().filter(|c| **c != ' '));
                    out.push(' ');
                    out.extend(&text[middle..middle + second.len()]);
                    out.push(' ');
                    first.len() + second.len()
                })
            },
        );
    }

    /// A period at the very end, behind which there are at most signs that close and space.
    fn final_period(&mut self, closes: impl Fn(char) -> bool, apart: bool) {
        let Some(period) = self.text.iter().rposition(|c| *c == '.') else {
            return;
        };
        if period == 0 || self.text[period - 1] == '.' {
            return;
        }
        let rest = &self.text[period + 1..];
        let closing = rest.iter().take_while(|c| closes(**c)).count();
        if !rest[closing..].iter().all(|c| c.is_whitespace()) {
            return;
        }
        self.text.truncate(period + 1 + closing);
        if apart {
            self.text.insert(period + 1, ' ');
        }
        self.text.insert(period, ' ');
        self.text.push(' ');
    }

    /// Puts a space before what `clitic` finds behind a character other than `'` and space: so many characters, and a space.
    fn split_before(&mut self, clitic: impl Fn(&[char]) -> usize) {
        if !self.text.contains(&'\'') {
            return;
        }
        self.rewrite(
            |c| !matches!(c, '\'' | ' '),
            |text, at, out| match clitic(&text[at + 1..]) {
                0 => None,
                length => {
                    out.extend([text[at], ' ']);
                    out.extend(&text[at + 1..=at + length + 1]);
                    Some(length + 2)
                }
            },
        );
    }

    fn pad_each(&mut self, sign: impl Fn(char) -> bool) {
        self.rewrite(sign, |text, at, out| pad(text, at, 1, out));
    }

    /// Goes through the text once. Where `starts` holds, `step` may replace something; what it has replaced is over.
    fn rewrite(
        &mut self,
        starts: impl Fn(char) -> bool,
        step: impl Fn(&[char], usize, &mut Vec<char>) -> Taken,
    ) {
        let Self { text, spare, piece } = self;
        spare.clear();
        let (mut at, mut copied) = (0, 0);
        while let Some(next) = text[at..].iter().position(|c| starts(*c)) {
            at += next;
            match step(text, at, piece) {
                None => at += 1,
                Some(taken) => {
                    spare.extend_from_slice(&text[copied..at]);
                    spare.append(piece);
                    at += taken;
                    copied = at;
                }
            }
        }
        if copied > 0 {
            spare.extend_from_slice(&text[copied..]);
            std::mem::swap(text, spare);
        }
    }
}

/// What may stand behind the last period besides space.
fn closes(character: char) -> bool {
    matches!(
        character,
        ']' | ')' | '}' | '>' | '"' | '\'' | '»' | '”' | '’'
    )
}

/// Whether no step finds anything in a word.
fn is_plain(word: &str) -> bool {
    let is_contraction = |(first, second): &(&str, &str)| {
        word.split_at_checked(first.len())
            .is_some_and(|(a, b)| a.eq_ignore_ascii_case(first) && b.eq_ignore_ascii_case(second))
    };
    !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && !CONTRACTIONS.iter().any(is_contraction)
}

/// Writes some characters with a space before and behind.
#[expect(clippy::unnecessary_wraps, reason = "what a step returns")]
fn pad(text: &[char], at: usize, length: usize, out: &mut Vec<char>) -> Taken {
    out.push(' ');
    out.extend(&text[at..at + length]);
    out.push(' ');
    Some(length)
}

fn starts_with(text: &[char], letters: &str) -> bool {
    text.len() >= letters.len()
        && letters
            .chars()
            .zip(text)
            .all(|(letter, c)| same_letter(*c, letter))
}

/// Whether letters stand at a place and end there: no character that belongs to a word follows.
fn is_part(text: &[char], at: usize, letters: &str, belongs: fn(char) -> bool) -> bool {
    starts_with(&text[at..], letters) && text.get(at + letters.len()).is_none_or(|c| !belongs(*c))
}

/// Equal but for case, as Python's `re` has it.
fn same_letter(character: char, letter: char) -> bool {
    character.to_ascii_lowercase() == letter
        || matches!(
            (character, letter),
            ('\u{17F}', 's') | ('\u{130}' | '\u{131}', 'i')
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_word_is_that_of_nltk() {
        let golden: Value = serde_json::from_str(include_str!("../goldens/words.json")).unwrap();
        let (mut treebank, mut compared) = (Treebank::default(), 0);
        for (text, expected) in golden["words"].as_object().unwrap() {
            let mut found = Vec::new();
            treebank.words(text, true, &mut |word| found.push(Value::from(word)));
            assert_eq!(&found, expected.as_array().unwrap(), "{text:?}");
            compared += found.len();
        }
        assert!(compared > 10_000, "{compared} words compared");
    }

    /// The words of a text, as a whole or part by part.
    fn words(text: &str, in_parts: bool) -> Vec<String> {
        let (mut treebank, mut found) = (Treebank::default(), Vec::new());
        let mut add = |part: &str, is_last| {
            treebank.words(part, is_last, &mut |word| found.push(word.to_owned()));
        };
        match in_parts {
            true => parts(text, add),
            false => add(text, true),
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn a_text_has_the_words_of_its_parts(
            text in r#"([ab.,:;'"`()<»”’*?-]|[ ]|[ ]|[\n\t\x1c\x{a0}]|'s|n't|cannot|wanna|'tis|d'ye|''|\.\.|3|é){0,24}"#
        ) {
            prop_assert_eq!(words(&text, true), words(&text, false));
        }
    }
}
