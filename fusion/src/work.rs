//! The work of one thread: reading blocks, writing what they have become, and saying what is wrong with them.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

use crate::checkpoint::{Checkpoint, Tensor};
use crate::digest::Digester;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::kernel::{Level, has_non_finite, read};
use crate::lora::{Loaded, Truncation};
use crate::plan::{Make, Plan, Source, Task};
use crate::recipe::Integers;
use crate::write::{Shards, Spec};

/// Some elements of one tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) task: usize,
    pub(crate) start: usize,
    pub(crate) length: usize,
}

/// What all threads share.
pub(crate) struct Work<'a> {
    pub(crate) plan: &'a Plan<'a>,
    pub(crate) shards: &'a Shards<'a>,
    /// Elements per block.
    pub(crate) block: usize,
    pub(crate) level: Level,
    pub(crate) pieces: Vec<Piece>,
    /// Per model and file.
    pub(crate) digesters: Vec<Vec<Option<Digester<'a>>>>,
    pub(crate) truncations: Mutex<BTreeMap<String, Truncation>>,
    pub(crate) next: AtomicUsize,
    /// How many files were given back.
    pub(crate) released: AtomicUsize,
    pub(crate) stop: AtomicBool,
}

/// Elements of a source: where they lie in a mapped file, or in a buffer.
#[derive(Default)]
pub(crate) struct Elements<'a> {
    lying: Option<&'a [u8]>,
    read: Vec<u8>,
}

impl Deref for Elements<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.lying.unwrap_or(&self.read)
    }
}

/// What each thread has of its own.
#[derive(Default)]
pub(crate) struct Buffers<'a> {
    /// One block of each source.
    pub(crate) sources: Vec<Elements<'a>>,
    /// The same as numbers.
    pub(crate) floats: Vec<Vec<f32>>,
    pub(crate) scratch: Vec<u8>,
    pub(crate) narrow: Vec<f32>,
    pub(crate) wide: Vec<f64>,
    pub(crate) out: Vec<u8>,
    /// Factors that are added to the tensor of a task, and which task that is.
    pub(crate) loaded: (Option<usize>, Vec<Loaded>),
}

impl<'a> Work<'a> {
    pub(crate) fn run(&self, done: &Sender<u64>) -> Result<()> {
        let mut buffers = Buffers::default();
        while !self.stop.load(Ordering::Relaxed) {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(&piece) = self.pieces.get(next) else {
                break;
            };
            let made = self.piece(piece, &mut buffers);
            if made.is_err() {
                self.stop.store(true, Ordering::Relaxed);
            }
            made?;
            // Nobody listens only when the fusion has failed.
            let _ = done.send(piece.length as u64);
        }
        // Unmapping takes a tenth of the time of a fusion: it is shared among the threads, while the last blocks go to disk.
        let files = || self.plan.models.iter().flat_map(|model| &model.files);
        while let Some(file) = files().nth(self.released.fetch_add(1, Ordering::Relaxed)) {
            file.release();
        }
        Ok(())
    }

    fn piece(&self, piece: Piece, buffers: &mut Buffers<'a>) -> Result<()> {
        let task = &self.plan.tasks[piece.task];
        match &task.make {
            Make::Copy => self.copy(task, piece, buffers)?,
            Make::Sum { coefficients, wide } => {
                self.sum(task, coefficients, *wide, piece, buffers)?;
            }
            Make::Merge {
                rule,
                coefficients,
                shape,
            } => self.merge(task, (rule, coefficients, shape), piece, buffers)?,
            Make::AddProducts(add) => self.add_products(task, add, piece, buffers)?,
            Make::Refactor(refactor) => self.refactor(task, refactor, buffers)?,
        }
        Ok(())
    }

    /// The blocks of a piece, in order.
    pub(crate) fn blocks(&self, piece: Piece) -> impl Iterator<Item = Piece> {
        let step = self.block;
        (0..piece.length).step_by(step).map(move |start| Piece {
            start: piece.start + start,
            length: step.min(piece.length - start),
            ..piece
        })
    }

    /// Reads a block of one source, and hashes it where that is wanted: one trip from memory serves for both. What is
    /// filled up, or not read at all, is hashed at the end.
    pub(crate) fn read(
        &self,
        source: usize,
        task: &Task<'_>,
        block: Piece,
        buffers: &mut Buffers<'a>,
    ) -> Result<()> {
        let Source {
            model,
            tensor,
            widened,
        } = &task.sources[source];
        if buffers.sources.len() <= source {
            buffers.sources.resize_with(source + 1, Elements::default);
        }
        let Elements { lying, read } = &mut buffers.sources[source];
        let digester = &self.digesters[*model][tensor.file];
        let model: &'a Checkpoint = &self.plan.models[*model];
        let range = tensor.range(block.start, block.length);
        if let (Some(digester), Some(range), None) = (digester, range, widened) {
            digester.hash(range, &mut buffers.scratch)?;
        }
        *lying = match widened {
            None => model.view(tensor, block.start, block.length),
            Some(_) => None,
        };
        if lying.is_some() {
            return Ok(());
        }
        read.resize(block.length * tensor.dtype.size(), 0);
        match widened {
            None => model.read(tensor, block.start, read, &mut buffers.scratch),
            Some(widths) => read_widened(model, tensor, *widths, block, read),
        }
    }

    /// Writes elements of one of the tensors of a task, from `start` on.
    pub(crate) fn write(
        &self,
        task: &Task<'_>,
        number: usize,
        start: usize,
        out: &[u8],
    ) -> Result<()> {
        let offset = (start * task.specs[number].dtype.size()) as u64;
        self.shards.write(task.first + number, offset, out)
    }

