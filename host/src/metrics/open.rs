//! From the entries of `metrics:` to open metrics and the names of their scores.

use bomf_plugin_api::{Context, Descriptor, Kind, ScoreDescriptor};
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
            MetricConfig::Use(config) => {
                let (_, descriptor) = registry
                    .find(Kind::Metric, &config.plugin)
                    .expect("checked before");
                match counting(config, descriptor, &at, document) {
                    Ok(counting) => open_metric(config, descriptor, &counting, registry, context)?,
                    Err(more) => {
                        problems.extend(more);
                        continue;
                    }
                }
            }
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

/// The scores of a metric that count: those that the configuration names, or all that are no details.
fn counting<'a>(
    config: &UseMetricConfig,
    descriptor: &'a Descriptor,
    at: &str,
    document: &Document,
) -> Result<Vec<&'a ScoreDescriptor>, Vec<Failure>> {
    let Some(names) = &config.scores else {
        return Ok(descriptor.scores.iter().filter(|s| !s.detail).collect());
    };
    let at = child(at, "scores");
    let (mut found, mut problems): (Vec<&ScoreDescriptor>, Vec<Failure>) = Default::default();
    for (index, name) in names.iter().enumerate() {
        let problem = |what| document.problem(&item(&at, index), "config::score", what);
        match descriptor.scores.iter().find(|score| score.name == *name) {
            None => {
                let known = || descriptor.scores.iter().map(|score| score.name.as_str());
                let what = format!("`{}` has no score named `{name}`", config.plugin);
                problems.push(problem(what).hint(match nearest(name, known()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it has `{}`", known().collect::<Vec<_>>().join("`, `")),
                }));
            }
            Some(score) if found.iter().any(|other| other.name == score.name) => {
                problems.push(problem(format!("found `{name}` twice, expected it once")));
            }
            Some(score) => found.push(score),
        }
    }
    match problems.is_empty() {
        true => Ok(found),
        false => Err(problems),
    }
}

fn open_metric(
    config: &UseMetricConfig,
    descriptor: &Descriptor,
    counting: &[&ScoreDescriptor],
    registry: &Registry,
    context: &Context,
) -> Result<(Part, Vec<Score>), Failures> {
    let options = Value::Object(config.options.clone());
    let metric = registry.metric(&config.plugin, &options, context)?;
    let scores = named(config, descriptor, counting);
    let own = counting.iter();
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

/// A metric whose one score is no detail gives it its own name; all other scores are called `metric.score`. Those of the
/// worst group follow, if there are groups.
fn named(
    config: &UseMetricConfig,
    descriptor: &Descriptor,
    counting: &[&ScoreDescriptor],
) -> Vec<Score> {
    let label = config.label();
    let sought = descriptor.scores.iter().filter(|score| !score.detail);
    let alone = sought.count() == 1;
    let name = |score: &ScoreDescriptor| match alone && !score.detail {
        true => label.to_owned(),
        false => format!("{label}.{}", score.name),
    };
    let own = counting.iter();
    let mut scores: Vec<Score> = own.map(|score| Score::metric(name(score), score)).collect();
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
