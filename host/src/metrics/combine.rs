//! Scores made of others.

use bomf_plugin_api::Direction;

use crate::stages::objectives::Score;

/// A score made of scores before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    /// What reports call it.
    pub label: String,
    how: How,
}

/// Positions among the scores before it.
#[derive(Debug, Clone, PartialEq)]
enum How {
    WeightedSum(Vec<(usize, f64)>),
    Minimum(Vec<usize>),
}

impl Combination {
    /// The sum of scores, each times a weight, and what it is as a score.
    ///
    /// # Errors
    /// When a weight is 0 or no number, or the sum would mix what is to grow with what is to fall.
    pub fn weighted_sum(
        label: &str,
        terms: Vec<(usize, f64)>,
        scores: &[Score],
    ) -> Result<(Self, Score), String> {
        for &(index, weight) in &terms {
            if weight == 0.0 || !weight.is_finite() {
                let name = &scores[index].name;
                return Err(format!(
                    "`{name}`: found the weight {weight}, expected another number than 0"
                ));
            }
        }
        let direction_of =
            |&(index, weight): &(usize, f64)| match (scores[index].direction, weight > 0.0) {
                (direction, true) => direction,
                (Direction::Maximize, false) => Direction::Minimize,
                (Direction::Minimize, false) => Direction::Maximize,
            };
        let first = terms
            .first()
            .ok_or("found nothing, expected a score or more")?;
        let direction = direction_of(first);
        if let Some(other) = terms.iter().find(|term| direction_of(term) != direction) {
            return Err(format!(
                "found `{}` times {} beside `{}` times {}: better is {} in one and {} in the other, expected one way \
                 for all; a weight of the other sign turns a score round",
                scores[first.0].name,
                first.1,
                scores[other.0].name,
                other.1,
                way(direction),
                way(direction_of(other)),
            ));
        }
        let bounds = terms.iter().map(|&(index, weight)| {
            let (low, high) = scores[index].range?;
            let (a, b) = (weight * low, weight * high);
            Some((a.min(b), a.max(b)))
        });
        let range = bounds.reduce(|sum, next| Some((sum?.0 + next?.0, sum?.1 + next?.1)));
        let score = Score {
            name: label.to_owned(),
            direction,
            range: range.flatten(),
        };
        Ok((Self::new(label, How::WeightedSum(terms)), score))
    }

    /// The least of some scores, and what it is as a score.
    ///
    /// # Errors
    /// When lower is better in one of them: its least value would be its best one.
    pub fn minimum(label: &str, of: Vec<usize>, scores: &[Score]) -> Result<(Self, Score), String> {
        if of.is_empty() {
            return Err("found nothing, expected a score or more".to_owned());
        }
        if let Some(&index) = of
            .iter()
            .find(|&&index| scores[index].direction == Direction::Minimize)
        {
            let name = &scores[index].name;
            return Err(format!(
                "found `{name}`, of which lower is better, expected scores of which higher is better; \
                 `{{ combine: weighted_sum, of: {{ {name}: -1 }}, name: ... }}` before it turns it round"
            ));
        }
        let ranges = of.iter().map(|&index| scores[index].range);
        let range = ranges.reduce(|a, b| Some((a?.0.min(b?.0), a?.1.min(b?.1))));
        let score = Score {
            name: label.to_owned(),
            direction: Direction::Maximize,
            range: range.flatten(),
        };
        Ok((Self::new(label, How::Minimum(of)), score))
    }

    fn new(label: &str, how: How) -> Self {
        Self {
            label: label.to_owned(),
            how,
        }
    }

    /// Its value, from those of the scores before it.
    pub fn value(&self, values: &[f64]) -> f64 {
        match &self.how {
            How::WeightedSum(terms) => terms
                .iter()
                .map(|&(index, weight)| weight * values[index])
                .sum(),
            How::Minimum(of) => of
                .iter()
                .map(|&index| values[index])
                .fold(f64::INFINITY, f64::min),
        }
    }

    /// How it is computed, in one line.
    pub fn signature(&self, scores: &[Score]) -> String {
        match &self.how {
            How::WeightedSum(terms) => {
                let terms = terms
                    .iter()
                    .map(|(index, weight)| format!("{weight}*{}", scores[*index].name));
                format!("weighted_sum|of:{}", terms.collect::<Vec<_>>().join(","))
            }
            How::Minimum(of) => {
                let names = of.iter().map(|index| scores[*index].name.as_str());
                format!("minimum|of:{}", names.collect::<Vec<_>>().join(","))
            }
        }
    }
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Maximize => "higher",
        Direction::Minimize => "lower",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(name: &str, direction: Direction, range: Option<(f64, f64)>) -> Score {
        Score {
            name: name.to_owned(),
            direction,
            range,
        }
    }

    fn scores() -> Vec<Score> {
        vec![
            Score::loss(),
            score("f1", Direction::Maximize, Some((0.0, 1.0))),
            score("matthews", Direction::Maximize, Some((-1.0, 1.0))),
            score("ece", Direction::Minimize, Some((0.0, 1.0))),
        ]
    }

    #[test]
    fn a_weighted_sum_has_the_way_and_the_range_of_its_terms() {
        let terms = vec![(1, 0.5), (2, 2.0), (3, -1.0)];
        let (sum, score) = Combination::weighted_sum("blend", terms, &scores()).unwrap();
        assert_eq!(score.direction, Direction::Maximize);
        assert_eq!(score.range, Some((-3.0, 2.5)));
        assert_eq!(sum.value(&[0.7, 0.5, -0.25, 0.125]), 0.25 - 0.5 - 0.125);
        assert_eq!(
            sum.signature(&scores()),
            "weighted_sum|of:0.5*f1,2*matthews,-1*ece"
        );
        let (_, score) =
            Combination::weighted_sum("x", vec![(0, 1.0), (3, 1.0)], &scores()).unwrap();
        assert_eq!((score.direction, score.range), (Direction::Minimize, None));
    }

    #[test]
    fn a_minimum_is_bounded_by_the_lowest_bounds() {
        let (minimum, score) = Combination::minimum("floor", vec![1, 2], &scores()).unwrap();
        assert_eq!(
            (score.direction, score.range),
            (Direction::Maximize, Some((-1.0, 1.0)))
        );
        assert_eq!(minimum.value(&[9.0, 0.5, -0.25, 0.0]), -0.25);
        assert_eq!(minimum.signature(&scores()), "minimum|of:f1,matthews");
    }

    #[test]
    fn what_cannot_be_combined_is_refused() {
        let sum = |terms| Combination::weighted_sum("x", terms, &scores()).unwrap_err();
        assert!(sum(vec![(1, 1.0), (0, 1.0)]).contains("`loss` times 1"));
        assert!(sum(vec![(1, 0.0)]).contains("the weight 0"));
        assert!(sum(vec![(1, f64::NAN)]).contains("the weight NaN"));
        assert!(sum(Vec::new()).contains("found nothing"));
        let minimum = Combination::minimum("x", vec![1, 3], &scores()).unwrap_err();
        assert!(
            minimum.contains("found `ece`") && minimum.contains("{ ece: -1 }"),
            "{minimum}"
        );
    }
}
