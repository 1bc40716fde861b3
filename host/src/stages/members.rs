//! Members: the checkpoints of the run's own training, or checkpoints that are there already.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use bomf_plugin_api::TensorSpec;
use fusion::digest::Digester;
use fusion::lora::Lora;
use fusion::plan::Plan;
use fusion::recipe::{Integers, fits};
use fusion::record::{Model, Record, WeightsRecord};
use fusion::rules::{Linear, Rule};
use fusion::stream::Effort;
use fusion::write::{Folder, SHARD_SIZE};
use fusion::{Checkpoint, Dtype};
use serde::{Deserialize, Serialize};

use super::Run;
use super::VALIDATION;
use super::evaluator::{Evaluator, evaluate};
use super::fuse::bits;
use super::trajectory::{Trajectory, WEIGHTS_OF_MEMBERS, describe};
use crate::config::document::{Document, child, item};
use crate::config::{IntegersConfig, MemberConfig};
use crate::diagnostics::{Failure, Failures};
use crate::fuse;
use crate::journal::{self, REPORT, RUNS};
use crate::metrics::Evaluation;
use crate::timing::Category;
use crate::weights;

/// Most bytes for the buffers of a fusion from disk to disk.
const FUSION_MEMORY: usize = 128 << 20;

/// A checkpoint that is to take part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberPlan {
    /// What reports call it.
    pub name: String,
    /// The file or folder.
    pub path: PathBuf,
}

/// A member with what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// What reports call it.
    pub name: String,
    /// Where it was found, if it is not a checkpoint of the run's own training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The files of its weights; for a checkpoint of the run's own training none, but the digest of its tensors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<WeightsRecord>,
    /// BLAKE3 of its weights, tensor after tensor, where they are those of the run's own training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its scores on the validation split.
    pub evaluation: Evaluation,
}

/// The members that a training left.
pub fn of_trajectory(trajectory: &Trajectory) -> Vec<Member> {
    let members = trajectory.members().map(|checkpoint| Member {
        name: format!("step-{:06}", checkpoint.step),
        path: None,
        files: Vec::new(),
        digest: Some(checkpoint.digest.clone()),
        evaluation: checkpoint.evaluation.clone(),
    });
    members.collect()
}

/// What is known of the members already: their own coefficients are not evaluated again.
pub fn known(members: &[Member]) -> HashMap<Vec<u64>, Evaluation> {
    let known = members.iter().enumerate().map(|(index, member)| {
        let vertex = vertex(index, members.len());
        (bits(&vertex), member.evaluation.clone())
    });
    known.collect()
}

fn vertex(index: usize, count: usize) -> Vec<f64> {
    let mut vertex = vec![0.0; count];
    vertex[index] = 1.0;
    vertex
}

