//! Blocks of quantised numbers, as GGUF files hold them.
//!
//! Each block has 32 numbers: `Q8_0` a binary16 scale and 32 signed bytes; `Q4_0` a scale and 16 bytes with two numbers of
//! four bits, less 8; `Q4_1` a scale, a minimum, and 16 such bytes. The low halves of the bytes are the first 16 numbers.

use std::fmt;

use crate::kernel::element::f16_to_f32;

/// Numbers per block.
pub const BLOCK: usize = 32;

/// How numbers are quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantisation {
    /// `scale * byte`.
    Q8_0,
    /// `scale * (nibble - 8)`.
    Q4_0,
    /// `scale * nibble + minimum`.
    Q4_1,
}

impl fmt::Display for Quantisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Quantisation::Q8_0 => "Q8_0",
            Quantisation::Q4_0 => "Q4_0",
            Quantisation::Q4_1 => "Q4_1",
        })
    }
}

impl Quantisation {
    /// Bytes per block.
    pub fn block_bytes(self) -> usize {
        match self {
            Quantisation::Q8_0 => 34,
            Quantisation::Q4_0 => 18,
            Quantisation::Q4_1 => 20,
        }
    }

    /// Bytes of so many numbers.
    ///
    /// # Panics
    /// When they are no whole number of blocks.
    pub fn bytes(self, elements: usize) -> u64 {
        assert!(elements.is_multiple_of(BLOCK), "whole blocks are read");
        (elements / BLOCK) as u64 * self.block_bytes() as u64
    }

    /// Writes the numbers as little-endian f32.
    pub(super) fn dequantise(self, stored: &[u8], out: &mut [u8]) {
        let blocks = stored.chunks_exact(self.block_bytes());
        for (block, out) in blocks.zip(out.chunks_exact_mut(4 * BLOCK)) {
            let half = |at: usize| f16_to_f32(u16::from_le_bytes([block[at], block[at + 1]]));
            let scale = half(0);
            let mut put = |i: usize, value: f32| {
                out[4 * i..4 * i + 4].copy_from_slice(&value.to_le_bytes());
            };
            match self {
                Quantisation::Q8_0 => {
                    for (i, &byte) in block[2..].iter().enumerate() {
                        put(i, f32::from(byte.cast_signed()) * scale);
                    }
                }
                Quantisation::Q4_0 => {
                    for (i, &byte) in block[2..].iter().enumerate() {
                        put(i, (f32::from(byte & 15) - 8.0) * scale);
                        put(i + BLOCK / 2, (f32::from(byte >> 4) - 8.0) * scale);
                    }
                }
                Quantisation::Q4_1 => {
                    let minimum = half(2);
                    for (i, &byte) in block[4..].iter().enumerate() {
                        put(i, f32::from(byte & 15) * scale + minimum);
                        put(i + BLOCK / 2, f32::from(byte >> 4) * scale + minimum);
                    }
                }
            }
        }
    }
}
