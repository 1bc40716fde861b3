//! What the `bomf` binary does: from the command line to an exit code. A library only for the benches and the fuzz targets.

mod assets;
mod cli;
mod config;
mod data;
mod diagnostics;
mod estimate;
mod fuse;
mod fuser;
mod journal;
mod memory;
mod metrics;
mod model;
mod optimize;
mod output;
mod plan;
mod progress;
pub mod registry;
mod report;
mod run;
mod score;
mod stages;
mod statistics;
mod system;
mod timing;
mod weights;

#[cfg(feature = "fuzz")]
pub use optimize::sample::converse;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;

use cli::{AssetsCommand, Cli, Command, ConfigArguments, PluginsCommand};
use diagnostics::{Failure, Failures};
use estimate::Estimate;
use fuser::{Choice, Size};
use progress::{Progress, Style};
use registry::{Registry, search_folders};

/// Reads the command line, does what it says, and tells how it went.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let style = match &cli.command {
        Command::Run(arguments) if arguments.quiet => Style::Quiet,
        _ if cli.json => Style::Json,
        _ => Style::Human,
    };
    let progress = Progress::new(style);
    cli::listen(&progress, style, cli.verbose);
    system::prepare();
    match dispatch(&cli, &progress) {
        Ok(result) => print(&result),
        Err(failures) => {
            for failure in &failures.0 {
                let line = if cli.json {
                    json!({"event": "error", "error": failure}).to_string()
                } else {
                    failure.to_string()
                };
                progress.record(&line);
                eprintln!("{line}");
            }
            ExitCode::from(failures.exit_code())
        }
    }
}

/// Results go to standard output. A reader that has gone away (`| head`) is no error.
fn print(result: &str) -> ExitCode {
    match std::io::stdout().write_all(result.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("error[output::write] standard output: {error}");
            ExitCode::from(4)
        }
        _ => ExitCode::SUCCESS,
    }
}

fn dispatch(cli: &Cli, progress: &Progress) -> Result<String, Failures> {
    match &cli.command {
        Command::Run(arguments) => {
            let folder = run::run(
                arguments,
                |from_config| discover(cli, from_config, progress),
                progress,
            )?;
            let report = folder.join("report.md");
            if cli.json {
                return Ok(format!(
                    "{}\n",
                    json!({"run": folder, "report": folder.join("report.json")})
                ));
            }
            let text = std::fs::read_to_string(&report)
                .map_err(|error| Failure::io("report::read", &report, &error))?;
            Ok(format!("{text}\n{}\n", report.display()))
        }
        Command::Validate(arguments) => validate(cli, arguments, progress),
        Command::Score(arguments) => {
            score::score(arguments, &discover(cli, &[], progress), progress)
        }
        Command::Optimize(arguments) => {
            optimize::optimize(arguments, |from_config| {
                discover(cli, from_config, progress)
            })?;
            Ok(String::new())
        }
        Command::Fuse(arguments) => fuse::fuse(arguments, cli.json, progress),
        Command::Plugins(command) => plugins(cli, command, progress),
        Command::Assets(command) => assets(cli, command, progress),
    }
}

/// Finds the plugins, and says what is wrong with some of them.
fn discover(cli: &Cli, from_config: &[PathBuf], progress: &Progress) -> Registry {
    let folders = search_folders(&cli.plugins, from_config);
    let registry = Registry::discover(&folders, cli.plugins.len() + from_config.len());
    cli::plugins::faults(&registry)
        .iter()
        .for_each(|line| progress.insist(line));
    registry
}

fn validate(
    cli: &Cli,
    arguments: &ConfigArguments,
    progress: &Progress,
) -> Result<String, Failures> {
    let loaded = config::load(&arguments.config, &arguments.set)?;
    let registry = discover(cli, &loaded.config.plugins, progress);
    let plan = plan::resolve(loaded, &registry, &|line| progress.say(line))?;
    let checkpoints = stages::members::open(&plan.members)?;
    let Some(model) = plan.model() else {
        return Ok(cli::validate::summary(&plan, None, None, cli.json));
    };
    let named = fuser::open_named(&plan.config.fuse.fuser, &registry, &plan.context())?;
    let estimate = Estimate::measure(&plan, model, &registry, &checkpoints)?;
    let fuser = match named {
        Some(_) => Choice::named(&plan.config.fuse.fuser.plugin),
        None => {
            let members = match &model.training {
                Some(training) => training.trajectory.members,
                None => checkpoints.len(),
            };
            let size = Size::expected(members as u64, estimate.member_bytes);
            fuser::choose(&registry, &plan.context(), &size)?
        }
    };
    Ok(cli::validate::summary(
        &plan,
        Some(&estimate),
        Some(&fuser),
        cli.json,
    ))
}

fn plugins(cli: &Cli, command: &PluginsCommand, progress: &Progress) -> Result<String, Failures> {
    match command {
        PluginsCommand::List => Ok(cli::plugins::list(&discover(cli, &[], progress), cli.json)),
        PluginsCommand::Show { name } => {
            cli::plugins::show(&discover(cli, &[], progress), name, cli.json)
        }
        PluginsCommand::Pack { library, out } => {
            let folder = registry::pack(library, out)?;
            Ok(if cli.json {
                format!("{}\n", json!({"folder": folder}))
            } else {
                format!("{}\n", folder.display())
            })
        }
    }
}

fn assets(cli: &Cli, command: &AssetsCommand, progress: &Progress) -> Result<String, Failures> {
    match command {
        AssetsCommand::Fetch { names } => {
            let mut text = String::new();
            for name in names {
                let folder = assets::find(name)?.fetch(&|line| progress.say(line))?;
                text.push_str(&format!("{}\n", folder.display()));
            }
            Ok(text)
        }
        AssetsCommand::Path { name } => {
            let asset = assets::find(name)?;
            if !asset.is_cached() {
                let failure =
                    Failure::input("asset::not_cached", name, "found nothing in the cache");
                return Err(failure
                    .hint(format!("`bomf assets fetch {name}` fetches it"))
                    .into());
            }
            Ok(format!("{}\n", asset.folder()?.display()))
        }
        AssetsCommand::List => Ok(list_assets(cli.json)),
    }
}

fn list_assets(json: bool) -> String {
    if json {
        let all: Vec<_> = assets::ASSETS
            .iter()
            .map(|asset| {
                json!({"name": asset.name, "alias": asset.alias, "summary": asset.summary, "license": asset.license, "cached": asset.is_cached()})
            })
            .collect();
        return format!("{:#}\n", json!(all));
    }
    let lines = assets::ASSETS.iter().map(|asset| {
        let state = if asset.is_cached() {
            "in the cache"
        } else {
            "not fetched"
        };
        format!(
            "{:<16} {} ({}, {state})\n{:<16} {}\n",
            asset.name, asset.summary, asset.license, "", asset.alias
        )
    });
    lines.collect()
}
