//! Elementary functions as plain arithmetic, so that loops over them vectorise.

/// `e^x` to about one unit in the last place, for x up to 88; 0 far below.
///
/// Cody and Waite's reduction to [-ln 2 / 2, ln 2 / 2], and the Taylor polynomial of degree 7 there.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.3, 88.3);
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    p * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

/// The error function, by a rational approximation on [-4, 4] (1 is its nearest f32 beyond); absolute error below 5e-7.
///
/// The coefficients are those of the minimax approximation that Eigen and XLA use for f32.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let p = -2.726_142_3e-10;
    let p = p * s + 2.770_681_4e-8;
    let p = p * s + -2.101_024e-6;
    let p = p * s + -5.692_506_4e-5;
    let p = p * s + -7.349_906_3e-4;
    let p = p * s + -2.954_6e-3;
    let p = p * s + -1.609_603_3e-2;
    let q = -1.456_607_2e-5;
    let q = q * s + -2.133_740_6e-4;
    let q = q * s + -1.682_827e-3;
    let q = q * s + -7.373_329_2e-3;
    let q = q * s + -1.426_473_9e-2;
    x * p / q
}

/// The Gaussian error linear unit: `x Phi(x)`.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Its derivative: `Phi(x) + x phi(x)`.
#[inline(always)]
pub fn gelu_slope(x: f32) -> f32 {
    const INVERSE_ROOT_TAU: f32 = 0.398_942_3;
    0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
        + x * INVERSE_ROOT_TAU * exp(-0.5 * x * x)
}

/// A mask for dropout: element `index` is kept or not as a function of seed and index alone.
#[derive(Clone, Copy)]
pub struct Mask {
    low: u32,
    high: u32,
    threshold: u32,
    /// What kept elements are multiplied by.
    pub scale: f32,
}

impl Mask {
    /// The mask of a seed, for a rate in [0, 1).
    pub fn new(seed: u64, rate: f32) -> Self {
        let threshold = (f64::from(rate) * 4_294_967_296.0) as u32;
        Self {
            low: seed as u32,
            high: (seed >> 32) as u32,
            threshold,
            scale: 1.0 / (1.0 - rate),
        }
    }

    /// What the element is multiplied by: the scale, or 0.
    #[inline(always)]
    pub fn factor(self, index: u32) -> f32 {
        // Two rounds of a 32-bit mixer (Wellons' lowbias32), keyed between them.
        let x = mix(index.wrapping_mul(0x9e37_79b9) ^ self.low);
        let x = mix(x ^ self.high);
        if x >= self.threshold { self.scale } else { 0.0 }
    }
}

#[inline(always)]
fn mix(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_library() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let expected = f64::from(x).exp();
            assert!(
                (f64::from(exp(x)) - expected).abs() <= 2.5e-7 * expected,
                "{x}"
            );
        }
        assert!(exp(-1e30) < 1e-37 && exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn erf_agrees_with_tables() {
        // Abramowitz and Stegun, table 7.1.
        for (x, y) in [
            (0.0, 0.0),
            (0.1, 0.112_462_916),
            (0.5, 0.520_499_878),
            (1.0, 0.842_700_793),
            (1.5, 0.966_105_146),
            (2.0, 0.995_322_265),
            (3.0, 0.999_977_910),
        ] {
            assert!((f64::from(erf(x)) - y).abs() < 5e-7, "{x}: {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert!((erf(30.0) - 1.0).abs() < 5e-7);
    }

    #[test]
    fn the_slope_of_gelu_is_its_derivative() {
        for i in -60..60 {
            let x = i as f64 / 10.0;
            let h = 1e-2;
            let rise = f64::from(gelu((x + h) as f32)) - f64::from(gelu((x - h) as f32));
            assert!(
                (rise / (2.0 * h) - f64::from(gelu_slope(x as f32))).abs() < 1e-4,
                "{x}"
            );
        }
    }

    #[test]
    fn masks_keep_the_share_they_should_and_differ_by_seed() {
        let kept = |seed| {
            (0..100_000)
                .filter(|&i| Mask::new(seed, 0.1).factor(i) > 0.0)
                .count()
        };
        for seed in [0, 1, 1 << 32, u64::MAX] {
            assert!((89_500..90_500).contains(&kept(seed)), "{}", kept(seed));
        }
        let (a, b) = (Mask::new(1, 0.5), Mask::new(1 << 32, 0.5));
        let same = (0..10_000).filter(|&i| a.factor(i) == b.factor(i)).count();
        assert!((4_700..5_300).contains(&same), "{same}");
    }
}
