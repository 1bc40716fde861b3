//! The `bomf` binary: from the command line to an exit code.

mod assets;
mod cli;
mod diagnostics;
mod journal;
mod progress;
mod registry;
mod stages;
mod statistics;
mod timing;
mod weights;

fn main() {}
