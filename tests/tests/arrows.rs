//! Who may depend on whom: host -> plugin-api <- plugins, both -> fusion and pareto, and each heavy crate in its own room.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Packages that are no plugin.
const API: &str = "bomf-plugin-api";
const HOST: &str = "bomf";
/// Formats and arithmetic of weights; fronts and hypervolumes: they know nobody, and host and plugins may know them.
const KNOWN_TO_ALL: [&str; 2] = ["fusion", "pareto"];
/// Code that plugins share: a plain Rust library, never a plugin.
const SHARED_BY_PLUGINS: [&str; 3] = ["search", "text", "transformer"];
/// Packages that may look at anything, and that nothing may depend on.
const OUTSIDE: [&str; 2] = ["bomf-tests", "xtask"];

/// Crates that belong to certain packages alone. A name that ends in `-` stands for all that begin with it.
const ROOMS: [(&str, &[&str]); 9] = [
    ("abi_stable", &[API]),
    ("libloading", &[HOST]),
    ("serde_yaml", &[HOST]),
    ("clap", &[HOST]),
    ("candle-", &["model-candle"]),
    ("tch", &["fuser-torch", "model-torch"]),
    ("wgpu", &["fuser-wgpu"]),
    ("ureq", &["metric-judge"]),
    (
        "tokenizers",
        &["model-candle", "model-torch", "transformer"],
    ),
];

/// Words that may stand in certain source files only.
const WORDS: [(&str, &[&str]); 3] = [
    ("abi_stable::", &["plugin-api/src/abi/"]),
    ("libloading::", &["host/src/registry/library.rs"]),
    ("serde_yaml::", &["host/src/config/"]),
];

struct Package {
    name: String,
    folder: PathBuf,
    is_plugin: bool,
    /// Normal and build dependencies, and dependencies of tests.
    dependencies: Vec<String>,
}

fn packages() -> BTreeMap<String, Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(bomf_tests::root())
        .output()
        .expect("cargo runs this test");
    assert!(output.status.success());
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let name = text(&package["name"]);
            let targets = package["targets"].as_array().unwrap();
            let is_plugin = targets.iter().any(|target| {
                let kinds = target["kind"].as_array().unwrap();
                kinds.iter().any(|kind| kind == "cdylib")
            });
            let dependencies = package["dependencies"].as_array().unwrap();
            let dependencies = dependencies.iter().map(|d| text(&d["name"])).collect();
            let manifest = PathBuf::from(text(&package["manifest_path"]));
            let package = Package {
                name: name.clone(),
                folder: manifest.parent().unwrap().to_owned(),
                is_plugin,
                dependencies,
            };
            (name, package)
        })
        .collect()
}

#[test]
fn arrows_point_to_the_plugin_api() {
    let packages = packages();
    let mut forbidden = Vec::new();
    for package in packages
        .values()
        .filter(|package| !OUTSIDE.contains(&package.name.as_str()))
    {
        for dependency in &package.dependencies {
            if !packages.contains_key(dependency) {
                continue;
            }
            let dependency = dependency.as_str();
            let allowed = match package.name.as_str() {
                name if name == API || KNOWN_TO_ALL.contains(&name) => false,
                HOST => dependency == API || KNOWN_TO_ALL.contains(&dependency),
                name if SHARED_BY_PLUGINS.contains(&name) => dependency == API,
                _ => {
                    dependency == API
                        || KNOWN_TO_ALL.contains(&dependency)
                        || SHARED_BY_PLUGINS.contains(&dependency)
                }
            };
            if !allowed {
                forbidden.push(format!("{} -> {dependency}", package.name));
            }
        }
    }
    assert!(forbidden.is_empty(), "forbidden arrows: {forbidden:?}");
}

#[test]
fn every_crate_under_plugins_is_a_plugin_or_shared_code() {
    let root = bomf_tests::root();
    for package in packages().values() {
        let is_under_plugins = package.folder.parent() == Some(&root.join("plugins"));
        let is_shared = SHARED_BY_PLUGINS.contains(&package.name.as_str());
        assert_eq!(
            package.is_plugin,
            is_under_plugins && !is_shared,
            "{}",
            package.name
        );
    }
}

#[test]
fn heavy_crates_stay_in_their_rooms() {
    let mut strangers = Vec::new();
    for package in packages().values() {
        for dependency in &package.dependencies {
            let room = ROOMS.iter().find(|(name, _)| {
                dependency == name || (name.ends_with('-') && dependency.starts_with(name))
            });
            if let Some((_, owners)) = room
                && !owners.contains(&package.name.as_str())
            {
                strangers.push(format!("{} -> {dependency}", package.name));
            }
        }
    }
    assert!(strangers.is_empty(), "not in their rooms: {strangers:?}");
}

#[test]
fn each_border_is_crossed_in_its_own_module() {
    let root = bomf_tests::root();
    let mut strangers = Vec::new();
    for file in rust_files(&root) {
        let place = file
            .strip_prefix(&root)
            .unwrap()
            .to_string_lossy()
            .replace('\\', "/");
        if place.starts_with("tests/") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for (word, rooms) in WORDS {
            let used = text
                .lines()
                .any(|line| line.contains(word) && !line.trim_start().starts_with("//"));
            if used && !rooms.iter().any(|room| place.starts_with(room)) {
                strangers.push(format!("{place}: {word}"));
            }
        }
    }
    assert!(strangers.is_empty(), "outside their modules: {strangers:?}");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "runs" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}
