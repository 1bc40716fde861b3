//! The tokenizers of sacrebleu, as one machine that goes over a line once.
//!
//! sacrebleu chains regular expressions that put spaces around characters. All they see of a character is whether it is a
//! symbol, a point, a number or anything else, so that a class per character and one rule for points say the same.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::ngrams::Span;

/// How a line is split into tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Tokenize {
    /// As mteval-v13a does for WMT: ASCII punctuation apart, but for points and commas within numbers.
    #[default]
    #[serde(rename = "13a")]
    V13a,
    /// As mteval-v14 does: all punctuation and symbols of Unicode apart, but for punctuation between numbers.
    #[serde(rename = "intl")]
    International,
    /// Chinese characters one by one, all else as `13a`.
    #[serde(rename = "zh")]
    Chinese,
    /// Every character but white space.
    #[serde(rename = "char")]
    Characters,
    /// At white space only: the text has been tokenized before.
    #[serde(rename = "none")]
    None,
}

impl Tokenize {
    /// What configurations and signatures call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V13a => "13a",
            Self::International => "intl",
            Self::Chinese => "zh",
            Self::Characters => "char",
            Self::None => "none",
        }
    }

    /// What the rules see of a character.
    fn class(self, c: char) -> Class {
        if is_space(c) {
            return Class::Space;
        }
        match (self, c) {
            (Self::Characters, _) => Class::Symbol,
            (Self::None, _) => Class::Word,
            (Self::International, _) => match c.general_category_group() {
                GeneralCategoryGroup::Punctuation => Class::Point,
                GeneralCategoryGroup::Symbol => Class::Symbol,
                GeneralCategoryGroup::Number => Class::Number,
                _ => Class::Word,
            },
            (_, '.' | ',') => Class::Point,
            (_, '-') => Class::Dash,
            (_, '0'..='9') => Class::Number,
            (_, '\'') => Class::Word,
            (_, c) if c.is_ascii_punctuation() => Class::Symbol,
            (Self::Chinese, c) if is_chinese(c) => Class::Symbol,
            _ => Class::Word,
        }
    }
}

/// What becomes of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Part of a word.
    Word,
    /// Part of a word, and holds the points beside it.
    Number,
    /// A token of its own unless numbers hold it.
    Point,
    /// A token of its own behind a number, part of a word elsewhere.
    Dash,
    /// A token of its own.
    Symbol,
    /// Between tokens.
    Space,
    /// First byte of a character that has to be looked at as a whole.
    Far,
}

/// A tokenizer with its tables.
pub(crate) struct Tokenizer {
    tokenize: Tokenize,
    /// By the first byte of a character.
    classes: [Class; 256],
    /// Whether the rules see a space before the line and behind it.
    padded: bool,
}

impl Tokenizer {
    pub(crate) fn new(tokenize: Tokenize) -> Self {
        let any_may_be_special = !matches!(tokenize, Tokenize::V13a | Tokenize::None);
        let classes = std::array::from_fn(|byte| match byte as u8 {
            byte @ 0..0x80 => tokenize.class(char::from(byte)),
            // Spaces beyond ASCII begin with these bytes.
            0xc2 | 0xe1 | 0xe2 | 0xe3 => Class::Far,
            _ if any_may_be_special => Class::Far,
            _ => Class::Word,
        });
        Self {
            tokenize,
            classes,
            padded: tokenize == Tokenize::V13a,
        }
    }

    pub(crate) fn tokenize(&self) -> Tokenize {
        self.tokenize
    }

