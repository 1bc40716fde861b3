//! `cargo xtask check`: everything that has to be right besides the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::command::{Failure, Result, announce, cargo, is_installed, run as run_command};
use crate::parts::Parts;
use crate::workspace::{HOST, Workspace};

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
        features_agree(workspace, &parts),
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

/// Crates have the same features whether the default parts are built or everything is tested: else cargo builds them, and what
/// stands on them, anew whenever one follows the other.
fn features_agree(workspace: &Workspace, all: &Parts) -> Result<()> {
    let mut some = cargo(&workspace.root);
    some.args(["tree", "--edges", "no-dev", "--package", HOST]);
    for plugin in Parts::by_default(workspace).plugins {
        some.args(["--package", &plugin]);
    }
    let mut everything = cargo(&workspace.root);
    everything.args(["tree", "--workspace"]);
    all.exclude_left_out(&mut everything);
    let (some, everything) = (features(&mut some)?, features(&mut everything)?);
    let lacking = some.iter().filter_map(|(package, found)| {
        let expected = everything.get(package)?;
        let differ = !found.is_subset(expected);
        differ.then(|| format!("\n  {package}: found {found:?}, expected {expected:?}"))
    });
    match lacking.collect::<String>() {
        lacking if lacking.is_empty() => Ok(()),
        lacking => Err(Failure::failed(format!(
            "the default parts are built with other features than everything is: turn these on in [workspace.dependencies]{lacking}"
        ))),
    }
}

/// For each package that `cargo tree` names its lists of features: one, or others where it also serves the build itself.
fn features(tree: &mut Command) -> Result<BTreeMap<String, BTreeSet<String>>> {
    tree.args(["--prefix", "none", "--format", "{p}\t{f}"]);
    announce(tree);
    let output = tree
        .output()
        .map_err(|error| Failure::failed(format!("cannot start `cargo tree`: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::failed(format!("`cargo tree` failed: {said}")));
    }
    let mut features = BTreeMap::<String, BTreeSet<String>>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some((package, list)) = line.trim_end_matches(" (*)").split_once('\t') {
            features
                .entry(package.to_owned())
                .or_default()
                .insert(list.to_owned());
        }
    }
    Ok(features)
}
