//! Bayesian optimization with Gaussian processes: the optimizer `gp`.
//!
//! One objective is searched with LogEI, two to four with qLogNEHVI (noisy expected hypervolume improvement), more with
//! ParEGO; options name others. Points may have floats, integers, choices and coefficients on a simplex side by side; on a
//! simplex the model, the first points and the search all stay on it. Constraints on measured values and trials that failed
//! weigh on what a point promises.
//!
//! ```
//! use bomf_plugin_api::{Context, Direction, Domain, Objective, Outcome, Parameter, Study, Suggestions};
//!
//! let space = vec![Parameter { name: "coefficients".into(), domain: Domain::Simplex { dimension: 3 } }];
//! let mut study = Study::new(space, vec![Objective::new("f1", Direction::Maximize)]);
//! let mut gp = optimizer_gp::library().make_optimizer("gp", "{}", &Context::new(1, 17)).unwrap();
//! for _ in 0..10 {
//!     let Suggestions::Points(points) = gp.suggest(&study, 1).unwrap() else { break };
//!     for suggestion in points {
//!         let id = study.suggest(suggestion);
//!         // Here the point would be evaluated.
//!         study.trials[id as usize].outcome = Outcome::finished(vec![0.5]);
//!     }
//! }
//! assert_eq!(study.trials.len(), 10);
//! ```
//!
//! The walk of one suggestion, [`GpOptimizer`]: the study becomes a [`history`] of encoded points ([`space`]); the first
//! points come from a [`design`]; then one model per objective and constraint is fitted ([`fit`], [`gp`]), an
//! [`acquisition`] function says what a point promises, and the [`search`] finds where that is most. Fronts and exact
//! hypervolumes are those of the crate `pareto`.
//!
//! A fresh instance given the same study suggests the same points, bit for bit, on any number of threads: random numbers
//! hang on the seed and the number of trials alone, sums are taken in a fixed order, and the fits that the next ones start
//! from ride in the suggestions' bytes ([`memo`]). Work is shared among the threads of the rayon pool that a layer is
//! called in: the optimizer has one of its own.
//!
//! Every layer can be used on its own with numbers of one's own: [`gp::Gp::condition`] takes hyperparameters,
//! [`acquisition::LogHvi`] and [`acquisition::QLogEi`] take base samples. `tests/parity.rs` compares them so with BoTorch's:
//! likelihoods and posteriors to 1e-8, LogEI and qLogEI to 1e-6, hypervolume improvements to 1e-5 for two objectives and to
//! 1e-3 for more.
//!
//! The types to know: [`GpOptimizer`], [`GpOptions`], [`acquisition::Acquisition`].

pub mod acquisition;
pub mod ascent;
pub mod boxes;
pub mod cholesky;
pub mod design;
pub mod error;
pub mod fit;
mod goal;
pub mod gp;
pub mod history;
pub mod kernel;
pub mod lbfgs;
pub mod log_space;
pub mod memo;
mod models;
pub mod observations;
mod optimizer;
mod options;
pub mod quasi;
pub mod search;
pub mod simplex;
pub mod space;
pub mod taken;

pub use optimizer::GpOptimizer;
pub use options::{AcquisitionKind, GpOptions, NoiseOption, SimplexOption};

bomf_plugin_api::export_plugin!(optimizer: GpOptimizer);

#[cfg(test)]
mod tests;
