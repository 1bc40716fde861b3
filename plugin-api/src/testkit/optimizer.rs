//! What every optimizer has to satisfy.

use crate::{
    Coordinate, Direction, Domain, Objective, Optimizer, Outcome, Parameter, Request, Scale, Study,
    Suggestion, Suggestions, check_point,
};

/// No walk of the suite has more trials than this.
const TRIALS: usize = 16;

/// Runs the whole suite on a space that the optimizer can search. `make` makes a fresh instance, always with the same
/// options and seed; `study` has no trial yet.
///
/// ```no_run
/// # use bomf_plugin_api::{Context, Library, testkit};
/// # fn library() -> Library { Library::new("mine", "1.0.0", "MIT") }
/// let make = || library().make_optimizer("mine", "{}", &Context::new(1, 7)).unwrap();
/// testkit::optimizer::conformance(&make, &testkit::optimizer::coefficients(5));
/// testkit::optimizer::conformance(&make, &testkit::optimizer::hyperparameters());
/// ```
///
/// # Panics
/// With the claim that does not hold.
pub fn conformance(make: &dyn Fn() -> Box<dyn Optimizer>, study: &Study) {
    assert!(
        study.trials.is_empty(),
        "the suite starts from a study without trials"
    );
    study.check().expect("the suite needs a sound study");
    for count in [1, 3] {
        // Finished in order; some fail; one stays pending for ever; every answer the same; nothing but failures.
        for world in [World::Smooth, World::Rough, World::Flat, World::Broken] {
            a_walk_can_be_replayed(make, study, world, count);
        }
    }
    the_order_of_the_answers_does_not_matter(make, study);
    a_trial_that_is_no_part_of_the_study_is_refused(make, study);
}

/// All numbers of a point, one after the other; of a choice its index.
pub fn numbers(point: &[Coordinate]) -> Vec<f64> {
    let numbers = point.iter().flat_map(|coordinate| match coordinate {
        Coordinate::Float(x) => vec![*x],
        Coordinate::Integer(i) => vec![*i as f64],
        Coordinate::Choice(index) => vec![*index as f64],
        Coordinate::Simplex(coefficients) => coefficients.clone(),
    });
    numbers.collect()
}

/// Coefficients of so many members, for two objectives with their scales: the study of a fusion.
pub fn coefficients(members: usize) -> Study {
    let space = vec![parameter(
        "coefficients",
        Domain::Simplex { dimension: members },
    )];
    let objectives = vec![
        Objective::new("loss", Direction::Minimize)
            .with_scale(0.8, -0.2)
            .with_reference(0.9),
        Objective::new("accuracy", Direction::Maximize)
            .with_scale(0.5, 1.0)
            .with_reference(0.45),
    ];
    let mut study = Study::new(space, objectives);
    study.gram = Some(spread_gram(members));
    study.budget = Some(TRIALS as u64);
    study
}

/// A number, an integer, a choice and a logarithmic axis, for one objective without a scale: the study of a tuning.
pub fn hyperparameters() -> Study {
    let space = vec![
        parameter(
            "learning_rate",
            Domain::Float {
                low: 1e-6,
                high: 1e-2,
                scale: Scale::Log,
            },
        ),
        parameter(
            "warmup",
            Domain::Float {
                low: 0.0,
                high: 0.5,
                scale: Scale::Linear,
            },
        ),
        parameter(
            "layers",
            Domain::Integer {
                low: 0,
                high: 6,
                scale: Scale::Linear,
            },
        ),
        parameter(
            "batch_size",
            Domain::Integer {
                low: 1,
                high: 64,
                scale: Scale::Log,
            },
        ),
        parameter("schedule", Domain::Choice { count: 3 }),
    ];
    let mut study = Study::new(space, vec![Objective::new("metrics", Direction::Maximize)]);
    study.budget = Some(TRIALS as u64);
    study
}

fn parameter(name: &str, domain: Domain) -> Parameter {
    Parameter {
        name: name.to_owned(),
        domain,
    }
}

/// The centred Gram matrix of members whose distances from each other are all the same.
fn spread_gram(members: usize) -> Vec<Vec<f64>> {
    let share = 1.0 / members as f64;
    let entry = |i, j| if i == j { 1.0 - share } else { -share };
    (0..members)
        .map(|i| (0..members).map(|j| entry(i, j)).collect())
        .collect()
}

/// What becomes of the suggested points.
#[derive(Debug, Clone, Copy, PartialEq)]
enum World {
    /// A smooth function with one optimum per objective.
    Smooth,
    /// The same, but trial 1 never ends and every third one fails.
    Rough,
    /// The same values everywhere.
    Flat,
    /// Nothing succeeds.
    Broken,
}

