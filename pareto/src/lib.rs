//! Pareto fronts, ranks by dominance, and exact hypervolumes; everything is maximised.
//!
//! ```
//! let values = [[2.0, 1.0], [1.0, 2.0], [0.5, 0.5]];
//! assert_eq!(pareto::front(&values)?, [0, 1]);
//! assert_eq!(pareto::hypervolume(&values, &[0.0, 0.0])?, 3.0);
//! # Ok::<(), pareto::Malformed>(())
//! ```
//!
//! [`front`], [`hypervolume`] and [`contributions`] refuse what is not a number; the others take values that are known to be
//! numbers, as those of finished trials are.

/// Values that cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Values of different lengths.
    #[error("found a value of {found} objectives, expected {expected}")]
    Length {
        /// How many objectives a value has.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
    /// NaN in a front, or what is not finite in a hypervolume.
    #[error("found a value that is not finite, expected finite numbers")]
    NotFinite,
}

type Result<T> = std::result::Result<T, Malformed>;

/// Whether `a` is at least as good as `b` everywhere and better somewhere.
#[must_use]
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a >= b) && a.iter().zip(b).any(|(a, b)| a > b)
}

/// Indices, in order, of the values `[n, m]` that no other dominates. Equal values are all kept.
///
/// # Errors
/// If a value is NaN, or the values are of different lengths.
pub fn front<V: AsRef<[f64]>>(values: &[V]) -> Result<Vec<usize>> {
    check(
        values,
        values.first().map_or(0, |value| value.as_ref().len()),
    )?;
    Ok(undominated(values))
}

/// [`front`] of values that are known to be numbers.
#[must_use]
pub fn undominated<V: AsRef<[f64]>>(values: &[V]) -> Vec<usize> {
    let mut leads: Vec<usize> = Vec::new();
    for (index, value) in values.iter().map(V::as_ref).enumerate() {
        if leads.iter().any(|i| dominates(values[*i].as_ref(), value)) {
            continue;
        }
        leads.retain(|i| !dominates(value, values[*i].as_ref()));
        leads.push(index);
    }
    leads
}

/// Exact volume of the region that the values `[n, m]` dominate above a reference point `[m]`.
///
/// Values that are not above the reference in every objective add nothing. By exclusive contributions (While, Bradstreet
/// & Barone 2012, "WFG"), with a sweep for two objectives.
///
/// # Errors
/// If a value or the reference is not finite, or of another length.
pub fn hypervolume<V: AsRef<[f64]>>(values: &[V], reference: &[f64]) -> Result<f64> {
    check(values, reference.len())?;
    if !reference
        .iter()
        .chain(values.iter().flat_map(|v| v.as_ref()))
        .all(|x| x.is_finite())
    {
        return Err(Malformed::NotFinite);
    }
    Ok(volume_above(values, reference))
}

/// [`hypervolume`] of finite values.
fn volume_above<V: AsRef<[f64]>>(values: &[V], reference: &[f64]) -> f64 {
    let above = values
        .iter()
        .map(|value| {
            value
                .as_ref()
                .iter()
                .zip(reference)
                .map(|(v, r)| v - r)
                .collect()
        })
        .filter(|excess: &Vec<f64>| excess.iter().all(|&x| x > 0.0))
        .collect();
    volume(without_dominated(above))
}

/// What each of the values `[n, m]` alone adds to the [`hypervolume`]: what would be lost without it.
///
/// Values that are dominated, or occur twice, add nothing.
///
/// # Errors
/// Those of [`hypervolume`].
pub fn contributions<V: AsRef<[f64]>>(values: &[V], reference: &[f64]) -> Result<Vec<f64>> {
    let all = hypervolume(values, reference)?;
    (0..values.len())
        .map(|left_out| {
            let others: Vec<&[f64]> = (0..values.len())
                .filter(|i| *i != left_out)
                .map(|i| values[i].as_ref())
                .collect();
            // Rounding may make nothing slightly less than nothing.
            Ok((all - hypervolume(&others, reference)?).max(0.0))
        })
        .collect()
}

/// The front that each of the values `[n, m]` is on, from 0: those that nothing dominates, then those that only these
/// dominate, and so on (Deb et al. 2002, fast nondominated sorting).
#[must_use]
pub fn ranks<V: AsRef<[f64]>>(values: &[V]) -> Vec<usize> {
    let mut ranks = vec![0; values.len()];
    let mut left: Vec<usize> = (0..values.len()).collect();
    let mut rank = 0;
    while !left.is_empty() {
        let of_left: Vec<&[f64]> = left.iter().map(|&i| values[i].as_ref()).collect();
        let front = undominated(&of_left);
        front.iter().for_each(|&at| ranks[left[at]] = rank);
        let mut at = 0;
        left.retain(|_| {
            at += 1;
            front.binary_search(&(at - 1)).is_err()
        });
        rank += 1;
    }
    ranks
}

/// Positions of `count` of the values `[n, m]`, all finite, chosen one by one, each the one that adds most to the volume of
/// those before it; ties go to the earlier one.
#[must_use]
pub fn greedy_subset<V: AsRef<[f64]>>(values: &[V], reference: &[f64], count: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < count.min(values.len()) {
        let with = |i: usize| {
            let more: Vec<&[f64]> = chosen
                .iter()
                .chain([&i])
                .map(|&j| values[j].as_ref())
                .collect();
            volume_above(&more, reference)
        };
        let left = (0..values.len()).filter(|i| !chosen.contains(i));
        let volumes = left.map(|i| (i, with(i)));
        let best = volumes.reduce(|best, next| if next.1 > best.1 { next } else { best });
        let Some((best, _)) = best else { break };
        chosen.push(best);
    }
    chosen
}

