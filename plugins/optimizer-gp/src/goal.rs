//! What a search improves, and how several objectives become the values that are modelled.

use bomf_plugin_api::{Objective, PluginError, Result};
use rand_chacha::ChaCha8Rng;

use crate::acquisition::MOST_OBJECTIVES;
use crate::history::History;
use crate::options::AcquisitionKind;
use crate::simplex;

/// What is to be improved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The one objective, or the normalised sum of several, by this acquisition.
    Sum(SumBy),
    /// The hypervolume that all objectives dominate.
    Hypervolume {
        /// Whether the points evaluated are drawn, too.
        noisy: bool,
    },
    /// A random weighting of all objectives (ParEGO).
    RandomWeights,
}

/// Ways to judge the improvement of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SumBy {
    /// Exactly, over the best posterior mean.
    Mean,
    /// By draws of all points evaluated.
    Draws,
    /// By draws of all points that are asked for, together.
    Batch,
}

impl Goal {
    /// What the options ask for with these objectives.
    pub(crate) fn of(kind: AcquisitionKind, objectives: &[Objective]) -> Result<Self> {
        let hypervolume = |name: &str, noisy: bool| match objectives.len() {
            1 => Err(PluginError::input(format!(
                "acquisition: found `{name}` with 1 objective, expected 2 or more"
            ))
            .hint("leave `acquisition` out: it then follows the number of objectives")),
            2..=MOST_OBJECTIVES => Ok(Goal::Hypervolume { noisy }),
            _ => Ok(Goal::RandomWeights),
        };
        Ok(match kind {
            AcquisitionKind::Auto if objectives.len() == 1 => Goal::Sum(SumBy::Mean),
            AcquisitionKind::Auto | AcquisitionKind::LogNehvi => hypervolume("log_nehvi", true)?,
            AcquisitionKind::LogEhvi => hypervolume("log_ehvi", false)?,
            AcquisitionKind::LogEi => Goal::Sum(SumBy::Mean),
            AcquisitionKind::LogNei => Goal::Sum(SumBy::Draws),
            AcquisitionKind::QLogEi => Goal::Sum(SumBy::Batch),
            AcquisitionKind::Parego => Goal::RandomWeights,
        })
    }

    /// The values to be modelled, one entry per model: outcomes `[n]`, and the variances `[n]` of their noise where known.
    ///
    /// Random weights are drawn from `generator`.
    pub(crate) fn columns(self, history: &History, generator: &mut ChaCha8Rng) -> Vec<Column> {
        let m = history.values.first().map_or(0, Vec::len);
        match self {
            Goal::Hypervolume { .. } => (0..m)
                .map(|o| {
                    let noise = history
                        .noise
                        .iter()
                        .map(|n| n.as_ref().map(|n| n[o]))
                        .collect();
                    (history.objective(o), noise)
                })
                .collect(),
            Goal::Sum(_) => {
                let sums = history
                    .values
                    .iter()
                    .map(|values| values.iter().sum::<f64>().clamp(f64::MIN, f64::MAX))
                    .collect();
                let noise = history
                    .noise
                    .iter()
                    .map(|n| n.as_ref().map(|n| n.iter().sum()))
                    .collect();
                vec![(sums, noise)]
            }
            Goal::RandomWeights => {
                let weights = simplex::draw(m, generator);
                vec![(
                    chebyshev(&history.values, &weights),
                    vec![None; history.values.len()],
                )]
            }
        }
    }
}

/// Outcomes, and the variances of their noise.
pub(crate) type Column = (Vec<f64>, Vec<Option<f64>>);

/// Normalised reference values: those of the objectives where they are given, else a tenth of the front's range
/// below its worst values (Ishibuchi et al. 2011; the same rule as BoTorch's). Only what is feasible counts, if anything is.
pub(crate) fn references(history: &History, objectives: &[Objective]) -> Vec<f64> {
    let feasible: Vec<&Vec<f64>> = history
        .feasible_trials()
        .map(|i| &history.values[i])
        .collect();
    let values = match feasible.is_empty() {
        true => history.values.iter().collect(),
        false => feasible,
    };
    let front = pareto::undominated(&values);
    let spread = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
            (low.min(v), high.max(v))
        })
    };
    (0..objectives.len())
        .map(|o| {
            let reference = objectives[o]
                .reference
                .map(|raw| objectives[o].normalise(raw));
            reference.filter(|r| r.is_finite()).unwrap_or_else(|| {
                let (low, high) = spread(&mut front.iter().map(|i| values[*i][o]));
                let (least, most) = spread(&mut values.iter().map(|values| values[o]));
                // A front of one value has no range; then that of all values counts, then the value's own size.
                let range = [high - low, most - least, low.abs(), 1.0]
                    .into_iter()
                    .find(|range| *range > 0.0)
                    .expect("the last is");
                low - 0.1 * range
            })
        })
        .collect()
}

