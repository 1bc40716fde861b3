//! Which trials are good and which are bad.

use search::standing::Standing;

/// Good ones are one in so many, and at most so many (Bergstra et al. 2011; the cap is that of hyperopt and optuna).
const ONE_IN: usize = 10;
const MOST_GOOD: usize = 25;

/// Positions of trials.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Groups {
    /// With the weight of each in (0, 1]; best first.
    pub(crate) good: Vec<(usize, f64)>,
    pub(crate) bad: Vec<usize>,
}

impl Groups {
    /// Splits trials by their standings; what is no evaluation is in neither group.
    pub(crate) fn of(standings: &[Option<Standing>]) -> Self {
        // 1. The finished ones, in two kinds.
        let (mut feasible, mut infeasible) = (Vec::new(), Vec::new());
        for (position, standing) in standings.iter().enumerate() {
            match standing {
                Some(Standing::Feasible(values)) => feasible.push((position, values.clone())),
                Some(Standing::Infeasible(violation)) => infeasible.push((position, *violation)),
                _ => {}
            }
        }
        let finished = feasible.len() + infeasible.len();
        let wanted = finished.div_ceil(ONE_IN).min(MOST_GOOD);

        // 2. The best of them.
        let mut good = best(&feasible, wanted);
        infeasible.sort_by(|a, b| a.1.total_cmp(&b.1));
        let missing = wanted - good.len();
        good.extend(infeasible.iter().take(missing).map(|(i, _)| (*i, 1.0)));

        // 3. All the others.
        let is_bad = |i: &usize| standings[*i].is_some() && good.iter().all(|(g, _)| g != i);
        let bad = (0..standings.len()).filter(is_bad).collect();
        Self { good, bad }
    }
}

/// The best `count` of some trials with their weights, or all of them if there are fewer.
fn best(trials: &[(usize, Vec<f64>)], count: usize) -> Vec<(usize, f64)> {
    if trials.first().is_some_and(|(_, values)| values.len() == 1) {
        let mut order: Vec<&(usize, Vec<f64>)> = trials.iter().collect();
        // A stable sort: of equal values the earlier trial is the better one.
        order.sort_by(|a, b| b.1[0].total_cmp(&a.1[0]));
        return order.iter().take(count).map(|(i, _)| (*i, 1.0)).collect();
    }
    let values = scaled(trials);
    let objectives = values.first().map_or(0, Vec::len);
    let reference = vec![REFERENCE; objectives];
    // 1. Whole fronts, then the part of one that spans most volume.
    let ranks = pareto::ranks(&values);
    let mut chosen: Vec<usize> = Vec::new();
    for rank in 0.. {
        let front: Vec<usize> = (0..values.len()).filter(|&i| ranks[i] == rank).collect();
        let room = count.min(values.len()) - chosen.len();
        if front.len() <= room {
            chosen.extend(&front);
        } else {
            let front_values: Vec<Vec<f64>> = front.iter().map(|&i| values[i].clone()).collect();
            let part = match objectives <= MOST_OBJECTIVES {
                true => pareto::greedy_subset(&front_values, &reference, room),
                false => spread(&front_values, room),
            };
            chosen.extend(part.iter().map(|&i| front[i]));
        }
        if chosen.len() == count.min(values.len()) {
            break;
        }
    }
    if objectives > MOST_OBJECTIVES {
        return chosen.iter().map(|&i| (trials[i].0, 1.0)).collect();
    }
    // 2. Weights by the volume that each adds.
    let chosen_values: Vec<Vec<f64>> = chosen.iter().map(|&i| values[i].clone()).collect();
    let added =
        pareto::contributions(&chosen_values, &reference).expect("scaled values are finite");
    let most = added.iter().copied().fold(0.0, f64::max);
    let weight = |added: f64| match most > 0.0 {
        true => (added / most).max(LEAST_WEIGHT),
        false => 1.0,
    };
    let weighted = chosen.iter().zip(added);
    weighted.map(|(&i, a)| (trials[i].0, weight(a))).collect()
}

/// The most objectives whose volumes are computed: their time grows with the number of points to that of objectives less one.
const MOST_OBJECTIVES: usize = 4;

/// `count` points of a front that lie far from each other: the one of the greatest sum, then always the one that is furthest
/// from those chosen.
fn spread(front: &[Vec<f64>], count: usize) -> Vec<usize> {
    let sum = |i: &usize| -> f64 { front[*i].iter().sum() };
    let gap = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum() };
    let mut gaps = vec![f64::INFINITY; front.len()];
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < count.min(front.len()) {
        let left = (0..front.len()).rev().filter(|i| !chosen.contains(i));
        let furthest = |a: &usize, b: &usize| {
            gaps[*a]
                .total_cmp(&gaps[*b])
                .then(sum(a).total_cmp(&sum(b)))
        };
        let next = left
            .max_by(furthest)
            .expect("fewer are chosen than there are");
        for (i, nearest) in gaps.iter_mut().enumerate() {
            *nearest = nearest.min(gap(&front[i], &front[next]));
        }
        chosen.push(next);
    }
    chosen
}

