//! Sentences as nltk's Punkt finds them: Kiss and Strunk, "Unsupervised Multilingual Sentence Boundary Detection",
//! Computational Linguistics 32 (2006), with the parameters of a trained model. Section numbers are the paper's.
//!
//! Only what stands around a period, a question mark or an exclamation mark is looked at: the word before it and the one
//! behind it.

use std::path::Path;

use bomf_plugin_api::{PluginError, Result};
use hashbrown::{HashMap, HashSet};

use crate::characters::{is_digit, is_space, is_word};

/// Orthographic contexts of a word, as the model counts them: at the beginning, in the middle or at an unknown place of
/// a sentence, in upper or in lower case.
const MIDDLE_UPPER: u8 = 1 << 2;
const ANY_UPPER: u8 = 1 << 1 | MIDDLE_UPPER | 1 << 3;
const BEGINNING_LOWER: u8 = 1 << 4;
const ANY_LOWER: u8 = BEGINNING_LOWER | 1 << 5 | 1 << 6;

/// What all numbers are to the model.
const NUMBER: &str = "##number##";

/// A trained model.
#[derive(Debug)]
pub struct Punkt {
    /// Without their period.
    abbreviations: HashSet<Box<str>>,
    /// A word without its period, a tab, and one that often follows it in the same sentence.
    collocations: HashSet<Box<str>>,
    starters: HashSet<Box<str>>,
    contexts: HashMap<Box<str>, u8>,
}

impl Punkt {
    /// Reads a model's folder as nltk distributes it (`punkt_tab/english`).
    ///
    /// # Errors
    /// When a file is missing or a line is not as it has to be: names the file and the line.
    pub fn open(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|error| {
                PluginError::input(format!("cannot read {}: {error}", path.display()))
                    .hint("`bomf assets fetch punkt` fetches a model")
            })
        };
        let lines = |name: &str| Ok(read(name)?.lines().map(Box::from).collect());
        let (mut contexts, name) = (HashMap::new(), "ortho_context.tab");
        for (line, text) in read(name)?.lines().enumerate() {
            let parsed = text.split_once('\t');
            let parsed = parsed.and_then(|(word, flags)| Some((word, flags.parse().ok()?)));
            let Some((word, flags)) = parsed else {
                let (path, line) = (folder.join(name), line + 1);
                return Err(PluginError::input(format!(
                    "{}, line {line}: found `{text}`, expected a word, a tab and a number below 256",
                    path.display()
                )));
            };
            contexts.insert(word.into(), flags);
        }
        Ok(Self {
            abbreviations: lines("abbrev_types.txt")?,
            collocations: lines("collocations.tab")?,
            starters: lines("sent_starters.txt")?,
            contexts,
        })
    }

    /// Calls `sentence` with every sentence of a text, in order.
    pub fn sentences<'t>(&self, text: &'t str, mut sentence: impl FnMut(&'t str)) {
        let end_of_all = text.trim_end_matches(is_space).len();
        let mut start = 0;
        for place in candidates(text) {
            if self.is_break(&text[place.word..place.context_end]) {
                let behind = text.get(place.next..end_of_all).unwrap_or_default();
                let closing = closing_signs(behind);
                let (end, next) = match closing {
                    Some((signs, with_space)) => (place.next + signs, place.next + with_space),
                    None => (place.mark + 1, place.next),
                };
                sentence(&text[start..end]);
                start = next;
            }
        }
        if start < end_of_all {
            sentence(&text[start..end_of_all]);
        }
    }

    /// Whether a sentence ends in a piece of text before its last word.
    fn is_break(&self, context: &str) -> bool {
        let tokens: Vec<Token<'_>> = context
            .split('\n')
            .filter(|line| !line.chars().all(is_space))
            .flat_map(words)
            .map(|word| self.token(word))
            .collect();
        tokens
            .windows(2)
            .any(|pair| self.ends_sentence(&pair[0], &pair[1]))
    }

    /// What a word is by itself (section 3).
    fn token<'t>(&self, text: &'t str) -> Token<'t> {
        let lower = text.to_lowercase();
        let is_ellipsis = text.len() > 1 && text.bytes().all(|byte| byte == b'.');
        let mut is_break = matches!(text, "." | "?" | "!");
        let mut is_abbreviation = false;
        if let Some(word) = text.strip_suffix('.').filter(|word| !word.is_empty())
            && !word.ends_with('.')
        {
            let word = word.to_lowercase();
            let last = word.rsplit('-').next().unwrap_or_default();
            is_abbreviation =
                self.abbreviations.contains(&*word) || self.abbreviations.contains(last);
            is_break = !is_abbreviation;
        }
        Token {
            text,
            kind: if is_number(&lower) {
                NUMBER.to_owned()
            } else {
                lower
            },
            is_break,
            may_go_on: is_abbreviation || is_ellipsis,
        }
    }

    /// What a word is before another one (section 4).
    fn ends_sentence(&self, first: &Token<'_>, second: &Token<'_>) -> bool {
        if !first.text.ends_with('.') {
            return first.is_break;
        }
        let (kind, next) = (without_period(&first.kind), second.kind_in_sentence());
        if self.collocations.contains(&*format!("{kind}\t{next}")) {
            return false;
        }
        let (is_initial, starts) = (first.is_initial(), self.starts_sentence(second));
        let is_starter = second.is_upper() && self.starters.contains(next);
        if first.may_go_on && !is_initial && (starts == Some(true) || is_starter) {
            return true;
        }
        let goes_on = match starts {
            Some(starts) => !starts,
            None => is_initial && second.is_upper() && self.context(next) & ANY_LOWER == 0,
        };
        if (is_initial || kind == NUMBER) && goes_on {
            return false;
        }
        first.is_break
    }

    /// What the case of its first letter says about a word, if anything (section 4.1.1).
    fn starts_sentence(&self, token: &Token<'_>) -> Option<bool> {
        if matches!(token.text, ";" | ":" | "," | "." | "!" | "?") {
            return Some(false);
        }
        let context = self.context(token.kind_in_sentence());
        let has = |flags: u8| context & flags != 0;
        if token.is_upper() && has(ANY_LOWER) && !has(MIDDLE_UPPER) {
            return Some(true);
        }
        let goes_on = token.is_lower() && (has(ANY_UPPER) || !has(BEGINNING_LOWER));
        goes_on.then_some(false)
    }

    fn context(&self, kind: &str) -> u8 {
        self.contexts.get(kind).copied().unwrap_or(0)
    }
}

