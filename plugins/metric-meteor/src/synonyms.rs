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
    number: Option<u32>,
    synonyms: Box<[u32]>,
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
        self.names[stem_number as usize] = Name {
            number: self.wordnet.name(&stem),
            synonyms: self.wordnet.synonyms(&stem).into(),
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

    /// The names of WordNet that mean the same as the stem.
    pub fn synonyms(&self, stem: u32) -> &[u32] {
        &self.names[stem as usize].synonyms
    }
}
