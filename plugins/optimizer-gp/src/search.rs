//! Where an acquisition function is largest.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::acquisition::Acquisition;
use crate::ascent::{Walk, ascend};
use crate::quasi::Sobol;
use crate::space::SearchSpace;
use crate::taken::Taken;

/// How hard to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Points at which the function is evaluated first.
    pub raw_samples: usize,
    /// How many of them are refined with gradients.
    pub restarts: usize,
}

/// Iterations of every refinement, and of the few that lead after that.
const FIRST_ITERATIONS: usize = 10;
const LAST_ITERATIONS: usize = 40;

/// How many refinements go on after the first iterations: an even number, so that two threads share them.
const FINALISTS: usize = 4;

/// Most rounds of steps among integers and choices.
const STEP_ROUNDS: usize = 8;

/// How far from all taken points, in some coordinate, a new one is.
const NEAREST: f64 = 1e-6;

/// The best point found that is not one of `taken`; `None` if every point looked at was.
///
/// `incumbents` (the best points so far, best first) are looked around in particular. The result depends on the state of
/// `rng` and the arguments alone.
pub fn maximise(
    acquisition: &dyn Acquisition,
    space: &SearchSpace,
    incumbents: &[Vec<f64>],
    taken: &Taken,
    effort: Effort,
    rng: &mut ChaCha8Rng,
) -> Option<Vec<f64>> {
    // 1. Raw samples.
    let evaluate = |point: Vec<f64>| Walk {
        value: acquisition.value(&point),
        point,
    };
    let raw = raw_points(space, incumbents, effort.raw_samples, rng);
    let raw: Vec<Walk> = raw.into_par_iter().map(evaluate).collect();

    // 2. A few iterations from each start; the leaders go on.
    let climb = |walk: Walk, iterations: usize, hold_integers: bool| {
        let start = walk.point.clone();
        ascend(
            walk.point,
            iterations,
            |point| space.project(point, &start, hold_integers),
            |point, gradient| acquisition.value_and_gradient(point, gradient),
        )
    };
    let mut refined = each(choose_starts(&raw, effort.restarts, rng), |walk| {
        climb(walk, FIRST_ITERATIONS, false)
    });
    sort(&mut refined);
    let others = refined.split_off(FINALISTS.min(refined.len()));
    refined = each(refined, |walk| climb(walk, LAST_ITERATIONS, false));
    refined.extend(others);

    // 3. Integers and choices: round, step to better neighbours, refine the rest once more.
    if space.has_steps() {
        refined = each(refined, |mut walk| {
            space.round(&mut walk.point);
            let stepped = step_uphill(acquisition, space, evaluate(walk.point));
            climb(stepped, FIRST_ITERATIONS, true)
        });
    }

    // 4. The best that is new.
    let is_new = |walk: &Walk| !taken.has_within(&walk.point, NEAREST);
    let mut all = refined;
    all.extend(raw);
    sort(&mut all);
    all.into_iter().find(is_new).map(|walk| walk.point)
}

/// Walks on from each, of which one may be as much work as several others.
fn each(walks: Vec<Walk>, go_on: impl Fn(Walk) -> Walk + Sync + Send) -> Vec<Walk> {
    walks.into_par_iter().with_max_len(1).map(go_on).collect()
}

