//! What is known of each part of a text that was met: its words, their stems, and the stems' synonyms.

use text::Vocabulary;

use crate::wordnet::WordNet;

/// A word as METEOR compares it. Numbers of forms and stems are equal where the letters are.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// In lower case.
    pub form: u32,
    pub stem: u32,
    /// The stem as a name of WordNet, if there is one that is written so.
    pub name: Option<u32>,
}

/// All parts of texts that were met with their words; those at the end of a text follow other rules.
pub struct Words<'w> {
    parts: Parts,
    last_parts: Parts,
    pub forms: Forms<'w>,
}

#[derive(Default)]
struct Parts {
    numbers: Vocabulary,
    /// For each part where its words end.
    ends: Vec<u32>,
    words: Vec<Word>,
}

/// All forms that were met with what METEOR asks about them: each is looked into once.
pub struct Forms<'w> {
    wordnet: &'w WordNet,
    /// Of forms and stems.
    numbers: Vocabulary,
    /// For each number, once it was met as a form.
    stems: Vec<Option<u32>>,
    /// For each number, once it was met as a stem.
    names: Vec<Option<Name>>,
}

struct Name {
    stem: Box<str>,
    number: Option<u32>,
    /// Looked up when they are asked for: most words are aligned without.
    synonyms: Option<Box<[u32]>>,
}

impl<'w> Words<'w> {
    pub fn new(wordnet: &'w WordNet) -> Self {
        Self {
            parts: Parts::default(),
            last_parts: Parts::default(),
            forms: Forms {
                wordnet,
                numbers: Vocabulary::default(),
                stems: Vec::new(),
                names: Vec::new(),
            },
        }
    }

    /// Between two examples: numbers of the last one may lose their meaning now.
    pub fn begin_example(&mut self) {
        let all = [
            &self.parts.numbers,
            &self.last_parts.numbers,
            &self.forms.numbers,
        ];
        if all.into_iter().any(Vocabulary::is_full) {
            *self = Self::new(self.forms.wordnet);
        }
    }

    /// The words of a part of a text, which is its end or not. `split` finds those of a part that is new.
    pub fn of_part(
        &mut self,
        part: &str,
        is_last: bool,
        split: impl FnOnce(&mut dyn FnMut(&str)),
    ) -> &[Word] {
        let known = match is_last {
            true => &mut self.last_parts,
            false => &mut self.parts,
        };
        let (number, new) = known.numbers.number_with(part, |_| ());
        if new.is_some() {
            split(&mut |word| known.words.push(self.forms.word(word)));
            known.ends.push(known.words.len() as u32);
        }
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| known.ends[before]);
        &known.words[start as usize..known.ends[number] as usize]
    }
}

impl Forms<'_> {
    /// All numbers of forms and stems so far are below.
    pub fn bound(&self) -> usize {
        self.numbers.len()
    }

    fn word(&mut self, word: &str) -> Word {
        let is_lower = word
            .bytes()
            .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        let (form, stem) = match is_lower {
            true => self.form(word),
            false => self.form(&word.to_lowercase()),
        };
        let name = self.names[stem as usize]
            .as_ref()
            .and_then(|name| name.number);
        Word { form, stem, name }
    }

    /// The numbers of a form and of its stem.
    fn form(&mut self, form: &str) -> (u32, u32) {
        let number = self.number(form);
        if let Some(stem) = self.stems[number as usize] {
            return (number, stem);
        }
        let stem = text::stem(form);
        let stem_number = self.number(&stem);
        self.stems[number as usize] = Some(stem_number);
        let name = &mut self.names[stem_number as usize];
        if name.is_none() {
            *name = Some(Name {
                number: self.wordnet.name(&stem),
                stem: stem.into(),
                synonyms: None,
            });
        }
        (number, stem_number)
    }

    fn number(&mut self, letters: &str) -> u32 {
        let (number, new) = self.numbers.number_with(letters, |_| ());
        if new.is_some() {
            self.stems.push(None);
            self.names.push(None);
        }
        number
    }

    /// Looks up the stem's synonyms, if that has not been done yet.
    pub fn look_up(&mut self, stem: u32) {
        if let Some(Name { stem, synonyms, .. }) = &mut self.names[stem as usize] {
            synonyms.get_or_insert_with(|| self.wordnet.synonyms(stem).into());
        }
    }

    /// The names of WordNet that mean the same as the stem; none before they were looked up.
    pub fn synonyms(&self, stem: u32) -> &[u32] {
        let name = self.names[stem as usize].as_ref();
        name.and_then(|name| name.synonyms.as_deref())
            .unwrap_or_default()
    }
}
