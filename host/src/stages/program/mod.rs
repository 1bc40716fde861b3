//! A program that evaluates: it is given the folder of a fused model, and prints scores or writes predictions.

pub mod call;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bomf_plugin_api::Table;
use fusion::Checkpoint;
use serde_json::Value;
use tempfile::TempDir;

use super::Run;
use super::evaluator::{Evaluator, Findings};
use super::members::{record, write_fused};
use crate::config::{EvaluateConfig, IntegersConfig, RunConfig, ScoreConfig};
use crate::diagnostics::Failure;
use crate::metrics::Evaluation;
use crate::score::{ExampleFile, read_examples};
use crate::timing::Category;
use call::{Call, Program, text};

/// Evaluations of the run folder, each with its logs.
const EVALUATIONS: &str = "evaluations";
/// Begins the names of folders that hold a model while it is evaluated.
const EVALUATING: &str = "evaluating-";

/// What evaluates, and what is taken from it.
#[derive(Debug, Clone)]
pub struct ProgramPlan {
    /// The program; without one, predictions are waited for.
    pub program: Option<Program>,
    /// What it leaves.
    leaves: Leaves,
    scratch: Option<PathBuf>,
    /// What becomes of integers in fused models.
    integers: IntegersConfig,
}

#[derive(Debug, Clone)]
enum Leaves {
    /// JSON with numbers: for each score its name, and the keys that lead to it.
    Numbers(Vec<(String, Vec<String>)>),
    /// Lines as `bomf score` reads them.
    Predictions {
        labels: Vec<String>,
        group: Option<String>,
    },
}

impl ProgramPlan {
    /// As a configuration in `folder` says.
    pub fn new(config: &EvaluateConfig, folder: &Path, integers: IntegersConfig) -> Self {
        let program = |run: &RunConfig, timeout: f64, retries: u32| Program {
            run: run.clone(),
            folder: match folder.as_os_str().is_empty() {
                true => PathBuf::from("."),
                false => folder.to_owned(),
            },
            timeout: Duration::from_secs_f64(timeout),
            retries,
        };
        match config {
            EvaluateConfig::Command {
                run,
                scores,
                timeout,
                retries,
                scratch,
            } => Self {
                program: Some(program(run, *timeout, *retries)),
                leaves: Leaves::Numbers(scores.iter().map(keys).collect()),
                scratch: scratch.clone(),
                integers,
            },
            EvaluateConfig::Predictions {
                run,
                labels,
                group,
                timeout,
                retries,
                scratch,
            } => Self {
                program: run.as_ref().map(|run| program(run, *timeout, *retries)),
                leaves: Leaves::Predictions {
                    labels: labels.clone(),
                    group: group.clone(),
                },
                scratch: scratch.clone(),
                integers,
            },
            EvaluateConfig::Model {} => unreachable!("the model backend evaluates in this process"),
        }
    }

    /// Whether it can be asked for the test split: its call says which split is meant, or predictions are waited for.
    pub fn knows_splits(&self) -> bool {
        let run = self.program.as_ref().map(|program| &program.run);
        run.is_none_or(|run| run.mentions("split"))
    }
}

fn keys((name, score): (&String, &ScoreConfig)) -> (String, Vec<String>) {
    let at = score.at.clone().unwrap_or_else(|| vec![name.clone()]);
    (name.clone(), at)
}

/// Members on disk, and the program that looks at their fusions.
pub struct ProgramEvaluator<'a> {
    plan: &'a ProgramPlan,
    members: &'a [Checkpoint],
    run: &'a Run<'a>,
}

