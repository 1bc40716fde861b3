//! Pareto fronts and exact hypervolumes; everything is maximised.

use crate::error::{GpError, Result};

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
    Ok(undominated_of(values))
}

/// [`front`] of values that are known to be numbers.
pub(crate) fn undominated_of<V: AsRef<[f64]>>(values: &[V]) -> Vec<usize> {
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
        return Err(GpError::NotFinite {
            what: "a value of a hypervolume",
        });
    }
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
    Ok(volume(without_dominated(above)))
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

fn check<V: AsRef<[f64]>>(values: &[V], expected: usize) -> Result<()> {
    for value in values.iter().map(V::as_ref) {
        if value.len() != expected {
            return Err(GpError::Length {
                what: "values",
                found: value.len(),
                expected,
            });
        }
        if value.iter().any(|x| x.is_nan()) {
            return Err(GpError::NotFinite {
                what: "a value of a Pareto front",
            });
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
    use rand::RngExt as _;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    /// Inclusion and exclusion over all subsets.
    fn brute_force(values: &[Vec<f64>], reference: &[f64]) -> f64 {
        let mut total = 0.0;
        for subset in 1_u32..1 << values.len() {
            let mut product = 1.0;
            for (j, r) in reference.iter().enumerate() {
                let least = (0..values.len())
                    .filter(|i| subset >> i & 1 == 1)
                    .map(|i| values[i][j] - r)
                    .fold(f64::INFINITY, f64::min);
                product *= least.max(0.0);
            }
            total += if subset.count_ones() % 2 == 1 {
                product
            } else {
                -product
            };
        }
        total
    }

    #[test]
    fn hypervolume_is_the_brute_force_volume() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for m in 1..=6 {
            for n in [0, 1, 2, 5, 9] {
                // Coarse values make ties.
                let values: Vec<Vec<f64>> = (0..n)
                    .map(|_| {
                        (0..m)
                            .map(|_| f64::from(rng.random_range(0..8)) / 4.0 - 0.5)
                            .collect()
                    })
                    .collect();
                let reference = vec![-0.2; m];
                let found = hypervolume(&values, &reference).unwrap();
                assert!(
                    (found - brute_force(&values, &reference)).abs() < 1e-10,
                    "{m} {n}"
                );
            }
        }
    }

    #[test]
    fn fronts_keep_ties_and_drop_the_dominated() {
        let values = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.0], [0.0, 0.0]];
        assert_eq!(front(&values).unwrap(), [0, 1, 2]);
        assert!(front::<[f64; 2]>(&[]).unwrap().is_empty());
    }

    #[test]
    fn contributions_are_what_is_lost_without_a_value() {
        let values = [[2.0, 1.0], [1.0, 2.0], [0.5, 0.5], [-1.0, 9.0]];
        let found = contributions(&values, &[0.0, 0.0]).unwrap();
        assert_eq!(found, [1.0, 1.0, 0.0, 0.0]);
        let twice = [[2.0, 1.0], [2.0, 1.0]];
        assert_eq!(contributions(&twice, &[0.0, 0.0]).unwrap(), [0.0, 0.0]);
        assert!(contributions(&[[f64::NAN, 1.0]], &[0.0, 0.0]).is_err());
    }

    #[test]
    fn nan_and_ragged_values_are_refused() {
        assert!(front(&[vec![1.0, f64::NAN]]).is_err());
        assert!(front(&[vec![1.0, 2.0], vec![1.0]]).is_err());
        assert!(hypervolume(&[vec![f64::NAN]], &[0.0]).is_err());
        assert!(hypervolume(&[vec![f64::INFINITY]], &[0.0]).is_err());
        assert!(hypervolume(&[vec![1.0]], &[f64::NAN]).is_err());
        assert!(hypervolume(&[vec![1.0]], &[0.0, 0.0]).is_err());
    }
}
