//! The run folder and its journal: every finished piece of work is on disk before the next one starts.
//!
//! `journal.jsonl` holds [`lines`]. Resuming is a replay: a piece of work whose key is in the journal is not done again.

pub mod crash;
pub mod file;
pub mod lines;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bomf_plugin_api::Tensor;
use fs4::FileExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::diagnostics::Failure;
use crate::timing::{Spent, Timing};
use lines::Lines;

/// Where runs lie that are not told where.
pub const RUNS: &str = "runs";
/// A file that every run has.
pub const JOURNAL: &str = "journal.jsonl";
/// A file that a run has when it has come to its end.
pub const REPORT: &str = "report.json";
const LOCK: &str = "lock";

/// An open run folder. One process at a time has it open.
pub struct Journal {
    folder: PathBuf,
    state: RefCell<State>,
    timing: Timing,
    // Held until the journal is dropped; the system releases it when the process dies.
    _lock: File,
}

struct State {
    lines: Lines,
    entries: HashMap<String, Value>,
    /// Time that the lines so far account for.
    recorded: Spent,
}

impl Journal {
    /// Makes a new run folder.
    ///
    /// # Errors
    /// When there is a run in the folder already, or it cannot be written.
    pub fn create(folder: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(folder)
            .map_err(|error| Failure::io("journal::create", folder, &error))?;
        let lock = lock(folder)?;
        let path = folder.join(JOURNAL);
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 0) {
            return Err(Failure::input(
                "journal::exists",
                folder.display(),
                "found a run in this folder already",
            )
            .hint("go on with it by `--resume`, or name another folder with `--out`"));
        }
        Self::open_file(folder, lock)
    }

    /// Opens the run folder of an interrupted run. A torn last line and unfinished files are removed.
    ///
    /// # Errors
    /// When there is no run, another process has it open, or the journal is corrupt.
    pub fn reopen(folder: &Path) -> Result<Self, Failure> {
        if !folder.join(JOURNAL).is_file() {
            return Err(Failure::input(
                "journal::missing",
                folder.display(),
                "found no run in this folder",
            )
            .hint("start one without `--resume`"));
        }
        let lock = lock(folder)?;
        file::remove_unfinished(folder)
            .map_err(|error| Failure::io("journal::open", folder, &error))?;
        Self::open_file(folder, lock)
    }

    fn open_file(folder: &Path, lock: File) -> Result<Self, Failure> {
        let path = folder.join(JOURNAL);
        let (lines, read) = Lines::open(&path)?;
        let mut recorded = Spent::default();
        read.iter()
            .flat_map(|line| &line.spent)
            .for_each(|spent| recorded.add(spent));
        let timing = Timing::after(recorded.clone());
        let state = State {
            lines,
            recorded,
            entries: read
                .into_iter()
                .map(|line| (line.key, line.value))
                .collect(),
        };
        Ok(Self {
            folder: folder.to_owned(),
            state: RefCell::new(state),
            timing,
            _lock: lock,
        })
    }

    /// The run folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The clock of the run: of all processes that worked on it, without work that was lost.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// What was recorded under a key.
    pub fn find<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Failure> {
        let state = self.state.borrow();
        let value = state.entries.get(key).map(|value| T::deserialize(value));
        value.transpose().map_err(|error| {
            Failure::run(
                "journal::value",
                self.folder.join(JOURNAL).display(),
                format!("`{key}`: {error}"),
            )
            .hint("the run was made by another version of bomf: start it anew")
        })
    }

    /// Records a finished piece of work; it is on disk when this returns.
    pub fn record(&self, key: &str, value: &impl Serialize) -> Result<(), Failure> {
        let path = self.folder.join(JOURNAL);
        let value = serde_json::to_value(value).map_err(|error| {
            Failure::run(
                "journal::value",
                path.display(),
                format!("`{key}`: {error}"),
            )
        })?;
        let state = &mut *self.state.borrow_mut();
        let spent = self.timing.spent();
        let since = spent.since(&state.recorded);
        state.lines.append(key, &value, Some(since))?;
        state.recorded = spent;
        state.entries.insert(key.to_owned(), value);
        Ok(())
    }

    /// The recorded result of a piece of work, or its result after doing and recording it now.
    pub fn once<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Some(done) = self.find(key)? {
            return Ok(done);
        }
        let result = work()?;
        self.record(key, &result)?;
        Ok(result)
    }

    /// As [`Journal::once`], for results too large for a line: they go to `<key>.json`, whose digest is recorded. A file
    /// that is missing or was changed is made anew.
    pub fn once_in_file<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let path = self.folder.join(format!("{key}.json"));
        if let Some(digest) = self.find::<String>(key)? {
            let bytes = fs::read(&path).unwrap_or_default();
            if blake3::hash(&bytes).to_hex().as_str() == digest
                && let Ok(value) = serde_json::from_slice(&bytes)
            {
                return Ok(value);
            }
            tracing::warn!(
                "{}: missing or changed since it was written, made anew",
                path.display()
            );
        }
        let result = work()?;
        let bytes = serde_json::to_vec(&result)
            .map_err(|error| Failure::run("journal::value", path.display(), error.to_string()))?;
        file::write(&path, &bytes)?;
        self.record(key, &blake3::hash(&bytes).to_hex().as_str())?;
        Ok(result)
    }

    /// Writes tensors to a file of the run folder, whole or not at all.
    pub fn write_tensors(
        &self,
        path: &Path,
        tensors: &[Tensor],
        note: Option<&Value>,
    ) -> Result<(), Failure> {
        file::write_tensors(&self.folder.join(path), tensors, note)
    }

    /// Removes a file of the run folder that is not needed any more, if it is there.
    pub fn forget_file(&self, path: &Path) -> Result<(), Failure> {
        let path = self.folder.join(path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::io("file::remove", &path, &error))
            }
            _ => Ok(()),
        }
    }

    /// Removes a folder of the run folder that is not needed any more, if it is there.
    pub fn forget_folder(&self, path: &Path) -> Result<(), Failure> {
        let path = self.folder.join(path);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::io("file::remove", &path, &error))
            }
            _ => Ok(()),
        }
    }
}

