//! How a fused model was made: `fusion.json`, from which it can be made again, and the model card.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checkpoint::Checkpoint;
use crate::compare::json;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::linear::{Integers, Pattern, Recipe};

/// Name of the record in the folder of a fused model.
pub const RECORD: &str = "fusion.json";

/// All that decides about the bytes of a fused model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Version of the program.
    pub bomf: String,
    /// The rule.
    pub method: Method,
    /// What took part.
    pub members: Vec<Member>,
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
}

/// How members are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A weighted sum.
    Linear,
}

/// A member of the fusion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Where it was.
    pub path: PathBuf,
    /// Its part.
    pub coefficient: f64,
    /// The files of its weights.
    pub files: Vec<WeightsRecord>,
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
            coefficients: self
                .members
                .iter()
                .map(|member| member.coefficient)
                .collect(),
            patterns: self.patterns.clone(),
            dtype: self.dtype,
            accumulate: self.accumulate,
            integers: self.integers,
        }
    }

    /// Notes what the members' files are. `digests` are those of every file of every member.
    pub fn note_files(&mut self, checkpoints: &[Checkpoint], digests: &[Vec<Option<String>>]) {
        for ((member, checkpoint), digests) in self.members.iter_mut().zip(checkpoints).zip(digests)
        {
            let files = checkpoint.files.iter().zip(digests);
            let files = files.map(|(file, digest)| WeightsRecord {
                name: name(&file.path),
                bytes: file.length(),
                blake3: digest.clone(),
            });
            member.files = files.collect();
        }
    }

    /// Whether the members' files, as this record has them, are those of an earlier one, as far as both know digests.
    ///
    /// # Errors
    /// Names the file that changed.
    pub fn check_same_members(&self, earlier: &Record) -> Result<()> {
        for (member, before) in self.members.iter().zip(&earlier.members) {
            let place = member.path.display();
            let fault = |what: String| {
                Error::input("fuse::changed", &place, what)
                    .hint("the record was made of other weights: bring them back, or fuse anew")
            };
            if member.files.len() != before.files.len() {
                return Err(fault(format!(
                    "found {} files of weights, expected {} as recorded",
                    member.files.len(),
                    before.files.len()
                )));
            }
            for (file, before) in member.files.iter().zip(&before.files) {
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
        }
        Ok(())
    }

    /// The model card, Markdown with a YAML front matter.
    ///
    /// # Errors
    /// When a file beside a member's weights cannot be read.
    pub fn card(&self, checkpoints: &[Checkpoint], out_dtypes: &BTreeSet<Dtype>) -> Result<String> {
        let is_adapter = checkpoints.iter().any(Checkpoint::is_adapter);
        let mut text = String::from("---\n");
        let bases = bases(checkpoints)?;
        if !bases.is_empty() {
            text.push_str("base_model:\n");
            // A JSON string is a YAML string.
            bases
                .iter()
                .for_each(|base| text.push_str(&format!("- {}\n", Value::from(base.as_str()))));
        }
        let library = if is_adapter { "peft" } else { "transformers" };
        text.push_str(&format!(
            "library_name: {library}\ntags:\n- merge\n- bomf\n---\n\n"
        ));

        let kind = if is_adapter { "adapter" } else { "model" };
        let dtypes: Vec<String> = out_dtypes.iter().map(Dtype::to_string).collect();
        text.push_str(&format!(
            "# Fused {kind}\n\nA weighted sum of {} members, made by bomf {}. Its tensors are {}.\n\n\
             | member | coefficient | weights | BLAKE3 |\n|---|---|---|---|\n",
            self.members.len(),
            self.bomf,
            dtypes.join(", ")
        ));
        for (member, checkpoint) in self.members.iter().zip(checkpoints) {
            for (i, file) in member.files.iter().enumerate() {
                let (shown, coefficient) = match i {
                    0 => (cell(&name(&member.path)), member.coefficient.to_string()),
                    _ => Default::default(),
                };
                let digest = file.blake3.as_deref().unwrap_or("not taken");
                let weights = format!("{} ({})", cell(&file.name), checkpoint.format);
                text.push_str(&format!(
                    "| {shown} | {coefficient} | {weights} | {digest} |\n"
                ));
            }
        }
        if !self.patterns.is_empty() {
            text.push_str("\nSome tensors have coefficients of their own; the last pattern that fits counts.\n\n| tensors | coefficients |\n|---|---|\n");
            for Pattern {
                pattern,
                coefficients,
            } in &self.patterns
            {
                let row: Vec<String> = coefficients.iter().map(f64::to_string).collect();
                text.push_str(&format!("| `{}` | {} |\n", cell(pattern), row.join(", ")));
            }
        }
        text.push_str(&format!(
            "\n`{RECORD}` has all settings. The same bytes again, as long as the members are where they were:\n\n\
             ```\nbomf fuse --replay {RECORD} --out DIR\n```\n"
        ));
        Ok(text)
    }
}

impl WeightsRecord {
    fn words(&self) -> String {
        let digest = self.blake3.as_deref().unwrap_or("not taken");
        format!("`{}` of {} bytes, digest {digest}", self.name, self.bytes)
    }
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Text for a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Names of the models that the members were trained from, as far as their settings tell; folders are nobody else's names.
fn bases(checkpoints: &[Checkpoint]) -> Result<BTreeSet<String>> {
    let mut bases = BTreeSet::new();
    for checkpoint in checkpoints {
        for (file, key) in [
            ("config.json", "_name_or_path"),
            ("adapter_config.json", "base_model_name_or_path"),
        ] {
            let Some(path) = checkpoint.companions.get(file) else {
                continue;
            };
            let settings = json(path)?;
            let base = settings[key].as_str().unwrap_or_default();
            let parts: Vec<&str> = base.split('/').collect();
            let is_name = parts.len() <= 2
                && parts.iter().all(|part| {
                    !part.is_empty()
                        && !part.starts_with('.')
                        && part
                            .chars()
                            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
                });
            if is_name {
                bases.insert(base.to_owned());
            }
        }
    }
    Ok(bases)
}

/// Files that go with a fused model: those beside the first member's weights, with the type of its tensors in them.
///
/// # Errors
/// When one cannot be read.
pub fn companions(first: &Checkpoint, dtype: Option<Dtype>) -> Result<Vec<(String, Vec<u8>)>> {
    let files = first.companions.iter().map(|(name, path)| {
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
