//! Speed of fusers as a share of a STREAM triad, measured in the same process with the same threads.
//!
//!     cargo xtask build [--all]
//!     cargo bench -p bomf --bench fusers [-- [THREADS] [FUSER[=OPTIONS]]...]
//!
//! Fusers are opened as runs open them, from the built plugins, and have the same work: 15 members of 25 M elements into
//! a buffer that is used again. Fusion and triad are repeated in turn, and the median of the ratios of neighbours counts:
//! memory is shared with whatever else the machine does. Bytes are counted as STREAM does: read once, written once.

use std::path::Path;
use std::time::{Duration, Instant};

use bomf::registry::Registry;
use bomf_plugin_api::{Context, Dtype, Fuser, Member, SharedBytes, Tensor, TensorMut, TensorSpec};
use serde_json::{Value, json};

const MEMBERS: usize = 15;
const ELEMENTS: usize = 25_000_000;
const ROUNDS: usize = 30;
/// Of them with reductions.
const REDUCTIONS: usize = 9;
/// What a fuser may take for its fusions of one type, once it has done three.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let mut threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut fusers: Vec<(String, Value)> = Vec::new();
    for argument in std::env::args().skip(1).filter(|a| a != "--bench") {
        let (name, options) = argument.split_once('=').unwrap_or((&argument, "{}"));
        match argument.parse() {
            Ok(number) => threads = number,
            Err(_) => fusers.push((
                name.to_owned(),
                serde_json::from_str(options).expect("options are JSON"),
            )),
        }
    }
    if fusers.is_empty() {
        fusers.push(("cpu".to_owned(), json!({})));
    }
    let built = Path::new(env!("CARGO_BIN_EXE_bomf")).with_file_name("plugins");
    let registry = Registry::discover(&[built], 1);
    println!("{MEMBERS} members of {ELEMENTS} elements, {threads} threads, medians");
    for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
        let members = members(dtype);
        let mut stream = Stream::new(threads);
        let triad = median((0..5).map(|_| stream.triad()).collect());
        let read = median((0..5).map(|_| plain_reading(&members, threads)).collect());
        println!("{dtype}: reading {read:.1} GB/s, triad {triad:.1} GB/s");
        for (name, options) in &fusers {
            let context = Context::new(threads, 0);
            match registry.fuser(name, options, &context) {
                Ok(fuser) => measure(name, &*fuser, &members, &mut stream),
                Err(fault) => println!("  {name}: {}", fault.message),
            }
        }
    }
}

fn spec(dtype: Dtype) -> TensorSpec {
    TensorSpec {
        name: "w".into(),
        dtype,
        shape: vec![ELEMENTS],
    }
}

/// Numbers of ordinary size in any of the three types.
fn members(dtype: Dtype) -> Vec<Member> {
    let byte = |m: usize, i: usize| match i % dtype.size() == dtype.size() - 1 {
        true => 0x3c,
        false => (i * 31 + m) as u8,
    };
    let member = |m| {
        let bytes: Vec<u8> = (0..ELEMENTS * dtype.size()).map(|i| byte(m, i)).collect();
        let tensor = Tensor::new(spec(dtype), SharedBytes::new(bytes));
        Member {
            name: format!("m{m}"),
            tensors: vec![tensor.expect("the bytes fit")],
        }
    };
    (0..MEMBERS).map(member).collect()
}

fn measure(name: &str, fuser: &dyn Fuser, members: &[Member], stream: &mut Stream) {
    let on = match fuser.devices() {
        Ok(devices) => devices.first().map_or(String::new(), |d| d.name.clone()),
        Err(error) => return println!("  {name}: {}", error.message),
    };
    let dtype = members[0].tensors[0].spec().dtype;
    let start = Instant::now();
    let mut session = match fuser.open(members.to_vec(), Vec::new()) {
        Ok(session) => session,
        Err(error) => return println!("  {name} on {on}: {}", error.message),
    };
    let opened = start.elapsed().as_secs_f64();
    let mut out = vec![0u8; ELEMENTS * dtype.size()];
    let coefficients: Vec<f64> = (0..MEMBERS).map(|m| 1.0 / (m + 2) as f64).collect();
    let bytes = ((MEMBERS + 1) * ELEMENTS * dtype.size()) as f64;
    let (mut speed, mut fuse, mut gram, mut project) = (vec![], vec![], vec![], vec![]);
    let start = Instant::now();
    for round in 0..ROUNDS {
        if round >= 3 && start.elapsed() > PATIENCE {
            break;
        }
        let now = stream.triad();
        let mut tensor = [TensorMut::new(spec(dtype), &mut out).expect("the bytes fit")];
        let rate_of_fusion = rate(bytes, || {
            session.fuse(&coefficients, &mut tensor).expect("a fusion");
        });
        speed.push(rate_of_fusion);
        fuse.push(rate_of_fusion / now);
        if round < REDUCTIONS {
            let rate_of_gram = rate(bytes, || drop(session.gram().expect("a gram matrix")));
            gram.push(rate_of_gram / now);
            let gradient = &members[0].tensors;
            let rate_of_projection = rate(bytes, || {
                drop(session.project(gradient).expect("a projection"));
            });
            project.push(rate_of_projection / now);
        }
    }
    let rounds = fuse.len();
    let [speed, fuse, gram, project] = [speed, fuse, gram, project].map(median);
    println!(
        "  {name} on {on}: open {opened:.2} s, fuse {speed:.1} GB/s; of the triad: fuse {fuse:.2}, gram {gram:.2}, project {project:.2} ({rounds} fusions)"
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
