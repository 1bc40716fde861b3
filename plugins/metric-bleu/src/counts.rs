//! What every kind of BLEU is made of: lengths, and the n-grams that predictions and references have in common.

use std::borrow::Cow;
use std::ops::AddAssign;

use crate::ngrams::{Ngrams, Span, Words, total};
use crate::pairs::Pairs;
use crate::tokenizer::{Tokenizer, trimmed_end};

/// Precisions are reported for the orders up to this one, whatever the greatest order of the score.
pub(crate) const REPORTED_ORDERS: usize = 4;

/// The counts of a row, or the sums over many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tokens of the predictions.
    pub(crate) prediction_length: u64,
    /// Tokens of one reference per row, chosen by [`ReferenceLength`].
    pub(crate) reference_length: u64,
    /// `[orders]`: n-grams of the predictions that are in a reference.
    pub(crate) matches: Vec<u64>,
    /// `[orders]`: n-grams of the predictions.
    pub(crate) totals: Vec<u64>,
}

impl Counts {
    fn new(orders: usize) -> Self {
        Self {
            prediction_length: 0,
            reference_length: 0,
            matches: vec![0; orders],
            totals: vec![0; orders],
        }
    }

    /// Length of the predictions over that of the references; 0 where the references have no token.
    pub(crate) fn length_ratio(&self) -> f64 {
        match self.reference_length {
            0 => 0.0,
            length => self.prediction_length as f64 / length as f64,
        }
    }

    /// `exp(1 - r/c)` for predictions shorter than their references, else 1 (Papineni et al. 2002).
    pub(crate) fn brevity_penalty(&self) -> f64 {
        match self.prediction_length {
            length if length >= self.reference_length => 1.0,
            0 => 0.0,
            length => (1.0 - self.reference_length as f64 / length as f64).exp(),
        }
    }
}

impl AddAssign<&Counts> for Counts {
    fn add_assign(&mut self, other: &Counts) {
        self.prediction_length += other.prediction_length;
        self.reference_length += other.reference_length;
        for (sums, counts) in [
            (&mut self.matches, &other.matches),
            (&mut self.totals, &other.totals),
        ] {
            sums.iter_mut()
                .zip(counts)
                .for_each(|(sum, count)| *sum += count);
        }
    }
}

/// Which reference's length a prediction is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReferenceLength {
    Shortest,
    /// The shorter of two that are as close.
    Closest,
}

/// How texts are read and counted.
pub(crate) struct Reading {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) lowercase: bool,
    /// Whether white space at the end of a text is dropped before it is tokenized.
    pub(crate) trim_end: bool,
    pub(crate) reference_length: ReferenceLength,
    pub(crate) max_order: usize,
}

impl Reading {
    /// The sums over all rows.
    pub(crate) fn count(&self, pairs: &Pairs<'_>, threads: usize) -> Counts {
        let shares = pairs.share_out(threads, |rows| {
            let mut counter = Counter::new(self);
            let mut sums = Counts::new(counter.orders);
            for row in rows {
                sums += counter.count(pairs, row);
            }
            sums
        });
        let mut sums = Counts::new(self.orders());
        shares.iter().for_each(|share| sums += share);
        sums
    }

    /// One number per row.
    pub(crate) fn map(
        &self,
        pairs: &Pairs<'_>,
        threads: usize,
        score: impl Fn(&Counts) -> f64 + Sync,
    ) -> Vec<f64> {
        let shares = pairs.share_out(threads, |rows| {
            let mut counter = Counter::new(self);
            rows.map(|row| score(counter.count(pairs, row))).collect()
        });
        shares
            .into_iter()
            .flat_map(|share: Vec<f64>| share)
            .collect()
    }

    fn orders(&self) -> usize {
        self.max_order.max(REPORTED_ORDERS)
    }

    fn prepare<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        if self.lowercase {
            text = Cow::Owned(text.to_lowercase());
        }
        if self.trim_end {
            text = trimmed_end(text);
        }
        self.tokenizer.prepare(text)
    }
}

/// Counts row after row, in buffers that are used again.
struct Counter<'r> {
    reading: &'r Reading,
    orders: usize,
    spans: Vec<Span>,
    ids: Vec<u32>,
    words: Words,
    ngrams: Ngrams,
    counts: Counts,
}

impl<'r> Counter<'r> {
    fn new(reading: &'r Reading) -> Self {
        let orders = reading.orders();
        Self {
            reading,
            orders,
            spans: Vec::new(),
            ids: Vec::new(),
            words: Words::default(),
            ngrams: Ngrams::new(orders),
            counts: Counts::new(orders),
        }
    }

    fn count(&mut self, pairs: &Pairs<'_>, row: usize) -> &Counts {
        let Reading {
            tokenizer,
            reference_length,
            ..
        } = self.reading;

        // 1. The prediction's n-grams.
        let prediction = self.reading.prepare(pairs.prediction(row));
        tokenizer.split(&prediction, &mut self.spans);
        self.words.read(&prediction, &self.spans, &mut self.ids);
        self.ngrams.read(&self.ids);
        let length = self.ids.len();

        // 2. Those of them that the references have, and the reference whose length counts.
        let mut chosen = None;
        for reference in pairs.references(row) {
            let reference = self.reading.prepare(reference);
            tokenizer.split(&reference, &mut self.spans);
            self.words
                .look_up(&prediction, &reference, &self.spans, &mut self.ids);
            self.ngrams.see(&self.ids);
            let distance = match reference_length {
                ReferenceLength::Shortest => 0,
                ReferenceLength::Closest => self.ids.len().abs_diff(length),
            };
            let candidate = (distance, self.ids.len());
            chosen = Some(chosen.map_or(candidate, |chosen| candidate.min(chosen)));
        }

        // 3. The sums.
        self.counts.prediction_length = length as u64;
        self.counts.reference_length = chosen.map_or(0, |(_, length)| length as u64);
        for order in 1..=self.orders {
            self.counts.matches[order - 1] = self.ngrams.common(order);
            self.counts.totals[order - 1] = total(length, order);
        }
        &self.counts
    }
}
