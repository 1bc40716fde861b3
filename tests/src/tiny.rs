//! A run that takes seconds: a small random BERT, a few dozen sentences, a configuration that passes through every stage.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::{Bomf, Output};
use crate::safetensors::{self, Tensor, f32s};

const LAYERS: usize = 3;
const HIDDEN: usize = 32;
const INTERMEDIATE: usize = 64;
const POSITIONS: usize = 32;

const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const GOOD: [&str; 8] = [
    "good", "great", "fine", "lovely", "bright", "warm", "brave", "clever",
];
const BAD: [&str; 8] = [
    "bad", "poor", "dull", "awful", "grey", "cold", "weak", "silly",
];
const PLAIN: [&str; 16] = [
    "the", "a", "film", "story", "plot", "actor", "scene", "music", "is", "was", "and", "but",
    "very", "quite", "this", "that",
];

/// A temporary folder with `model/`, `train.csv`, `validation.csv`, `test.csv` and `tiny.yaml`.
pub struct TinyRun {
    folder: TempDir,
}

impl TinyRun {
    /// Writes everything; the same bytes at every call.
    ///
    /// # Panics
    /// When the temporary folder cannot be written.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        write_all(folder.path());
        Self { folder }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A call of bomf in the folder.
    pub fn bomf(&self, arguments: &[&str]) -> Bomf {
        Bomf::new(self.path(), arguments)
    }

    /// `bomf run tiny.yaml --out NAME`.
    pub fn run(&self, out: &str) -> Bomf {
        self.bomf(&["run", "tiny.yaml", "--out", out])
    }

    /// `bomf run tiny.yaml --out NAME --resume`.
    pub fn resume(&self, out: &str) -> Bomf {
        self.bomf(&["run", "tiny.yaml", "--out", out, "--resume"])
    }

    /// What a finished run left in its folder.
    ///
    /// # Panics
    /// When it is not complete.
    pub fn results(&self, out: &str) -> Results {
        Results::read(&self.path().join(out))
    }

    /// Replaces a piece of the configuration.
    ///
    /// # Panics
    /// When the piece is not there exactly once.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.path().join("tiny.yaml");
        let text = std::fs::read_to_string(&path).expect("it was written above");
        assert_eq!(text.matches(from).count(), 1, "`{from}` in\n{text}");
        std::fs::write(&path, text.replace(from, to)).expect("it was written above");
    }
}

impl Default for TinyRun {
    fn default() -> Self {
        Self::new()
    }
}

/// What has to be the same after a resumed and after an undisturbed run.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// `report.json` without times.
    pub report: Value,
    /// Bytes of every file in `fused/`, by path.
    pub fused: Vec<(PathBuf, Vec<u8>)>,
}

impl Results {
    /// Reads a run folder.
    ///
    /// # Panics
    /// When the report or the fused model is missing.
    pub fn read(folder: &Path) -> Self {
        let path = folder.join("report.json");
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut report = serde_json::from_str(&text).expect("report.json is JSON");
        remove_times(&mut report);
        let mut fused = Vec::new();
        read_tree(&folder.join("fused"), Path::new(""), &mut fused);
        assert!(!fused.is_empty(), "no file in {}/fused", folder.display());
        fused.sort();
        Self { report, fused }
    }

    /// Expects the same results.
    ///
    /// # Panics
    /// When they differ; names what differs.
    #[track_caller]
    pub fn expect_same(&self, other: &Self) {
        assert_eq!(self.report, other.report);
        let names = |results: &Self| -> Vec<PathBuf> {
            results.fused.iter().map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(names(self), names(other));
        for ((name, ours), (_, theirs)) in self.fused.iter().zip(&other.fused) {
            assert!(ours == theirs, "{} differs", name.display());
        }
    }
}

fn read_tree(folder: &Path, below: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("the folder can be listed").path();
        let name = below.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            read_tree(&path, &name, files);
        } else {
            files.push((name, std::fs::read(&path).expect("our own file")));
        }
    }
}

/// Times, dates and the folder's own path differ between two runs that are otherwise the same.
fn remove_times(report: &mut Value) {
    match report {
        Value::Object(object) => {
            object.retain(|key, _| !is_time(key));
            object.values_mut().for_each(remove_times);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_times),
        _ => {}
    }
}

fn is_time(key: &str) -> bool {
    key == "timing"
        || key == "times"
        || key == "time"
        || key == "started"
        || key == "finished"
        || key.ends_with("seconds")
        || key == "folder"
}

fn write_all(folder: &Path) {
    write_model(&folder.join("model"));
    for (name, rows, seed) in [("train", 48, 1), ("validation", 40, 2), ("test", 40, 3)] {
        write(&folder.join(format!("{name}.csv")), sentences(rows, seed));
    }
    write(&folder.join("tiny.yaml"), CONFIGURATION);
}

/// Every stage has something to do, and no stage much.
const CONFIGURATION: &str = "\
name: tiny
seed: 17
model:
  use: candle
  source: model
  task: { kind: classification, labels: [negative, positive] }
data:
  train: { path: train.csv, format: csv, fields: { text: sentence, label: label } }
  validation: { path: validation.csv, format: csv, fields: { text: sentence, label: label } }
  test: { path: test.csv, format: csv, fields: { text: sentence, label: label } }
