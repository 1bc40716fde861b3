//! What `cargo metadata` says about this workspace.

use std::path::PathBuf;

use serde_json::Value;

use crate::command::{Failure, Result, cargo};

/// Name of the package that holds the binary.
pub const HOST: &str = "bomf";

/// The workspace, as cargo sees it.
pub struct Workspace {
    pub root: PathBuf,
    /// Where cargo puts what it builds; `CARGO_TARGET_DIR` and cargo's configuration are respected.
    pub target: PathBuf,
    /// Version of the workspace's packages.
    pub version: String,
    /// Packages that make a plugin library, by name.
    pub plugins: Vec<PluginPackage>,
}

/// A package that makes a `cdylib`.
pub struct PluginPackage {
    pub name: String,
    /// Whether it is one of cargo's default members: others are built on request only.
    pub by_default: bool,
}

impl Workspace {
    pub fn read() -> Result<Self> {
        let root = root();
        let output = cargo(&root)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .map_err(|error| Failure::failed(format!("cannot start `cargo metadata`: {error}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Failure::failed(format!("`cargo metadata` failed: {said}")));
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
            Failure::failed(format!("cannot read what `cargo metadata` says: {error}"))
        })?;
        Self::from_metadata(&metadata)
            .ok_or_else(|| Failure::failed("`cargo metadata` does not say what was expected of it"))
    }

    fn from_metadata(metadata: &Value) -> Option<Self> {
        let default_members = metadata["workspace_default_members"].as_array()?;
        let packages = metadata["packages"].as_array()?;
        let host = packages.iter().find(|package| package["name"] == HOST)?;
        let mut plugins: Vec<PluginPackage> = packages
            .iter()
            .filter(|package| makes_a_plugin(package))
            .map(|package| {
                Some(PluginPackage {
                    name: package["name"].as_str()?.to_owned(),
                    by_default: default_members.contains(&package["id"]),
                })
            })
            .collect::<Option<_>>()?;
        plugins.sort_by(|a, b| a.name.cmp(&b.name));
        Some(Self {
            root: metadata["workspace_root"].as_str()?.into(),
            target: metadata["target_directory"].as_str()?.into(),
            version: host["version"].as_str()?.to_owned(),
            plugins,
        })
    }

    /// Folder of the artifacts of a profile.
    pub fn artifacts(&self, profile: &str) -> PathBuf {
        self.target.join(match profile {
            "dev" | "test" => "debug",
            "bench" => "release",
            other => other,
        })
    }
}

fn makes_a_plugin(package: &Value) -> bool {
    let targets = package["targets"].as_array();
    targets.into_iter().flatten().any(|target| {
        target["kind"]
            .as_array()
            .is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
    })
}

/// The checkout that this program belongs to.
fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map_or(here.clone(), PathBuf::from)
}

/// Where this user's machine keeps what can be made or fetched again, as bomf has it.
pub fn cache_folder() -> Result<PathBuf> {
    let set = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    let home = || set("HOME");
    let folder = set("BOMF_CACHE").or_else(|| match std::env::consts::OS {
        "windows" => set("LOCALAPPDATA").map(|folder| folder.join("bomf")),
        "macos" => home().map(|home| home.join("Library/Caches/bomf")),
        _ => set("XDG_CACHE_HOME")
            .or_else(|| home().map(|home| home.join(".cache")))
            .map(|folder| folder.join("bomf")),
    });
    folder.ok_or_else(|| Failure::failed("found no cache folder: set BOMF_CACHE or HOME"))
}