impl<'a> ProgramEvaluator<'a> {
    /// Clears away what a killed process left.
    pub fn new(
        plan: &'a ProgramPlan,
        members: &'a [Checkpoint],
        run: &'a Run<'a>,
    ) -> Result<Self, Failure> {
        let folder = run.journal.folder();
        let entries = fs::read_dir(folder)
            .map_err(|error| Failure::io("evaluate::folder", folder, &error))?;
        for entry in entries.filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().starts_with(EVALUATING) {
                fs::remove_dir_all(entry.path())
                    .map_err(|error| Failure::io("evaluate::folder", &entry.path(), &error))?;
            }
        }
        Ok(Self { plan, members, run })
    }

    /// Where the logs of an evaluation go: the same place for the same fusion and split.
    fn place(&self, coefficients: &[f64], split: &str) -> PathBuf {
        let mut hasher = blake3::Hasher::new();
        for coefficient in coefficients {
            hasher.update(&coefficient.to_le_bytes());
        }
        let digest = hasher.finalize().to_hex();
        let name = format!("{split}-{}", &digest[..16]);
        self.run.journal.folder().join(EVALUATIONS).join(name)
    }

    fn write(&self, coefficients: &[f64], out: &Path) -> Result<(), Failure> {
        let record = record(self.members, coefficients, None, self.plan.integers);
        self.run.timing.measure(Category::Fusion, || {
            write_fused(self.members, &record, &[], out)
        })
    }

    fn call(
        &self,
        program: &Program,
        coefficients: &[f64],
        split: &str,
    ) -> Result<Findings, Failure> {
        let scratch = match &self.plan.scratch {
            Some(folder) => program.folder.join(folder),
            None => self.run.journal.folder().to_owned(),
        };
        let folder = TempDir::with_prefix_in(EVALUATING, &scratch)
            .map_err(|error| Failure::io("evaluate::scratch", &scratch, &error))?;
        let model = folder.path().join("model");
        self.write(coefficients, &model)?;
        let call = Call {
            model: &model,
            split,
            logs: &self.place(coefficients, split),
        };
        let findings = self.run.timing.measure(Category::Prediction, || {
            program.call(call, |stdout, out| self.read(stdout, out))
        });
        self.run.check_stop()?;
        findings
    }

    /// What the program left.
    fn read(&self, stdout: &Path, out: &Path) -> Result<Findings, String> {
        match &self.plan.leaves {
            Leaves::Numbers(scores) => {
                let printed = printed(stdout, out)?;
                let values = scores
                    .iter()
                    .map(|(name, keys)| number(&printed, name, keys));
                let evaluation = Evaluation {
                    values: values.collect::<Result<_, _>>()?,
                };
                let signatures = scores.iter().map(|(name, keys)| {
                    (
                        name.clone(),
                        format!("command|at:{}", keys.join(".")).into(),
                    )
                });
                Ok(Findings::Scores {
                    evaluation,
                    signatures: signatures.collect(),
                })
            }
            Leaves::Predictions { .. } => {
                self.predictions(out).map_err(|failure| failure.to_string())
            }
        }
    }

    fn predictions(&self, path: &Path) -> Result<Findings, Failure> {
        let Leaves::Predictions { labels, group } = &self.plan.leaves else {
            unreachable!("predictions are read where predictions are left")
        };
        let file = ExampleFile {
            path,
            labels,
            group: group.as_deref(),
            skip_bad: false,
        };
        let table = read_examples(&file, self.run.progress)?.table;
        Ok(Findings::Predictions {
            table,
            mean_loss: None,
        })
    }

    /// Predictions that somebody else brings: they are there, or the run stops in good order and says where they belong.
    fn brought(&self, coefficients: &[f64], split: &str) -> Result<Findings, Failure> {
        let place = self.place(coefficients, split);
        let (model, predictions) = (place.join("model"), place.join("predictions.jsonl"));
        if predictions.exists() {
            let findings = self.predictions(&predictions)?;
            let _ = fs::remove_dir_all(&model);
            return Ok(findings);
        }
        if !model.exists() {
            fs::create_dir_all(&place)
                .map_err(|error| Failure::io("evaluate::folder", &place, &error))?;
            self.write(coefficients, &model)?;
        }
        let message = format!(
            "found no predictions of the {split} split yet, expected those of the model in {}",
            model.display()
        );
        Err(
            Failure::run("evaluate::waiting", predictions.display(), message).hint(
                "write them there, one JSON object per line as for `bomf score`, then go on with `--resume`",
            ),
        )
    }
}

impl Evaluator for ProgramEvaluator<'_> {
    fn members(&self) -> usize {
        self.members.len()
    }

    fn look(&mut self, coefficients: &[f64], split: &str) -> Result<Findings, Failure> {
        match &self.plan.program {
            Some(program) => self.call(program, coefficients, split),
            None => self.brought(coefficients, split),
        }
    }

    fn examples<'b>(
        &'b self,
        _split: &str,
        predicted: &'b Table<'static>,
    ) -> Result<Table<'b>, Failure> {
        Ok(predicted.borrow())
    }
}

/// The JSON object that a program left: at `{out}`, there in the only JSON file below, or as the last one it printed.
fn printed(stdout: &Path, out: &Path) -> Result<Value, String> {
    let file = if out.is_dir() {
        let mut found = Vec::new();
        json_files(out, &mut found);
        match &found[..] {
            [file] => Some(file.clone()),
            [] => return Err(format!("found no JSON file in {}", out.display())),
            _ => {
                return Err(format!(
                    "found {} JSON files in {}, expected one",
                    found.len(),
                    out.display()
                ));
            }
        }
    } else {
        out.exists().then(|| out.to_owned())
    };
    if let Some(file) = file {
        let text = text(&file)?;
        return match serde_json::from_str(&text) {
            Ok(value @ Value::Object(_)) => Ok(value),
            Ok(_) => Err(format!(
                "{}: found no JSON object, expected one",
                file.display()
            )),
            Err(error) => Err(format!("{}: found no JSON: {error}", file.display())),
        };
    }
    let text = text(stdout)?;
    let object = |text: &str| {
        let value: Option<Value> = serde_json::from_str(text).ok();
        value.filter(Value::is_object)
    };
    object(&text)
        .or_else(|| text.lines().rev().find_map(object))
        .ok_or_else(|| {
            "the program printed no JSON object, expected one alone or on a line of its own"
                .to_owned()
        })
}

fn json_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
    {
        let path = entry.path();
        if path.is_dir() {
            json_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "json") {
            found.push(path);
        }
    }
}

fn number(printed: &Value, name: &str, keys: &[String]) -> Result<f64, String> {
    let mut here = printed;
    for key in keys {
        here = here.get(key).ok_or_else(|| {
            let known = here.as_object().map_or_else(String::new, |object| {
                let keys: Vec<&str> = object.keys().map(String::as_str).collect();
                format!(", it has `{}`", keys.join("`, `"))
            });
            format!("score `{name}`: found no key `{key}`{known}")
        })?;
    }
    match here.as_f64() {
        Some(number) if number.is_finite() => Ok(number),
        _ => Err(format!(
            "score `{name}`: found {here}, expected a finite number"
        )),
    }
}
