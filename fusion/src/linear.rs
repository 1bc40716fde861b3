//! Weighted sums of whole checkpoints, block by block from disk to disk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Tensor};
use crate::digest::Digester;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::kernel::{BLOCK, Level, SumElement, Term, has_non_finite, read, store, weighted_sum};
use crate::write::{Shards, Spec};

/// Elements that a thread takes at a time.
const PIECE: usize = 1 << 20;
/// Bytes of all members in a block: with their sums they stay in a core's own cache.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks no smaller than this: below, calls cost more than bytes.
const SMALLEST_BLOCK: usize = 1024;

/// What becomes of tensors of integers and booleans, which have no average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Integers {
    /// All members have to agree.
    #[default]
    Error,
    /// The first member's are taken.
    First,
}

/// Coefficients for the tensors that a pattern fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Names of tensors; `*` stands for any characters, `?` for one.
    pub pattern: String,
    /// One per member.
    pub coefficients: Vec<f64>,
}

/// What is computed.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    /// One per member.
    pub coefficients: Vec<f64>,
    /// For some tensors; the last that fits counts.
    pub patterns: Vec<Pattern>,
    /// The type of fused tensors; that of the first member where there is none.
    pub dtype: Option<Dtype>,
    /// F32 or F64, in which sums are made; where there is none, F64 for tensors that are F64 in a member or in the output,
    /// F32 for all others.
    pub accumulate: Option<Dtype>,
    /// What becomes of integers and booleans.
    pub integers: Integers,
}

/// With what it is computed; nothing of this changes a bit of the result.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// One or more.
    pub threads: usize,
    /// Most bytes for buffers.
    pub memory: usize,
    /// Whether digests of the members are taken on the way.
    pub digests: bool,
}

/// Which tensors are made of what.
#[derive(Debug)]
pub struct Plan<'a> {
    members: &'a [Checkpoint],
    integers: Integers,
    tasks: Vec<Task<'a>>,
    /// Tied names: alias, and the name that it stands for.
    pub aliases: BTreeMap<String, String>,
}

/// One tensor of the output.
#[derive(Debug)]
struct Task<'a> {
    spec: Spec,
    sources: Vec<&'a Tensor>,
    coefficients: Vec<f64>,
    wide: bool,
}

impl<'a> Plan<'a> {
    /// Finds the tensors of the output. The members have to be alike: see [`crate::compare`].
    ///
    /// # Errors
    /// When coefficients are not one finite number per member, a pattern fits no tensor, or a tensor is missing.
    pub fn new(members: &'a [Checkpoint], recipe: &Recipe) -> Result<Self> {
        check_coefficients("--member", &recipe.coefficients, members.len())?;
        for Pattern {
            pattern,
            coefficients,
        } in &recipe.patterns
        {
            check_coefficients(pattern, coefficients, members.len())?;
        }
        let first = members.first().ok_or_else(|| {
            Error::input(
                "fuse::members",
                "--member",
                "found no member, expected one or more",
            )
        })?;
        // What is a tensor of its own in one member is one in the output, even if others tie it.
        let own = |name: &String| {
            members
                .iter()
                .any(|m| m.tensors().iter().any(|t| t.name == *name))
        };
        let mut aliases = BTreeMap::new();
        let mut names: Vec<&String> = first.tensors().iter().map(|tensor| &tensor.name).collect();
        for (alias, name) in members.iter().flat_map(Checkpoint::aliases) {
            let is_everywhere = members.iter().all(|member| member.tensor(alias).is_some());
            if own(alias) && is_everywhere {
                if !names.contains(&alias) {
                    names.push(alias);
                }
            } else if names.contains(&name) && !names.contains(&alias) {
                aliases.insert(alias.clone(), name.clone());
            }
        }
        let tasks = names
            .into_iter()
            .map(|name| Task::new(name, members, recipe))
            .collect::<Result<Vec<_>>>()?;
        let unused = recipe
            .patterns
            .iter()
            .find(|p| !tasks.iter().any(|t| fits(&p.pattern, &t.spec.name)));
        if let Some(unused) = unused {
            return Err(Error::input(
                "fuse::pattern",
                &unused.pattern,
                "found no tensor that the pattern fits, expected one or more",
            ));
        }
        Ok(Self {
            members,
            integers: recipe.integers,
            tasks,
            aliases,
        })
    }

