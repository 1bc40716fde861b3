//! The request for a question, and what stands for it in signatures and file names.

use std::collections::BTreeMap;

use bomf_plugin_api::{PluginError, Result};
use serde_json::{Map, Value, json};

use crate::options::AskOptions;

/// Fields of a request that are not the user's to set.
const OWN_FIELDS: [&str; 7] = [
    "model",
    "messages",
    "stream",
    "n",
    "temperature",
    "seed",
    "max_tokens",
];

/// Refuses options of which no request can be made.
pub fn check(options: &AskOptions) -> Result<()> {
    if options.model.is_empty() || options.model.contains(char::is_control) {
        return Err(PluginError::input(
            "model: found no name of a model, expected one line",
        ));
    }
    if let Some(name) = OWN_FIELDS
        .iter()
        .find(|name| options.extra.contains_key(**name))
    {
        return Err(PluginError::input(format!(
            "extra: found `{name}`, expected fields that have no option of their own"
        )));
    }
    Ok(())
}

/// The request, always in the same bytes. From the second attempt on, the question ends with the reminder.
pub fn body(options: &AskOptions, question: &str, attempt: u32, reminder: &str) -> String {
    let question = match attempt {
        0 => question.to_owned(),
        _ => format!("{question}\n\n{reminder}"),
    };
    let system = options
        .system
        .iter()
        .map(|text| json!({"role": "system", "content": text}));
    let user = json!({"role": "user", "content": question});
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(options.model));
    body.insert("messages".to_owned(), system.chain([user]).collect());
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    add("temperature", options.temperature.map(Value::from));
    add(
        "seed",
        options
            .seed
            .map(|seed| json!(seed.wrapping_add(attempt.into()))),
    );
    add("max_tokens", options.max_tokens.map(Value::from));
    for (name, value) in options.extra.iter().collect::<BTreeMap<_, _>>() {
        add(name, Some(value.clone()));
    }
    Value::Object(body).to_string()
}

/// Everything else about a request that may change its reply, in one line.
pub fn sampling(options: &AskOptions) -> String {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let mut line = format!(
        "temperature:{}|seed:{}|max_tokens:{}",
        or_none(options.temperature.map(|value| value.to_string())),
        or_none(options.seed.map(|value| value.to_string())),
        or_none(options.max_tokens.map(|value| value.to_string())),
    );
    if !options.extra.is_empty() {
        let sorted: BTreeMap<_, _> = options.extra.iter().collect();
        line += &format!("|extra:{}", digest(&[&json!(sorted).to_string()]));
    }
    line
}

/// Sixteen characters that stand for some texts.
pub fn digest(texts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher
            .update(&(text.len() as u64).to_le_bytes())
            .update(text.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}
