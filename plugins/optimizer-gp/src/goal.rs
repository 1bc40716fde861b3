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
    pub(crate) fn columns(
        self,
        history: &History,
        objectives: &[Objective],
        generator: &mut ChaCha8Rng,
    ) -> Vec<Column> {
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
                let units = Objective::units(objectives, &history.values);
                let sum = |values: &Vec<f64>| {
                    let sum: f64 = values.iter().zip(&units).map(|(v, unit)| v / unit).sum();
                    sum.clamp(f64::MIN, f64::MAX)
                };
                let slopes: Vec<f64> = units.iter().map(|unit| unit.recip()).collect();
                let noise = history.noise.iter().map(|n| carried(n.as_deref(), &slopes));
                let sums = history.values.iter().map(sum).collect();
                vec![(sums, noise.collect())]
            }
            Goal::RandomWeights => {
                let weights = simplex::draw(m, generator);
                let (values, slopes) = chebyshev(&history.values, &weights);
                let pairs = history.noise.iter().zip(&slopes);
                let noise = pairs.map(|(n, slopes)| carried(n.as_deref(), slopes));
                vec![(values, noise.collect())]
            }
        }
    }
}

/// The variance of a value whose slopes in the objectives these are, where the objectives' are known.
fn carried(variances: Option<&[f64]>, slopes: &[f64]) -> Option<f64> {
    let pairs = variances?.iter().zip(slopes);
    Some(
        pairs
            .map(|(variance, slope)| variance * slope * slope)
            .sum(),
    )
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
/// objective is scaled to the range seen. With each its slopes in the objectives.
fn chebyshev(values: &[Vec<f64>], weights: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
    const AUGMENTED: f64 = 0.05;
    let m = weights.len();
    let range = |o: usize| {
        values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                (low.min(v[o]), high.max(v[o]))
            })
    };
    // Of each objective its best value and the slope of its weighted gap. Halves: the whole range may be too large for a number.
    let scales: Vec<(f64, f64)> = (0..m)
        .map(range)
        .zip(weights)
        .map(|((low, high), weight)| match high > low {
            true => (high, (weight / (0.5 * high - 0.5 * low)).min(f64::MAX)),
            false => (high, 0.0),
        })
        .collect();
    let of = |value: &Vec<f64>| {
        let gap = |(v, (high, slope)): (&f64, &(f64, f64))| slope * (0.5 * high - 0.5 * v);
        let gaps: Vec<f64> = value.iter().zip(&scales).map(gap).collect();
        let worst = (0..m).rev().max_by(|&a, &b| gaps[a].total_cmp(&gaps[b]));
        let slope = |(o, (_, slope)): (usize, &(f64, f64))| match Some(o) == worst {
            true => 0.5 * slope * (1.0 + AUGMENTED),
            false => 0.5 * slope * AUGMENTED,
        };
        let most = worst.map_or(0.0, |o| gaps[o]);
        let value = -(most + AUGMENTED * gaps.iter().sum::<f64>());
        (value, scales.iter().enumerate().map(slope).collect())
    };
    values.iter().map(of).unzip()
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
        let (found, _) = chebyshev(&values, &[0.8, 0.2]);
        assert!(found[0] > found[1] && found[1] > found[2], "{found:?}");
        assert_eq!(chebyshev(&[vec![1.0, 1.0]], &[0.5, 0.5]).0, [0.0]);
    }

    #[test]
    fn known_noise_is_carried_into_weightings() {
        let values = [vec![0.0, 3.0], vec![1.0, 0.0], vec![0.5, 1.0]];
        let weights = [0.3, 0.7];
        let (at, slopes) = chebyshev(&values, &weights);
        for (i, of_point) in slopes.iter().enumerate().skip(2) {
            for (o, slope) in of_point.iter().enumerate() {
                let mut moved = values.clone();
                moved[i][o] += 1e-6;
                let found = (chebyshev(&moved, &weights).0[i] - at[i]) / 1e-6;
                assert!((found - slope).abs() < 1e-6, "{found} {slope}");
            }
        }
        assert_eq!(carried(Some(&[0.5, 2.0]), &[2.0, 1.0]), Some(4.0));
        assert_eq!(carried(None, &[2.0, 1.0]), None);
    }

    #[test]
    fn a_sum_takes_objectives_without_a_scale_in_ranges() {
        let seen = history(&[[0.0, 0.0], [1.0, 500.0], [0.5, 1000.0]]);
        let mut generator = rand_chacha::rand_core::SeedableRng::seed_from_u64(1);
        let columns = Goal::Sum(SumBy::Mean).columns(&seen, &objectives(), &mut generator);
        assert_eq!(columns[0].0, [0.0, 1.5, 1.5]);
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