    /// The tensors of the output, in the order in which they are made.
    pub fn specs(&self) -> Vec<Spec> {
        self.tasks.iter().map(|task| task.spec.clone()).collect()
    }

    /// Elements of all tensors of the output.
    pub fn elements(&self) -> u64 {
        self.tasks.iter().map(|task| task.elements() as u64).sum()
    }

    /// Fuses all tensors into files. `progress` hears of elements as they are done. Returns the digest of every file of
    /// every member, if digests are wanted.
    ///
    /// # Errors
    /// When a weight is not finite, integers differ, a member changed meanwhile, or the system refuses.
    pub fn run(
        &self,
        shards: &Shards<'_>,
        effort: Effort,
        mut progress: impl FnMut(u64),
    ) -> Result<Vec<Vec<Option<String>>>> {
        let work = Work {
            plan: self,
            shards,
            block: self.block(effort)?,
            level: Level::best(),
            pieces: self.pieces(),
            digesters: self.digesters(effort.digests),
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        };
        std::thread::scope(|scope| {
            let (sender, receiver) = channel();
            let workers: Vec<_> = (0..effort.threads.max(1))
                .map(|_| {
                    let (work, sender) = (&work, sender.clone());
                    scope.spawn(move || work.run(&sender))
                })
                .collect();
            drop(sender);
            receiver.into_iter().for_each(&mut progress);
            let results = workers
                .into_iter()
                .map(|worker| worker.join().expect("no worker panics"));
            results.fold(Ok(()), Result::and)
        })?;
        let digests = work.digesters.into_iter().map(|member| {
            let files = member.into_iter();
            files
                .map(|file| file.map(|file| file.finish(effort.threads)).transpose())
                .collect()
        });
        let digests = digests.collect::<Result<Vec<Vec<_>>>>()?;
        self.members
            .iter()
            .try_for_each(Checkpoint::check_unchanged)?;
        Ok(digests)
    }

    fn digesters(&self, wanted: bool) -> Vec<Vec<Option<Digester<'a>>>> {
        let members = self.members.iter();
        members
            .map(|member| {
                let files = member.files.iter();
                files
                    .map(|file| wanted.then(|| Digester::new(file)))
                    .collect()
            })
            .collect()
    }

    fn pieces(&self) -> Vec<Piece> {
        let tasks = self.tasks.iter().enumerate();
        tasks
            .flat_map(|(task, made)| {
                let elements = made.elements();
                (0..elements).step_by(PIECE).map(move |start| Piece {
                    task,
                    start,
                    length: PIECE.min(elements - start),
                })
            })
            .collect()
    }

    /// Elements per block, so that the buffers of all threads stay in the memory given.
    fn block(&self, effort: Effort) -> Result<usize> {
        let widest = |task: &Task<'_>| task.sources.iter().map(|source| source.dtype.size()).sum();
        let members: usize = self.tasks.iter().map(widest).max().unwrap_or(1);
        // Members, a sum, the output, and what dequantising takes.
        let each = members + 8 + 8 + 4;
        let room = effort.memory / effort.threads.max(1) / each;
        if room < SMALLEST_BLOCK {
            let least = (SMALLEST_BLOCK * each * effort.threads.max(1)).div_ceil(1 << 20);
            return Err(Error::input(
                "fuse::memory",
                "--memory",
                format!(
                    "found too little for the blocks of these members, expected {least} MiB or more"
                ),
            ));
        }
        let block = room
            .min(BLOCK_BYTES / members.max(1))
            .clamp(SMALLEST_BLOCK, BLOCK);
        // A power of two: no block of quantised numbers is cut, and every piece is a whole number of blocks.
        Ok(1 << block.ilog2())
    }
}

fn check_coefficients(place: &str, coefficients: &[f64], members: usize) -> Result<()> {
    let fault = |what: String| Error::input("fuse::coefficients", place, what);
    if coefficients.len() != members {
        return Err(fault(format!(
            "found {} coefficients, expected one per member: {members}",
            coefficients.len()
        )));
    }
    match coefficients
        .iter()
        .find(|coefficient| !coefficient.is_finite())
    {
        Some(odd) => Err(fault(format!(
            "found the coefficient {odd}, expected a finite number"
        ))),
        None => Ok(()),
    }
}

