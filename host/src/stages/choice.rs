//! The choice of one point among those that were tried: the same rules for every method of a run and for `bomf optimize`.

use bomf_plugin_api::{Constraint, Direction, Objective};

use super::objectives::LOSS;

/// A rule by which one point is chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// Greatest weighted sum of the normalised values; one weight per objective.
    Weights(Vec<f64>),
    /// The point of the Pareto front with the greatest sum of coordinates on the scale of the front's own extremes: for two
    /// objectives the one farthest above the line through the extremes.
    Knee,
    /// The best value of one objective, among the points whose other objectives are as good as the best seen of each, but
    /// for a tolerance. If no point is, those that miss the tolerances least.
    Best {
        /// Position of the objective.
        objective: usize,
        /// Tolerance in raw units, one per objective; `None`: the objective does not matter.
        within: Vec<Option<f64>>,
    },
}

/// A point that may be chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Raw values, one per objective.
    pub values: Vec<f64>,
    /// Raw values, one per constraint.
    pub constraint_values: Vec<f64>,
}

/// Position of the chosen point among the candidates, `None` without any.
///
/// 1. Points that break a constraint count only if all do; then those count that break them least.
/// 2. The rule. Ties go to the better value of the objective at `tie`, then to the earlier point.
///
/// How far a bound is missed is measured by the range of the values seen, and summed.
pub fn choose(
    objectives: &[Objective],
    constraints: &[Constraint],
    candidates: &[Candidate],
    choice: &Choice,
    tie: Option<usize>,
) -> Option<usize> {
    // 1. Who counts.
    let mut pool: Vec<usize> = (0..candidates.len()).collect();
    keep_least(&mut pool, |pool| {
        excesses(pool, constraints.len(), |i, c| {
            let value = candidates[i].constraint_values[c];
            (value, excess(&constraints[c], value))
        })
    });
    if let Choice::Best { within, .. } = choice {
        keep_least(&mut pool, |pool| {
            shortfalls(pool, objectives, candidates, within)
        });
    }

    // 2. Who is best.
    let normalised = |i: usize| -> Vec<f64> {
        let pairs = objectives.iter().zip(&candidates[i].values);
        pairs.map(|(o, &value)| o.normalise(value)).collect()
    };
    let rows: Vec<Vec<f64>> = pool.iter().map(|&i| normalised(i)).collect();
    let merits: Vec<f64> = match choice {
        Choice::Weights(weights) => {
            let sum = |row: &Vec<f64>| weights.iter().zip(row).map(|(w, x)| w * x).sum();
            rows.iter().map(sum).collect()
        }
        Choice::Knee => knee_heights(&rows),
        Choice::Best { objective, .. } => rows.iter().map(|row| row[*objective]).collect(),
    };
    let key = |at: usize| (merits[at], tie.map_or(0.0, |tie| rows[at][tie]));
    (0..pool.len())
        .reduce(|best, next| if key(next) > key(best) { next } else { best })
        .map(|at| pool[at])
}

/// Keeps those of the pool that miss the bounds least.
fn keep_least(pool: &mut Vec<usize>, misses: impl Fn(&[usize]) -> Vec<f64>) {
    let misses = misses(pool);
    let least = misses.iter().copied().fold(f64::INFINITY, f64::min);
    let mut misses = misses.iter();
    pool.retain(|_| misses.next() == Some(&least));
}

/// How much each of the pool misses `count` bounds in all; `of` gives a value and by how much it misses the bound.
fn excesses(pool: &[usize], count: usize, of: impl Fn(usize, usize) -> (f64, f64)) -> Vec<f64> {
    let mut sums = vec![0.0; pool.len()];
    for bound in 0..count {
        let values = || pool.iter().map(|&i| of(i, bound).0);
        let range =
            values().fold(f64::NEG_INFINITY, f64::max) - values().fold(f64::INFINITY, f64::min);
        let unit = if range > 0.0 { range } else { 1.0 };
        for (sum, &i) in sums.iter_mut().zip(pool) {
            *sum += of(i, bound).1 / unit;
        }
    }
    sums
}

