//! The command line: what the user typed.

pub mod fuse;
mod log;
pub mod optimize;
pub mod plugins;
pub mod score;
pub mod validate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use fuse::FuseArguments;
pub use log::listen;
pub use optimize::OptimizeArguments;

/// What `bomf --version` prints.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit ",
    env!("BOMF_COMMIT"),
    "\ntarget ",
    env!("BOMF_TARGET"),
    "\n",
    env!("BOMF_RUSTC")
);

/// Fuse the checkpoints of one fine-tuning run into a better model, by Bayesian optimization on your own metrics.
#[derive(Debug, Parser)]
#[command(name = "bomf", version = VERSION, propagate_version = false, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Folder with plugins; searched before `plugins:` of the configuration, BOMF_PLUGINS, ./plugins, and `plugins` beside
    /// the binary. May be given more than once.
    #[arg(long, global = true, value_name = "DIR")]
    pub plugins: Vec<PathBuf>,
    /// Print results (and progress) as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Show what goes on inside; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  bomf run configs/movie-reviews.yaml               tune, train, fuse, test, report
  bomf run configs/movie-reviews.yaml --resume      go on with the last run of that name
  bomf run my.yaml --set trajectory.epochs=6        change one value
  bomf validate my.yaml                             check everything, run nothing
  bomf score accuracy f1 --examples answers.jsonl   score predictions, without a run
  bomf fuse --member a=0.7 --member b=0.3 --out c   average checkpoints that are there already
  bomf optimize space.yaml                          search any space for any program, as JSON lines
  bomf plugins list                                 what can be named in `use:`
  bomf plugins show gp                              options of a plugin, with defaults

Exit codes: 0 done, 2 bad input or configuration, 3 plugin, 4 the run failed.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tune, train, fuse, test and report, as a configuration says.
    Run(RunArguments),
    /// Check a configuration, its plugins and its data, and estimate time, memory and disk from a few steps on a sample.
    Validate(ConfigArguments),
    /// Score predictions that stand in a file, with the metrics alone.
    Score(score::ScoreArguments),
    /// Search any space for any program: it asks for points and is told their values, as JSON lines.
    #[command(long_about = optimize::ABOUT, after_help = optimize::EXAMPLES)]
    Optimize(OptimizeArguments),
    /// Fuse checkpoints or adapters that are there already, without a search.
    Fuse(FuseArguments),
    /// See what can be named in `use:`, and pack libraries.
    #[command(subcommand)]
    Plugins(PluginsCommand),
    /// Fetch the models and data that configurations name.
    #[command(subcommand)]
    Assets(AssetsCommand),
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct ConfigArguments {
    /// The configuration, YAML.
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// Replace a value of the configuration, for example `--set trajectory.epochs=6` or `--set metrics[0].use=f1`.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    pub set: Vec<String>,
}

/// How to run.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The configuration and changes to it.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// The run folder; by default `runs/<name>-<time>`.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on where the run in `--out`, or the last run of that name, was interrupted.
    #[arg(long)]
    pub resume: bool,
    /// Show no progress.
    #[arg(long, conflicts_with = "json")]
    pub quiet: bool,
}

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum PluginsCommand {
    /// List all plugins, what they bring, and what is wrong with those that cannot be used.
    List,
    /// Show what a plugin or one of its components is for, its options, their types and defaults.
    Show {
        /// Name of a plugin, or of a model backend, metric, optimizer or fuser.
        name: String,
    },
    /// Make a plugin folder (library and plugin.toml) from a built library. Opens the library, which runs its code.
    Pack {
        /// The built library (.so, .dylib, .dll).
        library: PathBuf,
        /// Where to make the folder.
        #[arg(long, value_name = "DIR", default_value = "plugins")]
        out: PathBuf,
    },
}

/// What to do with assets.
#[derive(Debug, Subcommand)]
pub enum AssetsCommand {
    /// Fetch models or data into the cache, and check them.
    Fetch {
        /// Their names; `bomf assets list` shows them.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// List the known models and data, and which of them are in the cache.
    List,
    /// Print where something lies in the cache.
    Path {
        /// Its name.
        name: String,
    },
}
