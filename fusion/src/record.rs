//! How a fused model was made: `fusion.json`, from which it can be made again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::checkpoint::{ADAPTER_CONFIG, Checkpoint};
use crate::compare::json;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::lora::{Lora, Truncation};
use crate::recipe::{Integers, Pattern, Recipe};
use crate::rules::Rule;

/// Name of the record in the folder of a fused model.
pub const RECORD: &str = "fusion.json";

/// All that decides about the bytes of a fused model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Version of the program.
    pub bomf: String,
    /// How members are combined, with all options.
    pub method: Rule,
    /// How adapters were combined, where the members are adapters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
    /// What random choices depend on.
    pub seed: u64,
    /// What the members were trained from, where the rule needs it or adapters are added to it.
    pub base: Option<Model>,
    /// What took part.
    pub members: Vec<Model>,
    /// Coefficients for some tensors; the last that fits counts.
    pub patterns: Vec<Pattern>,
    /// The type of fused tensors, where one was chosen.
    pub dtype: Option<Dtype>,
    /// The type of sums, where one was chosen.
    pub accumulate: Option<Dtype>,
    /// What became of integers and booleans.
    pub integers: Integers,
    /// Most bytes of data per file.
    pub shard_size: u64,
    /// What a lower rank cost, where products of factors were taken apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncation: Option<TruncationRecord>,
}

/// The Frobenius norm of what was left out, as a share of that of the whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TruncationRecord {
    /// Of all modules together.
    pub overall: f64,
    /// Of each module.
    pub modules: BTreeMap<String, f64>,
}

impl TruncationRecord {
    /// Of what modules lost; nothing where there are none.
    pub fn new(truncations: &BTreeMap<String, Truncation>) -> Option<Self> {
        let mut all = Truncation::default();
        for module in truncations.values() {
            all.lost += module.lost;
            all.whole += module.whole;
        }
        let modules = truncations.iter();
        let modules = modules.map(|(name, lost)| (name.clone(), lost.relative()));
        (!truncations.is_empty()).then(|| Self {
            overall: all.relative(),
            modules: modules.collect(),
        })
    }
}

/// A model that took part in a fusion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Where it was.
    pub path: PathBuf,
    /// Its part; a base has none, nor has a member of a rule without coefficients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coefficient: Option<f64>,
    /// The files of its weights.
    pub files: Vec<WeightsRecord>,
    /// BLAKE3 digests of what lies beside the weights and counts, too: an adapter's settings, and all that is carried over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub beside: BTreeMap<String, String>,
}

/// A file of weights as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsRecord {
    /// Its name without folders.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its BLAKE3 digest, where it was taken.
    pub blake3: Option<String>,
}

impl Record {
    /// What to compute.
    pub fn recipe(&self) -> Recipe {
        Recipe {
            rule: self.method.clone(),
            seed: self.seed,
            lora: self.lora,
            has_base: self.base.is_some(),
            coefficients: self.members.iter().filter_map(|m| m.coefficient).collect(),
            patterns: self.patterns.clone(),
            dtype: self.dtype,
            accumulate: self.accumulate,
            integers: self.integers,
        }
    }

