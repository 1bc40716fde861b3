//! Reading the weights of a Hugging Face folder.

use std::path::{Path, PathBuf};

use bomf_plugin_api::{Dtype, PluginError, Result, Tensor, TensorSpec};
use safetensors::SafeTensors;
use serde::Deserialize;

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    weight_map: std::collections::BTreeMap<String, String>,
}

/// All floating-point tensors of `model.safetensors`, or of the files that `model.safetensors.index.json` names, as f32.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn open(folder: &Path) -> Result<Vec<Tensor>> {
    let mut tensors = Vec::new();
    for path in files(folder)? {
        let fault = |what: String| PluginError::input(format!("{}: {what}", path.display()));
        let bytes = std::fs::read(&path).map_err(|error| fault(error.to_string()))?;
        let parsed = SafeTensors::deserialize(&bytes).map_err(|error| fault(error.to_string()))?;
        for (name, view) in parsed.iter() {
            if let Some(numbers) = numbers(view.dtype(), view.data()) {
                let spec = TensorSpec {
                    name: name.to_owned(),
                    dtype: Dtype::F32,
                    shape: view.shape().to_vec(),
                };
                tensors.push(Tensor::from_f32(&spec.name, &spec.shape, &numbers)?);
            }
        }
    }
    Ok(tensors)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let single = folder.join("model.safetensors");
    let index = folder.join("model.safetensors.index.json");
    if single.is_file() {
        return Ok(vec![single]);
    }
    if !index.is_file() {
        return Err(PluginError::input(format!(
            "{}: found neither model.safetensors nor model.safetensors.index.json, expected one of them",
            folder.display()
        )));
    }
    let fault = |what: String| PluginError::input(format!("{}: {what}", index.display()));
    let text = std::fs::read_to_string(&index).map_err(|error| fault(error.to_string()))?;
    let parsed: Index = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
    let mut names: Vec<String> = parsed.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    if let Some(name) = names.iter().find(|name| {
        Path::new(name)
            .file_name()
            .is_none_or(|f| f != name.as_str())
    }) {
        return Err(fault(format!(
            "found the file name `{name}`, expected one beside the index"
        )));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// The numbers of a floating-point tensor; `None` for other types (position ids, for example).
fn numbers(dtype: safetensors::Dtype, data: &[u8]) -> Option<Vec<f32>> {
    let half = |word: &[u8; 2]| u16::from_le_bytes(*word);
    Some(match dtype {
        safetensors::Dtype::F32 => data
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&word| f32::from_le_bytes(word))
            .collect(),
        safetensors::Dtype::F16 => data
            .as_chunks::<2>()
            .0
            .iter()
            .map(|word| half::f16::from_bits(half(word)).to_f32())
            .collect(),
        safetensors::Dtype::BF16 => data
            .as_chunks::<2>()
            .0
            .iter()
            .map(|word| f32::from_bits(u32::from(half(word)) << 16))
            .collect(),
        safetensors::Dtype::F64 => data
            .as_chunks::<8>()
            .0
            .iter()
            .map(|&word| f64::from_le_bytes(word) as f32)
            .collect(),
        _ => return None,
    })
}
