//! `bomf optimize`.

use std::path::PathBuf;

use clap::Args;

/// What to search, and where to remember it.
#[derive(Debug, Args)]
pub struct OptimizeArguments {
    /// The space, the objectives and the optimizer, YAML.
    #[arg(value_name = "SPACE")]
    pub space: PathBuf,
    /// Replace a value of the file, for example `--set budget=50` or `--set optimizer.use=random`.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    pub set: Vec<String>,
    /// Write everything that is asked and told to this file, and go on where it ends if it is there already.
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
}

/// What `bomf optimize --help` begins with.
pub const ABOUT: &str = "\
Search any space for any program: it asks for points and is told their values, as JSON lines.

Standard output asks, one line each:
  {\"ask\": {\"id\": 0, \"point\": {\"learning_rate\": 0.00031, \"layers\": 4}}}
Standard input tells, in any order:
  {\"tell\": {\"id\": 0, \"values\": {\"f1\": 0.81}}}                        what came of it
  {\"tell\": {\"id\": 0, \"values\": {\"f1\": 0.81}, \"noise\": {\"f1\": 0.01}}}  with standard deviations
  {\"tell\": {\"id\": 0, \"failed\": \"out of memory\"}}                     no value could be had
  {\"tell\": {\"point\": {...}, \"values\": {...}}}                        a point that was evaluated before
  {\"report\": {\"id\": 0, \"step\": 3, \"values\": {\"f1\": 0.6}}}            a value on the way, answered by
                                                {\"continue\": {\"id\": 0}} or {\"stop\": {\"id\": 0}}
The end, when the budget is spent, the optimizer has nothing left to try, or standard input is closed:
  {\"done\": {\"why\": ..., \"trials\": ..., \"pareto\": [...], \"hypervolume\": ..., \"chosen\": {...}}}
A line that cannot be used is answered by {\"error\": {\"code\", \"place\", \"message\", \"hint\"}}; the session goes on.";

/// What it ends with.
pub const EXAMPLES: &str = "\
A whole SPACE.yaml; only `space` and `objectives` are needed:
  space:
    coefficients: { simplex: 15 }                     # 15 numbers that sum to 1
    learning_rate: { low: 1e-6, high: 1e-3, scale: log }
    layers: { low: 0, high: 6, integer: true }
    schedule: { choices: [linear, cosine] }
  objectives:
    - { name: f1, direction: maximize, reference: 0.2, scale: [0.5, 0.9] }
  constraints:
    - { name: seconds, at_most: 60 }
  optimizer: { use: gp }                              # `bomf plugins list`, `bomf plugins show gp`
  budget: 75                                          # asks in all; left out: until standard input is closed
  parallel: 1                                         # asks that are open at once
  seed: 0
  threads: 1                                          # left out: all processors
  choose: best_sum                                    # or knee, {best: f1, within: {loss: 0.01}}, {weights: {f1: 2}}

docs/optimize.md has a whole program that uses it.";
