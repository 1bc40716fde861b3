//! Memory of this process, where the system tells (Linux).

/// Anonymous memory now, in bytes.
pub fn anonymous_bytes() -> Option<u64> {
    Some(status("RssAnon:")? * 1024)
}

/// Most anonymous memory so far, in MiB: resident pages at their most, less those of files now.
pub fn peak_anonymous_mib() -> Option<u64> {
    // VmHWM counts mapped files too; what of them is resident now is taken off.
    Some(status("VmHWM:")?.saturating_sub(status("RssFile:")?) / 1024)
}

/// A line of `/proc/self/status`, in KiB.
fn status(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
