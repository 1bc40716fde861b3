//! What the optimizers share: a plain library beside the plugins, as `transformer` is for the models.
//!
//! ```
//! use bomf_plugin_api::{Domain, Parameter, check_point};
//! use rand::RngExt as _;
//!
//! let space = vec![Parameter { name: "coefficients".into(), domain: Domain::Simplex { dimension: 3 } }];
//! let mut generator = search::random::generator(17, 0);
//! let point = search::point::draw(&space, || generator.random()).unwrap();
//! check_point(&space, &point).unwrap();
//! ```
//!
//! The modules to know: [`axis`] (floats and integers as numbers in `[0, 1]`), [`point`] (draws, members, equality),
//! [`random`] (a generator for each trial), [`simplex`] (projection), [`standing`] (how good a trial turned out, constraints
//! and failures included).

pub mod axis;
pub mod point;
pub mod random;
pub mod simplex;
pub mod standing;
