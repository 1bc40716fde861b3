//! The hot loops: weighted sums over a block of elements, four members at a time.
//!
//! Written as plain loops over chunks that the compiler vectorises, compiled twice on x86-64: for every machine, and for
//! those with AVX2, which is looked up at run time. Both give the same bits: no operation is fused or reordered.
#![expect(
    unsafe_code,
    reason = "calling the AVX2 version of a loop after looking for AVX2"
)]

use bomf_plugin_api::Dtype;

use crate::element::{Element, FromF32, Sum, dispatch};

/// Elements per block: the sums of a block stay in the second-level cache.
pub const BLOCK: usize = 8192;

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

macro_rules! with_avx2 {
    ($(#[$doc:meta])* $name:ident, $plain:ident, $avx2:ident, <$($g:ident: $b:path),*>, ($($a:ident: $t:ty),*)) => {
        $(#[$doc])*
        pub fn $name<$($g: $b),*>($($a: $t),*) {
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2, the only feature that the function is compiled for.
                unsafe { $avx2($($a),*) };
                return;
            }
            $plain($($a),*);
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        fn $avx2<$($g: $b),*>($($a: $t),*) {
            $plain($($a),*);
        }
    };
}

with_avx2!(
    /// `sums[i] = sum over the terms of coefficient * element i`, in the order of the terms.
    weighted_sum, weighted_sum_plain, weighted_sum_avx2, <S: SumElement>, (sums: &mut [S], terms: &[Term<'_>])
);
with_avx2!(
    /// Writes sums as elements of a type.
    store, store_plain, store_avx2, <S: SumElement>, (sums: &[S], dtype: Dtype, out: &mut [u8])
);
with_avx2!(
    /// Reads elements of a type.
    read, read_plain, read_avx2, <S: SumElement>, (bytes: &[u8], dtype: Dtype, out: &mut [S])
);

/// Both types of sums can be made of all types of elements.
pub trait SumElement: Sum + FromF32 {}
impl SumElement for f32 {}
impl SumElement for f64 {}

#[inline(always)]
fn weighted_sum_plain<S: SumElement>(sums: &mut [S], terms: &[Term<'_>]) {
    sums.fill(S::default());
    let mut rest = terms;
    while let Some(first) = rest.first() {
        let alike = rest
            .iter()
            .take(4)
            .take_while(|term| term.dtype == first.dtype)
            .count();
        let group;
        (group, rest) = rest.split_at(alike);
        dispatch!(first.dtype, E, N => match group {
            [a, b, c, d] => add::<S, E, N, 4>(sums, [*a, *b, *c, *d]),
            [a, b, c] => add::<S, E, N, 3>(sums, [*a, *b, *c]),
            [a, b] => add::<S, E, N, 2>(sums, [*a, *b]),
            _ => add::<S, E, N, 1>(sums, [*first]),
        }, {});
    }
}

#[inline(always)]
fn add<S: SumElement, E: Element<S, N>, const N: usize, const K: usize>(
    sums: &mut [S],
    terms: [Term<'_>; K],
) {
    let coefficients = terms.map(|term| S::from_f64(term.coefficient));
    // Slices of one length let the compiler drop the bounds checks.
    let length = sums.len();
    let members = terms.map(|term| &term.bytes.as_chunks::<N>().0[..length]);
    for i in 0..length {
        let mut sum = sums[i];
        for k in 0..K {
            sum = sum.add(coefficients[k], E::read(members[k][i]));
        }
        sums[i] = sum;
    }
}

#[inline(always)]
fn store_plain<S: SumElement>(sums: &[S], dtype: Dtype, out: &mut [u8]) {
    dispatch!(dtype, E, N => store_as::<S, E, N>(sums, out), {});
}

#[inline(always)]
fn store_as<S: SumElement, E: Element<S, N>, const N: usize>(sums: &[S], out: &mut [u8]) {
    for (element, &sum) in out.as_chunks_mut::<N>().0.iter_mut().zip(sums) {
        *element = E::write(sum);
    }
}

#[inline(always)]
fn read_plain<S: SumElement>(bytes: &[u8], dtype: Dtype, out: &mut [S]) {
    dispatch!(dtype, E, N => read_as::<S, E, N>(bytes, out), {});
}

#[inline(always)]
fn read_as<S: SumElement, E: Element<S, N>, const N: usize>(bytes: &[u8], out: &mut [S]) {
    for (number, &element) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *number = E::read(element);
    }
}

/// Inner product with eight running sums, so that it vectorises; the order of additions is fixed.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}
