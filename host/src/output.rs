//! The fused model as a folder that `transformers` loads.

use std::path::{Path, PathBuf};

use bomf_plugin_api::{Export, Tensor};
use fusion::record::RECORD;
use fusion::{Checkpoint, Dtype};
use serde_json::json;

use crate::diagnostics::Failure;
use crate::journal::file;
use crate::report::Report;
use crate::stages::Run;
use crate::stages::fuse::{MethodResult, Workshop};
use crate::stages::members::{Member, record, write_fused};
use crate::timing::Category;

/// Writes `fused/<method>/`: weights, configuration, tokenizer, card, and what was fused how.
///
/// `checkpoints` are the members' own, where they were there already.
pub fn write(
    workshop: &mut Workshop<'_, '_>,
    method: &MethodResult,
    members: &[Member],
    checkpoints: &[Checkpoint],
    report: &Report,
) -> Result<(), Failure> {
    let run = workshop.run;
    let out = run.journal.folder().join(folder(&method.name));
    // A model in this process has files of its own, and the weights that a training with frozen layers has not left.
    let model = match report.base() {
        Some(_) => Some(workshop.evaluator.export(&method.chosen().coefficients)?),
        None => None,
    };
    let is_whole = |tensor: &Tensor| {
        let name = &tensor.spec().name;
        checkpoints
            .first()
            .is_some_and(|member| member.tensor(name).is_some())
    };
    match model {
        Some(model) if !model.tensors.iter().all(is_whole) => {
            export(run, &model, method, members, report, &out)
        }
        model => fuse(run, model, method, members, checkpoints, report, &out),
    }
}

/// The model with its own weights loaded. The weights come last: a folder that has them is whole.
fn export(
    run: &Run<'_>,
    export: &Export,
    method: &MethodResult,
    members: &[Member],
    report: &Report,
    out: &Path,
) -> Result<(), Failure> {
    let coefficients = &method.chosen().coefficients;
    run.timing.measure(Category::Io, || {
        for (name, contents) in &export.files {
            file::write(&out.join(name), contents)?;
        }
        let entries = members
            .iter()
            .zip(coefficients)
            .map(|(member, coefficient)| {
                let mut written = json!({"name": member.name, "coefficient": coefficient});
                match &member.digest {
                    Some(digest) => written["weights"] = json!(digest),
                    None => {
                        written["path"] = json!(member.path);
                        written["files"] = json!(member.files);
                    }
                }
                written
            });
        let fusion = json!({
            "bomf": env!("CARGO_PKG_VERSION"),
            "method": method.name,
            "rule": "linear",
            "base": report.base(),
            "members": entries.collect::<Vec<_>>(),
        });
        file::write_json(&out.join(RECORD), &fusion)?;
        let card = report.card(&trained(members, coefficients), &[])?;
        file::write(&out.join("README.md"), card.as_bytes())?;
        file::write_tensors(&out.join("model.safetensors"), &export.tensors, None)
    })
}

/// Members that the run trained, for the card.
fn trained(members: &[Member], coefficients: &[f64]) -> String {
    let mut text = "| member | coefficient | BLAKE3 |\n|---|---|---|\n".to_owned();
    for (member, coefficient) in members.iter().zip(coefficients) {
        let digest = member.digest.as_deref().unwrap_or("not taken");
        text += &format!("| {} | {coefficient} | {digest} |\n", member.name);
    }
    text += "\nMade again, with the configuration in the folder of the run, by\n\n```\nbomf run config.yaml\n```\n";
    text
}

/// The members' weighted sum, from disk to disk: `bomf fuse --replay` makes the same weights.
fn fuse(
    run: &Run<'_>,
    model: Option<Export>,
    method: &MethodResult,
    members: &[Member],
    checkpoints: &[Checkpoint],
    report: &Report,
    out: &Path,
) -> Result<(), Failure> {
    // It appears whole or not at all: what a killed run has finished is there.
    if out.exists() {
        return Ok(());
    }
    let coefficients = &method.chosen().coefficients;
    // A model in this process computes in f32: what was evaluated is what is written, with the model's own files where the
    // members have none.
    let (dtype, own) = match model {
        Some(model) => (Some(Dtype::F32), model.files),
        None => (None, Vec::new()),
    };
    let mut record = record(
        checkpoints,
        coefficients,
        dtype,
        report.config().fuse.integers,
    );
    for (model, member) in record.members.iter_mut().zip(members) {
        // A replay may be started from another folder.
        model.path = std::path::absolute(&model.path)
            .map_err(|error| Failure::io("output::member", &model.path, &error))?;
        model.files.clone_from(&member.files);
    }
    record.note_beside(checkpoints)?;
    if let Some(parent) = out.parent() {
        std::fs::create_dir_all(parent)
            .map_err(|error| Failure::io("output::folder", parent, &error))?;
    }
    let written = format!("{:#}\n", json!(record));
    let card = report.card(&record.ingredients(checkpoints), checkpoints)?;
    let missing = |name: &String| !checkpoints[0].companions.contains_key(name);
    let own = own.iter().filter(|(name, _)| missing(name));
    let mut others: Vec<(&str, &[u8])> = own
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    others.extend([("README.md", card.as_bytes()), (RECORD, written.as_bytes())]);
    run.timing.measure(Category::Fusion, || {
        write_fused(checkpoints, &record, &others, out)
    })
}

/// Where the model of a method lies in the run folder.
pub fn folder(method: &str) -> PathBuf {
    PathBuf::from("fused").join(method)
}
