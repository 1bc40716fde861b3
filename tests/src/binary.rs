//! Calling the built `bomf`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// No call in the tests may take longer than this.
pub(crate) const LONGEST: Duration = Duration::from_secs(240);

/// One call of the binary, in a clean environment: no plugins but those that the call names or that lie beside the binary.
pub struct Bomf {
    pub(crate) command: Command,
}

/// What a call left behind.
#[derive(Debug)]
pub struct Output {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Results.
    pub stdout: String,
    /// Errors, warnings, progress.
    pub stderr: String,
}

impl Bomf {
    /// A call with these arguments, in a folder.
    pub fn new<A: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(path());
        command
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .env_remove("BOMF_PLUGINS")
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1");
        Self { command }
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Lets a shell prepare the process before it becomes bomf, for example with `ulimit`.
    #[must_use]
    pub fn after_shell(self, preparation: &str) -> Self {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{preparation}\nexec \"$0\" \"$@\""))
            .arg(self.command.get_program())
            .args(self.command.get_args())
            .stdin(Stdio::null());
        if let Some(folder) = self.command.get_current_dir() {
            command.current_dir(folder);
        }
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Self { command }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started, or takes longer than any test should.
    pub fn output(self) -> Output {
        self.spawn().finish()
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(mut self) -> Running {
        let shown = format!("{:?}", self.command);
        let child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {shown}: {error}"));
        Running { child, shown }
    }
}

/// A call under way.
pub struct Running {
    child: Child,
    shown: String,
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_some()
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes longer than any test should.
    pub fn finish(mut self) -> Output {
        let stdout = reader(self.child.stdout.take().expect("piped"));
        let stderr = reader(self.child.stderr.take().expect("piped"));
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                break status;
            }
            if started.elapsed() > LONGEST {
                self.kill();
                panic!("{} did not end within {LONGEST:?}", self.shown);
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Output {
            code: status.code(),
            stdout: stdout.join().expect("a reader does not panic"),
            stderr: stderr.join().expect("a reader does not panic"),
        }
    }
}

fn reader(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks off ends the text; the exit code says why.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Output {
    /// Expects an exit code.
    ///
    /// # Panics
    /// When it is another one; shows everything that was said.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Expects every piece of text on stderr.
    ///
    /// # Panics
    /// When one is missing; shows everything that was said.
    #[track_caller]
    pub fn expect_stderr(self, pieces: &[&str]) -> Self {
        for piece in pieces {
            assert!(
                self.stderr.contains(piece),
                "`{piece}` is not in\n{}",
                self.stderr
            );
        }
        self
    }

    /// Expects every piece of text on stdout.
    ///
    /// # Panics
    /// When one is missing; shows everything that was said.
    #[track_caller]
    pub fn expect_stdout(self, pieces: &[&str]) -> Self {
        for piece in pieces {
            assert!(
                self.stdout.contains(piece),
                "`{piece}` is not in\n{}",
                self.stdout
            );
        }
        self
    }

    /// Reads stdout as one JSON value.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON: {error}\n{}\n{}", self.stdout, self.stderr))
    }

    /// The codes of all errors and warnings on stderr, in order.
    pub fn codes(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter_map(|line| {
                let (level, rest) = line.split_once('[')?;
                let level = level.trim();
                let (code, _) = rest.split_once(']')?;
                matches!(level, "error" | "warning").then_some(code)
            })
            .collect()
    }
}

/// The built binary.
///
/// # Panics
/// When `cargo xtask test` did not say where it is, or it is not there.
pub fn path() -> PathBuf {
    let path = crate::from_xtask("BOMF_BIN");
    assert!(
        path.is_file(),
        "{} is not there: run `cargo xtask test`",
        path.display()
    );
    path
}
