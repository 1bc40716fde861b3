//! Trials with their space and objectives: all that an optimizer may look at.

use serde::{Deserialize, Serialize};

use crate::error::{PluginError, Result};
use crate::objective::{Constraint, Objective, check_values};
use crate::space::{Parameter, Point, check_point};

/// The trials so far, with their space and objectives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Study {
    /// Where points lie.
    pub space: Vec<Parameter>,
    /// What is sought, in the order of every trial's values.
    pub objectives: Vec<Objective>,
    /// What a point has to fulfil to be of any use, in the order of every trial's constraint values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
    /// Ordered by suggestion, not by completion.
    pub trials: Vec<Trial>,
    /// How many trials there may be in all: a ceiling. `None`: unknown.
    #[serde(default)]
    pub budget: Option<u64>,
    /// The centred Gram matrix of the members, `[members, members]`, f64, if it was asked for.
    #[serde(default)]
    pub gram: Option<Vec<Vec<f64>>>,
}

/// One point tried by an optimizer, with its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Trial {
    /// Position in the study, from 0.
    pub id: u64,
    /// What was suggested.
    pub suggestion: Suggestion,
    /// What came of it.
    pub outcome: Outcome,
    /// Values reported while the trial ran: `(step, one value per objective)`, steps as in [`crate::Optimizer::report`].
    #[serde(default)]
    pub reports: Vec<(u64, Vec<f64>)>,
}

/// What an optimizer asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Suggestion {
    /// Where.
    pub point: Point,
    /// What of it.
    #[serde(default)]
    pub request: Request,
    /// Opaque to the host: kept with the trial and handed back with the study.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "hex")]
    pub state: Vec<u8>,
}

/// What is asked of a point.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Request {
    /// The objectives.
    #[default]
    Evaluate,
    /// The gradient of the loss with respect to the coefficients: an observation, never a candidate.
    Gradient {
        /// The split that the batch is taken from.
        split: String,
        /// Which batch of it, from 0; the host decides how large batches are.
        batch: u64,
    },
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Suggested, not finished.
    Pending,
    /// One finite raw value per objective.
    Finished {
        /// In the order of the objectives.
        values: Vec<f64>,
        /// Standard deviation of each value's noise, where it is known.
        #[serde(default)]
        noise: Option<Vec<f64>>,
        /// One finite raw value per constraint of the study, in its order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        constraint_values: Vec<f64>,
    },
    /// The answer to [`Request::Gradient`].
    Gradient {
        /// Mean loss of the batch in nats.
        loss: f64,
        /// `[members]`, d loss / d coefficient.
        gradient: Vec<f64>,
    },
    /// No value could be had.
    Failed {
        /// Why, for people.
        why: String,
    },
}

/// The answer to a wish for suggestions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Suggestions {
    /// At most as many as were asked for; none only while what comes next hangs on trials that are pending.
    Points(Vec<Suggestion>),
    /// There is nothing left to try.
    Done {
        /// Why, for people: "every corner of the grid was tried".
        why: String,
    },
}

/// The answer to an intermediate report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// Let the trial go on.
    #[default]
    Continue,
    /// End the trial: it will not become good.
    Stop,
}

impl Study {
    /// A study without a trial.
    pub fn new(space: Vec<Parameter>, objectives: Vec<Objective>) -> Self {
        Self {
            space,
            objectives,
            constraints: Vec::new(),
            trials: Vec::new(),
            budget: None,
            gram: None,
        }
    }

    /// Appends a suggestion as a pending trial and returns its id.
    pub fn suggest(&mut self, suggestion: Suggestion) -> u64 {
        let id = self.trials.len() as u64;
        self.trials.push(Trial {
            id,
            suggestion,
            outcome: Outcome::Pending,
            reports: Vec::new(),
        });
        id
    }

    /// The trial of an id.
    ///
    /// # Errors
    /// When there is none.
    pub fn trial(&self, id: u64) -> Result<&Trial> {
        self.trials
            .iter()
            .find(|trial| trial.id == id)
            .ok_or_else(|| {
                PluginError::input(format!(
                    "found the unknown trial {id}, expected one of the {} in the study",
                    self.trials.len()
                ))
            })
    }

    /// The finished evaluations: point and raw values, in the order of suggestion.
    pub fn finished(&self) -> impl Iterator<Item = (&Trial, &[f64])> {
        self.trials.iter().filter_map(|trial| match &trial.outcome {
            Outcome::Finished { values, .. } => Some((trial, values.as_slice())),
            _ => None,
        })
    }

