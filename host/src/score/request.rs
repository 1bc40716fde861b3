//! From the arguments to open metrics: entries as under `metrics:` of a configuration, with options laid over them.

use std::path::Path;

use bomf_plugin_api::{Context, Kind, column};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cli::score::ScoreArguments;
use crate::config::document::{Document, item, value};
use crate::config::schema::{self, nearest};
use crate::config::{self, MetricConfig};
use crate::diagnostics::{Failure, Failures};
use crate::metrics::{self, Metrics};
use crate::plan::Names;
use crate::registry::Registry;

/// Keys of what is printed that are no metric.
const RESERVED: [&str; 5] = ["examples", "skipped", "signatures", "labels", "groups"];

/// Checks names and options, and opens the metrics.
pub fn open(
    arguments: &ScoreArguments,
    registry: &Registry,
    context: &Context,
) -> Result<Metrics, Failures> {
    let mut document = entries(arguments)?;
    let mut problems = Vec::new();
    config::read::<Vec<MetricConfig>>(&mut document, &[])?;
    for text in &arguments.options {
        if let Err(problem) = lay_over(&mut document.value, text, registry) {
            problems.push(*problem);
        }
    }
    let fault = |error: serde_json::Error| document.problem("", "config::value", error.to_string());
    let mut entries = Vec::<MetricConfig>::deserialize(&document.value).map_err(fault)?;
    for (index, entry) in entries.iter_mut().enumerate() {
        if RESERVED.contains(&entry.label()) {
            let message = format!(
                "found a metric named `{}`, which is a key of what is printed",
                entry.label()
            );
            let problem = document.problem(&item("", index), "config::name", message);
            problems.push(problem.hint("give it another `name`"));
        }
        if let (MetricConfig::Use(metric), Some(_)) = (entry, &arguments.group) {
            metric.by.get_or_insert_with(|| column::GROUP.to_owned());
        }
    }
    let mut names = Names {
        registry,
        document: &document,
        problems,
    };
    names.metrics(&entries, "");
    if !names.problems.is_empty() {
        return Err(Failures(names.problems));
    }
    metrics::open(&entries, "", Vec::new(), &document, registry, context)
}

/// The metrics as a list, one argument a line, so that positions in messages are those of the arguments.
fn entries(arguments: &ScoreArguments) -> Result<Document, Failure> {
    let lines = arguments
        .metrics
        .iter()
        .map(|text| match text.trim_start().starts_with('{') {
            true => format!("- {}\n", text.replace(['\n', '\r'], " ")),
            false => format!("- {}\n", json!(text)),
        });
    Document::parse(Path::new("METRIC"), &lines.collect::<String>())
}

/// Gives one `--option` to the metric that it names, or to all that know it.
fn lay_over(entries: &mut Value, text: &str, registry: &Registry) -> Result<(), Box<Failure>> {
    let fault = |what: String| {
        let failure = Failure::input("score::option", format!("--option {text}"), what);
        Box::new(failure)
    };
    let (key, given) = text
        .split_once('=')
        .ok_or_else(|| fault("found no `=`, expected KEY=VALUE or METRIC.KEY=VALUE".to_owned()))?;
    let given = value(given).map_err(fault)?;
    let mut metrics: Vec<&mut Map<String, Value>> = entries
        .as_array_mut()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
        .filter(|entry| entry.contains_key("use"))
        .collect();

    // One metric's own: the check of its options says what is wrong with it.
    if let Some((name, key)) = key.split_once('.') {
        let owner = metrics.iter_mut().find(|entry| label(entry) == name);
        let Some(owner) = owner else {
            let names: Vec<&str> = metrics.iter().map(|entry| label(entry)).collect();
            let what = format!("found no metric `{name}` among `{}`", names.join("`, `"));
            return Err(suggest(*fault(what), name, &names));
        };
        owner.insert(key.to_owned(), given);
        return Ok(());
    }

    let mut known = Vec::new();
    let mut taken = false;
    for entry in &mut metrics {
        let plugin = entry.get("use").and_then(Value::as_str).unwrap_or("");
        let Some((_, descriptor)) = registry.find(Kind::Metric, plugin) else {
            // Which metric is missing is said with the names.
            return Ok(());
        };
        let options = schema::options(&descriptor.options);
        if options.iter().any(|option| option.name == key) {
            entry.insert(key.to_owned(), given.clone());
            taken = true;
        }
        known.extend(options.into_iter().map(|option| option.name));
    }
    if taken {
        return Ok(());
    }
    let names: Vec<&str> = metrics.iter().map(|entry| label(entry)).collect();
    let what = format!("found no option `{key}` of `{}`", names.join("`, `"));
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Err(suggest(*fault(what), key, &known))
}

/// What an entry is called.
fn label(entry: &Map<String, Value>) -> &str {
    let name = entry.get("name").or_else(|| entry.get("use"));
    name.and_then(Value::as_str).unwrap_or("")
}

fn suggest(failure: Failure, name: &str, known: &[&str]) -> Box<Failure> {
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`bomf plugins show NAME` shows the options of a metric".to_owned(),
    };
    Box::new(failure.hint(hint))
}
