//! Scores and their normalisation.

use bomf_plugin_api::{Direction, Objective, ScoreDescriptor};
use serde::{Deserialize, Serialize};

/// The name of the loss among the objectives.
pub const LOSS: &str = "loss";

/// One number of an evaluation: the loss or a metric's score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// What reports and configurations call it.
    pub name: String,
    /// Which way is better.
    pub direction: Direction,
    /// Least and greatest possible value; `None`: unbounded.
    pub range: Option<(f64, f64)>,
}

impl Score {
    /// The mean loss, in nats.
    pub fn loss() -> Self {
        Self {
            name: LOSS.to_owned(),
            direction: Direction::Minimize,
            range: None,
        }
    }

    /// A metric's score under a name.
    pub fn metric(name: String, descriptor: &ScoreDescriptor) -> Self {
        Self {
            name,
            direction: descriptor.direction,
            range: descriptor.range,
        }
    }

    /// Whether this is the loss.
    pub fn is_loss(&self) -> bool {
        self.name == LOSS
    }

    fn is_better(&self, a: f64, b: f64) -> bool {
        match self.direction {
            Direction::Maximize => a > b,
            Direction::Minimize => a < b,
        }
    }

    /// The value on the declared range: 0 worst, 1 best. Unbounded scores as they are, negated where lower is better.
    pub fn range_scaled(&self, value: f64) -> f64 {
        match (self.range, self.direction) {
            (Some((low, high)), Direction::Maximize) => (value - low) / (high - low),
            (Some((low, high)), Direction::Minimize) => (high - value) / (high - low),
            (None, Direction::Maximize) => value,
            (None, Direction::Minimize) => -value,
        }
    }

    /// The objective, normalised from the members' own values: the worst member is 0; better by 0.1 of the declared range
    /// (by 1.0 for the loss and for unbounded scores) is 1. The reference lies below the worst member by `margin` of the
    /// members' spread.
    ///
    /// Paper: section "Fusion", minimum and maximum of each objective; computed here, never typed in.
    pub fn objective(&self, members: &[f64], margin: f64) -> Objective {
        let pick = |a: f64, b: f64| if self.is_better(a, b) { a } else { b };
        let best = members.iter().copied().reduce(pick).unwrap_or(0.0);
        let worst = members
            .iter()
            .copied()
            .reduce(|a, b| if self.is_better(a, b) { b } else { a });
        let worst = worst.unwrap_or(0.0);
        let gain = match self.range {
            Some((low, high)) => 0.1 * (high - low),
            None => 1.0,
        };
        let sign = match self.direction {
            Direction::Maximize => 1.0,
            Direction::Minimize => -1.0,
        };
        Objective::new(self.name.clone(), self.direction)
            .with_scale(worst, worst + sign * gain)
            .with_reference(worst - sign * margin * (best - worst).abs())
    }
}

/// Sum of the range-scaled metrics of an evaluation; the loss is left out.
pub fn metric_sum(scores: &[Score], values: &[f64]) -> f64 {
    let metrics = scores
        .iter()
        .zip(values)
        .filter(|(score, _)| !score.is_loss());
    metrics
        .map(|(score, &value)| score.range_scaled(value))
        .sum()
}

/// The loss of an evaluation; infinite where none was computed.
pub fn loss_of(scores: &[Score], values: &[f64]) -> f64 {
    let loss = scores.iter().zip(values).find(|(score, _)| score.is_loss());
    loss.map_or(f64::INFINITY, |(_, &value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores() -> Vec<Score> {
        let f1 = ScoreDescriptor::maximize("f1", 0.0, 1.0);
        vec![Score::loss(), Score::metric("f1".into(), &f1)]
    }

    #[test]
    fn the_worst_member_is_zero_and_a_tenth_of_the_range_is_one() {
        let [loss, f1] = &scores()[..] else { panic!() };
        let objective = f1.objective(&[0.80, 0.85, 0.82], 0.1);
        assert!((objective.normalise(0.80)).abs() < 1e-12);
        assert!((objective.normalise(0.90) - 1.0).abs() < 1e-12);
        assert!((objective.reference.unwrap() - 0.795).abs() < 1e-12);
        let objective = loss.objective(&[0.4, 0.6, 0.5], 0.1);
        assert!(objective.normalise(0.6).abs() < 1e-12);
        assert!((objective.normalise(-0.4) - 1.0).abs() < 1e-12);
        assert!((objective.reference.unwrap() - 0.62).abs() < 1e-12);
    }

    #[test]
    fn scaled_scores_grow_with_quality() {
        let error = Score {
            name: "error".into(),
            direction: Direction::Minimize,
            range: Some((0.0, 2.0)),
        };
        assert_eq!(error.range_scaled(0.5), 0.75);
        assert_eq!(Score::loss().range_scaled(2.0), -2.0);
    }
}
