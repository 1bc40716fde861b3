//! Talking with a `bomf` that listens: line by line, over its standard input and output.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::binary::{Bomf, LONGEST, Output};

/// A call under way that is spoken with.
pub struct Conversation {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: JoinHandle<String>,
}

impl Bomf {
    /// Starts it, to be spoken with.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn talk(mut self) -> Conversation {
        let pipes = self.command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pipes
            .stderr(Stdio::piped())
            .spawn()
            .expect("bomf can be started");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut stderr = child.stderr.take().expect("piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // Fails when nobody listens any more.
            let _ = stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line));
        });
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let input = child.stdin.take();
        Conversation {
            child,
            input,
            lines,
            stderr,
        }
    }
}

impl Conversation {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Says a line; one that nobody hears is lost, as the end will show.
    pub fn say(&mut self, line: impl AsRef<[u8]>) {
        let input = self.input.as_mut().expect("nothing is said after the end");
        let line = [line.as_ref(), b"\n"].concat();
        let _ = input.write_all(&line).and_then(|()| input.flush());
    }

    /// The next line; `None` when there is none any more.
    ///
    /// # Panics
    /// When it takes longer than any test should, or the line is no JSON.
    #[track_caller]
    pub fn hear(&mut self) -> Option<Value> {
        match self.lines.recv_timeout(LONGEST) {
            Ok(line) => Some(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"))),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(timeout) => panic!("{timeout}: nothing was said within {LONGEST:?}"),
        }
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
    }

    /// Closes its input and waits for its end. Standard output has what was not heard yet.
    ///
    /// # Panics
    /// When it takes longer than any test should.
    #[track_caller]
    pub fn finish(mut self) -> Output {
        drop(self.input.take());
        let mut stdout = String::new();
        while let Some(line) = self.hear() {
            stdout.push_str(&format!("{line}\n"));
        }
        let code = self.child.wait().expect("our own child").code();
        let stderr = self.stderr.join().expect("a reader does not panic");
        Output {
            code,
            stdout,
            stderr,
        }
    }
}
