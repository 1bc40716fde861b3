//! Calls of a program: placeholders, time limits, further attempts, and where its output goes.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::config::RunConfig;
use crate::diagnostics::Failure;

/// How often it is asked whether a program has ended.
const PATIENCE: Duration = Duration::from_millis(10);
/// Most bytes of output that are read.
const MOST_OUTPUT: u64 = 1 << 28;
/// So many lines of a failed program's messages are shown.
const SHOWN_LINES: usize = 10;

/// The program that is running, so that it can be ended with this one.
static RUNNING: Mutex<Option<u32>> = Mutex::new(None);

/// Ends the program that is running, if one is. Called when this process is about to end.
pub fn end_running() {
    if let Some(id) = RUNNING.lock().ok().and_then(|running| *running) {
        end_group(id);
    }
}

/// A program, and how long and how often it may try.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// How it is called.
    pub run: RunConfig,
    /// The folder it runs in.
    pub folder: PathBuf,
    /// The longest an attempt may take.
    pub timeout: Duration,
    /// Further attempts.
    pub retries: u32,
}

/// What a call is about.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Put in for `{model}`: the folder of a fused model.
    pub model: &'a Path,
    /// Put in for `{split}`.
    pub split: &'a str,
    /// Every attempt has a folder in it: `attempt-1` with `stdout.txt`, `stderr.txt` and what the program left at `{out}`.
    pub logs: &'a Path,
}

impl Program {
    /// Calls the program until an attempt ends well and `read` understands what it left: its standard output, and the path
    /// that stood for `{out}`.
    ///
    /// # Errors
    /// That of the last attempt. It is a plugin's error, so that a trial fails and not the run.
    pub fn call<T>(
        &self,
        call: Call<'_>,
        read: impl Fn(&Path, &Path) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let mut attempt = 1;
        loop {
            let folder = call.logs.join(format!("attempt-{attempt}"));
            // What a killed run left of this attempt.
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder)
                .map_err(|error| Failure::io("evaluate::folder", &folder, &error))?;
            let what = match self.attempt(call, &folder) {
                Ok(out) => match read(&folder.join("stdout.txt"), &out) {
                    Ok(result) => return Ok(result),
                    Err(what) => what,
                },
                Err(what) => what,
            };
            if attempt > self.retries {
                return Err(self.failure(&folder, what));
            }
            tracing::warn!(
                "attempt {attempt} of {}: {what}; once more",
                1 + self.retries
            );
            attempt += 1;
        }
    }

    /// One attempt. Returns the path that stood for `{out}`.
    fn attempt(&self, call: Call<'_>, folder: &Path) -> Result<PathBuf, String> {
        let absolute = |path: &Path| std::path::absolute(path).map_err(|error| error.to_string());
        let out = absolute(&folder.join("out"))?;
        let places = [
            ("{model}", absolute(call.model)?),
            ("{split}", PathBuf::from(call.split)),
            ("{out}", out.clone()),
        ];
        let log = |name: &str| {
            let path = folder.join(name);
            File::create(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let mut command = command(&self.run, &places);
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log("stdout.txt")?)
            .stderr(log("stderr.txt")?);
        // A group of its own: Ctrl-C reaches this program alone, which lets the step end; a time limit ends all of it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy().into_owned();
            format!("could not start `{program}`: {error}")
        })?;
        let status = self.wait(&mut child)?;
        match status.success() {
            true => Ok(out),
            false => Err(format!("the program ended with {status}")),
        }
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus, String> {
        let running = |id| {
            if let Ok(mut running) = RUNNING.lock() {
                *running = id;
            }
        };
        running(Some(child.id()));
        let start = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) if start.elapsed() >= self.timeout => {
                    end_group(child.id());
                    // The group is gone where there are groups; elsewhere the program alone is ended.
                    let _ = child.kill();
                    let _ = child.wait();
                    let limit = self.timeout.as_secs_f64();
                    break Err(format!(
                        "the program took more than {limit} s and was ended"
                    ));
                }
                Ok(None) => std::thread::sleep(PATIENCE),
                Err(error) => break Err(error.to_string()),
            }
        };
        running(None);
        status
    }

    fn failure(&self, folder: &Path, what: String) -> Failure {
        let error = bomf_plugin_api::PluginError::failed(what);
        let failure = Failure::plugin("command", &error);
        let messages = last_lines(&folder.join("stderr.txt"));
        Failure {
            code: "evaluate::program",
            place: folder.display().to_string(),
            excerpt: (!messages.is_empty()).then_some(messages),
            ..failure
        }
        .hint("`stdout.txt` and `stderr.txt` in that folder have what the program said")
    }
}

