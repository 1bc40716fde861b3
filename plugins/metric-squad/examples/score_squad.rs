//! Scores cases from standard input, one JSON object a line, and prints one result a line: for comparisons with other tools.
//!
//! A case has `metric`, `options`, `threads` (1 if it is not given), and the columns `predicted_text` and `reference_text`, a
//! list of texts and a list of lists, and `no_answer_probability`, a list of numbers, if there is one. A result has `scores`, `per_example`, `signature` and the `seconds` that scoring took,
//! reading apart, or `error`. With one thread these are seconds of the processor where the system tells them (Linux).

use std::io::{BufRead, Write};
use std::time::Instant;

use bomf_plugin_api::{Context, PluginError, Scores, Table, Values, column};
use serde_json::{Map, Value, json};

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let case: Value = serde_json::from_str(&line?)?;
        let result = match score(&case) {
            Ok((scores, seconds)) => json!({
                "scores": scores.values.into_iter().map(|(name, value)| (name, value.into())).collect::<Map<_, Value>>(),
                "per_example": scores.per_example.into_iter().map(|(name, values)| (name, values.into())).collect::<Map<_, Value>>(),
                "signature": scores.signature,
                "seconds": seconds,
            }),
            Err(error) => json!({ "error": error.message }),
        };
        writeln!(out, "{result}")?;
    }
    Ok(())
}

fn score(case: &Value) -> Result<(Scores, f64), PluginError> {
    let threads = case["threads"].as_u64().unwrap_or(1) as usize;
    let metric = metric_squad::library().make_metric(
        case["metric"].as_str().unwrap_or_default(),
        &case["options"].to_string(),
        &Context::new(threads, 0),
    )?;
    let examples = table(case)?;
    let (start, busy) = (Instant::now(), busy_seconds());
    let scores = metric.score(&examples)?;
    let elapsed = start.elapsed().as_secs_f64();
    let seconds = match (threads, busy, busy_seconds()) {
        (1, Some(before), Some(after)) => after - before,
        _ => elapsed,
    };
    Ok((scores, seconds))
}

/// How long this thread has been on a processor.
fn busy_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds * 1e-9)
}

fn table(case: &Value) -> Result<Table<'static>, PluginError> {
    let predictions = texts(&case["predicted_text"]);
    let (mut cells, mut ends, mut bytes) = (vec![0], Vec::new(), String::new());
    for row in case["reference_text"].as_array().into_iter().flatten() {
        for text in texts(row) {
            bytes.push_str(text);
            ends.push(bytes.len() as u64);
        }
        cells.push(ends.len() as u64);
    }
    let references = Values::Texts {
        ends: ends.into(),
        bytes: bytes.into(),
    };
    let table = Table::new(predictions.len())
        .with_texts(column::PREDICTED_TEXT, predictions)?
        .with_column(column::REFERENCE_TEXT, cells.into(), references)?;
    match case["no_answer_probability"].as_array() {
        None => Ok(table),
        Some(numbers) => {
            let numbers: Vec<f64> = numbers.iter().filter_map(Value::as_f64).collect();
            table.with_numbers(column::NO_ANSWER_PROBABILITY, numbers)
        }
    }
}

fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}
