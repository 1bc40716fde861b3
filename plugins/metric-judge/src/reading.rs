//! Numbers and verdicts in replies, which are often wrapped in prose.

use bomf_plugin_api::{PluginError, Result};
use regex::Regex;

/// Reads the option `pattern`.
///
/// # Errors
/// When it is no regular expression, or has not exactly one group.
pub fn pattern(text: &str) -> Result<Regex> {
    let pattern = Regex::new(text).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim();
        PluginError::input(format!("pattern: found `{text}`: {reason}"))
    })?;
    match pattern.captures_len() {
        2 => Ok(pattern),
        groups => Err(PluginError::input(format!(
            "pattern: found {} groups in `{text}`, expected one around what is to be read",
            groups - 1
        ))),
    }
}

/// A scale of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The worst.
    pub low: f64,
    /// The best.
    pub high: f64,
}

impl Scale {
    /// The number in a reply: what the pattern's group holds, or else the first that is on the scale. `None`: there is
    /// none.
    pub fn read(self, reply: &str, pattern: Option<&Regex>) -> Option<f64> {
        let reply = said(reply);
        match pattern {
            Some(pattern) => {
                let group = pattern.captures(reply)?.get(1)?;
                let number = group.as_str().trim().parse().ok()?;
                self.holds(number).then_some(number)
            }
            None => self.first(reply),
        }
    }

    fn holds(self, number: f64) -> bool {
        (self.low..=self.high).contains(&number)
    }

    /// The first number on the scale. The scale itself, as in `on a scale from 0 to 100`, is passed over.
    fn first(self, reply: &str) -> Option<f64> {
        let numbers: Vec<(f64, std::ops::Range<usize>)> = numbers(reply);
        let mut index = 0;
        while let Some((number, place)) = numbers.get(index) {
            if let Some((other, next)) = numbers.get(index + 1)
                && (*number, *other) == (self.low, self.high)
                && is_span(&reply[place.end..next.start])
            {
                index += 2;
                continue;
            }
            if self.holds(*number) {
                return Some(*number);
            }
            index += 1;
        }
        None
    }
}

/// Whether what stands between two numbers makes them the ends of a scale.
fn is_span(between: &str) -> bool {
    ["to", "-", "\u{2013}", "\u{2014}", "and", "..", "through"].contains(&between.trim())
}

/// All numbers that stand by themselves: `GPT4` and `v1.2.3` hold none.
fn numbers(text: &str) -> Vec<(f64, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let start = at;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        if bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            at += 1;
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
        }
        let before = text[..start].chars().next_back();
        let after = text[at..].chars().next();
        let joined = |c: char| c.is_alphanumeric() || c == '_';
        let versioned =
            bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
        if before.is_some_and(|c| joined(c) || c == '.') || after.is_some_and(joined) || versioned {
            continue;
        }
        // A minus sign is one where no word or number stands before it.
        let is_negative = matches!(before, Some('-' | '\u{2212}')) && {
            let earlier = text[..start].chars().rev().nth(1);
            !earlier.is_some_and(joined)
        };
        if let Ok(number) = text[start..at].parse::<f64>() {
            let number = if is_negative { -number } else { number };
            found.push((number, start..at));
        }
    }
    found
}

/// Which of two texts is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The one called A.
    A,
    /// The one called B.
    B,
    /// Neither.
    Tie,
}

impl Verdict {
    /// The verdict in a reply: what the pattern's group holds, or else the one of `A`, `B` and `tie` that stands in it as
    /// a word. `None`: there is none, or more than one.
    pub fn read(reply: &str, pattern: Option<&Regex>) -> Option<Self> {
        let reply = said(reply);
        if let Some(pattern) = pattern {
            let group = pattern.captures(reply)?.get(1)?;
            return Self::of(&group.as_str().trim().to_lowercase());
        }
        if let Some(verdict) = Self::of(
            &reply
                .trim_matches(|c: char| !c.is_alphanumeric())
                .to_lowercase(),
        ) {
            return Some(verdict);
        }
        let words = reply.split(|c: char| !c.is_alphanumeric());
        let mut verdicts = words.filter_map(|word| match word {
            "A" => Some(Self::A),
            "B" => Some(Self::B),
            word => (word.eq_ignore_ascii_case("tie")).then_some(Self::Tie),
        });
        let first = verdicts.next()?;
        verdicts.all(|other| other == first).then_some(first)
    }

