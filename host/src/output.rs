//! The fused model as a folder that `transformers` loads.

use std::path::PathBuf;

use serde_json::json;

use crate::diagnostics::Failure;
use crate::journal::file;
use crate::plan::Plan;
use crate::report::Report;
use crate::stages::fuse::{MethodResult, Workshop};
use crate::stages::trajectory::Trajectory;
use crate::timing::Category;

/// Writes `fused/<method>/`: weights, configuration, tokenizer, card, and what was fused how. The weights come last: a
/// folder that has them is whole.
pub fn write(
    workshop: &mut Workshop<'_, '_>,
    method: &MethodResult,
    trained: &Trajectory,
    report: &Report,
    plan: &Plan,
) -> Result<(), Failure> {
    let coefficients = &method.chosen().coefficients;
    workshop.load(coefficients)?;
    let export = workshop
        .bench
        .model()
        .export()
        .map_err(|error| workshop.bench.fault(&error))?;
    let folder = workshop.run.journal.folder().join(folder(&method.name));
    workshop.run.timing.measure(Category::Io, || {
        for (name, contents) in &export.files {
            file::write(&folder.join(name), contents)?;
        }
        let members: Vec<_> = trained
            .members()
            .zip(coefficients)
            .map(|(member, coefficient)| {
                json!({"step": member.step, "weights": member.digest, "coefficient": coefficient})
            })
            .collect();
        let fusion = json!({
            "bomf": env!("CARGO_PKG_VERSION"),
            "method": method.name,
            "rule": "linear",
            "base": plan.config.model.source,
            "members": members,
        });
        file::write_json(&folder.join("fusion.json"), &fusion)?;
        file::write(&folder.join("README.md"), report.card().as_bytes())?;
        file::write_tensors(&folder.join("model.safetensors"), &export.tensors, None)
    })
}

/// Where the model of a method lies in the run folder.
pub fn folder(method: &str) -> PathBuf {
    PathBuf::from("fused").join(method)
}
