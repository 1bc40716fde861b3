//! Stored numbers and the numbers that sums are made of. All loops over them vectorise.

use bytemuck::{Pod, Zeroable};

use crate::dtype::Dtype;

/// A type that sums are made in.
pub trait Sum: Copy + Default + Send + Sync {
    /// From an f64 coefficient.
    fn from_f64(value: f64) -> Self;
    /// Half an addition: `self + coefficient * value`, rounded twice (no fused multiply-add), so that every machine gives
    /// the same bits.
    fn add(self, coefficient: Self, value: Self) -> Self;
    /// As f32.
    fn to_f32(self) -> f32;
    /// As f64.
    fn to_f64(self) -> f64;
    /// Elements that are sums of this type themselves, so that they can be summed where they lie.
    fn in_place(bytes: &mut [u8], dtype: Dtype) -> Option<&mut [Self]>;
}

impl Sum for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn add(self, coefficient: Self, value: Self) -> Self {
        self + coefficient * value
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn in_place(bytes: &mut [u8], dtype: Dtype) -> Option<&mut [Self]> {
        let native = dtype == Dtype::F32 && cfg!(target_endian = "little");
        native.then(|| bytemuck::try_cast_slice_mut(bytes).ok())?
    }
}

impl Sum for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn add(self, coefficient: Self, value: Self) -> Self {
        self + coefficient * value
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self as f32
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    fn in_place(bytes: &mut [u8], dtype: Dtype) -> Option<&mut [Self]> {
        let native = dtype == Dtype::F64 && cfg!(target_endian = "little");
        native.then(|| bytemuck::try_cast_slice_mut(bytes).ok())?
    }
}

/// A number in memory, wherever it lies.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C, packed)]
pub struct Unaligned<T>(T);

/// A type of stored elements, read and written `L` at a time.
pub trait Element<S, const L: usize> {
    /// One element in memory, little-endian.
    type Stored: Pod;
    /// The numbers behind elements.
    fn read<M: Machine>(stored: [Self::Stored; L]) -> [S; L];
    /// Elements, rounded to nearest even.
    fn write<M: Machine>(values: [S; L]) -> [Self::Stored; L];
}

/// Halves that are converted together.
const HALVES: usize = 16;
/// Halves in a line of the cache.
const LINE_OF_HALVES: usize = 32;
/// Bytes of a line of the cache.
pub const LINE: usize = 64;
/// Bytes that are asked for ahead of those that are read: some lines, of as many members as there are.
const AHEAD: usize = 1024;

/// IEEE 754 binary32.
pub struct F32;
/// The upper half of a binary32.
pub struct Bf16;
/// IEEE 754 binary16.
pub struct F16;
/// IEEE 754 binary64.
pub struct F64;

impl<S: Sum + FromF32, const L: usize> Element<S, L> for F32 {
    type Stored = Unaligned<u32>;

    #[inline(always)]
    fn read<M: Machine>(stored: [Unaligned<u32>; L]) -> [S; L] {
        each(stored, |stored| {
            S::from_f32(f32::from_bits(u32::from_le(stored.0)))
        })
    }

    #[inline(always)]
    fn write<M: Machine>(values: [S; L]) -> [Unaligned<u32>; L] {
        each(values, |value| Unaligned(value.to_f32().to_bits().to_le()))
    }
}

impl<S: Sum + FromF32, const L: usize> Element<S, L> for Bf16 {
    type Stored = Unaligned<u16>;

    #[inline(always)]
    fn read<M: Machine>(stored: [Unaligned<u16>; L]) -> [S; L] {
        each(stored, |stored| {
            S::from_f32(f32::from_bits(u32::from(u16::from_le(stored.0)) << 16))
        })
    }

    #[inline(always)]
    fn write<M: Machine>(values: [S; L]) -> [Unaligned<u16>; L] {
        each(values, |value| {
            Unaligned(f32_to_bf16(value.to_f32()).to_le())
        })
    }
}

impl<S: Sum + FromF32> Element<S, HALVES> for F16 {
    type Stored = Unaligned<u16>;

    #[inline(always)]
    fn read<M: Machine>(stored: [Unaligned<u16>; HALVES]) -> [S; HALVES] {
        each(
            M::to_f32(each(stored, |stored| u16::from_le(stored.0))),
            S::from_f32,
        )
    }

    #[inline(always)]
    fn write<M: Machine>(values: [S; HALVES]) -> [Unaligned<u16>; HALVES] {
        each(M::from_f32(each(values, S::to_f32)), |half| {
            Unaligned(half.to_le())
        })
    }
}

impl<S: Sum + FromF32> Element<S, LINE_OF_HALVES> for F16 {
    type Stored = Unaligned<u16>;

