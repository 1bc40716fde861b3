//! CPU time per suggestion, on one thread: `cargo run --release -p optimizer-gp --example time_per_suggestion`.
//!
//! Prints one line per size: members, objectives, trials, milliseconds (median of five).

use std::time::Instant;

use bomf_plugin_api::{
    Context, Coordinate, Direction, Domain, Objective, Outcome, Parameter, Study, Suggestion,
    Suggestions,
};
use optimizer_gp::simplex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

fn main() -> Result<(), bomf_plugin_api::PluginError> {
    println!("members objectives trials milliseconds");
    for (members, objectives, trials) in [
        (15, 2, 30),
        (15, 2, 75),
        (15, 3, 30),
        (15, 3, 75),
        (15, 4, 75),
        (15, 1, 75),
        (64, 2, 128),
    ] {
        let mut times: Vec<f64> = (0..5)
            .map(|seed| {
                let mut study = study(members, objectives, trials, seed);
                let mut gp =
                    optimizer_gp::library().make_optimizer("gp", "{}", &Context::new(1, seed))?;
                // The second suggestion starts from the first one's fits, as all but the first of a run do.
                let first = gp.suggest(&study, 1)?;
                tell(&mut study, first, objectives);
                let start = Instant::now();
                gp.suggest(&study, 1)?;
                Ok(start.elapsed().as_secs_f64() * 1e3)
            })
            .collect::<Result<_, bomf_plugin_api::PluginError>>()?;
        times.sort_by(f64::total_cmp);
        println!("{members:7} {objectives:10} {trials:6} {:12.1}", times[2]);
    }
    Ok(())
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
