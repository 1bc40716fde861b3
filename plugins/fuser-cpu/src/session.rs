//! A set of members, and what is computed of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bomf_plugin_api::{
    Dtype, FuserSession, FusionShape, Member, Result, SharedBytes, Tensor, TensorMut,
};

use fusion::kernel::reduce::{Gram, Run, TILE, inner};
use fusion::kernel::{BLOCK, Level, SumElement, Term, read, store, weighted_sum};

/// The types that can be fused: all floating-point numbers.
pub(crate) const TYPES: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::F64];

/// Elements per piece of work of a reduction; its partial sums are added in the order of the pieces, so that results do
/// not depend on the number of threads.
const PIECE: usize = 1 << 20;

/// Members where they lie.
pub struct Session {
    members: Vec<Member>,
    shape: FusionShape,
    threads: usize,
    level: Level,
}

/// Some elements of one tensor.
#[derive(Clone, Copy)]
struct Piece {
    tensor: usize,
    start: usize,
    length: usize,
}

impl Piece {
    /// It in parts of so many elements.
    fn parts(self, most: usize) -> impl Iterator<Item = Self> {
        (0..self.length).step_by(most).map(move |start| Self {
            start: self.start + start,
            length: most.min(self.length - start),
            ..self
        })
    }
}

impl Session {
    /// Takes members over, once they are known to be alike.
    ///
    /// # Errors
    /// Names the member and the tensor that is at fault.
    pub fn new(members: Vec<Member>, groups: Vec<usize>, threads: usize) -> Result<Self> {
        let shape = FusionShape::of(&members, groups, &TYPES)?;
        Ok(Self {
            members,
            shape,
            threads,
            level: Level::best(),
        })
    }

    fn elements(&self, tensor: usize) -> usize {
        let tensor = &self.members[0].tensors[tensor];
        tensor.data().len() / tensor.spec().dtype.size()
    }

    fn bytes(&self, member: usize, piece: Piece) -> (&[u8], Dtype) {
        let tensor = &self.members[member].tensors[piece.tensor];
        slice(tensor, piece)
    }

    /// The terms of a tensor's sum; members with the coefficient zero take no part, whatever they hold.
    fn terms(&self, piece: Piece, coefficients: &[f64]) -> Vec<Term<'_>> {
        let row = self.shape.row(coefficients, piece.tensor);
        let active = row
            .iter()
            .enumerate()
            .filter(|(_, coefficient)| **coefficient != 0.0);
        active
            .map(|(member, &coefficient)| {
                let (bytes, dtype) = self.bytes(member, piece);
                Term {
                    bytes,
                    dtype: element(dtype),
                    coefficient,
                }
            })
            .collect()
    }

    /// All elements of all tensors in pieces of at most `most`.
    fn pieces(&self, most: usize) -> Vec<Piece> {
        let tensors = 0..self.members[0].tensors.len();
        tensors
            .flat_map(|tensor| {
                let elements = self.elements(tensor);
                (0..elements).step_by(most).map(move |start| Piece {
                    tensor,
                    start,
                    length: most.min(elements - start),
                })
            })
            .collect()
    }

    /// Adds up what `work` makes of every piece; each result has `width` numbers.
    fn reduce(&self, width: usize, work: impl Fn(Piece) -> Vec<f64> + Sync) -> Vec<f64> {
        let pieces = self.pieces(PIECE);
        let next = AtomicUsize::new(0);
        let partial = Mutex::new(vec![vec![0.0; width]; pieces.len()]);
        std::thread::scope(|scope| {
            for _ in 0..self.threads.min(pieces.len()) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(&piece) = pieces.get(index) else {
                            return;
                        };
                        let sums = work(piece);
                        partial.lock().expect("no holder of the lock panics")[index] = sums;
                    }
                });
            }
        });
        let partial = partial
            .into_inner()
            .expect("no holder of the lock panicked");
        partial.iter().fold(vec![0.0; width], |mut total, sums| {
            total
                .iter_mut()
                .zip(sums)
                .for_each(|(total, sum)| *total += sum);
            total
        })
    }

    /// The piece's part of the Gram matrix.
    fn gram_of(&self, piece: Piece) -> Vec<f64> {
        let mut gram = Gram::new(self.level, self.members.len());
        for part in piece.parts(TILE) {
            let runs: Vec<Run<'_>> = self.runs(part).collect();
            gram.add(&runs);
        }
        gram.finish()
    }

    fn project_of(&self, piece: Piece, gradient: &[Tensor]) -> Vec<f64> {
        let mut sums = vec![0.0; self.members.len()];
        let mut direction = [0.0; TILE];
        for part in piece.parts(TILE) {
            let direction = &mut direction[..part.length];
            let (bytes, dtype) = slice(&gradient[part.tensor], part);
            read(self.level, bytes, element(dtype), direction);
            for (run, sum) in self.runs(part).zip(&mut sums) {
                *sum += inner(self.level, direction, run);
            }
        }
        sums
    }

    /// Some elements of every member.
    fn runs(&self, piece: Piece) -> impl Iterator<Item = Run<'_>> {
        (0..self.members.len()).map(move |member| {
            let (bytes, dtype) = self.bytes(member, piece);
            let dtype = element(dtype);
            Run { bytes, dtype }
        })
    }
}

