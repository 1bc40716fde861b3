//! Hypervolume after so many evaluations, against random coefficients:
//! `cargo run --release -p optimizer-gp --example against_random -- [evaluations] [seeds] [options as JSON]`.
//!
//! Prints one line per problem: the mean over seeds of the hypervolume for `gp` and for Dirichlet draws (both begin with the
//! members and their average), as shares of the largest seen in any run, and in how many seeds `gp` was ahead.

use bomf_plugin_api::{
    Context, Coordinate, Direction, Domain, Objective, Outcome, Parameter, PluginError, Result,
    Study, Suggestion, Suggestions,
};
use optimizer_gp::{pareto, simplex};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

/// How the value falls with the distance from an objective's best point.
#[derive(Clone, Copy)]
enum Shape {
    Smooth,
    Rippled,
    Cusped,
    /// Like an accuracy over 277 items.
    Steps,
}

/// Where the best points are.
#[derive(Clone, Copy)]
enum Place {
    Inside,
    Face,
    NearVertex,
}

struct Problem {
    name: &'static str,
    shape: Shape,
    place: Place,
    objectives: usize,
    members: usize,
}

const fn problem(name: &'static str, shape: Shape, place: Place, objectives: usize) -> Problem {
    Problem {
        name,
        shape,
        place,
        objectives,
        members: 15,
    }
}

const PROBLEMS: [Problem; 8] = [
    problem("smooth-inside", Shape::Smooth, Place::Inside, 2),
    problem("smooth-face", Shape::Smooth, Place::Face, 2),
    problem("smooth-vertex-3", Shape::Smooth, Place::NearVertex, 3),
    problem("rippled-inside-3", Shape::Rippled, Place::Inside, 3),
    problem("cusped-face", Shape::Cusped, Place::Face, 2),
    problem("cusped-inside", Shape::Cusped, Place::Inside, 2),
    problem("steps-inside", Shape::Steps, Place::Inside, 2),
    problem("steps-face-3", Shape::Steps, Place::Face, 3),
];

impl Problem {
    /// Best point and weight of each coordinate, for one objective of one instance.
    fn bottom(&self, objective: usize, instance: u64) -> (Vec<f64>, Vec<f64>) {
        let mut rng = ChaCha8Rng::seed_from_u64(instance);
        let common = simplex::draw(self.members, &mut rng);
        let corner = rng.random_range(0..self.members);
        rng.set_stream(1 + objective as u64);
        let own = simplex::draw(self.members, &mut rng);
        let mut point: Vec<f64> = common
            .iter()
            .zip(&own)
            .map(|(a, b)| 0.6 * a + 0.4 * b)
            .collect();
        match self.place {
            Place::Inside => {}
            Place::Face => point.iter_mut().enumerate().for_each(|(i, x)| {
                if i % 3 != 0 {
                    *x = 0.0;
                }
            }),
            Place::NearVertex => {
                point.iter_mut().for_each(|x| *x *= 0.15);
                point[corner] += 0.85;
            }
        }
        let total: f64 = point.iter().sum();
        point.iter_mut().for_each(|x| *x /= total);
        let weights = (0..self.members)
            .map(|_| (2.0 * rng.random::<f64>() - 1.0).exp())
            .collect();
        (point, weights)
    }

    fn values(&self, shares: &[f64], instance: u64) -> Vec<f64> {
        (0..self.objectives)
            .map(|objective| {
                let (bottom, weights) = self.bottom(objective, instance);
                let square: f64 = shares
                    .iter()
                    .zip(&bottom)
                    .zip(&weights)
                    .map(|((x, b), w)| w * (x - b) * (x - b))
                    .sum();
                match self.shape {
                    Shape::Smooth => -square,
                    Shape::Rippled => -square - 0.02 * (1.0 - (25.0 * square.sqrt()).cos()),
                    Shape::Cusped => -square.sqrt(),
                    Shape::Steps => (277.0 * (0.95 - 0.2 * square)).round() / 277.0,
                }
            })
            .collect()
    }

    fn study(&self) -> Study {
        let domain = Domain::Simplex {
            dimension: self.members,
        };
        let space = vec![Parameter {
            name: "c".into(),
            domain,
        }];
        let names = ["a", "b", "c"];
        Study::new(
            space,
            (0..self.objectives)
                .map(|o| Objective::new(names[o], Direction::Maximize))
                .collect(),
        )
    }

