//! The `bomf` binary: from the command line to an exit code.

mod registry;

fn main() {}
