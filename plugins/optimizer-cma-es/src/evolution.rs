//! The normal distribution that generations are drawn from, and how it learns.

use nalgebra::{DMatrix, DVector, SymmetricEigen};
use rand_chacha::ChaCha8Rng;
use search::random::normal;

use crate::constants::Constants;

/// A search ends where the covariance matrix is worse conditioned (Hansen 2016, appendix B.3).
const WORST_CONDITION: f64 = 1e14;
/// No standard deviation is wider: on the chart the space is about one wide.
const WIDEST: f64 = 1.0;

/// The state of one search, in the tutorial's letters: mean `m`, step size `sigma`, covariance `C = B D^2 B^T`.
#[derive(Debug, Clone)]
pub(crate) struct Evolution {
    constants: Constants,
    mean: DVector<f64>,
    sigma: f64,
    covariance: DMatrix<f64>,
    /// Columns are the axes of the distribution.
    b: DMatrix<f64>,
    /// Their lengths.
    d: DVector<f64>,
    path_sigma: DVector<f64>,
    path_c: DVector<f64>,
    /// Generations learnt from.
    age: i32,
}

impl Evolution {
    /// A round distribution, of at least one dimension.
    pub(crate) fn new(mean: Vec<f64>, sigma: f64, population: usize) -> Self {
        let n = mean.len();
        Self {
            constants: Constants::new(n, population),
            mean: DVector::from_vec(mean),
            sigma,
            covariance: DMatrix::identity(n, n),
            b: DMatrix::identity(n, n),
            d: DVector::from_element(n, 1.0),
            path_sigma: DVector::zeros(n),
            path_c: DVector::zeros(n),
            age: 0,
        }
    }

    /// Points per generation.
    pub(crate) fn population(&self) -> usize {
        self.constants.weights.len()
    }

    pub(crate) fn mean(&self) -> &[f64] {
        self.mean.as_slice()
    }

    /// Mean over all directions of the variance.
    pub(crate) fn variance(&self) -> f64 {
        self.sigma * self.sigma * self.covariance.trace() / self.mean.len() as f64
    }

    /// The largest standard deviation of any number, or the way that the mean has lately gone if that is longer.
    pub(crate) fn reach(&self) -> f64 {
        let widest = self.covariance.diagonal().max().sqrt();
        self.sigma * widest.max(self.path_c.amax())
    }

    /// Whether the distribution has degenerated beyond what numbers can hold.
    pub(crate) fn is_degenerate(&self) -> bool {
        let (least, most) = (self.d.min(), self.d.max());
        let finite = self.sigma.is_finite() && self.mean.iter().all(|m| m.is_finite());
        !(finite && least > 0.0 && most.is_finite() && (most / least).powi(2) <= WORST_CONDITION)
    }

    /// A draw: `m + sigma B D z`.
    pub(crate) fn draw(&self, generator: &mut ChaCha8Rng) -> Vec<f64> {
        let z = DVector::from_fn(self.mean.len(), |_, _| normal(generator));
        let y = &self.b * self.d.component_mul(&z);
        (&self.mean + self.sigma * y).as_slice().to_vec()
    }

    /// Learns from a whole generation, best first (Hansen 2016, figure 6).
    pub(crate) fn learn(&mut self, ranked: &[&[f64]]) {
        let Constants {
            mu_eff,
            c_sigma,
            d_sigma,
            c_c,
            c_1,
            c_mu,
            chi_n,
            ..
        } = self.constants;
        let n = self.mean.len() as f64;
        // 1. Steps, and their mean over the better half.
        let steps: Vec<DVector<f64>> = ranked
            .iter()
            .map(|x| (DVector::from_column_slice(x) - &self.mean) / self.sigma)
            .collect();
        let weighted = || self.constants.weights.iter().zip(&steps);
        let mut step = DVector::zeros(self.mean.len());
        for (weight, y) in weighted().filter(|(weight, _)| **weight > 0.0) {
            step += *weight * y;
        }
        let mean = &self.mean + self.sigma * &step;

        // 2. The step size, by the length of its path (43, 44).
        self.age += 1;
        let path_sigma = (1.0 - c_sigma) * &self.path_sigma
            + (c_sigma * (2.0 - c_sigma) * mu_eff).sqrt() * self.whiten(&step);
        let length = path_sigma.norm();
        let sigma = self.sigma * (c_sigma / d_sigma * (length / chi_n - 1.0)).exp();

        // 3. The covariance: rank one along the path, rank mu along the steps (45 to 47).
        let settled = (1.0 - (1.0 - c_sigma).powi(2 * self.age)).sqrt();
        let h_sigma = f64::from(length / settled < (1.4 + 2.0 / (n + 1.0)) * chi_n);
        let path_c =
            (1.0 - c_c) * &self.path_c + h_sigma * (c_c * (2.0 - c_c) * mu_eff).sqrt() * &step;
        let all: f64 = self.constants.weights.iter().sum();
        let stalled = (1.0 - h_sigma) * c_c * (2.0 - c_c);
        let mut covariance = (1.0 + c_1 * stalled - c_1 - c_mu * all) * &self.covariance;
        covariance.ger(c_1, &path_c, &path_c, 1.0);
        for (weight, y) in weighted() {
            // Bad steps take away as much as if they were of the usual length.
            let usual = match *weight < 0.0 {
                true => n / self.whiten(y).norm_squared().max(f64::MIN_POSITIVE),
                false => 1.0,
            };
            covariance.ger(c_mu * weight * usual, y, y, 1.0);
        }

        (self.mean, self.sigma, self.covariance) = (mean, sigma, covariance);
        (self.path_sigma, self.path_c) = (path_sigma, path_c);
        self.decompose();
    }

