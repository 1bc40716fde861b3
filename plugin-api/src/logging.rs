//! Log events on their way out of a plugin.
//!
//! A library has its own copy of `tracing`; this is the subscriber that it installs, which hands everything to the host.

use std::cell::RefCell;
use std::fmt::{Debug, Write};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

/// Where a plugin's log events go. Implemented by the host.
pub trait LogSink: Send + Sync + 'static {
    /// Whether events of that level from that target are wanted now.
    fn enabled(&self, level: Level, target: &str) -> bool;
    /// Takes one event: the message, with its fields as `name=value` behind it.
    fn log(&self, level: Level, target: &str, message: &str);
}

/// Installs the forwarding subscriber and a panic hook, once per library.
pub(crate) fn initialize(sink: impl LogSink) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only where the library has set a subscriber of its own; that one then stays.
        let _ = tracing::subscriber::set_global_default(Forward(sink));
        std::panic::set_hook(Box::new(|info| {
            let place = info.location().map(ToString::to_string);
            LAST_PANIC.with(|last| last.replace(place));
        }));
    });
}

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// File, line and column of this thread's last panic, if the hook is installed.
pub(crate) fn last_panic() -> Option<String> {
    LAST_PANIC.with(RefCell::take)
}

struct Forward<S>(S);

impl<S: LogSink> Subscriber for Forward<S> {
    // The host may change its level at any time: ask again at every event.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.0.enabled(*metadata.level(), metadata.target())
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        text.message.push_str(&text.fields);
        self.0
            .log(*metadata.level(), metadata.target(), &text.message);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
