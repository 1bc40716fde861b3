//! From names of scores to their positions: objectives, constraints, the final choice.

use bomf_plugin_api::Constraint;

use crate::config::document::{Document, child, item};
use crate::config::{ChooseConfig, ChooseRule, Config};
use crate::diagnostics::Failures;
use crate::stages::choice::Choice;
use crate::stages::objectives::Score;

/// Positions of each method's objectives among the scores.
pub fn objectives(
    config: &Config,
    document: &Document,
    scores: &[Score],
) -> Result<Vec<Vec<usize>>, Failures> {
    let mut problems = Vec::new();
    let methods = config
        .fuse
        .methods
        .iter()
        .enumerate()
        .map(|(index, method)| match &method.objectives {
            None => (0..scores.len()).collect(),
            Some(names) => {
                let at = child(&item("fuse.methods", index), "objectives");
                let found = names.iter().enumerate().filter_map(|(i, name)| {
                    position(scores, name)
                        .map_err(|what| {
                            problems.push(document.problem(
                                &item(&at, i),
                                "config::objective",
                                what,
                            ));
                        })
                        .ok()
                });
                found.collect()
            }
        });
    let methods = methods.collect();
    if problems.is_empty() {
        Ok(methods)
    } else {
        Err(Failures(problems))
    }
}

fn position(scores: &[Score], name: &str) -> Result<usize, String> {
    scores
        .iter()
        .position(|score| score.name == name)
        .ok_or_else(|| {
            let names: Vec<&str> = scores.iter().map(|score| score.name.as_str()).collect();
            format!(
                "found no score named `{name}` among `{}`",
                names.join("`, `")
            )
        })
}

/// The constraints, each with the position of its score.
pub fn constraints(
    config: &Config,
    document: &Document,
    scores: &[Score],
) -> Result<Vec<(usize, Constraint)>, Failures> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (index, constraint) in config.fuse.constraints.iter().enumerate() {
        match position(scores, &constraint.name) {
            Ok(position) => found.push((position, constraint.constraint())),
            Err(what) => {
                let at = child(&item("fuse.constraints", index), "name");
                problems.push(document.problem(&at, "config::objective", what));
            }
        }
    }
    match problems.is_empty() {
        true => Ok(found),
        false => Err(Failures(problems)),
    }
}

/// How a method's final point is chosen.
pub fn choice(config: &Config, document: &Document, scores: &[Score]) -> Result<Choice, Failures> {
    let fault =
        |what: String| Failures::from(document.problem("fuse.choose", "config::objective", what));
    Ok(match &config.fuse.choose {
        ChooseConfig::Rule(ChooseRule::BestMetricSum) => {
            let alone = scores.iter().all(Score::is_loss);
            let counts = |score: &Score| f64::from(u8::from(alone || !score.is_loss()));
            Choice::Weights(scores.iter().map(counts).collect())
        }
        ChooseConfig::Rule(ChooseRule::Knee) => Choice::Knee,
        ChooseConfig::Best(choose) => {
            let mut within = vec![None; scores.len()];
            for (name, tolerance) in &choose.within {
                within[position(scores, name).map_err(fault)?] = Some(tolerance.0);
            }
            let objective = position(scores, &choose.best).map_err(fault)?;
            Choice::Best { objective, within }
        }
        ChooseConfig::Weights(choose) => {
            let mut weights = vec![0.0; scores.len()];
            for (name, weight) in &choose.weights {
                weights[position(scores, name).map_err(fault)?] = *weight;
            }
            Choice::Weights(weights)
        }
    })
}