    /// `C^(-1/2) y`.
    fn whiten(&self, y: &DVector<f64>) -> DVector<f64> {
        &self.b * self.b.tr_mul(y).component_div(&self.d)
    }

    /// Widens the numbers whose standard deviation is below `least`, `[dimension]`, and keeps all within the space's width.
    pub(crate) fn bound_deviations(&mut self, least: &[f64]) {
        let mut widened = false;
        for (i, least) in least.iter().enumerate() {
            let needed = (least / self.sigma).powi(2);
            if self.covariance[(i, i)] < needed {
                self.covariance[(i, i)] = needed;
                widened = true;
            }
        }
        if widened {
            self.decompose();
        }
        let widest = self.sigma * self.covariance.diagonal().max().sqrt();
        if widest > WIDEST {
            self.sigma *= WIDEST / widest;
        }
    }

    /// Axes and lengths of the covariance matrix; lengths that are no numbers where it has none.
    fn decompose(&mut self) {
        let symmetric = 0.5 * (&self.covariance + self.covariance.transpose());
        self.covariance = symmetric;
        if !self.covariance.iter().all(|c| c.is_finite()) {
            self.d.fill(f64::NAN);
            return;
        }
        // The limit is far beyond what a symmetric matrix needs: a few steps per row.
        let limit = 1000 * self.mean.len();
        match SymmetricEigen::try_new(self.covariance.clone(), f64::EPSILON, limit) {
            Some(eigen) => {
                self.d = eigen.eigenvalues.map(|value| value.max(0.0).sqrt());
                self.b = eigen.eigenvectors;
            }
            None => self.d.fill(f64::NAN),
        }
    }

    /// The mean that a generation of any size would lead to: positions weighted by the better half's weights, best first.
    pub(crate) fn weighted_mean(ranked: &[&[f64]]) -> Vec<f64> {
        let n = ranked[0].len();
        let weights = Constants::new(n, ranked.len()).weights;
        let mut mean = vec![0.0; n];
        for (weight, x) in weights.iter().zip(ranked).filter(|(w, _)| **w > 0.0) {
            mean.iter_mut().zip(*x).for_each(|(m, x)| *m += weight * x);
        }
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use search::random::generator;

    fn minimise(f: impl Fn(&[f64]) -> f64, start: Vec<f64>, generations: u64) -> Evolution {
        let lambda = crate::constants::default_population(start.len());
        let mut evolution = Evolution::new(start, 0.3, lambda);
        let mut random = generator(5, 0);
        for _ in 0..generations {
            let mut drawn: Vec<Vec<f64>> =
                (0..lambda).map(|_| evolution.draw(&mut random)).collect();
            drawn.sort_by(|a, b| f(a).total_cmp(&f(b)));
            evolution.learn(&drawn.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        evolution
    }

    #[test]
    fn the_covariance_becomes_the_inverse_hessian() {
        let f = |x: &[f64]| x[0] * x[0] + 100.0 * (x[1] - x[0]).powi(2) + 10.0 * x[2] * x[2];
        let evolution = minimise(f, vec![1.0; 3], 120);
        // Up to a factor: C H is a multiple of the identity.
        let h = DMatrix::from_row_slice(
            3,
            3,
            &[101.0, -100.0, 0.0, -100.0, 100.0, 0.0, 0.0, 0.0, 10.0],
        );
        let product = SymmetricEigen::new({
            let root = &evolution.b * DMatrix::from_diagonal(&evolution.d);
            root.transpose() * h * root
        });
        let (least, most) = (product.eigenvalues.min(), product.eigenvalues.max());
        assert!(most / least < 20.0, "{least} {most}: from 250 at the start");
        assert!(f(evolution.mean()) < 1e-10);
    }

    #[test]
    fn what_cannot_be_told_apart_is_neither_found_nor_lost() {
        // On a flat function the step size wanders, and neither explodes nor vanishes.
        let evolution = minimise(|_| 0.0, vec![0.5; 10], 200);
        assert!(!evolution.is_degenerate());
        assert!(
            (0.01..10.0).contains(&evolution.sigma),
            "{}",
            evolution.sigma
        );
    }

    #[test]
    fn deviations_stay_between_their_bounds() {
        let mut evolution = Evolution::new(vec![0.5; 2], 1e-6, 6);
        evolution.bound_deviations(&[0.02, 0.0]);
        let deviation = |e: &Evolution, i| e.sigma * e.covariance[(i, i)].sqrt();
        assert!((deviation(&evolution, 0) - 0.02).abs() < 1e-12);
        assert!((deviation(&evolution, 1) - 1e-6).abs() < 1e-12);
        let mut wide = Evolution::new(vec![0.5; 2], 1e9, 6);
        wide.bound_deviations(&[0.0, 0.0]);
        assert!((deviation(&wide, 1) - WIDEST).abs() < 1e-12);
    }
}
