//! Plugins: where they are, what they bring, and opening them when something names them.
//!
//! Only manifests are read at first. A library is hashed, opened and checked when the first of its components is made,
//! because opening it runs its code.

mod library;
mod manifest;
mod pack;
mod preload;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bomf_plugin_api::abi::LoadedLibrary;
use bomf_plugin_api::{
    Context, Descriptor, Fuser, Kind, Metric, ModelBackend, Optimizer, PluginError,
};
use serde_json::Value;

pub use manifest::{MANIFEST_FILE, PackedManifest};
pub use pack::pack;

/// Something wrong with a plugin: it is reported, and the others still work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Stable code, for example `plugin::digest`.
    pub code: &'static str,
    /// The file or folder, or the plugin and component.
    pub place: String,
    /// What was found and what was expected.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Fault {
    fn new(code: &'static str, place: impl ToString, message: impl Into<String>) -> Self {
        Self {
            code,
            place: place.to_string(),
            message: message.into(),
            hint: None,
        }
    }

    fn at(code: &'static str, path: &Path, message: impl Into<String>) -> Self {
        Self::new(code, path.display(), message)
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// No fuser can be used, and why.
    pub fn no_fuser(because: &str) -> Self {
        Self::new(
            "plugin::no_fuser",
            "fuse.fuser",
            format!("found no fuser that can be used: {because}"),
        )
        .hint("`bomf plugins list` shows what is there; `use: cpu` works everywhere")
    }
}

/// A plugin whose manifest is in order.
pub struct Plugin {
    /// The folder that holds manifest and library.
    pub folder: PathBuf,
    /// What the manifest says.
    pub manifest: PackedManifest,
    opened: OnceLock<Result<LoadedLibrary, Fault>>,
}

/// All plugins that were found.
#[derive(Default)]
pub struct Registry {
    plugins: Vec<Plugin>,
    faults: Vec<Fault>,
}

/// The folders that are searched, first hit wins: `--plugins`, the configuration's, `BOMF_PLUGINS`, `./plugins`, and
/// `plugins` beside the binary.
pub fn search_folders(from_command: &[PathBuf], from_config: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = [from_command, from_config].concat();
    if let Some(list) = std::env::var_os("BOMF_PLUGINS") {
        folders.extend(std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()));
    }
    folders.push(PathBuf::from("plugins"));
    if let Some(beside) = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(Path::to_owned))
    {
        folders.push(beside.join("plugins"));
    }
    folders
}

impl Registry {
    /// Reads the manifests in the folders. Nothing is opened. What is wrong is kept in [`Registry::faults`].
    ///
    /// `named` folders were asked for by name: it is a fault if they do not exist.
    pub fn discover(folders: &[PathBuf], named: usize) -> Self {
        let mut registry = Self::default();
        let mut seen = Vec::new();
        for (position, folder) in folders.iter().enumerate() {
            let Ok(real) = folder.canonicalize() else {
                if position < named {
                    let fault = Fault::at("plugin::folder", folder, "found no such folder");
                    registry
                        .faults
                        .push(fault.hint("check `--plugins` and `plugins:`"));
                }
                continue;
            };
            if !seen.contains(&real) {
                registry.read_folder(&real);
                seen.push(real);
            }
        }
        registry
    }

