//! The Matérn 5/2 covariance with one length scale per dimension.

/// `sqrt(5)`.
const ROOT_5: f64 = 2.236_067_977_499_79;

/// Matérn 5/2 of unit variance: `k(r) = (1 + √5 r + 5/3 r²) exp(-√5 r)`, `r² = Σ ((x_j - z_j) / length_scale_j)²`.
#[derive(Debug, Clone, PartialEq)]
pub struct Matern52 {
    /// One per dimension, positive.
    pub length_scales: Vec<f64>,
}

impl Matern52 {
    /// A point in units of the length scales, in which [`covariance`] measures distances.
    #[must_use]
    pub fn scaled(&self, point: &[f64]) -> Vec<f64> {
        point
            .iter()
            .zip(&self.length_scales)
            .map(|(x, length)| x / length)
            .collect()
    }
}

/// Covariance at a squared scaled distance, and `(dk/dr) / r`, which is finite at 0.
///
/// With `s` the second value, `dk/dx_j = s (x_j - z_j) / length_scale_j²` and
/// `dk/d ln length_scale_j = -s (x_j - z_j)² / length_scale_j²`.
#[inline]
#[must_use]
pub fn covariance(squared_distance: f64) -> (f64, f64) {
    let s = ROOT_5 * squared_distance.sqrt();
    let decay = (-s).exp();
    (
        (1.0 + s + s * s / 3.0) * decay,
        -5.0 / 3.0 * (1.0 + s) * decay,
    )
}

/// Squared distance of two scaled points of one length.
#[inline]
#[must_use]
pub fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    let (blocks_a, rest_a) = a.as_chunks::<4>();
    let (blocks_b, rest_b) = b.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (x, y) in blocks_a.iter().zip(blocks_b) {
        for lane in 0..4 {
            sums[lane] += (x[lane] - y[lane]) * (x[lane] - y[lane]);
        }
    }
    let rest: f64 = rest_a
        .iter()
        .zip(rest_b)
        .map(|(x, y)| (x - y) * (x - y))
        .sum();
    (sums[0] + sums[2]) + (sums[1] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covariance_is_one_at_the_point_itself_and_falls() {
        assert_eq!(covariance(0.0).0, 1.0);
        let mut last = 1.0;
        for step in 1..200 {
            let (value, slope) = covariance((f64::from(step) * 0.1).powi(2));
            assert!(value < last && value > 0.0 && slope < 0.0);
            last = value;
        }
        assert_eq!(covariance(1e12).0, 0.0);
    }

    #[test]
    fn slope_matches_finite_differences() {
        let kernel = Matern52 {
            length_scales: vec![0.3, 2.0],
        };
        let (x, z) = ([0.2, 0.9], [0.5, 0.1]);
        let at = |x: &[f64]| covariance(squared_distance(&kernel.scaled(x), &kernel.scaled(&z)));
        for j in 0..2 {
            let step = 1e-6;
            let (mut above, mut below) = (x, x);
            above[j] += step;
            below[j] -= step;
            let numeric = (at(&above).0 - at(&below).0) / (2.0 * step);
            let analytic = at(&x).1 * (x[j] - z[j]) / kernel.length_scales[j].powi(2);
            assert!((numeric - analytic).abs() < 1e-8);
        }
    }
}
