//! METEOR over a split: the mean over the examples.

use std::path::PathBuf;

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use text::{Pairs, References};

use crate::align::Alignment;
use crate::assets;
use crate::characters::is_space;
use crate::punkt::Punkt;
use crate::treebank::{self, Treebank};
use crate::wordnet::WordNet;
use crate::words::{Word, Words};

/// Words aligned by form, stem and synonyms; few long runs are better than many short ones.
pub struct Meteor {
    options: MeteorOptions,
    wordnet: WordNet,
    /// For `tokenizer: punkt`.
    punkt: Option<Punkt>,
    threads: usize,
}

/// Options of `meteor`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MeteorOptions {
    /// How much recall counts beside precision: 1 is recall alone, 0 precision alone.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: f64,
    /// How steeply the penalty for a broken order grows with the number of runs.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub beta: f64,
    /// The greatest penalty for a broken order.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: f64,
    /// What a word is. `treebank`: as nltk's `word_tokenize(text, preserve_line=True)`, which sets punctuation and clitics
    /// apart. `punkt`: as nltk's `word_tokenize(text)`, which finds sentences first, so that the period of each is a word:
    /// this is evaluate's METEOR. `whitespace`: what stands between spaces, as for texts that are tokenized already.
    pub tokenizer: Tokenizer,
    /// The folder of WordNet's database files. By default what WNSEARCHDIR names, what `bomf assets fetch wordnet` has
    /// fetched, or /usr/share/wordnet.
    pub wordnet: Option<PathBuf>,
    /// The folder of Punkt's English model, for `tokenizer: punkt`. By default what `bomf assets fetch punkt` has fetched, or
    /// tokenizers/punkt_tab/english where nltk keeps its data.
    pub punkt: Option<PathBuf>,
}

impl Default for MeteorOptions {
    fn default() -> Self {
        Self {
            alpha: 0.9,
            beta: 3.0,
            gamma: 0.5,
            tokenizer: Tokenizer::Treebank,
            wordnet: None,
            punkt: None,
        }
    }
}

/// What a word is. `Serialize` lets the default into the options' schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tokenizer {
    /// nltk's word tokenizer, on the text as a whole.
    #[default]
    Treebank,
    /// nltk's word tokenizer, sentence by sentence.
    Punkt,
    /// What stands between spaces.
    Whitespace,
}

impl Component for Meteor {
    type Options = MeteorOptions;

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Metric,
            "meteor",
            "words, stems and synonyms shared with the references, in order",
        )
        .score(ScoreDescriptor::maximize("meteor", 0.0, 1.0).per_example())
    }

    fn new(options: MeteorOptions, context: &Context) -> Result<Self> {
        for (name, value, most) in [
            ("alpha", options.alpha, 1.0),
            ("beta", options.beta, 100.0),
            ("gamma", options.gamma, 1.0),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(PluginError::input(format!(
                    "found `{name}: {value}`, expected 0 to {most}"
                )));
            }
        }
        let cache = context.cache.as_deref();
        let wordnet = WordNet::open(&assets::wordnet(options.wordnet.as_deref(), cache)?)?;
        let punkt = match options.tokenizer {
            Tokenizer::Punkt => Some(Punkt::open(&assets::punkt(
                options.punkt.as_deref(),
                cache,
            )?)?),
            _ => None,
        };
        Ok(Self {
            options,
            wordnet,
            punkt,
            threads: context.threads,
        })
    }
}

impl Metric for Meteor {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let pairs = Pairs::of(examples)?;
        let values = pairs.map(self.threads, || Scorer::new(self), Scorer::score);
        let MeteorOptions {
            alpha,
            beta,
            gamma,
            tokenizer,
            wordnet: _,
            punkt: _,
        } = &self.options;
        let tokenizer = match tokenizer {
            Tokenizer::Treebank => "treebank",
            Tokenizer::Punkt => "punkt",
            Tokenizer::Whitespace => "whitespace",
        };
        let signature = format!(
            "meteor|alpha:{alpha}|beta:{beta}|gamma:{gamma}|tokenizer:{tokenizer}|wordnet:{}|version:{}",
            self.wordnet.version(),
            env!("CARGO_PKG_VERSION")
        );
        Ok(Scores::new(signature).mean_of("meteor", values))
    }
}

