//! Pareto fronts and the volume they dominate; everything is maximised.

/// Whether `a` is at least as good as `b` everywhere and better somewhere.
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(x, y)| x >= y) && a.iter().zip(b).any(|(x, y)| x > y)
}

/// Positions, in order, of the rows `[n, m]` that no other dominates. Equal rows are all kept.
pub fn front(rows: &[Vec<f64>]) -> Vec<usize> {
    let is_best = |&i: &usize| !rows.iter().any(|other| dominates(other, &rows[i]));
    (0..rows.len()).filter(is_best).collect()
}

/// The most objectives whose hypervolume is computed: the time grows with the size of the front to their number less one.
pub const MOST_OBJECTIVES: usize = 4;

/// Volume of the region that rows `[n, m]` dominate above a reference `[m]`, exactly. Rows that are not above the reference
/// everywhere add nothing.
///
/// By slices along the last objective.
pub fn hypervolume(rows: &[Vec<f64>], reference: &[f64]) -> f64 {
    let above = rows.iter().filter_map(|row| {
        let excess: Vec<f64> = row.iter().zip(reference).map(|(x, r)| x - r).collect();
        excess.iter().all(|&x| x > 0.0).then_some(excess)
    });
    volume(above.collect(), reference.len())
}

/// Volume between the origin and positive rows, of which the first `dimension` columns count.
fn volume(mut rows: Vec<Vec<f64>>, dimension: usize) -> f64 {
    let Some(last) = dimension.checked_sub(1).filter(|_| !rows.is_empty()) else {
        return 0.0;
    };
    rows.sort_by(|a, b| b[last].total_cmp(&a[last]));
    if last == 0 {
        return rows[0][0];
    }
    let slice = |count: usize| {
        let below = rows.get(count).map_or(0.0, |row| row[last]);
        let thickness = rows[count - 1][last] - below;
        match thickness > 0.0 {
            true => thickness * volume(rows[..count].to_vec(), last),
            false => 0.0,
        }
    };
    (1..=rows.len()).map(slice).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fronts_keep_ties_and_drop_the_dominated() {
        let rows = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.0]].map(|row| row.to_vec());
        assert_eq!(front(&rows), [0, 1, 2]);
        assert!(front(&[]).is_empty());
    }

    #[test]
    fn hypervolumes_of_known_fronts() {
        let rows = [[2.0, 1.0], [1.0, 2.0], [0.5, 0.5], [-1.0, 9.0]].map(|row| row.to_vec());
        assert_eq!(hypervolume(&rows, &[0.0, 0.0]), 3.0);
        assert_eq!(hypervolume(&[vec![3.0]], &[1.0]), 2.0);
        assert_eq!(hypervolume(&[], &[0.0]), 0.0);
    }

    /// Inclusion and exclusion over all subsets.
    fn brute_force(rows: &[Vec<f64>], dimension: usize) -> f64 {
        let subsets = 1_u32..1 << rows.len();
        let volume = |subset: u32| {
            let sign = if subset.count_ones() % 2 == 1 {
                1.0
            } else {
                -1.0
            };
            let side = |axis: usize| {
                let chosen = (0..rows.len()).filter(|i| subset >> i & 1 == 1);
                chosen.map(|i| rows[i][axis]).fold(f64::INFINITY, f64::min)
            };
            sign * (0..dimension)
                .map(|axis| side(axis).max(0.0))
                .product::<f64>()
        };
        subsets.map(volume).sum()
    }

    proptest! {
        #[test]
        fn hypervolume_is_inclusion_and_exclusion(
            rows in proptest::collection::vec(proptest::collection::vec(-1_i8..6, 4), 0..7),
            dimension in 1_usize..5,
        ) {
            // Small whole numbers make ties.
            let rows: Vec<Vec<f64>> = rows
                .iter()
                .map(|row| row[..dimension].iter().map(|&x| f64::from(x)).collect())
                .collect();
            let found = hypervolume(&rows, &vec![0.0; dimension]);
            prop_assert!((found - brute_force(&rows, dimension)).abs() < 1e-9);
        }
    }
}
