//! pip, as far as it is needed: one package, one version, no dependencies.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::diagnostics::Failure;

/// Downloads a package into a folder and returns its file.
pub fn download(
    package: &str,
    version: &str,
    source: bool,
    folder: &Path,
) -> Result<PathBuf, Failure> {
    let place = format!("package `{package}=={version}`");
    let python = std::env::var("BOMF_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let kind = if source {
        "--no-binary"
    } else {
        "--only-binary"
    };
    let mut command = Command::new(&python);
    command.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]);
    command.args([kind, ":all:", "--dest"]).arg(folder);
    let output = command
        .arg(format!("{package}=={version}"))
        .output()
        .map_err(|error| {
            Failure::input(
                "asset::no_python",
                &place,
                format!("found no `{python}` that runs: {error}"),
            )
            .hint("install Python 3 with pip, or name it in BOMF_PYTHON")
        })?;
    let files =
        std::fs::read_dir(folder).map_err(|error| Failure::io("asset::cache", folder, &error))?;
    let found = files
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.is_file());
    match found {
        Some(path) if output.status.success() => Ok(path),
        _ => Err(explain(
            &place,
            &python,
            &String::from_utf8_lossy(&output.stderr),
        )),
    }
}

/// What pip's complaint means for the user.
fn explain(place: &str, python: &str, complaint: &str) -> Failure {
    let last = complaint
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("it said nothing");
    if complaint.contains("No module named pip") {
        return Failure::input(
            "asset::no_pip",
            place,
            format!("found no pip in `{python}`"),
        )
        .hint("`python3 -m ensurepip`, or your system's package python3-pip, installs it");
    }
    Failure::input("asset::download", place, format!("pip could not download it: {last}"))
        .hint("check the network and pip's configuration, then try again; what was fetched before is kept")
}