/// Half spread over the whole space, half round the incumbents.
fn raw_points(
    space: &SearchSpace,
    incumbents: &[Vec<f64>],
    count: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Vec<f64>> {
    let local = if incumbents.is_empty() { 0 } else { count / 2 };
    let sobol = Sobol::new(rng.random());
    (0..count)
        .map(|index| {
            if index < local {
                // The first incumbents come round once more than the last.
                return space.neighbour(&incumbents[index % incumbents.len()], rng);
            }
            if index % 2 == 0 {
                return space.draw_on_face(rng);
            }
            let mut dimension = 0;
            space.from_cube(|| {
                dimension += 1;
                sobol.number(index as u64, dimension - 1)
            })
        })
        .collect()
}

/// The best raw point and others drawn without replacement, with odds growing exponentially in the standardised value
/// (Boltzmann selection, by Gumbel keys).
fn choose_starts(raw: &[Walk], count: usize, rng: &mut ChaCha8Rng) -> Vec<Walk> {
    let n = raw.len() as f64;
    let mean = raw.iter().map(|walk| walk.value).sum::<f64>() / n;
    let variance = raw
        .iter()
        .map(|walk| (walk.value - mean).powi(2))
        .sum::<f64>()
        / n;
    let deviation = variance.sqrt().max(1e-300);
    let best = (0..raw.len())
        .rev()
        .max_by(|&a, &b| raw[a].value.total_cmp(&raw[b].value));
    let mut keyed: Vec<(f64, usize)> = raw
        .iter()
        .enumerate()
        .map(|(index, walk)| {
            let gumbel = -(-rng.random::<f64>().max(f64::MIN_POSITIVE).ln()).ln();
            (BOLTZMANN * (walk.value - mean) / deviation + gumbel, index)
        })
        .collect();
    keyed.sort_by(|a, b| b.0.total_cmp(&a.0));
    let others = keyed
        .into_iter()
        .map(|(_, index)| index)
        .filter(|index| Some(*index) != best);
    best.into_iter()
        .chain(others)
        .take(count.max(1))
        .map(|index| raw[index].clone())
        .collect()
}

/// Inverse temperature of the choice of starts.
const BOLTZMANN: f64 = 2.0;

/// Takes the best of all steps among integers and choices until none is better.
fn step_uphill(acquisition: &dyn Acquisition, space: &SearchSpace, mut walk: Walk) -> Walk {
    for _ in 0..STEP_ROUNDS {
        let best = space
            .steps(&walk.point)
            .into_iter()
            .map(|point| Walk {
                value: acquisition.value(&point),
                point,
            })
            .reduce(|best, next| if next.value > best.value { next } else { best });
        match best {
            Some(best) if best.value > walk.value => walk = best,
            _ => break,
        }
    }
    walk
}

/// Best first; equal ones stay in order.
fn sort(walks: &mut [Walk]) {
    walks.sort_by(|a, b| b.value.total_cmp(&a.value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::SimplexMode;
    use bomf_plugin_api::{Coordinate, Domain, Parameter, Scale};
    use rand_chacha::rand_core::SeedableRng as _;

    /// Minus the squared distance to a point that need not lie in the space.
    struct Distance(Vec<f64>);

    impl Acquisition for Distance {
        fn value(&self, point: &[f64]) -> f64 {
            -point
                .iter()
                .zip(&self.0)
                .map(|(a, b)| (a - b) * (a - b))
                .sum::<f64>()
        }

        fn value_and_gradient(&self, point: &[f64], gradient: &mut [f64]) -> f64 {
            for ((g, x), target) in gradient.iter_mut().zip(point).zip(&self.0) {
                *g = -2.0 * (x - target);
            }
            self.value(point)
        }
    }

    const EFFORT: Effort = Effort {
        raw_samples: 128,
        restarts: 5,
    };

    fn none(space: &SearchSpace) -> Taken {
        Taken::of(space, [])
    }

    fn space(domains: Vec<Domain>) -> SearchSpace {
        let parameters: Vec<Parameter> = domains
            .into_iter()
            .map(|domain| Parameter {
                name: "p".into(),
                domain,
            })
            .collect();
        SearchSpace::new(&parameters, SimplexMode::Shares).unwrap()
    }

    #[test]
    fn the_best_vertex_is_reached_exactly() {
        let space = space(vec![Domain::Simplex { dimension: 5 }]);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let target = Distance(vec![0.0, 0.1, 3.0, 0.0, -1.0]);
        let found = maximise(&target, &space, &[], &none(&space), EFFORT, &mut rng).unwrap();
        assert_eq!(
            space.decode(&found),
            [Coordinate::Simplex(vec![0.0, 0.0, 1.0, 0.0, 0.0])]
        );
    }

    #[test]
    fn integers_and_choices_end_on_the_best_of_all() {
        let space = space(vec![
            Domain::Integer {
                low: 0,
                high: 20,
                scale: Scale::Linear,
            },
            Domain::Choice { count: 3 },
            Domain::Float {
                low: 0.0,
                high: 1.0,
                scale: Scale::Linear,
            },
        ]);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let target = Distance(vec![0.337, 0.1, 0.2, 0.9, 0.123]);
        let found = maximise(&target, &space, &[], &none(&space), EFFORT, &mut rng).unwrap();
        let point = space.decode(&found);
        assert_eq!(point[..2], [Coordinate::Integer(7), Coordinate::Choice(2)]);
        assert!(matches!(point[2], Coordinate::Float(x) if (x - 0.123).abs() < 1e-5));
    }

    #[test]
    fn taken_points_are_passed_over() {
        let space = space(vec![Domain::Choice { count: 3 }]);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let target = Distance(vec![0.9, 0.5, 0.0]);
        let mut taken = none(&space);
        for expected in 0..3 {
            let found = maximise(&target, &space, &[], &taken, EFFORT, &mut rng).unwrap();
            assert_eq!(space.decode(&found), [Coordinate::Choice(expected)]);
            taken.insert(&found);
        }
        assert!(maximise(&target, &space, &[], &taken, EFFORT, &mut rng).is_none());
    }
}
