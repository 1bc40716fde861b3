//! From text to batches of tokens.

use std::path::Path;
use std::sync::Arc;

use bomf_plugin_api::{PluginError, Result, SplitInfo, Table, column};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tokenizers::Tokenizer;

/// Tokens of one text or pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// 0 for the first text, 1 for the second.
    pub types: Vec<u32>,
}

/// What is to be predicted of each text.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// An index into the labels.
    Labels(Vec<u32>),
    /// A number.
    Values(Vec<f32>),
}

/// A split as the model sees it.
pub struct Split {
    /// One per example.
    pub encoded: Vec<Encoded>,
    /// One per example, where the split has them.
    pub targets: Option<Targets>,
    /// Facts for the log.
    pub info: SplitInfo,
}

/// Some examples, their tokens one after the other.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Which examples of the split.
    pub rows: Vec<usize>,
    /// `[tokens]`.
    pub ids: Arc<[u32]>,
    /// `[tokens]`.
    pub types: Arc<[u32]>,
    /// `[examples]`, in tokens.
    pub lengths: Arc<[usize]>,
}

impl Batch {
    /// The named examples of a split.
    pub fn of(split: &Split, rows: &[usize], token_types: bool) -> Self {
        let chosen = || rows.iter().map(|&row| &split.encoded[row]);
        let types = |encoded: &Encoded| match token_types {
            true => encoded.types.clone(),
            false => vec![0; encoded.ids.len()],
        };
        Self {
            rows: rows.to_vec(),
            ids: chosen()
                .flat_map(|encoded| encoded.ids.iter().copied())
                .collect(),
            types: chosen().flat_map(types).collect(),
            lengths: chosen().map(|encoded| encoded.ids.len()).collect(),
        }
    }

    /// Positions of the first tokens.
    pub fn firsts(&self) -> Arc<[u32]> {
        let starts = self.lengths.iter().scan(0, |start, length| {
            let first = *start;
            *start += *length as u32;
            Some(first)
        });
        starts.collect()
    }
}

/// A tokenizer with the model's limits.
pub struct Encoder {
    tokenizer: Tokenizer,
    longest: usize,
    vocabulary: usize,
}

impl Encoder {
    /// Reads `tokenizer.json`. Truncation and padding that the file sets are turned off; texts are cut at `longest` tokens.
    ///
    /// # Errors
    /// When the file is missing or broken.
    pub fn open(folder: &Path, longest: usize, vocabulary: usize) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let fault = |what: String| PluginError::input(format!("{}: {what}", path.display()));
        let mut tokenizer =
            Tokenizer::from_file(&path).map_err(|error| fault(error.to_string()))?;
        tokenizer.with_padding(None);
        let truncation = tokenizers::TruncationParams {
            max_length: longest,
            ..Default::default()
        };
        tokenizer
            .with_truncation(Some(truncation))
            .map_err(|error| fault(error.to_string()))?;
        Ok(Self {
            tokenizer,
            longest,
            vocabulary,
        })
    }

    /// Tokens and targets of all examples. `labels` is the number of classes; `None` for a regression.
    ///
    /// # Errors
    /// When a column is missing or a label out of range.
    pub fn split(&self, examples: &Table<'_>, labels: Option<usize>) -> Result<Split> {
        let mut info = SplitInfo::default();
        let mut encoded = Vec::with_capacity(examples.rows());
        let texts = examples.texts(column::TEXT)?;
        let mut pairs = match examples.get(column::TEXT_PAIR) {
            Some(_) => Some(examples.texts(column::TEXT_PAIR)?),
            None => None,
        };
        for (row, text) in texts.enumerate() {
            let pair = pairs.as_mut().and_then(Iterator::next);
            let (example, cut) = self.encode(text, pair).map_err(|error| {
                PluginError::input(format!("row {row}: the text cannot be tokenised: {error}"))
            })?;
            info.tokens += example.ids.len() as u64;
            info.longest = info.longest.max(example.ids.len() as u64);
            info.truncated += u64::from(cut);
            encoded.push(example);
        }
        info.examples = encoded.len() as u64;
        Ok(Split {
            encoded,
            targets: targets(examples, labels)?,
            info,
        })
    }

    fn encode(&self, text: &str, pair: Option<&str>) -> Result<(Encoded, bool), String> {
        let encoding = match pair {
            Some(pair) => self.tokenizer.encode((text, pair), true),
            None => self.tokenizer.encode(text, true),
        };
        let encoding = encoding.map_err(|error| error.to_string())?;
        let ids = encoding.get_ids().to_vec();
        if ids.is_empty() || ids.len() > self.longest {
            return Err(format!(
                "found {} tokens, expected 1 to {}",
                ids.len(),
                self.longest
            ));
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.vocabulary) {
            return Err(format!(
                "found the token {id}, expected less than {}: tokenizer.json and config.json do not belong together",
                self.vocabulary
            ));
        }
        let cut = !encoding.get_overflowing().is_empty();
        Ok((
            Encoded {
                ids,
                types: encoding.get_type_ids().to_vec(),
            },
            cut,
        ))
    }
}