    /// The line that is split: what the tokenizer removes or replaces beforehand is done.
    pub(crate) fn prepare<'t>(&self, line: Cow<'t, str>) -> Cow<'t, str> {
        match self.tokenize {
            Tokenize::V13a if is_marked_up(&line) => Cow::Owned(without_mark_up(&line)),
            Tokenize::Chinese => trimmed_start(line),
            _ => line,
        }
    }

    /// Splits a prepared line; `spans` becomes `[tokens]`.
    pub(crate) fn split(&self, line: &str, spans: &mut Vec<Span>) {
        spans.clear();
        // The token that is open begins at `start`, the next character at `at`.
        let (mut start, mut at) = (0, 0);
        while at < line.len() {
            let (class, end) = self.class_at(line, at);
            match class {
                Class::Word | Class::Number => at = end,
                Class::Dash if self.class_before(line, at) != Some(Class::Number) => at = end,
                Class::Space => {
                    push(spans, start, at);
                    (start, at) = (end, end);
                }
                Class::Point => (start, at) = self.split_points(line, start, at, spans),
                Class::Symbol | Class::Dash | Class::Far => {
                    push(spans, start, at);
                    push(spans, at, end);
                    (start, at) = (end, end);
                }
            }
        }
        push(spans, start, line.len());
    }

    /// Goes over a run of points from `at`, and gives the start of the token that is open then, and the run's end.
    ///
    /// The expressions are `([^0-9])([.,])` -> `\1 \2 ` and then `([.,])([^0-9])` -> ` \1 \2`, neither overlapping itself:
    /// the first one takes a run in pairs, beginning with what stands before the run if that is no number. A point
    /// that is left over at the end of the run stays with the number behind it, and one between numbers with both.
    fn split_points(
        &self,
        line: &str,
        start: usize,
        at: usize,
        spans: &mut Vec<Span>,
    ) -> (usize, usize) {
        let before = self.class_before(line, at);
        let held_before = before.map_or(!self.padded, |class| class == Class::Number);
        let (mut points, mut last, mut end) = (0, at, at);
        while end < line.len() {
            let (class, next) = self.class_at(line, end);
            if class != Class::Point {
                break;
            }
            (points, last, end) = (points + 1, end, next);
        }
        let behind = (end < line.len()).then(|| self.class_at(line, end).0);
        let left_over = held_before == (points % 2 == 1);
        let held_behind = behind == Some(Class::Number) && left_over;
        let ends_the_line = behind.is_none() && !self.padded;

        if points == 1 && before == Some(Class::Number) && (held_behind || ends_the_line) {
            return (start, end);
        }
        push(spans, start, at);
        let mut point = at;
        while point < last {
            let (_, next) = self.class_at(line, point);
            push(spans, point, next);
            point = next;
        }
        if held_behind {
            return (last, end);
        }
        push(spans, last, end);
        (end, end)
    }

    /// The class of the character at a byte, and where it ends.
    #[inline]
    fn class_at(&self, line: &str, at: usize) -> (Class, usize) {
        match self.classes[usize::from(line.as_bytes()[at])] {
            Class::Far => self.far_class_at(line, at),
            class => (class, at + 1),
        }
    }

    /// Apart, so that the walk over bytes stays small.
    #[inline(never)]
    fn far_class_at(&self, line: &str, at: usize) -> (Class, usize) {
        let c = line[at..].chars().next().expect("`at` is inside the line");
        (self.tokenize.class(c), at + c.len_utf8())
    }

    fn class_before(&self, line: &str, at: usize) -> Option<Class> {
        let c = line[..at].chars().next_back()?;
        Some(self.tokenize.class(c))
    }
}

fn push(spans: &mut Vec<Span>, start: usize, end: usize) {
    if start < end {
        spans.push((start as u32, end as u32));
    }
}

/// Whether Python's `str.split` and `str.strip` take it for white space: Unicode's, and the four separators of ASCII.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, '\t'..='\r' | '\x1c'..=' ') || !c.is_ascii() && c.is_whitespace()
}

