//! Whether the plugins that a configuration names are there, and their options fit.

use bomf_plugin_api::Kind;
use serde_json::{Map, Value};

use crate::config::document::{Document, child, item};
use crate::config::schema::{self, nearest};
use crate::config::{Config, MetricConfig, UseConfig};
use crate::diagnostics::Failure;
use crate::fuser::AUTO;
use crate::registry::Registry;

/// Gathers what is wrong with the names of plugins and with their options.
pub struct Names<'a> {
    /// The plugins.
    pub registry: &'a Registry,
    /// Where the names stand.
    pub document: &'a Document,
    /// What is wrong.
    pub problems: Vec<Failure>,
}

impl Names<'_> {
    /// Looks at all that a configuration names.
    pub fn check(&mut self, config: &Config) {
        if let Some(model) = &config.model {
            self.plugin(Kind::Model, &model.plugin, &model.options, "model");
        }
        self.metrics(&config.metrics, "metrics");
        if let Some(tune) = &config.tune {
            self.plugin(
                Kind::Optimizer,
                &tune.optimizer.plugin,
                &tune.optimizer.options,
                "tune.optimizer",
            );
        }
        self.fuser(&config.fuse.fuser);
        for (index, method) in config.fuse.methods.iter().enumerate() {
            let at = item("fuse.methods", index);
            self.plugin(Kind::Optimizer, &method.plugin, &method.options, &at);
        }
    }

    /// Looks at the fuser, which may be left open.
    fn fuser(&mut self, fuser: &UseConfig) {
        let at = "fuse.fuser";
        if fuser.plugin != AUTO {
            return self.plugin(Kind::Fuser, &fuser.plugin, &fuser.options, at);
        }
        for option in fuser.options.keys() {
            let problem = self.document.problem(
                &child(at, option),
                "config::unknown_key",
                format!("found the option `{option}` of `use: {AUTO}`, which takes none"),
            );
            self.problems
                .push(problem.hint("name the fuser whose option it is"));
        }
    }

    /// Looks at the metrics of the list at a path.
    pub fn metrics(&mut self, metrics: &[MetricConfig], at: &str) {
        for (index, metric) in metrics.iter().enumerate() {
            if let Some(metric) = metric.as_use() {
                self.plugin(
                    Kind::Metric,
                    &metric.plugin,
                    &metric.options,
                    &item(at, index),
                );
            }
        }
    }

    /// Looks at one plugin and its options.
    pub fn plugin(&mut self, kind: Kind, name: &str, options: &Map<String, Value>, at: &str) {
        let Some((_, descriptor)) = self.registry.find(kind, name) else {
            let at = child(at, "use");
            let failure = self.document.problem(
                &at,
                "config::unknown_plugin",
                format!("found no {kind} named `{name}`"),
            );
            let known = self
                .registry
                .components(kind)
                .map(|(_, descriptor)| descriptor.name.as_str());
            let hint = match nearest(name, known) {
                Some(near) => {
                    format!("did you mean `{near}`? `bomf plugins list` shows what is there")
                }
                None => "`bomf plugins list` shows what is there, and what is wrong with the rest"
                    .to_owned(),
            };
            self.problems.push(failure.hint(hint));
            return;
        };
        let options = Value::Object(options.clone());
        schema::check(
            &descriptor.options,
            &options,
            at,
            self.document,
            &mut self.problems,
        );
    }
}
