//! Replies kept on disk, so that no question has to be paid for twice.
//!
//! One append-only file for each way of asking (model, sampling, system prompt): a judge reads what concerns it
//! and nothing else. A line is one JSON object with a checksum of its own; it is appended whole, under a lock. A file per
//! reply would need no lock, but a search of a few hundred trials makes a hundred thousand of them, which is hard on
//! shared file systems. A line that is torn or altered is passed over: the question is asked again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Names a request by its content and how often it was made before.
pub type Key = [u8; 32];

/// All replies that are known.
pub struct Replies {
    known: HashMap<Key, String>,
    file: Option<Journal>,
}

struct Journal {
    path: PathBuf,
    file: File,
    /// Everything before was read.
    read: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    reply: String,
    check: String,
}

impl Replies {
    /// Opens the file of that name in a folder, which is made if need be; without a folder nothing outlives the process.
    ///
    /// # Errors
    /// When it cannot be made, opened or read: names it.
    pub fn open(folder: Option<&Path>, name: &str) -> Result<Self, String> {
        let mut replies = Self::none();
        if let Some(folder) = folder {
            let path = folder.join(format!("{name}.jsonl"));
            let file = std::fs::create_dir_all(folder).and_then(|()| {
                let mut options = OpenOptions::new();
                options.read(true).append(true).create(true).open(&path)
            });
            let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
            replies.file = Some(Journal {
                path,
                file,
                read: 0,
            });
        }
        Ok(replies)
    }

    /// None, and no file.
    pub fn none() -> Self {
        Self {
            known: HashMap::new(),
            file: None,
        }
    }

    /// Where they are kept.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|journal| journal.path.as_path())
    }

    /// Reads what came to the file since the last time, from this process or another.
    ///
    /// # Errors
    /// When it cannot be read: names it.
    pub fn refresh(&mut self) -> Result<(), String> {
        let Some(journal) = &mut self.file else {
            return Ok(());
        };
        let bad = journal.read_new(&mut self.known);
        let bad = bad.map_err(|error| format!("{}: {error}", journal.path.display()))?;
        if bad > 0 {
            tracing::warn!(
                "{}: {bad} lines cannot be read and are passed over, their questions will be asked again",
                journal.path.display()
            );
        }
        Ok(())
    }

    /// The reply to a request, if it was made before.
    pub fn get(&self, key: &Key) -> Option<String> {
        self.known.get(key).cloned()
    }

    /// Keeps a reply.
    ///
    /// # Errors
    /// When it cannot be written: names the file.
    pub fn put(&mut self, key: Key, reply: &str) -> Result<(), String> {
        self.known.insert(key, reply.to_owned());
        let Some(journal) = &mut self.file else {
            return Ok(());
        };
        let written = journal.append(&key, reply);
        written.map_err(|error| format!("{}: {error}", journal.path.display()))
    }

    /// Sees to it that everything kept so far survives a power cut.
    ///
    /// # Errors
    /// When the disk refuses: names the file.
    pub fn sync(&self) -> Result<(), String> {
        let Some(journal) = &self.file else {
            return Ok(());
        };
        let synced = journal.file.sync_data();
        synced.map_err(|error| format!("{}: {error}", journal.path.display()))
    }
}

impl Journal {
    /// Returns how many lines cannot be read. An end without a newline may be a line that is being written: it waits.
    fn read_new(&mut self, known: &mut HashMap<Key, String>) -> io::Result<usize> {
        self.file.seek(SeekFrom::Start(self.read))?;
        let mut reader = BufReader::new(&self.file);
        let (mut bytes, mut bad) = (Vec::new(), 0);
        loop {
            bytes.clear();
            reader.read_until(b'\n', &mut bytes)?;
            if bytes.last() != Some(&b'\n') {
                return Ok(bad);
            }
            self.read += bytes.len() as u64;
            match parse(&bytes) {
                Some((key, reply)) => {
                    known.insert(key, reply);
                }
                None => bad += 1,
            }
        }
    }

