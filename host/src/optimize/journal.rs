//! What happened in a session, in a file: [`Lines`], of which the first says what is searched.

use std::path::Path;

use bomf_plugin_api::Kind;
use serde::Deserialize;
use serde_json::{Value, json};

use super::search::Search;
use super::session::Event;
use crate::config::document::child;
use crate::diagnostics::Failure;
use crate::journal::lines::{Line, Lines};
use crate::registry::Registry;

/// Key of the first line: what is searched, and by what.
const BEGUN: &str = "begun";
/// Key of all others.
const EVENT: &str = "event";

/// An open journal.
pub struct Journal(Lines);

impl Journal {
    /// Opens or makes a journal, and reads what happened so far.
    ///
    /// # Errors
    /// When it is no journal of this search, or another process has it open.
    pub fn open(
        path: &Path,
        search: &Search,
        registry: &Registry,
    ) -> Result<(Self, Vec<Event>), Failure> {
        let (mut lines, read) = Lines::open(path)?;
        let now = json!({"search": search.identity(), "made_by": makers(search, registry)});
        let mut read = read.into_iter();
        let Some(first) = read.next() else {
            lines.append(BEGUN, &now, None)?;
            return Ok((Self(lines), Vec::new()));
        };
        let place = path.display();
        if first.key != BEGUN || first.value["search"].is_null() {
            let message = "found a journal of something else, expected one of `bomf optimize`";
            return Err(
                Failure::input("optimize::journal", place, message).hint("name another file")
            );
        }
        let mut differing = Vec::new();
        differences(&first.value["search"], &now["search"], "", &mut differing);
        if !differing.is_empty() {
            let message = format!(
                "found a journal of another search: {}",
                differing.join("; ")
            );
            return Err(Failure::input("optimize::journal", place, message)
                .hint("go on with what it was begun with, or name another file"));
        }
        if first.value["made_by"] != now["made_by"] {
            tracing::warn!(
                "{place}: begun by another build of bomf or of the optimizer: what is asked now may differ from what that \
             build would ask"
            );
        }
        let event = |line: Line| {
            Event::deserialize(&line.value).map_err(|error| {
                Failure::input(
                    "optimize::journal",
                    path.display(),
                    format!("{}: {error}", line.key),
                )
                .hint("the journal was made by another version of bomf: start anew")
            })
        };
        let events = read.map(event).collect::<Result<_, _>>()?;
        Ok((Self(lines), events))
    }

    /// Appends an event; it is on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record(&mut self, event: &Event) -> Result<(), Failure> {
        self.0.append(EVENT, &json!(event), None)
    }
}

/// Versions of what suggests.
fn makers(search: &Search, registry: &Registry) -> Value {
    let (plugin, _) = registry
        .find(Kind::Optimizer, &search.optimizer)
        .expect("the optimizer was made");
    json!({
        "bomf": env!("CARGO_PKG_VERSION"),
        "plugin": {"name": plugin.name(), "version": plugin.manifest.version, "digest": plugin.manifest.digest},
    })
}

/// Gathers where two values differ. Items of lists that have names go by them.
fn differences(then: &Value, now: &Value, at: &str, found: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            for key in keys {
                differences(&then[key], &now[key], &child(at, key), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() && have_names(a) => {
            for (a, b) in a.iter().zip(b) {
                let name = a["name"].as_str().unwrap_or_default();
                differences(a, b, &child(at, name), found);
            }
        }
        _ if then != now => found.push(format!("`{at}` was {then} and is {now}")),
        _ => {}
    }
}

fn have_names(items: &[Value]) -> bool {
    items.iter().all(|item| item["name"].is_string())
}
