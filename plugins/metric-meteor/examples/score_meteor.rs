//! Scores the lines of a file and prints the scores and the seconds that scoring took, reading apart, the least of three times.
//!
//! `score_meteor METRIC OPTIONS THREADS FILE`: options as JSON, lines as `{"prediction": "...", "references": ["...", ...]}`.

use std::time::Instant;

use bomf_plugin_api::{Context, Metric, Result, Scores, Table, Values, column};
use serde_json::{Map, Value, json};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [metric, options, threads, file] = &arguments[..] else {
        return Err("expected METRIC OPTIONS THREADS FILE".into());
    };
    let metric = metric_meteor::library().make_metric(
        metric,
        options,
        &Context::new(threads.parse()?, 0),
    )?;
    let examples = read(&std::fs::read_to_string(file)?)?;
    let mut seconds = f64::INFINITY;
    for _ in 0..2 {
        seconds = seconds.min(timed(&*metric, &examples)?.1);
    }
    let (scores, last) = timed(&*metric, &examples)?;
    let seconds = seconds.min(last);
    let per_example: Map<String, Value> = scores
        .per_example
        .into_iter()
        .map(|(name, v)| (name, v.into()))
        .collect();
    let values: Map<String, Value> = scores
        .values
        .into_iter()
        .map(|(name, v)| (name, v.into()))
        .collect();
    println!(
        "{}",
        json!({"seconds": seconds, "values": values, "per_example": per_example})
    );
    Ok(())
}

fn timed(metric: &dyn Metric, examples: &Table<'_>) -> Result<(Scores, f64)> {
    let (start, worked) = (Instant::now(), worked());
    let scores = metric.score(examples)?;
    let seconds = match worked.zip(self::worked()) {
        Some((before, after)) => after - before,
        None => start.elapsed().as_secs_f64(),
    };
    Ok((scores, seconds))
}

/// Seconds that this thread has worked, where the system says so (Linux): others may use the machine, too.
fn worked() -> Option<f64> {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(times.split_whitespace().next()?.parse::<f64>().ok()? * 1e-9)
}

fn read(lines: &str) -> std::result::Result<Table<'static>, Box<dyn std::error::Error>> {
    let (mut predicted, mut cells, mut ends, mut bytes) =
        (Vec::new(), vec![0], Vec::new(), String::new());
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line)?;
        predicted.push(
            line["prediction"]
                .as_str()
                .ok_or("a prediction is a text")?
                .to_owned(),
        );
        for text in line["references"]
            .as_array()
            .ok_or("references are a list")?
        {
            bytes.push_str(text.as_str().ok_or("a reference is a text")?);
            ends.push(bytes.len() as u64);
        }
        cells.push(ends.len() as u64);
    }
    let references = Values::Texts {
        ends: ends.into(),
        bytes: bytes.into(),
    };
    Ok(Table::new(predicted.len())
        .with_texts(column::PREDICTED_TEXT, predicted)?
        .with_column(column::REFERENCE_TEXT, cells.into(), references)?)
}
