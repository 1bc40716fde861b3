//! Headers of safetensors files: eight bytes of length, JSON, data.
//!
//! The header comes from outside. Everything in it is checked before it is used: types, shapes against lengths, and that
//! the tensors fill the data from its beginning to its end, without a gap and without a byte that belongs to two of them.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use super::file::WeightsFile;
use super::{Contents, Layout, Tensor};
use crate::dtype::{Dtype, byte_length};
use crate::error::{Error, Result};

/// Longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// Reads the header of a file; `file` is the number that its tensors carry.
pub(super) fn read(weights: &WeightsFile, file: usize) -> Result<Contents> {
    let place = weights.path.display();
    let fault = |what: String| {
        Error::input("checkpoint::header", &place, what)
            .hint("the file is broken or was cut: copy or save it anew")
    };
    // 1. The header, no longer than the file.
    if weights.length() < 8 {
        return Err(fault(format!(
            "found {} bytes, expected 8 or more of a safetensors header",
            weights.length()
        )));
    }
    let mut length = [0; 8];
    weights.read_at(0, &mut length)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER || length > weights.length() - 8 {
        return Err(fault(format!(
            "offset 0: found a header of {length} bytes in a file of {}, expected at most {}",
            weights.length(),
            LONGEST_HEADER.min(weights.length() - 8)
        )));
    }
    let mut header = vec![0; length as usize];
    weights.read_at(8, &mut header)?;
    let header = Header::parse(&header).map_err(|error| fault(format!("offset 8: {error}")))?;

    // 2. Each tensor by itself.
    let data = weights.length() - 8 - length;
    let mut ranges = Vec::with_capacity(header.tensors.len());
    let mut tensors = Vec::with_capacity(header.tensors.len());
    for (name, entry) in header.tensors {
        let (start, end) = entry.data_offsets;
        let at = format!("tensor `{name}`, offset {start}");
        let dtype = Dtype::from_name(&entry.dtype).ok_or_else(|| {
            fault(format!(
                "{at}: found the type `{}`, which is not known",
                entry.dtype
            ))
        })?;
        if start > end || end > data {
            return Err(fault(format!(
                "{at}: found data up to {end}, expected at most {data}"
            )));
        }
        if byte_length(&entry.shape, dtype.size()) != Some(end - start) {
            return Err(fault(format!(
                "{at}: found {} bytes, which {dtype} {:?} does not have",
                end - start,
                entry.shape
            )));
        }
        ranges.push((start, end, name.clone()));
        tensors.push(Tensor {
            name,
            dtype,
            shape: entry.shape,
            file,
            offset: 8 + length + start,
            layout: Layout::Plain,
        });
    }

    // 3. All of them together.
    ranges.sort();
    let mut filled = 0;
    for (start, end, name) in ranges {
        if start != filled {
            return Err(fault(format!(
                "tensor `{name}`: found data from offset {start}, expected from {filled}: tensors may not overlap or leave gaps"
            )));
        }
        filled = end;
    }
    if filled != data {
        return Err(fault(format!(
            "found {data} bytes of data, expected {filled} as the header says"
        )));
    }
    tensors.sort_by(|a, b| (a.offset, &a.name).cmp(&(b.offset, &b.name)));
    let aliases = aliases(&header.metadata, &tensors);
    Ok(Contents { tensors, aliases })
}

/// Names that stand for other tensors, as `safetensors.torch.save_model` notes them in the metadata.
fn aliases(metadata: &BTreeMap<String, String>, tensors: &[Tensor]) -> Vec<(String, String)> {
    let names: HashSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let is_there = |name: &str| names.contains(name);
    metadata
        .iter()
        .filter(|(alias, name)| is_there(name) && !is_there(alias))
        .map(|(alias, name)| (alias.clone(), name.clone()))
        .collect()
}

struct Header {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, Entry)>,
}

impl Header {
    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        if bytes.first() != Some(&b'{') {
            return Err("found no `{`, expected the JSON of a safetensors header".to_owned());
        }
        let fields: Fields = serde_json::from_slice(bytes)
            .map_err(|error| format!("found no safetensors header: {error}"))?;
        let mut header = Header {
            metadata: BTreeMap::new(),
            tensors: Vec::new(),
        };
        for (name, value) in fields.0 {
            if name == "__metadata__" {
                header.metadata = serde_json::from_value(value)
                    .map_err(|error| format!("`__metadata__`: {error}"))?;
            } else {
                let entry = serde_json::from_value(value)
                    .map_err(|error| format!("tensor `{name}`: {error}"))?;
                header.tensors.push((name, entry));
            }
        }
        Ok(header)
    }
}

/// A JSON object whose keys are all different: a plain map would keep the last of two silently.
struct Fields(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Fields, A::Error> {
                let mut seen = HashSet::new();
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, _>()? {
                    if !seen.insert(name.clone()) {
                        return Err(serde::de::Error::custom(format!("found `{name}` twice")));
                    }
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(Visitor)
    }
}
