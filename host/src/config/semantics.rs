//! What only makes sense together.

use std::collections::BTreeSet;

use bomf_plugin_api::Hyperparameters;
use serde_json::{Value, json};

use super::document::{Document, child, item};
use super::schema::nearest;
use super::{
    AxisConfig, ChooseConfig, Config, EvaluateConfig, FileConfig, LabelConfig, TaskConfig,
};
use crate::diagnostics::Failure;

/// Gathers what is wrong although every value is in order by itself.
pub fn check(config: &Config, document: &Document, problems: &mut Vec<Failure>) {
    let mut check = Check {
        config,
        document,
        problems,
    };
    check.name();
    check.sections();
    check.program();
    check.labels();
    check.data();
    check.names();
    check.space();
    check.objectives();
}

struct Check<'a> {
    config: &'a Config,
    document: &'a Document,
    problems: &'a mut Vec<Failure>,
}

impl Check<'_> {
    fn problem(&mut self, at: &str, code: &'static str, message: impl Into<String>) {
        self.problems.push(self.document.problem(at, code, message));
    }

    fn suggest(
        &mut self,
        at: &str,
        code: &'static str,
        message: String,
        name: &str,
        known: &[String],
    ) {
        let failure = self.document.problem(at, code, message);
        self.problems
            .push(match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint(format!("known here: `{}`", known.join("`, `"))),
            });
    }

    fn name(&mut self) {
        let name = &self.config.name;
        let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            let message = format!(
                "found `{name}`, expected letters, digits, `-`, `_` and `.`: it names a folder"
            );
            self.problem("name", "config::name", message);
        }
    }

    /// What is trained and evaluated how decides which sections there are.
    fn sections(&mut self) {
        let config = self.config;
        let by_model = matches!(config.evaluate, EvaluateConfig::Model {});
        let by_command = matches!(config.evaluate, EvaluateConfig::Command { .. });
        let existing = config.members.is_some();
        let given = |section: &str| self.document.value.get(section).is_some();
        let by = "`evaluate` names a program";
        let trained = "`members` are trained already";
        let sections = [
            ("model", by_model, !by_model, by),
            ("data", by_model, !by_model, by),
            (
                "metrics",
                !by_command,
                by_command,
                "the command computes its own scores",
            ),
            ("members", !by_model, false, ""),
            ("tune", false, existing, trained),
            ("trajectory", false, existing, trained),
        ];
        let mut problems = Vec::new();
        for (section, needed, useless, why) in sections {
            let empty = section == "metrics" && config.metrics.is_empty();
            let problem = match given(section) {
                true if useless => format!("found a section that is of no use here: {why}"),
                false if needed => "found nothing, expected this section".to_owned(),
                true if empty => "found an empty list, expected one metric or more".to_owned(),
                _ => continue,
            };
            let code = if useless {
                "config::unused"
            } else {
                "config::missing"
            };
            let problem = self.document.problem(section, code, problem);
            problems.push(match section {
                "members" => problem.hint(
                    "a program evaluates fusions of checkpoints that are there already: list them",
                ),
                _ => problem,
            });
        }
        self.problems.extend(problems);
        let source = config
            .model
            .as_ref()
            .is_some_and(|model| model.source.is_some());
        if config.model.is_some() && !source && !existing {
            let message = "found nothing, expected a model folder or an asset";
            self.problem("model.source", "config::missing", message);
        }
    }

    /// Placeholders and scores of a program that evaluates.
    fn program(&mut self) {
        let evaluate = &self.config.evaluate;
        let mut needed = vec!["model"];
        if matches!(evaluate, EvaluateConfig::Predictions { .. }) {
            needed.push("out");
        }
        for name in needed {
            if evaluate.program().is_some_and(|run| !run.mentions(name)) {
                let message = format!(
                    "found neither `{{{name}}}` nor `BOMF_{}`, expected one where the program is told the path",
                    name.to_uppercase()
                );
                self.problem("evaluate.run", "config::placeholder", message);
            }
        }
        let EvaluateConfig::Command { scores, .. } = evaluate else {
            return;
        };
        for (name, score) in scores.iter() {
            let at = child("evaluate.scores", name);
            if let Some((low, high)) = score.range.filter(|(low, high)| low >= high) {
                let message = format!("found {low} to {high}, expected low < high");
                self.problem(&child(&at, "range"), "config::range", message);
            }
            if score.at.as_ref().is_some_and(Vec::is_empty) {
                let message = "found no key, expected those that lead to the number";
                self.problem(&child(&at, "at"), "config::score", message);
            }
        }
    }

    fn labels(&mut self) {
        let Some(model) = &self.config.model else {
            return;
        };
        let TaskConfig::Classification { labels } = &model.task else {
            return;
        };
        let distinct: BTreeSet<&String> = labels.iter().collect();
        if distinct.len() != labels.len() {
            self.problem(
                "model.task.labels",
                "config::labels",
                "found a label twice, expected different ones",
            );
        }
    }

    fn data(&mut self) {
        let Some(data) = &self.config.data else {
            return;
        };
        let files = [
            ("train", &data.train),
            ("validation", &data.validation),
            ("test", &data.test),
        ];
        match &data.source {
            Some(source) => {
                if let Some((name, _)) = files.iter().find(|(_, file)| file.is_some()) {
                    let message =
                        "found a file beside `source`, expected either `source` or three files";
                    self.problem(&child("data", name), "config::data", message);
                }
                self.file("data.source", source);
            }
            None => {
                for (name, file) in files {
                    match file {
                        Some(file) => self.file(&child("data", name), file),
                        None if name == "train" && self.config.members.is_some() => {}
                        None => self.problem(
                            &child("data", name),
                            "config::data",
                            "found nothing, expected a file (or `source` with `split` for all three)",
                        ),
                    }
                }
                if data.split.is_some() {
                    self.problem(
                        "data.split",
                        "config::data",
                        "found a split without `source` to be split",
                    );
                }
            }
        }
    }

    fn file(&mut self, at: &str, file: &FileConfig) {
        let Some(model) = &self.config.model else {
            return;
        };
        match (&model.task, &file.fields.label, &file.fields.value) {
            (TaskConfig::Classification { labels }, Some(LabelConfig::Cut(cut)), None) => {
                let ascending = cut.thresholds.windows(2).all(|pair| pair[0] < pair[1]);
                if cut.thresholds.len() + 1 != labels.len() || !ascending {
                    let message = format!(
                        "found {:?}, expected {} ascending number(s), one less than there are labels",
                        cut.thresholds,
                        labels.len() - 1
                    );
                    self.problem(
                        &child(at, "fields.label.thresholds"),
                        "config::label",
                        message,
                    );
                }
            }
            (TaskConfig::Classification { .. }, Some(LabelConfig::Column(_)), None)
            | (TaskConfig::Regression {}, None, Some(_)) => {}
            (TaskConfig::Classification { .. }, ..) => {
                self.problem(
                    &child(at, "fields.label"),
                    "config::label",
                    "expected the column of the label, and no `value`",
                );
            }
            (TaskConfig::Regression {}, ..) => {
                self.problem(
                    &child(at, "fields.value"),
                    "config::label",
                    "expected the column of the number, and no `label`",
                );
            }
        }
    }

    fn names(&mut self) {
        let metrics: Vec<&str> = self
            .config
            .metrics
            .iter()
            .map(|metric| metric.label())
            .collect();
        let methods: Vec<&str> = self
            .config
            .fuse
            .methods
            .iter()
            .map(|method| method.label())
            .collect();
        for (list, names) in [("metrics", metrics), ("fuse.methods", methods)] {
            for (index, name) in names.iter().enumerate() {
                if names[..index].contains(name) || (list == "metrics" && *name == "loss") {
                    let message = format!(
                        "found a second `{name}`, expected different names: give one of them a `name`"
                    );
                    self.problem(&item(list, index), "config::name", message);
                }
            }
        }
    }

    fn space(&mut self) {
        let Some(tune) = &self.config.tune else {
            return;
        };
        let defaults = serde_json::to_value(Hyperparameters::default()).unwrap_or_default();
        let known: Vec<String> = defaults
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.clone())
            .collect();
        if tune.space.is_empty() {
            self.problem(
                "tune.space",
                "config::space",
                "found nothing to search, expected one hyperparameter or more",
            );
        }
        for (name, axis) in &tune.space {
            let at = child("tune.space", name);
            if !known.contains(name) {
                let message = format!("found no hyperparameter named `{name}`");
                self.suggest(&at, "config::space", message, name, &known);
                continue;
            }
            match axis {
                AxisConfig::Range(range) => {
                    if let Some((key, message)) = range.fault() {
                        let at = key.map_or(at.clone(), |key| child(&at, key));
                        self.problem(&at, "config::range", message);
                    } else if range.integer {
                        self.values(
                            &at,
                            name,
                            &[json!(range.low as i64), json!(range.high as i64)],
                        );
                    } else {
                        self.values(&at, name, &[json!(range.low), json!(range.high)]);
                    }
                }
                AxisConfig::Choices(choices) => {
                    self.values(&child(&at, "choices"), name, &choices.choices)
                }
            }
        }
    }

    /// Whether a hyperparameter can take some values.
    fn values(&mut self, at: &str, name: &str, values: &[Value]) {
        let schema = schemars::schema_for!(Hyperparameters).to_value();
        for value in values {
            let mut problems = Vec::new();
            super::schema::check(
                &schema,
                &json!({name: value}),
                "",
                self.document,
                &mut problems,
            );
            if let Some(problem) = problems.first() {
                self.problem(
                    at,
                    "config::space",
                    format!("`{name}`: {}", problem.message),
                );
                return;
            }
        }
    }

    fn objectives(&mut self) {
        // Metrics with several scores have names of the form `metric.score`, which the plan checks.
        let mut known: Vec<String> = match &self.config.evaluate {
            EvaluateConfig::Model {} => vec!["loss".to_owned()],
            EvaluateConfig::Command { scores, .. } => scores.names().cloned().collect(),
            EvaluateConfig::Predictions { .. } => Vec::new(),
        };
        for metric in &self.config.metrics {
            known.push(metric.label().to_owned());
            if metric.as_use().is_some_and(|metric| metric.by.is_some()) {
                known.push(format!("{}_worst", metric.label()));
            }
        }
        let is_known = |name: &str| {
            known
                .iter()
                .any(|other| name == other || name.starts_with(&format!("{other}.")))
        };
        let mut unknown = Vec::new();
        for (index, method) in self.config.fuse.methods.iter().enumerate() {
            let at = child(&item("fuse.methods", index), "objectives");
            let names = method.objectives.iter().flatten().enumerate();
            unknown.extend(
                names
                    .filter(|(_, name)| !is_known(name))
                    .map(|(i, name)| (item(&at, i), name.clone())),
            );
            if method.objectives.as_ref().is_some_and(Vec::is_empty) {
                self.problem(
                    &at,
                    "config::objective",
                    "found no objective, expected one or more",
                );
            }
        }
        let constraints = self.config.fuse.constraints.iter().enumerate();
        for (index, constraint) in constraints {
            let at = item("fuse.constraints", index);
            if let Some(message) = constraint.fault() {
                self.problem(&at, "config::constraint", message);
            }
            if !is_known(&constraint.name) {
                unknown.push((child(&at, "name"), constraint.name.clone()));
            }
        }
        match &self.config.fuse.choose {
            ChooseConfig::Best(choose) => {
                if !is_known(&choose.best) {
                    unknown.push(("fuse.choose.best".to_owned(), choose.best.clone()));
                }
                let names = choose.within.keys().filter(|name| !is_known(name));
                unknown.extend(names.map(|name| (child("fuse.choose.within", name), name.clone())));
            }
            ChooseConfig::Weights(choose) => {
                let names = choose.weights.keys().filter(|name| !is_known(name));
                unknown
                    .extend(names.map(|name| (child("fuse.choose.weights", name), name.clone())));
            }
            _ => {}
        }
        for (at, name) in unknown {
            self.suggest(
                &at,
                "config::objective",
                format!("found no score named `{name}`"),
                &name,
                &known,
            );
        }
    }
}
