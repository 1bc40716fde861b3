//! Members of known contents, and what comes out of a fusion of them.

use crate::{Dtype, FuserSession, Member, Result, SharedBytes, Tensor, TensorMut, TensorSpec};

/// Lengths that meet every loop's remainder.
pub(super) const SHAPES: [&[usize]; 7] =
    [&[], &[0], &[1], &[3], &[5, 7], &[16 * 1024 + 1], &[40_000]];

/// A deterministic stream of numbers in (-1, 1), a third of them tiny.
pub(super) struct Numbers(pub u64);

impl Numbers {
    pub(super) fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let unit = (self.0 >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0;
        if self.0.is_multiple_of(3) {
            unit * 1e-3
        } else {
            unit
        }
    }
}

/// Rounds a number to what a type can hold, and gives its bytes.
fn encode(dtype: Dtype, value: f64, bytes: &mut Vec<u8>) {
    match dtype {
        Dtype::F64 => bytes.extend(value.to_le_bytes()),
        Dtype::Bf16 => bytes.extend((((value as f32).to_bits() >> 16) as u16).to_le_bytes()),
        Dtype::F16 => {
            // Truncated, normal numbers only; too small ones become zero.
            let bits = (value as f32).to_bits();
            let exponent = (bits >> 23 & 0xff) as i32 - 112;
            let sign = (bits >> 16 & 0x8000) as u16;
            let half = if exponent <= 0 {
                sign
            } else {
                sign | (exponent as u16) << 10 | (bits >> 13 & 0x3ff) as u16
            };
            bytes.extend(half.to_le_bytes());
        }
        _ => bytes.extend((value as f32).to_le_bytes()),
    }
}

/// The numbers behind the bytes of a floating-point type.
pub(super) fn decode(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    let chunks = bytes.chunks_exact(dtype.size());
    chunks
        .map(|b| match dtype {
            Dtype::F64 => f64::from_le_bytes(b.try_into().expect("eight bytes")),
            Dtype::Bf16 => f64::from(f32::from_bits(
                u32::from(u16::from_le_bytes(b.try_into().expect("two bytes"))) << 16,
            )),
            Dtype::F16 => {
                let half = u16::from_le_bytes(b.try_into().expect("two bytes"));
                let (exponent, fraction) = (i32::from(half >> 10 & 0x1f), f64::from(half & 0x3ff));
                let magnitude = match exponent {
                    0 => fraction * 2f64.powi(-24),
                    _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
                };
                if half >> 15 == 1 {
                    -magnitude
                } else {
                    magnitude
                }
            }
            _ => f64::from(f32::from_le_bytes(b.try_into().expect("four bytes"))),
        })
        .collect()
}

/// The numbers of a tensor.
pub(super) fn numbers(tensor: &Tensor) -> Vec<f64> {
    decode(tensor.spec().dtype, tensor.data())
}

pub(super) fn specs(shapes: &[&[usize]], dtype: Dtype) -> Vec<TensorSpec> {
    let named = shapes.iter().enumerate();
    named
        .map(|(i, shape)| TensorSpec {
            name: format!("t{i}"),
            dtype,
            shape: shape.to_vec(),
        })
        .collect()
}

/// A member made of what all have in common and of what is its own.
pub(super) fn member(index: usize, dtype: Dtype, common: f64, own: f64) -> Member {
    member_of(&SHAPES, index, dtype, common, own)
}

pub(super) fn member_of(
    shapes: &[&[usize]],
    index: usize,
    dtype: Dtype,
    common: f64,
    own: f64,
) -> Member {
    let mut shared = Numbers(1);
    let mut others = Numbers(index as u64 + 100);
    let tensors = specs(shapes, dtype).into_iter().map(|spec| {
        let elements = spec.elements().expect("small");
        // One odd byte in front: mapped files are not aligned either.
        let mut bytes = vec![0xff];
        for _ in 0..elements {
            let value = common * shared.next() + own * others.next();
            encode(dtype, value, &mut bytes);
        }
        let data = SharedBytes::new(bytes);
        let data = data.slice(1..data.len()).expect("one byte at least");
        Tensor::new(spec, data).expect("the bytes fit")
    });
    Member {
        name: format!("member-{index}"),
        tensors: tensors.collect(),
    }
}

/// Members whose types take turns.
pub(super) fn members(count: usize, dtypes: &[Dtype]) -> Vec<Member> {
    (0..count)
        .map(|i| member(i, dtypes[i % dtypes.len()], 0.5, 0.5))
        .collect()
}

/// Coefficients as landscapes have them: negative, above one, zero.
pub(super) fn coefficients(count: usize, seed: u64) -> Vec<f64> {
    let mut numbers = Numbers(seed);
    let mut coefficients: Vec<f64> = (0..count).map(|_| numbers.next() * 1.5).collect();
    if count > 2 {
        coefficients[count / 2] = 0.0;
        coefficients[count - 1] = 2.5;
    }
    coefficients
}

/// The outputs of one fusion, tensor by tensor.
pub(super) fn fuse(
    session: &mut dyn FuserSession,
    coefficients: &[f64],
    specs: Vec<TensorSpec>,
) -> Result<Vec<Vec<u8>>> {
    let mut slabs: Vec<Vec<u8>> = specs
        .iter()
        .map(|spec| vec![0xaa; spec.bytes().expect("small")])
        .collect();
    let mut out = specs
        .into_iter()
        .zip(&mut slabs)
        .map(|(spec, slab)| TensorMut::new(spec, slab))
        .collect::<Result<Vec<_>>>()?;
    session.fuse(coefficients, &mut out)?;
    drop(out);
    Ok(slabs)
}
