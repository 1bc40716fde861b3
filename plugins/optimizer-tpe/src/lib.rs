//! The tree-structured Parzen estimator: the optimizer `tpe`.
//!
//! Trials are split into a good and a bad group. One density is estimated from each, `l` and `g`; the next point is, of some
//! draws from `l`, the one where `l / g` is greatest, which is where the expected improvement is (Bergstra et al. 2011).
//! Cheap at any number of trials, at home in spaces of many choices, and a baseline for `gp` everywhere.
//!
//! ```
//! use bomf_plugin_api::{Context, Direction, Domain, Objective, Outcome, Parameter, Study, Suggestions};
//!
//! let space = vec![Parameter { name: "coefficients".into(), domain: Domain::Simplex { dimension: 3 } }];
//! let mut study = Study::new(space, vec![Objective::new("f1", Direction::Maximize)]);
//! let mut tpe = optimizer_tpe::library().make_optimizer("tpe", "{}", &Context::new(1, 17)).unwrap();
//! for _ in 0..20 {
//!     let Suggestions::Points(points) = tpe.suggest(&study, 1).unwrap() else { break };
//!     for suggestion in points {
//!         let id = study.suggest(suggestion);
//!         // Here the point would be evaluated.
//!         study.trials[id as usize].outcome = Outcome::finished(vec![0.5]);
//!     }
//! }
//! assert_eq!(study.trials.len(), 20);
//! ```
//!
//! # The groups
//! The good group is a tenth of the finished trials, rounded up, and at most 25. One objective: the best. Several: front by
//! front, and of the front that does not fit whole the values that add most hypervolume; in the good group's density each
//! trial weighs as much as the hypervolume it adds (Ozaki et al. 2020, 2022). Trials that break a constraint of the study
//! come after all that do not, least violation first (Watanabe & Hutter 2023). Failed trials are bad, and so are pending
//! ones: several points asked for at once keep apart.
//!
//! # The densities
//! A density is a mixture of one kernel per trial and one that is uniform over the space. A kernel covers all parameters at
//! once (Falkner et al. 2018), as a product over them, so that what goes together in good trials stays together:
//!
//! | parameter | kernel |
//! |---|---|
//! | float | a normal distribution on the (logarithmic) axis, cut off at the bounds |
//! | integer | the mass of such a one over the integer's cell |
//! | choice | the trial's choice, and a share for all alike |
//! | coefficients | a Dirichlet distribution whose mode is the trial |
//!
//! The Dirichlet kernel `Dir(1 + c / h)` at coefficients `c` (Aitchison & Lauder 1985) is a density on the simplex itself: it
//! loses no mass beyond a face, needs no chart that sends faces to infinity, stays bounded at faces and corners, has its
//! mode exactly at `c` wherever that lies, and becomes uniform as `h` grows. Mixtures of them are continuous up to the faces
//! (shares are kept a hair above zero in the densities for it), so `l / g` can be compared between points inside, on faces
//! and at corners. Draws from it are never exactly on a face; therefore half of them have their small shares cut off, and
//! `l / g` decides which to take.
//!
//! The types to know: [`Tpe`], [`TpeOptions`].

mod groups;
mod kernel;
mod optimizer;
mod options;
mod parzen;

pub use optimizer::Tpe;
pub use options::TpeOptions;

bomf_plugin_api::export_plugin!(optimizer: Tpe);

#[cfg(test)]
mod tests;
