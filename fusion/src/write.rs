//! A folder with safetensors files that appears whole or not at all.
//!
//! Everything is written into `<folder>.unfinished`, synced, and renamed at the very end. What a killed process leaves there
//! is cleared away by the next one, which knows it by a file in it; a lock keeps two of them apart. Where each tensor goes is
//! known before the first is written, so that any thread may write any part of any tensor.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::dtype::{Dtype, byte_length};
use crate::error::{Error, Result};

/// Bytes per file where nothing else is said, as in `transformers`.
pub const SHARD_SIZE: u64 = 5_000_000_000;

/// The entry of a header that is no tensor.
const METADATA: &str = "__metadata__";

/// The file by which a folder in the making is known.
const LOCK: &str = "lock";

/// A tensor to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Elements per axis.
    pub shape: Vec<usize>,
}

impl Spec {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Which tensor goes where.
#[derive(Debug)]
pub struct Layout {
    files: Vec<Planned>,
    /// File and offset of each tensor.
    places: Vec<(usize, u64)>,
    index: Option<(String, Value)>,
}

#[derive(Debug)]
struct Planned {
    name: String,
    header: Vec<u8>,
}

impl Layout {
    /// Places tensors into files called after `stem` of at most `shard_size` bytes of data each; a larger tensor has one of
    /// its own. Aliases (alias, name) are noted in the metadata, as `safetensors.torch.save_model` does.
    ///
    /// # Errors
    /// When a tensor has more bytes than numbers can say.
    pub fn new(
        specs: &[Spec],
        aliases: &BTreeMap<String, String>,
        stem: &str,
        shard_size: u64,
    ) -> Result<Self> {
        // 1. Into files, in the order given.
        let mut shards: Vec<Vec<usize>> = vec![Vec::new()];
        let (mut filled, mut total) = (0u64, 0u64);
        let mut lengths = Vec::with_capacity(specs.len());
        for (number, spec) in specs.iter().enumerate() {
            if spec.name == METADATA {
                let place = format!("tensor `{METADATA}`");
                let what = "found a name that means something else in a safetensors file, expected another";
                return Err(Error::input("write::name", place, what));
            }
            let length = byte_length(&spec.shape, spec.dtype.size());
            let (length, sum) = length
                .and_then(|length| Some((length, total.checked_add(length)?)))
                .ok_or_else(|| {
                    Error::input(
                        "write::size",
                        format!("tensor `{}`", spec.name),
                        "found too many bytes",
                    )
                })?;
            total = sum;
            lengths.push(length);
            if filled > 0 && filled.saturating_add(length) > shard_size {
                shards.push(Vec::new());
                filled = 0;
            }
            filled = filled.saturating_add(length);
            shards
                .last_mut()
                .expect("there is one from the start")
                .push(number);
        }
        // 2. In each file, the widest elements first: then all of them are aligned.
        let count = shards.len();
        let mut layout = Self {
            files: Vec::with_capacity(count),
            places: vec![(0, 0); specs.len()],
            index: None,
        };
        let mut weight_map = Map::new();
        for (file, mut shard) in shards.into_iter().enumerate() {
            shard.sort_by_key(|&number| std::cmp::Reverse(specs[number].dtype.size()));
            let name = match count {
                1 => format!("{stem}.safetensors"),
                _ => format!("{stem}-{:05}-of-{count:05}.safetensors", file + 1),
            };
            let header = header(specs, &lengths, &shard, aliases);
            let mut offset = header.len() as u64;
            for number in shard {
                layout.places[number] = (file, offset);
                offset += lengths[number];
                weight_map.insert(specs[number].name.clone(), Value::String(name.clone()));
            }
            layout.files.push(Planned { name, header });
        }
        // 3. An index, where there are several.
        if count > 1 {
            let index = json!({"metadata": {"total_size": total}, "weight_map": weight_map});
            layout.index = Some((format!("{stem}.safetensors.index.json"), index));
        }
        Ok(layout)
    }
}

/// Eight bytes of length, and JSON padded to a multiple of eight.
fn header(
    specs: &[Spec],
    lengths: &[u64],
    shard: &[usize],
    aliases: &BTreeMap<String, String>,
) -> Vec<u8> {
    let mut metadata = Map::new();
    metadata.insert("format".to_owned(), "pt".into());
    let names: HashSet<&String> = shard.iter().map(|&number| &specs[number].name).collect();
    for (alias, name) in aliases {
        if names.contains(name) {
            metadata.insert(alias.clone(), name.as_str().into());
        }
    }
    let mut entries = Map::new();
    entries.insert(METADATA.to_owned(), metadata.into());
    let mut offset = 0;
    for &number in shard {
        let (spec, end) = (&specs[number], offset + lengths[number]);
        let entry =
            json!({"dtype": spec.dtype.name(), "shape": spec.shape, "data_offsets": [offset, end]});
        entries.insert(spec.name.clone(), entry);
        offset = end;
    }
    let mut json = Value::Object(entries).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    header
}

/// A folder in the making. Dropped before [`Folder::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct Folder {
    out: PathBuf,
    unfinished: PathBuf,
    lock: Option<File>,
    has_its_name: bool,
}

