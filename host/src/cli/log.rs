//! Log events on standard error, between the bars and never through them.

use std::io::Write;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::progress::{Progress, Style};

/// Listens to log events: warnings and what a run has to say by default, more with `--verbose`, nothing less than errors
/// with `--quiet`.
pub fn listen(progress: &Progress, style: Style, verbose: u8) {
    let level = match (style, verbose) {
        (Style::Quiet, 0) => LevelFilter::ERROR,
        (_, 0) => LevelFilter::INFO,
        (_, 1) => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(Lines(progress.clone()))
        .without_time()
        .with_target(verbose > 0)
        .with_ansi(false)
        .finish();
    // Fails only when there is one already, which only this function sets.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Hands whole lines to the progress display.
struct Lines(Progress);

struct Line<'a>(&'a Progress);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.log(String::from_utf8_lossy(bytes).trim_end());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
