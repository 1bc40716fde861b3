//! Where members differ: names, shapes, types, vocabularies, configurations.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::lora::{Lora, may_differ};

/// Settings of a model that say where it came from or how it is run, not what its weights mean.
const IDLE_SETTINGS: [&str; 8] = [
    "_name_or_path",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "use_cache",
    "_attn_implementation",
    "attn_implementation",
    "auto_map",
];

/// Settings of an adapter that have to be the same in all.
const ADAPTER_SETTINGS: [&str; 5] = [
    "peft_type",
    "fan_in_fan_out",
    "use_dora",
    "lora_bias",
    "trainable_token_indices",
];

/// Settings of an adapter that say what its factors are multiplied by, and how many there are.
const SCALE_SETTINGS: [&str; 5] = [
    "r",
    "lora_alpha",
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
];

/// How much a difference matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// These members cannot be fused.
    Error,
    /// They can, and the user should know.
    Note,
}

/// One thing in which members differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// How much it matters.
    pub severity: Severity,
    /// What differs: `tensor`, `vocabulary`, `config.json`, `adapter_config.json`.
    pub what: String,
    /// Which one: the name of a tensor or a setting; empty where there is but one.
    pub name: String,
    /// What each member has, in their order; `None` where it has nothing.
    pub found: Vec<Option<String>>,
}

/// All differences, errors first; `lora` says how adapters are to be combined, if they are.
///
/// # Errors
/// When a file beside the weights cannot be read; differences are no errors.
pub fn differences(models: &[Checkpoint], lora: Option<Lora>) -> Result<Vec<Difference>> {
    let mut differences = match lora {
        // Adapters and their base have nothing in common but names of modules.
        Some(Lora::Into) => Vec::new(),
        _ => tensors(models, lora),
    };
    differences.extend(vocabularies(models)?);
    let settings =
        |file, severity: &dyn Fn(&str) -> Option<Severity>| settings(models, file, severity);
    differences.extend(settings(
        "config.json",
        &|key| match (key, IDLE_SETTINGS.contains(&key)) {
            ("model_type", _) => Some(Severity::Error),
            (_, true) => None,
            (_, false) => Some(Severity::Note),
        },
    )?);
    differences.extend(settings("adapter_config.json", &|key| {
        let is_error = ADAPTER_SETTINGS.contains(&key) && lora != Some(Lora::Into);
        match (is_error, SCALE_SETTINGS.contains(&key), lora) {
            (true, ..) | (_, true, None) => Some(Severity::Error),
            (_, true, Some(_)) => Some(Severity::Note),
            _ => None,
        }
    })?);
    differences.sort_by(|a, b| (a.severity, &a.what).cmp(&(b.severity, &b.what)));
    Ok(differences)
}

fn tensors(members: &[Checkpoint], lora: Option<Lora>) -> Vec<Difference> {
    let names: BTreeSet<&str> = members
        .iter()
        .flat_map(|member| member.tensors().iter().map(|tensor| tensor.name.as_str()))
        .collect();
    let mut differences = Vec::new();
    for name in names {
        let tensors: Vec<_> = members.iter().map(|member| member.tensor(name)).collect();
        let first = tensors.iter().flatten().next().expect("one of them has it");
        let fits = tensors.iter().all(|tensor| {
            tensor.is_some_and(|tensor| {
                let types = tensor.dtype == first.dtype
                    || (tensor.dtype.is_float() && first.dtype.is_float());
                tensor.shape == first.shape && types
            })
        });
        let alike = tensors
            .iter()
            .flatten()
            .all(|tensor| tensor.stored_as() == first.stored_as());
        if fits && alike || !fits && is_tied_elsewhere(members, name) {
            continue;
        }
        // Ranks of factors may differ, and some adapters may change modules that others do not.
        let is_error = !fits && (lora.is_none() || !may_differ(name));
        differences.push(Difference {
            severity: match is_error {
                true => Severity::Error,
                false => Severity::Note,
            },
            what: "tensor".to_owned(),
            name: name.to_owned(),
            found: tensors
                .iter()
                .map(|tensor| tensor.map(|t| format!("{} {:?}", t.stored_as(), t.shape)))
                .collect(),
        });
    }
    differences
}