/// The members that a configuration in `folder` names, patterns replaced by what fits them.
///
/// # Errors
/// Patterns that fit nothing, names that two have.
pub fn resolve(
    configs: &[MemberConfig],
    folder: &Path,
    document: &Document,
) -> Result<Vec<MemberPlan>, Failures> {
    let (mut members, mut problems) = (Vec::<MemberPlan>::new(), Vec::new());
    for (index, config) in configs.iter().enumerate() {
        let at = item("members", index);
        let paths = match config {
            MemberConfig::Path(path) => there(&folder.join(path)),
            MemberConfig::Named(member) => there(&folder.join(&member.path)),
            MemberConfig::Run(members) => of_run(&members.run),
        };
        let paths = paths.unwrap_or_else(|(what, hint)| {
            let problem = document.problem(&at, "config::member", what);
            problems.push(match hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
            Vec::new()
        });
        for path in paths {
            let name = match config {
                MemberConfig::Named(named) => named.name.clone(),
                MemberConfig::Path(_) | MemberConfig::Run(_) => given_name(&path),
            };
            if let Some(other) = members.iter().find(|other| other.name == name) {
                let what = format!(
                    "found a second member named `{name}`: {} and {}",
                    other.path.display(),
                    path.display()
                );
                let at = match config {
                    MemberConfig::Named(_) => child(&at, "name"),
                    MemberConfig::Path(_) | MemberConfig::Run(_) => at.clone(),
                };
                let problem = document.problem(&at, "config::name", what);
                problems
                    .push(problem.hint("give one of them a `name`: `{ path: ..., name: ... }`"));
            }
            members.push(MemberPlan { name, path });
        }
    }
    match problems.is_empty() {
        true => Ok(members),
        false => Err(Failures(problems)),
    }
}

/// What was found instead of members, and what to do.
type Missing = (String, Option<String>);

/// What fits a path.
fn there(path: &Path) -> Result<Vec<PathBuf>, Missing> {
    let found = fitting(path);
    match found.is_empty() {
        true => Err((format!("found nothing that fits {}", path.display()), None)),
        false => Ok(found),
    }
}

/// The members that the last run of that name has trained.
fn of_run(name: &str) -> Result<Vec<PathBuf>, Missing> {
    let folder = journal::last(Path::new(RUNS), name, REPORT).map_err(|failure| {
        let what = format!("{} that has come to its end in `{RUNS}`", failure.message);
        let hint = "start it before, from this folder: its configuration has that `name`";
        (what, Some(hint.to_owned()))
    })?;
    there(&folder.join(WEIGHTS_OF_MEMBERS))
}

/// The paths that fit a path with patterns in its parts, in natural order; the path itself without a pattern.
fn fitting(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    let mut patterns = false;
    for part in path.components() {
        let pattern = part.as_os_str().to_string_lossy();
        if !pattern.contains(['*', '?']) {
            found.iter_mut().for_each(|path| path.push(part));
            found.retain(|path| !patterns || path.exists());
            continue;
        }
        patterns = true;
        let mut longer = Vec::new();
        for folder in &found {
            let here = match folder.as_os_str().is_empty() {
                true => Path::new("."),
                false => folder,
            };
            let entries = std::fs::read_dir(here).into_iter().flatten();
            let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
            let fitting = names.filter(|name| fits(&pattern, &name.to_string_lossy()));
            longer.extend(fitting.map(|name| folder.join(name)));
        }
        found = longer;
    }
    found.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
    found
}

/// The order of names with numbers in them: `step-9` before `step-10`.
fn natural(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(bool, u128, String)> {
        let mut parts: Vec<(bool, u128, String)> = Vec::new();
        for c in text.chars() {
            let digit = c.is_ascii_digit();
            match parts.last_mut() {
                Some((same, _, part)) if *same == digit => part.push(c),
                _ => parts.push((digit, 0, c.to_string())),
            }
        }
        for (digit, number, part) in &mut parts {
            *number = if *digit {
                part.parse().unwrap_or(u128::MAX)
            } else {
                0
            };
        }
        parts
    };
    parts(a).cmp(&parts(b))
}

/// What a member is called that has been given no name: its file or folder, or the folder of a file that is called as in
/// every folder.
fn given_name(path: &Path) -> String {
    let name = own_name(path);
    let usual = [
        "model.safetensors",
        "weights.safetensors",
        "pytorch_model.bin",
    ];
    match path.parent() {
        Some(parent) if usual.contains(&&*name) && parent.file_name().is_some() => own_name(parent),
        _ => name,
    }
}

fn own_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Opens the members and compares them.
///
/// # Errors
/// All that cannot be opened; members that do not go together, with a table of the differences.
pub fn open(plans: &[MemberPlan]) -> Result<Vec<Checkpoint>, Failures> {
    let members = fuse::open(plans.iter().map(|plan| &*plan.path))?;
    let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
    let (_, table) = fuse::compare(&members, lora(&members), &names, "members")?;
    table.lines().for_each(|line| tracing::info!("{line}"));
    Ok(members)
}

/// The members' weights in the order of `specs`, for a fuser: mapped where they lie in the files as they are.
///
/// # Errors
/// When a member has not got the tensors of the model.
pub fn weights(
    plans: &[MemberPlan],
    checkpoints: &[Checkpoint],
    specs: &[TensorSpec],
) -> Result<Vec<bomf_plugin_api::Member>, Failure> {
    let members = plans.iter().zip(checkpoints).map(|(plan, checkpoint)| {
        Ok(bomf_plugin_api::Member {
            name: plan.name.clone(),
            tensors: weights::of_checkpoint(checkpoint, specs)?,
        })
    });
    members.collect()
}

/// The members' weights as a run that goes on has to find them: names, lengths and times of their files.
pub fn stamps(plans: &[MemberPlan], members: &[Checkpoint]) -> serde_json::Value {
    let members = plans.iter().zip(members).map(|(plan, checkpoint)| {
        let files = checkpoint.files.iter().map(|file| {
            let modified = std::fs::metadata(&file.path).and_then(|m| m.modified()).ok();
            let modified = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            serde_json::json!({
                "name": own_name(&file.path),
                "bytes": file.length(),
                "modified": modified.map(|time| time.as_nanos().to_string()),
            })
        });
        serde_json::json!({"name": plan.name, "path": plan.path, "files": files.collect::<Vec<_>>()})
    });
    members.collect()
}

/// Looks at every member by itself, and takes the digests of its files.
pub fn examine(
    run: &Run<'_>,
    plans: &[MemberPlan],
    checkpoints: &[Checkpoint],
    evaluator: &mut dyn Evaluator,
    threads: usize,
) -> Result<Vec<Member>, Failure> {
    let progress = run.progress.stage("members", plans.len() as u64);
    let mut members = Vec::new();
    for (index, (plan, checkpoint)) in plans.iter().zip(checkpoints).enumerate() {
        run.check_stop()?;
        let member: Member = run.journal.once(&format!("members/{}", plan.name), || {
            let evaluation = evaluate(run, evaluator, &vertex(index, plans.len()), VALIDATION)?;
            let files = run
                .timing
                .measure(Category::Io, || digests(checkpoint, threads))?;
            Ok(Member {
                name: plan.name.clone(),
                path: Some(plan.path.clone()),
                files,
                digest: None,
                evaluation,
            })
        })?;
        let said = describe(run.metrics.scores(), &member.evaluation);
        progress.advance(1, &format!("{}: {said}", member.name));
        members.push(member);
    }
    progress.finish();
    Ok(members)
}

fn digests(checkpoint: &Checkpoint, threads: usize) -> Result<Vec<WeightsRecord>, Failure> {
    let files = checkpoint.files.iter().map(|file| {
        Ok(WeightsRecord {
            name: own_name(&file.path),
            bytes: file.length(),
            blake3: Some(Digester::new(file).finish(threads)?),
        })
    });
    files.collect()
}

/// The weighted sum of members, as `bomf fuse` records it; the files of the members are not noted yet.
pub fn record(
    members: &[Checkpoint],
    coefficients: &[f64],
    dtype: Option<Dtype>,
    integers: IntegersConfig,
) -> Record {
    let models = members.iter().zip(coefficients);
    let models = models.map(|(member, &coefficient)| Model {
        path: member.path.clone(),
        coefficient: Some(coefficient),
        files: Vec::new(),
        beside: BTreeMap::new(),
    });
    Record {
        bomf: env!("CARGO_PKG_VERSION").to_owned(),
        method: Rule::Linear(Linear::default()),
        lora: lora(members),
        seed: 0,
        base: None,
        members: models.collect(),
        patterns: Vec::new(),
        dtype,
        accumulate: None,
        integers: match integers {
            IntegersConfig::Error => Integers::Error,
            IntegersConfig::First => Integers::First,
        },
        shard_size: SHARD_SIZE,
        truncation: None,
    }
}

/// Of adapters the factors are averaged, as in the paper.
fn lora(members: &[Checkpoint]) -> Option<Lora> {
    let adapters = members.iter().all(Checkpoint::is_adapter);
    (adapters && !members.is_empty()).then_some(Lora::Factors)
}

/// Writes a folder with what the record says, what belongs to it, and other files.
pub fn write_fused(
    members: &[Checkpoint],
    record: &Record,
    others: &[(&str, &[u8])],
    out: &Path,
) -> Result<(), Failure> {
    let plan = Plan::new(members, &record.recipe())?;
    let folder = Folder::begin(out)?;
    let effort = Effort {
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory: FUSION_MEMORY,
        digests: false,
    };
    let mut made = record.clone();
    fuse::make(&mut made, (members, &plan), &folder, effort, |_| ())?;
    for (name, bytes) in others {
        folder.write(name, bytes)?;
    }
    Ok(folder.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_replaced_by_what_fits_them_in_the_order_of_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["step-9", "step-10", "step-100", "other"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        for name in ["step-10", "step-9"] {
            std::fs::write(folder.path().join(name).join("w.safetensors"), "").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let found = fitting(&folder.path().join(pattern));
            let below = |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().to_owned();
            let text = |path: &PathBuf| below(path).to_string_lossy().replace('\\', "/");
            found.iter().map(text).collect()
        };
        assert_eq!(names("step-*"), ["step-9", "step-10", "step-100"]);
        assert_eq!(names("step-?0/w.*"), ["step-10/w.safetensors"]);
        assert_eq!(
            names("step-*/w.safetensors"),
            ["step-9/w.safetensors", "step-10/w.safetensors"]
        );
        assert_eq!(names("nothing-*"), [""; 0]);
        assert_eq!(names("not/there"), ["not/there"]);
    }
}