    fn of(word: &str) -> Option<Self> {
        match word {
            "a" => Some(Self::A),
            "b" => Some(Self::B),
            "tie" => Some(Self::Tie),
            _ => None,
        }
    }
}

/// The reply without what a model thought before it, where that is part of the text.
fn said(reply: &str) -> &str {
    match reply.rsplit_once("</think>") {
        Some((_, said)) => said,
        // It was still thinking when its tokens ran out.
        None if reply.trim_start().starts_with("<think>") => "",
        None => reply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERCENT: Scale = Scale {
        low: 0.0,
        high: 100.0,
    };

    #[test]
    fn the_first_number_on_the_scale_is_read_out_of_prose() {
        for (reply, expected) in [
            ("85", Some(85.0)),
            (" 72.5\n", Some(72.5)),
            ("**90**", Some(90.0)),
            ("Score: 85/100", Some(85.0)),
            ("I would say 40 out of 100, maybe 50.", Some(40.0)),
            ("On a scale from 0 to 100 this is a 67%.", Some(67.0)),
            ("(0-100): 12", Some(12.0)),
            ("0", Some(0.0)),
            ("100.", Some(100.0)),
            ("between 0 and 100", None),
            ("GPT4 says 3", Some(3.0)),
            ("v1.2.3 says 7", Some(7.0)),
            ("-5", None),
            ("\u{2212}5 or 5", Some(5.0)),
            ("250, no, 25", Some(25.0)),
            ("score-30", Some(30.0)),
            ("점수: 88점", None),
            ("점수: 88", Some(88.0)),
            ("eighty", None),
            ("", None),
            ("<think>10 or 20?</think>\n30", Some(30.0)),
            ("<think>10 or 20", None),
        ] {
            assert_eq!(PERCENT.read(reply, None), expected, "{reply}");
        }
        assert_eq!(
            Scale {
                low: 1.0,
                high: 5.0
            }
            .read("0 of 5, so 4", None),
            Some(5.0)
        );
    }

    #[test]
    fn a_pattern_goes_before_the_first_number() {
        let pattern = pattern(r"\[\[(.*?)\]\]").unwrap();
        assert_eq!(
            PERCENT.read("3 reasons: [[ 55 ]]", Some(&pattern)),
            Some(55.0)
        );
        assert_eq!(PERCENT.read("3 reasons: [[555]]", Some(&pattern)), None);
        assert_eq!(PERCENT.read("3 reasons", Some(&pattern)), None);
        assert_eq!(
            Verdict::read("A or B: [[b]]", Some(&pattern)),
            Some(Verdict::B)
        );
    }

    #[test]
    fn patterns_that_cannot_be_used_are_refused() {
        for (text, piece) in [
            ("(", "unclosed group"),
            ("a", "0 groups"),
            ("(a)(b)", "2 groups"),
        ] {
            let message = pattern(text).unwrap_err().message;
            assert!(message.contains(piece), "{message}");
        }
    }

    #[test]
    fn a_verdict_is_read_only_where_there_is_one() {
        for (reply, expected) in [
            ("A", Some(Verdict::A)),
            ("b.", Some(Verdict::B)),
            ("**Tie**", Some(Verdict::Tie)),
            ("Answer B is better.", Some(Verdict::B)),
            ("It is a tie", Some(Verdict::Tie)),
            ("A, not B", None),
            ("neither", None),
            ("", None),
        ] {
            assert_eq!(Verdict::read(reply, None), expected, "{reply}");
        }
    }
}
