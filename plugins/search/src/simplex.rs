//! Geometry of the simplex.

/// Replaces `point` by the nearest point (Euclidean) whose coordinates are not negative and sum to one.
///
/// Held, Wolfe & Crowder (1974): subtract the one threshold that makes the positive parts sum to one. Coordinates below
/// it become exactly zero.
pub fn project(point: &mut [f64]) {
    let mut falling = point.to_vec();
    falling.sort_by(|a, b| b.total_cmp(a));
    let (mut sum, mut threshold) = (0.0, 0.0);
    for (index, coordinate) in falling.iter().enumerate() {
        sum += coordinate;
        let candidate = (sum - 1.0) / (index + 1) as f64;
        if *coordinate > candidate {
            threshold = candidate;
        }
    }
    for coordinate in point.iter_mut() {
        *coordinate = (*coordinate - threshold).max(0.0);
    }
    // The rounding of the sum.
    let total: f64 = point.iter().sum();
    point.iter_mut().for_each(|coordinate| *coordinate /= total);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{dirichlet, generator, normal};

    #[test]
    fn projection_is_the_nearest_of_many_points() {
        let mut random = generator(1, 0);
        let distance =
            |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum() };
        for _ in 0..50 {
            let outside: Vec<f64> = (0..5).map(|_| 2.0 * normal(&mut random)).collect();
            let mut projected = outside.clone();
            project(&mut projected);
            assert!(projected.iter().all(|&c| c >= 0.0));
            assert!((projected.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for _ in 0..300 {
                // Sparse draws: they reach faces and corners.
                let other = dirichlet([0.1; 5], &mut random);
                assert!(distance(&other, &outside) >= distance(&projected, &outside) - 1e-12);
            }
        }
    }

    #[test]
    fn points_of_the_simplex_stay_and_far_ones_reach_corners_exactly() {
        let mut inside = vec![0.25, 0.0, 0.5, 0.25];
        project(&mut inside);
        assert_eq!(inside, [0.25, 0.0, 0.5, 0.25]);
        let mut far = vec![5.0, 0.1, -3.0];
        project(&mut far);
        assert_eq!(far, [1.0, 0.0, 0.0]);
    }
}
