//! Scores cases from standard input, one JSON object a line, and prints one result a line: for comparisons with other tools
//! (`score_cases.py` is the side of their scripts).
//!
//! A case has the `metric`, the `plugin` that brings it, its `options`, the `columns` as lists of one text, one number or a
//! list of texts per row, and perhaps `threads` (1) and `repeat` (1). A result has `scores`, `per_example`, `signature`, and
//! what scoring took, reading apart: the least `wall` time in seconds, and `seconds` of the processor, the mean of all
//! times, where the system tells them and one thread scores, else the same; or `error`.

use std::io::{BufRead, Write};
use std::time::Instant;

use bomf_plugin_api::abi::LoadedLibrary;
use bomf_plugin_api::{Context, LogSink, PluginError, Result, Scores, Table};
use bomf_tests::plugin_folder::library_in;
use serde_json::{Map, Value, json};
use tracing::Level;

struct Quiet;

impl LogSink for Quiet {
    fn enabled(&self, _: Level, _: &str) -> bool {
        false
    }

    fn log(&self, _: Level, _: &str, _: &str) {}
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut library: Option<(String, LoadedLibrary)> = None;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let case: Value = serde_json::from_str(&line?)?;
        let plugin = case["plugin"].as_str().ok_or("a case names its `plugin`")?;
        if library.as_ref().is_none_or(|(name, _)| name != plugin) {
            let path = library_in(&bomf_tests::plugins().join(plugin));
            library = Some((plugin.to_owned(), LoadedLibrary::open(&path, Quiet)?));
        }
        let (_, library) = library.as_ref().expect("it was opened");
        let result = score(library, &case).unwrap_or_else(|e| json!({ "error": e.message }));
        writeln!(out, "{result}")?;
    }
    Ok(())
}

fn score(library: &LoadedLibrary, case: &Value) -> Result<Value> {
    let threads = case["threads"].as_u64().unwrap_or(1) as usize;
    let metric = library.metric(
        case["metric"].as_str().unwrap_or_default(),
        &case["options"].to_string(),
        &Context::new(threads, 0),
    )?;
    let examples = table(&case["columns"])?;
    let (mut wall, before) = (f64::INFINITY, busy_seconds());
    let repeat = case["repeat"].as_u64().unwrap_or(1).max(1);
    let mut scores = Scores::default();
    for _ in 0..repeat {
        let start = Instant::now();
        scores = metric.score(&examples)?;
        wall = wall.min(start.elapsed().as_secs_f64());
    }
    // The system counts in ticks of some milliseconds: only all times together are worth a number.
    let busy = before.zip(busy_seconds()).filter(|_| threads == 1);
    let seconds = busy.map_or(wall, |(before, after)| (after - before) / repeat as f64);
    let by_name = |named: Vec<(String, Value)>| named.into_iter().collect::<Map<_, _>>();
    let values = scores.values.into_iter();
    let per_example = scores.per_example.into_iter();
    Ok(json!({
        "scores": by_name(values.map(|(name, value)| (name, value.into())).collect()),
        "per_example": by_name(per_example.map(|(name, values)| (name, values.into())).collect()),
        "signature": scores.signature,
        "seconds": seconds,
        "wall": wall,
    }))
}

/// How long this thread has been on a processor, where the system says so (Linux): others may use the machine, too.
fn busy_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds * 1e-9)
}

fn table(columns: &Value) -> Result<Table<'static>> {
    let columns = columns.as_object().into_iter().flatten();
    let columns: Vec<(&String, &[Value])> = columns
        .map(|(name, rows)| (name, rows.as_array().map_or(&[][..], Vec::as_slice)))
        .collect();
    let rows = columns.first().map_or(0, |(_, rows)| rows.len());
    let mut table = Table::new(rows);
    for (name, rows) in columns {
        table = match rows.first() {
            Some(Value::Array(_)) => table.with_text_lists(name, rows.iter().map(texts)),
            Some(Value::String(_)) => table.with_texts(name, rows.iter().filter_map(Value::as_str)),
            Some(Value::Number(_)) => {
                let numbers: Vec<f64> = rows.iter().filter_map(Value::as_f64).collect();
                table.with_numbers(name, numbers)
            }
            other => Err(PluginError::input(format!(
                "found {other:?} in column `{name}`, expected texts, lists of texts, or numbers"
            ))),
        }?;
    }
    Ok(table)
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}
