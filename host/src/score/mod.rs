//! `bomf score`: metrics alone, on examples and predictions that stand in a file.

mod columns;
mod examples;
mod labels;
mod record;
mod request;

use bomf_plugin_api::Table;
use serde_json::{Map, Value, json};

use crate::cli::score::ScoreArguments;
use crate::diagnostics::{Failure, Failures};
use crate::metrics::{Measured, Metrics, Part};
use crate::plan;
use crate::progress::Progress;
use crate::registry::Registry;
use examples::Examples;
pub use examples::{ExampleFile, read as read_examples};

/// Reads the examples and scores them. Returns what is printed.
pub fn score(
    arguments: &ScoreArguments,
    registry: &Registry,
    progress: &Progress,
) -> Result<String, Failures> {
    let threads = arguments.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        usize::from,
    );
    // Names, options and combinations are looked at before a long file is read.
    let context = plan::context(threads, arguments.seed);
    let metrics = request::open(arguments, registry, &context)?;
    let file = ExampleFile {
        path: &arguments.examples,
        labels: &arguments.labels,
        group: arguments.group.as_deref(),
        skip_bad: arguments.skip_bad,
    };
    let examples = read_examples(&file, progress)?;
    let measured = metrics.measure(&examples.table, None);
    let measured = measured.map_err(|failure| explain(failure, &examples.table))?;
    Ok(format!("{:#}\n", summary(&metrics, &measured, &examples)))
}

/// Says which key of the lines a missing column is made of.
fn explain(failure: Failure, table: &Table<'_>) -> Failure {
    let missing = |name: &&str| {
        table.get(name).is_none() && failure.message.contains(&format!("no column `{name}`"))
    };
    let Some(name) = columns::NAMES.iter().copied().find(missing) else {
        return failure;
    };
    Failure {
        hint: Some(format!("lines give it as {}", columns::source(name))),
        ..failure
    }
}

/// What is printed: the scores of each metric, then what else there is to say.
fn summary(metrics: &Metrics, measured: &Measured, examples: &Examples) -> Value {
    let mut all = Map::new();
    let mut values = measured.evaluation.values.iter();
    let mut next = || values.next().copied().expect("one value per score");
    for part in metrics.parts() {
        let (label, scores) = match part {
            Part::Metric(metric) => {
                let names = metric.scores.iter().map(|(name, _)| name.clone());
                let worst = names.clone().map(|name| format!("{name}_worst"));
                let worst = worst.take_while(|_| metric.by.is_some());
                let scores = names.collect::<Vec<_>>().into_iter().chain(worst);
                let counting = scores.map(|name| (name, next().into()));
                let mut scores: Map<String, Value> = counting.collect();
                if let Some(Value::Object(details)) = measured.details.get(&metric.label) {
                    scores.extend(details.clone());
                }
                (&metric.label, scores)
            }
            Part::Combination(combination) => {
                let label = &combination.label;
                (label, Map::from_iter([(label.clone(), next().into())]))
            }
        };
        all.insert(label.clone(), Value::Object(scores));
    }
    all.insert("examples".to_owned(), examples.table.rows().into());
    all.insert("skipped".to_owned(), examples.skipped.into());
    all.insert(
        "signatures".to_owned(),
        Value::Object(measured.signatures.clone()),
    );
    if !examples.labels.is_empty() {
        all.insert("labels".to_owned(), json!(examples.labels));
    }
    if !measured.groups.is_empty() {
        let grouped = measured.groups.iter().map(|grouped| {
            let groups = grouped.groups.iter().map(|group| {
                let values = grouped
                    .scores
                    .iter()
                    .cloned()
                    .zip(group.values.iter().map(|&x| x.into()));
                (group.name.clone(), Value::Object(values.collect()))
            });
            (grouped.metric.clone(), Value::Object(groups.collect()))
        });
        all.insert("groups".to_owned(), Value::Object(grouped.collect()));
    }
    Value::Object(all)
}