fn targets(examples: &Table<'_>, labels: Option<usize>) -> Result<Option<Targets>> {
    let Some(classes) = labels else {
        return match examples.get(column::VALUE) {
            Some(_) => {
                let values = examples
                    .numbers(column::VALUE)?
                    .iter()
                    .map(|&value| value as f32);
                Ok(Some(Targets::Values(values.collect())))
            }
            None => Ok(None),
        };
    };
    if examples.get(column::LABEL).is_none() {
        return Ok(None);
    }
    let labels = examples.integers(column::LABEL)?.iter().enumerate();
    let labels = labels.map(|(row, &label)| match u32::try_from(label) {
        Ok(label) if (label as usize) < classes => Ok(label),
        _ => Err(PluginError::input(format!(
            "row {row}: found the label {label}, expected 0 to {}",
            classes - 1
        ))),
    });
    Ok(Some(Targets::Labels(labels.collect::<Result<_>>()?)))
}

/// Rows in batches of similar length, for prediction: longest first, so that too little memory is noticed at once.
pub fn sorted_batches(split: &Split, tokens: usize) -> Vec<Vec<usize>> {
    let mut rows: Vec<usize> = (0..split.encoded.len()).collect();
    rows.sort_by_key(|&row| std::cmp::Reverse(split.encoded[row].ids.len()));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for row in rows {
        let length = split.encoded[row].ids.len();
        match batches.last_mut() {
            Some(batch) if length <= room => batch.push(row),
            _ => {
                batches.push(vec![row]);
                room = tokens;
            }
        }
        room = room.saturating_sub(length);
    }
    batches
}

/// How many batches' worth of rows are sorted by length together.
const BUCKET: usize = 16;

/// Rows of every batch of an epoch: shuffled, then within runs of 16 batches sorted by length, then the batches shuffled.
/// A function of seed and epoch alone. The last batch of all may be smaller.
///
/// Texts of similar length in a batch take similar time; without padding that is all that is to be gained.
pub fn shuffled_batches(lengths: &[usize], batch: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(epoch);
    let mut rows: Vec<usize> = (0..lengths.len()).collect();
    rows.shuffle(&mut random);
    for run in rows.chunks_mut(batch * BUCKET) {
        run.sort_by_key(|&row| lengths[row]);
    }
    let mut batches: Vec<Vec<usize>> = rows.chunks(batch).map(<[usize]>::to_vec).collect();
    let whole = lengths.len() / batch;
    batches[..whole].shuffle(&mut random);
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_has_every_row_once_and_depends_on_seed_and_epoch() {
        let lengths: Vec<usize> = (0..103).map(|i| i * 37 % 50).collect();
        let batches = shuffled_batches(&lengths, 8, 1, 0);
        let mut rows: Vec<usize> = batches.concat();
        rows.sort_unstable();
        assert_eq!(rows, (0..103).collect::<Vec<_>>());
        assert_eq!(batches, shuffled_batches(&lengths, 8, 1, 0));
        assert_ne!(batches, shuffled_batches(&lengths, 8, 1, 1));
        assert_ne!(batches, shuffled_batches(&lengths, 8, 2, 0));
        assert_eq!(batches.last().map(Vec::len), Some(103 % 8));
    }

    #[test]
    fn no_row_gives_no_batch() {
        assert!(shuffled_batches(&[], 8, 1, 0).is_empty());
    }
}
