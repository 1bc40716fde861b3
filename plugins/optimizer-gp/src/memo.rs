//! What a suggestion carries for the suggestions after it: the study hands it back, so a fresh instance has it too.

use crate::gp::Hyperparameters;
use crate::kernel::{Kernel, KernelKind};

/// The layout below. Bytes of another version are passed over.
const VERSION: u64 = 3;

/// Kernels by their number in the bytes.
const KERNELS: [KernelKind; 3] = [KernelKind::Matern52, KernelKind::Rbf, KernelKind::TwoScales];

/// What is kept with a trial.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Memo {
    /// The encoded point, where the trial's own does not determine it; else empty.
    pub encoded: Vec<f64>,
    /// The fits that led to the suggestion, one per model: the next fits start from them.
    pub fits: Vec<Hyperparameters>,
}

impl Memo {
    /// Little-endian words of 8 bytes: version, lengths and numbers; nothing for an empty memo.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        if *self == Self::default() {
            return Vec::new();
        }
        let mut words = vec![VERSION, self.encoded.len() as u64];
        words.extend(self.encoded.iter().map(|x| x.to_bits()));
        words.push(self.fits.len() as u64);
        for fit in &self.fits {
            let is_its = |kind: &KernelKind| *kind == fit.kernel.kind;
            words.push(KERNELS.iter().position(is_its).unwrap_or(KERNELS.len()) as u64);
            words.push(fit.kernel.length_scales.len() as u64);
            words.extend(fit.kernel.length_scales.iter().map(|x| x.to_bits()));
            let numbers = [fit.kernel.near, fit.noise, fit.mean];
            words.extend(numbers.map(f64::to_bits));
        }
        words.into_iter().flat_map(u64::to_le_bytes).collect()
    }

    /// The memo of some bytes; `None` if they are not one, or hold numbers that no fit has.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return None;
        }
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        if words.next()? != VERSION {
            return None;
        }
        let encoded = numbers(&mut words)?;
        let count = words.next()?;
        let mut fits = Vec::new();
        for _ in 0..count {
            let kind = *KERNELS.get(usize::try_from(words.next()?).ok()?)?;
            let length_scales = numbers(&mut words)?;
            let mut number = || words.next().map(f64::from_bits);
            let (near, noise, mean) = (number()?, number()?, number()?);
            let usable = length_scales.iter().all(|l| l.is_finite() && *l > 0.0)
                && (0.0..=1.0).contains(&near)
                && noise.is_finite()
                && noise >= 0.0
                && mean.is_finite();
            if !usable {
                return None;
            }
            fits.push(Hyperparameters {
                kernel: Kernel {
                    kind,
                    length_scales,
                    near,
                },
                noise,
                mean,
            });
        }
        words.next().is_none().then_some(Self { encoded, fits })
    }
}

/// A length and so many finite numbers.
fn numbers(words: &mut impl Iterator<Item = u64>) -> Option<Vec<f64>> {
    let count = words.next()?;
    // Not reserved ahead: the count is not to be trusted.
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(f64::from_bits(words.next()?));
    }
    numbers.iter().all(|x| x.is_finite()).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memo() -> Memo {
        let kernel = Kernel {
            kind: KernelKind::TwoScales,
            length_scales: vec![0.1, 2.0],
            near: 0.25,
        };
        let fit = Hyperparameters {
            kernel,
            noise: 1e-4,
            mean: -0.5,
        };
        Memo {
            encoded: vec![0.25, 0.5, 1.0],
            fits: vec![fit.clone(), fit],
        }
    }

    #[test]
    fn bytes_give_the_memo_back() {
        assert_eq!(Memo::from_bytes(&memo().to_bytes()), Some(memo()));
        assert!(Memo::default().to_bytes().is_empty());
    }

    #[test]
    fn foreign_bytes_are_passed_over() {
        let bytes = memo().to_bytes();
        for cut in 0..bytes.len() {
            assert_eq!(Memo::from_bytes(&bytes[..cut]), None);
        }
        let mut huge = bytes.clone();
        huge[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Memo::from_bytes(&huge), None);
        let mut nan = bytes.clone();
        nan[16..24].copy_from_slice(&f64::NAN.to_le_bytes());
        assert_eq!(Memo::from_bytes(&nan), None);
        assert_eq!(
            Memo::from_bytes(&[bytes.as_slice(), &[0; 8]].concat()),
            None
        );
    }
}
