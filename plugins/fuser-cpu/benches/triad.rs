//! Speed of fusion as a share of a STREAM triad, measured in the same process with the same threads.
//!
//!     cargo bench -p fuser-cpu [-- THREADS]
//!
//! 15 members of 25 M elements into a buffer that is used again. Both are repeated in turn, and the median of
//! the ratios of neighbours counts: memory is shared with whatever else the machine does. Bytes are counted as STREAM does: read once, written once.

use std::time::Instant;

use bomf_plugin_api::{Context, Dtype, Member, SharedBytes, Tensor, TensorMut, TensorSpec};

const MEMBERS: usize = 15;
const ELEMENTS: usize = 25_000_000;
const ROUNDS: usize = 30;
/// Of them with reductions.
const REDUCTIONS: usize = 9;

fn main() {
    let threads = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .next();
    let threads =
        threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    println!("{MEMBERS} members of {ELEMENTS} elements, {threads} threads, median of {ROUNDS}");
    for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
        measure(dtype, threads);
    }
}

fn measure(dtype: Dtype, threads: usize) {
    let spec = || TensorSpec {
        name: "w".into(),
        dtype,
        shape: vec![ELEMENTS],
    };
    let members: Vec<Member> = (0..MEMBERS)
        .map(|m| {
            // Numbers of ordinary size in any of the three types.
            let bytes = (0..ELEMENTS * dtype.size()).map(|i| {
                if i % dtype.size() == dtype.size() - 1 {
                    0x3c
                } else {
                    (i * 31 + m) as u8
                }
            });
            let tensor = Tensor::new(spec(), SharedBytes::new(bytes.collect::<Vec<u8>>()));
            Member {
                name: format!("m{m}"),
                tensors: vec![tensor.expect("the bytes fit")],
            }
        })
        .collect();
    let fuser = fuser_cpu::library()
        .make_fuser("cpu", "{}", &Context::new(threads, 0))
        .expect("a fuser");
    let mut session = fuser.open(members.clone(), Vec::new()).expect("a session");
    let mut out = vec![0u8; ELEMENTS * dtype.size()];
    let coefficients: Vec<f64> = (0..MEMBERS).map(|m| 1.0 / (m + 2) as f64).collect();
    let mut stream = Stream::new(threads);
    let (mut triad, mut fuse, mut gram, mut project) = (vec![], vec![], vec![], vec![]);
    let bytes = ((MEMBERS + 1) * ELEMENTS * dtype.size()) as f64;
    for round in 0..ROUNDS {
        let now = stream.triad();
        triad.push(now);
        let mut tensor = [TensorMut::new(spec(), &mut out).expect("the bytes fit")];
        fuse.push(
            rate(bytes, || {
                session.fuse(&coefficients, &mut tensor).expect("a fusion")
            }) / now,
        );
        if round < REDUCTIONS {
            gram.push(rate(bytes, || drop(session.gram().expect("a gram matrix"))) / now);
            project.push(
                rate(bytes, || {
                    drop(session.project(&members[0].tensors).expect("a projection"))
                }) / now,
            );
        }
    }
    let [triad, fuse, gram, project] = [triad, fuse, gram, project].map(median);
    let read = median((0..5).map(|_| plain_reading(&members, threads)).collect());
    println!(
        "{dtype:>4}: reading {read:.1} GB/s, triad {triad:.1} GB/s; of it: fuse {fuse:.2}, gram {gram:.2}, project {project:.2}"
    );
}

/// Speed of reading the members and doing next to nothing with them: the ceiling of fusion, which reads far more than it
/// writes.
fn plain_reading(members: &[Member], threads: usize) -> f64 {
    let data = members.iter().map(|member| &member.tensors[0].data()[..]);
    let parts: Vec<&[u8]> = data
        .flat_map(|d| d.chunks(d.len().div_ceil(threads)))
        .collect();
    let bytes = parts.iter().map(|part| part.len()).sum::<usize>() as f64;
    rate(bytes, || {
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let own = parts.iter().skip(thread).step_by(threads);
                scope.spawn(move || own.map(|part| checksum(part)).fold(0, u64::wrapping_add));
            }
        });
    })
}

fn checksum(bytes: &[u8]) -> u64 {
    let words = bytes.as_chunks::<8>().0.as_chunks::<8>().0;
    let mut sums = [0u64; 8];
    for line in words {
        for (sum, word) in sums.iter_mut().zip(line) {
            *sum ^= u64::from_le_bytes(*word);
        }
    }
    std::hint::black_box(sums).iter().fold(0, |a, b| a ^ b)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Gigabytes per second.
fn rate(bytes: f64, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    bytes / start.elapsed().as_secs_f64() / 1e9
}

/// STREAM's triad (McCalpin 1995): `a = b + q * c` over arrays of f64 far larger than the caches.
struct Stream {
    a: Vec<f64>,
    b: Vec<f64>,
    c: Vec<f64>,
    threads: usize,
}

impl Stream {
    const LENGTH: usize = 40_000_000;

    fn new(threads: usize) -> Self {
        let [a, b, c] = [0.0, 1.0, 2.0].map(|value| vec![value; Self::LENGTH]);
        Self { a, b, c, threads }
    }

    fn triad(&mut self) -> f64 {
        let part = Self::LENGTH.div_ceil(self.threads);
        rate((3 * Self::LENGTH * 8) as f64, || {
            std::thread::scope(|scope| {
                let parts = self
                    .a
                    .chunks_mut(part)
                    .zip(self.b.chunks(part))
                    .zip(self.c.chunks(part));
                for ((a, b), c) in parts {
                    scope.spawn(move || {
                        a.iter_mut()
                            .zip(b)
                            .zip(c)
                            .for_each(|((a, b), c)| *a = b + 3.0 * c)
                    });
                }
            });
        })
    }
}
