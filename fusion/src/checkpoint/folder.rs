//! What a path stands for: which files hold the weights, and what lies beside them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};

/// The file that makes a folder an adapter.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";

/// Weights in a folder, in the order in which `transformers` and `peft` look for them. Indices name other files.
const WEIGHTS: [&str; 6] = [
    "adapter_model.safetensors",
    "adapter_model.bin",
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// Files beside the weights that a model needs: these names, and all that begin or end so.
const COMPANIONS: [&str; 13] = [
    "config.json",
    "generation_config.json",
    ADAPTER_CONFIG,
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "bpe.codes",
    "dict.txt",
    "entity_vocab.json",
    "normalizer.json",
    "target_vocab.json",
];
const COMPANION_PREFIXES: [&str; 6] = [
    "tokenizer",
    "vocab",
    "spiece.",
    "spm",
    "sentencepiece.",
    "chat_template",
];
const COMPANION_SUFFIXES: [&str; 3] = [".bpe.model", ".spm", ".tiktoken"];
/// The code of a model that `transformers` does not have: files of Python that begin so.
const CODE_PREFIXES: [&str; 4] = [
    "configuration_",
    "modeling_",
    "tokenization_",
    "processing_",
];

/// Files of weights, and what lies beside them.
pub(super) struct Found {
    pub parts: Vec<Part>,
    pub companions: BTreeMap<String, PathBuf>,
}

/// One file of weights.
pub(super) struct Part {
    pub path: PathBuf,
    /// What the index says it holds, where there is one.
    pub tensors: Option<Vec<String>>,
}

/// Finds the weights that a path stands for.
pub(super) fn find(path: &Path) -> Result<Found> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::input(
            "checkpoint::missing",
            path.display(),
            "found nothing there, expected a file or folder with weights",
        ),
        _ => Error::io("checkpoint::read", path, &error),
    })?;
    if !metadata.is_dir() && !metadata.is_file() {
        let what = "found neither a file nor a folder, expected one with weights";
        return Err(Error::input("checkpoint::file", path.display(), what));
    }
    if !metadata.is_dir() {
        return Ok(Found {
            parts: parts(path)?,
            companions: BTreeMap::new(),
        });
    }
    let names = names(path)?;
    let weights = WEIGHTS
        .iter()
        .find(|weights| names.iter().any(|name| name == *weights))
        .map(|name| (*name).to_owned())
        .or_else(|| only_gguf(&names))
        .ok_or_else(|| no_weights(path, &names))?;
    let is_adapter = weights.starts_with("adapter_");
    let companions = names
        .into_iter()
        .filter(|name| is_companion(name) && (is_adapter || name != ADAPTER_CONFIG))
        .map(|name| (name.clone(), path.join(name)))
        .collect();
    Ok(Found {
        parts: parts(&path.join(weights))?,
        companions,
    })
}

/// Names of the regular files of a folder and, with a `/` behind them, of its folders; sorted.
fn names(folder: &Path) -> Result<Vec<String>> {
    let fault = |error| Error::io("checkpoint::read", folder, &error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        // A link counts as what it leads to: the cache of the hub is made of links.
        let Ok(metadata) = std::fs::metadata(entry.path()) else {
            continue;
        };
        let mut name = entry.file_name().to_string_lossy().into_owned();
        match (metadata.is_dir(), metadata.is_file()) {
            (true, _) => name.push('/'),
            (_, true) => {}
            // Pipes and the like.
            _ => continue,
        }
        names.push(name);
    }
    names.sort();
    Ok(names)
}

fn only_gguf(names: &[String]) -> Option<String> {
    let mut found = names.iter().filter(|name| name.ends_with(".gguf"));
    let only = found.next()?;
    found.next().is_none().then(|| only.clone())
}

fn no_weights(folder: &Path, names: &[String]) -> Error {
    let error = Error::input(
        "checkpoint::missing",
        folder.display(),
        "found no weights in the folder, expected model.safetensors, pytorch_model.bin, an index of several such files, \
         adapter_model.safetensors or one .gguf file",
    );
    let is_checkpoint = |name: &&String| name.starts_with("checkpoint-");
    match names.iter().rfind(is_checkpoint) {
        Some(last) => error.hint(format!(
            "it holds the checkpoints of a training: name them one by one, as `{}`",
            folder.join(last.trim_end_matches('/')).display()
        )),
        None => error,
    }
}

fn is_companion(name: &str) -> bool {
    !name.ends_with('/')
        && (COMPANIONS.contains(&name)
            || COMPANION_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix))
            || COMPANION_SUFFIXES
                .iter()
                .any(|suffix| name.ends_with(suffix))
            || name.ends_with(".py") && CODE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files behind a path: itself, or those that it names as an index.
fn parts(path: &Path) -> Result<Vec<Part>> {
    if !path.to_string_lossy().ends_with(".index.json") {
        return Ok(vec![Part {
            path: path.to_owned(),
            tensors: None,
        }]);
    }
    let fault = |what: String| Error::input("checkpoint::index", path.display(), what);
    let text = std::fs::read(path).map_err(|error| Error::io("checkpoint::read", path, &error))?;
    let index: Index = serde_json::from_slice(&text)
        .map_err(|error| fault(format!("found no index of weights: {error}")))?;
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tensor, file) in index.weight_map {
        files.entry(file).or_default().push(tensor);
    }
    if files.is_empty() {
        return Err(fault(
            "found no tensor in the index, expected one or more".to_owned(),
        ));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    files
        .into_iter()
        .map(|(file, tensors)| {
            // An index may name files of its own folder only.
            let mut components = Path::new(&file).components();
            match (components.next(), components.next()) {
                (Some(Component::Normal(_)), None) => Ok(Part {
                    path: folder.join(&file),
                    tensors: Some(tensors),
                }),
                _ => Err(fault(format!(
                    "found the file `{file}`, expected a name without folders"
                ))),
            }
        })
        .collect()
}