    fn append(&mut self, key: &Key, reply: &str) -> io::Result<()> {
        let line = Line {
            key: hex(key),
            reply: reply.to_owned(),
            check: check(&hex(key), reply),
        };
        let mut line = serde_json::to_string(&line)?;
        line.push('\n');
        // Some file systems know no locks. There a line that two processes tear is passed over at reading.
        let locked = self.file.lock();
        let written = self.append_locked(line.as_bytes());
        if locked.is_ok() {
            self.file.unlock()?;
        }
        written
    }

    fn append_locked(&mut self, line: &[u8]) -> io::Result<()> {
        let end = self.file.seek(SeekFrom::End(0))?;
        if end > 0 {
            // A process that was killed may have left half a line: ours begins on one of its own.
            self.file.seek(SeekFrom::Start(end - 1))?;
            let mut last = [0];
            self.file.read_exact(&mut last)?;
            if last != [b'\n'] {
                self.file.write_all(b"\n")?;
            }
        }
        if end == self.read {
            self.read += line.len() as u64;
        }
        self.file.write_all(line)
    }
}

fn parse(bytes: &[u8]) -> Option<(Key, String)> {
    let line: Line = serde_json::from_slice(bytes).ok()?;
    if line.check != check(&line.key, &line.reply) {
        return None;
    }
    let key = blake3::Hash::from_hex(&line.key).ok()?;
    Some((*key.as_bytes(), line.reply))
}

fn check(key: &str, reply: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key.as_bytes()).update(reply.as_bytes());
    hasher.finalize().to_hex()[..16].to_owned()
}

fn hex(key: &Key) -> String {
    blake3::Hash::from_bytes(*key).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Replies {
        let mut replies = Replies::open(Some(folder), "x").unwrap();
        replies.refresh().unwrap();
        replies
    }

    #[test]
    fn what_one_process_keeps_another_finds() {
        let folder = tempfile::tempdir().unwrap();
        let (mut a, mut b) = (open(folder.path()), open(folder.path()));
        a.put([1; 32], "one\n\"two\"").unwrap();
        b.put([2; 32], "").unwrap();
        assert_eq!(b.get(&[1; 32]), None);
        b.refresh().unwrap();
        a.refresh().unwrap();
        for replies in [&a, &b, &open(folder.path())] {
            assert_eq!(replies.get(&[1; 32]).as_deref(), Some("one\n\"two\""));
            assert_eq!(replies.get(&[2; 32]).as_deref(), Some(""));
        }
    }

    #[test]
    fn many_writers_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8u8 {
                let folder = folder.path();
                scope.spawn(move || {
                    let mut replies = open(folder);
                    for n in 0..50u8 {
                        let mut key = [writer; 32];
                        key[0] = n;
                        replies.put(key, &"x".repeat(n.into())).unwrap();
                    }
                });
            }
        });
        assert_eq!(open(folder.path()).known.len(), 400);
    }

    #[test]
    fn torn_and_altered_lines_are_passed_over_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut replies = open(folder.path());
        for n in 0..3 {
            replies.put([n; 32], "seventy").unwrap();
        }
        let path = folder.path().join("x.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[1] = lines[1].replace("seventy", "eighty");
        lines[2].truncate(40);
        std::fs::write(&path, lines.join("\n")).unwrap();
        let mut replies = open(folder.path());
        assert_eq!(replies.known.len(), 1);
        // The torn end does not swallow the line that comes after it.
        replies.put([9; 32], "ninety").unwrap();
        let replies = open(folder.path());
        assert_eq!(replies.known.len(), 2);
        assert_eq!(replies.get(&[9; 32]).as_deref(), Some("ninety"));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let Err(message) = Replies::open(Some(&file), "x") else {
            panic!("a file is no folder");
        };
        assert!(message.contains("x.jsonl"), "{message}");
    }
}