fn check<V: AsRef<[f64]>>(values: &[V], expected: usize) -> Result<()> {
    for value in values.iter().map(V::as_ref) {
        if value.len() != expected {
            return Err(Malformed::Length {
                found: value.len(),
                expected,
            });
        }
        if value.iter().any(|x| x.is_nan()) {
            return Err(Malformed::NotFinite);
        }
    }
    Ok(())
}

/// Drops dominated values and all but one of equal ones.
fn without_dominated(values: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let mut kept: Vec<Vec<f64>> = Vec::new();
    for value in values {
        if kept
            .iter()
            .any(|other| other.iter().zip(&value).all(|(a, b)| a >= b))
        {
            continue;
        }
        kept.retain(|other| !dominates(&value, other));
        kept.push(value);
    }
    kept
}

/// Volume between the origin and a front of positive values.
fn volume(mut front: Vec<Vec<f64>>) -> f64 {
    let Some(first) = front.first() else {
        return 0.0;
    };
    let m = first.len();
    // Falling in the last objective: limiting to a later value then cuts more away.
    front.sort_by(|a, b| {
        b[m - 1]
            .total_cmp(&a[m - 1])
            .then_with(|| b[0].total_cmp(&a[0]))
    });
    if m == 1 {
        return front[0][0];
    }
    if m == 2 {
        let mut reached = 0.0;
        return front
            .iter()
            .map(|value| {
                let slice = (value[0] - reached) * value[1];
                reached = value[0];
                slice
            })
            .sum();
    }
    let mut total = 0.0;
    for (i, value) in front.iter().enumerate() {
        // What the value adds to those after it: its box without what they cover of it.
        let own: f64 = value.iter().product();
        let limited = front[i + 1..]
            .iter()
            .map(|other| other.iter().zip(value).map(|(a, b)| a.min(*b)).collect())
            .collect();
        total += own - volume(without_dominated(limited));
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Inclusion and exclusion over all subsets.
    fn brute_force(values: &[Vec<f64>], reference: &[f64]) -> f64 {
        let subsets = 1_u32..1 << values.len();
        let volume = |subset: u32| {
            let sign = if subset.count_ones() % 2 == 1 {
                1.0
            } else {
                -1.0
            };
            let side = |axis: usize| {
                let chosen = (0..values.len()).filter(|i| subset >> i & 1 == 1);
                let least = chosen
                    .map(|i| values[i][axis])
                    .fold(f64::INFINITY, f64::min);
                (least - reference[axis]).max(0.0)
            };
            sign * (0..reference.len()).map(side).product::<f64>()
        };
        subsets.map(volume).sum()
    }

    proptest! {
        #[test]
        fn hypervolume_is_inclusion_and_exclusion(
            values in proptest::collection::vec(proptest::collection::vec(-1_i8..6, 6), 0..8),
            objectives in 1_usize..7,
        ) {
            // Small whole numbers make ties.
            let values: Vec<Vec<f64>> = values
                .iter()
                .map(|value| value[..objectives].iter().map(|&x| f64::from(x)).collect())
                .collect();
            let reference = vec![0.5; objectives];
            let found = hypervolume(&values, &reference).unwrap();
            prop_assert!((found - brute_force(&values, &reference)).abs() < 1e-9);
        }
    }

    #[test]
    fn fronts_keep_ties_and_drop_the_dominated() {
        let values = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.0], [0.0, 0.0]];
        assert_eq!(front(&values).unwrap(), [0, 1, 2]);
        assert!(front::<[f64; 2]>(&[]).unwrap().is_empty());
    }

    #[test]
    fn ranks_count_the_fronts_above() {
        let values = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.0], [0.0, 0.0]];
        assert_eq!(ranks(&values), [0, 0, 0, 1, 2]);
        assert!(ranks::<[f64; 2]>(&[]).is_empty());
    }

    #[test]
    fn contributions_are_what_is_lost_without_a_value() {
        let values = [[2.0, 1.0], [1.0, 2.0], [0.5, 0.5], [-1.0, 9.0]];
        let found = contributions(&values, &[0.0, 0.0]).unwrap();
        assert_eq!(found, [1.0, 1.0, 0.0, 0.0]);
        let twice = [[2.0, 1.0], [2.0, 1.0]];
        assert_eq!(contributions(&twice, &[0.0, 0.0]).unwrap(), [0.0, 0.0]);
    }

    #[test]
    fn a_greedy_subset_spreads() {
        let values = [[1.0, 0.1], [0.9, 0.11], [0.1, 1.0], [0.6, 0.6]];
        assert_eq!(greedy_subset(&values, &[0.0, 0.0], 3), [3, 0, 2]);
        assert_eq!(greedy_subset(&values, &[0.0, 0.0], 9).len(), 4);
    }

    #[test]
    fn nan_and_ragged_values_are_refused() {
        assert_eq!(front(&[vec![1.0, f64::NAN]]), Err(Malformed::NotFinite));
        assert!(front(&[vec![1.0, 2.0], vec![1.0]]).is_err());
        assert!(hypervolume(&[vec![f64::NAN]], &[0.0]).is_err());
        assert!(hypervolume(&[vec![f64::INFINITY]], &[0.0]).is_err());
        assert!(hypervolume(&[vec![1.0]], &[f64::NAN]).is_err());
        assert!(hypervolume(&[vec![1.0]], &[0.0, 0.0]).is_err());
        assert!(contributions(&[[f64::NAN, 1.0]], &[0.0, 0.0]).is_err());
    }
}
