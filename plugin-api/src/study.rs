//! Trials and the space they lie in: all that an optimizer may look at.

use serde::{Deserialize, Serialize};

use crate::error::{PluginError, Result};

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

/// One axis of the space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// The name in the configuration.
    pub name: String,
    /// Which values it may take.
    pub domain: Domain,
}

/// Which values a parameter may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Domain {
    /// Any number in `[low, high]`.
    Float {
        /// Least value.
        low: f64,
        /// Greatest value.
        high: f64,
        /// How the axis is measured.
        #[serde(default)]
        scale: Scale,
    },
    /// Any integer in `[low, high]`.
    Integer {
        /// Least value.
        low: i64,
        /// Greatest value.
        high: i64,
        /// How the axis is measured.
        #[serde(default)]
        scale: Scale,
    },
    /// One of so many choices; a point holds its index.
    Choice {
        /// How many there are, at least one.
        count: usize,
    },
    /// Numbers that are not negative and sum to one.
    Simplex {
        /// How many there are, at least one.
        dimension: usize,
    },
}

/// How an axis is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scale {
    /// By differences.
    #[default]
    Linear,
    /// By ratios; bounds are positive.
    Log,
}

/// A value of one parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Coordinate {
    /// For [`Domain::Float`].
    Float(f64),
    /// For [`Domain::Integer`].
    Integer(i64),
    /// For [`Domain::Choice`]: an index.
    Choice(usize),
    /// For [`Domain::Simplex`].
    Simplex(Vec<f64>),
}

/// One value per parameter of the space, in its order.
pub type Point = Vec<Coordinate>;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Higher is better.
    Maximize,
    /// Lower is better.
    Minimize,
}

/// A metric or the loss, with a direction and a normalisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Objective {
    /// The name of the score, for example `f1` or `loss`.
    pub name: String,
    /// Which way is better, of the raw value.
    pub direction: Direction,
    /// The raw values that normalise to 0 and to 1; `None`: none is known, the optimizer scales by itself.
    #[serde(default)]
    pub scale: Option<(f64, f64)>,
    /// The raw value below which (in the sense of the direction) nothing counts as a gain; for hypervolumes.
    #[serde(default)]
    pub reference: Option<f64>,
}

