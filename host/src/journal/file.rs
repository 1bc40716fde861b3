//! Files that appear whole or not at all: temporary name in the same folder, synced, renamed, folder synced.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use bomf_plugin_api::Tensor;
use serde_json::{Map, Value, json};

use super::crash;
use crate::diagnostics::Failure;

/// The ending of files that are not finished; those left behind by a killed process are removed at resume.
pub const UNFINISHED: &str = "unfinished";

/// Writes a file through `write`, whole or not at all.
pub fn write_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), Failure> {
    let fault = |error: std::io::Error| Failure::io("file::write", path, &error);
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(fault)?;
    let temporary = temporary(path);
    let written = (|| {
        let mut buffered = BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
        write(&mut buffered)?;
        buffered.flush()?;
        buffered.get_ref().sync_all()?;
        crash::point();
        fs::rename(&temporary, path)?;
        sync_folder(folder)
    })();
    crash::point();
    written.map_err(|error| {
        // Best effort: the error that matters is the first one.
        let _ = fs::remove_file(&temporary);
        fault(error)
    })
}

/// Writes bytes, whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_with(path, |to| to.write_all(bytes))
}

/// Writes a value as indented JSON, whole or not at all.
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), Failure> {
    write_with(path, |to| {
        serde_json::to_writer_pretty(&mut *to, value)?;
        to.write_all(b"\n")
    })
}

/// Key of the note in a safetensors file's metadata.
pub const NOTE: &str = "bomf";

/// Writes tensors as a safetensors file straight from where they lie, with a note in the metadata.
///
/// The layout is that of safetensors 0.8: eight bytes of header length, JSON padded to a multiple of eight, data. Data is
/// in the order given, which readers must accept.
pub fn write_tensors(path: &Path, tensors: &[Tensor], note: Option<&Value>) -> Result<(), Failure> {
    let mut header = Map::new();
    // What `transformers` writes and asks for.
    let mut metadata = json!({"format": "pt"});
    if let Some(note) = note {
        metadata[NOTE] = Value::String(note.to_string());
    }
    header.insert("__metadata__".to_owned(), metadata);
    let mut offset = 0;
    for tensor in tensors {
        let end = offset + tensor.data().len();
        let spec = tensor.spec();
        let entry = json!({
            "dtype": spec.dtype.name(), "shape": spec.shape, "data_offsets": [offset, end],
        });
        header.insert(spec.name.clone(), entry);
        offset = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    write_with(path, |to| {
        to.write_all(&(header.len() as u64).to_le_bytes())?;
        to.write_all(&header)?;
        tensors
            .iter()
            .try_for_each(|tensor| to.write_all(tensor.data()))
    })
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(UNFINISHED);
    PathBuf::from(name)
}

/// Makes a rename or a new entry survive a power cut, where the system can.
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Removes unfinished files below a folder.
pub fn remove_unfinished(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_unfinished(&path)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == UNFINISHED)
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_read_back_by_the_reference_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/w.safetensors");
        let tensors = [
            Tensor::from_f32("b", &[2], &[1.0, 2.0]).unwrap(),
            Tensor::from_f32("a", &[1, 1], &[3.0]).unwrap(),
        ];
        write_tensors(&path, &tensors, Some(&json!({"step": 3}))).unwrap();
        let bytes = fs::read(&path).unwrap();
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(read.tensor("a").unwrap().data(), 3f32.to_le_bytes());
        assert_eq!(read.tensor("b").unwrap().shape(), [2]);
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().as_ref().unwrap();
        assert_eq!(metadata[NOTE], r#"{"step":3}"#);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&path, b"old").unwrap();
        let failed = write_with(&path, |to| {
            to.write_all(b"half")?;
            Err(std::io::Error::other("no more"))
        });
        assert!(failed.unwrap_err().message.contains("no more"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
