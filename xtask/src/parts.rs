//! Which plugins are built: those that need nothing but cargo, and those whose needs are met here.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Failure, Result};
use crate::libtorch;
use crate::workspace::Workspace;

/// Needs a GPU's driver to run, and much time to be built.
const WGPU: &str = "fuser-wgpu";
/// Is linked with LibTorch.
const TORCH: &str = "fuser-torch";

/// The plugins that take part, and what they need.
pub struct Parts {
    /// Names of packages.
    pub plugins: Vec<String>,
    /// Names of packages that are left out.
    pub left_out: Vec<String>,
    libtorch: Option<PathBuf>,
}

impl Parts {
    /// What users get who do not ask for more: without wgpu, and with LibTorch where it is there.
    pub fn by_default(workspace: &Workspace) -> Self {
        Self::choose(workspace, false)
    }

    /// Everything that can be built here.
    pub fn all(workspace: &Workspace) -> Result<Self> {
        let parts = Self::choose(workspace, true);
        parts.say_what_is_left_out()?;
        Ok(parts)
    }

    /// Everything that can be built and tested here.
    pub fn testable(workspace: &Workspace) -> Result<Self> {
        let parts = Self::choose(workspace, vulkan_is_there()?);
        parts.say_what_is_left_out()?;
        Ok(parts)
    }

    fn choose(workspace: &Workspace, with_wgpu: bool) -> Self {
        let libtorch = libtorch::find();
        let takes_part = |name: &str, by_default: bool| match name {
            WGPU => with_wgpu,
            TORCH => libtorch.is_some(),
            _ => by_default,
        };
        let plugins = workspace.plugins.iter();
        let (plugins, left_out): (Vec<_>, Vec<_>) =
            plugins.partition(|plugin| takes_part(&plugin.name, plugin.by_default));
        let names = |plugins: Vec<&crate::workspace::PluginPackage>| {
            plugins.iter().map(|plugin| plugin.name.clone()).collect()
        };
        Self {
            plugins: names(plugins),
            left_out: names(left_out),
            libtorch,
        }
    }

    fn say_what_is_left_out(&self) -> Result<()> {
        if self.libtorch.is_none() {
            skip("REQUIRE_LIBTORCH", TORCH, LIBTORCH_ADVICE)?;
        }
        Ok(())
    }

    /// Lets a command find what the plugins need, to build and to run them.
    pub fn offer_needs(&self, command: &mut Command) {
        if let Some(folder) = &self.libtorch {
            libtorch::offer(folder, command);
        }
    }

    /// Leaves the packages out of a cargo command on the whole workspace that cannot be built here.
    pub fn exclude_left_out(&self, command: &mut Command) {
        for package in &self.left_out {
            command.args(["--exclude", package]);
        }
    }
}

const LIBTORCH_ADVICE: &str =
    "no LibTorch: `cargo xtask setup-libtorch` makes one for the CPU ready, LIBTORCH names another";

/// fuser-wgpu opens Vulkan at run time: it builds anywhere, but has nothing to run on without a loader.
fn vulkan_is_there() -> Result<bool> {
    const NAMES: [&str; 2] = ["libvulkan.so.1", "libvulkan.so"];
    const FOLDERS: [&str; 6] = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/lib64",
        "/usr/local/lib",
    ];
    let found = !cfg!(target_os = "linux")
        || FOLDERS.iter().any(|folder| {
            NAMES
                .iter()
                .any(|name| Path::new(folder).join(name).exists())
        });
    if !found {
        let advice = "no Vulkan loader (libvulkan.so.1): on Debian, `apt-get install mesa-vulkan-drivers libvulkan1` \
                      brings one that needs no GPU";
        skip("REQUIRE_VULKAN", WGPU, advice)?;
    }
    Ok(found)
}

/// Says that a plugin and its tests are left out, or fails where they may not be.
fn skip(variable: &str, plugin: &str, why: &str) -> Result<()> {
    if std::env::var(variable).is_ok_and(|value| !value.is_empty() && value != "0") {
        return Err(Failure::failed(format!(
            "{variable} is set, but there is {why}"
        )));
    }
    eprintln!("xtask: SKIPPED: {plugin} and its tests: {why}");
    Ok(())
}
