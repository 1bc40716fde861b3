//! Time per suggestion: `cargo run --release -p optimizer-gp --example time_per_suggestion`.
//!
//! Prints one line per size: members, objectives, trials, milliseconds of CPU time on one thread (on Linux, elsewhere of the
//! clock), milliseconds of the clock on one and on two threads, how many times faster two threads are, and how many times
//! as much two such suggestions on one thread each get done side by side: what the machine's cores leave room for. Each is the
//! mean over five studies of the least of three times. On a busy machine only the CPU time means anything.

use std::fs::DirEntry;
use std::time::Instant;

use bomf_plugin_api::{
    Context, Coordinate, Direction, Domain, Objective, Outcome, Parameter, PluginError, Study,
    Suggestion, Suggestions,
};
use optimizer_gp::simplex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

const STUDIES: u64 = 5;
const REPEATS: usize = 3;

fn main() -> Result<(), PluginError> {
    println!("members objectives trials   cpu ms   one ms   two ms  faster  at most");
    for (members, objectives, trials) in [
        (15, 1, 75),
        (15, 2, 30),
        (15, 2, 75),
        (15, 3, 75),
        (15, 4, 75),
        (64, 2, 128),
        (64, 2, 320),
    ] {
        let mut means = [0.0; 4];
        for seed in 0..STUDIES {
            let mut least = [f64::INFINITY; 4];
            for _ in 0..REPEATS {
                let alone = |threads| time(members, objectives, trials, threads, seed);
                let (of_one, of_cpu) = alone(1)?;
                let (of_two, _) = alone(2)?;
                let (of_both, _) = std::thread::scope(|scope| {
                    let other = scope.spawn(|| alone(1));
                    let own = alone(1);
                    other.join().expect("it does not panic").and(own)
                })?;
                for (least, time) in least.iter_mut().zip([of_cpu, of_one, of_two, of_both]) {
                    *least = least.min(time);
                }
            }
            for (mean, least) in means.iter_mut().zip(least) {
                *mean += least / STUDIES as f64;
            }
        }
        let [cpu, one, two, both] = means;
        println!(
            "{members:7} {objectives:10} {trials:6} {cpu:8.1} {one:8.1} {two:8.1} {:7.2} {:8.2}",
            one / two,
            2.0 * one / both
        );
    }
    Ok(())
}

/// Milliseconds of one suggestion by the clock, and of CPU time.
fn time(
    members: usize,
    objectives: usize,
    trials: usize,
    threads: usize,
    seed: u64,
) -> Result<(f64, f64), PluginError> {
    let mut study = study(members, objectives, trials, seed);
    let mut gp =
        optimizer_gp::library().make_optimizer("gp", "{}", &Context::new(threads, seed))?;
    // The second suggestion starts from the first one's fits, as all but the first of a run do.
    let first = gp.suggest(&study, 1)?;
    tell(&mut study, first, objectives);
    let (start, start_of_cpu) = (Instant::now(), cpu_seconds());
    gp.suggest(&study, 1)?;
    let seconds = start.elapsed().as_secs_f64();
    let of_cpu = match (start_of_cpu, cpu_seconds()) {
        (Some(before), Some(after)) => after - before,
        _ => seconds,
    };
    Ok((seconds * 1e3, of_cpu * 1e3))
}

/// CPU time of all threads so far.
fn cpu_seconds() -> Option<f64> {
    let of = |thread: std::io::Result<DirEntry>| -> Option<f64> {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    let nanoseconds: Option<f64> = std::fs::read_dir("/proc/self/task").ok()?.map(of).sum();
    Some(nanoseconds? * 1e-9)
}

/// Members, their average, then random points.
fn study(members: usize, objectives: usize, trials: usize, seed: u64) -> Study {
    let space = vec![Parameter {
        name: "c".into(),
        domain: Domain::Simplex { dimension: members },
    }];
    let names = ["loss", "accuracy", "f1", "em"];
    let sought = (0..objectives)
        .map(|o| Objective::new(names[o], Direction::Maximize))
        .collect();
    let mut study = Study::new(space, sought);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for trial in 0..trials {
        let shares = match trial {
            _ if trial < members => simplex::vertex(trial, members),
            _ if trial == members => simplex::centre(members),
            _ => simplex::draw_on_face(members, &mut rng),
        };
        let suggestion = Suggestion::evaluate(vec![Coordinate::Simplex(shares)]);
        tell(
            &mut study,
            Suggestions::Points(vec![suggestion]),
            objectives,
        );
    }
    study
}

fn tell(study: &mut Study, suggestions: Suggestions, objectives: usize) {
    let Suggestions::Points(points) = suggestions else {
        return;
    };
    for suggestion in points {
        let [Coordinate::Simplex(shares)] = suggestion.point.as_slice() else {
            return;
        };
        // Bowls with different bottoms, and a ripple.
        let values = (0..objectives)
            .map(|o| {
                let bowl: f64 = shares
                    .iter()
                    .enumerate()
                    .map(|(i, share)| {
                        let bottom =
                            if i % (objectives + 1) == o { 3.0 } else { 1.0 } / shares.len() as f64;
                        (share - bottom).powi(2)
                    })
                    .sum();
                -bowl + 0.01 * (20.0 * shares[o]).sin()
            })
            .collect();
        let id = study.suggest(suggestion) as usize;
        study.trials[id].outcome = Outcome::finished(values);
    }
}