/// A bound on a measured value, for example an accuracy of at least 0.8. A point that breaks one counts for nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Constraint {
    /// The name of the score.
    pub name: String,
    /// Least raw value that is allowed; `None`: any.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// Greatest raw value that is allowed; `None`: any.
    #[serde(default)]
    pub at_most: Option<f64>,
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

    /// The sum of the normalised objectives: higher is better.
    ///
    /// Objectives without a scale enter as they are, negated where lower is better.
    pub fn normalised_sum(&self, values: &[f64]) -> f64 {
        self.objectives
            .iter()
            .zip(values)
            .map(|(objective, &value)| objective.normalise(value))
            .sum()
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

impl Constraint {
    /// A value of at least that much.
    pub fn at_least(name: impl Into<String>, bound: f64) -> Self {
        Self {
            name: name.into(),
            at_least: Some(bound),
            at_most: None,
        }
    }

    /// A value of at most that much.
    pub fn at_most(name: impl Into<String>, bound: f64) -> Self {
        Self {
            name: name.into(),
            at_least: None,
            at_most: Some(bound),
        }
    }

    /// Whether a raw value is allowed.
    pub fn holds(&self, value: f64) -> bool {
        self.at_least.is_none_or(|bound| value >= bound)
            && self.at_most.is_none_or(|bound| value <= bound)
    }

    fn check(&self) -> Result<()> {
        let low = self.at_least.unwrap_or(f64::MIN);
        let high = self.at_most.unwrap_or(f64::MAX);
        if low.is_finite() && high.is_finite() && low <= high {
            return Ok(());
        }
        Err(PluginError::input(format!(
            "constraint `{}`: found the bounds {low} and {high}, expected finite ones, the least not above the greatest",
            self.name
        )))
    }
}

/// Refuses values of another number than their names, and values that are not finite.
fn check_values(kind: &str, names: &[&str], values: &[f64]) -> Result<()> {
    if values.len() != names.len() {
        return Err(PluginError::input(format!(
            "found {} values, expected {}, one per {kind}",
            values.len(),
            names.len()
        )));
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(position) => Err(PluginError::input(format!(
            "found {} for {kind} `{}`, expected a finite number",
            values[position], names[position]
        ))
        .hint("record the trial as failed instead")),
    }
}

impl Objective {
    /// An objective without scale and reference.
    pub fn new(name: impl Into<String>, direction: Direction) -> Self {
        Self {
            name: name.into(),
            direction,
            scale: None,
            reference: None,
        }
    }

    /// Sets the raw values that normalise to 0 and to 1.
    #[must_use]
    pub fn with_scale(mut self, zero: f64, one: f64) -> Self {
        self.scale = Some((zero, one));
        self
    }

    /// Sets the raw value below which nothing counts as a gain.
    #[must_use]
    pub fn with_reference(mut self, reference: f64) -> Self {
        self.reference = Some(reference);
        self
    }

    /// A raw value on the objective's scale: higher is better.
    ///
    /// Without a scale the raw value, negated where lower is better.
    pub fn normalise(&self, value: f64) -> f64 {
        match (self.scale, self.direction) {
            (Some((zero, one)), _) => (value - zero) / (one - zero),
            (None, Direction::Maximize) => value,
            (None, Direction::Minimize) => -value,
        }
    }
}

impl Parameter {
    fn check(&self) -> Result<()> {
        let fault = |what: &str| {
            Err(PluginError::input(format!(
                "parameter `{}`: found {what}",
                self.name
            )))
        };
        match &self.domain {
            Domain::Float { low, high, scale } => {
                if !(low.is_finite() && high.is_finite() && low <= high) {
                    return fault(&format!(
                        "the bounds {low} and {high}, expected low <= high, finite"
                    ));
                }
                if *scale == Scale::Log && *low <= 0.0 {
                    return fault(&format!(
                        "the bound {low}, expected more than 0 on a log scale"
                    ));
                }
            }
            Domain::Integer { low, high, scale } => {
                if low > high {
                    return fault(&format!(
                        "the bounds {low} and {high}, expected low <= high"
                    ));
                }
                if *scale == Scale::Log && *low <= 0 {
                    return fault(&format!(
                        "the bound {low}, expected more than 0 on a log scale"
                    ));
                }
            }
            Domain::Choice { count } if *count == 0 => {
                return fault("no choice, expected one or more");
            }
            Domain::Simplex { dimension } if *dimension == 0 => {
                return fault("the dimension 0, expected 1 or more");
            }
            _ => {}
        }
        Ok(())
    }
}

/// How far the sum of coefficients may be from one.
pub const SIMPLEX_TOLERANCE: f64 = 1e-6;

/// Refuses a point that does not lie in the space.
///
/// # Errors
/// Names the parameter, what was found and what was expected.
pub fn check_point(space: &[Parameter], point: &Point) -> Result<()> {
    if space.len() != point.len() {
        return Err(PluginError::input(format!(
            "found {} coordinates, expected {}",
            point.len(),
            space.len()
        )));
    }
    for (parameter, coordinate) in space.iter().zip(point) {
        let inside = match (&parameter.domain, coordinate) {
            (Domain::Float { low, high, .. }, Coordinate::Float(x)) => (low..=high).contains(&x),
            (Domain::Integer { low, high, .. }, Coordinate::Integer(x)) => {
                (low..=high).contains(&x)
            }
            (Domain::Choice { count }, Coordinate::Choice(index)) => index < count,
            (Domain::Simplex { dimension }, Coordinate::Simplex(x)) => {
                let sum: f64 = x.iter().sum();
                x.len() == *dimension
                    && x.iter().all(|&c| c >= 0.0)
                    && (sum - 1.0).abs() <= SIMPLEX_TOLERANCE
            }
            _ => false,
        };
        if !inside {
            return Err(PluginError::input(format!(
                "parameter `{}`: found {coordinate:?}, expected a value in {:?}",
                parameter.name, parameter.domain
            )));
        }
    }
    Ok(())
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
    fn points_outside_are_refused() {
        let space = vec![Parameter {
            name: "c".into(),
            domain: Domain::Simplex { dimension: 2 },
        }];
        for bad in [
            vec![0.5, 0.6],
            vec![1.5, -0.5],
            vec![1.0],
            vec![f64::NAN, 1.0],
        ] {
            assert!(check_point(&space, &vec![Coordinate::Simplex(bad)]).is_err());
        }
        assert!(check_point(&space, &vec![Coordinate::Float(1.0)]).is_err());
        assert!(check_point(&space, &vec![]).is_err());
        assert!(check_point(&space, &vec![Coordinate::Simplex(vec![0.25, 0.75])]).is_ok());
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

    #[test]
    fn normalised_values_grow_with_quality() {
        let loss = Objective::new("loss", Direction::Minimize).with_scale(0.9, -0.1);
        assert!((loss.normalise(0.9) - 0.0).abs() < 1e-12);
        assert!((loss.normalise(-0.1) - 1.0).abs() < 1e-12);
        assert!(Objective::new("loss", Direction::Minimize).normalise(2.0) < 0.0);
    }
}
