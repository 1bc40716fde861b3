//! The report for people and papers, and the card of the fused model.

use std::fmt::Write;

use fusion::Checkpoint;
use fusion::card::{bases, front_matter, is_hub_name};
use serde_json::Value;

use super::Report;
use crate::memory;
use crate::metrics::{Evaluation, Grouped};
use crate::output;
use crate::stages::objectives::Score;
use crate::stages::test::TestResult;
use crate::statistics::Interval;
use crate::timing::{Category, Spent};

impl Report {
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
        writeln!(text, "# {}\n", self.config.name)?;
        let (members, methods) = (self.members.len(), self.methods.len());
        let source = self.source.as_deref().unwrap_or_default();
        match (&self.model, &self.trajectory) {
            (Some(model), Some(_)) => write!(
                text,
                "{members} members of one fine-tuning run of {source} ({:.1} M parameters, {:.1} M trained) were fused \
                 by {methods} methods.",
                model.parameters as f64 / 1e6,
                model.trainable_parameters as f64 / 1e6,
            )?,
            (Some(model), None) => write!(
                text,
                "{members} checkpoints ({:.1} M parameters) were fused by {methods} methods.",
                model.parameters as f64 / 1e6
            )?,
            (None, _) => write!(
                text,
                "{members} checkpoints were fused by {methods} methods, and evaluated by a program."
            )?,
        }
        let Some(data) = &self.data else {
            return text.write_str("\n\n");
        };
        let [train, validation, test] = data.rows;
        write!(
            text,
            " Each searched on {validation} validation examples; each result below was measured once on {test} test \
             examples that no search saw."
        )?;
        if self.trajectory.is_some() {
            write!(text, " Training used {train} examples.")?;
        }
        text.push_str("\n\n");
        let names = [
            "train and validation",
            "train and test",
            "validation and test",
        ];
        for (count, name) in data
            .duplicates
            .iter()
            .zip(names)
            .filter(|(count, _)| **count > 0)
        {
            let outcome = if data.dropped {
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

    /// Results on the test split, with what each method used; on the validation split where there is no test.
    fn methods_table(&self, text: &mut String) {
        let compared = self.test.iter().any(|result| result.differences.is_some());
        let baseline = self.test.iter().find(|result| result.differences.is_none());
        let baseline = baseline.filter(|_| compared);
        let metrics: Vec<usize> = (0..self.scores.len())
            .filter(|&i| !self.scores[i].is_loss())
            .collect();
        let mut header = vec!["method".to_owned()];
        header.extend(self.score_headers());
        if let Some(baseline) = baseline {
            let against = |&i: &usize| format!("{} vs {}", self.scores[i].name, baseline.name);
            header.extend(metrics.iter().map(against));
        }
        header.push("evaluations".to_owned());
        let rows = self.methods.iter().enumerate().map(|(position, method)| {
            let mark = match method.name == self.chosen {
                true => " **(chosen)**",
                false => "",
            };
            let mut row = vec![format!("{}{mark}", method.name)];
            match self.test.get(position) {
                None => row.extend(self.values(method.chosen().evaluation.as_ref())),
                Some(result) => row.extend(with_intervals(result)),
            }
            if baseline.is_some() {
                let differences = self.test[position].differences.as_ref();
                row.extend(metrics.iter().map(|&i| {
                    differences.map_or_else(String::new, |differences| {
                        with_interval(differences[i].0, &differences[i].1, true)
                    })
                }));
            }
            row.push(format!(
                "{} of {} ({} known)",
                method.trials.len(),
                method.ceiling,
                method.cache_hits()
            ));
            row
        });
        let rows: Vec<Vec<String>> = rows.collect();
        text.push_str(match self.test.is_empty() {
            true => "## Validation results\n\n",
            false => "## Test results\n\n",
        });
        table(text, &header, &rows);
        let _ = writeln!(text, "\n{}\n", self.methods_note());
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

    /// What the numbers of the methods' table are.
    fn methods_note(&self) -> String {
        let Some(first) = self.test.first() else {
            return "These numbers are those that the search looked at: the program was not told of a test split (`{split}`). \
                    They flatter every method that searched."
                .to_owned();
        };
        if first.intervals.is_none() {
            return "The chosen method is the best on the validation split. The program gives scores alone, which have no \
                    intervals."
                .to_owned();
        }
        let redrawn = match first.redrawn {
            0 => String::new(),
            count => {
                format!(" {count} resamples on which a metric is not defined were drawn again.")
            }
        };
        format!(
            "In brackets: {:.0} % bootstrap intervals over the test examples ({} resamples), paired where two methods are \
             compared. The chosen method is the best on the validation split.{redrawn}",
            100.0 * self.config.test.confidence,
            self.config.test.resamples,
        )
    }

    fn score_headers(&self) -> impl Iterator<Item = String> + '_ {
        self.scores
            .iter()
            .map(|score| format!("{} {}", score.name, arrow(score)))
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
            row.extend(self.values(trial.evaluation.as_ref()));
            row
        });
        let rows: Vec<Vec<String>> = rows.collect();
        table(text, &header, &rows);
        text.push('\n');
    }

