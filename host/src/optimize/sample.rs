//! A session to try lines on: a search with everything in it, and an optimizer that needs no plugin.

use bomf_plugin_api::{
    Constraint, Context, Coordinate, Direction, Domain, Objective, Optimizer, Parameter,
    PluginError, Scale, Study, Suggestion, Suggestions, Verdict,
};
use serde_json::json;

use super::search::Search;
use crate::stages::choice::Choice;
use crate::stages::tune::Axis;

/// Points that hang on everything that was told, so that whatever changes a study changes what follows. Stops trials
/// whose first objective is below zero.
pub struct Spread;

impl Optimizer for Spread {
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions, PluginError> {
        let told: f64 = study
            .finished()
            .map(|(_, values)| values.iter().sum::<f64>())
            .sum();
        let reported: f64 = study
            .trials
            .iter()
            .flat_map(|t| &t.reports)
            .map(|(_, v)| v[0])
            .sum();
        let first = study.trials.len();
        let point = |n: usize| {
            let x = ((n + 1) as f64 * 0.618_033_988_7 + told + 0.1 * reported).rem_euclid(1.0);
            Suggestion::evaluate(vec![
                Coordinate::Simplex(vec![x, 1.0 - x]),
                Coordinate::Float(x.max(0.01)),
                Coordinate::Integer((x * 6.0) as i64),
                Coordinate::Choice((x * 3.0) as usize),
            ])
            .with_state(vec![n as u8])
        };
        Ok(Suggestions::Points(
            (first..first + count).map(point).collect(),
        ))
    }

    fn report(
        &mut self,
        _: &Study,
        _: u64,
        _: u64,
        values: &[f64],
    ) -> Result<Verdict, PluginError> {
        Ok(if values[0] < 0.0 {
            Verdict::Stop
        } else {
            Verdict::Continue
        })
    }
}

/// A space with everything in it, two objectives, and a constraint on one of them and on another value.
pub fn search(budget: u64, parallel: usize) -> Search {
    let axis = |name: &str, domain, choices| Axis {
        parameter: Parameter {
            name: name.to_owned(),
            domain,
        },
        choices,
    };
    Search {
        axes: vec![
            axis("shares", Domain::Simplex { dimension: 2 }, vec![]),
            axis(
                "rate",
                Domain::Float {
                    low: 0.01,
                    high: 1.0,
                    scale: Scale::Log,
                },
                vec![],
            ),
            axis(
                "layers",
                Domain::Integer {
                    low: 0,
                    high: 6,
                    scale: Scale::Linear,
                },
                vec![],
            ),
            axis(
                "kind",
                Domain::Choice { count: 3 },
                vec![json!("a"), json!(1), json!(true)],
            ),
        ],
        objectives: vec![
            Objective::new("f1", Direction::Maximize).with_reference(0.0),
            Objective::new("loss", Direction::Minimize).with_reference(1.0),
        ],
        constraints: vec![
            Constraint::at_most("seconds", 5.0),
            Constraint::at_least("f1", 0.1),
        ],
        choice: Choice::Weights(vec![1.0, 1.0]),
        budget: Some(budget),
        parallel,
        optimizer: "spread".to_owned(),
        options: json!({}),
        context: Context::new(1, 0),
    }
}

/// Holds a session over the lines of some bytes.
///
/// # Panics
/// If a line that is answered by an error changes the study, or one that is understood leaves it unsound.
#[cfg(feature = "fuzz")]
pub fn converse(input: &[u8]) {
    let search = search(20, 3);
    let record = |_: &super::session::Event| Ok(());
    let mut session = super::session::Session::new(&search, Box::new(Spread), Box::new(record));
    session.begin().expect("the optimizer does not fail");
    for line in input.split(|byte| *byte == b'\n') {
        if session.ended().is_some() {
            break;
        }
        let before = session.study().clone();
        let replies = session
            .line(line)
            .expect("nothing is recorded that could fail");
        if replies.iter().any(|reply| reply["error"].is_object()) {
            assert_eq!(replies.len(), 1, "an error is the only answer");
            assert_eq!(*session.study(), before, "a refused line changes nothing");
        }
        session.study().check().expect("the study stays sound");
    }
    let summary = session.done("the input ended").to_string();
    serde_json::from_str::<serde_json::Value>(&summary).expect("the summary is JSON");
}
