//! Ranks by dominance, and hypervolumes. Everything is maximised and finite.

/// Whether `a` is nowhere worse than `b` and somewhere better.
#[must_use]
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a >= b) && a.iter().zip(b).any(|(a, b)| a > b)
}

/// The front that each of the values is on, from 0: those that nothing dominates, then those that only these dominate,
/// and so on (Deb et al. 2002, fast nondominated sorting).
#[must_use]
pub fn ranks(values: &[Vec<f64>]) -> Vec<usize> {
    let mut ranks = vec![usize::MAX; values.len()];
    let mut left: Vec<usize> = (0..values.len()).collect();
    let mut rank = 0;
    while !left.is_empty() {
        let (front, rest): (Vec<usize>, Vec<usize>) = left
            .iter()
            .partition(|&&i| !left.iter().any(|&j| dominates(&values[j], &values[i])));
        front.iter().for_each(|&i| ranks[i] = rank);
        left = rest;
        rank += 1;
    }
    ranks
}

/// The volume that is dominated by some of the values and lies above `reference` (While, Bradstreet & Barone 2012).
#[must_use]
pub fn hypervolume(values: &[Vec<f64>], reference: &[f64]) -> f64 {
    let above = values
        .iter()
        .map(|value| value.iter().zip(reference).map(|(v, r)| v - r).collect())
        .filter(|excess: &Vec<f64>| excess.iter().all(|&x| x > 0.0))
        .collect();
    volume(front(above))
}

/// What each value adds to the volume of the others.
#[must_use]
pub fn contributions(values: &[Vec<f64>], reference: &[f64]) -> Vec<f64> {
    let whole = hypervolume(values, reference);
    (0..values.len())
        .map(|out| {
            let mut others = values.to_vec();
            others.remove(out);
            // Differences of volumes can round below zero.
            (whole - hypervolume(&others, reference)).max(0.0)
        })
        .collect()
}

/// Positions of `count` values, chosen one by one, each the one that adds most to the volume of those before it.
#[must_use]
pub fn greedy_subset(values: &[Vec<f64>], reference: &[f64], count: usize) -> Vec<usize> {
    let (mut chosen, mut kept): (Vec<usize>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
    while chosen.len() < count.min(values.len()) {
        let with = |i: usize| {
            let mut more = kept.clone();
            more.push(values[i].clone());
            hypervolume(&more, reference)
        };
        let left = (0..values.len()).filter(|i| !chosen.contains(i));
        let volumes = left.map(|i| (i, with(i)));
        // Ties go to the earlier one.
        let best = volumes.reduce(|best, next| if next.1 > best.1 { next } else { best });
        let Some((best, _)) = best else { break };
        chosen.push(best);
        kept.push(values[best].clone());
    }
    chosen
}

/// Without dominated values, and one of equal ones.
fn front(values: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let mut kept: Vec<Vec<f64>> = Vec::new();
    for value in values {
        if !kept
            .iter()
            .any(|other| other.iter().zip(&value).all(|(a, b)| a >= b))
        {
            kept.retain(|other| !dominates(&value, other));
            kept.push(value);
        }
    }
    kept
}

/// Volume between the origin and a front of positive values: each adds its box without what later ones cover of it.
fn volume(mut front_values: Vec<Vec<f64>>) -> f64 {
    let last = front_values.first().map_or(0, |value| value.len() - 1);
    front_values.sort_by(|a, b| b[last].total_cmp(&a[last]));
    (0..front_values.len())
        .map(|i| {
            let value = &front_values[i];
            let own: f64 = value.iter().product();
            let covered = front_values[i + 1..]
                .iter()
                .map(|other| other.iter().zip(value).map(|(a, b)| a.min(*b)).collect())
                .collect();
            own - volume(front(covered))
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::generator;
    use rand::RngExt as _;

    /// Inclusion and exclusion over all subsets.
    fn brute_force(values: &[Vec<f64>], reference: &[f64]) -> f64 {
        (1_u32..1 << values.len())
            .map(|subset| {
                let chosen = || (0..values.len()).filter(|i| subset >> i & 1 == 1);
                let sides = reference.iter().enumerate().map(|(j, r)| {
                    let least = chosen().map(|i| values[i][j]).fold(f64::INFINITY, f64::min);
                    (least - r).max(0.0)
                });
                let sign = if subset.count_ones() % 2 == 1 {
                    1.0
                } else {
                    -1.0
                };
                sign * sides.product::<f64>()
            })
            .sum()
    }

    fn coarse(n: usize, m: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut random = generator(seed, 0);
        let mut value = || f64::from(random.random_range(0..8)) / 4.0 - 0.5;
        (0..n).map(|_| (0..m).map(|_| value()).collect()).collect()
    }

    #[test]
    fn hypervolume_is_the_brute_force_volume() {
        for m in 1..=5 {
            for n in [0, 1, 2, 5, 9] {
                let values = coarse(n, m, (10 * m + n) as u64);
                let found = hypervolume(&values, &vec![-0.2; m]);
                let expected = brute_force(&values, &vec![-0.2; m]);
                assert!((found - expected).abs() < 1e-10, "{m} {n}");
            }
        }
    }

    #[test]
    fn ranks_count_the_fronts_above() {
        let values = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.0], [0.0, 0.0]];
        let values: Vec<Vec<f64>> = values.iter().map(|v| v.to_vec()).collect();
        assert_eq!(ranks(&values), [0, 0, 0, 1, 2]);
        assert!(ranks(&[]).is_empty());
    }

    #[test]
    fn contributions_of_equal_values_are_nothing() {
        let values = vec![vec![1.0, 1.0], vec![1.0, 1.0], vec![2.0, 0.5]];
        assert_eq!(contributions(&values, &[0.0, 0.0]), [0.0, 0.0, 0.5]);
    }

    #[test]
    fn a_greedy_subset_spreads() {
        let values = vec![
            vec![1.0, 0.1],
            vec![0.9, 0.11],
            vec![0.1, 1.0],
            vec![0.6, 0.6],
        ];
        assert_eq!(greedy_subset(&values, &[0.0, 0.0], 3), [3, 0, 2]);
        assert_eq!(greedy_subset(&values, &[0.0, 0.0], 9).len(), 4);
    }
}
