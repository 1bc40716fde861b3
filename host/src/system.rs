//! What is asked of the system before anything else.
#![cfg_attr(unix, expect(unsafe_code, reason = "a signal handler"))]

#[cfg(unix)]
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Faults of files become errors, and there may be as many open files as the system allows.
pub fn prepare() {
    explain_cut_files();
    #[cfg(unix)]
    {
        report_long_files();
        open_many_files();
    }
}

/// A file that grows beyond the limit of its size is an error of the write, which is reported, and not the end of the process.
#[cfg(unix)]
fn report_long_files() {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: nothing runs at the signal.
    if let Err(error) = unsafe { sigaction(Signal::SIGXFSZ, &ignore) } {
        tracing::warn!("a file that becomes too long will end bomf without a word: {error}");
    }
}

/// Sharded checkpoints have many files, all of which are open while they are read.
#[cfg(unix)]
fn open_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!("the limit of open files stays as it was: {error}");
    }
}

/// From now on ends the process with an error line and exit code 4 when a page of a mapped file is no longer there.
///
/// Members are read where they lie, mapped into memory: that is twice as fast as copying them into buffers, but the end of
/// a file is then found out by a signal and not by a short read.
#[cfg(unix)]
fn explain_cut_files() {
    const MESSAGE: &[u8] = b"error[checkpoint::changed] a member: found its end before it was expected: another program has cut \
        the file while it was read\n  nothing was overwritten; leave the members alone until bomf has ended, then start anew or \
        go on with `--resume`\n";
    extern "C" fn explain(_signal: i32) {
        let _ = rustix::io::write(std::io::stderr(), MESSAGE);
        // SAFETY: it ends the process without running anything else.
        unsafe { nix::libc::_exit(4) }
    }
    let action = SigAction::new(
        SigHandler::Handler(explain),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // Not behind the handler that looks for overflown stacks: that one gives the signal back its usual end, which another
    // thread would meet meanwhile.
    // SAFETY: the handler makes system calls on a descriptor that is always there, which a handler may do.
    if let Err(error) = unsafe { sigaction(Signal::SIGBUS, &action) } {
        tracing::warn!(
            "a member that is cut short while it is read will end bomf without a word: {error}"
        );
    }
}

/// Other systems do not let a mapped file be cut.
#[cfg(not(unix))]
fn explain_cut_files() {}
