//! What a suggestion carries: its generation and the point that was drawn.

/// The bytes of a suggestion's state: the generation, then the numbers, little-endian.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Memo {
    /// Counted over all restarts, from 0.
    pub(crate) generation: u32,
    /// `[dimension]`, on the chart, possibly outside of the space.
    pub(crate) drawn: Vec<f64>,
}

impl Memo {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let numbers = self.drawn.iter().flat_map(|number| number.to_le_bytes());
        self.generation
            .to_le_bytes()
            .into_iter()
            .chain(numbers)
            .collect()
    }

    /// `None` for bytes that are not of a search in so many dimensions.
    pub(crate) fn from_bytes(bytes: &[u8], dimension: usize) -> Option<Self> {
        let (generation, numbers) = bytes.split_first_chunk::<4>()?;
        let (numbers, rest) = numbers.as_chunks::<8>();
        let drawn: Vec<f64> = numbers.iter().map(|n| f64::from_le_bytes(*n)).collect();
        let is_whole = rest.is_empty() && drawn.len() == dimension;
        (is_whole && drawn.iter().all(|number| number.is_finite())).then(|| Self {
            generation: u32::from_le_bytes(*generation),
            drawn,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memos_survive_their_bytes_and_others_are_told_apart() {
        let memo = Memo {
            generation: 7,
            drawn: vec![0.1, -3.5],
        };
        let bytes = memo.to_bytes();
        assert_eq!(Memo::from_bytes(&bytes, 2), Some(memo));
        assert_eq!(Memo::from_bytes(&bytes, 3), None);
        assert_eq!(Memo::from_bytes(&bytes[..19], 2), None);
        assert_eq!(Memo::from_bytes(&[], 0), None);
        let nan = Memo {
            generation: 0,
            drawn: vec![f64::NAN],
        };
        assert_eq!(Memo::from_bytes(&nan.to_bytes(), 1), None);
    }
}
