//! Builds host and plugins and puts each plugin's library and manifest into a folder of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::command::{Failure, Result, announce, cargo};
use crate::parts::Parts;
use crate::workspace::{HOST, Workspace};

/// What a build leaves behind.
pub struct Assembled {
    /// The host binary.
    pub bomf: PathBuf,
    /// The folder that holds one folder per plugin.
    pub plugins: PathBuf,
}

/// Builds the host and the plugins in one cargo invocation: features are unified once, so that host and plugins agree on
/// every shared crate. Then assembles the plugins beside the host.
pub fn build(workspace: &Workspace, parts: &Parts, profile: &str) -> Result<Assembled> {
    let built = compile(workspace, parts, profile)?;
    let folder = workspace.artifacts(profile).join("plugins");
    for library in &built.libraries {
        pack(&built.bomf, library, &folder, parts)?;
    }
    Ok(Assembled {
        bomf: built.bomf,
        plugins: folder,
    })
}

struct Built {
    bomf: PathBuf,
    libraries: Vec<PathBuf>,
}

/// Asks cargo what it made instead of guessing file names, which differ between systems.
fn compile(workspace: &Workspace, parts: &Parts, profile: &str) -> Result<Built> {
    let plugins = &parts.plugins;
    let mut command = cargo(&workspace.root);
    command
        .args(["build", "--profile", profile])
        .args(["--message-format", "json-render-diagnostics"])
        .args(["--package", HOST]);
    for plugin in plugins {
        command.args(["--package", plugin]);
    }
    parts.offer_needs(&mut command);
    announce(&command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::failed(format!("cannot start cargo: {error}")))?;
    let messages = child.stdout.take().expect("stdout was piped");
    let mut bomf = None;
    let mut libraries = Vec::new();
    for line in BufReader::new(messages).lines() {
        let line = line
            .map_err(|error| Failure::failed(format!("cannot read cargo's messages: {error}")))?;
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            println!("{line}");
            continue;
        };
        if message["reason"] != "compiler-artifact" {
            continue;
        }
        let target = &message["target"];
        if target["name"] == HOST
            && let Some(path) = message["executable"].as_str()
        {
            bomf = Some(PathBuf::from(path));
        }
        if is_cdylib(target) && plugins.iter().any(|name| name == package_name(&message)) {
            libraries.extend(library_file(&message));
        }
    }
    let status = child
        .wait()
        .map_err(|error| Failure::failed(format!("cannot wait for cargo: {error}")))?;
    if !status.success() {
        return Err(Failure::failed("the build failed: see above"));
    }
    if libraries.len() != plugins.len() {
        return Err(Failure::failed(format!(
            "found {} plugin libraries among what cargo made, expected {}",
            libraries.len(),
            plugins.len()
        )));
    }
    libraries.sort();
    Ok(Built {
        bomf: bomf.ok_or_else(|| Failure::failed("cargo made no `bomf` binary"))?,
        libraries,
    })
}

/// The library is opened by the host itself, which writes the manifest out of the code's own descriptors. It leaves
/// folders alone whose library has not changed. What a library has to have open is not known before its manifest is: the
/// system's loader finds it.
fn pack(bomf: &Path, library: &Path, folder: &Path, parts: &Parts) -> Result<()> {
    let mut command = Command::new(bomf);
    command
        .args(["plugins", "pack"])
        .arg(library)
        .arg("--out")
        .arg(folder);
    parts.offer_needs(&mut command);
    let output = command
        .output()
        .map_err(|error| Failure::failed(format!("cannot start {}: {error}", bomf.display())))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "`bomf plugins pack {}` failed:\n{}",
        library.display(),
        String::from_utf8_lossy(&output.stderr).trim_end()
    )))
}

fn package_name(message: &Value) -> &str {
    // A package id ends with `/<folder>#<version>` or `/<folder>#<name>@<version>`.
    let id = message["package_id"].as_str().unwrap_or("");
    let (path, fragment) = id.rsplit_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => path.rsplit('/').next().unwrap_or(""),
    }
}

fn is_cdylib(target: &Value) -> bool {
    target["kind"]
        .as_array()
        .is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
}

fn library_file(message: &Value) -> Option<PathBuf> {
    message["filenames"]
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .map(PathBuf::from)
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == std::env::consts::DLL_EXTENSION)
        })
}
