//! Foreign libraries that a plugin is linked with: finding their folder, and opening them before the plugin.

use std::path::{Path, PathBuf};
use std::process::Command;

use bomf_plugin_api::Preload;
use serde_json::Value;

use super::{Fault, library};
use crate::assets;

/// Opens what a plugin needs, from the folder that the options of its component, the environment, the cache or Python name.
pub(super) fn open(needed: &Preload, options: &Value) -> Result<(), Fault> {
    let folder = find(needed, options)?;
    tracing::debug!("{} {} in {}", needed.name, needed.version, folder.display());
    for name in &needed.libraries {
        let path = file(&folder, name);
        library::open_for_all(&path).map_err(|error| {
            Fault::at("plugin::preload", &path, error.to_string()).hint(&needed.hint)
        })?;
    }
    for path in needed
        .optional
        .iter()
        .map(|name| file(&folder, name))
        .filter(|path| path.is_file())
    {
        if let Err(error) = library::open_for_all(&path) {
            tracing::warn!("{}: {error}; going on without it", path.display());
        }
    }
    Ok(())
}

/// A folder that somebody named has to be right; one that is only looked for may be another version's.
fn find(needed: &Preload, options: &Value) -> Result<PathBuf, Fault> {
    let variable = needed.name.to_uppercase();
    let from_options = options
        .get(&needed.name)
        .and_then(Value::as_str)
        .map(PathBuf::from);
    let from_environment = || std::env::var_os(&variable).filter(|value| !value.is_empty());
    if let Some(named) = from_options.or_else(|| from_environment().map(PathBuf::from)) {
        return match check(&named, needed) {
            Ok(()) => Ok(named),
            Err(why) => Err(Fault::at("plugin::preload", &named, why).hint(&needed.hint)),
        };
    }
    let cached =
        assets::cache().map(|cache| cache.join(format!("{}-{}", needed.name, needed.version)));
    let mut looked = vec![format!("`{variable}` is not set")];
    let module = needed.python_module.as_deref();
    let candidates = [cached.ok(), module.and_then(python_package)];
    for folder in candidates.into_iter().flatten() {
        match check(&folder, needed) {
            Ok(()) => return Ok(folder),
            Err(why) => looked.push(format!("{}: {why}", folder.display())),
        }
    }
    if let Some(module) = module {
        looked.push(format!("Python's package `{module}` was looked for"));
    }
    let found = format!(
        "found no {} {}: {}",
        needed.name,
        needed.version,
        looked.join("; ")
    );
    Err(Fault::new("plugin::preload", &needed.name, found).hint(&needed.hint))
}

/// Whether a folder has the libraries, of the right version as far as it says.
fn check(folder: &Path, needed: &Preload) -> Result<(), String> {
    let missing = needed
        .libraries
        .iter()
        .map(|name| file(folder, name))
        .find(|path| !path.is_file());
    if let Some(missing) = missing {
        let name = missing.file_name().unwrap_or_default().to_string_lossy();
        return Err(format!("found no `lib/{name}`"));
    }
    match version(folder) {
        Some(version) if version != needed.version => Err(format!(
            "found version {version}, expected {}",
            needed.version
        )),
        _ => Ok(()),
    }
}

/// The version that a folder says it has: `2.13.0` out of `2.13.0+cpu` or `__version__ = '2.13.0+cu130'`.
fn version(folder: &Path) -> Option<String> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let text = read("build-version").or_else(|| {
        let module = read("version.py")?;
        Some(
            module
                .lines()
                .find(|line| line.starts_with("__version__"))?
                .to_owned(),
        )
    })?;
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let is_part = |c: &char| c.is_ascii_digit() || *c == '.';
    Some(text[start..].chars().take_while(is_part).collect())
}

fn file(folder: &Path, name: &str) -> PathBuf {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    folder
        .join("lib")
        .join(format!("{DLL_PREFIX}{name}{DLL_SUFFIX}"))
}

/// The folder of a Python package, which is looked up and not imported.
fn python_package(module: &str) -> Option<PathBuf> {
    const FIND: &str = "import importlib.util, sys\n\
        found = importlib.util.find_spec(sys.argv[1])\n\
        print(*(found.submodule_search_locations or []) if found else [])";
    let python = std::env::var("BOMF_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(python)
        .args(["-c", FIND, module])
        .output()
        .ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    let folder = folder.trim();
    (output.status.success() && !folder.is_empty()).then(|| PathBuf::from(folder))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn needed() -> Preload {
        Preload::new("libnothing", "1.2.3", &["first", "second"]).hint("install it")
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("lib")).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        for name in ["first", "second"] {
            std::fs::write(file(folder.path(), name), "no library").unwrap();
        }
        folder
    }

    fn fault_with(folder: &Path) -> Fault {
        open(&needed(), &json!({ "libnothing": folder })).unwrap_err()
    }

    #[test]
    fn a_folder_of_another_version_is_refused() {
        for files in [
            ("build-version", "1.2.4+cpu\n"),
            ("version.py", "from x import y\n__version__ = '1.2.4+cu1'\n"),
        ] {
            let fault = fault_with(folder(&[files]).path());
            assert_eq!(fault.message, "found version 1.2.4, expected 1.2.3");
            assert_eq!(
                (fault.code, fault.hint.as_deref()),
                ("plugin::preload", Some("install it"))
            );
        }
    }

    #[test]
    fn a_folder_without_the_libraries_is_refused() {
        let folder = folder(&[]);
        std::fs::remove_file(file(folder.path(), "second")).unwrap();
        let fault = fault_with(folder.path());
        assert!(
            fault.message.contains("found no `lib/"),
            "{}",
            fault.message
        );
        assert!(fault.message.contains("second"), "{}", fault.message);
    }

    #[test]
    fn a_file_that_is_no_library_is_refused() {
        let folder = folder(&[("build-version", "1.2.3")]);
        let fault = fault_with(folder.path());
        assert!(fault.place.contains("first"), "{}", fault.place);
        assert_eq!(fault.hint.as_deref(), Some("install it"));
    }

    #[test]
    fn a_library_that_is_nowhere_is_named_with_the_places_that_were_looked_at() {
        let fault = open(&needed().python_module("no_such_module"), &json!({})).unwrap_err();
        for piece in [
            "libnothing 1.2.3",
            "`LIBNOTHING` is not set",
            "`no_such_module`",
        ] {
            assert!(fault.message.contains(piece), "{}", fault.message);
        }
    }
}