    /// What sums the normalised objectives of a point's raw values: higher is better. Of several, those without a scale are
    /// divided by the range that these trials have of them ([`Objective::units`]).
    pub fn normalised_sum<'a>(
        &self,
        trials: impl IntoIterator<Item = &'a Trial>,
    ) -> impl Fn(&[f64]) -> f64 {
        let normalised = |values: &[f64]| -> Vec<f64> {
            let pairs = self.objectives.iter().zip(values);
            pairs.map(|(o, &value)| o.normalise(value)).collect()
        };
        let row = |trial: &Trial| match &trial.outcome {
            Outcome::Finished { values, .. } => Some(normalised(values)),
            _ => None,
        };
        let rows: Vec<Vec<f64>> = trials.into_iter().filter_map(row).collect();
        let units = Objective::units(&self.objectives, &rows);
        move |values| {
            normalised(values)
                .iter()
                .zip(&units)
                .map(|(v, u)| v / u)
                .sum()
        }
    }

    /// Refuses a study that no optimizer could work on; optimizers need not look again.
    ///
    /// # Errors
    /// Names the parameter, objective or trial that is at fault.
    pub fn check(&self) -> Result<()> {
        for parameter in &self.space {
            parameter.check()?;
        }
        for constraint in &self.constraints {
            constraint.check()?;
        }
        let objectives: Vec<&str> = self.objectives.iter().map(|o| o.name.as_str()).collect();
        let constraints: Vec<&str> = self.constraints.iter().map(|c| c.name.as_str()).collect();
        for trial in &self.trials {
            let fault = |e: PluginError| PluginError {
                message: format!("trial {}: {}", trial.id, e.message),
                ..e
            };
            check_point(&self.space, &trial.suggestion.point).map_err(fault)?;
            if let Outcome::Finished {
                values,
                constraint_values,
                ..
            } = &trial.outcome
            {
                check_values("objective", &objectives, values).map_err(fault)?;
                check_values("constraint", &constraints, constraint_values).map_err(fault)?;
            }
        }
        Ok(())
    }

    /// Whether the constraints hold for these values of them.
    pub fn is_feasible(&self, constraint_values: &[f64]) -> bool {
        self.constraints
            .iter()
            .zip(constraint_values)
            .all(|(constraint, &value)| constraint.holds(value))
    }
}

impl Suggestion {
    /// Asks for the objectives at a point.
    pub fn evaluate(point: Point) -> Self {
        Self {
            point,
            request: Request::Evaluate,
            state: Vec::new(),
        }
    }

    /// Attaches bytes that the study hands back.
    #[must_use]
    pub fn with_state(mut self, state: Vec<u8>) -> Self {
        self.state = state;
        self
    }

    /// Asks for a gradient instead.
    #[must_use]
    pub fn with_request(mut self, request: Request) -> Self {
        self.request = request;
        self
    }
}

impl Outcome {
    /// One raw value per objective, of a noise that is not known, in a study without constraints.
    pub fn finished(values: Vec<f64>) -> Self {
        Self::Finished {
            values,
            noise: None,
            constraint_values: Vec::new(),
        }
    }
}

/// Bytes as a string of hexadecimal digits.
mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        to.serialize_str(&digits)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let digits = String::deserialize(from)?;
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        if !rest.is_empty() {
            return Err(D::Error::custom(
                "found an odd number of hexadecimal digits",
            ));
        }
        pairs
            .iter()
            .map(|pair| {
                let pair = std::str::from_utf8(pair).map_err(D::Error::custom)?;
                u8::from_str_radix(pair, 16).map_err(D::Error::custom)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::Direction;
    use crate::space::{Coordinate, Domain, Scale};

    #[test]
    fn a_study_survives_the_border() {
        let space = vec![
            Parameter {
                name: "rate".into(),
                domain: Domain::Float {
                    low: 1e-6,
                    high: 0.1,
                    scale: Scale::Log,
                },
            },
            Parameter {
                name: "c".into(),
                domain: Domain::Simplex { dimension: 2 },
            },
        ];
        let mut study = Study::new(
            space,
            vec![Objective::new("loss", Direction::Minimize).with_scale(0.7, -0.3)],
        );
        let third = 1.0 / 3.0;
        let point = vec![
            Coordinate::Float(0.1 + 0.2 - 0.25),
            Coordinate::Simplex(vec![third, 1.0 - third]),
        ];
        study.suggest(Suggestion::evaluate(point).with_state(vec![0, 255, 16]));
        study.trials[0].outcome = Outcome::finished(vec![std::f64::consts::PI]);
        study.check().unwrap();
        let text = serde_json::to_string(&study).unwrap();
        assert_eq!(serde_json::from_str::<Study>(&text).unwrap(), study);
    }

    #[test]
    fn nan_values_are_refused() {
        let mut study = Study::new(vec![], vec![Objective::new("f1", Direction::Maximize)]);
        study.suggest(Suggestion::evaluate(vec![]));
        study.trials[0].outcome = Outcome::finished(vec![f64::NAN]);
        assert!(study.check().unwrap_err().message.contains("`f1`"));
    }

    #[test]
    fn constraints_want_a_value_each_and_bounds_in_order() {
        let mut study = Study::new(vec![], vec![Objective::new("f1", Direction::Maximize)]);
        study.constraints = vec![Constraint::at_least("accuracy", 0.8)];
        study.suggest(Suggestion::evaluate(vec![]));
        study.trials[0].outcome = Outcome::finished(vec![0.5]);
        assert!(study.check().unwrap_err().message.contains("constraint"));
        study.trials[0].outcome = Outcome::Finished {
            values: vec![0.5],
            noise: None,
            constraint_values: vec![0.79],
        };
        study.check().unwrap();
        assert!(!study.is_feasible(&[0.79]) && study.is_feasible(&[0.8]));
        study.constraints[0].at_most = Some(0.7);
        assert!(study.check().unwrap_err().message.contains("`accuracy`"));
    }
}