/// The call with everything put in.
fn command(run: &RunConfig, places: &[(&str, PathBuf)]) -> Command {
    let fill = |text: &str, quote: fn(&str) -> String| {
        places
            .iter()
            .fold(text.to_owned(), |text, (placeholder, path)| {
                text.replace(placeholder, &quote(&path.to_string_lossy()))
            })
    };
    let mut command = match run {
        RunConfig::Line(line) => {
            let (shell, flag) = if cfg!(windows) {
                ("cmd", "/C")
            } else {
                ("sh", "-c")
            };
            let mut command = Command::new(shell);
            command.args([flag, &fill(line, quote)]);
            command
        }
        RunConfig::Arguments(arguments) => {
            let mut filled = arguments.iter().map(|text| fill(text, str::to_owned));
            let mut command = Command::new(filled.next().unwrap_or_default());
            command.args(filled);
            command
        }
    };
    for (placeholder, path) in places {
        let name = placeholder.trim_matches(['{', '}']).to_uppercase();
        command.env(format!("BOMF_{name}"), path);
    }
    command
}

/// Text as one word of the shell's.
fn quote(text: &str) -> String {
    match cfg!(windows) {
        true => format!("\"{text}\""),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(unix)]
fn end_group(leader: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let group = i32::try_from(leader).ok().and_then(Pid::from_raw);
    // It may have ended meanwhile.
    let _ = group.map(|group| kill_process_group(group, Signal::KILL));
}

#[cfg(not(unix))]
fn end_group(_leader: u32) {}

/// A file of output as text, as far as it is not longer than any output should be.
pub fn text(path: &Path) -> Result<String, String> {
    let fault = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fault)?;
    file.take(MOST_OUTPUT)
        .read_to_end(&mut bytes)
        .map_err(fault)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_lines(path: &Path) -> String {
    let text = text(path).unwrap_or_default();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let from = lines.len().saturating_sub(SHOWN_LINES);
    let shown = lines[from..].iter().map(|line| format!("  | {line}"));
    shown.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(line: &str, timeout: f64, retries: u32) -> Program {
        Program {
            run: RunConfig::Line(line.to_owned()),
            folder: std::env::temp_dir(),
            timeout: Duration::from_secs_f64(timeout),
            retries,
        }
    }

    fn call(program: &Program, logs: &Path) -> Result<String, Failure> {
        let call = Call {
            model: Path::new("it's a model"),
            split: "validation",
            logs,
        };
        program.call(call, |stdout, _| text(stdout))
    }

    #[cfg(unix)]
    #[test]
    fn what_is_put_in_stays_one_word() {
        let logs = tempfile::tempdir().unwrap();
        let program = program(
            "for word in {model} {split}; do echo \"<$word>\"; done",
            60.0,
            0,
        );
        let said = call(&program, logs.path()).unwrap();
        assert!(said.ends_with("/it's a model>\n<validation>\n"), "{said}");
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_hangs_is_ended_with_all_that_it_started() {
        let logs = tempfile::tempdir().unwrap();
        let mark = logs.path().join("survived");
        let line = format!("(sleep 1; touch '{}') & sleep 60", mark.display());
        let start = Instant::now();
        let failure = call(&program(&line, 0.2, 0), logs.path()).unwrap_err();
        assert!(failure.message.contains("more than 0.2 s"), "{failure}");
        assert!(failure.is_plugin_failure());
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!mark.exists());
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[cfg(unix)]
    #[test]
    fn failed_attempts_are_followed_by_others_and_their_messages_shown() {
        let logs = tempfile::tempdir().unwrap();
        let count = logs.path().join("count");
        let line = format!(
            "echo x >> '{0}'; [ $(wc -l < '{0}') -ge 3 ] || {{ echo no weights >&2; exit 7; }}; echo well",
            count.display()
        );
        let failure = call(&program(&line, 60.0, 1), logs.path()).unwrap_err();
        assert!(failure.message.contains('7'), "{failure}");
        assert_eq!(failure.excerpt.as_deref(), Some("  | no weights"));
        assert_eq!(
            call(&program(&line, 60.0, 0), logs.path()).unwrap(),
            "well\n"
        );
    }
}
