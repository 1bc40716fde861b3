//! Headers of GGUF files: metadata, names, shapes and types of tensors, then aligned data.
//!
//! Metadata is passed over except for the alignment. Counts and lengths come from outside: each is held against what is left
//! of the file before anything is allocated for it.

use std::io::{BufReader, Read, Seek, SeekFrom};

use super::file::WeightsFile;
use super::quantised::{BLOCK, Quantisation};
use super::{Contents, Layout, Tensor};
use crate::dtype::{Dtype, byte_length};
use crate::error::{Error, Result};

/// Longest name of a tensor or a metadata key.
const LONGEST_NAME: u64 = 1 << 16;
/// Arrays of arrays no deeper than this.
const DEEPEST: usize = 4;
/// Most axes of a tensor; the format's own limit is four.
const MOST_AXES: u32 = 8;

/// Reads the header of a file; `file` is the number that its tensors carry.
pub(super) fn read(weights: &WeightsFile, file: usize) -> Result<Contents> {
    let mut header = Header {
        from: BufReader::with_capacity(1 << 16, weights.reader()),
        position: 4,
        length: weights.length(),
    };
    let parsed = header
        .from
        .seek(SeekFrom::Start(4))
        .map_err(|error| error.to_string())
        .and_then(|_| header.parse(file));
    parsed.map_err(|what| {
        Error::input(
            "checkpoint::header",
            weights.path.display(),
            format!("offset {}: {what}", header.position),
        )
        .hint("the file is broken, was cut, or holds types that are not read")
    })
}

struct Header<R> {
    from: R,
    position: u64,
    length: u64,
}

type Step<T> = std::result::Result<T, String>;

/// A tensor with its place in the data.
struct Entry {
    name: String,
    shape: Vec<usize>,
    dtype: Dtype,
    layout: Layout,
    start: u64,
    bytes: u64,
}

impl<R: Read + Seek> Header<R> {
    fn parse(&mut self, file: usize) -> Step<Contents> {
        let version = u32::from_le_bytes(self.array()?);
        if !(2..=3).contains(&version) {
            return Err(format!("found version {version}, expected 2 or 3"));
        }
        let tensors = u64::from_le_bytes(self.array()?);
        let metadata = u64::from_le_bytes(self.array()?);
        // Each takes more than eight bytes of the file.
        if tensors > self.length / 8 || metadata > self.length / 8 {
            return Err(format!(
                "found {tensors} tensors and {metadata} metadata in a file of {} bytes",
                self.length
            ));
        }
        let mut alignment = 32;
        for _ in 0..metadata {
            let key = self.text()?;
            let kind = u32::from_le_bytes(self.array()?);
            if key == "general.alignment" && kind == 4 {
                alignment = u64::from(u32::from_le_bytes(self.array()?));
            } else {
                self.pass_over(kind, DEEPEST)?;
            }
        }
        if !alignment.is_power_of_two() {
            return Err(format!(
                "found an alignment of {alignment}, expected a power of two"
            ));
        }
        let entries = (0..tensors)
            .map(|_| self.entry())
            .collect::<Step<Vec<Entry>>>()?;
        let data = self.position.next_multiple_of(alignment);
        self.place(entries, data, file)
    }

    fn entry(&mut self) -> Step<Entry> {
        let name = self.text()?;
        let axes = u32::from_le_bytes(self.array()?);
        if axes > MOST_AXES {
            return Err(format!(
                "tensor `{name}`: found {axes} axes, expected at most {MOST_AXES}"
            ));
        }
        let mut shape = Vec::new();
        for _ in 0..axes {
            let n = u64::from_le_bytes(self.array()?);
            shape.push(
                usize::try_from(n).map_err(|_| format!("tensor `{name}`: found {n} elements"))?,
            );
        }
        let kind = u32::from_le_bytes(self.array()?);
        let start = u64::from_le_bytes(self.array()?);
        let (dtype, layout) = layout(kind).map_err(|what| format!("tensor `{name}`: {what}"))?;
        let bytes = match &layout {
            Layout::Quantised(quantisation) => {
                // The first axis is the fastest one here; rows are whole blocks.
                let whole = shape.first().is_some_and(|n| n.is_multiple_of(BLOCK));
                byte_length(&shape, 1)
                    .filter(|_| whole)
                    .and_then(|n| (n / BLOCK as u64).checked_mul(quantisation.block_bytes() as u64))
            }
            _ => byte_length(&shape, dtype.size()),
        };
        let bytes = bytes.ok_or_else(|| {
            format!("tensor `{name}`: found {shape:?} elements, which its type does not have")
        })?;
        // Dequantised, it has to fit into numbers as well.
        byte_length(&shape, 8)
            .ok_or_else(|| format!("tensor `{name}`: found {shape:?} elements"))?;
        shape.reverse();
        Ok(Entry {
            name,
            shape,
            dtype,
            layout,
            start,
            bytes,
        })
    }

