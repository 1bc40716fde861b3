//! Append-only files of JSON lines, each with a key, a value and a checksum. What is appended is on disk.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use fs4::FileExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::crash;
use super::file::sync_folder;
use crate::diagnostics::Failure;
use crate::timing::Spent;

/// An open file. One process at a time has it open.
pub struct Lines {
    path: PathBuf,
    file: File,
    count: u64,
}

/// One line.
#[derive(Serialize, Deserialize)]
pub struct Line {
    seq: u64,
    /// What the value is.
    pub key: String,
    /// The value.
    pub value: Value,
    /// Time since the line before, where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
}

impl Lines {
    /// Opens a file, or makes it, and reads its lines. A torn last line is removed.
    ///
    /// # Errors
    /// When it is no such file, was changed by others, or another process has it open.
    pub fn open(path: &Path) -> Result<(Self, Vec<Line>), Failure> {
        let fault = |error: std::io::Error| Failure::io("journal::open", path, &error);
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)
            .map_err(fault)?;
        if FileExt::try_lock(&file).is_err() {
            let message = "found another process at work on this journal";
            return Err(Failure::input("journal::locked", path.display(), message)
                .hint("wait for it to end, or name another file"));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fault)?;
        let (lines, whole) = parse(path, &bytes)?;
        if whole < bytes.len() {
            tracing::warn!(
                "{}: dropped a torn last line of {} bytes",
                path.display(),
                bytes.len() - whole
            );
            file.set_len(whole as u64)
                .and_then(|()| file.sync_all())
                .map_err(fault)?;
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        sync_folder(folder.unwrap_or(Path::new("."))).map_err(fault)?;
        let count = lines.len() as u64;
        let path = path.to_owned();
        Ok((Self { path, file, count }, lines))
    }

    /// Appends a line; it is on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written: then the file is as before.
    pub fn append(
        &mut self,
        key: &str,
        value: &Value,
        spent: Option<Spent>,
    ) -> Result<(), Failure> {
        let line = Line {
            seq: self.count,
            key: key.to_owned(),
            value: value.clone(),
            spent,
        };
        let text = format_line(&line);
        let before = self.file.metadata().map(|metadata| metadata.len());
        let append = |file: &mut File| -> std::io::Result<()> {
            file.write_all(text.as_bytes())?;
            crash::point();
            file.sync_data()
        };
        if let Err(error) = append(&mut self.file) {
            // A half-written line is taken back, so that what was recorded stays readable; a reader would drop it too.
            if let Ok(length) = before {
                let _ = self.file.set_len(length);
            }
            return Err(Failure::io("journal::write", &self.path, &error));
        }
        crash::point();
        self.count += 1;
        Ok(())
    }
}

/// What every line begins with.
const START: &[u8] = b"{\"sum\":\"";

/// `{"sum": "<16 digits>", "line": {...}}`: the checksum is over the exact text of `line`.
fn format_line(line: &Line) -> String {
    let text = serde_json::to_string(line).expect("keys are strings and values are JSON");
    format!("{{\"sum\":\"{}\",\"line\":{text}}}\n", checksum(&text))
}

fn checksum(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

/// All whole lines, and how many bytes they take. The last line may be torn; any other fault is an error.
fn parse(path: &Path, bytes: &[u8]) -> Result<(Vec<Line>, usize), Failure> {
    let fault = |lines: usize, what: String| {
        let place = format!("{}:{}", path.display(), lines + 1);
        Failure::input("journal::corrupt", place, what)
            .hint("the file is no journal, or was changed after it was written: start anew")
    };
    let (mut lines, mut whole) = (Vec::new(), 0);
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let line = parse_line(&rest[..end], lines.len() as u64)
            .map_err(|what| fault(lines.len(), what))?;
        lines.push(line);
        whole += end + 1;
        rest = &rest[end + 1..];
    }
    // Only what can be the beginning of a line is dropped (after a power cut it may read as zeros): nobody's file is emptied.
    let begins = rest.iter().zip(START).all(|(a, b)| a == b);
    if !begins && rest.iter().any(|&byte| byte != 0) {
        return Err(fault(lines.len(), "found no journal line".to_owned()));
    }
    Ok((lines, whole))
}

fn parse_line(bytes: &[u8], expected: u64) -> Result<Line, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let inner = text
        .strip_prefix("{\"sum\":\"")
        .and_then(|rest| rest.split_at_checked(16))
        .and_then(|(sum, rest)| Some((sum, rest.strip_prefix("\",\"line\":")?.strip_suffix('}')?)));
    let (sum, inner) = inner.ok_or("found no journal line")?;
    if checksum(inner) != sum {
        return Err("found a line that does not match its checksum".to_owned());
    }
    let line: Line = serde_json::from_str(inner).map_err(|error| error.to_string())?;
    if line.seq != expected {
        return Err(format!(
            "found line number {}, expected {expected}",
            line.seq
        ));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_journal_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("space.yaml");
        for text in ["seed: 1", "seed: 1\n", "{\"a\": 1}"] {
            std::fs::write(&path, text).unwrap();
            let opened = Lines::open(&path);
            assert_eq!(opened.err().unwrap().code, "journal::corrupt", "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_second_opening_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let first = Lines::open(&path).unwrap();
        assert_eq!(Lines::open(&path).err().unwrap().code, "journal::locked");
        drop(first);
        assert!(Lines::open(&path).is_ok());
    }
}