/// How far a value lies outside the bounds.
fn excess(constraint: &Constraint, value: f64) -> f64 {
    let below = constraint.at_least.map_or(0.0, |bound| bound - value);
    let above = constraint.at_most.map_or(0.0, |bound| value - bound);
    below.max(above).max(0.0)
}

/// How far each of the pool falls short of the best values of the pool, beyond the tolerances.
fn shortfalls(
    pool: &[usize],
    objectives: &[Objective],
    candidates: &[Candidate],
    within: &[Option<f64>],
) -> Vec<f64> {
    let limited: Vec<(usize, f64)> = within
        .iter()
        .enumerate()
        .filter_map(|(objective, tolerance)| Some((objective, (*tolerance)?)))
        .collect();
    let upward = |i: usize, objective: usize| match objectives[objective].direction {
        Direction::Maximize => candidates[i].values[objective],
        Direction::Minimize => -candidates[i].values[objective],
    };
    let best: Vec<f64> = limited
        .iter()
        .map(|&(objective, _)| {
            let values = pool.iter().map(|&i| upward(i, objective));
            values.fold(f64::NEG_INFINITY, f64::max)
        })
        .collect();
    excesses(pool, limited.len(), |i, at| {
        let (objective, tolerance) = limited[at];
        let value = upward(i, objective);
        // 0.9 - 0.89 is more than 0.01 by a rounding, which is nobody's fault.
        let rounding = 4.0 * f64::EPSILON * best[at].abs().max(value.abs());
        let beyond = best[at] - value - tolerance;
        (value, if beyond > rounding { beyond } else { 0.0 })
    })
}

/// Sums of the coordinates of rows `[n, m]` on the scale of the Pareto front's extremes; rows off the front are out.
fn knee_heights(rows: &[Vec<f64>]) -> Vec<f64> {
    let front = pareto::undominated(rows);
    let extreme = |axis: usize, start: f64, pick: fn(f64, f64) -> f64| {
        front.iter().map(|&i| rows[i][axis]).fold(start, pick)
    };
    let axes = rows.first().map_or(0, Vec::len);
    let scales: Vec<(f64, f64)> = (0..axes)
        .map(|axis| {
            let low = extreme(axis, f64::INFINITY, f64::min);
            (low, extreme(axis, f64::NEG_INFINITY, f64::max) - low)
        })
        .collect();
    let mut heights = vec![f64::NEG_INFINITY; rows.len()];
    for i in front {
        let scaled = rows[i].iter().zip(&scales);
        heights[i] = scaled
            .map(|(x, (low, range))| if *range > 0.0 { (x - low) / range } else { 0.0 })
            .sum();
    }
    heights
}

/// What all methods of a run aim at.
pub struct Aim<'a> {
    /// Every score, normalised.
    pub objectives: &'a [Objective],
    /// Bounds on scores, each with its position among them.
    pub constraints: &'a [(usize, Constraint)],
    /// How the final point is chosen.
    pub choice: &'a Choice,
}

impl Aim<'_> {
    /// Position of the choice among points with one value per score. Ties: lower loss, then earlier. `None` without points.
    pub fn choose(&self, points: &[&[f64]]) -> Option<usize> {
        let candidate = |point: &&[f64]| Candidate {
            values: point.to_vec(),
            constraint_values: self
                .constraints
                .iter()
                .map(|(score, _)| point[*score])
                .collect(),
        };
        let candidates: Vec<Candidate> = points.iter().map(candidate).collect();
        let constraints: Vec<Constraint> =
            self.constraints.iter().map(|(_, c)| c.clone()).collect();
        let loss = self
            .objectives
            .iter()
            .position(|objective| objective.name == LOSS);
        choose(
            self.objectives,
            &constraints,
            &candidates,
            self.choice,
            loss,
        )
    }

    /// The constraints that a point breaks, in words.
    pub fn broken(&self, point: &[f64]) -> Vec<String> {
        let broken = self
            .constraints
            .iter()
            .filter(|(score, constraint)| !constraint.holds(point[*score]));
        broken
            .map(|(score, constraint)| describe_break(constraint, point[*score]))
            .collect()
    }
}

