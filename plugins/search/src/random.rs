//! Random numbers: a generator for each trial, and the variates that searches need.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

/// A generator of its own for each trial, so that a draw depends on the trial's number alone.
#[must_use]
pub fn generator(seed: u64, trial: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(trial);
    generator
}

/// The logarithm of a gamma variate of shape `alpha` (Marsaglia & Tsang 2000); a logarithm, because variates of a small
/// shape underflow.
pub fn log_gamma(alpha: f64, generator: &mut ChaCha8Rng) -> f64 {
    // Shapes below one: draw at alpha + 1 and multiply by u^(1 / alpha).
    if alpha < 1.0 {
        let u: f64 = 1.0 - generator.random::<f64>();
        return log_gamma(alpha + 1.0, generator) + u.ln() / alpha;
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let z = normal(generator);
        let v = (1.0 + c * z).powi(3);
        let u: f64 = 1.0 - generator.random::<f64>();
        if v > 0.0 && u.ln() < 0.5 * z * z + d - d * v + d * v.ln() {
            return (d * v).ln();
        }
    }
}

/// Shares from a Dirichlet distribution with these concentrations.
pub fn dirichlet(
    concentrations: impl IntoIterator<Item = f64>,
    generator: &mut ChaCha8Rng,
) -> Vec<f64> {
    let logs: Vec<f64> = concentrations
        .into_iter()
        .map(|alpha| log_gamma(alpha, generator))
        .collect();
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    crate::point::normalised(logs.iter().map(|log| (log - largest).exp()).collect())
}

/// A standard normal variate (Box & Muller).
pub fn normal(generator: &mut ChaCha8Rng) -> f64 {
    let u: f64 = 1.0 - generator.random::<f64>();
    let angle = std::f64::consts::TAU * generator.random::<f64>();
    (-2.0 * u.ln()).sqrt() * angle.cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gamma_variates_have_mean_and_variance_of_their_shape() {
        for alpha in [0.3, 1.0, 4.0] {
            let mut generator = generator(7, 0);
            let draws: Vec<f64> = (0..20_000)
                .map(|_| log_gamma(alpha, &mut generator).exp())
                .collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let variance =
                draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
            // Five standard errors of the mean; the variance is looser by the kurtosis.
            assert!(
                (mean - alpha).abs() < 5.0 * (alpha / 20_000.0).sqrt(),
                "{alpha}: {mean}"
            );
            assert!((variance / alpha - 1.0).abs() < 0.15, "{alpha}: {variance}");
        }
    }
}