    /// All models that take part: the members, then the base.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.members.iter().chain(&self.base)
    }

    /// Notes what the models' files are. `digests` are those of every file of every model.
    pub fn note_files(&mut self, checkpoints: &[Checkpoint], digests: &[Vec<Option<String>>]) {
        let models = self.members.iter_mut().chain(&mut self.base);
        for ((model, checkpoint), digests) in models.zip(checkpoints).zip(digests) {
            let files = checkpoint.files.iter().zip(digests);
            let files = files.map(|(file, digest)| WeightsRecord {
                name: name(&file.path),
                bytes: file.length(),
                blake3: digest.clone(),
            });
            model.files = files.collect();
        }
    }

    /// The model whose kind and files the result has: the first member, or the base that adapters are added to.
    pub fn kin(&self) -> usize {
        match self.lora {
            Some(Lora::Into) => self.members.len(),
            _ => 0,
        }
    }

    /// Notes what lies beside the models' weights.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn note_beside(&mut self, checkpoints: &[Checkpoint]) -> Result<()> {
        let kin = self.kin();
        let models = self.members.iter_mut().chain(&mut self.base);
        for (number, (model, checkpoint)) in models.zip(checkpoints).enumerate() {
            let counts = |name: &String| number == kin || name == ADAPTER_CONFIG;
            let files = checkpoint
                .companions
                .iter()
                .filter(|(name, _)| counts(name));
            let digests = files.map(|(name, path)| {
                let bytes = std::fs::read(path)
                    .map_err(|error| Error::io("checkpoint::read", path, &error))?;
                Ok((name.clone(), blake3::hash(&bytes).to_hex().to_string()))
            });
            model.beside = digests.collect::<Result<_>>()?;
        }
        Ok(())
    }

    /// Whether the models' files, as this record has them, are those of an earlier one, as far as both know digests.
    ///
    /// # Errors
    /// Names the file that changed.
    pub fn check_same_models(&self, earlier: &Record) -> Result<()> {
        for (model, before) in self.models().zip(earlier.models()) {
            let place = model.path.display();
            let fault = |what: String| {
                Error::input("fuse::changed", &place, what)
                    .hint("the record was made of other files: bring them back, or fuse anew")
            };
            if model.files.len() != before.files.len() {
                return Err(fault(format!(
                    "found {} files of weights, expected {} as recorded",
                    model.files.len(),
                    before.files.len()
                )));
            }
            for (file, before) in model.files.iter().zip(&before.files) {
                let differs = file.blake3.is_some()
                    && before.blake3.is_some()
                    && file.blake3 != before.blake3;
                if file.name != before.name || file.bytes != before.bytes || differs {
                    return Err(fault(format!(
                        "{}: found {}, expected {} as recorded",
                        before.name,
                        file.words(),
                        before.words()
                    )));
                }
            }
            // Records of earlier versions have none.
            let names = model.beside.keys().chain(before.beside.keys());
            let differs = |name: &&String| model.beside.get(*name) != before.beside.get(*name);
            if let Some(name) = names.filter(|_| !before.beside.is_empty()).find(differs) {
                let words = |files: &BTreeMap<String, String>| match files.get(name) {
                    Some(digest) => format!("the digest {digest}"),
                    None => "no such file".to_owned(),
                };
                return Err(fault(format!(
                    "{name}: found {}, expected {} as recorded",
                    words(&model.beside),
                    words(&before.beside)
                )));
            }
        }
        Ok(())
    }
}

impl WeightsRecord {
    fn words(&self) -> String {
        let digest = self.blake3.as_deref().unwrap_or("not taken");
        format!("`{}` of {} bytes, digest {digest}", self.name, self.bytes)
    }
}

/// A path without its folders.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Files that go with a fused model: those beside the weights of a model, with the type of the fused tensors in them.
///
/// # Errors
/// When one cannot be read.
pub fn companions(model: &Checkpoint, dtype: Option<Dtype>) -> Result<Vec<(String, Vec<u8>)>> {
    let files = model.companions.iter().map(|(name, path)| {
        let mut bytes =
            std::fs::read(path).map_err(|error| Error::io("checkpoint::read", path, &error))?;
        if let ("config.json", Some(dtype)) = (name.as_str(), dtype.and_then(Dtype::torch_name)) {
            let mut settings = json(path)?;
            for key in ["torch_dtype", "dtype"] {
                if let Some(value) = settings.get_mut(key) {
                    *value = dtype.into();
                }
            }
            bytes = format!("{settings:#}\n").into_bytes();
        }
        Ok((name.clone(), bytes))
    });
    files.collect()
}
