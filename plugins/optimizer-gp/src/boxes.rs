//! Exact decomposition of the region that a front does not dominate into disjoint boxes; everything is maximised.

/// A box of `M` objectives, possibly unbounded above.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell<const M: usize> {
    /// Least corner.
    pub lower: [f64; M],
    /// Greatest corner, infinite where unbounded.
    pub upper: [f64; M],
}

/// Disjoint boxes that fill what lies above `reference` and is not dominated by any of `values`, in any order and with
/// any duplicates.
///
/// A sweep from high to low values of the last objective: the region under which a value is the highest obstacle, in the
/// other objectives, is what those before it leave undominated of its own shadow. With `n` values on the front at most
/// `n + 1` boxes for two objectives and `2 n + 1` for three (Yang, Emmerich, Deutz & Bäck 2019).
#[must_use]
pub fn undominated<const M: usize>(values: &[[f64; M]], reference: &[f64; M]) -> Vec<Cell<M>> {
    let inside: Vec<Vec<f64>> = values
        .iter()
        .filter(|value| value.iter().zip(reference).all(|(v, r)| v > r))
        .map(|value| value.to_vec())
        .collect();
    let mut cells = Vec::new();
    sweep(
        inside,
        reference,
        &[f64::INFINITY; M],
        &mut |lower, upper| {
            let mut cell = Cell {
                lower: [0.0; M],
                upper: [0.0; M],
            };
            cell.lower.copy_from_slice(lower);
            cell.upper.copy_from_slice(upper);
            cells.push(cell);
        },
    );
    cells
}

/// Calls `emit` with the corners of boxes that fill what lies between `lower` and `upper` and is not dominated by the
/// values, which are all above `lower`.
fn sweep(
    mut values: Vec<Vec<f64>>,
    lower: &[f64],
    upper: &[f64],
    emit: &mut dyn FnMut(&[f64], &[f64]),
) {
    let last = lower.len() - 1;
    // 1. What sticks out of the upper corner counts up to it. Highest in the last objective first.
    for value in &mut values {
        value
            .iter_mut()
            .zip(upper)
            .for_each(|(v, u)| *v = v.min(*u));
    }
    values.sort_by(|a, b| {
        b[last]
            .total_cmp(&a[last])
            .then_with(|| b[0].total_cmp(&a[0]))
    });
    if last == 0 {
        let top = values.first().map_or(lower[0], |value| value[0]);
        if top < upper[0] {
            emit(&[top], upper);
        }
        return;
    }
    if last == 1 {
        return staircase(&values, lower, upper, emit);
    }
    // 2. Each value is the highest obstacle over the part of its shadow that no earlier one covers; above it is free.
    let mut before: Vec<Vec<f64>> = Vec::new();
    for value in &values {
        let (shadow, height) = (&value[..last], value[last]);
        if before
            .iter()
            .any(|other| other.iter().zip(shadow).all(|(a, b)| a >= b))
        {
            continue;
        }
        if height < upper[last] {
            columns(
                before.clone(),
                &lower[..last],
                shadow,
                height,
                upper[last],
                emit,
            );
        }
        before.retain(|other| !other.iter().zip(shadow).all(|(a, b)| a <= b));
        before.push(shadow.to_vec());
    }
    // 3. Outside of every shadow nothing stands in the way.
    columns(
        before,
        &lower[..last],
        &upper[..last],
        lower[last],
        upper[last],
        emit,
    );
}

/// Boxes of one objective less, as wide as they are, from `bottom` to `top`.
fn columns(
    before: Vec<Vec<f64>>,
    lower: &[f64],
    upper: &[f64],
    bottom: f64,
    top: f64,
    emit: &mut dyn FnMut(&[f64], &[f64]),
) {
    let m = lower.len();
    sweep(before, lower, upper, &mut |low, high| {
        let (mut from, mut to) = ([0.0; MOST], [0.0; MOST]);
        from[..m].copy_from_slice(low);
        to[..m].copy_from_slice(high);
        (from[m], to[m]) = (bottom, top);
        emit(&from[..=m], &to[..=m]);
    });
}

/// Most objectives of a decomposition.
const MOST: usize = 8;

/// Two objectives, values falling in the second.
fn staircase(
    values: &[Vec<f64>],
    lower: &[f64],
    upper: &[f64],
    emit: &mut dyn FnMut(&[f64], &[f64]),
) {
    // Left to right: over [left, value's first objective] the value is the obstacle, as all later ones are lower.
    let mut left = lower[0];
    for value in values {
        if value[0] > left {
            if value[1] < upper[1] {
                emit(&[left, value[1]], &[value[0], upper[1]]);
            }
            left = value[0];
        }
    }
    if left < upper[0] {
        emit(&[left, lower[1]], upper);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pareto::{front, hypervolume};
    use rand::RngExt as _;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    fn check<const M: usize>(n: usize, rng: &mut ChaCha8Rng, coarse: bool) {
        let values: Vec<[f64; M]> = (0..n)
            .map(|_| {
                std::array::from_fn(|_| match coarse {
                    true => f64::from(rng.random_range(0..6)) / 5.0,
                    false => rng.random(),
                })
            })
            .collect();
        let reference = [0.1; M];
        let cells = undominated(&values, &reference);
        // 1. As many boxes as promised.
        let size = front(&values).unwrap().len();
        match M {
            2 => assert!(cells.len() <= size + 1),
            3 => assert!(
                cells.len() <= 2 * size + 1,
                "{} boxes, {size} values",
                cells.len()
            ),
            _ => {}
        }
        // 2. Every undominated point lies in exactly one, every dominated one in none.
        for _ in 0..300 {
            let at: [f64; M] = std::array::from_fn(|_| 0.1 + 1.2 * rng.random::<f64>());
            let within =
                |cell: &&Cell<M>| (0..M).all(|j| cell.lower[j] <= at[j] && at[j] < cell.upper[j]);
            let dominated = values.iter().any(|v| (0..M).all(|j| v[j] >= at[j]));
            assert_eq!(
                cells.iter().filter(within).count(),
                usize::from(!dominated),
                "{at:?}"
            );
        }
        // 3. The volumes that a new value adds agree.
        let new: [f64; M] = std::array::from_fn(|_| 0.2 + rng.random::<f64>());
        let gain: f64 = cells
            .iter()
            .map(|cell| {
                (0..M)
                    .map(|j| (new[j].min(cell.upper[j]) - cell.lower[j]).max(0.0))
                    .product::<f64>()
            })
            .sum();
        let mut with = values.clone();
        with.push(new);
        let expected =
            hypervolume(&with, &reference).unwrap() - hypervolume(&values, &reference).unwrap();
        assert!((gain - expected).abs() < 1e-10, "{gain} {expected}");
    }

    #[test]
    fn boxes_fill_the_undominated_region_exactly_once() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for n in [0, 1, 2, 3, 7, 20] {
            for coarse in [false, true] {
                check::<1>(n, &mut rng, coarse);
                check::<2>(n, &mut rng, coarse);
                check::<3>(n, &mut rng, coarse);
                check::<4>(n, &mut rng, coarse);
            }
        }
    }
}
