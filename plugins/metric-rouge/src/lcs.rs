//! Longest common subsequences, 64 rows at a time.
//!
//! Hyyrö, H. "Bit-parallel LCS-length computation revisited" (2004): bit i of a column's word is 0 where the table's value
//! grows from row i to row i + 1, and one addition makes a column of the one before. A strip of 64 rows leaves the carries
//! of its additions to the strip below, one bit per column: memory is that of the two texts and a 64th of their table.

/// Buffers for any number of comparisons.
#[derive(Debug, Default)]
pub struct Lcs {
    /// For each word in which rows of the strip it stands.
    masks: Vec<u64>,
    /// Carries into each strip, one bit per column.
    carries: Vec<u64>,
    /// The columns of the strip that is walked back through.
    columns: Vec<u64>,
}

impl Lcs {
    /// Length of the longest common subsequence. All words are below `bound`.
    pub fn length(&mut self, a: &[u32], b: &[u32], bound: usize) -> usize {
        self.masks.resize(bound.max(self.masks.len()), 0);
        self.carries.clear();
        self.carries.resize(b.len().div_ceil(64), 0);
        let strips = a.chunks(64).map(|rows| {
            mark(&mut self.masks, rows);
            let last = strip(&self.masks, b, &mut self.carries, |_| ());
            clear(&mut self.masks, rows);
            last.count_zeros() as usize
        });
        strips.sum()
    }

    /// Sets `found` at the places in `a` that belong to one longest common subsequence: walking back from the ends, where
    /// words differ, `b` gives way if that loses nothing and going on in `a` would.
    pub fn mark(&mut self, a: &[u32], b: &[u32], bound: usize, found: &mut [bool]) {
        self.masks.resize(bound.max(self.masks.len()), 0);
        let width = b.len().div_ceil(64);
        let strips = a.len().div_ceil(64);
        // 1. Down: the carries into each strip.
        self.carries.clear();
        self.carries.resize(width * strips, 0);
        for (index, rows) in a.chunks(64).take(strips.saturating_sub(1)).enumerate() {
            mark(&mut self.masks, rows);
            let (above, below) = self.carries[index * width..].split_at_mut(width);
            below[..width].copy_from_slice(above);
            strip(&self.masks, b, &mut below[..width], |_| ());
            clear(&mut self.masks, rows);
        }
        // 2. Up: each strip's columns once more, and through them.
        let mut column = b.len();
        for (index, rows) in a.chunks(64).enumerate().rev() {
            mark(&mut self.masks, rows);
            self.columns.clear();
            let carries = &mut self.carries[index * width..(index + 1) * width];
            strip(&self.masks, &b[..column], carries, |word| {
                self.columns.push(word)
            });
            clear(&mut self.masks, rows);
            let mut row = rows.len();
            while row > 0 && column > 0 {
                if rows[row - 1] == b[column - 1] {
                    found[index * 64 + row - 1] = true;
                    row -= 1;
                    column -= 1;
                } else if self.columns[column - 1] >> (row - 1) & 1 == 0 {
                    // The row above has less here, so that the column before has as much.
                    column -= 1;
                } else {
                    row -= 1;
                }
            }
        }
    }
}

fn mark(masks: &mut [u64], rows: &[u32]) {
    for (row, &word) in rows.iter().enumerate() {
        masks[word as usize] |= 1 << row;
    }
}

fn clear(masks: &mut [u64], rows: &[u32]) {
    for &word in rows {
        masks[word as usize] = 0;
    }
}

/// Goes through the columns of a strip; carries come in and go out in place. Rows that the strip does not have stay 1.
fn strip(masks: &[u64], b: &[u32], carries: &mut [u64], mut column: impl FnMut(u64)) -> u64 {
    let mut v = !0u64;
    for (carry, words) in carries.iter_mut().zip(b.chunks(64)) {
        let (incoming, mut outgoing) = (*carry, 0);
        for (bit, &word) in words.iter().enumerate() {
            let m = masks[word as usize];
            let (sum, over) = v.overflowing_add(v & m);
            let (sum, over_again) = sum.overflowing_add(incoming >> bit & 1);
            v = sum | (v & !m);
            outgoing |= u64::from(over | over_again) << bit;
            column(v);
        }
        *carry = outgoing;
    }
    v
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The table, entry by entry.
    fn table(a: &[u32], b: &[u32]) -> Vec<Vec<usize>> {
        let mut t = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                t[i][j] = match a[i - 1] == b[j - 1] {
                    true => t[i - 1][j - 1] + 1,
                    false => t[i - 1][j].max(t[i][j - 1]),
                };
            }
        }
        t
    }

    /// The walk back as rouge_score does it, comparing two entries of the table.
    fn walk(a: &[u32], b: &[u32]) -> Vec<bool> {
        let t = table(a, b);
        let (mut i, mut j, mut found) = (a.len(), b.len(), vec![false; a.len()]);
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                found[i - 1] = true;
                i -= 1;
                j -= 1;
            } else if t[i][j - 1] > t[i - 1][j] {
                j -= 1;
            } else {
                i -= 1;
            }
        }
        found
    }

    fn words() -> impl Strategy<Value = Vec<u32>> {
        prop_oneof![
            prop::collection::vec(0u32..4, 0..12),
            prop::collection::vec(0u32..3, 0..300),
            prop::collection::vec(0u32..40, 60..200),
        ]
    }

    proptest! {
        #[test]
        fn lengths_and_places_are_those_of_the_table(a in words(), b in words()) {
            let mut lcs = Lcs::default();
            for _ in 0..2 {
                prop_assert_eq!(lcs.length(&a, &b, 40), table(&a, &b)[a.len()][b.len()]);
                let mut found = vec![false; a.len()];
                lcs.mark(&a, &b, 40, &mut found);
                prop_assert_eq!(&found, &walk(&a, &b));
            }
        }
    }
}