    /// Remembers what a module lost.
    pub(crate) fn note_truncation(&self, module: &str, truncation: Truncation) {
        let mut truncations = self.truncations.lock().expect("no worker panics");
        truncations.insert(module.to_owned(), truncation);
    }

    /// Writes a block whose numbers have to be finite; `sources` are those that it was made of.
    pub(crate) fn write_finite(
        &self,
        task: &Task<'_>,
        block: Piece,
        sources: &[usize],
        buffers: &Buffers<'a>,
    ) -> Result<()> {
        if !has_non_finite(&buffers.out, task.specs[0].dtype) {
            return self.write(task, 0, block.start, &buffers.out);
        }
        for &source in sources {
            let bytes = &buffers.sources[source];
            if let Some((value, at)) = self.non_finite(bytes, task.sources[source].tensor.dtype) {
                return Err(self.not_finite(task, source, block.start + at, value));
            }
        }
        Err(self.overflow(task, 0, block.start, &buffers.out))
    }

    /// Says where numbers have become too large.
    pub(crate) fn overflow(
        &self,
        task: &Task<'_>,
        number: usize,
        start: usize,
        out: &[u8],
    ) -> Error {
        let Spec { name, dtype, shape } = &task.specs[number];
        let at = self.non_finite(out, *dtype).map_or(0, |(_, at)| at);
        let what = format!(
            "found a sum at {:?} that is too large for {dtype}, expected one that fits",
            index(shape, start + at)
        );
        Error::input("fuse::overflow", format!("tensor `{name}`"), what)
            .hint("choose a type of larger range with `--dtype`, or smaller coefficients")
    }

    /// The first number that is infinite or none.
    fn non_finite(&self, bytes: &[u8], dtype: Dtype) -> Option<(f64, usize)> {
        let mut values = vec![0f64; bytes.len() / dtype.size()];
        read(self.level, bytes, dtype, &mut values);
        let at = values.iter().position(|value| !value.is_finite())?;
        Some((values[at], at))
    }

    /// Says which weight is to blame.
    pub(crate) fn not_finite(
        &self,
        task: &Task<'_>,
        source: usize,
        element: usize,
        value: f64,
    ) -> Error {
        let Source {
            tensor, widened, ..
        } = &task.sources[source];
        // Filling up leaves every number at its place along each axis.
        let shape = match widened {
            Some(_) => &task.specs[0].shape,
            None => &tensor.shape,
        };
        let error = Error::input(
            "fuse::not_finite",
            self.path(task, source),
            format!(
                "tensor `{}`: found {value} at {:?}, expected finite weights",
                tensor.name,
                index(shape, element)
            ),
        );
        match &task.make {
            Make::Sum { .. } => error.hint("leave this member out, or give it the coefficient 0"),
            _ => error.hint("leave this model out"),
        }
    }

    pub(crate) fn path(&self, task: &Task<'_>, source: usize) -> impl std::fmt::Display {
        self.plan.models[task.sources[source].model].path.display()
    }

    /// Takes integers over as they are in the first member.
    fn copy(&self, task: &Task<'_>, piece: Piece, buffers: &mut Buffers<'a>) -> Result<()> {
        for block in self.blocks(piece) {
            self.read(0, task, block, buffers)?;
            let others = match self.plan.integers {
                Integers::Error => 1..task.sources.len(),
                Integers::First => 0..0,
            };
            for source in others {
                self.read(source, task, block, buffers)?;
                let (first, other) = (&buffers.sources[0], &buffers.sources[source]);
                if let Some(byte) = first.iter().zip(other.iter()).position(|(a, b)| a != b) {
                    let element = block.start + byte / task.specs[0].dtype.size();
                    return Err(Error::input(
                        "fuse::integers",
                        self.path(task, source),
                        format!(
                            "{}, {}: found another value at {:?} than in the first member, expected the same",
                            task.place(), task.specs[0].dtype, index(&task.specs[0].shape, element)
                        ),
                    )
                    .hint("those of the first member are taken by `--integers first`, in a configuration by `fuse: { integers: first }`"));
                }
            }
            self.write(task, 0, block.start, &buffers.sources[0])?;
        }
        Ok(())
    }
}

/// Reads a block of a matrix whose rows have `width` elements and are filled up with zeros to `full`.
fn read_widened(
    model: &Checkpoint,
    tensor: &Tensor,
    (width, full): (usize, usize),
    block: Piece,
    out: &mut [u8],
) -> Result<()> {
    let size = tensor.dtype.size();
    let end = block.start + block.length;
    out.fill(0);
    // Whole rows are read together; of a single one only what is wanted.
    let (first, last) = (block.start / full, (end - 1) / full);
    let mut rows = Vec::new();
    let (mut from, mut to) = (first * width, (last + 1) * width);
    if first == last {
        from = first * width + (block.start % full).min(width);
        to = first * width + (end - first * full).min(width);
    }
    rows.resize((to - from) * size, 0);
    model.read(tensor, from, &mut rows, &mut Vec::new())?;
    for row in first..=last {
        let start = (row * width)
            .max(from)
            .max(row * width + block.start.saturating_sub(row * full));
        let stop = ((row + 1) * width)
            .min(to)
            .min(row * width + end - row * full);
        if start < stop {
            let place = row * full + (start - row * width) - block.start;
            out[place * size..][..(stop - start) * size]
                .copy_from_slice(&rows[(start - from) * size..(stop - from) * size]);
        }
    }
    Ok(())
}

/// Where an element stands, axis by axis.
fn index(shape: &[usize], mut element: usize) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|n| {
            let at = element % n;
            element /= n;
            at
        })
        .collect();
    index.reverse();
    index
}
