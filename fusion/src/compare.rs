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
const ADAPTER_SETTINGS: [&str; 3] = ["peft_type", "fan_in_fan_out", "use_dora"];

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
    let known: BTreeSet<&String> = found.iter().flatten().collect();
    Ok((known.len() > 1).then(|| Difference {
        severity: Severity::Error,
        what: "vocabulary".to_owned(),
        name: String::new(),
        found: found.clone(),
    }))
}

/// A vocabulary in a word: its file, its size, the beginning of its digest.
fn vocabulary(member: &Checkpoint) -> Result<Option<String>> {
    const FILES: [&str; 6] = [
        "tokenizer.json",
        "vocab.txt",
        "vocab.json",
        "tokenizer.model",
        "spiece.model",
        "vocab.bpe",
    ];
    let Some((name, path)) = FILES
        .iter()
        .find_map(|name| member.companions.get_key_value(*name))
    else {
        return Ok(None);
    };
    if name != "tokenizer.json" {
        let digest = blake3::hash(&read(path)?).to_hex();
        return Ok(Some(format!("{name} {}", &digest[..12])));
    }
    let tokenizer = json(path)?;
    // Settings of padding and truncation are left behind by training and do not matter.
    let vocabulary = &tokenizer["model"]["vocab"];
    let tokens = match vocabulary {
        Value::Object(map) => map.len(),
        Value::Array(list) => list.len(),
        _ => 0,
    };
    let digest = blake3::hash(sorted(vocabulary).to_string().as_bytes()).to_hex();
    Ok(Some(format!("{tokens} tokens, {}", &digest[..12])))
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
