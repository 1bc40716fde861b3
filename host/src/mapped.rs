//! Mapped files that another program cuts short: an error with a code, where the system would only say `Bus error`.
#![cfg_attr(unix, expect(unsafe_code, reason = "a signal handler"))]

#[cfg(unix)]
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// From now on ends the process with an error line and exit code 4 when a page of a mapped file is no longer there.
///
/// Members are read where they lie, mapped into memory: that is twice as fast as copying them into buffers, but the end of
/// a file is then found out by a signal and not by a short read.
#[cfg(unix)]
pub fn explain_cut_files() {
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
pub fn explain_cut_files() {}
