//! Starting other programs, and what can go wrong with them.

use std::fmt::{Display, Formatter};
use std::path::Path;
use std::process::{Command, ExitCode};

/// Why xtask stops.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 2,
        }
    }

    /// Something did not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 1,
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// The cargo that runs this program, in the workspace's root.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Prints the command line, runs it to its end, and expects success.
pub fn run(command: &mut Command) -> Result<()> {
    announce(command);
    let status = command
        .status()
        .map_err(|error| Failure::failed(format!("cannot start {}: {error}", shown(command))))?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::failed(format!(
            "{} ended with {status}",
            shown(command)
        ))),
    }
}

/// Prints the command line to stderr.
pub fn announce(command: &Command) {
    eprintln!("+ {}", shown(command));
}

/// Whether a program of that name can be started.
pub fn is_installed(program: &str, probe: &[&str]) -> bool {
    Command::new(program)
        .args(probe)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Becomes the other program where the system can do that; else waits for it and hands its exit code on.
pub fn replace_process(program: &Path, arguments: &[String]) -> Result<ExitCode> {
    let mut command = Command::new(program);
    command.args(arguments);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        let error = command.exec();
        Err(Failure::failed(format!(
            "cannot start {}: {error}",
            program.display()
        )))
    }
    #[cfg(not(unix))]
    {
        let status = command.status().map_err(|error| {
            Failure::failed(format!("cannot start {}: {error}", program.display()))
        })?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(ExitCode::from(code.unwrap_or(1)))
    }
}

/// The command as a person would type it; long lines are cut.
fn shown(command: &Command) -> String {
    const LONGEST: usize = 400;
    let mut text = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