/// What a value misses: `accuracy 0.71, at least 0.8`.
fn describe_break(constraint: &Constraint, value: f64) -> String {
    let bound = |name: &str, bound: Option<f64>| bound.map(|bound| format!("{name} {bound}"));
    let bounds = [
        bound("at least", constraint.at_least),
        bound("at most", constraint.at_most),
    ];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    format!("{} {value:.4}, {}", constraint.name, bounds.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loss (lower is better) and f1, both as they are.
    fn objectives() -> Vec<Objective> {
        vec![
            Objective::new("loss", Direction::Minimize),
            Objective::new("f1", Direction::Maximize),
        ]
    }

    fn candidates(points: &[[f64; 2]]) -> Vec<Candidate> {
        let candidate = |point: &[f64; 2]| Candidate {
            values: point.to_vec(),
            constraint_values: vec![point[1]],
        };
        points.iter().map(candidate).collect()
    }

    fn chosen(points: &[[f64; 2]], choice: Choice) -> Option<usize> {
        choose(&objectives(), &[], &candidates(points), &choice, Some(0))
    }

    fn best(objective: usize, within: [Option<f64>; 2]) -> Choice {
        let within = within.to_vec();
        Choice::Best { objective, within }
    }

    #[test]
    fn the_choice_follows_the_rule_and_ties_go_to_the_lower_loss() {
        let points = [[0.5, 0.80], [0.6, 0.90], [0.55, 0.90], [0.2, 0.85]];
        assert_eq!(chosen(&points, Choice::Weights(vec![0.0, 1.0])), Some(2));
        assert_eq!(chosen(&points, Choice::Weights(vec![1.0, 0.0])), Some(3));
        assert_eq!(chosen(&points, best(0, [None, None])), Some(3));
        // Two points are the whole front, and both are its extremes: the lower loss decides.
        assert_eq!(chosen(&points, Choice::Knee), Some(3));
        assert_eq!(chosen(&[], Choice::Knee), None);
    }

    #[test]
    fn the_knee_is_on_the_front_far_from_the_line_of_its_ends() {
        let points = [[0.9, 1.0], [0.3, 0.9], [0.1, 0.0], [0.31, 0.89]];
        assert_eq!(chosen(&points, Choice::Knee), Some(1));
    }

    #[test]
    fn the_best_of_one_is_sought_within_a_tolerance_of_the_best_of_the_others() {
        let points = [[0.50, 0.90], [0.40, 0.89], [0.30, 0.88], [0.10, 0.80]];
        // The lowest loss whose f1 is at most so far below 0.90.
        assert_eq!(chosen(&points, best(0, [None, Some(0.0)])), Some(0));
        assert_eq!(chosen(&points, best(0, [None, Some(0.01)])), Some(1));
        assert_eq!(chosen(&points, best(0, [None, Some(0.05)])), Some(2));
        // No point is within both: the one that misses them least.
        assert_eq!(chosen(&points, best(1, [Some(0.01), Some(0.01)])), Some(2));
    }

    #[test]
    fn points_that_break_a_constraint_are_chosen_only_if_all_do() {
        let points = [[0.1, 0.70], [0.2, 0.80], [0.3, 0.90]];
        let lowest_loss = best(0, [None, None]);
        let with = |bound: f64| {
            let constraints = [Constraint::at_least("f1", bound)];
            choose(
                &objectives(),
                &constraints,
                &candidates(&points),
                &lowest_loss,
                None,
            )
        };
        assert_eq!(with(0.6), Some(0));
        assert_eq!(with(0.8), Some(1));
        // None is feasible: the one that misses the bound least.
        assert_eq!(with(0.95), Some(2));
    }
}
