//! A file of `bomf optimize`, resolved: what makes sense together, and as optimizers want it.

use std::collections::BTreeMap;

use bomf_plugin_api::{Constraint, Context, Domain, Kind, Objective, Parameter, Study};
use serde_json::{Value, json};

use super::config::{ChooseConfig, ChooseRule, DomainConfig, SearchConfig};
use super::message::is_same;
use crate::config::AxisConfig;
use crate::config::DirectionConfig;
use crate::config::document::{Document, child, item};
use crate::config::schema::nearest;
use crate::diagnostics::{Failure, Failures};
use crate::plan::{Names, axis_plan};
use crate::registry::Registry;
use crate::stages::choice::Choice;
use crate::stages::tune::Axis;

/// What is searched, and how.
pub struct Search {
    /// The parameters, in the order of the file.
    pub axes: Vec<Axis>,
    /// What is sought.
    pub objectives: Vec<Objective>,
    /// What a point has to fulfil.
    pub constraints: Vec<Constraint>,
    /// How one point is chosen in the end.
    pub choice: Choice,
    /// Asks in all, a ceiling.
    pub budget: Option<u64>,
    /// Asks that are open at once.
    pub parallel: usize,
    /// The optimizer as the file names it.
    pub optimizer: String,
    /// Its options.
    pub options: Value,
    /// Seed and threads.
    pub context: Context,
}

impl Search {
    /// Resolves a file.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn resolve(
        config: &SearchConfig,
        document: &Document,
        registry: &Registry,
    ) -> Result<Self, Failures> {
        let mut check = Check {
            document,
            problems: Vec::new(),
        };
        check.space(config);
        check.objectives(config);
        check.constraints(config);
        let choice = check.choice(config);
        let mut names = Names {
            registry,
            document,
            problems: check.problems,
        };
        let optimizer = &config.optimizer;
        names.plugin(
            Kind::Optimizer,
            &optimizer.plugin,
            &optimizer.options,
            "optimizer",
        );
        if !names.problems.is_empty() {
            return Err(Failures(names.problems));
        }
        let threads = config.threads.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        });
        Ok(Self {
            axes: axes(config),
            objectives: config.objectives.iter().map(objective).collect(),
            constraints: config.constraints.iter().map(|c| c.constraint()).collect(),
            choice,
            budget: config.budget,
            parallel: config.parallel,
            optimizer: optimizer.plugin.clone(),
            options: Value::Object(optimizer.options.clone()),
            context: Context::new(threads, config.seed),
        })
    }

    /// The study before its first trial.
    pub fn study(&self) -> Study {
        let space = self
            .axes
            .iter()
            .map(|axis| axis.parameter.clone())
            .collect();
        let mut study = Study::new(space, self.objectives.clone());
        study.constraints = self.constraints.clone();
        study.budget = self.budget;
        study
    }

    /// The names that a tell gives values for: objectives, then constraints that are no objectives.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.objectives.iter().map(|o| o.name.as_str()).collect();
        for constraint in &self.constraints {
            if !names.contains(&constraint.name.as_str()) {
                names.push(&constraint.name);
            }
        }
        names
    }

    /// All that decides which points are suggested, given what was told.
    pub fn identity(&self) -> Value {
        let axis = |axis: &Axis| json!({"name": axis.parameter.name, "domain": axis.parameter.domain, "choices": axis.choices});
        json!({
            "space": self.axes.iter().map(axis).collect::<Vec<_>>(),
            "objectives": self.objectives,
            "constraints": self.constraints,
            "optimizer": {"use": self.optimizer, "options": self.options},
            "seed": self.context.seed,
        })
    }
}

/// The parameters in the order in which the file has them.
fn axes(config: &SearchConfig) -> Vec<Axis> {
    let axis = |(name, domain): (&String, &DomainConfig)| match domain {
        DomainConfig::Simplex(simplex) => {
            let domain = Domain::Simplex {
                dimension: simplex.simplex,
            };
            let parameter = Parameter {
                name: name.clone(),
                domain,
            };
            Axis {
                parameter,
                choices: Vec::new(),
            }
        }
        DomainConfig::Range(range) => axis_plan(name, &AxisConfig::Range(range.clone())),
        DomainConfig::Choices(list) => axis_plan(name, &AxisConfig::Choices(list.clone())),
    };
    config.space.iter().map(axis).collect()
}

fn objective(config: &super::config::ObjectiveConfig) -> Objective {
    let mut objective = Objective::new(&config.name, config.direction.into());
    (objective.scale, objective.reference) = (config.scale, config.reference);
    objective
}

/// Gathers what does not make sense together.
struct Check<'a> {
    document: &'a Document,
    problems: Vec<Failure>,
}

