//! State dicts saved by `torch.save`: a zip archive of a pickle (names, shapes, views) and one entry per storage.
//!
//! Storages are stored uncompressed, so that tensors are read from the archive where they lie. Tensors that are the same
//! view of the same storage are tied: they are one tensor with several names.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use zip::{CompressionMethod, ZipArchive};

use super::file::WeightsFile;
use super::pickle::{self, Pickle, View};
use super::{Contents, Layout, Tensor};
use crate::dtype::byte_length;
use crate::error::{Error, Result};

/// Longest pickle that is read: names, shapes and views of a million tensors.
const LONGEST_PICKLE: u64 = 256 << 20;

/// What is said of files that PyTorch wrote before 1.6, or with `_use_new_zipfile_serialization=False`.
pub(super) fn legacy(path: &Path) -> Error {
    Error::input(
        "checkpoint::legacy",
        path.display(),
        "found a pickle outside an archive, expected a file of PyTorch 1.6 or newer",
    )
    .hint("load it where you trust it and save it again, best as safetensors: `safetensors.torch.save_file(torch.load(...), ...)`")
}

/// Where a storage lies.
struct Entry {
    offset: u64,
    length: u64,
}

/// What makes two names one tensor: storage, offset, shape and strides.
type ViewKey<'a> = (&'a str, u64, &'a [usize], &'a [u64]);

/// Reads the archive's pickle; `file` is the number that its tensors carry.
pub(super) fn read(weights: &WeightsFile, file: usize) -> Result<Contents> {
    let place = weights.path.display();
    let fault = |what: String| {
        Error::input("checkpoint::header", &place, what)
            .hint("only state dicts are read: save `model.state_dict()`, or use `save_pretrained`")
    };
    let mut archive = ZipArchive::new(weights.reader())
        .map_err(|error| fault(format!("found no whole zip archive: {error}")))?;
    let (pickle, prefix) = read_pickle(&mut archive).map_err(fault)?;
    let entries = entries(&mut archive, &prefix, weights.length()).map_err(fault)?;
    check_storages(&pickle, &entries).map_err(fault)?;

    let mut contents = Contents {
        tensors: Vec::new(),
        aliases: Vec::new(),
    };
    let mut known: HashMap<ViewKey<'_>, &str> = HashMap::new();
    for (name, view) in &pickle.tensors {
        let storage = &pickle.storages[view.storage];
        let key = (
            storage.key.as_str(),
            view.offset,
            &view.shape[..],
            &view.strides[..],
        );
        if let Some(&first) = known.get(&key) {
            contents.aliases.push((name.clone(), first.to_owned()));
            continue;
        }
        known.insert(key, name);
        check_view(view, storage.elements)
            .map_err(|what| fault(format!("tensor `{name}`, offset {}: {what}", view.offset)))?;
        contents.tensors.push(Tensor {
            name: name.clone(),
            dtype: storage.dtype,
            shape: view.shape.clone(),
            file,
            offset: entries[&storage.key].offset + view.offset * storage.dtype.size() as u64,
            layout: layout(view),
        });
    }
    Ok(contents)
}

/// The pickle, and what stands before `data.pkl` in the names of the archive.
fn read_pickle<R: Read + std::io::Seek>(
    archive: &mut ZipArchive<R>,
) -> std::result::Result<(Pickle, String), String> {
    let name = archive
        .file_names()
        .find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"))
        .ok_or("found no `data.pkl` in the archive, expected a file of `torch.save`")?
        .to_owned();
    let prefix = name.trim_end_matches("data.pkl").to_owned();
    let little = read_entry(archive, &format!("{prefix}byteorder"), 16);
    if little.is_ok_and(|order| order != b"little") {
        return Err("found big-endian numbers, expected little-endian ones".to_owned());
    }
    let is_stored =
        |entry: zip::read::ZipFile<'_, R>| entry.compression() == CompressionMethod::Stored;
    if !archive.by_name(&name).is_ok_and(is_stored) {
        return Err(format!(
            "{name}: found a compressed entry, expected it as `torch.save` writes it: unpack and save it anew"
        ));
    }
    let bytes = read_entry(archive, &name, LONGEST_PICKLE)?;
    let pickle = pickle::parse(&bytes).map_err(|what| format!("{name}, {what}"))?;
    Ok((pickle, prefix))
}