impl Folder {
    /// Begins a folder, which must not be there yet or be empty.
    ///
    /// # Errors
    /// When something is there, another process is writing it, or the system refuses.
    pub fn begin(out: &Path) -> Result<Self> {
        // Without a `/` at its end.
        let out: PathBuf = out.components().collect();
        let Some(name) = out.file_name() else {
            let what = "found a path without a name of its own, expected the name of a new folder";
            return Err(Error::input("write::name", out.display(), what));
        };
        let mut unfinished = name.to_owned();
        unfinished.push(".unfinished");
        let unfinished = out.with_file_name(unfinished);
        loop {
            check_empty(&out)?;
            if let Some(lock) = lock(&unfinished)? {
                let folder = Self {
                    out,
                    unfinished,
                    lock: Some(lock),
                    has_its_name: false,
                };
                // Another process may have finished since.
                return check_empty(&folder.out).map(|()| folder);
            }
        }
    }

    /// Writes a small file into it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.unfinished.join(name);
        let written = File::create(&path).and_then(|mut file| {
            std::io::Write::write_all(&mut file, bytes)?;
            file.sync_all()
        });
        written.map_err(|error| Error::io("write::file", &path, &error))
    }

    /// Begins the files of a layout.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn shards<'a>(&'a self, layout: &'a Layout) -> Result<Shards<'a>> {
        let files = layout.files.iter().map(|planned| {
            let path = self.unfinished.join(&planned.name);
            let created = File::create(&path).and_then(|file| {
                write_all_at(&file, 0, &planned.header)?;
                Ok(file)
            });
            match created {
                Ok(file) => Ok((path, file)),
                Err(error) => Err(Error::io("write::file", &path, &error)),
            }
        });
        Ok(Shards {
            folder: self,
            layout,
            files: files.collect::<Result<_>>()?,
        })
    }

    /// Gives it its name, once all that is in it is on disk.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn finish(mut self) -> Result<()> {
        // Elsewhere no folder with an open file in it is renamed.
        #[cfg(not(unix))]
        drop(self.lock.take());
        let finished = fs::remove_file(self.unfinished.join(LOCK))
            .and_then(|()| sync_folder(&self.unfinished))
            .and_then(|()| fs::rename(&self.unfinished, &self.out));
        finished.map_err(|error| Error::io("write::folder", &self.out, &error))?;
        self.has_its_name = true;
        // Held until here: nobody takes what has no name yet for what a killed process left behind.
        drop(self.lock.take());
        let parent = match self.out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        sync_folder(parent).map_err(|error| Error::io("write::folder", parent, &error))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.has_its_name {
            // After an error, that error is the one that matters.
            let _ = fs::remove_dir_all(&self.unfinished);
        }
    }
}