impl Check<'_> {
    fn problem(&mut self, at: &str, code: &'static str, message: impl Into<String>) {
        self.problems.push(self.document.problem(at, code, message));
    }

    fn space(&mut self, config: &SearchConfig) {
        if config.space.is_empty() {
            let message = "found nothing to search, expected one parameter or more";
            self.problem("space", "config::space", message);
        }
        for (name, domain) in config.space.iter() {
            let at = child("space", name);
            match domain {
                DomainConfig::Simplex(_) => {}
                DomainConfig::Range(range) => {
                    if let Some((key, message)) = range.fault() {
                        let at = key.map_or(at.clone(), |key| child(&at, key));
                        self.problem(&at, "config::range", message);
                    }
                }
                DomainConfig::Choices(list) => self.choices(&child(&at, "choices"), &list.choices),
            }
        }
    }

    fn choices(&mut self, at: &str, choices: &[Value]) {
        for (index, choice) in choices.iter().enumerate() {
            let fault = match choice {
                Value::Array(_) => {
                    Some("found a list, expected a text, a number, true, false or ~")
                }
                Value::Object(_) => {
                    Some("found a section, expected a text, a number, true, false or ~")
                }
                _ => choices[..index]
                    .iter()
                    .any(|other| is_same(other, choice))
                    .then_some("found a choice a second time, expected different ones"),
            };
            if let Some(fault) = fault {
                self.problem(&item(at, index), "config::choice", fault);
            }
        }
    }

    fn objectives(&mut self, config: &SearchConfig) {
        let names = config
            .objectives
            .iter()
            .map(|objective| objective.name.as_str());
        self.different("objectives", &names.collect::<Vec<_>>());
        for (index, objective) in config.objectives.iter().enumerate() {
            let Some((bad, good)) = objective.scale else {
                continue;
            };
            let grows = match objective.direction {
                DirectionConfig::Maximize => good > bad,
                DirectionConfig::Minimize => good < bad,
            };
            if !grows {
                let message = format!(
                    "found {bad} as a bad and {good} as a good value, expected the second to be better"
                );
                self.problem(
                    &child(&item("objectives", index), "scale"),
                    "config::range",
                    message,
                );
            }
        }
    }

    fn constraints(&mut self, config: &SearchConfig) {
        let names = config
            .constraints
            .iter()
            .map(|constraint| constraint.name.as_str());
        self.different("constraints", &names.collect::<Vec<_>>());
        for (index, constraint) in config.constraints.iter().enumerate() {
            if let Some(message) = constraint.fault() {
                self.problem(&item("constraints", index), "config::constraint", message);
            }
        }
    }

    fn different(&mut self, list: &str, names: &[&str]) {
        for (index, name) in names.iter().enumerate() {
            let fault = match name.is_empty() {
                true => "found an empty name, expected a text".to_owned(),
                false if names[..index].contains(name) => {
                    format!("found a second `{name}`, expected different names")
                }
                false => continue,
            };
            self.problem(&child(&item(list, index), "name"), "config::name", fault);
        }
    }

    fn choice(&mut self, config: &SearchConfig) -> Choice {
        let count = config.objectives.len();
        match &config.choose {
            ChooseConfig::Rule(ChooseRule::BestSum) => Choice::Weights(vec![1.0; count]),
            ChooseConfig::Rule(ChooseRule::Knee) => Choice::Knee,
            ChooseConfig::Best(choose) => {
                let tolerances = choose.within.iter().map(|(name, t)| (name.clone(), t.0));
                let within = self.by_name(config, "choose.within", &tolerances.collect());
                let objective = self.position(config, "choose.best", &choose.best);
                Choice::Best {
                    objective: objective.unwrap_or(0),
                    within,
                }
            }
            ChooseConfig::Weights(choose) => {
                let weights = self.by_name(config, "choose.weights", &choose.weights);
                Choice::Weights(weights.into_iter().map(Option::unwrap_or_default).collect())
            }
        }
    }

    /// Numbers by name, in the order of the objectives.
    fn by_name(
        &mut self,
        config: &SearchConfig,
        at: &str,
        numbers: &BTreeMap<String, f64>,
    ) -> Vec<Option<f64>> {
        let mut found = vec![None; config.objectives.len()];
        for (name, number) in numbers {
            if let Some(position) = self.position(config, &child(at, name), name) {
                found[position] = Some(*number);
            }
        }
        found
    }

    fn position(&mut self, config: &SearchConfig, at: &str, name: &str) -> Option<usize> {
        let names = || {
            config
                .objectives
                .iter()
                .map(|objective| objective.name.as_str())
        };
        let found = names().position(|other| other == name);
        if found.is_none() {
            let message = format!("found no objective named `{name}`");
            let failure = self.document.problem(at, "config::objective", message);
            let known = names().collect::<Vec<_>>().join("`, `");
            self.problems
                .push(failure.hint(match nearest(name, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: `{known}`"),
                }));
        }
        found
    }
}