    /// Scales each objective by the members and sets the reference, as the host does.
    fn scale(&self, study: &mut Study, instance: u64) -> (Vec<f64>, Vec<f64>) {
        let members: Vec<Vec<f64>> = (0..self.members)
            .map(|i| self.values(&simplex::vertex(i, self.members), instance))
            .collect();
        let (mut lows, mut highs) = (Vec::new(), Vec::new());
        for (o, objective) in study.objectives.iter_mut().enumerate() {
            let low = members.iter().map(|v| v[o]).fold(f64::INFINITY, f64::min);
            let high = members
                .iter()
                .map(|v| v[o])
                .fold(f64::NEG_INFINITY, f64::max);
            objective.scale = Some((low, high));
            objective.reference = Some(low - 0.1 * (high - low));
            lows.push(low);
            highs.push(high);
        }
        (lows, highs)
    }
}

fn run(
    problem: &Problem,
    instance: u64,
    evaluations: usize,
    mut next: impl FnMut(&Study) -> Result<Suggestion>,
) -> Result<f64> {
    let mut study = problem.study();
    let (lows, highs) = problem.scale(&mut study, instance);
    while study.trials.len() < evaluations {
        let suggestion = next(&study)?;
        let [Coordinate::Simplex(shares)] = suggestion.point.as_slice() else {
            return Err(PluginError::failed("found a point that is no simplex's"));
        };
        let values = problem.values(shares, instance);
        let id = study.suggest(suggestion) as usize;
        study.trials[id].outcome = Outcome::finished(values);
    }
    let normalised: Vec<Vec<f64>> = study
        .finished()
        .map(|(_, values)| {
            (0..values.len())
                .map(|o| (values[o] - lows[o]) / (highs[o] - lows[o]))
                .collect()
        })
        .collect();
    Ok(pareto::hypervolume(
        &normalised,
        &vec![-0.1; problem.objectives],
    )?)
}

fn random(study: &Study, members: usize, seed: u64) -> Suggestion {
    let trial = study.trials.len();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(trial as u64);
    let shares = match trial {
        _ if trial < members => simplex::vertex(trial, members),
        _ if trial == members => simplex::centre(members),
        _ => simplex::draw(members, &mut rng),
    };
    Suggestion::evaluate(vec![Coordinate::Simplex(shares)])
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| {
        arguments
            .get(at)
            .and_then(|a| a.parse().ok())
            .unwrap_or(default)
    };
    let (evaluations, seeds) = (number(0, 75) as usize, number(1, 5));
    let options = arguments.get(2).map_or("{}", String::as_str);
    println!(
        "{:18} {:>8} {:>8} {:>6}",
        "problem", "gp", "random", "ahead"
    );
    let mut sums = [0.0; 2];
    for problem in &PROBLEMS {
        let (mut by_gp, mut by_random) = (Vec::new(), Vec::new());
        for seed in 0..seeds {
            let context = Context::new(2, seed);
            let mut gp = optimizer_gp::library().make_optimizer("gp", options, &context)?;
            by_gp.push(run(problem, seed, evaluations, |study| {
                match gp.suggest(study, 1)? {
                    Suggestions::Points(mut points) => Ok(points.remove(0)),
                    _ => Err(PluginError::failed("found an optimizer that is done")),
                }
            })?);
            by_random.push(run(problem, seed, evaluations, |study| {
                Ok(random(study, problem.members, seed))
            })?);
        }
        // Instances differ from seed to seed: each is measured by the better of its two runs.
        let best: Vec<f64> = by_gp
            .iter()
            .zip(&by_random)
            .map(|(a, b)| a.max(*b))
            .collect();
        let mean =
            |of: &[f64]| of.iter().zip(&best).map(|(a, b)| a / b).sum::<f64>() / best.len() as f64;
        let ahead = by_gp.iter().zip(&by_random).filter(|(a, b)| a > b).count();
        let (gp, random) = (mean(&by_gp), mean(&by_random));
        sums = [sums[0] + gp, sums[1] + random];
        println!(
            "{:18} {gp:8.4} {random:8.4} {ahead:>3}/{}",
            problem.name,
            best.len()
        );
        if std::env::var_os("RAW").is_some() {
            println!("  {by_gp:.4?}");
        }
    }
    let count = PROBLEMS.len() as f64;
    println!(
        "{:18} {:8.4} {:8.4}",
        "mean",
        sums[0] / count,
        sums[1] / count
    );
    Ok(())
}