    #[inline(always)]
    fn read<M: Machine>(stored: [Unaligned<u16>; LINE_OF_HALVES]) -> [S; LINE_OF_HALVES] {
        let mut numbers = [S::default(); LINE_OF_HALVES];
        let parts = stored.as_chunks::<HALVES>().0.iter();
        for (numbers, part) in numbers.as_chunks_mut::<HALVES>().0.iter_mut().zip(parts) {
            *numbers = Self::read::<M>(*part);
        }
        numbers
    }

    #[inline(always)]
    fn write<M: Machine>(values: [S; LINE_OF_HALVES]) -> [Unaligned<u16>; LINE_OF_HALVES] {
        let mut stored = [Unaligned::default(); LINE_OF_HALVES];
        let parts = values.as_chunks::<HALVES>().0.iter();
        for (stored, part) in stored.as_chunks_mut::<HALVES>().0.iter_mut().zip(parts) {
            *stored = Self::write::<M>(*part);
        }
        stored
    }
}

impl<S: Sum, const L: usize> Element<S, L> for F64 {
    type Stored = Unaligned<u64>;

    #[inline(always)]
    fn read<M: Machine>(stored: [Unaligned<u64>; L]) -> [S; L] {
        each(stored, |stored| {
            S::from_f64(f64::from_bits(u64::from_le(stored.0)))
        })
    }

    #[inline(always)]
    fn write<M: Machine>(values: [S; L]) -> [Unaligned<u64>; L] {
        each(values, |value| Unaligned(value.to_f64().to_bits().to_le()))
    }
}

/// What a function makes of each element; a loop, which vectorises where `map` of a long array does not.
#[inline(always)]
fn each<A: Copy, B: Default + Copy, const N: usize>(from: [A; N], make: impl Fn(A) -> B) -> [B; N] {
    let mut made = [B::default(); N];
    for i in 0..N {
        made[i] = make(from[i]);
    }
    made
}

/// What some machines have instructions for.
pub trait Machine {
    /// Reads binary16, exactly.
    fn to_f32(halves: [u16; HALVES]) -> [f32; HALVES];
    /// Writes binary16, rounded to nearest even.
    fn from_f32(values: [f32; HALVES]) -> [u16; HALVES];
    /// Asks for what lies some lines behind a place, which will be read soon; nothing has to lie there.
    fn prefetch<T>(place: &T);
    /// `a * b + c`, rounded once where the machine can do that as fast, else twice.
    fn multiply_add(a: f64, b: f64, c: f64) -> f64;
}

/// Any machine.
pub struct Portable;

impl Machine for Portable {
    #[inline(always)]
    fn to_f32(halves: [u16; HALVES]) -> [f32; HALVES] {
        halves.map(f16_to_f32)
    }

    #[inline(always)]
    fn from_f32(values: [f32; HALVES]) -> [u16; HALVES] {
        values.map(f32_to_f16)
    }

    #[inline(always)]
    fn prefetch<T>(_place: &T) {}

    #[inline(always)]
    fn multiply_add(a: f64, b: f64, c: f64) -> f64 {
        a * b + c
    }
}

/// x86-64 with F16C and FMA. Only code that runs after they were found may use it.
#[cfg(target_arch = "x86_64")]
pub struct X86;

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "intrinsics: of F16C on arrays of their size, and a prefetch"
)]
impl Machine for X86 {
    #[inline(always)]
    fn to_f32(halves: [u16; HALVES]) -> [f32; HALVES] {
        use std::arch::x86_64::{__m128i, __m256, _mm256_cvtph_ps};
        // SAFETY: both sides are 32 and 64 bytes without padding, of which every pattern is valid; users of this type
        // have found F16C.
        unsafe {
            let [low, high]: [__m128i; 2] = std::mem::transmute(halves);
            std::mem::transmute::<[__m256; 2], _>([_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)])
        }
    }

    #[inline(always)]
    fn from_f32(values: [f32; HALVES]) -> [u16; HALVES] {
        use std::arch::x86_64::{__m128i, __m256, _MM_FROUND_TO_NEAREST_INT, _mm256_cvtps_ph};
        // SAFETY: as above.
        unsafe {
            let [low, high]: [__m256; 2] = std::mem::transmute(values);
            std::mem::transmute::<[__m128i; 2], _>([
                _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(low),
                _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(high),
            ])
        }
    }

    #[inline(always)]
    fn prefetch<T>(place: &T) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let ahead = std::ptr::from_ref(place).cast::<i8>().wrapping_add(AHEAD);
        // SAFETY: a prefetch reads nothing that the program sees, and faults nowhere.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead) };
    }

    #[inline(always)]
    fn multiply_add(a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }
}

/// Numbers that every f32 fits into.
pub trait FromF32 {
    /// Without rounding.
    fn from_f32(value: f32) -> Self;
}

impl FromF32 for f32 {
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl FromF32 for f64 {
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        f64::from(value)
    }
}

