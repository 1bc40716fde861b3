//! Progress on long work: bars on a terminal, plain lines without one, JSON lines for programs. All on standard error.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Bars on a terminal, plain lines elsewhere.
    Human,
    /// One JSON object per line.
    Json,
    /// Not at all.
    Quiet,
}

/// Plain lines of one stage come at most this often.
const EVERY: Duration = Duration::from_secs(5);

/// Where stages show how far they are.
#[derive(Clone)]
pub struct Progress {
    style: Style,
    bars: MultiProgress,
    terminal: bool,
    log: Arc<Mutex<Log>>,
}

/// Everything that was said, for the run folder.
enum Log {
    /// There is no run folder yet.
    Waiting(Vec<String>),
    /// Its log.txt.
    Open(File),
}

/// A stage in progress.
pub struct Stage<'a> {
    progress: &'a Progress,
    name: String,
    total: u64,
    bar: ProgressBar,
    state: RefCell<State>,
}

struct State {
    done: u64,
    started: Instant,
    said: Option<Instant>,
}

impl Progress {
    /// Progress on standard error.
    pub fn new(style: Style) -> Self {
        let terminal = style == Style::Human && std::io::stderr().is_terminal();
        let target = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            style,
            bars: MultiProgress::with_draw_target(target),
            terminal,
            log: Arc::new(Mutex::new(Log::Waiting(Vec::new()))),
        }
    }

    /// From now on everything goes to this file too, after what was said already.
    ///
    /// # Errors
    /// When the file cannot be opened or written.
    pub fn log_to(&self, path: &Path) -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let log = &mut *self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Log::Waiting(lines) = log {
            file.write_all(lines.concat().as_bytes())?;
        }
        *log = Log::Open(file);
        Ok(())
    }

    /// Writes a line to the log alone.
    pub fn record(&self, line: &str) {
        let line = format!("{} {line}\n", now());
        match &mut *self.log.lock().unwrap_or_else(PoisonError::into_inner) {
            Log::Waiting(lines) => lines.push(line),
            // A log that cannot be written is no reason to end a run: what must be written says so itself.
            Log::Open(file) => drop(file.write_all(line.as_bytes())),
        }
    }

    /// Begins a stage of so many steps.
    pub fn stage(&self, name: &str, total: u64) -> Stage<'_> {
        let bar = self.bars.add(ProgressBar::new(total));
        let template =
            "{prefix:>18} {bar:24} {pos:>3}/{len:<3} {elapsed:>4} left {eta:<4} {wide_msg}";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well-formed"));
        bar.set_prefix(name.to_owned());
        if self.terminal {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        let state = State {
            done: 0,
            started: Instant::now(),
            said: None,
        };
        Stage {
            progress: self,
            name: name.to_owned(),
            total,
            bar,
            state: RefCell::new(state),
        }
    }

    /// Says one thing; to the log alone if the user wants quiet.
    pub fn say(&self, line: &str) {
        match self.style {
            Style::Quiet => self.record(line),
            _ => self.insist(line),
        }
    }

    /// Says one thing, even to those who want quiet.
    pub fn insist(&self, line: &str) {
        self.record(line);
        if self.style == Style::Json {
            write_line(&json!({"event": "message", "message": line}).to_string());
        } else if self.terminal {
            // Fails only when standard error is gone.
            let _ = self.bars.println(line);
        } else {
            write_line(line);
        }
    }
}

/// Now in UTC, as `2026-01-31T23:59:59.999999Z`.
pub fn now() -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

fn write_line(line: &str) {
    // Fails only when standard error is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
}

impl Stage<'_> {
    /// So many steps more are done; `message` says what came of the last one.
    pub fn advance(&self, steps: u64, message: &str) {
        let state = &mut *self.state.borrow_mut();
        state.done += steps;
        self.bar.set_message(message.to_owned());
        self.bar.inc(steps);
        let finished = state.done >= self.total;
        let place = format!("{} {}/{}", self.name, state.done, self.total);
        // Some steps have no more to say than that they are done.
        let tail = match message {
            "" => String::new(),
            _ => format!(": {message}"),
        };
        self.progress.record(&format!("{place}{tail}"));
        let left = state.started.elapsed().as_secs_f64() / state.done.max(1) as f64
            * self.total.saturating_sub(state.done) as f64;
        match self.progress.style {
            Style::Json => write_line(
                &json!({
                    "event": "progress", "stage": self.name, "done": state.done, "total": self.total,
                    "seconds_left": left.round(), "message": message,
                })
                .to_string(),
            ),
            Style::Human
                if !self.progress.terminal
                    && (finished || state.said.is_none_or(|said| said.elapsed() >= EVERY)) =>
            {
                state.said = Some(Instant::now());
                write_line(&format!("{place}, {left:.0} s left{tail}"));
            }
            _ => {}
        }
    }

    /// How far the current step is; not for the log, and no more often than anyone looks.
    pub fn glance(&self, message: &str) {
        self.bar.set_message(message.to_owned());
        let state = &mut *self.state.borrow_mut();
        if self.progress.terminal || state.said.unwrap_or(state.started).elapsed() < EVERY {
            return;
        }
        state.said = Some(Instant::now());
        match self.progress.style {
            Style::Human => write_line(&format!(
                "{} {}/{}: {message}",
                self.name, state.done, self.total
            )),
            Style::Json => write_line(
                &json!({
                    "event": "progress", "stage": self.name, "done": state.done, "total": self.total,
                    "message": message,
                })
                .to_string(),
            ),
            Style::Quiet => {}
        }
    }

    /// The stage is over, all steps made or not.
    pub fn finish(&self) {
        self.bar.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_everything_even_what_was_said_before_there_was_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        let progress = Progress::new(Style::Quiet);
        progress.say("before");
        progress.log_to(&path).unwrap();
        progress.say("after");
        let stage = progress.stage("trajectory", 2);
        stage.advance(1, "loss 0.5");
        stage.finish();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .map(|line| line.split_once(' ').unwrap().1)
            .collect();
        assert_eq!(lines, ["before", "after", "trajectory 1/2: loss 0.5"]);
    }

    #[test]
    fn times_sort_as_they_pass() {
        let time = now();
        assert!(time.as_str() > "2025-01-01T00:00:00" && time.as_str() < "2100-01-01T00:00:00");
    }
}
