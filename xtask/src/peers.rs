//! `cargo xtask peers`: comparisons with other tools, in a Python environment outside the checkout.
//!
//! A comparison is a folder `plugins/<plugin>/peers/<name>/` or `host/peers/<name>/` with a `requirements.txt` and a
//! `compare.py`, whose first doc line says what it compares. The script finds the repository in `BOMF_ROOT`, the built
//! binary in `BOMF_BIN` and the plugins in `BOMF_PLUGINS_DIR`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::assembly;
use crate::command::{Failure, Result, run as run_command};
use crate::parts::Parts;
use crate::workspace::{Workspace, cache_folder};

/// A comparison found in the checkout.
struct Comparison {
    name: String,
    folder: PathBuf,
    summary: String,
}

/// Lists the comparisons, or runs one; arguments behind its name go to the script.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let comparisons = find(&workspace.root);
    let Some((name, script_arguments)) = arguments.split_first() else {
        for comparison in &comparisons {
            println!("{:<24} {}", comparison.name, comparison.summary);
        }
        return Ok(());
    };
    let comparison = comparisons
        .iter()
        .find(|comparison| comparison.name == *name)
        .ok_or_else(|| {
            let names: Vec<&str> = comparisons.iter().map(|c| c.name.as_str()).collect();
            Failure::usage(format!(
                "found the unknown comparison `{name}`, expected one of: {}",
                names.join(", ")
            ))
        })?;
    let assembled = assembly::build(workspace, &Parts::by_default(workspace), "release")?;
    let python = environment(comparison)?;
    run_command(
        Command::new(python)
            .arg(comparison.folder.join("compare.py"))
            .args(script_arguments)
            .current_dir(&workspace.root)
            .env("BOMF_ROOT", &workspace.root)
            .env("BOMF_BIN", &assembled.bomf)
            .env("BOMF_PLUGINS_DIR", &assembled.plugins),
    )
}

fn find(root: &Path) -> Vec<Comparison> {
    let mut crates: Vec<PathBuf> = std::fs::read_dir(root.join("plugins"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    crates.push(root.join("host"));
    let mut comparisons: Vec<Comparison> = crates
        .iter()
        .flat_map(|folder| {
            std::fs::read_dir(folder.join("peers"))
                .into_iter()
                .flatten()
                .flatten()
        })
        .map(|entry| entry.path())
        .filter_map(|folder| {
            let script = std::fs::read_to_string(folder.join("compare.py")).ok()?;
            let doc = script.lines().find(|line| line.starts_with("\"\"\""));
            Some(Comparison {
                name: folder.file_name()?.to_string_lossy().into_owned(),
                summary: doc.unwrap_or("").trim_matches('"').to_owned(),
                folder,
            })
        })
        .collect();
    comparisons.sort_by(|a, b| a.name.cmp(&b.name));
    comparisons
}

/// The comparison's own virtual environment, made and filled when its requirements are new.
fn environment(comparison: &Comparison) -> Result<PathBuf> {
    let requirements = comparison.folder.join("requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).map_err(|error| {
        Failure::failed(format!("cannot read {}: {error}", requirements.display()))
    })?;
    let folder = cache_folder()?.join("peers").join(&comparison.name);
    let python = match cfg!(windows) {
        true => folder.join("Scripts").join("python.exe"),
        false => folder.join("bin").join("python"),
    };
    let stamp = folder.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let system_python = if cfg!(windows) { "python" } else { "python3" };
    run_command(
        Command::new(system_python)
            .args(["-m", "venv"])
            .arg(&folder),
    )?;
    run_command(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(&requirements),
    )?;
    std::fs::write(&stamp, wanted)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", stamp.display())))?;
    Ok(python)
}