    fn read_folder(&mut self, folder: &Path) {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.faults
                    .push(Fault::at("plugin::folder", folder, error.to_string()));
                return;
            }
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        paths.sort();
        if folder.join(MANIFEST_FILE).is_file() {
            self.read_plugin(folder);
        }
        for path in paths {
            if path.join(MANIFEST_FILE).is_file() {
                self.read_plugin(&path);
            } else if let Some(library) = stray_library(folder, &path) {
                let fault = Fault::at(
                    "plugin::no_manifest",
                    &library,
                    format!("found a library without `{MANIFEST_FILE}` beside it"),
                );
                self.faults.push(fault.hint(format!(
                    "`bomf plugins pack {} --out {}` makes its folder",
                    library.display(),
                    folder.display()
                )));
            }
        }
    }

    fn read_plugin(&mut self, folder: &Path) {
        let manifest = match manifest::read(folder) {
            Ok(manifest) => manifest,
            Err(fault) => {
                self.faults.push(fault);
                return;
            }
        };
        if let Some(first) = self
            .plugins
            .iter()
            .find(|other| other.name() == manifest.name)
        {
            // The same plugin in a later folder is hidden on purpose; in the same folder it is a mistake. Both are said.
            let message = format!(
                "found the plugin `{}` again, the one in {} is used",
                manifest.name,
                first.folder.display()
            );
            self.faults
                .push(Fault::at("plugin::duplicate", folder, message));
            return;
        }
        for descriptor in &manifest.provides {
            if let Some((other, _)) = self.find(descriptor.kind, &descriptor.name) {
                let message = format!(
                    "found a second {} named `{}`, the one of plugin `{}` is used",
                    descriptor.kind,
                    descriptor.name,
                    other.name()
                );
                self.faults
                    .push(Fault::at("plugin::duplicate", folder, message));
            }
        }
        let folder = folder.to_owned();
        self.plugins.push(Plugin {
            folder,
            manifest,
            opened: OnceLock::new(),
        });
    }

    /// The plugins, in search order.
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// What was wrong in the folders.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The first component of that kind that answers to the name.
    pub fn find(&self, kind: Kind, name: &str) -> Option<(&Plugin, &Descriptor)> {
        self.components(kind)
            .find(|(_, descriptor)| descriptor.answers_to(name))
    }

    /// All components of a kind, in search order.
    pub fn components(&self, kind: Kind) -> impl Iterator<Item = (&Plugin, &Descriptor)> {
        self.plugins.iter().flat_map(move |plugin| {
            let matching = plugin
                .manifest
                .provides
                .iter()
                .filter(move |d| d.kind == kind);
            matching.map(move |descriptor| (plugin, descriptor))
        })
    }

    /// Makes a metric.
    ///
    /// # Errors
    /// When there is none of that name, its library is at fault, or it refuses its options.
    pub fn metric(
        &self,
        name: &str,
        options: &Value,
        context: &Context,
    ) -> Result<Box<dyn Metric>, Fault> {
        self.make(Kind::Metric, name, options, |library, name| {
            library.metric(name, &options.to_string(), context)
        })
    }

    /// Makes an optimizer.
    ///
    /// # Errors
    /// When there is none of that name, its library is at fault, or it refuses its options.
    pub fn optimizer(
        &self,
        name: &str,
        options: &Value,
        context: &Context,
    ) -> Result<Box<dyn Optimizer>, Fault> {
        self.make(Kind::Optimizer, name, options, |library, name| {
            library.optimizer(name, &options.to_string(), context)
        })
    }

    /// Makes a fuser.
    ///
    /// # Errors
    /// When there is none of that name, its library is at fault, or it refuses its options.
    pub fn fuser(
        &self,
        name: &str,
        options: &Value,
        context: &Context,
    ) -> Result<Box<dyn Fuser>, Fault> {
        self.make(Kind::Fuser, name, options, |library, name| {
            library.fuser(name, &options.to_string(), context)
        })
    }

    /// Makes a model backend.
    ///
    /// # Errors
    /// When there is none of that name, its library is at fault, or it refuses its options.
    pub fn model(
        &self,
        name: &str,
        options: &Value,
        context: &Context,
    ) -> Result<Box<dyn ModelBackend>, Fault> {
        self.make(Kind::Model, name, options, |library, name| {
            library.model(name, &options.to_string(), context)
        })
    }

    fn make<T>(
        &self,
        kind: Kind,
        name: &str,
        options: &Value,
        make: impl FnOnce(&LoadedLibrary, &str) -> Result<T, PluginError>,
    ) -> Result<T, Fault> {
        let (plugin, descriptor) = self.find(kind, name).ok_or_else(|| {
            Fault::new(
                "plugin::unknown",
                name,
                format!("found no {kind} of that name"),
            )
            .hint("`bomf plugins list` shows what is there")
        })?;
        make(plugin.open(options)?, &descriptor.name)
            .map_err(|error| plugin.fault(&descriptor.name, &error))
    }
}

impl Plugin {
    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Opens the library, once: checks its digest, its layout and that it is what the manifest says. The options of the first
    /// component that is made may say where foreign libraries are.
    ///
    /// # Errors
    /// The same fault at every call.
    pub fn open(&self, options: &Value) -> Result<&LoadedLibrary, Fault> {
        self.opened
            .get_or_init(|| library::open(&self.folder, &self.manifest, options))
            .as_ref()
            .map_err(Fault::clone)
    }

    /// An error of one of its components, with the plugin's name.
    pub fn fault(&self, component: &str, error: &PluginError) -> Fault {
        let fault = Fault::new(
            "plugin::failed",
            format!("plugin `{}`, `{component}`", self.name()),
            error.message.clone(),
        );
        match &error.hint {
            Some(hint) => fault.hint(hint.clone()),
            None => fault,
        }
    }
}

/// A shared library that no manifest speaks of: in the search folder itself, or in a folder that is no crate.
fn stray_library(folder: &Path, path: &Path) -> Option<PathBuf> {
    let is_library = |path: &Path| {
        path.extension()
            .is_some_and(|extension| extension == std::env::consts::DLL_EXTENSION)
    };
    if path.is_file() && is_library(path) && !folder.join(MANIFEST_FILE).is_file() {
        return Some(path.to_owned());
    }
    if !path.is_dir() || path.join("Cargo.toml").is_file() {
        return None;
    }
    let mut inside: Vec<PathBuf> = std::fs::read_dir(path)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    inside.sort();
    inside.into_iter().find(|file| is_library(file))
}
