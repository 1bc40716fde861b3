//! `cargo xtask check`: everything that has to be right besides the tests.

use crate::command::{Failure, Result, cargo, is_installed, run as run_command};
use crate::parts::Parts;
use crate::workspace::Workspace;

/// Runs every check, then fails with the first that failed.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    if let Some(first) = arguments.first() {
        return Err(Failure::usage(format!(
            "found `{first}`; `cargo xtask check` takes no arguments"
        )));
    }
    let root = &workspace.root;
    let parts = Parts::all(workspace)?;
    let mut clippy = cargo(root);
    clippy.args(["clippy", "--release", "--workspace", "--all-targets"]);
    let mut doc = cargo(root);
    doc.args(["doc", "--release", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings");
    for command in [&mut clippy, &mut doc] {
        parts.exclude_left_out(command);
        parts.offer_needs(command);
    }
    let mut outcomes = vec![
        run_command(cargo(root).args(["fmt", "--all", "--check"])),
        run_command(clippy.args(["--", "-D", "warnings"])),
        run_command(&mut doc),
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
