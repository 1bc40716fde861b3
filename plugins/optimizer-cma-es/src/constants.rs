//! The strategy's constants: Hansen 2016, table 1, with its names.

/// What does not change between restarts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Constants {
    /// `[lambda]`, best first; the positive ones sum to one, those of the worse half are negative.
    pub(crate) weights: Vec<f64>,
    pub(crate) mu_eff: f64,
    pub(crate) c_sigma: f64,
    pub(crate) d_sigma: f64,
    pub(crate) c_c: f64,
    pub(crate) c_1: f64,
    pub(crate) c_mu: f64,
    /// Expected length of a standard normal vector.
    pub(crate) chi_n: f64,
}

/// Points per generation unless a configuration gives another number: `4 + floor(3 ln n)`.
pub(crate) fn default_population(dimension: usize) -> usize {
    // Truncation is the floor: the logarithm is not negative.
    4 + (3.0 * (dimension as f64).ln()) as usize
}

impl Constants {
    /// For `dimension >= 1` and `lambda >= 2`.
    pub(crate) fn new(dimension: usize, lambda: usize) -> Self {
        let n = dimension as f64;
        // 1. Raw weights: logarithms of ranks, falling through 0 in the middle (equation 49).
        let raw: Vec<f64> = (1..=lambda)
            .map(|i| ((lambda as f64 + 1.0) / 2.0).ln() - (i as f64).ln())
            .collect();
        let (better, worse) = raw.split_at(lambda / 2);
        let sum = |w: &[f64]| w.iter().sum::<f64>();
        let effective = |w: &[f64]| sum(w).powi(2) / w.iter().map(|x| x * x).sum::<f64>();
        let (mu_eff, mu_eff_worse) = (effective(better), effective(worse));

        // 2. Rates (equations 55 to 58).
        let c_sigma = (mu_eff + 2.0) / (n + mu_eff + 5.0);
        let d_sigma = 1.0 + 2.0 * (((mu_eff - 1.0) / (n + 1.0)).sqrt() - 1.0).max(0.0) + c_sigma;
        let c_c = (4.0 + mu_eff / n) / (n + 4.0 + 2.0 * mu_eff / n);
        let c_1 = 2.0 / ((n + 1.3).powi(2) + mu_eff);
        let c_mu = (2.0 * (0.25 + mu_eff + 1.0 / mu_eff - 2.0) / ((n + 2.0).powi(2) + mu_eff))
            .min(1.0 - c_1);

        // 3. Negative weights: as strong as the positive ones allow, and the covariance stays positive (50 to 53).
        let strength = (1.0 + c_1 / c_mu)
            .min(1.0 + 2.0 * mu_eff_worse / (mu_eff + 2.0))
            .min((1.0 - c_1 - c_mu) / (n * c_mu));
        let (positive, negative) = (sum(better), sum(worse).abs());
        let weight = |w: &f64| match *w >= 0.0 {
            true => w / positive,
            false => strength.max(0.0) * w / negative,
        };
        Self {
            weights: raw.iter().map(weight).collect(),
            mu_eff,
            c_sigma,
            d_sigma,
            c_c,
            c_1,
            c_mu,
            chi_n: n.sqrt() * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_those_of_the_tutorial() {
        assert_eq!(default_population(1), 4);
        assert_eq!(default_population(10), 10);
        // n = 10, lambda = 10, by hand from table 1.
        let found = Constants::new(10, 10);
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-4, "{found}");
        close(found.weights[..5].iter().sum(), 1.0);
        close(found.weights[0], 0.456_27);
        close(found.mu_eff, 3.167_3);
        close(found.c_sigma, 0.284_43);
        close(found.c_c, 0.295_0);
        close(found.c_1, 0.015_28);
        close(found.c_mu, 0.023_5);
        close(found.chi_n, 3.084_7);
    }

    #[test]
    fn rates_leave_the_covariance_positive() {
        for dimension in [1, 2, 3, 10, 100, 199] {
            for lambda in [4, 5, 10, 64, 1000] {
                let c = Constants::new(dimension, lambda);
                assert!(c.c_1 + c.c_mu <= 1.0 + 1e-12, "{dimension} {lambda}");
                assert!(c.weights.iter().all(|w| w.is_finite()));
                let worse: f64 = c.weights.iter().filter(|w| **w < 0.0).sum();
                // What is taken away at most, along one direction, is less than what stays.
                let taken = c.c_mu * dimension as f64 * -worse;
                assert!(
                    taken <= 1.0 - c.c_1 - c.c_mu + 1e-12,
                    "{dimension} {lambda}"
                );
            }
        }
    }
}