/// Augmented Chebyshev distances to the best value of each objective, negated (Knowles 2006, ParEGO, with its 0.05); each
/// objective is scaled to the range seen.
fn chebyshev(values: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let m = weights.len();
    let range = |o: usize| {
        values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                (low.min(v[o]), high.max(v[o]))
            })
    };
    let ranges: Vec<_> = (0..m).map(range).collect();
    values
        .iter()
        .map(|value| {
            let gaps = (0..m).map(|o| {
                let (low, high) = ranges[o];
                if high > low {
                    // Halves: the whole range may be too large for a number.
                    weights[o] * (0.5 * high - 0.5 * value[o]) / (0.5 * high - 0.5 * low)
                } else {
                    0.0
                }
            });
            let (worst, sum) = gaps.fold((0.0_f64, 0.0), |(worst, sum), gap| {
                (worst.max(gap), sum + gap)
            });
            -(worst + 0.05 * sum)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bomf_plugin_api::Direction;

    fn history(values: &[[f64; 2]]) -> History {
        History {
            points: vec![vec![]; values.len()],
            feasible: vec![true; values.len()],
            values: values.iter().map(|v| v.to_vec()).collect(),
            ..History::default()
        }
    }

    fn objectives() -> Vec<Objective> {
        ["a", "b"]
            .map(|name| Objective::new(name, Direction::Minimize))
            .to_vec()
    }

    #[test]
    fn references_are_the_objectives_own_or_lie_below_the_front() {
        let seen = history(&[[0.0, 1.0], [1.0, 0.0], [-5.0, -5.0]]);
        let found = references(&seen, &objectives());
        assert!(found.iter().all(|r| (r + 0.1).abs() < 1e-12), "{found:?}");
        let mut given = objectives();
        given[1].reference = Some(3.0);
        // Lower is better, so 3 is -3 on the scale on which everything is maximised.
        assert_eq!(references(&seen, &given)[1], -3.0);
        // One value on the front: the range of all values counts, or the value's own size, or 1.
        assert_eq!(
            references(&history(&[[2.0, 0.0]]), &objectives()),
            [2.0 - 0.2, -0.1]
        );
        assert_eq!(
            references(&history(&[[1.0, 1.0], [0.0, -1.0]]), &objectives()),
            [0.9, 0.8]
        );
    }

    #[test]
    fn chebyshev_prefers_what_dominates_and_follows_the_weights() {
        let values = [vec![1.0, 0.0], vec![0.0, 1.0], vec![0.0, 0.0]];
        let found = chebyshev(&values, &[0.8, 0.2]);
        assert!(found[0] > found[1] && found[1] > found[2], "{found:?}");
        assert_eq!(chebyshev(&[vec![1.0, 1.0]], &[0.5, 0.5]), [0.0]);
    }

    #[test]
    fn the_acquisition_follows_the_number_of_objectives() {
        let of = |count: usize| {
            let all = vec![Objective::new("a", Direction::Maximize); count];
            Goal::of(AcquisitionKind::Auto, &all).unwrap()
        };
        let noisy = true;
        assert_eq!(of(1), Goal::Sum(SumBy::Mean));
        assert_eq!(of(2), Goal::Hypervolume { noisy });
        assert_eq!(of(4), Goal::Hypervolume { noisy });
        assert_eq!(of(5), Goal::RandomWeights);
    }

    #[test]
    fn references_lie_below_the_front_of_what_is_feasible() {
        let mut seen = history(&[[0.0, 1.0], [1.0, 0.0], [5.0, 5.0]]);
        seen.feasible[2] = false;
        let found = references(&seen, &objectives());
        assert!(found.iter().all(|r| (r + 0.1).abs() < 1e-12), "{found:?}");
    }
}
