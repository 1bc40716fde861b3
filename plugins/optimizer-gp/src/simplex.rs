//! Points of the simplex: uniform draws, draws on faces, moves from one point to its neighbours.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// The uniform average of `dimension` members.
#[must_use]
pub fn centre(dimension: usize) -> Vec<f64> {
    vec![1.0 / dimension as f64; dimension]
}

/// Member `index` alone.
#[must_use]
pub fn vertex(index: usize, dimension: usize) -> Vec<f64> {
    let mut point = vec![0.0; dimension];
    point[index] = 1.0;
    point
}

/// A point of the simplex from one number in `(0, 1)` per coordinate, uniform if they are.
#[must_use]
pub fn from_cube(mut next: impl FnMut() -> f64, dimension: usize) -> Vec<f64> {
    let mut point: Vec<f64> = (0..dimension).map(|_| -next().ln()).collect();
    let total: f64 = point.iter().sum();
    for coordinate in &mut point {
        *coordinate /= total;
    }
    point
}

/// A number in the open interval `(0, 1)`.
fn open(rng: &mut ChaCha8Rng) -> f64 {
    rng.random::<f64>().max(f64::MIN_POSITIVE)
}

/// A uniform draw from the simplex.
#[must_use]
pub fn draw(dimension: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    from_cube(|| open(rng), dimension)
}

/// A uniform draw from a random face: between one and `dimension` members take part, small numbers as likely as large.
#[must_use]
pub fn draw_on_face(dimension: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let size = rng.random_range(1..=dimension);
    let mut members: Vec<usize> = (0..dimension).collect();
    let mut point = vec![0.0; dimension];
    let shares = draw(size, rng);
    for (taken, share) in shares.into_iter().enumerate() {
        let other = rng.random_range(taken..dimension);
        members.swap(taken, other);
        point[members[taken]] = share;
    }
    point
}

/// A random neighbour of `point`, at a distance drawn evenly on a log scale from 0.003 to 1.
///
/// One of: towards a member, towards a random point, mass from one member to another, a member taken out.
#[must_use]
pub fn neighbour(point: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let dimension = point.len();
    let step = (0.003_f64.ln() * open(rng)).exp();
    let mut moved = point.to_vec();
    match rng.random_range(0..4) {
        0 => blend(
            &mut moved,
            &vertex(rng.random_range(0..dimension), dimension),
            step,
        ),
        1 => blend(&mut moved, &draw(dimension, rng), step),
        2 => {
            let (from, to) = (
                rng.random_range(0..dimension),
                rng.random_range(0..dimension),
            );
            let mass = moved[from] * step;
            moved[from] -= mass;
            moved[to] += mass;
        }
        _ => {
            let out = rng.random_range(0..dimension);
            let left = 1.0 - moved[out];
            // The last member cannot be taken out.
            if left > 1e-9 {
                moved[out] = 0.0;
                moved.iter_mut().for_each(|coordinate| *coordinate /= left);
            }
        }
    }
    moved
}

fn blend(point: &mut [f64], towards: &[f64], share: f64) {
    for (coordinate, target) in point.iter_mut().zip(towards) {
        *coordinate += share * (target - *coordinate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng as _;

    fn on_simplex(point: &[f64]) -> bool {
        point.iter().all(|&c| c >= 0.0) && (point.iter().sum::<f64>() - 1.0).abs() < 1e-12
    }

    #[test]
    fn draws_and_neighbours_stay_on_the_simplex_and_reach_faces() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (mut faces, mut point) = (0, centre(6));
        for _ in 0..2000 {
            point = neighbour(&point, &mut rng);
            assert!(on_simplex(&point), "{point:?}");
            let face = draw_on_face(6, &mut rng);
            assert!(on_simplex(&face) && on_simplex(&draw(6, &mut rng)));
            faces += usize::from(face.contains(&0.0));
        }
        assert!(faces > 1000);
        assert_eq!(neighbour(&[1.0], &mut rng), [1.0]);
    }
}
