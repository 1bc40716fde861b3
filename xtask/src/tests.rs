//! `cargo xtask test`: builds everything the tests want to see from outside, then runs all of them.

use std::path::{Path, PathBuf};

use crate::assembly;
use crate::command::{Failure, Result, cargo, run as run_command};
use crate::parts::Parts;
use crate::workspace::Workspace;

/// What `cargo xtask test` was asked for.
pub struct Options {
    all: bool,
    filter: Option<String>,
    harness_arguments: Vec<String>,
}

impl Options {
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            all: false,
            filter: None,
            harness_arguments: Vec::new(),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--all" => options.all = true,
                "--" => {
                    options.harness_arguments = rest.by_ref().cloned().collect();
                }
                flag if flag.starts_with('-') => {
                    return Err(Failure::usage(format!(
                        "found `{flag}`, expected `--all`, one FILTER, or `-- ARGUMENTS` for the test programs"
                    )));
                }
                filter if options.filter.is_none() => options.filter = Some(filter.to_owned()),
                second => {
                    return Err(Failure::usage(format!(
                        "found a second filter `{second}`, expected one"
                    )));
                }
            }
        }
        Ok(options)
    }

    fn append_to(&self, command: &mut std::process::Command) {
        command.args(&self.filter);
        if !self.harness_arguments.is_empty() {
            command.arg("--").args(&self.harness_arguments);
        }
    }
}

/// Runs every test. All of them run even when some fail; the first failure decides the outcome.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let parts = match options.all {
        true => Parts::all(workspace)?,
        false => Parts::testable(workspace)?,
    };
    let assembled = assembly::build(workspace, &parts, "release")?;
    let fixtures = workspace.target.join("fixtures");

    let mut inside = cargo(&workspace.root);
    inside.args(["test", "--release", "--workspace", "--no-fail-fast"]);
    parts.exclude_left_out(&mut inside);
    parts.offer_needs(&mut inside);
    options.append_to(&mut inside);
    inside
        .env("BOMF_BIN", &assembled.bomf)
        .env("BOMF_PLUGINS_DIR", &assembled.plugins)
        .env("BOMF_FIXTURES_DIR", &fixtures);
    let mut outcomes = vec![run_command(&mut inside)];

    for manifest in third_party_manifests(&workspace.root) {
        let mut outside = cargo(&workspace.root);
        outside
            .args(["test", "--release", "--no-fail-fast", "--manifest-path"])
            .arg(&manifest)
            .env("CARGO_TARGET_DIR", workspace.target.join("third-party"));
        options.append_to(&mut outside);
        outcomes.push(run_command(&mut outside));
    }
    outcomes.into_iter().collect()
}

/// Plugins that stand for other people's: crates of their own, outside the workspace.
fn third_party_manifests(root: &Path) -> Vec<PathBuf> {
    let folder = root.join("tests").join("third-party");
    let mut manifests: Vec<PathBuf> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("Cargo.toml"))
        .chain([folder.join("Cargo.toml")])
        .filter(|manifest| manifest.is_file())
        .collect();
    manifests.sort();
    manifests
}