/// Where volumes are measured from on scaled values: a tenth below the worst, so that extremes of a front count.
const REFERENCE: f64 = -0.1;
/// Weight of a good trial that adds no volume, as a share of the greatest weight.
const LEAST_WEIGHT: f64 = 0.01;

/// Values with each objective stretched to `[0, 1]` over the trials.
fn scaled(trials: &[(usize, Vec<f64>)]) -> Vec<Vec<f64>> {
    let mut scaled: Vec<Vec<f64>> = trials.iter().map(|(_, values)| values.clone()).collect();
    for objective in 0..scaled.first().map_or(0, Vec::len) {
        let column = || trials.iter().map(|(_, values)| values[objective]);
        let low = column().fold(f64::INFINITY, f64::min);
        let high = column().fold(f64::NEG_INFINITY, f64::max);
        for values in &mut scaled {
            // Halves: the whole range may be too large for a number.
            values[objective] = match high > low {
                true => (0.5 * values[objective] - 0.5 * low) / (0.5 * high - 0.5 * low),
                false => 0.0,
            };
        }
    }
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feasible(values: &[f64]) -> Option<Standing> {
        Some(Standing::Feasible(values.to_vec()))
    }

    #[test]
    fn a_tenth_is_good_the_best_first() {
        let standings: Vec<_> = (0..25).map(|i| feasible(&[f64::from(i % 20)])).collect();
        let groups = Groups::of(&standings);
        assert_eq!(groups.good, [(19, 1.0), (18, 1.0), (17, 1.0)]);
        assert_eq!(groups.bad.len(), 22);
        let many: Vec<_> = (0..1000).map(|i| feasible(&[f64::from(i)])).collect();
        assert_eq!(Groups::of(&many).good.len(), MOST_GOOD);
    }

    #[test]
    fn failed_and_pending_trials_are_bad_and_gradients_neither() {
        let standings = [
            Some(Standing::Failed),
            feasible(&[1.0]),
            Some(Standing::Pending),
            None,
        ];
        let groups = Groups::of(&standings);
        assert_eq!(groups.good, [(1, 1.0)]);
        assert_eq!(groups.bad, [0, 2]);
        assert_eq!(Groups::of(&standings[..1]).good, []);
    }

    #[test]
    fn the_infeasible_are_good_only_where_nothing_else_is_left() {
        let broken = |violation| Some(Standing::Infeasible(violation));
        let mut standings = vec![broken(0.5), broken(0.1), feasible(&[-9.0])];
        standings.extend((0..9).map(|_| broken(0.3)));
        // Two of twelve: the one that is feasible, then the one that is nearly so.
        let good: Vec<usize> = Groups::of(&standings).good.iter().map(|g| g.0).collect();
        assert_eq!(good, [2, 1]);
    }

    #[test]
    fn of_several_objectives_fronts_come_first_and_extremes_weigh() {
        // Eleven on a line of trade-offs and nine behind it: two are good.
        let front = (0..11).map(|i| feasible(&[f64::from(i), f64::from(10 - i)]));
        let behind = (0..9).map(|i| feasible(&[0.1 * f64::from(i), 0.1]));
        let standings: Vec<_> = behind.chain(front).collect();
        let groups = Groups::of(&standings);
        assert_eq!(groups.good.len(), 2);
        assert!(groups.good.iter().all(|(i, _)| *i >= 9), "{groups:?}");
        assert!(groups.good.iter().any(|(_, weight)| *weight == 1.0));
        assert!(
            groups
                .good
                .iter()
                .all(|(_, w)| (LEAST_WEIGHT..=1.0).contains(w))
        );
    }

    #[test]
    fn of_many_objectives_a_front_is_spread_and_quick() {
        let value = |i: usize, o: usize| ((i * (o + 3) * 7919) % 1009) as f64;
        let row = |i| (0..12).map(|o| value(i, o)).collect::<Vec<_>>();
        let standings: Vec<_> = (0..300).map(|i| feasible(&row(i))).collect();
        let groups = Groups::of(&standings);
        assert_eq!(groups.good.len(), MOST_GOOD);
        assert!(groups.good.iter().all(|(_, weight)| *weight == 1.0));
        let front = [[0.0, 3.0], [1.0, 2.5], [1.1, 2.4], [3.0, 0.0]].map(|v| v.to_vec());
        assert_eq!(spread(&front, 3), [1, 3, 0]);
        assert_eq!(spread(&front, 9).len(), 4);
    }

    #[test]
    fn equal_and_huge_values_are_no_fault() {
        for value in [0.0, f64::MAX, -f64::MAX] {
            let standings: Vec<_> = (0..30).map(|_| feasible(&[value, 1.0])).collect();
            assert_eq!(Groups::of(&standings).good.len(), 3);
        }
        let standings = [feasible(&[f64::MAX, 0.0]), feasible(&[-f64::MAX, 1.0])];
        assert_eq!(Groups::of(&standings).good.len(), 1);
    }
}
