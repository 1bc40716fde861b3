//! From the entries of `metrics:` to open metrics and the names of their scores.

use bomf_plugin_api::{Context, Descriptor, Kind};
use serde_json::Value;

use super::{Combination, Metrics, OpenMetric, Part};
use crate::config::document::{Document, child, item};
use crate::config::schema::nearest;
use crate::config::{Combine, CombineConfig, MetricConfig, OfConfig, UseMetricConfig};
use crate::diagnostics::{Failure, Failures};
use crate::registry::Registry;
use crate::stages::objectives::Score;

/// Opens the metrics of the list at a path, whose plugins and options were checked before. `first` are the scores before
/// those of the metrics.
///
/// # Errors
/// What is wrong with names of scores and with combinations, all at once; the first metric that refuses its options.
pub fn open(
    entries: &[MetricConfig],
    at: &str,
    first: Vec<Score>,
    document: &Document,
    registry: &Registry,
    context: &Context,
) -> Result<Metrics, Failures> {
    let mut metrics = Metrics {
        parts: Vec::new(),
        scores: first,
    };
    let mut problems = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let at = item(at, index);
        let (part, scores) = match entry {
            MetricConfig::Use(config) => open_metric(config, registry, context)?,
            MetricConfig::Combine(config) => {
                match combine(config, &at, &metrics.scores, document) {
                    Ok((combination, score)) => (Part::Combination(combination), vec![score]),
                    Err(problem) => {
                        problems.push(*problem);
                        continue;
                    }
                }
            }
        };
        for score in &scores {
            if metrics.scores.iter().any(|other| other.name == score.name) {
                let message = format!(
                    "found a second score named `{}`, expected different names",
                    score.name
                );
                let problem = document.problem(&at, "config::name", message);
                problems.push(problem.hint("give one of them another `name`"));
            }
        }
        metrics.parts.push(part);
        metrics.scores.extend(scores);
    }
    match problems.is_empty() {
        true => Ok(metrics),
        false => Err(Failures(problems)),
    }
}

fn open_metric(
    config: &UseMetricConfig,
    registry: &Registry,
    context: &Context,
) -> Result<(Part, Vec<Score>), Failures> {
    let options = Value::Object(config.options.clone());
    let metric = registry.metric(&config.plugin, &options, context)?;
    let (_, descriptor) = registry
        .find(Kind::Metric, &config.plugin)
        .expect("checked before");
    let scores = named(config, descriptor);
    let own = descriptor.scores.iter();
    let open = OpenMetric {
        label: config.label().to_owned(),
        plugin: config.plugin.clone(),
        metric,
        scores: own
            .map(|score| (score.name.clone(), score.direction))
            .collect(),
        by: config.by.clone(),
    };
    Ok((Part::Metric(open), scores))
}

/// A metric with one score gives it its own name; the scores of others are called `metric.score`. Those of the worst group
/// follow, if there are groups.
fn named(config: &UseMetricConfig, descriptor: &Descriptor) -> Vec<Score> {
    let label = config.label();
    let name = |score: &str| match descriptor.scores.len() {
        1 => label.to_owned(),
        _ => format!("{label}.{score}"),
    };
    let own = descriptor.scores.iter();
    let mut scores: Vec<Score> = own
        .map(|score| Score::metric(name(&score.name), score))
        .collect();
    if config.by.is_some() {
        let worst: Vec<Score> = scores
            .iter()
            .map(|score| Score {
                name: format!("{}_worst", score.name),
                ..score.clone()
            })
            .collect();
        scores.extend(worst);
    }
    scores
}

fn combine(
    config: &CombineConfig,
    at: &str,
    scores: &[Score],
    document: &Document,
) -> Result<(Combination, Score), Box<Failure>> {
    let of = child(at, "of");
    let problem = |at: &str, what: String| Box::new(document.problem(at, "config::combine", what));
    let position = |name: &str, at: &str| {
        let found = scores.iter().position(|score| score.name == name);
        found.ok_or_else(|| {
            let problem = *problem(at, format!("found no score named `{name}` before this one"));
            let known = || scores.iter().map(|score| score.name.as_str());
            Box::new(problem.hint(match nearest(name, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "before it there are `{}`",
                    known().collect::<Vec<_>>().join("`, `")
                ),
            }))
        })
    };
    let combined = match (config.combine, &config.of) {
        (Combine::WeightedSum, OfConfig::Weights(weights)) => {
            let terms = weights
                .iter()
                .map(|(name, weight)| Ok((position(name, &child(&of, name))?, *weight)));
            let terms = terms.collect::<Result<_, Box<Failure>>>()?;
            Combination::weighted_sum(&config.name, terms, scores)
        }
        (Combine::Minimum, OfConfig::Names(names)) => {
            let positions = names
                .iter()
                .enumerate()
                .map(|(index, name)| position(name, &item(&of, index)));
            let positions = positions.collect::<Result<_, _>>()?;
            Combination::minimum(&config.name, positions, scores)
        }
        (Combine::WeightedSum, _) => {
            Err("found a list, expected weights by name, such as `{ f1: 0.5 }`".to_owned())
        }
        (Combine::Minimum, _) => Err("found weights, expected a list of names".to_owned()),
    };
    combined.map_err(|what| problem(&of, what))
}
