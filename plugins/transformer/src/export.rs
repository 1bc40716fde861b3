//! The files beside the weights that make a folder which `transformers` loads.

use std::path::Path;

use bomf_plugin_api::{PluginError, Result, Task};
use serde_json::{Map, Value, json};

/// Tokenizer files that are carried over when they are there.
const TOKENIZER_FILES: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
];

/// `config.json` for the task, and the tokenizer's files.
///
/// # Errors
/// When a file of the original folder cannot be read any more.
pub fn files(
    folder: &Path,
    config: &Value,
    architecture: &str,
    task: &Task,
) -> Result<Vec<(String, Vec<u8>)>> {
    let mut config = config.clone();
    config["architectures"] = json!([architecture]);
    config["torch_dtype"] = json!("float32");
    let labels: Vec<String> = match task {
        Task::Classification { labels } => {
            config["problem_type"] = json!("single_label_classification");
            labels.clone()
        }
        _ => {
            config["problem_type"] = json!("regression");
            vec!["LABEL_0".to_owned()]
        }
    };
    let numbered = || labels.iter().enumerate();
    let id2label: Map<String, Value> = numbered()
        .map(|(id, label)| (id.to_string(), json!(label)))
        .collect();
    let label2id: Map<String, Value> = numbered()
        .map(|(id, label)| (label.clone(), json!(id)))
        .collect();
    config["id2label"] = Value::Object(id2label);
    config["label2id"] = Value::Object(label2id);
    let text = serde_json::to_string_pretty(&config)
        .map_err(|error| PluginError::failed(format!("config.json: {error}")))?;
    let mut files = vec![("config.json".to_owned(), text.into_bytes())];
    for name in TOKENIZER_FILES {
        let path = folder.join(name);
        if path.is_file() {
            let bytes = std::fs::read(&path)
                .map_err(|error| PluginError::input(format!("{}: {error}", path.display())))?;
            files.push((name.to_owned(), bytes));
        }
    }
    Ok(files)
}