struct Token<'t> {
    text: &'t str,
    /// In lower case; all numbers are of one kind.
    kind: String,
    /// Whether a sentence ends here, as far as the word itself says.
    is_break: bool,
    /// Whether it is an abbreviation or an ellipsis.
    may_go_on: bool,
}

impl Token<'_> {
    fn is_upper(&self) -> bool {
        self.text.chars().next().is_some_and(char::is_uppercase)
    }

    fn is_lower(&self) -> bool {
        self.text.chars().next().is_some_and(char::is_lowercase)
    }

    /// A letter and a period.
    fn is_initial(&self) -> bool {
        let mut letters = self.text.chars();
        letters.next().is_some_and(|c| is_word(c) && !is_digit(c)) && letters.as_str() == "."
    }

    /// The kind, without the period that ends a sentence.
    fn kind_in_sentence(&self) -> &str {
        match self.is_break {
            true => without_period(&self.kind),
            false => &self.kind,
        }
    }
}

fn without_period(kind: &str) -> &str {
    let word = kind.strip_suffix('.').filter(|word| !word.is_empty());
    word.unwrap_or(kind)
}

/// `^-?[\.,]?\d[\d,\.-]*\.?$`
fn is_number(word: &str) -> bool {
    let word = word.strip_prefix('-').unwrap_or(word);
    let word = word.strip_prefix(['.', ',']).unwrap_or(word);
    let mut letters = word.chars();
    letters.next().is_some_and(is_digit)
        && letters.all(|c| is_digit(c) || matches!(c, ',' | '.' | '-'))
}

/// A place where a sentence may end.
struct Candidate {
    /// Where the word before it begins.
    word: usize,
    /// A period, a question mark or an exclamation mark.
    mark: usize,
    /// Where the word or sign behind it ends.
    context_end: usize,
    /// Where the next sentence begins, if one ends here.
    next: usize,
}

/// Of several marks in one word the last is the candidate.
fn candidates(text: &str) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for (mark, _) in text.match_indices(['.', '?', '!']) {
        // [.?!](?=(NON-WORD|\s+(\S+)))
        let rest = &text[mark + 1..];
        let Some(sign) = rest.chars().next() else {
            continue;
        };
        let (next, context_end) = if is_non_word(sign) {
            (mark + 1, mark + 1 + sign.len_utf8())
        } else if sign.is_whitespace() {
            let word = rest.trim_start();
            if word.is_empty() {
                continue;
            }
            let next = text.len() - word.len();
            let length = word.find(char::is_whitespace).unwrap_or(word.len());
            (next, next + length)
        } else {
            continue;
        };
        let (word, before) = found.last().map_or((0, 0), |last| (last.word, last.mark));
        let spaces = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c');
        // A space at the very beginning does not count.
        let space = text[before..mark].rfind(spaces).filter(|at| *at > 0);
        let word = match space {
            Some(at) => before + at + 1,
            None => {
                found.pop_if(|last| last.word < last.mark);
                word
            }
        };
        found.push(Candidate {
            word,
            mark,
            context_end,
            next,
        });
    }
    found
}

