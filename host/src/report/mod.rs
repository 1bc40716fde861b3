//! What came of a run: report.json for programs, report.md for people and papers.

mod markdown;

use std::collections::BTreeMap;
use std::path::Path;

use bomf_plugin_api::{Kind, ModelInfo, Objective};
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Config;
use crate::data::DataFacts;
use crate::diagnostics::Failure;
use crate::fuser::{AUTO, Choice};
use crate::journal::{REPORT, file};
use crate::memory;
use crate::plan::Plan;
use crate::registry::Registry;
use crate::stages::fuse::MethodResult;
use crate::stages::members::Member;
use crate::stages::objectives::Score;
use crate::stages::test::TestResult;
use crate::stages::trajectory::Trajectory;
use crate::stages::tune::{Tuning, describe_domain};
use crate::statistics::spearman;
use crate::timing::Spent;

/// What a report is made of.
pub struct Parts<'a> {
    /// What was to be done.
    pub plan: &'a Plan,
    /// The plugins.
    pub registry: &'a Registry,
    /// The model, if one in this process evaluated.
    pub model: Option<&'a ModelInfo>,
    /// What fused, beside a model in this process.
    pub fuser: Option<&'a Choice>,
    /// The hyperparameter search, if there was one.
    pub tuning: Option<&'a Tuning>,
    /// The training, if there was one.
    pub trajectory: Option<&'a Trajectory>,
    /// The members.
    pub members: &'a [Member],
    /// The scores, normalised from the members.
    pub objectives: &'a [Objective],
    /// What each method came to.
    pub methods: &'a [MethodResult],
    /// The methods on the test split; empty where there is none.
    pub tested: &'a [TestResult],
    /// Position of the chosen method.
    pub chosen: usize,
}

/// Everything about a run but how long it took.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    bomf: Value,
    config: Config,
    threads: usize,
    plugins: Value,
    model: Option<ModelInfo>,
    fuser: Option<Choice>,
    /// What the model was started from.
    source: Option<String>,
    data: Option<DataFacts>,
    scores: Vec<Score>,
    space: BTreeMap<String, String>,
    tuning: Option<Tuning>,
    trajectory: Option<Trajectory>,
    members: Vec<Member>,
    objectives: Vec<Objective>,
    methods: Vec<MethodResult>,
    test: Vec<TestResult>,
    /// Spearman correlation of the loss (negated) with each metric over all points tried in the fusion.
    correlation: BTreeMap<String, Option<f64>>,
    chosen: String,
}

impl Report {
    /// Puts the results together.
    pub fn new(parts: Parts<'_>) -> Self {
        let Parts {
            plan,
            registry,
            model,
            fuser,
            tuning,
            trajectory,
            members,
            objectives,
            methods,
            tested,
            chosen,
        } = parts;
        let tune = plan.training().and_then(|training| training.tune.as_ref());
        let axes = tune.iter().flat_map(|tune| &tune.axes);
        Self {
            bomf: json!({"version": env!("CARGO_PKG_VERSION"), "commit": env!("BOMF_COMMIT"), "target": env!("BOMF_TARGET")}),
            config: plan.config.clone(),
            threads: plan.threads,
            plugins: plugins(plan, registry),
            model: model.cloned(),
            fuser: fuser.cloned(),
            source: plan.model().map(|model| model.source.clone()),
            data: plan.model().map(|model| model.splits.facts.clone()),
            scores: plan.metrics.scores().to_vec(),
            space: axes
                .map(|axis| (axis.parameter.name.clone(), describe_domain(axis)))
                .collect(),
            tuning: tuning.cloned(),
            trajectory: trajectory.cloned(),
            members: members.to_vec(),
            objectives: objectives.to_vec(),
            methods: methods.to_vec(),
            test: tested.to_vec(),
            correlation: correlation(plan.metrics.scores(), methods),
            chosen: methods[chosen].name.clone(),
        }
    }

    /// What the model was started from, if one in this process evaluated.
    pub fn base(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// What was asked for.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The fuser that nobody named, and why it was chosen.
    fn chosen_fuser(&self) -> Option<(&str, &str)> {
        let fuser = self.fuser.as_ref()?;
        Some((&fuser.name, fuser.because.as_deref()?))
    }

    /// Writes report.json and report.md.
    pub fn write(&self, folder: &Path, spent: &Spent) -> Result<(), Failure> {
        let mut value = serde_json::to_value(self)
            .map_err(|error| Failure::run("report::json", folder.display(), error.to_string()))?;
        value["timing"] = json!({
            "wall_seconds": spent.wall,
            "seconds": spent.on,
            "peak_anonymous_mib": memory::peak_anonymous_mib(),
        });
        file::write_json(&folder.join(REPORT), &value)?;
        file::write(&folder.join("report.md"), self.markdown(spent).as_bytes())
    }
}

/// The plugins that a plan uses, or may use: name, version, digest.
pub fn plugins(plan: &Plan, registry: &Registry) -> Value {
    let config = &plan.config;
    let mut used = Vec::new();
    if let Some(model) = &config.model {
        used.push((Kind::Model, &model.plugin));
        match &config.fuse.fuser.plugin {
            auto if auto == AUTO => {
                let fusers = registry.components(Kind::Fuser);
                used.extend(fusers.map(|(_, fuser)| (Kind::Fuser, &fuser.name)));
            }
            named => used.push((Kind::Fuser, named)),
        }
    }
    used.extend(
        config
            .metrics
            .iter()
            .filter_map(|metric| Some((Kind::Metric, &metric.as_use()?.plugin))),
    );
    used.extend(
        config
            .fuse
            .methods
            .iter()
            .map(|method| (Kind::Optimizer, &method.plugin)),
    );
    used.extend(
        config
            .tune
            .iter()
            .map(|tune| (Kind::Optimizer, &tune.optimizer.plugin)),
    );
    let found = used
        .into_iter()
        .filter_map(|(kind, name)| registry.find(kind, name));
    let plugins: BTreeMap<&str, Value> = found
        .map(|(plugin, _)| {
            (
                plugin.name(),
                json!({"version": plugin.manifest.version, "digest": plugin.manifest.digest}),
            )
        })
        .collect();
    json!(plugins)
}

fn correlation(scores: &[Score], methods: &[MethodResult]) -> BTreeMap<String, Option<f64>> {
    let tried = methods
        .iter()
        .flat_map(|method| &method.trials)
        .filter(|trial| !trial.cached || trial.coefficients.contains(&1.0));
    let mut points: Vec<&Vec<f64>> = tried
        .filter_map(|trial| Some(&trial.evaluation.as_ref()?.values))
        .collect();
    points.dedup();
    let column = |index: usize| -> Vec<f64> {
        points
            .iter()
            .map(|values| scores[index].range_scaled(values[index]))
            .collect()
    };
    if !scores.first().is_some_and(Score::is_loss) {
        return BTreeMap::new();
    }
    let loss = column(0);
    let metrics = (1..scores.len())
        .map(|index| (scores[index].name.clone(), spearman(&loss, &column(index))));
    metrics.collect()
}