impl World {
    fn outcome(self, study: &Study, id: u64, suggestion: &Suggestion) -> Outcome {
        let failed = || Outcome::Failed {
            why: "the loss is not finite".to_owned(),
        };
        match self {
            World::Broken => return failed(),
            World::Rough if id == 1 => return Outcome::Pending,
            World::Rough if id % 3 == 2 => return failed(),
            _ => {}
        }
        let place = unit(&study.space, suggestion);
        if let Request::Gradient { .. } = suggestion.request {
            // Of half the squared distance from the origin.
            let loss = place.iter().map(|x| x * x).sum::<f64>() / 2.0;
            return Outcome::Gradient {
                loss,
                gradient: place,
            };
        }
        let values = (0..study.objectives.len()).map(|objective| {
            if self == World::Flat {
                return 0.5;
            }
            let optimum = 0.2 + 0.3 * objective as f64;
            let distance = place.iter().map(|x| (x - optimum).powi(2)).sum::<f64>()
                / place.len().max(1) as f64;
            match study.objectives[objective].direction {
                Direction::Maximize => 1.0 - distance,
                Direction::Minimize => distance,
            }
        });
        Outcome::finished(values.collect())
    }
}

/// A point as numbers in [0, 1].
fn unit(space: &[Parameter], suggestion: &Suggestion) -> Vec<f64> {
    let share = |low: f64, high: f64, x: f64| {
        if high > low {
            (x - low) / (high - low)
        } else {
            0.0
        }
    };
    let mut place = Vec::new();
    for (parameter, coordinate) in space.iter().zip(&suggestion.point) {
        match (&parameter.domain, coordinate) {
            (
                Domain::Float {
                    low,
                    high,
                    scale: Scale::Log,
                },
                Coordinate::Float(x),
            ) => {
                place.push(share(low.ln(), high.ln(), x.ln()));
            }
            (Domain::Float { low, high, .. }, Coordinate::Float(x)) => {
                place.push(share(*low, *high, *x))
            }
            (Domain::Integer { low, high, .. }, Coordinate::Integer(x)) => {
                place.push(share(*low as f64, *high as f64, *x as f64));
            }
            (Domain::Choice { count }, Coordinate::Choice(index)) => {
                place.push(*index as f64 / *count as f64)
            }
            (_, Coordinate::Simplex(x)) => place.extend(x),
            _ => {}
        }
    }
    place
}

fn ask(optimizer: &mut dyn Optimizer, study: &Study, count: usize, what: &str) -> Suggestions {
    match optimizer.suggest(study, count) {
        Ok(suggestions) => suggestions,
        Err(error) => panic!(
            "{what}: suggestions after {} trials, found: {error}",
            study.trials.len()
        ),
    }
}

/// One instance walks; at every step a fresh one, given the same study, has to go the same way.
fn a_walk_can_be_replayed(
    make: &dyn Fn() -> Box<dyn Optimizer>,
    study: &Study,
    world: World,
    count: usize,
) {
    let what = format!("{world:?} outcomes, {count} at a time");
    let mut study = study.clone();
    let mut walker = make();
    while study.trials.len() < TRIALS {
        let suggestions = ask(&mut *walker, &study, count, &what);
        let replayed = ask(&mut *make(), &study, count, &what);
        assert_eq!(
            suggestions,
            replayed,
            "{what}: a fresh instance goes on after {} trials as the one that walked",
            study.trials.len()
        );
        let Suggestions::Points(points) = suggestions else {
            done_stays_done(&mut *walker, &study, &what);
            return;
        };
        assert!(
            points.len() <= count,
            "{what}: found {} points",
            points.len()
        );
        if points.is_empty() {
            assert!(
                has_pending(&study),
                "{what}: without a pending trial there are points to try, or it is done"
            );
            return;
        }
        for suggestion in points {
            if let Err(error) = check_point(&study.space, &suggestion.point) {
                panic!("{what}: points lie in the space, found: {error}");
            }
            let id = study.suggest(suggestion.clone());
            study.trials[id as usize].outcome = world.outcome(&study, id, &suggestion);
        }
    }
}

fn has_pending(study: &Study) -> bool {
    study
        .trials
        .iter()
        .any(|trial| matches!(trial.outcome, Outcome::Pending))
}

fn done_stays_done(walker: &mut dyn Optimizer, study: &Study, what: &str) {
    for count in [1, 4] {
        let again = ask(walker, study, count, what);
        let is_done = matches!(&again, Suggestions::Done { why } if !why.trim().is_empty());
        assert!(
            is_done,
            "{what}: done stays done and says why, found {again:?}"
        );
    }
}