/// Whether the members without this tensor hold it under the name that it is tied to in others: there it is saved once,
/// and a model that ties it finds it again.
fn is_tied_elsewhere(members: &[Checkpoint], name: &str) -> bool {
    let mut others = members
        .iter()
        .filter_map(|member| member.aliases().get(name));
    let target = others.next();
    target.is_some_and(|target| {
        members.iter().all(|member| {
            member.aliases().get(name) == Some(target)
                || member.tensor(name).is_none() && member.tensor(target).is_some()
        })
    })
}

/// Vocabularies give rows of embeddings their meaning.
fn vocabularies(members: &[Checkpoint]) -> Result<Option<Difference>> {
    let found = members.iter().map(vocabulary).collect::<Result<Vec<_>>>()?;
    // A member without a tokenizer says nothing about it.
    let known: BTreeSet<&Vocabulary> = found.iter().flatten().collect();
    let kinds: BTreeSet<&Option<String>> =
        known.iter().map(|vocabulary| &vocabulary.file).collect();
    Ok((known.len() > 1).then(|| Difference {
        // Files that cannot be understood say nothing about others.
        severity: match known.len() > kinds.len() {
            true => Severity::Error,
            false => Severity::Note,
        },
        what: "vocabulary".to_owned(),
        name: String::new(),
        found: found
            .iter()
            .map(|one| one.as_ref().map(|v| v.words.clone()))
            .collect(),
    }))
}

/// Which token each row of embeddings belongs to.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Vocabulary {
    /// The file, where only files of this name can be compared with it.
    file: Option<String>,
    /// How many tokens, where that is known, and the beginning of a digest.
    words: String,
}

fn vocabulary(member: &Checkpoint) -> Result<Option<Vocabulary>> {
    const OPAQUE: [&str; 5] = [
        "tokenizer.model",
        "spiece.model",
        "sentencepiece.bpe.model",
        "spm.model",
        "vocab.bpe",
    ];
    let file = |name: &str| member.companions.get(name);
    // 1. Tokens and their numbers, whichever file has them. Settings of padding and truncation are left behind by training and
    // do not matter.
    let mut tokens: BTreeMap<String, u64> = BTreeMap::new();
    let text = |token: &Value| token.as_str().map(str::to_owned);
    if let Some(path) = file("tokenizer.json") {
        let tokenizer = json(path)?;
        match &tokenizer["model"]["vocab"] {
            // Of Unigram models with the scores of the tokens.
            Value::Array(list) => {
                let numbered = (0..).zip(list);
                tokens.extend(numbered.filter_map(|(id, token)| Some((text(&token[0])?, id))));
            }
            map => tokens.extend(ids(map)),
        }
        let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
        tokens.extend(
            added.filter_map(|token| Some((text(&token["content"])?, token["id"].as_u64()?))),
        );
    } else if let Some(path) = file("vocab.txt") {
        let lines = String::from_utf8_lossy(&read(path)?).into_owned();
        tokens.extend(
            (0..)
                .zip(lines.lines())
                .map(|(id, token)| (token.to_owned(), id)),
        );
    } else if let Some(path) = file("vocab.json") {
        tokens.extend(ids(&json(path)?));
    }
    if !tokens.is_empty() {
        if let Some(path) = file("added_tokens.json") {
            tokens.extend(ids(&json(path)?));
        }
        let digest = blake3::hash(format!("{tokens:?}").as_bytes()).to_hex();
        return Ok(Some(Vocabulary {
            file: None,
            words: format!("{} tokens, {}", tokens.len(), &digest[..12]),
        }));
    }
    // 2. Or a file that only its like can be compared with.
    let Some((name, path)) = OPAQUE.iter().find_map(|name| Some((*name, file(name)?))) else {
        return Ok(None);
    };
    let digest = blake3::hash(&read(path)?).to_hex();
    Ok(Some(Vocabulary {
        file: Some(name.to_owned()),
        words: format!("{name} {}", &digest[..12]),
    }))
}

