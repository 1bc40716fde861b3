//! The covariance matrix adaptation evolution strategy: the optimizer `cma_es`.
//!
//! Generation after generation is drawn from a normal distribution that moves and turns towards what turned out better, by
//! rank alone (Hansen 2016, "The CMA Evolution Strategy: A Tutorial", with its default constants). It needs more trials than
//! a model does, and no assumption on the objective beyond that better points lead to better ones; it turns with the
//! problem, copes with steps and noise, and never slows down as trials add up.
//!
//! ```
//! use bomf_plugin_api::{Context, Coordinate, Direction, Domain, Objective, Outcome, Parameter, Study, Suggestions};
//!
//! let space = vec![Parameter { name: "coefficients".into(), domain: Domain::Simplex { dimension: 3 } }];
//! let mut study = Study::new(space, vec![Objective::new("loss", Direction::Minimize)]);
//! let mut cma_es = optimizer_cma_es::library().make_optimizer("cma_es", "{}", &Context::new(1, 17)).unwrap();
//! for _ in 0..100 {
//!     let Suggestions::Points(points) = cma_es.suggest(&study, 1).unwrap() else { break };
//!     for suggestion in points {
//!         let Coordinate::Simplex(c) = &suggestion.point[0] else { panic!() };
//!         let loss = (c[0] - 0.7).powi(2) + (c[1] - 0.3).powi(2);
//!         let id = study.suggest(suggestion);
//!         study.trials[id as usize].outcome = Outcome::finished(vec![loss]);
//!     }
//! }
//! let best = study.finished().map(|(_, loss)| loss[0]).fold(f64::INFINITY, f64::min);
//! assert!(best < 1e-4);
//! ```
//!
//! # What is searched
//! Floats and integers are numbers in `[0, 1]`, by ratios on a log scale. The distribution of an integer never gets narrower
//! than a fifth of a step, so that its neighbours stay in reach (Hansen 2011; Hamano et al. 2022). Coefficients of `n`
//! members are `n - 1` numbers: isometric coordinates of the plane in which they sum to one, with the uniform average at the
//! origin, stretched so that a uniform draw is as wide as on the other axes. Choices have no order to adapt to and are
//! refused. Of several objectives the normalised sum is searched, and a message says so.
//!
//! # Bounds
//! What is drawn outside is evaluated at the nearest point of the space: numbers are clamped, coefficients projected onto
//! the simplex, so that faces and corners are reached exactly. The distance is paid for in the ranking, quadratically as in
//! Hansen et al. (2009): a point that is a standard deviation outside in every direction is ranked as if it were half the
//! usual spread of a generation (the interquartile range of its values) worse. So the distribution stays where the space is,
//! and converges to optima on the boundary.
//!
//! # Generations
//! The first generation, where there are coefficients and nothing else, is the members and their uniform average: they
//! give the start. A generation ends when all its trials have: until then there is nothing more to suggest than its own
//! points. Failed trials are its worst; those that break a constraint come before these, least violation first. When a
//! search stagnates (steps of 1e-12 of the first, 30 `n` evaluations without a change, a covariance of condition 1e14),
//! it starts again from a random point with twice the population (Auger & Hansen 2005).
//!
//! Each suggestion carries its generation and the point that was drawn, before it was moved into the space. A fresh instance
//! repeats all generations from these.
//!
//! The types to know: [`CmaEs`], [`CmaEsOptions`].

mod chart;
mod constants;
mod evolution;
mod memo;
mod optimizer;
mod options;
mod walk;

pub use optimizer::CmaEs;
pub use options::CmaEsOptions;

bomf_plugin_api::export_plugin!(optimizer: CmaEs);

#[cfg(test)]
mod tests;
