//! The way of tensors from disk to disk: pieces for threads, blocks in a bounded memory, digests taken on the way.
//!
//! Every way of making tensors goes through here, so that reading, checks and writing are the same for all.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use crate::checkpoint::{Checkpoint, Tensor};
use crate::digest::Digester;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::kernel::{BLOCK, Level, has_non_finite, read};
use crate::lora::{Loaded, Truncation};
use crate::plan::{Integers, Make, Plan, Source, Task};
use crate::rules;
use crate::write::{Shards, Spec};

/// Elements that a thread takes at a time, of tensors that can be cut.
const PIECE: usize = 1 << 20;
/// Bytes of all models in a block: with their sums they stay in a core's own cache.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks no smaller than this: below, calls cost more than bytes, and sums of rules depend on the block.
const SMALLEST_BLOCK: usize = rules::BLOCK;

/// Elements that go to disk together.
const WRITTEN_TOGETHER: u64 = 1 << 24;

/// With what it is computed; nothing of this changes a bit of the result.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// One or more; fewer are used where buffers for so many do not fit the memory.
    pub threads: usize,
    /// Most bytes for buffers.
    pub memory: usize,
    /// Whether digests of the models are taken on the way.
    pub digests: bool,
}

impl<'a> Plan<'a> {
    /// Fuses all tensors into files. `progress` hears of elements as they are done. Returns what else came of it.
    ///
    /// # Errors
    /// When a weight is not finite, integers differ, a model changed meanwhile, or the system refuses.
    pub fn run(
        &self,
        shards: &Shards<'_>,
        effort: Effort,
        mut progress: impl FnMut(u64),
    ) -> Result<Outcome> {
        let (threads, block) = self.room(effort)?;
        let work = Work {
            plan: self,
            shards,
            block,
            level: Level::best(),
            pieces: self.pieces(),
            digesters: self.digesters(effort.digests),
            truncations: Mutex::default(),
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        };
        std::thread::scope(|scope| {
            let (sender, receiver) = channel();
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    let (work, sender) = (&work, sender.clone());
                    scope.spawn(move || work.run(&sender))
                })
                .collect();
            drop(sender);
            // This thread has nothing else to do: what is written goes to disk while the others go on.
            let mut unwritten = 0;
            let written = receiver.into_iter().try_for_each(|elements| {
                progress(elements);
                unwritten += elements;
                match unwritten >= WRITTEN_TOGETHER {
                    true => {
                        unwritten = 0;
                        shards.flush()
                    }
                    false => Ok(()),
                }
            });
            if written.is_err() {
                work.stop.store(true, Ordering::Relaxed);
            }
            let results = workers
                .into_iter()
                .map(|worker| worker.join().expect("no worker panics"));
            results.fold(written, Result::and)
        })?;
        let digests = work.digesters.into_iter().map(|model| {
            let files = model.into_iter();
            files
                .map(|file| file.map(|file| file.finish(effort.threads)).transpose())
                .collect()
        });
        let digests = digests.collect::<Result<Vec<Vec<_>>>>()?;
        self.models
            .iter()
            .try_for_each(Checkpoint::check_unchanged)?;
        let truncations = work.truncations.into_inner();
        Ok(Outcome {
            digests,
            truncations: truncations.expect("no worker panicked"),
        })
    }

    fn digesters(&self, wanted: bool) -> Vec<Vec<Option<Digester<'a>>>> {
        let models = self.models.iter();
        models
            .map(|model| {
                let files = model.files.iter();
                files
                    .map(|file| wanted.then(|| Digester::new(file)))
                    .collect()
            })
            .collect()
    }

    /// What threads take, one after the other: the longest first, so that no thread is left alone with one; those that were
    /// cut in the order in which they lie in the files.
    fn pieces(&self) -> Vec<Piece> {
        let tasks = self.tasks.iter().enumerate();
        let cut = tasks.flat_map(|(task, made)| {
            let elements = made.elements();
            let length = match made.make.is_cut_anywhere() {
                true => PIECE,
                false => elements.max(1),
            };
            (0..elements).step_by(length).map(move |start| Piece {
                task,
                start,
                length: length.min(elements - start),
            })
        });
        let mut pieces: Vec<Piece> = cut.collect();
        pieces.sort_by_key(|piece| std::cmp::Reverse((piece.length - 1) / PIECE));
        pieces
    }

    /// Threads, and elements per block, so that the buffers of all threads stay in the memory given.
    fn room(&self, effort: Effort) -> Result<(usize, usize)> {
        let needs = || self.tasks.iter().map(Task::need);
        let fixed = needs().map(|need| need.fixed).max().unwrap_or(0);
        let each = needs().map(|need| need.each).max().unwrap_or(1);
        let least = fixed + SMALLEST_BLOCK * each;
        let threads = effort.threads.max(1).min(effort.memory / least);
        if threads == 0 {
            return Err(Error::input(
                "fuse::memory",
                "--memory",
                format!(
                    "found too little for the blocks of these members, expected {} MiB or more",
                    least.div_ceil(1 << 20)
                ),
            ));
        }
        let bytes = |task: &Task<'_>| task.sources.iter().map(Source::element_bytes).sum();
        let read: usize = self.tasks.iter().map(bytes).max().unwrap_or(1);
        let block = ((effort.memory / threads - fixed) / each)
            .min(BLOCK_BYTES / read.max(1))
            .clamp(SMALLEST_BLOCK, BLOCK);
        // A power of two: no block of quantised numbers is cut, and every piece is a whole number of blocks.
        Ok((threads, 1 << block.ilog2()))
    }
}

