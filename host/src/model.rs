//! Opening the model of a plan.

use bomf_plugin_api::{Model, ModelSpec, TensorSpec};
use fusion::Checkpoint;
use serde_json::Value;

use crate::config::UseConfig;
use crate::diagnostics::Failure;
use crate::plan::{ModelPlan, Plan};
use crate::registry::Registry;

/// The model, with so many layers frozen.
///
/// # Errors
/// Those of the model.
pub fn open(
    plan: &Plan,
    model: &ModelPlan,
    registry: &Registry,
    freeze_layers: Option<u32>,
) -> Result<Box<dyn Model>, Failure> {
    let UseConfig { plugin, options } = &model.backend;
    let options = Value::Object(options.clone());
    let backend = registry.model(plugin, &options, &plan.context())?;
    let spec = ModelSpec::new(&model.folder, model.task.clone(), plan.config.seed)
        .with_frozen_layers(freeze_layers);
    let opened = backend.open(&spec);
    opened.map_err(|error| Failure::plugin(plugin, &error))
}

/// The model with as many frozen layers as its members' training had, which left them without these: they are the model's own.
///
/// # Errors
/// Those of the model.
pub fn open_as_trained(
    plan: &Plan,
    model: &ModelPlan,
    registry: &Registry,
    members: &[Checkpoint],
) -> Result<Box<dyn Model>, Failure> {
    let mut frozen = None;
    loop {
        let opened = open(plan, model, registry, frozen)?;
        let lacking = |spec: &TensorSpec| {
            let first = members.first();
            first.is_some_and(|member| member.tensor(&spec.name).is_none())
        };
        let specs = opened.trainable();
        if !specs.iter().any(lacking) {
            if let Some(layers) = frozen {
                tracing::info!(
                    "members have no embeddings, nor the lowest {layers} layers: the model's own are taken"
                );
            }
            return Ok(opened);
        }
        let next = frozen.map_or(0, |layers| layers + 1);
        if next > opened.info().layers || specs.iter().all(lacking) {
            // Members of something else: which tensor is missing is said when they are opened.
            return open(plan, model, registry, None);
        }
        frozen = Some(next);
    }
}