fn check_empty(out: &Path) -> Result<()> {
    match fs::read_dir(out).map_or(out.exists(), |mut entries| entries.next().is_some()) {
        false => Ok(()),
        true => Err(Error::input(
            "write::exists",
            out.display(),
            "found something there, expected an empty place",
        )
        .hint("nothing is overwritten: name another folder with `--out`, or move this one away")),
    }
}

/// Makes a folder, locks it, and clears away what a killed process left in it; `None` if it was gone before it was locked.
fn lock(unfinished: &Path) -> Result<Option<File>> {
    let fault = |error: std::io::Error| Error::io("write::folder", unfinished, &error);
    // 1. A folder that is new, or known to be left behind.
    if let Some(parent) = unfinished.parent() {
        fs::create_dir_all(parent).map_err(fault)?;
    }
    match fs::create_dir(unfinished) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(fault(error)),
    }
    let marked = unfinished.join(LOCK);
    let has_entries = fs::read_dir(unfinished).is_ok_and(|mut entries| entries.next().is_some());
    if has_entries && !marked.exists() && unfinished.exists() {
        let what = "found files that no fusion left there, expected nothing of that name";
        return Err(Error::input("write::unfinished", unfinished.display(), what)
            .hint("what is written is gathered there: name another folder with `--out`, or move this one away"));
    }
    // 2. The folder itself is what is locked, where the system can: it keeps its lock until after it has its name.
    let opened = match cfg!(unix) {
        true => File::open(unfinished),
        false => File::create(&marked),
    };
    let lock = match opened {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    match lock.try_lock() {
        Ok(()) if !is_at(&lock, unfinished) => return Ok(None),
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Error::input(
                "write::locked",
                unfinished.display(),
                "found it locked: another process is writing there",
            )
            .hint("wait for it, or name another folder with `--out`"));
        }
        Err(TryLockError::Error(error)) => return Err(fault(error)),
    }
    // 3. What is left in it. Elsewhere the mark is what was locked.
    if cfg!(unix) {
        File::create(&marked).map_err(fault)?;
    }
    for entry in fs::read_dir(unfinished).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        if entry.file_name() != LOCK {
            fs::remove_file(entry.path()).map_err(fault)?;
        }
    }
    Ok(Some(lock))
}

/// Whether a path still leads to an open folder.
#[cfg(unix)]
fn is_at(open: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let found = fs::metadata(path).map(identity);
    found.is_ok_and(|found| open.metadata().is_ok_and(|open| identity(open) == found))
}

#[cfg(not(unix))]
fn is_at(_open: &File, _path: &Path) -> bool {
    true
}

/// The weights' files in the making.
#[derive(Debug)]
pub struct Shards<'a> {
    folder: &'a Folder,
    layout: &'a Layout,
    files: Vec<(PathBuf, File)>,
}

impl Shards<'_> {
    /// Writes a part of a tensor that begins so many bytes behind its beginning; from any thread.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&self, tensor: usize, start: u64, bytes: &[u8]) -> Result<()> {
        let (file, offset) = self.layout.places[tensor];
        let (path, file) = &self.files[file];
        write_all_at(file, offset + start, bytes)
            .map_err(|error| Error::io("write::file", path, &error))
    }

    /// Brings to disk what was written so far.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn flush(&self) -> Result<()> {
        self.files.iter().try_for_each(|(path, file)| {
            file.sync_data()
                .map_err(|error| Error::io("write::file", path, &error))
        })
    }

    /// Sees that all is on disk, and writes the index, where there is one.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn finish(self) -> Result<()> {
        for (path, file) in &self.files {
            file.sync_all()
                .map_err(|error| Error::io("write::file", path, &error))?;
        }
        match &self.layout.index {
            Some((name, index)) => self.folder.write(name, format!("{index:#}\n").as_bytes()),
            None => Ok(()),
        }
    }
}

#[cfg(unix)]
fn write_all_at(file: &File, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut offset: u64, mut bytes: &[u8]) -> std::io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        let written = file.seek_write(bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

/// Makes new entries of a folder survive a power cut, where the system can.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}
