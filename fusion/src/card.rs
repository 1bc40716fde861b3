//! Model cards: README.md with a YAML front matter as model hubs read it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::checkpoint::Checkpoint;
use crate::compare::json;
use crate::dtype::Dtype;
use crate::error::Result;
use crate::lora::Lora;
use crate::recipe::Integers;
use crate::record::{Model, RECORD, Record, name};
use crate::write::SHARD_SIZE;

impl Record {
    /// The model card. `checkpoints` are the models of the record, `out_dtypes` the types of the fused tensors.
    ///
    /// # Errors
    /// When a file beside a model's weights cannot be read.
    pub fn card(&self, checkpoints: &[Checkpoint], out_dtypes: &BTreeSet<Dtype>) -> Result<String> {
        let is_adapter = checkpoints[0].is_adapter() && self.lora != Some(Lora::Into);
        let library = if is_adapter { "peft" } else { "transformers" };
        let mut text = front_matter(&bases(checkpoints)?, library, None);
        let kind = if is_adapter { "adapter" } else { "model" };
        let dtypes: Vec<String> = out_dtypes.iter().map(Dtype::to_string).collect();
        let _ = write!(
            text,
            "# Fused {kind}\n\n{} with bomf {}. The tensors are {}.\n\n{}",
            self.sentence(),
            self.bomf,
            dtypes.join(", "),
            self.ingredients(checkpoints)
        );
        Ok(text)
    }

    /// The part of a card that says of what a model was made, and how to make it again.
    pub fn ingredients(&self, checkpoints: &[Checkpoint]) -> String {
        let mut text = "| model | coefficient | weights | BLAKE3 |\n|---|---|---|---|\n".to_owned();
        for (number, (model, checkpoint)) in self.models().zip(checkpoints).enumerate() {
            let is_base = number >= self.members.len();
            rows(&mut text, model, is_base, checkpoint);
        }
        self.write_options(&mut text);
        self.write_patterns(&mut text);
        let _ = write!(
            text,
            "\nMade by\n\n```\n{}\n```\n\n`{RECORD}` has all settings. The same bytes again, as long as the models are \
             where they were:\n\n```\nbomf fuse --replay {RECORD} --out DIR\n```\n",
            self.command()
        );
        text
    }

    /// What was done.
    fn sentence(&self) -> String {
        let members = self.members.len();
        let lost = self.truncation.as_ref().map_or(0.0, |lost| lost.overall);
        match self.lora {
            None => format!(
                "{members} members, fused by {} (`{}`)",
                self.method.words(),
                self.method.name()
            ),
            Some(Lora::Factors) => {
                format!("{members} adapters, fused by a weighted sum of their LoRA factors")
            }
            Some(Lora::Products { rank }) => format!(
                "{members} adapters, fused by a weighted sum of the products of their LoRA factors, taken apart at {} \
                 (relative error {lost:.3e} in the Frobenius norm)",
                rank.map_or("the largest rank among them".to_owned(), |rank| format!(
                    "rank {rank}"
                ))
            ),
            Some(Lora::Into) => format!("{members} LoRA adapters, added to their base"),
        }
    }

    /// Options of the method, and what else decides about the result.
    fn options(&self) -> Vec<(String, String)> {
        let options = serde_json::to_value(&self.method).unwrap_or_default();
        let options = options.as_object().into_iter().flatten();
        let options = options.filter(|(key, _)| *key != "use");
        options
            .map(|(key, value)| (key.clone(), value.to_string()))
            .collect()
    }

    fn write_options(&self, text: &mut String) {
        let mut options = self.options();
        if self.method.is_random() {
            options.push(("seed".to_owned(), self.seed.to_string()));
        }
        if options.is_empty() {
            return;
        }
        text.push_str("\n| option | value |\n|---|---|\n");
        for (key, value) in options {
            let _ = writeln!(text, "| {key} | {value} |");
        }
    }

    fn write_patterns(&self, text: &mut String) {
        if self.patterns.is_empty() {
            return;
        }
        text.push_str(
            "\nSome tensors have coefficients of their own; the last pattern that fits counts.\n\n\
             | tensors | coefficients |\n|---|---|\n",
        );
        for pattern in &self.patterns {
            let row = numbers(&pattern.coefficients, ", ");
            let _ = writeln!(text, "| `{}` | {row} |", cell(&pattern.pattern));
        }
    }

