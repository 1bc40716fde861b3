//! What is known of each word that was met: its stem, and the stem's synonyms.

use text::Vocabulary;

use crate::wordnet::WordNet;

/// Words as numbers, with what METEOR asks about them.
pub struct Words<'w> {
    wordnet: &'w WordNet,
    numbers: Vocabulary,
    /// For each number, once it was met as a word.
    stems: Vec<Option<u32>>,
    /// For each number, once it was met as a stem.
    names: Vec<Name>,
}

#[derive(Clone, Default)]
struct Name {
    stem: Box<str>,
    number: Option<u32>,
    /// Looked up when they are asked for: most words are aligned without.
    synonyms: Option<Box<[u32]>>,
}

impl<'w> Words<'w> {
    pub fn new(wordnet: &'w WordNet) -> Self {
        Self {
            wordnet,
            numbers: Vocabulary::default(),
            stems: Vec::new(),
            names: Vec::new(),
        }
    }

    /// Between two examples: numbers of the last one may lose their meaning now.
    pub fn begin_example(&mut self) {
        if self.numbers.is_full() {
            *self = Self::new(self.wordnet);
        }
    }

    /// All numbers so far are below.
    pub fn bound(&self) -> usize {
        self.numbers.len()
    }

    /// The number of a word in lower case, and that of its stem.
    pub fn number(&mut self, word: &str) -> (u32, u32) {
        let number = self.known(word);
        if let Some(stem) = self.stems[number as usize] {
            return (number, stem);
        }
        let stem = text::stem(word);
        let stem_number = self.known(&stem);
        let number_in_wordnet = self.wordnet.name(&stem);
        self.names[stem_number as usize] = Name {
            stem: stem.into(),
            number: number_in_wordnet,
            synonyms: None,
        };
        self.stems[number as usize] = Some(stem_number);
        (number, stem_number)
    }

    fn known(&mut self, word: &str) -> u32 {
        let number = self.numbers.number(word);
        self.stems.resize(self.numbers.len(), None);
        self.names.resize(self.numbers.len(), Name::default());
        number
    }

    /// The stem as a name of WordNet, if there is one that is written so.
    pub fn name(&self, stem: u32) -> Option<u32> {
        self.names[stem as usize].number
    }

    /// Looks up the stem's synonyms, if that has not been done yet.
    pub fn look_up(&mut self, stem: u32) {
        let Self { wordnet, names, .. } = self;
        let Name { stem, synonyms, .. } = &mut names[stem as usize];
        synonyms.get_or_insert_with(|| wordnet.synonyms(stem).into());
    }

    /// The names of WordNet that mean the same as the stem; none before they were looked up.
    pub fn synonyms(&self, stem: u32) -> &[u32] {
        self.names[stem as usize]
            .synonyms
            .as_deref()
            .unwrap_or_default()
    }
}