/// Two instances see the answers of a batch come in, in opposite orders, and are asked in between.
fn the_order_of_the_answers_does_not_matter(make: &dyn Fn() -> Box<dyn Optimizer>, study: &Study) {
    const WHAT: &str = "answers in another order";
    let mut study = study.clone();
    let (mut one, mut other) = (make(), make());
    for _ in 0..3 {
        let before = study.trials.len();
        let Suggestions::Points(points) = ask(&mut *one, &study, 3, WHAT) else {
            return;
        };
        for suggestion in points {
            study.suggest(suggestion);
        }
        let pending = study.clone();
        for trial in &mut study.trials[before..] {
            trial.outcome = World::Smooth.outcome(&pending, trial.id, &trial.suggestion);
        }
        let open = before..study.trials.len();
        for (instance, order) in [
            (&mut one, open.clone().collect()),
            (&mut other, open.rev().collect::<Vec<_>>()),
        ] {
            let mut partly = pending.clone();
            for index in order {
                partly.trials[index].outcome = study.trials[index].outcome.clone();
                ask(&mut **instance, &partly, 1, WHAT);
            }
        }
        let next = ask(&mut *one, &study, 2, WHAT);
        assert_eq!(
            next,
            ask(&mut *other, &study, 2, WHAT),
            "the order of the answers does not matter"
        );
        assert_eq!(
            next,
            ask(&mut *make(), &study, 2, WHAT),
            "nor whether they were seen coming"
        );
    }
}

fn a_trial_that_is_no_part_of_the_study_is_refused(
    make: &dyn Fn() -> Box<dyn Optimizer>,
    study: &Study,
) {
    let values = vec![0.5; study.objectives.len()];
    assert!(
        make().report(study, 99, 1, &values).is_err(),
        "a report for a trial that is not there is an error"
    );
    let mut study = study.clone();
    if let Suggestions::Points(points) = ask(&mut *make(), &study, 1, "a report") {
        points.into_iter().for_each(|suggestion| {
            study.suggest(suggestion);
        });
        let answer = make().report(&study, 0, 1, &values);
        assert!(
            answer.is_ok(),
            "a report for a pending trial is answered, found {answer:?}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::claim_that_fails;
    use crate::{PluginError, Result};

    /// Walks along an edge of the simplex, with a fault on request.
    #[derive(Default)]
    struct Suspect {
        fault: &'static str,
        calls: usize,
        done: bool,
    }

    impl Optimizer for Suspect {
        fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions> {
            self.calls += 1;
            let asked = study.trials.len();
            if self.fault == "gives up on failures"
                && study
                    .trials
                    .iter()
                    .any(|trial| matches!(trial.outcome, Outcome::Failed { .. }))
            {
                return Err(PluginError::failed("found a failed trial"));
            }
            if self.fault == "has no idea" {
                return Ok(Suggestions::Points(Vec::new()));
            }
            if asked >= 6
                && !(self.fault == "starts again" && std::mem::replace(&mut self.done, true))
            {
                return Ok(Suggestions::Done {
                    why: "the edge is walked".to_owned(),
                });
            }
            let last = if self.fault == "counts its calls" {
                self.calls
            } else {
                asked
            };
            let points = (0..count.min(6 - asked.min(5))).map(|ahead| {
                let x = ((last + ahead) as f64 / 6.0).fract();
                let rest = if self.fault == "leaves the simplex" {
                    0.1
                } else {
                    0.0
                };
                Suggestion::evaluate(vec![Coordinate::Simplex(vec![x, 1.0 - x, rest])])
            });
            let more = if self.fault == "suggests too much" {
                2
            } else {
                1
            };
            let points: Vec<Suggestion> = points.collect();
            Ok(Suggestions::Points(
                points
                    .into_iter()
                    .flat_map(|point| vec![point; more])
                    .collect(),
            ))
        }
    }

    fn run(fault: &'static str) {
        let make = || -> Box<dyn Optimizer> {
            Box::new(Suspect {
                fault,
                ..Suspect::default()
            })
        };
        conformance(&make, &coefficients(3));
    }

    #[test]
    fn a_sound_optimizer_passes() {
        run("nothing");
    }

    #[test]
    fn every_fault_is_found() {
        for (fault, claim) in [
            ("gives up on failures", "found a failed trial"),
            ("starts again", "done stays done"),
            ("counts its calls", "a fresh instance"),
            ("leaves the simplex", "points lie in the space"),
            ("suggests too much", "found 2 points"),
            ("has no idea", "points to try"),
        ] {
            let found = claim_that_fails(|| run(fault));
            assert!(found.contains(claim), "{fault}: {found}");
        }
    }

    #[test]
    fn the_studies_of_the_suite_are_sound() {
        for study in [coefficients(4), hyperparameters()] {
            study.check().unwrap();
        }
    }
}
