//! `cargo xtask check`: everything that has to be right besides the tests.

use crate::command::{Failure, Result, cargo, is_installed, run as run_command};
use crate::workspace::Workspace;

/// Runs every check, then fails with the first that failed.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    if let Some(first) = arguments.first() {
        return Err(Failure::usage(format!(
            "found `{first}`; `cargo xtask check` takes no arguments"
        )));
    }
    let root = &workspace.root;
    let mut outcomes = vec![
        run_command(cargo(root).args(["fmt", "--all", "--check"])),
        run_command(
            cargo(root)
                .args(["clippy", "--release", "--workspace", "--all-targets"])
                .args(["--", "-D", "warnings"]),
        ),
        run_command(
            cargo(root)
                .args(["doc", "--release", "--workspace", "--no-deps"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        ),
    ];
    if is_installed("cargo-deny", &["--version"]) {
        outcomes.push(run_command(cargo(root).args(["deny", "check"])));
    } else {
        eprintln!(
            "xtask: SKIPPED: licences and advisories: cargo-deny is not installed (`cargo install cargo-deny`)"
        );
    }
    outcomes.into_iter().collect()
}
