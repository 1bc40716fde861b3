//! `cargo xtask dist`: what a user needs to run bomf without a Rust toolchain, in one folder and one archive.

use std::path::Path;
use std::process::Command;

use crate::assembly;
use crate::command::{Failure, Result, is_installed, run as run_command};
use crate::parts::Parts;
use crate::workspace::Workspace;

/// Files of the checkout that go along, where they exist.
const DOCUMENTS: [&str; 5] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
];

/// Builds everything and lays it out under `target/dist/`.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    if let Some(first) = arguments.first() {
        return Err(Failure::usage(format!(
            "found `{first}`; `cargo xtask dist` takes no arguments"
        )));
    }
    let parts = Parts::all(workspace)?;
    let assembled = assembly::build(workspace, &parts, "release")?;
    let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    let name = format!("bomf-{}-{machine}-{system}", workspace.version);
    let parent = workspace.target.join("dist");
    let folder = parent.join(&name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| at(&folder, "clear", &error))?;
    }
    let binary = assembled.bomf.file_name().expect("a binary has a name");
    copy(&assembled.bomf, &folder.join(binary))?;
    for plugin in &parts.plugins {
        copy_tree(
            &assembled.plugins.join(plugin),
            &folder.join("plugins").join(plugin),
        )?;
    }
    copy_tree(&workspace.root.join("configs"), &folder.join("configs"))?;
    for document in DOCUMENTS {
        let source = workspace.root.join(document);
        if source.is_file() {
            copy(&source, &folder.join(document))?;
        }
    }
    println!("{}", folder.display());
    if is_installed("tar", &["--version"]) {
        let archive = parent.join(format!("{name}.tar.gz"));
        run_command(
            Command::new("tar")
                .arg("-czf")
                .arg(&archive)
                .arg("-C")
                .arg(&parent)
                .arg(&name),
        )?;
        println!("{}", archive.display());
    } else {
        eprintln!("xtask: no `tar` here: the folder stands, but there is no archive of it");
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let entries = std::fs::read_dir(from).map_err(|error| at(from, "read", &error))?;
    for entry in entries {
        let source = entry.map_err(|error| at(from, "read", &error))?.path();
        let target = to.join(source.file_name().expect("an entry has a name"));
        if source.is_dir() {
            copy_tree(&source, &target)?;
        } else {
            copy(&source, &target)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(|error| at(parent, "make", &error))?;
    }
    std::fs::copy(from, to)
        .map(|_| ())
        .map_err(|error| at(from, "copy", &error))
}

fn at(path: &Path, what: &str, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot {what} {}: {error}", path.display()))
}
