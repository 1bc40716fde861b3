//! Progress on long work: bars on a terminal, plain lines without one, JSON lines for programs. All on standard error.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

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

    /// Says one thing, unless the user wants quiet.
    pub fn say(&self, line: &str) {
        if self.style != Style::Quiet {
            self.log(line);
        }
    }

    /// Writes a line without tearing a bar.
    pub fn log(&self, line: &str) {
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
                write_line(&format!(
                    "{} {}/{}, {left:.0} s left: {message}",
                    self.name, state.done, self.total
                ));
            }
            _ => {}
        }
    }

    /// The stage is over, all steps made or not.
    pub fn finish(&self) {
        self.bar.finish();
    }
}
