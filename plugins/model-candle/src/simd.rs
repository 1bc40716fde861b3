//! Loops compiled twice: for every x86-64 processor, and for those with AVX2, looked up at run time.

/// Defines a function over slices whose loops the compiler may vectorise with AVX2 where the processor has it.
///
/// Both versions give the same bits: no operation is fused or reordered.
macro_rules! vectorised {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        $visibility fn $name($($argument: $type),*) {
            #[inline(always)]
            fn plain($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($argument: $type),*) {
                plain($($argument),*);
            }

            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                #[allow(unsafe_code, reason = "calling a version of the loop for a processor that was looked up")]
                // SAFETY: the processor has AVX2, the only feature that the function is compiled for.
                unsafe {
                    avx2($($argument),*);
                }
                return;
            }
            plain($($argument),*);
        }
    };
}
pub(crate) use vectorised;
