//! Build, run, test and packaging helpers: `cargo xtask help`.
//!
//! Everything here is a thin layer over cargo and the built `bomf`: what it runs, it prints.

mod assembly;
mod checks;
mod command;
mod dist;
mod libtorch;
mod parts;
mod peers;
mod tests;
mod workspace;

use std::process::ExitCode;

use command::{Failure, Result};
use parts::Parts;
use workspace::Workspace;

const HELP: &str = "\
cargo xtask: build, run, test and pack bomf

usage: cargo xtask COMMAND [ARGUMENTS]

  run [ARGUMENTS]...      build host and plugins, then `bomf run ARGUMENTS`
                            cargo xtask run configs/movie-reviews.yaml
  bomf [ARGUMENTS]...     build host and plugins, then any other bomf command
                            cargo xtask bomf plugins list
  build [--all] [--profile NAME]
                          build host and plugins in one cargo invocation and assemble the plugins into
                          target/release/plugins/<name>/; --all adds those that are built on request only (fuser-wgpu).
                          fuser-torch takes part where LibTorch is there
  test [--all] [FILTER] [-- ARGUMENTS...]
                          build everything, then run every test: units, examples in documentation, conformance,
                          end to end, the plugin outside the workspace. FILTER and ARGUMENTS go to the test programs.
                          fuser-wgpu takes part where a Vulkan loader is installed, or always with --all;
                          fuser-torch where LibTorch is there
  check                   formatting, clippy and rustdoc without a warning, `cargo deny` where it is installed
  dist                    a folder and an archive with bomf, its plugins, configurations and licences
  setup-libtorch          download LibTorch for the CPU (530 MB), from pinned packages, into the cache folder
  peers [NAME]            comparisons with other tools in a Python environment of their own; no NAME: lists them
  help                    this text

`CARGO_TARGET_DIR` is respected. `REQUIRE_*=1` makes tests fail that would otherwise be skipped (see CONTRIBUTING.md).
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            failure.exit_code()
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<ExitCode> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    if rest.first().is_some_and(|first| first == "--help") && !matches!(command, "run" | "bomf") {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    match command {
        "help" | "--help" | "-h" => print!("{HELP}"),
        "build" => {
            let options = BuildOptions::parse(rest)?;
            let workspace = Workspace::read()?;
            let parts = match options.all {
                true => Parts::all(&workspace)?,
                false => Parts::by_default(&workspace),
            };
            let assembled = assembly::build(&workspace, &parts, &options.profile)?;
            println!("{}", assembled.bomf.display());
            println!("{}", assembled.plugins.display());
        }
        "run" => {
            let mut forwarded = vec!["run".to_owned()];
            forwarded.extend_from_slice(rest);
            return build_and_become_bomf(&forwarded);
        }
        "bomf" => return build_and_become_bomf(rest),
        "test" => tests::run(&Workspace::read()?, &tests::Options::parse(rest)?)?,
        "check" => checks::run(&Workspace::read()?, rest)?,
        "dist" => dist::run(&Workspace::read()?, rest)?,
        "setup-libtorch" => libtorch::setup(rest)?,
        "peers" => peers::run(&Workspace::read()?, rest)?,
        other => {
            return Err(Failure::usage(format!(
                "found the unknown command `{other}`; `cargo xtask help` lists them"
            )));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn build_and_become_bomf(arguments: &[String]) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    let assembled = assembly::build(&workspace, &Parts::by_default(&workspace), "release")?;
    command::replace_process(&assembled.bomf, arguments)
}

/// What `cargo xtask build` was asked for.
struct BuildOptions {
    all: bool,
    profile: String,
}

impl BuildOptions {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            all: false,
            profile: "release".to_owned(),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--all" => options.all = true,
                "--profile" => {
                    options.profile = rest
                        .next()
                        .ok_or_else(|| {
                            Failure::usage("found `--profile` without a name behind it")
                        })?
                        .clone();
                }
                other => {
                    return Err(Failure::usage(format!(
                        "found `{other}`, expected `--all` or `--profile NAME`"
                    )));
                }
            }
        }
        Ok(options)
    }
}
