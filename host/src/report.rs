//! What came of a run: report.json for programs, report.md for people and papers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use bomf_plugin_api::{Kind, ModelInfo, Objective};
use fusion::card::{front_matter, is_hub_name};
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Config;
use crate::data::DataFacts;
use crate::diagnostics::Failure;
use crate::journal::file;
use crate::memory;
use crate::metrics::Grouped;
use crate::output;
use crate::plan::Plan;
use crate::registry::Registry;
use crate::stages::fuse::MethodResult;
use crate::stages::objectives::Score;
use crate::stages::test::TestResult;
use crate::stages::trajectory::Trajectory;
use crate::stages::tune::{Tuning, describe_domain};
use crate::statistics::{Interval, spearman};
use crate::timing::{Category, Spent};

/// What a report is made of.
pub struct Parts<'a> {
    /// What was to be done.
    pub plan: &'a Plan,
    /// The plugins.
    pub registry: &'a Registry,
    /// The model.
    pub model: &'a ModelInfo,
    /// The hyperparameter search, if there was one.
    pub tuning: Option<&'a Tuning>,
    /// The training.
    pub trajectory: &'a Trajectory,
    /// The scores, normalised from the members.
    pub objectives: &'a [Objective],
    /// What each method came to.
    pub methods: &'a [MethodResult],
    /// The methods on the test split.
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
    model: ModelInfo,
    data: DataFacts,
    scores: Vec<Score>,
    space: BTreeMap<String, String>,
    tuning: Option<Tuning>,
    trajectory: Trajectory,
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
            tuning,
            trajectory,
            objectives,
            methods,
            tested,
            chosen,
        } = parts;
        let axes = plan.tune.iter().flat_map(|tune| &tune.axes);
        Self {
            bomf: json!({"version": env!("CARGO_PKG_VERSION"), "commit": env!("BOMF_COMMIT"), "target": env!("BOMF_TARGET")}),
            config: plan.config.clone(),
            threads: plan.threads,
            plugins: plugins(plan, registry),
            model: model.clone(),
            data: plan.splits.facts.clone(),
            scores: plan.metrics.scores().to_vec(),
            space: axes
                .map(|axis| (axis.parameter.name.clone(), describe_domain(axis)))
                .collect(),
            tuning: tuning.cloned(),
            trajectory: trajectory.clone(),
            objectives: objectives.to_vec(),
            methods: methods.to_vec(),
            test: tested.to_vec(),
            correlation: correlation(plan.metrics.scores(), methods),
            chosen: methods[chosen].name.clone(),
        }
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
        file::write_json(&folder.join("report.json"), &value)?;
        file::write(&folder.join("report.md"), self.markdown(spent).as_bytes())
    }

    /// The report for people.
    pub fn markdown(&self, spent: &Spent) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.head(&mut text);
        self.methods_table(&mut text);
        self.groups_tables(&mut text);
        self.signatures_table(&mut text);
        self.tuning_table(&mut text);
        self.trajectory_table(&mut text);
        self.coefficients_table(&mut text);
        let _ = self.foot(&mut text, spent);
        text
    }

    fn head(&self, text: &mut String) -> std::fmt::Result {
        let [train, validation, test] = self.data.rows;
        writeln!(text, "# {}\n", self.config.name)?;
        writeln!(
            text,
            "{} members of one fine-tuning run of {} ({:.1} M parameters, {:.1} M trained) were fused by {} methods. \
             Each searched on {validation} validation examples; each result below was measured once on {test} test \
             examples that no search saw. Training used {train} examples.\n",
            self.trajectory.window.members.len(),
            self.config.model.source,
            self.model.parameters as f64 / 1e6,
            self.model.trainable_parameters as f64 / 1e6,
            self.methods.len(),
        )?;
        let names = [
            "train and validation",
            "train and test",
            "validation and test",
        ];
        for (count, name) in self
            .data
            .duplicates
            .iter()
            .zip(names)
            .filter(|(count, _)| **count > 0)
        {
            let outcome = if self.data.dropped {
                "left out of the first"
            } else {
                "kept"
            };
            writeln!(
                text,
                "{count} texts stood in both {name}; they were {outcome}.\n"
            )?;
        }
        Ok(())
    }

    /// Results on the test split, with what each method used.
    fn methods_table(&self, text: &mut String) {
        let confidence = 100.0 * self.config.test.confidence;
        let baseline = self.test.iter().find(|result| result.differences.is_none());
        let mut header = vec!["method".to_owned()];
        header.extend(
            self.scores
                .iter()
                .map(|score| format!("{} {}", score.name, arrow(score))),
        );
        let compared = baseline.is_some() && self.test.len() > 1;
        let metrics: Vec<usize> = (0..self.scores.len())
            .filter(|&i| !self.scores[i].is_loss())
            .collect();
        if let Some(baseline) = baseline.filter(|_| compared) {
            header.extend(
                metrics
                    .iter()
                    .map(|&i| format!("{} vs {}", self.scores[i].name, baseline.name)),
            );
        }
        header.push("evaluations".to_owned());
        let rows = self.test.iter().zip(&self.methods).map(|(result, method)| {
            let mark = if result.name == self.chosen {
                " **(chosen)**"
            } else {
                ""
            };
            let mut row = vec![format!("{}{mark}", result.name)];
            let values = result.evaluation.values.iter().zip(&result.intervals);
            row.extend(values.map(|(value, interval)| with_interval(*value, interval, false)));
            if compared {
                row.extend(metrics.iter().map(|&i| match &result.differences {
                    Some(differences) => with_interval(differences[i].0, &differences[i].1, true),
                    None => String::new(),
                }));
            }
            let cached = method.cache_hits();
            row.push(format!(
                "{} of {} ({cached} known)",
                method.trials.len(),
                method.ceiling
            ));
            row
        });
        let rows: Vec<Vec<String>> = rows.collect();
        text.push_str("## Test results\n\n");
        table(text, &header, &rows);
        let _ = writeln!(
            text,
            "\nIn brackets: {confidence:.0} % bootstrap intervals over the test examples ({} resamples), paired where two \
             methods are compared. The chosen method is the best on the validation split.{}\n",
            self.config.test.resamples,
            match self.test.first().map_or(0, |result| result.redrawn) {
                0 => String::new(),
                count =>
                    format!(" {count} resamples on which a metric is not defined were drawn again."),
            }
        );
        let known: Vec<String> = self
            .correlation
            .iter()
            .filter_map(|(name, rho)| Some(format!("{name} {:.3}", (*rho)?)))
            .collect();
        if !known.is_empty() {
            let _ = writeln!(
                text,
                "Rank correlation of lower loss with a better metric over all points tried on the validation split: {}.\n",
                known.join(", ")
            );
        }
    }

    /// The first score of every metric with groups, group by group, for every method.
    fn groups_tables(&self, text: &mut String) {
        let Some(first) = self.test.first() else {
            return;
        };
        for (position, grouped) in first.groups.iter().enumerate() {
            let Grouped {
                metric,
                by,
                scores,
                groups,
            } = grouped;
            let name = match &scores[..] {
                [first, _, ..] => format!("{metric}.{first}"),
                _ => metric.clone(),
            };
            let _ = writeln!(text, "## {name} by {by} (test split)\n");
            let mut header = vec![by.clone(), "examples".to_owned()];
            header.extend(self.test.iter().map(|result| result.name.clone()));
            let rows = groups.iter().enumerate().map(|(index, group)| {
                let mut row = vec![group.name.clone(), group.examples.to_string()];
                let values = self.test.iter().map(|result| {
                    let values = &result.groups[position].groups[index].values;
                    values
                        .first()
                        .map_or(String::new(), |value| format!("{value:.4}"))
                });
                row.extend(values);
                row
            });
            let rows: Vec<Vec<String>> = rows.collect();
            table(text, &header, &rows);
            text.push('\n');
        }
    }

    /// How every score was computed.
    fn signatures_table(&self, text: &mut String) {
        let Some(first) = self.test.first() else {
            return;
        };
        text.push_str("## How the scores were computed\n\n");
        let header = ["score".to_owned(), "signature".to_owned()];
        // A bar would end the cell.
        let cell = |signature: &Value| {
            format!("`{}`", signature.as_str().unwrap_or("")).replace('|', "\\|")
        };
        let rows = first.signatures.iter();
        let rows: Vec<Vec<String>> = rows
            .map(|(name, signature)| vec![name.clone(), cell(signature)])
            .collect();
        table(text, &header, &rows);
        text.push('\n');
    }

    fn tuning_table(&self, text: &mut String) {
        let Some(tuning) = &self.tuning else { return };
        text.push_str("## Hyperparameter search\n\n");
        let names: Vec<&String> = self.space.keys().collect();
        let mut header = vec!["trial".to_owned()];
        header.extend(
            names
                .iter()
                .map(|name| format!("{name} ({})", self.space[*name])),
        );
        header.extend(self.scores.iter().map(|score| score.name.clone()));
        let rows = tuning.trials.iter().enumerate().map(|(index, trial)| {
            let mark = if index == tuning.best {
                " **(best)**"
            } else {
                ""
            };
            let stopped = match trial.reports.last() {
                Some((part, _)) if trial.stopped => {
                    format!(" (stopped after part {part} of {})", tuning.parts)
                }
                _ => String::new(),
            };
            let mut row = vec![format!("{}{mark}{stopped}", index + 1)];
            row.extend(names.iter().map(|name| short(&trial.point[*name])));
            row.extend(self.values(trial.evaluation.as_ref().map(|e| e.values.as_slice())));
            row
        });
        let rows: Vec<Vec<String>> = rows.collect();
        table(text, &header, &rows);
        text.push('\n');
    }

    fn values(&self, values: Option<&[f64]>) -> Vec<String> {
        match values {
            Some(values) => values.iter().map(|value| format!("{value:.4}")).collect(),
            None => vec!["failed".to_owned(); self.scores.len()],
        }
    }

    fn trajectory_table(&self, text: &mut String) {
        let window = &self.trajectory.window;
        let _ = writeln!(
            text,
            "## Trajectory\n\nOne training of {} steps, {} checkpoints evaluated on the validation split. Best step B* = {}; \
             members from step {} to {}{}.\n",
            self.trajectory.total_steps,
            self.trajectory.checkpoints.len(),
            window.best,
            window.first,
            window.last,
            if window.cut_short {
                " (cut short by the end of the training)"
            } else {
                ""
            },
        );
        let mut header = vec!["step".to_owned(), "training loss".to_owned()];
        header.extend(self.scores.iter().map(|score| score.name.clone()));
        header.push("member".to_owned());
        let rows = self.trajectory.checkpoints.iter().map(|checkpoint| {
            let mark = if checkpoint.step == window.best {
                " **(B\\*)**"
            } else {
                ""
            };
            let mut row = vec![
                format!("{}{mark}", checkpoint.step),
                format!("{:.4}", checkpoint.training_loss),
            ];
            row.extend(self.values(Some(&checkpoint.evaluation.values)));
            row.push(
                if window.members.contains(&checkpoint.step) {
                    "yes"
                } else {
                    ""
                }
                .to_owned(),
            );
            row
        });
        let rows: Vec<Vec<String>> = rows.collect();
        table(text, &header, &rows);
        text.push('\n');
    }

    /// What each method ended with on the validation split, and its coefficients.
    fn coefficients_table(&self, text: &mut String) {
        text.push_str("## Chosen points (validation split)\n\n");
        let mut header = vec!["method".to_owned()];
        header.extend(self.scores.iter().map(|score| score.name.clone()));
        let constrained = !self.config.fuse.constraints.is_empty();
        if constrained {
            header.push("constraints".to_owned());
        }
        header.push("coefficients of the members, in order".to_owned());
        let rows = self.methods.iter().map(|method| {
            let chosen = method.chosen();
            let mut row = vec![method.name.clone()];
            row.extend(self.values(chosen.evaluation.as_ref().map(|e| e.values.as_slice())));
            if constrained {
                row.push(match method.broken.is_empty() {
                    true => "hold".to_owned(),
                    false => format!("**broken by all points**: {}", method.broken.join("; ")),
                });
            }
            let shown = chosen.coefficients.iter().map(|c| {
                if *c == 0.0 {
                    "0".to_owned()
                } else {
                    format!("{c:.3}")
                }
            });
            row.push(shown.collect::<Vec<_>>().join(" "));
            row
        });
        let rows: Vec<Vec<String>> = rows.collect();
        table(text, &header, &rows);
        text.push('\n');
    }

    fn foot(&self, text: &mut String, spent: &Spent) -> std::fmt::Result {
        text.push_str("## Time\n\n");
        let wall = spent.wall;
        let other = wall - spent.on.values().sum::<f64>();
        let mut rows: Vec<Vec<String>> = spent
            .on
            .iter()
            .map(|(category, seconds)| {
                vec![
                    category_name(*category).to_owned(),
                    format!("{seconds:.1}"),
                    format!("{:.1}", 100.0 * seconds / wall),
                ]
            })
            .collect();
        rows.push(vec![
            "other".to_owned(),
            format!("{other:.1}"),
            format!("{:.1}", 100.0 * other / wall),
        ]);
        rows.push(vec![
            "all".to_owned(),
            format!("{wall:.1}"),
            "100.0".to_owned(),
        ]);
        table(
            text,
            &["what".to_owned(), "seconds".to_owned(), "%".to_owned()],
            &rows,
        );
        if let Some(peak) = memory::peak_anonymous_mib() {
            writeln!(
                text,
                "\nPeak anonymous memory: {peak} MiB; threads: {}. Times are those of all processes that worked on the run, without work that was lost.",
                self.threads
            )?;
        }
        let folder = output::folder(&self.chosen);
        writeln!(
            text,
            "\n## The fused model\n\n`{0}` holds the model of `{1}`; `transformers` loads it:\n\n```python\nfrom transformers import \
             AutoModelForSequenceClassification, AutoTokenizer\n\nmodel = AutoModelForSequenceClassification.from_pretrained(\"{0}\")\n\
             tokenizer = AutoTokenizer.from_pretrained(\"{0}\")\n```\n\nMade with bomf {2} (commit {3}), seed {4}. \
             `config.yaml` in this folder repeats the run.",
            folder.display(),
            self.chosen,
            self.bomf["version"].as_str().unwrap_or("unknown"),
            self.bomf["commit"].as_str().unwrap_or("unknown"),
            self.config.seed,
        )
    }

    /// The card of the fused model: README.md with front matter as model hubs read it.
    pub fn card(&self) -> String {
        // Only models of the hub have names there; folders and packages have none.
        let base = self.config.model.source.strip_prefix("hf:");
        let base = base.filter(|name| is_hub_name(name)).map(str::to_owned);
        let task = Some("text-classification");
        let mut text = front_matter(&base.into_iter().collect(), "transformers", task);
        let _ = writeln!(
            text,
            "# {}: fused by `{}`\n\nA weighted average of {} checkpoints of one fine-tuning run; `fusion.json` has the \
             coefficients and the digest of each.\n",
            self.config.name,
            self.chosen,
            self.trajectory.window.members.len(),
        );
        self.methods_table(&mut text);
        text
    }
}

