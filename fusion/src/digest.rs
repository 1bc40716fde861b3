//! BLAKE3 digests of files, taken piece by piece in any order.
//!
//! BLAKE3 is a tree: pieces of a power of two of bytes are subtrees that any thread may hash at any time, for example when
//! it has just read them for another purpose. At the end they are merged into the digest that `b3sum` prints.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::checkpoint::WeightsFile;
use crate::error::Result;

/// Bytes per piece: some rounds of all lanes of the hash, and no more than a block of many members has of each of them, so
/// that what was hashed is still in a core's own cache when it is summed.
const PIECE: u64 = 1 << 16;

/// The digest of a file in the making.
pub struct Digester<'a> {
    file: &'a WeightsFile,
    claimed: Vec<AtomicBool>,
    subtrees: Mutex<Subtrees>,
}

/// Values of subtrees that lie beside none of their own size, by their length in bytes and their number among those of this
/// length: as many as there are gaps, whatever the size of the file.
type Subtrees = HashMap<(u64, u64), ChainingValue>;

impl<'a> Digester<'a> {
    /// Nothing is hashed yet.
    pub fn new(file: &'a WeightsFile) -> Self {
        let pieces = usize::try_from(file.length().div_ceil(PIECE)).unwrap_or(usize::MAX);
        Self {
            file,
            claimed: (0..pieces).map(|_| AtomicBool::new(false)).collect(),
            subtrees: Mutex::default(),
        }
    }

    /// Hashes the pieces that begin in a range of the file, unless that was done before.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn hash(&self, range: std::ops::Range<u64>, buffer: &mut Vec<u8>) -> Result<()> {
        // A file of one piece has no subtrees.
        if self.claimed.len() < 2 {
            return Ok(());
        }
        let (first, end) = (range.start.div_ceil(PIECE), range.end.div_ceil(PIECE));
        (first..end).try_for_each(|piece| self.hash_piece(piece as usize, buffer))
    }

    fn hash_piece(&self, piece: usize, buffer: &mut Vec<u8>) -> Result<()> {
        if self.claimed[piece].swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let offset = piece as u64 * PIECE;
        let length = PIECE.min(self.file.length() - offset);
        let bytes = match self.file.view(offset..offset + length) {
            Some(bytes) => bytes,
            None => {
                buffer.resize(length as usize, 0);
                self.file.read_at(offset, buffer)?;
                buffer
            }
        };
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(offset).update(bytes);
        let value = hasher.finalize_non_root();
        self.add(piece as u64, value);
        Ok(())
    }

    /// Merges the value of a piece with all neighbours that are there.
    fn add(&self, piece: u64, mut value: ChainingValue) {
        let mut subtrees = self.subtrees.lock().expect("no holder panics");
        let (mut size, mut index) = (PIECE, piece);
        // The root is made at the end, and so is what the end of the file cuts.
        let is_inner = |size: u64, index: u64| {
            size < self.file.length() && (index + 1) * size <= self.file.length()
        };
        while is_inner(2 * size, index / 2) {
            let Some(neighbour) = subtrees.remove(&(size, index ^ 1)) else {
                break;
            };
            value = match index % 2 {
                0 => merge_subtrees_non_root(&value, &neighbour, Mode::Hash),
                _ => merge_subtrees_non_root(&neighbour, &value, Mode::Hash),
            };
            (size, index) = (2 * size, index / 2);
        }
        subtrees.insert((size, index), value);
    }

    /// The digest in hexadecimal, after hashing with so many threads what was not hashed before.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn finish(self, threads: usize) -> Result<String> {
        let pieces = self.claimed.len();
        if pieces < 2 {
            let mut whole = vec![0; self.file.length() as usize];
            self.file.read_at(0, &mut whole)?;
            return Ok(blake3::hash(&whole).to_hex().to_string());
        }
        let next = AtomicUsize::new(0);
        let work = || {
            let mut buffer = Vec::new();
            loop {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= pieces {
                    return Ok(());
                }
                self.hash_piece(piece, &mut buffer)?;
            }
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            let others = others
                .into_iter()
                .map(|other| other.join().expect("no worker panics"));
            others.fold(own, Result::and)
        })?;
        let subtrees = self.subtrees.into_inner().expect("no holder panicked");
        let length = self.file.length();
        let left = left_subtree_len(length);
        let digest = merge_subtrees_root(
            &value(&subtrees, 0, left),
            &value(&subtrees, left, length - left),
            Mode::Hash,
        );
        Ok(digest.to_hex().to_string())
    }
}

/// The value of the subtree over so many bytes from `start` on.
fn value(subtrees: &Subtrees, start: u64, length: u64) -> ChainingValue {
    let size = length.next_power_of_two().max(PIECE);
    if let Some(value) = subtrees.get(&(size, start / size)) {
        return *value;
    }
    let left = left_subtree_len(length);
    merge_subtrees_non_root(
        &value(subtrees, start, left),
        &value(subtrees, start + left, length - left),
        Mode::Hash,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_whole_file_whatever_is_hashed_first() {
        let folder = tempfile::tempdir().unwrap();
        for length in [
            0,
            1,
            1000,
            PIECE,
            PIECE + 1,
            3 * PIECE,
            5 * PIECE + 777,
            8 * PIECE,
            8 * PIECE - 1,
        ] {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 7 % 251) as u8).collect();
            let path = folder.path().join("x");
            std::fs::write(&path, &bytes).unwrap();
            let file = WeightsFile::open(&path).unwrap();
            let expected = blake3::hash(&bytes).to_hex().to_string();
            for early in [0..0, 0..length, length / 3..length / 2, length / 2..length] {
                let digester = Digester::new(&file);
                digester.hash(early, &mut Vec::new()).unwrap();
                assert_eq!(digester.finish(3).unwrap(), expected, "{length}");
            }
        }
    }
}