/// `["')\]}‘’“”«»]+?(?:\s+|(?=--)|$)` at the beginning of a sentence belongs to the one before: its length without and
/// with the space.
fn closing_signs(text: &str) -> Option<(usize, usize)> {
    let is_closing = |c: char| {
        matches!(
            c,
            '"' | '\'' | ')' | ']' | '}' | '‘' | '’' | '“' | '”' | '«' | '»'
        )
    };
    let rest = text.trim_start_matches(is_closing);
    let signs = text.len() - rest.len();
    let behind = rest.trim_start();
    let ends = rest.is_empty() || behind.len() < rest.len() || rest.starts_with("--");
    (signs > 0 && ends).then(|| (signs, text.len() - behind.len()))
}

/// What cannot be within a word.
fn is_non_word(sign: char) -> bool {
    matches!(
        sign,
        ')' | '"' | ';' | '}' | ']' | '*' | ':' | '@' | '\'' | '(' | '{' | '[' | '?' | '!'
    ) || matches!(sign, '‘' | '’' | '“' | '”' | '«' | '»')
}

/// Words and signs of a line; a period stays with its word.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line.trim_start();
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let (word, behind) = rest.split_at(match several(rest) {
            0 if starts_word(first) => word_length(rest),
            0 => first.len_utf8(),
            length => length,
        });
        rest = behind.trim_start();
        Some(word)
    })
}

/// `-{2,}|\.{2,}|(?:\.\s){2,}\.`: the length of what is there.
fn several(text: &str) -> usize {
    for sign in ['-', '.'] {
        let length = text.len() - text.trim_start_matches(sign).len();
        if length > 1 {
            return length;
        }
    }
    let (mut rest, mut periods, mut length) = (text, 0, 0);
    while let Some(behind) = rest.strip_prefix('.') {
        periods += 1;
        if periods > 2 {
            length = text.len() - behind.len();
        }
        let mut letters = behind.chars();
        if !letters.next().is_some_and(char::is_whitespace) {
            break;
        }
        rest = letters.as_str();
    }
    length
}

fn starts_word(sign: char) -> bool {
    !matches!(
        sign,
        '(' | '"'
            | '`'
            | '{'
            | '['
            | ':'
            | ';'
            | '&'
            | '#'
            | '*'
            | '@'
            | ')'
            | '}'
            | ']'
            | '-'
            | ','
    )
}

/// Up to what ends a word: space, a sign, or a comma before such.
fn word_length(text: &str) -> usize {
    let ends = |text: &str| {
        let sign = text.chars().next();
        sign.is_none_or(|sign| sign.is_whitespace() || is_non_word(sign)) || several(text) > 0
    };
    let places = text.char_indices().map(|(at, _)| at).skip(1);
    let mut ending = places.filter(|&at| {
        let rest = &text[at..];
        ends(rest) || rest.strip_prefix(',').is_some_and(ends)
    });
    ending.next().unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const SMALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/goldens/punkt");

    #[test]
    fn every_sentence_is_that_of_nltk() {
        let golden: Value =
            serde_json::from_str(include_str!("../goldens/sentences.json")).unwrap();
        let (punkt, mut compared) = (Punkt::open(Path::new(SMALL)).unwrap(), 0);
        for (text, expected) in golden["sentences"].as_object().unwrap() {
            let mut found = Vec::new();
            punkt.sentences(text, |sentence| found.push(Value::from(sentence)));
            assert_eq!(&found, expected.as_array().unwrap(), "{text:?}");
            compared += found.len();
        }
        assert!(compared > 3000, "{compared} sentences compared");
    }

    #[test]
    fn a_model_that_is_no_model_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Punkt::open(folder.path()).unwrap_err();
        assert!(
            error.message.contains("ortho_context.tab") && error.hint.is_some(),
            "{error}"
        );
        std::fs::write(folder.path().join("ortho_context.tab"), "a\t4\nb\t999\n").unwrap();
        let error = Punkt::open(folder.path()).unwrap_err();
        assert!(
            error.message.contains("ortho_context.tab, line 2"),
            "{error}"
        );
    }
}
