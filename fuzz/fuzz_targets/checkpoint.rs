//! Files that are said to be weights, in all formats: `cargo +nightly fuzz run checkpoint`.
//!
//! Whatever is in a file, opening it gives a checkpoint or an error, and what was opened can be read.

#![no_main]

use std::cell::LazyCell;

use fusion::Checkpoint;
use tempfile::TempDir;

/// Most elements that are read of each tensor: a header of a few bytes may speak of many more than lie in the file.
const MOST: usize = 1 << 12;

thread_local! {
    static FOLDER: LazyCell<TempDir> =
        LazyCell::new(|| tempfile::tempdir().expect("there is room for a temporary folder"));
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    FOLDER.with(|folder| {
        for name in ["x.safetensors", "x.bin", "x.gguf"] {
            let path = folder.path().join(name);
            std::fs::write(&path, input).expect("the temporary folder can be written");
            let Ok(checkpoint) = Checkpoint::open(&path) else {
                continue;
            };
            let (mut out, mut scratch) = (Vec::new(), Vec::new());
            for tensor in checkpoint.tensors() {
                // A whole number of the blocks of all quantisations, or all there is.
                let count = tensor.elements().min(MOST);
                out.resize(count * tensor.dtype.size(), 0);
                checkpoint
                    .read(tensor, 0, &mut out, &mut scratch)
                    .expect("what was opened is there");
                checkpoint.view(tensor, 0, count);
                assert!(checkpoint.tensor(&tensor.name).is_some());
            }
        }
    });
});
