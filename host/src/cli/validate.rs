//! `bomf validate`.

use serde_json::json;

use crate::estimate::Estimate;
use crate::fuser::Choice;
use crate::plan::Plan;

/// What `bomf validate` says of a plan that is in order.
pub fn summary(plan: &Plan, estimate: &Estimate, fuser: &Choice, json: bool) -> String {
    let [train, validation, test] = plan.splits.facts.rows;
    let steps = |epochs: f64, batch: u64| {
        ((train as u64).div_ceil(batch.max(1)) as f64 * epochs).round() as u64
    };
    let batch =
        plan.trajectory.hyperparameters.batch_size * plan.trajectory.hyperparameters.accumulation;
    let training = steps(plan.trajectory.epochs, batch);
    let tuning = plan
        .tune
        .as_ref()
        .map_or(0, |tune| tune.trials * steps(tune.epochs, batch));
    let members = plan.config.trajectory.members as u64;
    let searched: u64 = plan.methods.iter().map(|method| method.iterations).sum();
    let evaluations = plan.config.trajectory.checkpoints + members + searched;
    if json {
        return format!(
            "{}\n",
            json!({
                "name": plan.config.name, "rows": plan.splits.facts.rows, "training_steps": training,
                "tuning_steps": tuning, "most_evaluations": evaluations, "estimate": estimate,
                "fuser": fuser,
                "methods": plan.methods.iter().map(|method| &method.name).collect::<Vec<_>>(),
            })
        );
    }
    format!(
        "{}: in order\n  data        {train} train, {validation} validation, {test} test\n  model       {}\n  \
         tuning      {} trials, about {tuning} steps on the proxy\n  trajectory  about {training} steps, {} checkpoints\n  \
         fusion      {} members, {} methods, at most {evaluations} evaluations of {validation} examples\n  fuser       {fuser}\n  \
         estimate    {estimate}\n",
        plan.config.name,
        plan.model_folder.display(),
        plan.tune.as_ref().map_or(0, |tune| tune.trials),
        plan.config.trajectory.checkpoints,
        members,
        plan.methods.len(),
    )
}