/// What came of a fusion beside the tensors.
#[derive(Debug)]
pub struct Outcome {
    /// The digest of every file of every model, where they are wanted.
    pub digests: Vec<Vec<Option<String>>>,
    /// What was lost by a lower rank, by module.
    pub truncations: BTreeMap<String, Truncation>,
}

/// Bytes of buffers.
struct Need {
    /// Whatever the size of a block.
    fixed: usize,
    /// For each element of a block.
    each: usize,
}

impl Task<'_> {
    fn need(&self) -> Need {
        let read: usize = self.sources.iter().map(Source::element_bytes).sum();
        // A sum, the output, and what dequantising takes.
        let each = read + 8 + 8 + 4;
        match &self.make {
            Make::Copy | Make::Sum { .. } => Need { fixed: 0, each },
            Make::Merge { rule, shape, .. } => Need {
                fixed: rule.bytes(shape),
                each: each + size_of::<f32>() * self.sources.len(),
            },
            Make::AddProducts(add) => Need {
                fixed: add.bytes(self),
                each: self.sources[0].element_bytes() + 8 + 8 + 4,
            },
            Make::Refactor(refactor) => Need {
                fixed: refactor.bytes(self),
                each: 1,
            },
        }
    }
}

impl Source<'_> {
    fn element_bytes(&self) -> usize {
        self.tensor.dtype.size()
    }
}

/// Some elements of one tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) task: usize,
    pub(crate) start: usize,
    pub(crate) length: usize,
}

/// What all threads share.
pub(crate) struct Work<'a> {
    plan: &'a Plan<'a>,
    shards: &'a Shards<'a>,
    block: usize,
    pub(crate) level: Level,
    pieces: Vec<Piece>,
    /// Per model and file.
    digesters: Vec<Vec<Option<Digester<'a>>>>,
    truncations: Mutex<BTreeMap<String, Truncation>>,
    next: AtomicUsize,
    stop: AtomicBool,
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
    fn run(&self, done: &Sender<u64>) -> Result<()> {
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
        // What was just read is still in the cache; what has other elements than are made is hashed at the end.
        let elements = task.elements();
        let alike = |source: &&Source<'_>| source.tensor.elements() == elements;
        for source in task.sources.iter().filter(alike) {
            let digester = &self.digesters[source.model][source.tensor.file];
            let range = source.tensor.range(piece.start, piece.length);
            if let (Some(digester), Some(range)) = (digester, range) {
                digester.hash(range, &mut buffers.scratch)?;
            }
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

    /// Reads a block of one source.
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
        let model: &'a Checkpoint = &self.plan.models[*model];
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

    fn path(&self, task: &Task<'_>, source: usize) -> impl std::fmt::Display {
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
                    .hint("`--integers first` takes those of the first member"));
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