/// Tokens with their numbers, of an object.
fn ids(map: &Value) -> Vec<(String, u64)> {
    let entries = map.as_object().into_iter().flatten();
    entries
        .filter_map(|(token, id)| Some((token.clone(), id.as_u64()?)))
        .collect()
}

fn settings(
    members: &[Checkpoint],
    file: &str,
    severity: &dyn Fn(&str) -> Option<Severity>,
) -> Result<Vec<Difference>> {
    let all = members
        .iter()
        .map(|member| {
            member
                .companions
                .get(file)
                .map(|path| json(path))
                .transpose()
        })
        .collect::<Result<Vec<Option<Value>>>>()?;
    // A member without the file says nothing about its settings.
    let objects: Vec<Option<&serde_json::Map<String, Value>>> = all
        .iter()
        .map(|value| value.as_ref().and_then(Value::as_object))
        .collect();
    let keys: BTreeSet<&String> = objects
        .iter()
        .flatten()
        .flat_map(|map| map.keys())
        .collect();
    let mut differences = Vec::new();
    for key in keys {
        let Some(severity) = severity(key) else {
            continue;
        };
        let values: Vec<Option<String>> = objects
            .iter()
            .map(|map| map.map(|map| sorted(map.get(key).unwrap_or(&Value::Null)).to_string()))
            .collect();
        let different: BTreeSet<&String> = values.iter().flatten().collect();
        if different.len() > 1 {
            differences.push(Difference {
                severity,
                what: file.to_owned(),
                name: key.clone(),
                found: values,
            });
        }
    }
    Ok(differences)
}

/// A value whose keys are in one order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<&String, Value> = map
                .iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            ordered.into_iter().map(|(k, v)| (k.clone(), v)).collect()
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io("checkpoint::read", path, &error))
}

pub(crate) fn json(path: &Path) -> Result<Value> {
    serde_json::from_slice(&read(path)?).map_err(|error| {
        Error::input(
            "checkpoint::companion",
            path.display(),
            format!("found no JSON: {error}"),
        )
    })
}

/// Differences as a table: what differs, and each thing that was found with the members that have it. `names` are those of
/// the members.
pub fn table(differences: &[Difference], names: &[String]) -> String {
    let rows = differences.iter().map(|difference| {
        let mut holders: Vec<(&str, Vec<&str>)> = Vec::new();
        for (found, name) in difference.found.iter().zip(names) {
            let found = found.as_deref().unwrap_or("nothing");
            match holders.iter_mut().find(|(known, _)| *known == found) {
                Some((_, members)) => members.push(name),
                None => holders.push((found, vec![name])),
            }
        }
        let severity = match difference.severity {
            Severity::Error => "error",
            Severity::Note => "note",
        };
        let name = match difference.name.as_str() {
            "" => difference.what.clone(),
            name => format!("{} {name}", difference.what),
        };
        let holders = holders
            .iter()
            .map(|(found, members)| format!("{found} ({})", members.join(", ")));
        (severity, name, holders.collect::<Vec<_>>())
    });
    let rows: Vec<_> = rows.collect();
    let width = rows
        .iter()
        .map(|(_, name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (severity, name, holders) in &rows {
        for (i, holder) in holders.iter().enumerate() {
            let (severity, name) = if i == 0 {
                (*severity, name.as_str())
            } else {
                ("", "")
            };
            text.push_str(&format!("{severity:<5}  {name:<width$}  {holder}\n"));
        }
    }
    text
}
