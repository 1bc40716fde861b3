//! The stages of a run. Each is a function from the stage before to the next; only `study` loops.

pub mod bench;
pub mod choice;
pub mod evaluator;
pub mod fuse;
pub mod members;
pub mod objectives;
pub mod program;
pub mod study;
pub mod test;
pub mod trajectory;
pub mod tune;
pub mod window;

use crate::diagnostics::Failure;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::progress::Progress;
use crate::timing::Timing;

/// Name of the training split.
pub const TRAIN: &str = "train";
/// Name of the split that every search looks at.
pub const VALIDATION: &str = "validation";
/// Name of the split that nothing looks at until the end.
pub const TEST: &str = "test";

/// What every stage of a run needs.
pub struct Run<'a> {
    /// Seeds everything.
    pub seed: u64,
    /// Rows of the training split.
    pub train_rows: usize,
    /// The run folder.
    pub journal: &'a Journal,
    /// The metrics, open.
    pub metrics: &'a Metrics,
    /// Where progress is shown.
    pub progress: &'a Progress,
    /// Where the time goes.
    pub timing: &'a Timing,
    /// Whether the user asked to stop.
    pub stop: &'a dyn Fn() -> bool,
}

impl Run<'_> {
    /// An error when the user asked to stop: everything finished is on disk.
    pub fn check_stop(&self) -> Result<(), Failure> {
        if (self.stop)() {
            return Err(Failure::interrupted());
        }
        Ok(())
    }
}
