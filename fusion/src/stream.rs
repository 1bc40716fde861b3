//! The way of tensors from disk to disk: pieces for threads, blocks in a bounded memory, digests taken on the way.
//!
//! Every way of making tensors goes through here, so that reading, checks and writing are the same for all.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use crate::checkpoint::Checkpoint;
use crate::digest::Digester;
use crate::error::{Error, Result};
use crate::kernel::{BLOCK, Level};
use crate::lora::Truncation;
use crate::plan::{Make, Plan, Source, Task};
use crate::rules;
use crate::work::{Piece, Work};
use crate::write::Shards;

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
            released: AtomicUsize::new(0),
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