    fn values(&self, evaluation: Option<&Evaluation>) -> Vec<String> {
        match evaluation {
            Some(evaluation) => evaluation
                .values
                .iter()
                .map(|value| format!("{value:.4}"))
                .collect(),
            None => vec!["failed".to_owned(); self.scores.len()],
        }
    }

    fn trajectory_table(&self, text: &mut String) {
        let Some(trajectory) = &self.trajectory else {
            return self.members_table(text);
        };
        let window = &trajectory.window;
        let _ = writeln!(
            text,
            "## Trajectory\n\nOne training of {} steps, {} checkpoints evaluated on the validation split. Best step B* = {}; \
             members from step {} to {}{}.\n",
            trajectory.total_steps,
            trajectory.checkpoints.len(),
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
        let rows = trajectory.checkpoints.iter().map(|checkpoint| {
            let mark = if checkpoint.step == window.best {
                " **(B\\*)**"
            } else {
                ""
            };
            let mut row = vec![
                format!("{}{mark}", checkpoint.step),
                format!("{:.4}", checkpoint.training_loss),
            ];
            row.extend(self.values(Some(&checkpoint.evaluation)));
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

    /// Checkpoints that were there already.
    fn members_table(&self, text: &mut String) {
        text.push_str("## Members (validation split)\n\n");
        let mut header = vec!["member".to_owned()];
        header.extend(self.score_headers());
        header.push("path".to_owned());
        let rows = self.members.iter().map(|member| {
            let mut row = vec![member.name.clone()];
            row.extend(self.values(Some(&member.evaluation)));
            let path = member.path.as_deref().unwrap_or_else(|| "".as_ref());
            row.push(format!("`{}`", path.display()).replace('|', "\\|"));
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
            row.extend(self.values(chosen.evaluation.as_ref()));
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
        if let Some((name, because)) = self.chosen_fuser() {
            writeln!(text, "\nThe fuser was `{name}`, because {because}.")?;
        }
        if let Some(peak) = memory::peak_anonymous_mib() {
            writeln!(
                text,
                "\nPeak anonymous memory: {peak} MiB; threads: {}. Times are those of all processes that worked on the run, without work that was lost.",
                self.threads
            )?;
        }
        let folder = output::folder(&self.chosen);
        let folder = folder.display();
        write!(
            text,
            "\n## The fused model\n\n`{folder}` holds the model of `{}`",
            self.chosen
        )?;
        match self.model {
            Some(_) => write!(
                text,
                "; `transformers` loads it:\n\n```python\nfrom transformers import AutoModelForSequenceClassification, \
                 AutoTokenizer\n\nmodel = AutoModelForSequenceClassification.from_pretrained(\"{folder}\")\n\
                 tokenizer = AutoTokenizer.from_pretrained(\"{folder}\")\n```\n\n",
            )?,
            None => write!(
                text,
                "; `bomf fuse --replay {folder}/fusion.json --out DIR` makes it again.\n\n",
            )?,
        }
        writeln!(
            text,
            "Made with bomf {} (commit {}), seed {}. `config.yaml` in this folder repeats the run.",
            self.bomf["version"].as_str().unwrap_or("unknown"),
            self.bomf["commit"].as_str().unwrap_or("unknown"),
            self.config.seed,
        )
    }

    /// The card of the fused model: README.md with front matter as model hubs read it. `ingredients` say of what it is made;
    /// `checkpoints` are its members, where they were there before the run.
    ///
    /// # Errors
    /// When a file beside a member's weights cannot be read.
    pub fn card(
        &self,
        ingredients: &str,
        checkpoints: &[Checkpoint],
    ) -> Result<String, fusion::Error> {
        // Only models of the hub have names there; folders and packages have none.
        let source = self
            .source
            .as_deref()
            .and_then(|name| name.strip_prefix("hf:"));
        let mut names = bases(checkpoints)?;
        names.extend(source.filter(|name| is_hub_name(name)).map(str::to_owned));
        let task = self.model.as_ref().map(|_| "text-classification");
        let library = match checkpoints.first().is_some_and(Checkpoint::is_adapter) {
            true => "peft",
            false => "transformers",
        };
        let mut text = front_matter(&names, library, task);
        let origin = match self.trajectory {
            Some(_) => "checkpoints of one fine-tuning run",
            None => "checkpoints",
        };
        let _ = writeln!(
            text,
            "# {}: fused by `{}`\n\nA weighted average of {} {origin}; `fusion.json` \
             has the coefficients and the digest of each.\n",
            self.config.name,
            self.chosen,
            self.members.len(),
        );
        self.methods_table(&mut text);
        text.push_str("## Members\n\n");
        text.push_str(ingredients);
        Ok(text)
    }
}

fn arrow(score: &Score) -> &'static str {
    match score.direction {
        bomf_plugin_api::Direction::Maximize => "↑",
        bomf_plugin_api::Direction::Minimize => "↓",
    }
}

/// The scores of a test, each with its interval where there is one.
fn with_intervals(result: &TestResult) -> Vec<String> {
    let values = result.evaluation.values.iter().enumerate();
    let shown = values.map(|(i, &value)| match &result.intervals {
        Some(intervals) => with_interval(value, &intervals[i], false),
        None => format!("{value:.4}"),
    });
    shown.collect()
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
