//! Opening a plugin's library.
#![expect(unsafe_code, reason = "opening a shared library runs its initialisers")]

use std::path::Path;

use bomf_plugin_api::LogSink;
use bomf_plugin_api::abi::{LoadError, LoadedLibrary};
use serde_json::Value;
use tracing::{Level, level_filters::LevelFilter};

use super::manifest::PackedManifest;
use super::{Fault, MANIFEST_FILE, preload};

/// Checks the digest, opens what has to be open first, opens the library, and compares it with its manifest.
pub(super) fn open(
    folder: &Path,
    manifest: &PackedManifest,
    options: &Value,
) -> Result<LoadedLibrary, Fault> {
    let path = folder.join(&manifest.library);
    let found =
        digest(&path).map_err(|error| Fault::at("plugin::library", &path, error.to_string()))?;
    if found != manifest.digest {
        return Err(Fault::at(
            "plugin::digest",
            &path,
            format!("found the digest `{found}`, expected `{}` from `{MANIFEST_FILE}`", manifest.digest),
        )
        .hint("the library was changed after it was packed: `bomf plugins pack` it again if you trust it"));
    }
    for needed in &manifest.preload {
        preload::open(needed, options)?;
    }
    let logs = HostLogs::new(&manifest.name);
    let opened = LoadedLibrary::open(&path, logs).map_err(|error| load_fault(&path, &error))?;
    let own = opened
        .manifest()
        .map_err(|error| Fault::at("plugin::failed", &path, error.message))?;
    if own != manifest.manifest {
        return Err(Fault::at(
            "plugin::manifest",
            &path,
            format!("found a library that describes itself otherwise than `{MANIFEST_FILE}`"),
        )
        .hint("`bomf plugins pack` it again"));
    }
    Ok(opened)
}

pub(super) fn load_fault(path: &Path, error: &LoadError) -> Fault {
    if let LoadError::Incompatible { details, .. } = error {
        tracing::debug!("{}: {details}", path.display());
        return Fault::at("plugin::incompatible", path, error.to_string()).hint(
            "rebuild the plugin against this version of `bomf-plugin-api`; `--verbose` shows the whole comparison",
        );
    }
    Fault::at("plugin::library", path, error.to_string())
}

/// `blake3:` and the digest of a file.
pub(super) fn digest(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path)?)?;
    Ok(format!("blake3:{}", hasher.finalize().to_hex()))
}

/// Opens a foreign library for good, its symbols visible to all that are opened later.
pub(super) fn open_for_all(library: &Path) -> Result<(), libloading::Error> {
    #[cfg(unix)]
    {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY};
        // SAFETY: the user's configuration names a plugin whose manifest names this library; its initialisers are
        // trusted as the plugin itself is.
        let opened = unsafe { Library::open(Some(library), RTLD_LAZY | RTLD_GLOBAL) }?;
        std::mem::forget(opened);
    }
    #[cfg(windows)]
    {
        // SAFETY: as above; on Windows symbols need not be made visible.
        let opened = unsafe { libloading::Library::new(library) }?;
        std::mem::forget(opened);
    }
    Ok(())
}

/// Log events of one plugin on their way into the host's `tracing`.
pub(super) struct HostLogs {
    plugin: String,
    target: String,
}

impl HostLogs {
    pub(super) fn new(plugin: &str) -> Self {
        Self {
            plugin: plugin.to_owned(),
            target: plugin.replace('-', "_"),
        }
    }
}

impl LogSink for HostLogs {
    /// The libraries that a plugin is made of are only heard when they warn, or when everything is wanted.
    fn enabled(&self, level: Level, target: &str) -> bool {
        let limit = LevelFilter::current();
        let own = target.starts_with(&self.target);
        level <= limit && (own || level <= Level::WARN || limit == LevelFilter::TRACE)
    }

    fn log(&self, level: Level, target: &str, message: &str) {
        let plugin = self.plugin.as_str();
        match level {
            Level::ERROR => tracing::error!(target: "plugin", plugin, from = target, "{message}"),
            Level::WARN => tracing::warn!(target: "plugin", plugin, from = target, "{message}"),
            Level::INFO => tracing::info!(target: "plugin", plugin, from = target, "{message}"),
            Level::DEBUG => tracing::debug!(target: "plugin", plugin, from = target, "{message}"),
            Level::TRACE => tracing::trace!(target: "plugin", plugin, from = target, "{message}"),
        }
    }
}
