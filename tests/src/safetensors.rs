//! Safetensors files as tests write and read them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

/// A tensor in a file: name, type as the header calls it, shape, bytes.
pub type Tensor = (String, &'static str, Vec<usize>, Vec<u8>);

/// A tensor of f32.
pub fn f32s(name: &str, shape: &[usize], values: &[f32]) -> Tensor {
    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    (name.to_owned(), "F32", shape.to_vec(), bytes)
}

/// Writes a file.
///
/// # Panics
/// When the system refuses.
pub fn write(path: &Path, tensors: &[Tensor]) {
    let mut header = Map::new();
    let mut data: Vec<u8> = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let end = data.len() + bytes.len();
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [data.len(), end]});
        header.insert(name.clone(), entry);
        data.extend(bytes);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    std::fs::write(path, file).expect("a test may write");
}

/// The header of a file, and its data.
///
/// # Panics
/// When it is no safetensors file.
pub fn read(path: &Path) -> (Value, Vec<u8>) {
    let bytes = std::fs::read(path).expect("the file is there");
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
    let header = serde_json::from_slice(&rest[..length]).expect("a header is JSON");
    (header, rest[length..].to_vec())
}

/// A tensor of f32.
///
/// # Panics
/// When there is none.
pub fn floats(path: &Path, name: &str) -> Vec<f32> {
    let (header, data) = read(path);
    let entry = &header[name];
    assert_eq!(entry["dtype"], "F32", "{name}");
    let offset = |i: usize| entry["data_offsets"][i].as_u64().expect("an offset") as usize;
    let bytes = data[offset(0)..offset(1)].as_chunks::<4>().0;
    bytes.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// All files of a folder.
///
/// # Panics
/// When it cannot be read.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let files = entries.flatten().map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, std::fs::read(entry.path()).expect("a file"))
    });
    files.collect()
}