/// Whether a pattern fits a name: `*` stands for any characters, `?` for one.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the last star does not fit: one character later.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

impl<'a> Task<'a> {
    fn new(name: &str, members: &'a [Checkpoint], recipe: &Recipe) -> Result<Self> {
        let sources = members.iter().map(|member| {
            member.tensor(name).ok_or_else(|| {
                Error::input(
                    "fuse::tensor",
                    member.path.display(),
                    format!("found no tensor `{name}`, expected one as in the first member"),
                )
            })
        });
        let sources = sources.collect::<Result<Vec<&Tensor>>>()?;
        let first = sources[0];
        for (source, member) in sources.iter().zip(members) {
            let same_kind =
                source.dtype == first.dtype || (source.dtype.is_float() && first.dtype.is_float());
            if source.shape != first.shape || !same_kind {
                return Err(Error::input(
                    "fuse::tensor",
                    member.path.display(),
                    format!(
                        "tensor `{name}`: found {} {:?}, expected {} {:?} as in the first member",
                        source.dtype, source.shape, first.dtype, first.shape
                    ),
                ));
            }
        }
        let pattern = recipe.patterns.iter().rfind(|p| fits(&p.pattern, name));
        let dtype = match first.dtype.is_float() {
            true => recipe.dtype.unwrap_or(first.dtype),
            false => first.dtype,
        };
        let wide = match recipe.accumulate {
            Some(accumulate) => accumulate == Dtype::F64,
            None => dtype == Dtype::F64 || sources.iter().any(|source| source.dtype == Dtype::F64),
        };
        Ok(Self {
            spec: Spec {
                name: name.to_owned(),
                dtype,
                shape: first.shape.clone(),
            },
            coefficients: pattern
                .map_or(&recipe.coefficients, |p| &p.coefficients)
                .clone(),
            sources,
            wide,
        })
    }

    fn elements(&self) -> usize {
        self.sources[0].elements()
    }

    fn place(&self) -> String {
        format!("tensor `{}`", self.spec.name)
    }
}

/// Some elements of one tensor.
#[derive(Debug, Clone, Copy)]
struct Piece {
    task: usize,
    start: usize,
    length: usize,
}

/// What all threads share.
struct Work<'a> {
    plan: &'a Plan<'a>,
    shards: &'a Shards<'a>,
    block: usize,
    level: Level,
    pieces: Vec<Piece>,
    /// Per member and file.
    digesters: Vec<Vec<Option<Digester<'a>>>>,
    next: AtomicUsize,
    stop: AtomicBool,
}

/// What each thread has of its own.
#[derive(Default)]
struct Buffers {
    /// One block of each member.
    members: Vec<Vec<u8>>,
    scratch: Vec<u8>,
    narrow: Vec<f32>,
    wide: Vec<f64>,
    out: Vec<u8>,
}

