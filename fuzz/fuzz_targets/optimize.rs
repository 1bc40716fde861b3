//! Lines that programs say to `bomf optimize`: `cargo +nightly fuzz run optimize`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bomf::converse(input));