/// The line without white space at its end, as Python's `str.rstrip` has it.
pub(crate) fn trimmed_end(line: Cow<'_, str>) -> Cow<'_, str> {
    match line {
        Cow::Borrowed(line) => Cow::Borrowed(line.trim_end_matches(is_space)),
        Cow::Owned(mut line) => {
            line.truncate(line.trim_end_matches(is_space).len());
            Cow::Owned(line)
        }
    }
}

fn trimmed_start(line: Cow<'_, str>) -> Cow<'_, str> {
    match line {
        Cow::Borrowed(line) => Cow::Borrowed(line.trim_start_matches(is_space)),
        Cow::Owned(line) => Cow::Owned(line.trim_start_matches(is_space).to_owned()),
    }
}

/// Whether [`without_mark_up`] may change the line. No early exit, so that it takes many bytes at a time.
fn is_marked_up(line: &str) -> bool {
    line.bytes().fold(false, |found, byte| {
        found | (byte == b'\n') | (byte == b'&') | (byte == b'<')
    })
}

/// What mteval-v13a does before it splits: drops `<skipped>`, joins words across lines, and reads four entities.
fn without_mark_up(line: &str) -> String {
    line.replace("<skipped>", "")
        .replace("-\n", "")
        .replace('\n', " ")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
}

/// Characters that `zh` splits off. The range from U+2001 and the one from U+2F81 are what sacrebleu's bounds `\u20000` to
/// `\u2a6d6` and `\u2f800` to `\u2fa1d` mean in Python: four hexadecimal digits and a fifth character.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{2001}'..='\u{2a6d}'
        | '\u{2e80}'..='\u{2eff}'
        | '\u{2f00}'..='\u{2fdf}'
        | '\u{2ff0}'..='\u{303f}'
        | '\u{3100}'..='\u{312f}'
        | '\u{31a0}'..='\u{31bf}'
        | '\u{31c0}'..='\u{31ef}'
        | '\u{3200}'..='\u{33ff}'
        | '\u{3400}'..='\u{4db5}'
        | '\u{4e00}'..='\u{9fbb}'
        | '\u{f900}'..='\u{fa2d}'
        | '\u{fa30}'..='\u{fa6a}'
        | '\u{fa70}'..='\u{fad9}'
        | '\u{fe10}'..='\u{fe1f}'
        | '\u{fe30}'..='\u{fe4f}'
        | '\u{ff00}'..='\u{ffef}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(tokenize: Tokenize, line: &str) -> Vec<String> {
        let (tokenizer, mut spans) = (Tokenizer::new(tokenize), Vec::new());
        let line = tokenizer.prepare(Cow::Borrowed(line));
        tokenizer.split(&line, &mut spans);
        let token = |&(start, end): &Span| line[start as usize..end as usize].to_owned();
        spans.iter().map(token).collect()
    }

    #[track_caller]
    fn expect(tokenize: Tokenize, line: &str, spaced: &str) {
        assert_eq!(tokens(tokenize, line).join(" "), spaced, "{line:?}");
    }

    #[test]
    fn points_stay_within_numbers_alone() {
        expect(
            Tokenize::V13a,
            "It's 1,234.5 (or 7.) a.b .5 5.",
            "It's 1,234.5 ( or 7 . ) a . b . 5 5 .",
        );
        expect(
            Tokenize::International,
            ".5 5. 3% a.b-c",
            ".5 5 . 3 % a . b - c",
        );
        expect(Tokenize::International, "see 5.", "see 5.");
        expect(Tokenize::Chinese, ".5 and 5.", ".5 and 5.");
    }

    #[test]
    fn runs_of_points_are_taken_in_pairs() {
        expect(Tokenize::V13a, "a.,5", "a . ,5");
        expect(Tokenize::V13a, "a...5", "a . . . 5");
        expect(Tokenize::V13a, "1..5", "1 . . 5");
        expect(Tokenize::V13a, "1...5", "1 . . .5");
        expect(Tokenize::V13a, "1.,.,x", "1 . , . , x");
        expect(Tokenize::Chinese, "..5", ". . 5");
        expect(Tokenize::Chinese, "...5", ". . .5");
    }

    #[test]
    fn a_dash_is_split_off_behind_a_digit() {
        expect(
            Tokenize::V13a,
            "well-known 10-12 5--x 5.-3",
            "well-known 10 - 12 5 - -x 5 . -3",
        );
    }

    #[test]
    fn mark_up_is_read_in_order() {
        expect(
            Tokenize::V13a,
            "a<skipped>b co-\nop &amp;lt; x\ny &quot;",
            "ab coop < x y \"",
        );
    }

    #[test]
    fn white_space_is_that_of_python() {
        expect(
            Tokenize::None,
            "a\u{1c}b\u{85}c\u{2003}d\u{3000}e\u{200b}f",
            "a b c d e\u{200b}f",
        );
        expect(Tokenize::Characters, " né\u{301} \t한", "n é \u{301} 한");
    }

    #[test]
    fn chinese_characters_stand_alone() {
        expect(
            Tokenize::Chinese,
            "我有3.5个apples，好",
            "我 有 3.5 个 apples ， 好",
        );
        expect(Tokenize::Chinese, "a—b𠀀c", "a — b𠀀c");
        expect(Tokenize::International, "我，«ok»£5", "我 ， « ok » £ 5");
    }

    /// sacrebleu's expressions one after the other, each replacing pairs of characters that do not overlap.
    fn by_expressions(tokenize: Tokenize, line: &str) -> String {
        let class = |c: char| tokenize.class(c);
        let point = |c: char| class(c) == Class::Point;
        let number = |c: char| class(c) == Class::Number;
        let spaced = |line: String| -> String {
            line.chars()
                .flat_map(|c| match class(c) {
                    Class::Symbol => vec![' ', c, ' '],
                    _ => vec![c],
                })
                .collect()
        };
        let mut line = if tokenize == Tokenize::V13a {
            format!(" {line} ")
        } else {
            line.to_owned()
        };
        if tokenize != Tokenize::International {
            line = spaced(line);
        }
        line = pairs(
            &line,
            |a, b| !number(a) && point(b),
            |a, b| format!("{a} {b} "),
        );
        line = pairs(
            &line,
            |a, b| point(a) && !number(b),
            |a, b| format!(" {a} {b}"),
        );
        match tokenize {
            Tokenize::International => spaced(line),
            _ => pairs(
                &line,
                |a, b| number(a) && b == '-',
                |a, b| format!("{a} {b} "),
            ),
        }
    }

    fn pairs(
        line: &str,
        found: impl Fn(char, char) -> bool,
        new: impl Fn(char, char) -> String,
    ) -> String {
        let (characters, mut out, mut at): (Vec<char>, _, _) =
            (line.chars().collect(), String::new(), 0);
        while let Some(&first) = characters.get(at) {
            match characters.get(at + 1) {
                Some(&second) if found(first, second) => {
                    out.push_str(&new(first, second));
                    at += 2;
                }
                _ => {
                    out.push(first);
                    at += 1;
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn one_walk_does_what_the_expressions_do(line in "[a5.,!'$ \\-½»。日é\u{2003}]{0,16}") {
            for tokenize in [Tokenize::V13a, Tokenize::International, Tokenize::Chinese] {
                let line = line.trim_matches(is_space);
                let spaced = by_expressions(tokenize, line);
                let expected: Vec<&str> = spaced.split(is_space).filter(|token| !token.is_empty()).collect();
                prop_assert_eq!(tokens(tokenize, line), expected, "{:?} {:?}", tokenize, line);
            }
        }
    }
}
