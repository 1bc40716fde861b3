//! `plugin.toml`: what a library says about itself, read before the library is opened.

use std::ops::Deref;
use std::path::{Component, Path};

use bomf_plugin_api::{API_VERSION, Manifest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Fault;

/// The manifest's file name.
pub const MANIFEST_FILE: &str = "plugin.toml";
/// A manifest larger than this is not read.
const LARGEST: u64 = 4 << 20;
/// The triple that this host was built for.
pub const PLATFORM: &str = env!("BOMF_TARGET");

/// A manifest with what only the file system knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackedManifest {
    /// File name of the library, beside the manifest.
    pub library: String,
    /// `blake3:` and the library's digest in hexadecimal digits.
    pub digest: String,
    /// What the library said about itself when it was packed.
    #[serde(flatten)]
    pub manifest: Manifest,
}

impl Deref for PackedManifest {
    type Target = Manifest;

    fn deref(&self) -> &Manifest {
        &self.manifest
    }
}

/// Reads and checks the manifest of a plugin folder.
pub(super) fn read(folder: &Path) -> Result<PackedManifest, Fault> {
    let path = folder.join(MANIFEST_FILE);
    let unreadable = |what: String| {
        Fault::at("plugin::manifest", &path, what)
            .hint("`bomf plugins pack` writes the manifest anew from the library")
    };
    let size = std::fs::metadata(&path)
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if size > LARGEST {
        return Err(unreadable(format!(
            "found {size} bytes, expected at most {LARGEST}"
        )));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
    let manifest = parse(&text).map_err(unreadable)?;
    check(&path, &manifest)?;
    Ok(manifest)
}

fn parse(text: &str) -> Result<PackedManifest, String> {
    let mut value: Value = toml::from_str(text).map_err(|error| one_line(&error.to_string()))?;
    // Option schemas are JSON inside the TOML, which knows no null.
    for provided in value
        .get_mut("provides")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(Value::String(schema)) = provided.get("options") {
            let schema: Value = serde_json::from_str(schema)
                .map_err(|error| format!("provides.options: {error}"))?;
            provided["options"] = schema;
        }
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// The text of a manifest.
pub(super) fn write(manifest: &PackedManifest) -> Result<String, String> {
    let mut value = serde_json::to_value(manifest).map_err(|error| error.to_string())?;
    for provided in value
        .get_mut("provides")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        provided["options"] = Value::String(provided["options"].to_string());
    }
    drop_nulls(&mut value);
    let text = toml::to_string_pretty(&value).map_err(|error| error.to_string())?;
    Ok(format!(
        "# Written by `bomf plugins pack` from the library itself.\n{text}"
    ))
}

/// TOML knows no null: what is not there (the range of an unbounded score) is left out.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn check(path: &Path, manifest: &PackedManifest) -> Result<(), Fault> {
    let file = Path::new(&manifest.library);
    let plain = file.components().count() == 1
        && matches!(file.components().next(), Some(Component::Normal(_)));
    if !plain {
        return Err(Fault::at(
            "plugin::manifest",
            path,
            format!(
                "library: found `{}`, expected the name of a file beside it",
                manifest.library
            ),
        ));
    }
    if manifest.platform != PLATFORM {
        return Err(Fault::at(
            "plugin::platform",
            path,
            format!(
                "found a plugin for `{}`, this host can only load `{PLATFORM}`",
                manifest.platform
            ),
        )
        .hint("build the plugin for this platform"));
    }
    if major(&manifest.api_version) != major(API_VERSION) {
        return Err(Fault::at(
            "plugin::api_version",
            path,
            format!(
                "found a plugin for API version `{}`, this host can only load `{}.x`",
                manifest.api_version,
                major(API_VERSION)
            ),
        )
        .hint("rebuild the plugin against this version of `bomf-plugin-api`"));
    }
    Ok(())
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use bomf_plugin_api::{Descriptor, Kind, Library, ScoreDescriptor};

    use super::*;

    #[test]
    fn a_manifest_survives_its_file() {
        let mut manifest = Library::new("metric-x", "1.2.3", "MIT").manifest().clone();
        let mut descriptor = Descriptor::new(Kind::Metric, "x", "an \"x\"\nwith lines")
            .alias("y")
            .score(ScoreDescriptor::minimize("unbounded", 0.0, f64::INFINITY))
            .score(ScoreDescriptor::maximize("bounded", 0.0, 1.0));
        descriptor.options = serde_json::json!({"properties": {"a": {"default": null}}});
        manifest.provides.push(descriptor);
        let packed = PackedManifest {
            library: "libx.so".into(),
            digest: "blake3:00".into(),
            manifest,
        };
        assert_eq!(parse(&write(&packed).unwrap()).unwrap(), packed);
    }

    #[test]
    fn a_library_outside_the_folder_is_refused() {
        let manifest = Library::new("metric-x", "1.2.3", "MIT").manifest().clone();
        for library in ["../evil.so", "/evil.so", "a/b.so", ""] {
            let packed = PackedManifest {
                library: library.into(),
                digest: String::new(),
                manifest: manifest.clone(),
            };
            assert!(
                check(Path::new("plugin.toml"), &packed).is_err(),
                "{library}"
            );
        }
    }

    #[test]
    fn another_platform_and_another_api_are_refused() {
        let manifest = Library::new("metric-x", "1.2.3", "MIT").manifest().clone();
        let packed = PackedManifest {
            library: "x.so".into(),
            digest: String::new(),
            manifest,
        };
        assert!(check(Path::new("p"), &packed).is_ok());
        let mut foreign = packed.clone();
        foreign.manifest.platform = "riscv64gc-unknown-linux-gnu".into();
        assert_eq!(
            check(Path::new("p"), &foreign).unwrap_err().code,
            "plugin::platform"
        );
        let mut future = packed;
        future.manifest.api_version = "2.0".into();
        assert_eq!(
            check(Path::new("p"), &future).unwrap_err().code,
            "plugin::api_version"
        );
    }
}