fn read_entry<R: Read + std::io::Seek>(
    archive: &mut ZipArchive<R>,
    name: &str,
    longest: u64,
) -> std::result::Result<Vec<u8>, String> {
    let fault = |error: &dyn std::fmt::Display| format!("{name}: {error}");
    let entry = archive.by_name(name).map_err(|error| fault(&error))?;
    let mut bytes = Vec::new();
    // The size that the archive states may be a lie, and a compressed entry may be far longer than the file.
    let read = entry.take(longest + 1).read_to_end(&mut bytes);
    read.map_err(|error| fault(&error))?;
    match bytes.len() as u64 > longest {
        true => Err(format!("{name}: found more than {longest} bytes")),
        false => Ok(bytes),
    }
}

/// The archive's entries under `data/`, by key: each in the file, uncompressed, and apart from all others.
fn entries<R: Read + std::io::Seek>(
    archive: &mut ZipArchive<R>,
    prefix: &str,
    file_length: u64,
) -> std::result::Result<HashMap<String, Entry>, String> {
    let mut entries = HashMap::new();
    let mut ranges = Vec::new();
    for number in 0..archive.len() {
        let entry = archive
            .by_index_raw(number)
            .map_err(|error| format!("entry {number}: {error}"))?;
        let Some(key) = entry
            .name()
            .strip_prefix(prefix)
            .and_then(|n| n.strip_prefix("data/"))
        else {
            continue;
        };
        let name = entry.name().to_owned();
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Err(format!(
                "{name}: found a compressed entry, expected it as `torch.save` writes it: unpack and save it anew"
            ));
        }
        let offset = entry
            .data_start()
            .ok_or_else(|| format!("{name}: found no data"))?;
        let length = entry.size();
        let end = offset.checked_add(length).filter(|end| *end <= file_length);
        let end = end.ok_or_else(|| {
            format!("{name}: found {length} bytes at offset {offset}, expected them to end at {file_length} at most")
        })?;
        ranges.push((offset, end, name));
        entries.insert(key.to_owned(), Entry { offset, length });
    }
    ranges.sort();
    match ranges.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        Some(pair) => Err(format!(
            "{}: found its data at offset {}, which also belongs to {}",
            pair[1].2, pair[1].0, pair[0].2
        )),
        None => Ok(entries),
    }
}

fn check_storages(
    pickle: &Pickle,
    entries: &HashMap<String, Entry>,
) -> std::result::Result<(), String> {
    for storage in &pickle.storages {
        let entry = entries
            .get(&storage.key)
            .ok_or_else(|| format!("found no entry `data/{}`, expected one", storage.key))?;
        let bytes = storage.elements.checked_mul(storage.dtype.size() as u64);
        if bytes.is_none_or(|bytes| bytes > entry.length) {
            return Err(format!(
                "data/{}: found {} bytes, expected {} elements of {}",
                storage.key, entry.length, storage.elements, storage.dtype
            ));
        }
    }
    Ok(())
}

/// The last element of the view lies in the storage.
fn check_view(view: &View, elements: u64) -> std::result::Result<(), String> {
    let found = || {
        format!(
            "found {:?} elements with steps {:?}, which the {elements} elements of its storage do not have",
            view.shape, view.strides
        )
    };
    byte_length(&view.shape, 8).ok_or_else(found)?;
    if view.shape.contains(&0) {
        return if view.offset <= elements {
            Ok(())
        } else {
            Err(found())
        };
    }
    let mut last = view.offset;
    for (&n, &stride) in view.shape.iter().zip(&view.strides) {
        let step = (n as u64 - 1).checked_mul(stride).ok_or_else(found)?;
        last = last.checked_add(step).ok_or_else(found)?;
    }
    match last < elements {
        true => Ok(()),
        false => Err(found()),
    }
}

/// Plain where the strides are those of contiguous elements; the stride of an axis of one element says nothing.
fn layout(view: &View) -> Layout {
    let mut expected = 1;
    for (&n, &stride) in view.shape.iter().zip(&view.strides).rev() {
        if n > 1 && stride != expected {
            return Layout::Strided(view.strides.clone());
        }
        expected *= (n as u64).max(1);
    }
    Layout::Plain
}
