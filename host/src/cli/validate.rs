//! `bomf validate`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::estimate::Estimate;
use crate::fuser::Choice;
use crate::plan::{Plan, TrainingPlan};

/// What `bomf validate` says of a plan that is in order; there is no estimate of what a program does.
pub fn summary(
    plan: &Plan,
    estimate: Option<&Estimate>,
    fuser: Option<&Choice>,
    json: bool,
) -> String {
    let rows = plan.model().map(|model| model.splits.facts.rows);
    let counts = Counts::of(plan);
    if json {
        return format!(
            "{}\n",
            json!({
                "name": plan.config.name, "rows": rows, "training_steps": counts.training,
                "tuning_steps": counts.tuning, "members": counts.members, "most_evaluations": counts.evaluations,
                "estimate": estimate.map_or(Value::Null, |estimate| json!(estimate)),
                "fuser": fuser.map_or(Value::Null, |fuser| json!(fuser)),
                "methods": plan.methods.iter().map(|method| &method.name).collect::<Vec<_>>(),
            })
        );
    }
    let mut text = format!("{}: in order\n", plan.config.name);
    let mut line = |what: &str, said: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {what:<11} {said}");
    };
    if let (Some(model), Some([train, validation, test])) = (plan.model(), rows) {
        let trained = match &model.training {
            Some(_) => format!("{train} train, "),
            None => String::new(),
        };
        line(
            "data",
            format!("{trained}{validation} validation, {test} test"),
        );
        line("model", model.folder.display().to_string());
    }
    if let Some(TrainingPlan { tune, trajectory }) = plan.training() {
        let trials = tune.as_ref().map_or(0, |tune| tune.trials);
        line(
            "tuning",
            format!(
                "{trials} trials, about {} steps on the proxy",
                counts.tuning
            ),
        );
        line(
            "trajectory",
            format!(
                "about {} steps, {} checkpoints",
                counts.training, trajectory.checkpoints
            ),
        );
    }
    let of = rows.map_or_else(
        || "by the program".to_owned(),
        |[_, validation, _]| format!("of {validation} examples"),
    );
    line(
        "fusion",
        format!(
            "{} members, {} methods, at most {} evaluations {of}",
            counts.members,
            plan.methods.len(),
            counts.evaluations
        ),
    );
    if let Some(fuser) = fuser {
        line("fuser", fuser.to_string());
    }
    if !plan.tests() {
        let why = "none: the program is not told of a split (`{split}`)";
        line("test", why.to_owned());
    }
    if let Some(estimate) = estimate {
        line("estimate", estimate.to_string());
    }
    text
}

struct Counts {
    training: u64,
    tuning: u64,
    members: u64,
    evaluations: u64,
}

impl Counts {
    fn of(plan: &Plan) -> Self {
        let searched: u64 = plan.methods.iter().map(|method| method.iterations).sum();
        let (Some(model), Some(training)) = (plan.model(), plan.training()) else {
            let members = plan.members.len() as u64;
            return Self {
                training: 0,
                tuning: 0,
                members,
                evaluations: members + searched,
            };
        };
        let rows = model.splits.train.rows() as u64;
        let steps =
            |epochs: f64, batch: u64| (rows.div_ceil(batch.max(1)) as f64 * epochs).round() as u64;
        let TrainingPlan { tune, trajectory } = training;
        let batch = trajectory.hyperparameters.batch_size * trajectory.hyperparameters.accumulation;
        let tuning = tune.as_ref();
        Self {
            training: steps(trajectory.epochs, batch),
            tuning: tuning.map_or(0, |tune| tune.trials * steps(tune.epochs, batch)),
            members: trajectory.members as u64,
            evaluations: trajectory.checkpoints + trajectory.members as u64 + searched,
        }
    }
}