/// Scores examples one after the other; keeps its buffers.
struct Scorer<'m> {
    meteor: &'m Meteor,
    words: Words<'m>,
    treebank: Treebank,
    predicted: Vec<Word>,
    reference: Vec<Word>,
    alignment: Alignment,
}

impl<'m> Scorer<'m> {
    fn new(meteor: &'m Meteor) -> Self {
        Self {
            meteor,
            words: Words::new(&meteor.wordnet),
            treebank: Treebank::default(),
            predicted: Vec::new(),
            reference: Vec::new(),
            alignment: Alignment::default(),
        }
    }

    /// The score of the best reference.
    fn score(&mut self, predicted: &str, references: References<'_>) -> f64 {
        self.words.begin_example();
        let mut words = std::mem::take(&mut self.predicted);
        self.read(predicted, &mut words);
        self.predicted = words;
        let mut best = 0.0_f64;
        for reference in references.iter() {
            let mut words = std::mem::take(&mut self.reference);
            self.read(reference, &mut words);
            self.reference = words;
            best = best.max(self.compare());
        }
        best
    }

    fn read(&mut self, text: &str, found: &mut Vec<Word>) {
        found.clear();
        let Self {
            words, treebank, ..
        } = self;
        if self.meteor.options.tokenizer == Tokenizer::Whitespace {
            for part in text.split(is_space).filter(|word| !word.is_empty()) {
                found.extend_from_slice(words.of_part(part, false, |word| word(part)));
            }
            return;
        }
        let sentence = |text| {
            treebank::parts(text, |part, is_last| {
                let split = |word: &mut dyn FnMut(&str)| treebank.words(part, is_last, word);
                found.extend_from_slice(words.of_part(part, is_last, split));
            });
        };
        match &self.meteor.punkt {
            Some(punkt) => punkt.sentences(text, sentence),
            None => [text].into_iter().for_each(sentence),
        }
    }

    /// Aligns by form, then by stem, then by synonyms of stems: words that are left reach WordNet already stemmed.
    fn compare(&mut self) -> f64 {
        let Self {
            meteor,
            words,
            predicted,
            reference,
            alignment,
            ..
        } = self;
        alignment.begin(predicted.len(), reference.len());
        let forms = &mut words.forms;
        let keys: [fn(&Word) -> &u32; 2] = [|word| &word.form, |word| &word.stem];
        for key in keys {
            alignment.stage(
                reference.iter().map(|word| Some(*key(word))),
                forms.bound(),
                |word| std::slice::from_ref(key(&predicted[word])),
            );
        }
        for word in alignment.free() {
            forms.look_up(predicted[word].stem);
        }
        alignment.stage(
            reference.iter().map(|word| word.name),
            meteor.wordnet.names(),
            |word| forms.synonyms(predicted[word].stem),
        );
        let (matches, chunks) = alignment.matches_and_chunks();
        meteor
            .options
            .value(matches, chunks, predicted.len(), reference.len())
    }
}

impl MeteorOptions {
    /// Banerjee and Lavie (2005), section 2.2, with the parameters of Lavie and Agarwal (2007).
    fn value(&self, matches: usize, chunks: usize, predicted: usize, reference: usize) -> f64 {
        if matches == 0 {
            return 0.0;
        }
        let precision = matches as f64 / predicted as f64;
        let recall = matches as f64 / reference as f64;
        let mean = precision * recall / (self.alpha * precision + (1.0 - self.alpha) * recall);
        let penalty = self.gamma * (chunks as f64 / matches as f64).powf(self.beta);
        (1.0 - penalty) * mean
    }
}
