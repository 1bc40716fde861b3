//! Searches that need no model of the objectives.
//!
//! | name | what it tries |
//! |---|---|
//! | `grid` | every corner of a lattice, then it is done |
//! | `random` | independent uniform points |
//! | `sobol` | a scrambled Sobol sequence |
//! | `dirichlet` | the members, their average, then random coefficients |
//! | `best_member` | the members only |
//! | `swa` | the uniform average only |
//! | `greedy` | the members, then averages of ever more of them |
//!
//! `random` and `sobol` can end hyperparameter trials early: `stopping: { rule: median }`.
//!
//! Each is a function of its options, its seed and the study alone, so a fresh instance goes on where another stopped.
//!
//! ```
//! use bomf_plugin_api::{Context, Direction, Domain, Objective, Parameter, Study, Suggestions};
//!
//! let space = vec![Parameter { name: "coefficients".into(), domain: Domain::Simplex { dimension: 3 } }];
//! let study = Study::new(space, vec![Objective::new("f1", Direction::Maximize)]);
//! let mut swa = optimizer_basic::library().make_optimizer("swa", "{}", &Context::default()).unwrap();
//! let Suggestions::Points(points) = swa.suggest(&study, 1).unwrap() else { panic!() };
//! assert_eq!(points.len(), 1);
//! ```
//!
//! The types to know: [`Grid`], [`Dirichlet`], [`Greedy`].

mod greedy;
mod grid;
mod members;
mod random;
mod sobol;
mod stopping;

pub use greedy::Greedy;
pub use grid::{Grid, GridOptions};
pub use members::{BestMember, Swa};
pub use random::{Dirichlet, DirichletOptions, Random};
pub use sobol::Sobol;
pub use stopping::StoppingOptions;

bomf_plugin_api::export_plugin!(
    optimizer: Grid,
    optimizer: Random,
    optimizer: Sobol,
    optimizer: Dirichlet,
    optimizer: BestMember,
    optimizer: Swa,
    optimizer: Greedy,
);

#[cfg(test)]
mod tests;
