//! The hot loops: weighted sums over a block of elements, up to eight members at a time, and inner products ([`reduce`]).
//!
//! Written as plain loops over chunks that the compiler vectorises, compiled three times on x86-64: for every machine, for
//! those with AVX2, and for those with AVX-512, which are looked up at run time. Weighted sums are the same bits on all of
//! them: no operation is fused or reordered.
#![expect(
    unsafe_code,
    reason = "calling the AVX2 or AVX-512 version of a loop after looking for the features"
)]

pub mod element;

use bytemuck::{cast_slice, cast_slice_mut};

use crate::dtype::Dtype;
use element::{Element, FromF32, Machine, Sum, dispatch};

/// Elements per block: its sums stay in the second-level cache, and each member is read in long runs.
pub const BLOCK: usize = 32768;
/// Most members in the inner loop.
const GROUP: usize = 8;

/// One member's part in a block: its bytes, type and coefficient.
#[derive(Clone, Copy)]
pub struct Term<'a> {
    /// As many elements as the block has.
    pub bytes: &'a [u8],
    /// Their type: one that can be fused.
    pub dtype: Dtype,
    /// Not zero.
    pub coefficient: f64,
}

/// Which instructions the loops may use. A value that exists is one that the processor has.
#[derive(Clone, Copy, Debug)]
pub struct Level(Instructions);

#[derive(Clone, Copy, Debug)]
enum Instructions {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The fastest that the processor has.
    pub fn best() -> Self {
        Self::supported().pop().expect("the portable one is there")
    }

