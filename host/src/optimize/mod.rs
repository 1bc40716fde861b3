//! `bomf optimize`: asks any program for the values of points, over standard output and input.
//!
//! The walk: [`config`] says what may stand in the file, [`search`] resolves it, [`session`] answers lines ([`message`]
//! understands them) and ends with a [`summary`]; what happens in it goes to a [`journal`]. Here are the ends of the wires:
//! standard input and output, and signals.

mod config;
mod journal;
mod message;
#[cfg(any(test, feature = "fuzz"))]
pub mod sample;
mod search;
mod session;
mod summary;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io::{BufRead, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bomf_plugin_api::Outcome;
use serde_json::Value;

use crate::cli::OptimizeArguments;
use crate::config::document::Document;
use crate::config::read;
use crate::diagnostics::{Failure, Failures};
use crate::registry::Registry;
use config::SearchConfig;
use journal::Journal;
use search::Search;
use session::{Event, Session};

/// Asks and is told until there is no more to ask, or no one to ask.
///
/// # Errors
/// When the file, the journal or the optimizer is at fault, or the user asked to stop.
pub fn optimize(
    arguments: &OptimizeArguments,
    registry_of: impl Fn(&[PathBuf]) -> Registry,
) -> Result<(), Failures> {
    let mut document = Document::read(&arguments.space)?;
    let config: SearchConfig = read(&mut document, &arguments.set)?;
    let registry = registry_of(&config.plugins);
    let search = Search::resolve(&config, &document, &registry)?;
    let optimizer = registry.optimizer(&search.optimizer, &search.options, &search.context)?;
    let (journal, events) = match &arguments.journal {
        Some(path) => {
            let (journal, events) = Journal::open(path, &search, &registry)?;
            (Some(RefCell::new(journal)), events)
        }
        None => (None, Vec::new()),
    };
    let record = |event: &Event| match &journal {
        Some(journal) => journal.borrow_mut().record(event),
        None => Ok(()),
    };
    let mut session = Session::new(&search, optimizer, Box::new(record));
    let resumed = !events.is_empty();
    events
        .into_iter()
        .try_for_each(|event| session.replay(event))?;
    if resumed {
        say_resumed(&session);
    }
    converse(&mut session, &listen(), &mut std::io::stdout().lock())?;
    Ok(())
}

fn say_resumed(session: &Session<'_>) {
    let trials = &session.study().trials;
    let open = trials
        .iter()
        .filter(|trial| trial.outcome == Outcome::Pending)
        .count();
    tracing::info!("goes on after {} trials, {open} of them open", trials.len());
}

/// Something from outside.
enum Input {
    /// A line, without its end.
    Line(Vec<u8>),
    /// There will be no more.
    End,
    /// A signal asks to stop.
    Stop,
}

/// What comes from outside, in order.
struct Inputs {
    receiver: Receiver<Input>,
    stop: Arc<AtomicBool>,
}

impl Inputs {
    fn next(&self) -> Input {
        let input = self.receiver.recv().unwrap_or(Input::End);
        match self.stop.load(Ordering::Relaxed) {
            true => Input::Stop,
            false => input,
        }
    }
}

/// Listens to standard input and to signals. A second signal ends the process at once.
fn listen() -> Inputs {
    // Few lines wait here: a program that says more than is read has to wait.
    let (sender, receiver) = sync_channel(4);
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, wake) = (Arc::clone(&stop), sender.clone());
    let listening = ctrlc::set_handler(move || {
        if stopped.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        // Where lines wait already, the next of them wakes the session.
        let _ = wake.try_send(Input::Stop);
    });
    if let Err(error) = listening {
        tracing::warn!("a signal will end the session at once: {error}");
    }
    std::thread::spawn(move || read_lines(std::io::stdin().lock(), &sender));
    Inputs { receiver, stop }
}

fn read_lines(mut from: impl BufRead, to: &SyncSender<Input>) {
    loop {
        let input = match next_line(&mut from, message::LONGEST) {
            Ok(Some(line)) => Input::Line(line),
            Ok(None) => Input::End,
            Err(error) => {
                tracing::warn!("standard input: {error}");
                Input::End
            }
        };
        let is_last = matches!(input, Input::End);
        // Fails when the session is over.
        if to.send(input).is_err() || is_last {
            return;
        }
    }
}

/// The next line without its end. Of one that is longer than `most`, one byte more than that.
fn next_line(from: &mut impl BufRead, most: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let available = match from.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        };
        if available.is_empty() {
            return Ok((!line.is_empty()).then_some(line));
        }
        let end = available.iter().position(|&byte| byte == b'\n');
        let piece = &available[..end.unwrap_or(available.len())];
        let room = (most + 1).saturating_sub(line.len());
        line.extend_from_slice(&piece[..piece.len().min(room)]);
        let used = piece.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

/// Carries lines between the session and the world. A reader that has gone away ends it quietly.
fn converse(
    session: &mut Session<'_>,
    inputs: &Inputs,
    to: &mut impl Write,
) -> Result<(), Failure> {
    let mut replies = session.begin()?;
    loop {
        if let Some(why) = session.ended() {
            replies.push(session.done(why));
        }
        if !send(&replies, to)? || session.ended().is_some() {
            return Ok(());
        }
        replies = match inputs.next() {
            Input::Line(line) => session.line(&line)?,
            Input::End => {
                send(&[session.done("standard input was closed")], to)?;
                return Ok(());
            }
            Input::Stop => {
                send(&[session.done("a signal asked to stop")], to)?;
                let message = "stopped as asked";
                return Err(Failure::run("optimize::interrupted", "session", message)
                    .hint("with `--journal FILE` the same command goes on from here"));
            }
        };
    }
}

/// Writes lines; `false` when there is no one to read them any more.
fn send(lines: &[Value], to: &mut impl Write) -> Result<bool, Failure> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::io(
            "output::write",
            Path::new("standard output"),
            &error,
        )),
    }
}
