//! `bomf plugins pack`: a plugin folder from a built library.

use std::path::{Path, PathBuf};

use bomf_plugin_api::abi::LoadedLibrary;

use super::library::{HostLogs, digest, load_fault};
use super::manifest::{PackedManifest, read, write};
use super::{Fault, MANIFEST_FILE};

/// Makes `<out>/<plugin>/` with the library and its manifest; returns that folder. A folder that is up to date is left
/// as it is.
///
/// The library is opened, which runs its code.
///
/// # Errors
/// When the library is no plugin that this host can use, or a file cannot be written.
pub fn pack(library: &Path, out: &Path) -> Result<PathBuf, Fault> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| Fault::at("plugin::pack", &path, error.to_string())
    };
    let file = library
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| {
            Fault::at(
                "plugin::pack",
                library,
                "found no file name, expected a library",
            )
        })?;
    let digest = digest(library).map_err(io(library))?;
    let real = library.canonicalize().map_err(io(library))?;
    let opened =
        LoadedLibrary::open(&real, HostLogs::new(file)).map_err(|e| load_fault(library, &e))?;
    let manifest = opened
        .manifest()
        .map_err(|error| Fault::at("plugin::pack", library, error.message))?;
    let folder = out.join(&manifest.name);
    let packed = PackedManifest {
        library: file.to_owned(),
        digest,
        manifest,
    };
    if read(&folder).is_ok_and(|there| there == packed) && folder.join(file).is_file() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder).map_err(io(&folder))?;
    // The library first: a manifest never speaks of one that is not there. Both appear whole, so that a host that has
    // the old library open keeps it.
    replace(&folder.join(file), |to| {
        std::fs::copy(library, to).map(|_| ())
    })
    .map_err(io(&folder))?;
    let text = write(&packed).map_err(|error| Fault::at("plugin::pack", &folder, error))?;
    replace(&folder.join(MANIFEST_FILE), |to| std::fs::write(to, &text)).map_err(io(&folder))?;
    Ok(folder)
}

fn replace(path: &Path, write: impl FnOnce(&Path) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    write(&temporary)?;
    std::fs::rename(&temporary, path)
}