/// Takes a lock, with a little patience: a program that this process has just started, for one that has just let go, holds all
/// locks for the instant until it has become another program.
fn is_taken(file: &File) -> bool {
    (0..10).any(|attempt| {
        if attempt > 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        FileExt::try_lock(file).is_ok()
    })
}

/// Takes the folder for this process.
fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join(LOCK);
    let fault = |error: std::io::Error| Failure::io("journal::lock", &path, &error);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(fault)?;
    if !is_taken(&file) {
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        return Err(Failure::input(
            "journal::locked",
            folder.display(),
            format!(
                "found another process at work on this run ({})",
                holder.trim()
            ),
        )
        .hint("wait for it to end, or name another folder with `--out`"));
    }
    file.set_len(0).map_err(fault)?;
    file.write_all(format!("process {}\n", std::process::id()).as_bytes())
        .map_err(fault)?;
    Ok(file)
}

/// The last run of that name, by the time in its folder's name, that has got so far as to have a file.
///
/// # Errors
/// When there is none.
pub fn last(runs: &Path, name: &str, file: &str) -> Result<PathBuf, Failure> {
    let prefix = format!("{name}-");
    let entries = std::fs::read_dir(runs)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let folders = entries.map(|entry| entry.path()).filter(|path| {
        let time = path
            .file_name()
            .and_then(|file| file.to_str())
            .and_then(|file| file.strip_prefix(&prefix));
        time.is_some_and(|time| time.len() == 15 && path.join(file).is_file())
    });
    folders.max().ok_or_else(|| {
        Failure::input(
            "run::none",
            runs.display(),
            format!("found no run named `{name}`"),
        )
        .hint("name its folder with `--out`, or start one without `--resume`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::Category;

    #[test]
    fn finished_work_is_not_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(folder.path()).unwrap();
        let value: f64 = 0.1 + 0.2;
        assert_eq!(journal.once("a", || Ok(value)).unwrap(), value);
        drop(journal);
        let journal = Journal::reopen(folder.path()).unwrap();
        let again: f64 = journal.once("a", || panic!("done already")).unwrap();
        assert_eq!(again.to_bits(), value.to_bits());
    }

    #[test]
    fn a_torn_last_line_is_dropped_at_any_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JOURNAL);
        let journal = Journal::create(folder.path()).unwrap();
        journal.record("a", &1).unwrap();
        let first = fs::metadata(&path).unwrap().len();
        journal.record("b", &"ü").unwrap();
        drop(journal);
        let whole = fs::read(&path).unwrap();
        for length in first..whole.len() as u64 {
            fs::write(&path, &whole[..length as usize]).unwrap();
            let journal = Journal::reopen(folder.path()).unwrap();
            assert_eq!(journal.find::<i32>("a").unwrap(), Some(1));
            assert_eq!(journal.find::<String>("b").unwrap(), None);
            journal.record("b", &"ü").unwrap();
            drop(journal);
            let journal = Journal::reopen(folder.path()).unwrap();
            assert_eq!(journal.find::<String>("b").unwrap().as_deref(), Some("ü"));
        }
    }

    #[test]
    fn a_changed_line_in_the_middle_is_an_error_with_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JOURNAL);
        let journal = Journal::create(folder.path()).unwrap();
        journal.record("a", &1).unwrap();
        journal.record("b", &2).unwrap();
        journal.record("c", &3).unwrap();
        drop(journal);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"value\":2,", "\"value\":7,")).unwrap();
        let failure = Journal::reopen(folder.path()).err().unwrap();
        assert_eq!(failure.code, "journal::corrupt");
        assert!(
            failure.place.ends_with("journal.jsonl:2"),
            "{}",
            failure.place
        );
    }

    #[test]
    fn a_second_process_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(folder.path()).unwrap();
        journal.record("a", &1).unwrap();
        assert_eq!(
            Journal::reopen(folder.path()).err().unwrap().code,
            "journal::locked"
        );
        drop(journal);
        assert_eq!(
            Journal::create(folder.path()).err().unwrap().code,
            "journal::exists"
        );
        assert!(Journal::reopen(folder.path()).is_ok());
    }

    #[test]
    fn time_is_summed_over_the_processes_of_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let work = |journal: &Journal, key: &str| {
            let slept = std::time::Duration::from_millis(20);
            let timing = journal.timing();
            timing.measure(Category::Fusion, || std::thread::sleep(slept));
            journal.record(key, &()).unwrap();
            // Not recorded, and so lost.
            timing.measure(Category::Metrics, || std::thread::sleep(slept));
        };
        let journal = Journal::create(folder.path()).unwrap();
        work(&journal, "a");
        drop(journal);
        let journal = Journal::reopen(folder.path()).unwrap();
        work(&journal, "b");
        drop(journal);
        let spent = Journal::reopen(folder.path()).unwrap().timing().spent();
        assert!(spent.on[&Category::Fusion] >= 0.04, "{spent:?}");
        assert!(!spent.on.contains_key(&Category::Metrics), "{spent:?}");
        assert!(spent.wall >= 0.04, "{spent:?}");
    }

    #[test]
    fn a_changed_result_file_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(folder.path()).unwrap();
        let make = |value: i32| journal.once_in_file("test/x", || Ok(vec![value])).unwrap();
        assert_eq!(make(1), [1]);
        assert_eq!(make(2), [1]);
        fs::write(folder.path().join("test/x.json"), "[9]").unwrap();
        assert_eq!(make(3), [3]);
    }
}