impl Work<'_> {
    fn run(&self, done: &Sender<u64>) -> Result<()> {
        let mut buffers = Buffers::default();
        buffers.members.resize(self.plan.members.len(), Vec::new());
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

    fn piece(&self, piece: Piece, buffers: &mut Buffers) -> Result<()> {
        let task = &self.plan.tasks[piece.task];
        for start in (0..piece.length).step_by(self.block) {
            let block = Piece {
                start: piece.start + start,
                length: self.block.min(piece.length - start),
                ..piece
            };
            match (task.spec.dtype.is_float(), task.wide) {
                (false, _) => self.copy(task, block, buffers)?,
                (true, false) => {
                    let mut sums = std::mem::take(&mut buffers.narrow);
                    let made = self.average(task, block, buffers, &mut sums);
                    buffers.narrow = sums;
                    made?;
                }
                (true, true) => {
                    let mut sums = std::mem::take(&mut buffers.wide);
                    let made = self.average(task, block, buffers, &mut sums);
                    buffers.wide = sums;
                    made?;
                }
            }
            let offset = (block.start * task.spec.dtype.size()) as u64;
            self.shards.write(piece.task, offset, &buffers.out)?;
        }
        // What was just read is still in the cache.
        for (source, files) in task.sources.iter().zip(&self.digesters) {
            if let (Some(digester), Some(range)) =
                (&files[source.file], source.range(piece.start, piece.length))
            {
                digester.hash(range, &mut buffers.scratch)?;
            }
        }
        Ok(())
    }

    fn read(
        &self,
        member: usize,
        task: &Task<'_>,
        block: Piece,
        buffers: &mut Buffers,
    ) -> Result<()> {
        let source = task.sources[member];
        let buffer = &mut buffers.members[member];
        buffer.resize(block.length * source.dtype.size(), 0);
        self.plan.members[member].read(source, block.start, buffer, &mut buffers.scratch)
    }

    /// Members with the coefficient zero take no part, whatever they hold.
    fn average<S: SumElement>(
        &self,
        task: &Task<'_>,
        block: Piece,
        buffers: &mut Buffers,
        sums: &mut Vec<S>,
    ) -> Result<()> {
        let coefficients = task.coefficients.iter().copied().enumerate();
        let active: Vec<(usize, f64)> = coefficients.filter(|(_, c)| *c != 0.0).collect();
        for &(member, _) in &active {
            self.read(member, task, block, buffers)?;
        }
        let terms: Vec<Term<'_>> = active
            .iter()
            .map(|&(member, coefficient)| Term {
                bytes: &buffers.members[member],
                dtype: task.sources[member].dtype,
                coefficient,
            })
            .collect();
        let dtype = task.spec.dtype;
        buffers.out.resize(block.length * dtype.size(), 0);
        match S::in_place(&mut buffers.out, dtype) {
            Some(out) => weighted_sum(self.level, out, &terms),
            None => {
                sums.resize(block.length, S::default());
                weighted_sum(self.level, sums, &terms);
                store(self.level, sums, dtype, &mut buffers.out);
            }
        }
        match has_non_finite(&buffers.out, dtype) {
            true => Err(self.name_non_finite(task, block, &active, buffers)),
            false => Ok(()),
        }
    }

    /// A sum was not finite: says which weight is to blame.
    fn name_non_finite(
        &self,
        task: &Task<'_>,
        block: Piece,
        active: &[(usize, f64)],
        buffers: &Buffers,
    ) -> Error {
        let find = |bytes: &[u8], dtype| {
            let mut values = vec![0f64; block.length];
            read(self.level, bytes, dtype, &mut values);
            let position = values.iter().position(|value| !value.is_finite())?;
            let index = index(&task.spec.shape, block.start + position);
            Some((values[position], index))
        };
        for &(member, _) in active {
            if let Some((value, index)) = find(&buffers.members[member], task.sources[member].dtype)
            {
                return Error::input(
                    "fuse::not_finite",
                    self.plan.members[member].path.display(),
                    format!(
                        "{}: found {value} at {index:?}, expected finite weights",
                        task.place()
                    ),
                )
                .hint("leave this member out, or give it the coefficient 0");
            }
        }
        let place = find(&buffers.out, task.spec.dtype)
            .map(|(_, index)| index)
            .unwrap_or_default();
        Error::input(
            "fuse::overflow",
            task.place(),
            format!(
                "found a sum at {place:?} that is too large for {}, expected one that fits",
                task.spec.dtype
            ),
        )
        .hint("choose a type of larger range with `--dtype`, or smaller coefficients")
    }

    /// Takes integers over as they are in the first member.
    fn copy(&self, task: &Task<'_>, block: Piece, buffers: &mut Buffers) -> Result<()> {
        self.read(0, task, block, buffers)?;
        if self.plan.integers == Integers::Error {
            for member in 1..self.plan.members.len() {
                self.read(member, task, block, buffers)?;
                let (first, other) = (&buffers.members[0], &buffers.members[member]);
                if let Some(byte) = first.iter().zip(other).position(|(a, b)| a != b) {
                    let element = block.start + byte / task.spec.dtype.size();
                    return Err(Error::input(
                        "fuse::integers",
                        self.plan.members[member].path.display(),
                        format!(
                            "{}, {}: found another value at {:?} than in the first member, expected the same",
                            task.place(), task.spec.dtype, index(&task.spec.shape, element)
                        ),
                    )
                    .hint("`--integers first` takes those of the first member"));
                }
            }
        }
        let Buffers { members, out, .. } = buffers;
        out.clone_from(&members[0]);
        Ok(())
    }
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
