//! Log events on standard error, between the bars and never through them.

use std::io::Write;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::progress::{Progress, Style};

/// Listens to log events: warnings and what a run has to say by default, more with `--verbose`. With `--quiet` only errors
/// are shown; the log of a run has the rest.
pub fn listen(progress: &Progress, style: Style, verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(Lines {
            progress: progress.clone(),
            quiet: style == Style::Quiet && verbose == 0,
        })
        .without_time()
        .with_target(verbose > 0)
        .with_ansi(false)
        .finish();
    // Fails only when there is one already, which only this function sets.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Hands whole lines to the progress display.
struct Lines {
    progress: Progress,
    quiet: bool,
}

struct Line<'a> {
    progress: &'a Progress,
    shown: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            progress: &self.progress,
            shown: !self.quiet,
        }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        Line {
            progress: &self.progress,
            shown: !self.quiet || *event.level() == Level::ERROR,
        }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        match self.shown {
            true => self.progress.insist(text.trim_end()),
            false => self.progress.record(text.trim_end()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