    /// All that the processor has, slowest first.
    pub fn supported() -> Vec<Self> {
        let mut supported = vec![Self(Instructions::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let avx2 = has!("avx2") && has!("fma") && has!("f16c");
            let avx512 =
                has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
            supported.extend(avx2.then_some(Self(Instructions::Avx2)));
            supported.extend((avx2 && avx512).then_some(Self(Instructions::Avx512)));
        }
        supported
    }
}

/// A function whose body is compiled once for each level. The body is generic over the [`Machine`] and, where it says
/// `registers`, over the rows and columns of a square block of sums that they hold, and how many f64 numbers one of them holds.
macro_rules! levelled {
    ($(#[$doc:meta])* $vis:vis $name:ident $(<$s:ident: $bound:path>)?, $body:ident, ($($a:ident: $t:ty),*) $(-> $r:ty)?) => {
        levelled!(@all $(#[$doc])* $vis $name, [$($s: $bound)?], $body, ($($a: $t),*), [$($r)?],
            [$($s,)? $crate::kernel::element::Portable], [$($s,)? X86], [$($s,)? X86]);
    };
    ($(#[$doc:meta])* $vis:vis $name:ident, registers $body:ident, ($($a:ident: $t:ty),*) $(-> $r:ty)?) => {
        levelled!(@all $(#[$doc])* $vis $name, [], $body, ($($a: $t),*), [$($r)?],
            [$crate::kernel::element::Portable, 3, 2], [X86, 3, 4], [X86, 4, 8]);
    };
    (@all $(#[$doc:meta])* $vis:vis $name:ident, [$($s:ident: $bound:path)?], $body:ident, ($($a:ident: $t:ty),*), [$($r:ty)?],
        [$($portable:tt)*], [$($avx2:tt)*], [$($avx512:tt)*]) => {
        $(#[$doc])*
        $vis fn $name$(<$s: $bound>)?(level: $crate::kernel::Level, $($a: $t),*) $(-> $r)? {
            #[cfg(target_arch = "x86_64")]
            use $crate::kernel::element::X86;

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2$(<$s: $bound>)?($($a: $t),*) $(-> $r)? {
                $body::<$($avx2)*>($($a),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            fn avx512$(<$s: $bound>)?($($a: $t),*) $(-> $r)? {
                $body::<$($avx512)*>($($a),*)
            }

            match level.0 {
                $crate::kernel::Instructions::Portable => $body::<$($portable)*>($($a),*),
                // SAFETY: the level is there only if the processor has the features that the function is compiled for.
                #[cfg(target_arch = "x86_64")]
                $crate::kernel::Instructions::Avx2 => unsafe { avx2($($a),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::kernel::Instructions::Avx512 => unsafe { avx512($($a),*) },
            }
        }
    };
}

pub mod reduce;

levelled!(
    /// `sums[i] = sum over the terms of coefficient * element i`, in the order of the terms.
    pub weighted_sum<S: SumElement>, weighted_sum_body, (sums: &mut [S], terms: &[Term<'_>])
);
levelled!(
    /// Writes sums as elements of a type.
    pub store<S: SumElement>, store_body, (sums: &[S], dtype: Dtype, out: &mut [u8])
);
levelled!(
    /// Reads elements of a type.
    pub read<S: SumElement>, read_body, (bytes: &[u8], dtype: Dtype, out: &mut [S])
);

/// Whether some element of a floating-point type is infinite or no number.
pub fn has_non_finite(bytes: &[u8], dtype: Dtype) -> bool {
    // All bits of the exponent are set. Looking at all elements, without a way out, vectorises.
    macro_rules! any {
        ($unsigned:ty, $exponent:expr) => {
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|&element| <$unsigned>::from_le_bytes(element) & $exponent == $exponent)
                .fold(false, |found, this| found | this)
        };
    }
    match dtype {
        Dtype::F32 => any!(u32, 0x7f80_0000),
        Dtype::Bf16 => any!(u16, 0x7f80),
        Dtype::F16 => any!(u16, 0x7c00),
        Dtype::F64 => any!(u64, 0x7ff0_0000_0000_0000),
        _ => false,
    }
}

/// Both types of sums can be made of all types of elements.
pub trait SumElement: Sum + FromF32 {}
impl SumElement for f32 {}
impl SumElement for f64 {}

#[inline(always)]
fn weighted_sum_body<S: SumElement, M: Machine>(sums: &mut [S], terms: &[Term<'_>]) {
    if terms.is_empty() {
        sums.fill(S::default());
    }
    let mut rest = terms;
    while let Some(first) = rest.first() {
        let fresh = rest.len() == terms.len();
        let alike = rest
            .iter()
            .take(GROUP)
            .take_while(|term| term.dtype == first.dtype)
            .count();
        let group;
        (group, rest) = rest.split_at(alike);
        dispatch!(lines first.dtype, E, L => match group {
            [a, b, c, d, e, f, g, h] => add::<S, M, E, L, 8>(sums, fresh, [*a, *b, *c, *d, *e, *f, *g, *h]),
            [a, b, c, d, e, f, g] => add::<S, M, E, L, 7>(sums, fresh, [*a, *b, *c, *d, *e, *f, *g]),
            [a, b, c, d, e, f] => add::<S, M, E, L, 6>(sums, fresh, [*a, *b, *c, *d, *e, *f]),
            [a, b, c, d, e] => add::<S, M, E, L, 5>(sums, fresh, [*a, *b, *c, *d, *e]),
            [a, b, c, d] => add::<S, M, E, L, 4>(sums, fresh, [*a, *b, *c, *d]),
            [a, b, c] => add::<S, M, E, L, 3>(sums, fresh, [*a, *b, *c]),
            [a, b] => add::<S, M, E, L, 2>(sums, fresh, [*a, *b]),
            _ => add::<S, M, E, L, 1>(sums, fresh, [*first]),
        });
    }
}

/// Adds to the sums, or to zero where they are `fresh`: then they hold nothing yet.
#[inline(always)]
fn add<S: SumElement, M: Machine, E: Element<S, L>, const L: usize, const K: usize>(
    sums: &mut [S],
    fresh: bool,
    terms: [Term<'_>; K],
) {
    let coefficients = terms.map(|term| S::from_f64(term.coefficient));
    let members = terms.map(|term| cast_slice::<_, E::Stored>(term.bytes));
    let (whole, rest) = sums.as_chunks_mut::<L>();
    // Slices of one length let the compiler drop the bounds checks.
    let length = whole.len();
    let chunks = members.map(|member| &member.as_chunks::<L>().0[..length]);
    for i in 0..length {
        let mut sum = if fresh { [S::default(); L] } else { whole[i] };
        for k in 0..K {
            // So many members in turn are more than the processor looks ahead of by itself.
            M::prefetch(&chunks[k][i]);
            let values = E::read::<M>(chunks[k][i]);
            for lane in 0..L {
                sum[lane] = sum[lane].add(coefficients[k], values[lane]);
            }
        }
        whole[i] = sum;
    }
    for (i, sum) in rest.iter_mut().enumerate() {
        let mut total = if fresh { S::default() } else { *sum };
        for k in 0..K {
            let value = E::read::<M>([members[k][length * L + i]; L])[0];
            total = total.add(coefficients[k], value);
        }
        *sum = total;
    }
}

#[inline(always)]
fn store_body<S: SumElement, M: Machine>(sums: &[S], dtype: Dtype, out: &mut [u8]) {
    dispatch!(loops dtype, E, L => store_as::<S, M, E, L>(sums, out));
}

#[inline(always)]
fn store_as<S: SumElement, M: Machine, E: Element<S, L>, const L: usize>(
    sums: &[S],
    out: &mut [u8],
) {
    let (sums, sums_rest) = sums.as_chunks::<L>();
    let (out, out_rest) = cast_slice_mut::<_, E::Stored>(out).as_chunks_mut::<L>();
    for (elements, &sums) in out.iter_mut().zip(sums) {
        *elements = E::write::<M>(sums);
    }
    for (element, &sum) in out_rest.iter_mut().zip(sums_rest) {
        *element = E::write::<M>([sum; L])[0];
    }
}

#[inline(always)]
fn read_body<S: SumElement, M: Machine>(bytes: &[u8], dtype: Dtype, out: &mut [S]) {
    dispatch!(loops dtype, E, L => read_as::<S, M, E, L>(bytes, out));
}

#[inline(always)]
fn read_as<S: SumElement, M: Machine, E: Element<S, L>, const L: usize>(
    bytes: &[u8],
    out: &mut [S],
) {
    let (elements, elements_rest) = cast_slice::<_, E::Stored>(bytes).as_chunks::<L>();
    let (out, out_rest) = out.as_chunks_mut::<L>();
    for (numbers, elements) in out.iter_mut().zip(elements) {
        *numbers = E::read::<M>(*elements);
    }
    for (number, &element) in out_rest.iter_mut().zip(elements_rest) {
        *number = E::read::<M>([element; L])[0];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DTYPES: [Dtype; 4] = [Dtype::F32, Dtype::Bf16, Dtype::F16, Dtype::F64];

    /// Bytes of every kind of number: ordinary, subnormal, zero, huge; no infinity and no NaN, whose payload is free.
    fn bytes(dtype: Dtype, length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let bytes = (0..length * dtype.size()).map(|i| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let byte = (state >> 56) as u8;
            // The highest byte holds the sign and most of the exponent, of which the highest pattern is left out.
            if i % dtype.size() == dtype.size() - 1 {
                byte & 0xbb
            } else {
                byte
            }
        });
        bytes.collect()
    }

    fn fused<S: SumElement>(level: Level, length: usize, members: usize, out: Dtype) -> Vec<u8> {
        let data: Vec<_> = (0..members)
            .map(|m| {
                (
                    DTYPES[m / 5 % 4],
                    bytes(DTYPES[m / 5 % 4], length, m as u64),
                )
            })
            .collect();
        let terms: Vec<_> = data
            .iter()
            .zip(1..)
            .map(|((dtype, bytes), m)| Term {
                bytes,
                dtype: *dtype,
                coefficient: 1.0 / f64::from(m),
            })
            .collect();
        // What was in the sums before must not matter.
        let mut sums: Vec<S> = (0..length).map(|_| S::from_f64(f64::NAN)).collect();
        weighted_sum(level, &mut sums, &terms);
        let mut stored = vec![0; length * out.size()];
        store(level, &sums, out, &mut stored);
        let mut again: Vec<S> = sums.clone();
        read(level, &stored, out, &mut again);
        stored.extend(
            again
                .iter()
                .flat_map(|number| number.to_f64().to_le_bytes()),
        );
        stored
    }

    #[test]
    fn all_levels_give_the_same_bits() {
        for out in DTYPES {
            for (length, members) in [(0, 3), (1, 1), (15, 20), (16, 0), (17, 9), (1000, 20)] {
                let portable = fused::<f32>(Level::supported()[0], length, members, out);
                let wide = fused::<f64>(Level::supported()[0], length, members, out);
                for level in Level::supported() {
                    let place = format!("{level:?}, {length} elements of {members} members, {out}");
                    assert_eq!(
                        fused::<f32>(level, length, members, out),
                        portable,
                        "{place}"
                    );
                    assert_eq!(fused::<f64>(level, length, members, out), wide, "{place}");
                }
            }
        }
    }
}
