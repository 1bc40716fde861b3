//! Crashes on demand, for the tests of resuming.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Ends the process without any clean-up at the n-th write when `BOMF_TEST_CRASH_AT=n` is set. Every durable write passes
/// here twice: when all is written but does not count yet, and when it counts.
pub fn point() {
    static AT: LazyLock<Option<u64>> =
        LazyLock::new(|| std::env::var("BOMF_TEST_CRASH_AT").ok()?.parse().ok());
    static PASSED: AtomicU64 = AtomicU64::new(0);
    if let Some(at) = *AT
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == at
    {
        std::process::abort();
    }
}