/// The plugins that a plan uses: name, version, digest.
pub fn plugins(plan: &Plan, registry: &Registry) -> Value {
    let config = &plan.config;
    let mut used = vec![
        (Kind::Model, &config.model.plugin),
        (Kind::Fuser, &config.fuse.fuser.plugin),
    ];
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
    let loss = column(0);
    let metrics = (1..scores.len())
        .map(|index| (scores[index].name.clone(), spearman(&loss, &column(index))));
    metrics.collect()
}

fn arrow(score: &Score) -> &'static str {
    match score.direction {
        bomf_plugin_api::Direction::Maximize => "↑",
        bomf_plugin_api::Direction::Minimize => "↓",
    }
}

fn with_interval(value: f64, interval: &Interval, sign: bool) -> String {
    match sign {
        true => format!("{value:+.4} [{:+.4}, {:+.4}]", interval.low, interval.high),
        false => format!("{value:.4} [{:.4}, {:.4}]", interval.low, interval.high),
    }
}

fn short(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if value.is_f64() => format!("{number:.3e}"),
        _ => value.to_string(),
    }
}

fn category_name(category: Category) -> &'static str {
    match category {
        Category::Training => "training",
        Category::Prediction => "prediction",
        Category::Fusion => "fusion",
        Category::Optimizer => "optimizer",
        Category::Metrics => "metrics and bootstrap",
        Category::Io => "reading and writing",
    }
}

/// A GitHub table, its columns aligned for those who read the source.
fn table(text: &mut String, header: &[String], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| &row[column]).chain([&header[column]]);
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
            .max(3)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut line = |cells: &[String]| {
        for (cell, width) in cells.iter().zip(&widths) {
            let padding = " ".repeat(width - cell.chars().count());
            let _ = write!(text, "| {cell}{padding} ");
        }
        text.push_str("|\n");
    };
    line(header);
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    line(&rule);
    rows.iter().for_each(|row| line(row));
}
