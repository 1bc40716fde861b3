//! Where WordNet and Punkt lie: in a folder that is named, in bomf's cache, or where other programs keep them.

use std::path::{Path, PathBuf};

use bomf_plugin_api::{PluginError, Result};

/// The folder of WordNet: the one that is named, else the first that is there of `WNSEARCHDIR`, what `bomf assets fetch
/// wordnet` has left in a cache, and the place where Linux systems install it.
///
/// # Errors
/// When there is none: says how to get one.
pub fn wordnet(named: Option<&Path>, cache: Option<&Path>) -> Result<PathBuf> {
    let named = named.map(Path::to_owned);
    if let Some(folder) = named.or_else(|| variable("WNSEARCHDIR")) {
        return Ok(folder);
    }
    let others = [PathBuf::from("/usr/share/wordnet")];
    first(cache, "wordnet-", "index.noun", others).ok_or_else(|| {
        PluginError::input("found no WordNet, expected its database files: METEOR counts synonyms")
            .hint("`bomf assets fetch wordnet` fetches them; or name a folder in the option `wordnet` or in WNSEARCHDIR (Debian: package wordnet-base)")
    })
}

/// The folder of Punkt's English model: the one that is named, else the first that is there of what `bomf assets fetch
/// punkt` has left in a cache, and the places where nltk looks for its data.
///
/// # Errors
/// When there is none: says how to get one.
pub fn punkt(named: Option<&Path>, cache: Option<&Path>) -> Result<PathBuf> {
    if let Some(folder) = named {
        return Ok(folder.to_owned());
    }
    let data = std::env::var_os("NLTK_DATA").unwrap_or_default();
    let mut data: Vec<PathBuf> = std::env::split_paths(&data).collect();
    data.extend(variable("HOME").map(|home| home.join("nltk_data")));
    data.push(PathBuf::from("/usr/share/nltk_data"));
    let others = data
        .into_iter()
        .map(|folder| folder.join("tokenizers/punkt_tab/english"));
    first(cache, "punkt-", "ortho_context.tab", others).ok_or_else(|| {
        PluginError::input("found no English model of Punkt, expected its files: `tokenizer: punkt` finds sentences with it")
            .hint("`bomf assets fetch punkt` fetches it; or name a folder in the option `punkt`, such as nltk_data/tokenizers/punkt_tab/english")
    })
}

/// The first folder that holds a file, of an asset in the caches (the last version of it) and of other places.
fn first(
    cache: Option<&Path>,
    asset: &str,
    file: &str,
    others: impl IntoIterator<Item = PathBuf>,
) -> Option<PathBuf> {
    let caches = cache.map(Path::to_owned).into_iter().chain(caches());
    let fetched = caches.filter_map(|cache| {
        let entries = std::fs::read_dir(cache).ok()?.flatten();
        let of_asset =
            entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(asset));
        of_asset.map(|entry| entry.path()).max()
    });
    fetched
        .chain(others)
        .find(|folder| folder.join(file).is_file())
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The places where bomf keeps assets, on any system.
fn caches() -> impl Iterator<Item = PathBuf> {
    let under = |name: &str, path: &str| variable(name).map(|folder| folder.join(path));
    [
        variable("BOMF_CACHE"),
        under("XDG_CACHE_HOME", "bomf"),
        under("HOME", ".cache/bomf"),
        under("HOME", "Library/Caches/bomf"),
        under("LOCALAPPDATA", "bomf"),
    ]
    .into_iter()
    .flatten()
}