    /// The command line that makes the model, with names in place of paths.
    fn command(&self) -> String {
        let mut words = vec![
            "bomf fuse".to_owned(),
            format!("--method {}", self.method.name()),
        ];
        let shown = |path| quoted(&name(path));
        words.extend(
            self.options()
                .iter()
                .map(|(key, value)| format!("--option {}", quoted(&format!("{key}={value}")))),
        );
        if self.method.is_random() {
            words.push(format!("--seed {}", self.seed));
        }
        let flag = match self.lora {
            Some(Lora::Into) => "into",
            _ => "base",
        };
        let base = self.base.iter();
        words.extend(base.map(|base| format!("--{flag} {}", shown(&base.path))));
        if let Some(Lora::Products { rank }) = self.lora {
            words.push("--lora products".to_owned());
            words.extend(rank.map(|rank| format!("--rank {rank}")));
        }
        words.extend(self.members.iter().map(|member| match member.coefficient {
            Some(coefficient) => format!("--member {}={coefficient}", shown(&member.path)),
            None => format!("--member {}", shown(&member.path)),
        }));
        words.extend(self.patterns.iter().map(|pattern| {
            let coefficients = numbers(&pattern.coefficients, ",");
            format!(
                "--pattern {}",
                quoted(&format!("{}={coefficients}", pattern.pattern))
            )
        }));
        let dtype = |flag: &str, dtype: Option<Dtype>| {
            dtype.map(|dtype| format!("--{flag} {}", dtype.name().to_lowercase()))
        };
        words.extend(dtype("dtype", self.dtype));
        words.extend(dtype("accumulate", self.accumulate));
        if self.integers == Integers::First {
            words.push("--integers first".to_owned());
        }
        if self.shard_size != SHARD_SIZE {
            words.push(format!("--shard-size {}", self.shard_size));
        }
        words.push("--out DIR".to_owned());
        words.join(" ")
    }
}

/// The front matter of a card: the names of base models on the hub, the library that loads the weights, and, where it is
/// known, the task that they are for.
pub fn front_matter(bases: &BTreeSet<String>, library: &str, task: Option<&str>) -> String {
    let mut text = String::from("---\n");
    if !bases.is_empty() {
        text.push_str("base_model:\n");
        for base in bases {
            // A JSON string is a YAML string.
            let _ = writeln!(text, "- {}", Value::from(base.as_str()));
        }
    }
    let _ = writeln!(text, "library_name: {library}");
    if let Some(task) = task {
        let _ = writeln!(text, "pipeline_tag: {task}");
    }
    text.push_str("tags:\n- merge\n- bomf\n---\n\n");
    text
}

/// Whether a text can be the name of a model on the hub: `name` or `owner/name`.
pub fn is_hub_name(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let is_part = |part: &&str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(is_plain)
    };
    parts.len() <= 2 && parts.iter().all(is_part)
}

/// A row for each file of a model's weights.
fn rows(text: &mut String, model: &Model, is_base: bool, checkpoint: &Checkpoint) {
    for (number, file) in model.files.iter().enumerate() {
        let (shown, coefficient) = match (number, model.coefficient) {
            (0, _) if is_base => (cell(&name(&model.path)), "base".to_owned()),
            (0, Some(coefficient)) => (cell(&name(&model.path)), coefficient.to_string()),
            (0, None) => (cell(&name(&model.path)), String::new()),
            _ => Default::default(),
        };
        let digest = file.blake3.as_deref().unwrap_or("not taken");
        let weights = format!("{} ({})", cell(&file.name), checkpoint.format);
        let _ = writeln!(text, "| {shown} | {coefficient} | {weights} | {digest} |");
    }
}

fn numbers(numbers: &[f64], separator: &str) -> String {
    let words: Vec<String> = numbers.iter().map(f64::to_string).collect();
    words.join(separator)
}

/// A word as shells take it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@".contains(c);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Text for a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Names of the models that the members were trained from, as far as their settings tell; folders are nobody else's names.
pub fn bases(checkpoints: &[Checkpoint]) -> Result<BTreeSet<String>> {
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
            if is_hub_name(base) {
                bases.insert(base.to_owned());
            }
        }
    }
    Ok(bases)
}