metrics: [ { use: accuracy }, { use: f1 } ]
tune:
  optimizer: { use: gp }
  initial: 2
  iterations: 3
  proxy: { freeze_layers: 2 }
  space: { learning_rate: { low: 1e-4, high: 1e-2, scale: log }, batch_size: { choices: [8, 16] } }
trajectory: { epochs: 4, members: 5, from: 0.5, to: 2.0 }
fuse:
  fuser: { use: cpu }
  methods:
    - { use: best_member }
    - { use: swa }
    - { use: greedy }
    - { use: random, iterations: 4 }
    - { use: bomf, objectives: [loss, accuracy, f1], iterations: 4 }
  choose: best_metric_sum
";

/// Sentences in which words of one kind outweigh those of the other, with some noise in the labels.
fn sentences(rows: usize, seed: u64) -> String {
    let mut random = Random(seed);
    let mut text = String::from("sentence,label\n");
    for row in 0..rows {
        let positive = row % 2 == 0;
        let (mostly, rarely) = if positive { (GOOD, BAD) } else { (BAD, GOOD) };
        let length = 4 + random.below(8);
        let words: Vec<&str> = (0..length)
            .map(|_| match random.below(8) {
                0..=2 => mostly[random.below(mostly.len())],
                3 => rarely[random.below(rarely.len())],
                _ => PLAIN[random.below(PLAIN.len())],
            })
            .collect();
        let label = if positive { "positive" } else { "negative" };
        writeln!(text, "{},{label}", words.join(" ")).expect("a String takes everything");
    }
    text
}

fn write_model(folder: &Path) {
    std::fs::create_dir_all(folder).expect("a temporary folder");
    let vocabulary: Vec<&str> = [&SPECIAL[..], &GOOD, &BAD, &PLAIN].concat();
    let config = json!({
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": vocabulary.len(),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": INTERMEDIATE,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
    });
    write(&folder.join("config.json"), config.to_string());
    write(
        &folder.join("tokenizer.json"),
        tokenizer(&vocabulary).to_string(),
    );
    safetensors::write(
        &folder.join("model.safetensors"),
        &tensors(vocabulary.len()),
    );
}

fn tokenizer(vocabulary: &[&str]) -> Value {
    let added: Vec<Value> = (SPECIAL.iter().enumerate())
        .map(|(id, token)| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    let ids: serde_json::Map<String, Value> = (vocabulary.iter().enumerate())
        .map(|(id, word)| ((*word).to_owned(), json!(id)))
        .collect();
    let special =
        |token: &str, part: usize| json!({"SpecialToken": {"id": token, "type_id": part}});
    let text = |name: &str, part: usize| json!({"Sequence": {"id": name, "type_id": part}});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                       "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("[CLS]", 0), text("A", 0), special("[SEP]", 0)],
            "pair": [special("[CLS]", 0), text("A", 0), special("[SEP]", 0), text("B", 1), special("[SEP]", 1)],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": ids},
    })
}

/// Random weights under the names of a BERT checkpoint without a head.
fn tensors(words: usize) -> Vec<Tensor> {
    let mut random = Random(4);
    let mut entries = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        let count = shape.iter().product();
        let value = |random: &mut Random| match () {
            () if name.ends_with("LayerNorm.weight") => 1.0,
            () if name.ends_with("bias") => 0.0,
            () => 0.1 * random.normal(),
        };
        let values: Vec<f32> = (0..count).map(|_| value(&mut random)).collect();
        entries.push(f32s(&name, shape, &values));
    };
    for (name, rows) in [("word", words), ("position", POSITIONS), ("token_type", 2)] {
        add(
            format!("embeddings.{name}_embeddings.weight"),
            &[rows, HIDDEN],
        );
    }
    let norm = |prefix: &str, add: &mut dyn FnMut(String, &[usize])| {
        add(format!("{prefix}.weight"), &[HIDDEN]);
        add(format!("{prefix}.bias"), &[HIDDEN]);
    };
    norm("embeddings.LayerNorm", &mut add);
    for layer in 0..LAYERS {
        let linear = [
            ("attention.self.query", HIDDEN, HIDDEN),
            ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", INTERMEDIATE, HIDDEN),
            ("output.dense", HIDDEN, INTERMEDIATE),
        ];
        for (part, outputs, inputs) in linear {
            add(
                format!("encoder.layer.{layer}.{part}.weight"),
                &[outputs, inputs],
            );
            add(format!("encoder.layer.{layer}.{part}.bias"), &[outputs]);
        }
        for part in ["attention.output.LayerNorm", "output.LayerNorm"] {
            norm(&format!("encoder.layer.{layer}.{part}"), &mut add);
        }
    }
    add("pooler.dense.weight".to_owned(), &[HIDDEN, HIDDEN]);
    add("pooler.dense.bias".to_owned(), &[HIDDEN]);
    entries
}

/// SplitMix64: enough for test data, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Box and Muller's way to a standard normal number.
    fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * self.uniform()).cos()) as f32
    }
}

fn write(path: &Path, contents: impl AsRef<[u8]>) {
    std::fs::write(path, contents)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

/// Expects that a run went through, and hands its results over.
///
/// # Panics
/// When it did not.
#[track_caller]
pub fn finished(run: &TinyRun, out: &str, output: Output) -> Results {
    output.expect_code(0);
    run.results(out)
}