impl FuserSession for Session {
    fn fuse(&mut self, coefficients: &[f64], out: &mut [TensorMut<'_>]) -> Result<()> {
        self.shape.check_call(coefficients, out)?;
        let wide = out.iter().any(|tensor| tensor.spec().dtype == Dtype::F64)
            || self
                .members
                .iter()
                .any(|m| m.tensors.iter().any(|t| t.spec().dtype == Dtype::F64));
        let shares = share_out(out, self.threads);
        let work = |share| match wide {
            true => fuse_share::<f64>(self, coefficients, share),
            false => fuse_share::<f32>(self, coefficients, share),
        };
        std::thread::scope(|scope| {
            let mut shares = shares.into_iter();
            let own = shares.next();
            for share in shares {
                scope.spawn(move || work(share));
            }
            own.into_iter().for_each(work);
        });
        Ok(())
    }

    fn gram(&mut self) -> Result<Vec<f64>> {
        let n = self.members.len();
        Ok(self.reduce(n * n, |piece| self.gram_of(piece)))
    }

    fn project(&mut self, gradient: &[Tensor]) -> Result<Vec<f64>> {
        self.shape.check_gradient(gradient, &TYPES)?;
        Ok(self.reduce(self.members.len(), |piece| self.project_of(piece, gradient)))
    }
}

/// Part of an output tensor that one thread fills.
struct Part<'a> {
    tensor: usize,
    start: usize,
    dtype: Dtype,
    bytes: &'a mut [u8],
}

/// Splits the outputs into one share per thread, of equal numbers of elements.
fn share_out<'a>(out: &'a mut [TensorMut<'_>], threads: usize) -> Vec<Vec<Part<'a>>> {
    let total: usize = out
        .iter_mut()
        .map(|out| out.data().len() / out.spec().dtype.size())
        .sum();
    let most = total.div_ceil(threads.max(1)).next_multiple_of(BLOCK);
    let mut shares = vec![Vec::new()];
    let mut room = most;
    for (tensor, out) in out.iter_mut().enumerate() {
        let dtype = out.spec().dtype;
        let (mut rest, mut start) = (out.data(), 0);
        while !rest.is_empty() {
            if room == 0 {
                shares.push(Vec::new());
                room = most;
            }
            let length = room.min(rest.len() / dtype.size());
            let bytes;
            (bytes, rest) = rest.split_at_mut(length * dtype.size());
            let share = shares.last_mut().expect("there is one from the start");
            share.push(Part {
                tensor,
                start,
                dtype,
                bytes,
            });
            start += length;
            room -= length;
        }
    }
    shares
}

fn fuse_share<S: SumElement>(session: &Session, coefficients: &[f64], share: Vec<Part<'_>>) {
    let mut sums: Vec<S> = std::iter::repeat_n(S::default(), BLOCK).collect();
    for part in share {
        let size = part.dtype.size();
        for (index, out) in part.bytes.chunks_mut(BLOCK * size).enumerate() {
            let length = out.len() / size;
            let piece = Piece {
                tensor: part.tensor,
                start: part.start + index * BLOCK,
                length,
            };
            let terms = session.terms(piece, coefficients);
            match S::in_place(out, element(part.dtype)) {
                Some(out) => weighted_sum(session.level, out, &terms),
                None => {
                    weighted_sum(session.level, &mut sums[..length], &terms);
                    store(session.level, &sums[..length], element(part.dtype), out);
                }
            }
        }
    }
}

/// The library's name of a type of elements.
fn element(dtype: Dtype) -> fusion::Dtype {
    fusion::Dtype::from_name(dtype.name())
        .expect("members and outputs were found to be floating-point numbers")
}

fn slice(tensor: &Tensor, piece: Piece) -> (&[u8], Dtype) {
    let dtype = tensor.spec().dtype;
    let data: &SharedBytes = tensor.data();
    (
        &data[piece.start * dtype.size()..][..piece.length * dtype.size()],
        dtype,
    )
}
