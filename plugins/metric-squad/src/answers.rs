//! Answers as the official scripts compare them: lower case, without punctuation and articles, split into words.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// A normalised answer, in buffers that are used again.
#[derive(Default)]
pub(crate) struct Answer {
    /// All words, one after the other.
    text: String,
    /// `[words]`: where each one ends in `text`.
    ends: Vec<u32>,
    /// `[words]`: their ranges in `text`, in the order of their bytes.
    sorted: Vec<(u32, u32)>,
}

impl Answer {
    /// Takes another answer: lower case, ASCII punctuation out, `a`, `an` and `the` to a space, split at white space.
    pub(crate) fn read(&mut self, answer: &str) {
        self.text.clear();
        self.ends.clear();
        if answer.is_ascii() {
            self.normalise(answer.chars().map(|c| c.to_ascii_lowercase()));
        } else {
            // As a whole: what a capital sigma becomes depends on its neighbours.
            self.normalise(answer.to_lowercase().chars());
        }
        self.sorted.clear();
        let mut start = 0;
        for &end in &self.ends {
            self.sorted.push((start, end));
            start = end;
        }
        let bytes = self.text.as_bytes();
        self.sorted
            .sort_unstable_by_key(|&(start, end)| &bytes[start as usize..end as usize]);
    }

    fn normalise(&mut self, lower: impl Iterator<Item = char>) {
        // The run of letters and numbers that is open begins here: what the expression `\b(a|an|the)\b` looks at.
        let mut run = None;
        for c in lower.filter(|c| !c.is_ascii_punctuation()) {
            if is_word_character(c) {
                run.get_or_insert(self.text.len());
                self.text.push(c);
                continue;
            }
            self.end_run(run.take());
            match is_space(c) {
                true => self.end_word(),
                false => self.text.push(c),
            }
        }
        self.end_run(run);
        self.end_word();
    }

    /// An article is a space.
    fn end_run(&mut self, run: Option<usize>) {
        if let Some(start) = run
            && matches!(&self.text[start..], "a" | "an" | "the")
        {
            self.text.truncate(start);
            self.end_word();
        }
    }

    fn end_word(&mut self) {
        let end = self.text.len() as u32;
        if end > self.ends.last().copied().unwrap_or(0) {
            self.ends.push(end);
        }
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether both are the same words in the same order.
    pub(crate) fn is_same(&self, other: &Answer) -> bool {
        self.ends == other.ends && self.text == other.text
    }

    /// Harmonic mean of the shares of words that are in common, in [0, 1]; 0 where none is.
    pub(crate) fn f1(&self, reference: &Answer) -> f64 {
        let common = self.common(reference);
        if common == 0 {
            return 0.0;
        }
        let precision = common as f64 / self.ends.len() as f64;
        let recall = common as f64 / reference.ends.len() as f64;
        2.0 * precision * recall / (precision + recall)
    }

    /// How many words both have, each as often as both do.
    fn common(&self, other: &Answer) -> usize {
        let (mut mine, mut theirs) = (self.words().peekable(), other.words().peekable());
        let mut common = 0;
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            let order = a.cmp(b);
            common += usize::from(order.is_eq());
            if order.is_le() {
                mine.next();
            }
            if order.is_ge() {
                theirs.next();
            }
        }
        common
    }

    fn words(&self) -> impl Iterator<Item = &[u8]> {
        let bytes = self.text.as_bytes();
        let sorted = self.sorted.iter();
        sorted.map(|&(start, end)| &bytes[start as usize..end as usize])
    }
}

/// What `\w` of Python's `re` means, but for the underscore, which is gone as punctuation: letters and numbers of Unicode, and
/// no marks.
fn is_word_character(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    matches!(
        c.general_category_group(),
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number
    )
}

/// What Python's `str.split` takes for white space: Unicode's, and the four separators of ASCII.
fn is_space(c: char) -> bool {
    matches!(c, '\t'..='\r' | '\x1c'..=' ') || !c.is_ascii() && c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect(answer: &str, words: &[&str]) {
        let mut read = Answer::default();
        read.read("what an earlier answer left");
        read.read(answer);
        let mut start = 0;
        let found: Vec<&str> = (read.ends.iter())
            .map(|&end| &read.text[std::mem::replace(&mut start, end as usize)..end as usize])
            .collect();
        assert_eq!(found, words, "{answer:?}");
        assert_eq!(read.is_empty(), words.is_empty());
    }

    #[test]
    fn case_punctuation_and_articles_do_not_count() {
        expect(
            "The Cat, an\tanimal; A-Team's",
            &["cat", "animal", "ateams"],
        );
        expect("a an the A. \n", &[]);
        expect("U.S.A.", &["usa"]);
        expect("a.n other th_e", &["other"]);
        expect("café—«x»", &["café—«x»"]);
    }

    #[test]
    fn articles_end_where_letters_and_numbers_do() {
        // A combining mark is no letter: what stands before it may be an article.
        expect("a\u{301} x", &["\u{301}", "x"]);
        expect("x—the—y a1 the\u{200b}n", &["x—", "—y", "a1", "\u{200b}n"]);
        expect("a½ aः", &["a½", "ः"]);
        expect("\u{1}a\u{1}", &["\u{1}", "\u{1}"]);
    }

    #[test]
    fn case_and_space_are_those_of_python() {
        expect(
            "ΟΔΟΣ İ\u{1c}ẞ\u{85}x\u{3000}y",
            &["οδος", "i\u{307}", "ß", "x", "y"],
        );
    }

    #[test]
    fn words_in_common_are_counted_as_often_as_both_have_them() {
        let f1 = |a: &str, b: &str| {
            let (mut x, mut y) = (Answer::default(), Answer::default());
            x.read(a);
            y.read(b);
            x.f1(&y)
        };
        assert_eq!(f1("x y", "y x"), 1.0);
        assert_eq!(f1("x x y", "x z"), 0.4);
        assert_eq!((f1("", ""), f1("x", ""), f1("x", "y")), (0.0, 0.0, 0.0));
        assert_eq!(f1("xy z", "x yz"), 0.0);
    }
}