/// Without a branch, so that it vectorises: the exponent is rebased by a multiplication, which also makes subnormal
/// numbers normal; infinities and NaNs get their exponent back.
#[inline(always)]
pub(crate) fn f16_to_f32(half: u16) -> f32 {
    const REBASE: f32 = f32::from_bits((127 + 112) << 23);
    let magnitude = u32::from(half & 0x7fff) << 13;
    let special = if half & 0x7c00 == 0x7c00 {
        0x7f80_0000
    } else {
        0
    };
    let bits = (f32::from_bits(magnitude) * REBASE).to_bits() | special;
    f32::from_bits(bits | u32::from(half & 0x8000) << 16)
}

fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00 | (magnitude >> 13 & 0x3ff) as u16;
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        // Subnormal or zero: adding 0.5 aligns the last kept bit with the last bit of the sum, which rounds to even.
        let aligned = f32::from_bits(magnitude) + 0.5;
        return sign | (aligned.to_bits() - 0x3f00_0000) as u16;
    }
    let odd = magnitude >> 13 & 1;
    sign | ((magnitude - 0x3800_0000 + 0xfff + odd) >> 13) as u16
}

#[inline(always)]
fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    if value.is_nan() {
        (bits >> 16) as u16 | 0x40
    } else {
        rounded
    }
}

/// Runs code for the element type behind a [`Dtype`], and how many of them are taken at a time: `lines` of the cache, or
/// as few as the type allows, for `loops` that the compiler vectorises best by itself.
///
/// `dispatch!(lines dtype, E, L => expression)`; nothing happens for types that cannot be fused.
macro_rules! dispatch {
    (lines $dtype:expr, $element:ident, $lanes:ident => $body:expr) => {
        dispatch!(@ $dtype, $element, $lanes => $body, [16, 32, 32, 8])
    };
    (loops $dtype:expr, $element:ident, $lanes:ident => $body:expr) => {
        dispatch!(@ $dtype, $element, $lanes => $body, [1, 1, 16, 1])
    };
    (@ $dtype:expr, $element:ident, $lanes:ident => $body:expr, [$f32:literal, $bf16:literal, $f16:literal, $f64:literal]) => {
        match $dtype {
            Dtype::F32 => {
                type $element = $crate::kernel::element::F32;
                const $lanes: usize = $f32;
                $body
            }
            Dtype::Bf16 => {
                type $element = $crate::kernel::element::Bf16;
                const $lanes: usize = $bf16;
                $body
            }
            Dtype::F16 => {
                type $element = $crate::kernel::element::F16;
                const $lanes: usize = $f16;
                $body
            }
            Dtype::F64 => {
                type $element = $crate::kernel::element::F64;
                const $lanes: usize = $f64;
                $body
            }
            _ => {}
        }
    };
}
pub(crate) use dispatch;

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition of binary16.
    fn slow(half: u16) -> f64 {
        let sign = if half >> 15 == 1 { -1.0 } else { 1.0 };
        let (exponent, fraction) = (i32::from(half >> 10 & 0x1f), f64::from(half & 0x3ff));
        match exponent {
            0 => sign * fraction * 2f64.powi(-24),
            31 if fraction == 0.0 => sign * f64::INFINITY,
            31 => f64::NAN,
            _ => sign * (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
        }
    }

    #[test]
    fn every_half_is_read_by_its_definition_and_written_back() {
        for half in 0..=u16::MAX {
            let (found, expected) = (f16_to_f32(half), slow(half));
            assert!(
                f64::from(found) == expected || (found.is_nan() && expected.is_nan()),
                "{half:#x}"
            );
            if !found.is_nan() {
                assert_eq!(f32_to_f16(found), half);
            }
        }
        assert!(f16_to_f32(f32_to_f16(f32::NAN)).is_nan());
    }

    #[test]
    fn rounding_is_to_nearest_even() {
        for half in 0..0x7bffu16 {
            let (low, high) = (f16_to_f32(half), f16_to_f32(half + 1));
            let middle = low + (high - low) / 2.0;
            assert_eq!(f32_to_f16(middle), half + (half & 1), "{half:#x}");
            assert_eq!(f32_to_f16(f32::from_bits(middle.to_bits() - 1)), half);
            assert_eq!(f32_to_f16(f32::from_bits(middle.to_bits() + 1)), half + 1);
        }
        assert_eq!(f32_to_f16(65519.0), 0x7bff);
        assert_eq!(f32_to_f16(65520.0), 0x7c00);
        assert_eq!(f32_to_bf16(1.0 + 1.0 / 256.0), 0x3f80);
        assert_eq!(f32_to_bf16(1.0 + 3.0 / 256.0), 0x3f82);
        assert_eq!(f32_to_bf16(f32::MAX), 0x7f80);
    }
}
