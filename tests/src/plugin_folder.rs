//! Plugin folders with something wrong in them.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A temporary search folder, filled from the built plugins.
pub struct PluginFolder {
    folder: TempDir,
}

impl PluginFolder {
    /// An empty search folder.
    ///
    /// # Panics
    /// When no temporary folder can be made.
    pub fn empty() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        Self { folder }
    }

    /// A search folder with copies of some built plugins.
    ///
    /// # Panics
    /// When one of them was not built.
    pub fn with(plugins: &[&str]) -> Self {
        let folder = Self::empty();
        for plugin in plugins {
            folder.copy(plugin, plugin);
        }
        folder
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Copies a built plugin under a folder name; returns that folder.
    ///
    /// # Panics
    /// When it was not built.
    pub fn copy(&self, plugin: &str, to: &str) -> PathBuf {
        let from = crate::plugins().join(plugin);
        let target = self.path().join(to);
        std::fs::create_dir_all(&target).expect("a temporary folder");
        let entries = std::fs::read_dir(&from)
            .unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask test`", from.display()));
        for entry in entries {
            let source = entry.expect("the folder can be listed").path();
            let name = source.file_name().expect("an entry has a name");
            std::fs::copy(&source, target.join(name)).expect("a temporary folder");
        }
        target
    }

    /// The library in a plugin's folder.
    ///
    /// # Panics
    /// When there is none.
    pub fn library(&self, plugin: &str) -> PathBuf {
        library_in(&self.path().join(plugin))
    }

    /// Replaces a piece of a plugin's manifest.
    ///
    /// # Panics
    /// When the piece is not there.
    pub fn edit_manifest(&self, plugin: &str, from: &str, to: &str) {
        let path = self.path().join(plugin).join("plugin.toml");
        let text = std::fs::read_to_string(&path).expect("it was copied");
        assert!(text.contains(from), "`{from}` is not in\n{text}");
        std::fs::write(&path, text.replacen(from, to, 1)).expect("a temporary folder");
    }
}

/// The library in a plugin folder.
///
/// # Panics
/// When there is none.
pub fn library_in(folder: &Path) -> PathBuf {
    std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("the folder can be listed").path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == std::env::consts::DLL_EXTENSION)
        })
        .unwrap_or_else(|| panic!("no library in {}", folder.display()))
}
