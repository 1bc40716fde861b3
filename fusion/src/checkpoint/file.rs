//! Files that are read at positions, and watched for changes.
#![expect(unsafe_code, reason = "mapping a file into memory")]

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use memmap2::Mmap;

use crate::error::{Error, Result};

/// An open file, with what it looked like when it was opened.
///
/// Headers are read into the reader's own buffer, weights where they lie, mapped into memory: that takes half the time. A
/// file that another program cuts short is an error for the first way and a signal (SIGBUS) for the second.
#[derive(Debug)]
pub struct WeightsFile {
    /// Where it lies.
    pub path: PathBuf,
    file: File,
    /// `None` where the system does not map it, or it is empty.
    map: Option<Arc<Mmap>>,
    stamp: Stamp,
}

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    /// Device and inode, where the system has them.
    identity: Option<(u64, u64)>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            Some((metadata.dev(), metadata.ino()))
        };
        #[cfg(not(unix))]
        let identity = None;
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            identity,
        }
    }
}

impl WeightsFile {
    /// Opens a regular file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let fault = |error| read_fault(path, &error);
        // Before it is opened: a pipe would wait for somebody to write.
        if !std::fs::metadata(path).map_err(fault)?.is_file() {
            return Err(Error::input(
                "checkpoint::file",
                path.display(),
                "found no regular file, expected one",
            ));
        }
        let file = File::open(path).map_err(fault)?;
        let metadata = file.metadata().map_err(fault)?;
        // SAFETY: the bytes are only ever numbers and headers that are checked, and no invariant of ours depends on their
        // staying the same. Should another program cut the file, reads fault (SIGBUS).
        let map = (metadata.len() > 0).then(|| unsafe { Mmap::map(&file) });
        Ok(Self {
            path: path.to_owned(),
            file,
            map: map.and_then(|map| Some(Arc::new(map.ok()?))),
            stamp: Stamp::of(&metadata),
        })
    }

    /// Its bytes when it was opened.
    pub fn length(&self) -> u64 {
        self.stamp.length
    }

    /// The whole file, mapped as long as somebody holds it; `None` where the system does not map it.
    pub fn map(&self) -> Option<&Arc<Mmap>> {
        self.map.as_ref()
    }

    /// What stands at a range, where it lies; `None` where the file is not mapped or ends before.
    pub fn view(&self, range: Range<u64>) -> Option<&[u8]> {
        let start = usize::try_from(range.start).ok()?;
        self.map
            .as_ref()?
            .get(start..usize::try_from(range.end).ok()?)
    }

    /// Gives back the pages that were read, which then costs nothing when it is unmapped; who reads them again gets them again.
    pub(crate) fn release(&self) {
        #[cfg(unix)]
        if let Some(map) = &self.map {
            // SAFETY: the map is shared with the file and never written: the same bytes come back from there.
            let released = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
            // Where it is not done here, it is done at the end.
            drop(released);
        }
    }

    /// Fills a buffer with what stands at an offset.
    ///
    /// # Errors
    /// When the system does not read, or the file ends before the buffer is full.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        read_exact_at(&self.file, offset, buffer).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.changed(format!(
                "found its end before offset {}, expected {} bytes",
                offset.saturating_add(buffer.len() as u64),
                self.stamp.length
            )),
            _ => read_fault(&self.path, &error),
        })
    }

    /// Whether the file still is what was opened: its length, its time of modification, and that the path still leads to it.
    ///
    /// # Errors
    /// When it changed.
    pub fn check_unchanged(&self) -> Result<()> {
        let now = std::fs::metadata(&self.path).map_err(|error| read_fault(&self.path, &error))?;
        let open = self
            .file
            .metadata()
            .map_err(|error| read_fault(&self.path, &error))?;
        for now in [Stamp::of(&now), Stamp::of(&open)] {
            if now.length != self.stamp.length {
                return Err(self.changed(format!(
                    "found {} bytes, expected {} as at the beginning",
                    now.length, self.stamp.length
                )));
            }
            if now != self.stamp {
                return Err(self.changed(
                    "found another file or another time of modification, expected those of the beginning"
                        .to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn changed(&self, what: String) -> Error {
        Error::input("checkpoint::changed", self.path.display(), what)
            .hint("it was changed while it was read: wait until whoever writes it has finished")
    }

    /// A reader of its own from the beginning on.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader {
            file: self,
            position: 0,
        }
    }
}

fn read_fault(path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::input(
            "checkpoint::missing",
            path.display(),
            "found nothing there, expected a checkpoint",
        ),
        _ => Error::io("checkpoint::read", path, error),
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut offset: u64, mut buffer: &mut [u8]) -> std::io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !buffer.is_empty() {
        let read = file.seek_read(buffer, offset)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[read..];
        offset += read as u64;
    }
    Ok(())
}

/// Reads a file through positioned reads, for parsers that want a stream.
pub(crate) struct Reader<'a> {
    file: &'a WeightsFile,
    position: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.file.length().saturating_sub(self.position);
        let count = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        read_exact_at(&self.file.file, self.position, &mut buffer[..count])?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(by) => self.file.length().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