    /// Gives each tensor its place in the file, apart from all others.
    fn place(&self, entries: Vec<Entry>, data: u64, file: usize) -> Step<Contents> {
        let mut ranges = Vec::with_capacity(entries.len());
        let mut tensors = Vec::with_capacity(entries.len());
        for entry in entries {
            let Entry {
                name, start, bytes, ..
            } = &entry;
            let offset = data.checked_add(*start);
            let end = offset.and_then(|offset| offset.checked_add(*bytes));
            let (Some(offset), Some(end)) = (offset, end.filter(|end| *end <= self.length)) else {
                return Err(format!(
                    "tensor `{name}`, offset {start}: found {bytes} bytes, expected them to end with the file at {}",
                    self.length
                ));
            };
            ranges.push((offset, end, name.clone()));
            tensors.push(Tensor {
                name: entry.name,
                dtype: entry.dtype,
                shape: entry.shape,
                file,
                offset,
                layout: entry.layout,
            });
        }
        ranges.sort();
        if let Some(pair) = ranges.windows(2).find(|pair| pair[0].1 > pair[1].0) {
            return Err(format!(
                "tensor `{}`, offset {}: found data that also belongs to `{}`",
                pair[1].2, pair[1].0, pair[0].2
            ));
        }
        tensors.sort_by_key(|tensor| tensor.offset);
        Ok(Contents {
            tensors,
            aliases: Vec::new(),
        })
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut bytes = [0; N];
        self.fits(N as u64)?;
        self.from
            .read_exact(&mut bytes)
            .map_err(|error| error.to_string())?;
        self.position += N as u64;
        Ok(bytes)
    }

    fn text(&mut self) -> Step<String> {
        let length = u64::from_le_bytes(self.array()?);
        if length > LONGEST_NAME {
            return Err(format!(
                "found a name of {length} bytes, expected at most {LONGEST_NAME}"
            ));
        }
        self.fits(length)?;
        let mut bytes = vec![0; length as usize];
        self.from
            .read_exact(&mut bytes)
            .map_err(|error| error.to_string())?;
        self.position += length;
        String::from_utf8(bytes).map_err(|_| "found a name that is no UTF-8".to_owned())
    }

    fn fits(&self, bytes: u64) -> Step<()> {
        let left = self.length.saturating_sub(self.position);
        match bytes <= left {
            true => Ok(()),
            false => Err(format!(
                "found {left} bytes to the end, expected {bytes} or more"
            )),
        }
    }

    fn skip(&mut self, bytes: u64) -> Step<()> {
        self.fits(bytes)?;
        let by = i64::try_from(bytes).map_err(|_| format!("found {bytes} bytes"))?;
        self.from
            .seek(SeekFrom::Current(by))
            .map_err(|error| error.to_string())?;
        self.position += bytes;
        Ok(())
    }

    /// Passes over a metadata value of a kind.
    fn pass_over(&mut self, kind: u32, depth: usize) -> Step<()> {
        match kind {
            8 => {
                let length = u64::from_le_bytes(self.array()?);
                self.skip(length)
            }
            9 if depth > 0 => {
                let kind = u32::from_le_bytes(self.array()?);
                let count = u64::from_le_bytes(self.array()?);
                match metadata_size(kind) {
                    Some(size) => self.skip(
                        count
                            .checked_mul(size)
                            .ok_or_else(|| format!("found an array of {count} values"))?,
                    ),
                    // Each of them takes bytes of the file, so that the end of the file ends the loop.
                    None => (0..count).try_for_each(|_| self.pass_over(kind, depth - 1)),
                }
            }
            _ => match metadata_size(kind) {
                Some(size) => self.skip(size),
                None => Err(format!("found metadata of the unknown kind {kind}")),
            },
        }
    }
}

/// Bytes of a metadata value that always has as many.
fn metadata_size(kind: u32) -> Option<u64> {
    Some(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        _ => return None,
    })
}

fn layout(kind: u32) -> Step<(Dtype, Layout)> {
    let plain = |dtype| Ok((dtype, Layout::Plain));
    let quantised = |kind| Ok((Dtype::F32, Layout::Quantised(kind)));
    match kind {
        0 => plain(Dtype::F32),
        1 => plain(Dtype::F16),
        2 => quantised(Quantisation::Q4_0),
        3 => quantised(Quantisation::Q4_1),
        8 => quantised(Quantisation::Q8_0),
        24 => plain(Dtype::I8),
        25 => plain(Dtype::I16),
        26 => plain(Dtype::I32),
        27 => plain(Dtype::I64),
        28 => plain(Dtype::F64),
        30 => plain(Dtype::Bf16),
        other => Err(format!(
            "found the type {other}, expected F32, F16, BF16, F64, Q8_0, Q4_0, Q4_1 or an integer"
        )),
    }
}
