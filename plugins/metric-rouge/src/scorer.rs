//! One prediction beside its references, in every variant of ROUGE.

use text::{Pool, References};

use crate::lcs::Lcs;
use crate::ngrams::Ngrams;
use crate::options::{Measure, RougeOptions};
use crate::tokenize::{Reader, Tokens};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Groups of so many words, each as often as it occurs.
    N(usize),
    /// The longest common subsequence of the whole texts.
    L,
    /// For each sentence of the reference the union of its longest common subsequences with the prediction's sentences.
    Lsum,
}

/// Precision, recall and F of one comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Comparison {
    precision: f64,
    recall: f64,
    f: f64,
}

impl Comparison {
    /// `hits` of so many in the prediction and in the reference.
    fn new(hits: usize, predicted: usize, reference: usize) -> Self {
        let precision = hits as f64 / predicted.max(1) as f64;
        let recall = hits as f64 / reference.max(1) as f64;
        let f = match precision + recall > 0.0 {
            true => 2.0 * precision * recall / (precision + recall),
            false => 0.0,
        };
        Self {
            precision,
            recall,
            f,
        }
    }

    /// The number that counts.
    pub fn measure(&self, measure: Measure) -> f64 {
        match measure {
            Measure::F => self.f,
            Measure::Precision => self.precision,
            Measure::Recall => self.recall,
        }
    }
}

/// Compares texts; keeps its buffers from one example to the next.
pub struct Scorer {
    reader: Reader,
    predicted: Tokens,
    reference: Tokens,
    ngrams: Ngrams,
    predicted_groups: Vec<u32>,
    reference_groups: Vec<u32>,
    pool: Pool,
    lcs: Lcs,
    found: Vec<bool>,
}

impl Scorer {
    pub fn new(options: RougeOptions) -> Self {
        Self {
            reader: Reader::new(options),
            predicted: Tokens::default(),
            reference: Tokens::default(),
            ngrams: Ngrams::default(),
            predicted_groups: Vec::new(),
            reference_groups: Vec::new(),
            pool: Pool::default(),
            lcs: Lcs::default(),
            found: Vec::new(),
        }
    }

    /// For each variant the comparison with the reference that has the best F, the first of several.
    pub fn score<const V: usize>(
        &mut self,
        variants: [Variant; V],
        predicted: &str,
        references: References<'_>,
    ) -> [Comparison; V] {
        self.reader.begin_example();
        self.ngrams.begin_example();
        self.reader.read(predicted, &mut self.predicted);
        let mut best = [Comparison::default(); V];
        for (place, reference) in references.iter().enumerate() {
            self.reader.read(reference, &mut self.reference);
            for (best, variant) in best.iter_mut().zip(variants) {
                let found = self.compare(variant);
                if place == 0 || found.f > best.f {
                    *best = found;
                }
            }
        }
        best
    }

    fn compare(&mut self, variant: Variant) -> Comparison {
        match variant {
            Variant::N(n) => self.compare_groups(n),
            Variant::L => self.compare_order(),
            Variant::Lsum => self.compare_sentences(),
        }
    }

    fn compare_groups(&mut self, n: usize) -> Comparison {
        self.ngrams
            .of(&self.predicted.words, n, &mut self.predicted_groups);
        self.ngrams
            .of(&self.reference.words, n, &mut self.reference_groups);
        let (predicted, reference) = (&self.predicted_groups, &self.reference_groups);
        self.pool
            .fill(reference, self.reader.bound().max(self.ngrams.bound()));
        let hits = predicted
            .iter()
            .filter(|&&group| self.pool.take(group))
            .count();
        self.pool.empty(reference);
        Comparison::new(hits, predicted.len(), reference.len())
    }

    fn compare_order(&mut self) -> Comparison {
        let (predicted, reference) = (&self.predicted.words, &self.reference.words);
        let hits = self.lcs.length(reference, predicted, self.reader.bound());
        Comparison::new(hits, predicted.len(), reference.len())
    }

    /// Lin (2004), section 3.2, with each word of the prediction used once at most, as ROUGE 1.5.5 has it.
    fn compare_sentences(&mut self) -> Comparison {
        let is_one_line = |tokens: &Tokens| tokens.sentences().take(2).count() < 2;
        if is_one_line(&self.predicted) && is_one_line(&self.reference) {
            return self.compare_order();
        }
        let bound = self.reader.bound();
        self.pool.fill(&self.predicted.words, bound);
        let mut hits = 0;
        for reference in self.reference.sentences() {
            self.found.clear();
            self.found.resize(reference.len(), false);
            for predicted in self.predicted.sentences() {
                self.lcs.mark(reference, predicted, bound, &mut self.found);
            }
            let found = reference
                .iter()
                .zip(&self.found)
                .filter(|(_, found)| **found);
            hits += found.filter(|(word, _)| self.pool.take(**word)).count();
        }
        self.pool.empty(&self.predicted.words);
        Comparison::new(hits, self.predicted.words.len(), self.reference.words.len())
    }
}
