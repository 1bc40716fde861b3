//! What a bomf plugin is written against.
//!
//! A plugin is a library that brings metrics, optimizers, fusers or model backends. Its author implements a plain Rust
//! trait and writes one macro line. A whole plugin:
//!
//! ```
//! use bomf_plugin_api::{
//!     Component, Context, Descriptor, Kind, Metric, Result, ScoreDescriptor, Scores, Table, column, export_plugin,
//! };
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! /// Share of predictions at most so many classes away from the truth.
//! struct Near {
//!     options: Options,
//! }
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(default, deny_unknown_fields)]
//! struct Options {
//!     /// How far a prediction may be off, in classes.
//!     #[schemars(range(min = 0))]
//!     distance: u64,
//! }
//!
//! impl Default for Options {
//!     fn default() -> Self {
//!         Self { distance: 1 }
//!     }
//! }
//!
//! impl Component for Near {
//!     type Options = Options;
//!
//!     fn describe() -> Descriptor {
//!         Descriptor::new(Kind::Metric, "near", "share of predictions close to the truth")
//!             .score(ScoreDescriptor::maximize("near", 0.0, 1.0).per_example())
//!     }
//!
//!     fn new(options: Options, _: &Context) -> Result<Self> {
//!         Ok(Self { options })
//!     }
//! }
//!
//! impl Metric for Near {
//!     fn score(&self, examples: &Table<'_>) -> Result<Scores> {
//!         let truth = examples.integers(column::LABEL)?;
//!         let found = examples.integers(column::PREDICTED_LABEL)?;
//!         let near = truth.iter().zip(found).map(|(a, b)| f64::from(a.abs_diff(*b) <= self.options.distance));
//!         Ok(Scores::new(format!("near|distance:{}", self.options.distance)).mean_of("near", near.collect()))
//!     }
//! }
//!
//! export_plugin!(metric: Near);
//! # fn main() {
//! let metric = library().make_metric("near", r#"{"distance": 0}"#, &Context::default()).unwrap();
//! let table = Table::new(2)
//!     .with_integers(column::LABEL, vec![0, 1])
//!     .and_then(|table| table.with_integers(column::PREDICTED_LABEL, vec![0, 2]))
//!     .unwrap();
//! assert_eq!(metric.score(&table).unwrap().get("near"), Some(0.5));
//! # }
//! ```
//!
//! The types to know: the trait of your kind ([`Metric`], [`Optimizer`], [`Fuser`], [`ModelBackend`]), [`Component`], and
//! the values it works on ([`Table`], [`Study`], [`Member`]). Everything an author returns is a [`Result`]; a panic becomes
//! an error that names the plugin. Nothing here is `unsafe` to use.

pub mod abi;
mod descriptor;
mod error;
mod fuser;
mod library;
mod logging;
mod metric;
mod model;
mod objective;
mod optimizer;
mod space;
mod stopping;
mod study;
mod table;
mod tensor;
pub mod testkit;

/// The author's guide: its examples run as tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../docs/plugin-author.md")]
mod guide {}

pub use descriptor::{API_VERSION, Descriptor, Kind, Manifest, Preload, ScoreDescriptor};
pub use error::{ErrorKind, PluginError, Result};
pub use fuser::{Fuser, FuserDevice, FuserDeviceKind, FuserSession, FusionShape};
pub use library::{Component, Context, Library};
pub use logging::LogSink;
pub use metric::{Metric, Scores};
pub use model::{
    Export, Hyperparameters, Model, ModelBackend, ModelInfo, ModelSpec, Predictions, Schedule,
    SplitInfo, Task, Training, TrainingReport, TrainingSpec, TrainingState,
};
pub use objective::{Constraint, Direction, Objective};
pub use optimizer::Optimizer;
pub use space::{Coordinate, Domain, Parameter, Point, SIMPLEX_TOLERANCE, Scale, check_point};
pub use stopping::{Stopping, StoppingRule};
pub use study::{Outcome, Request, Study, Suggestion, Suggestions, Trial, Verdict};
pub use table::{Column, Table, Values, column};
pub use tensor::{ByteOwner, Dtype, Member, SharedBytes, Tensor, TensorMut, TensorSpec};

/// Exports what a library brings: `export_plugin!(metric: Accuracy, metric: F1);`.
///
/// Each entry is a kind (`metric`, `optimizer`, `fuser`, `model`) and a type that implements [`Component`] and the kind's
/// trait. Also defines `pub fn library() -> Library`, for tests without a border. Once per crate, of type `cdylib`.
///
/// A library that is linked with a foreign one names it first: `export_plugin!(preload: libtorch(); fuser: Torch);`, a
/// [`Preload`].
#[macro_export]
macro_rules! export_plugin {
    (preload: $preload:expr; $($kind:ident: $component:ty),+ $(,)?) => {
        $crate::export_plugin!(@ [$preload] $($kind: $component),+);
    };
    ($($kind:ident: $component:ty),+ $(,)?) => {
        $crate::export_plugin!(@ [] $($kind: $component),+);
    };
    (@ [$($preload:expr)?] $($kind:ident: $component:ty),+) => {
        /// All that this library brings.
        pub fn library() -> $crate::Library {
            $crate::Library::new(
                env!("CARGO_PKG_NAME"),
                env!("CARGO_PKG_VERSION"),
                env!("CARGO_PKG_LICENSE"),
            )
            $(.preload($preload))?
            $(.$kind::<$component>())+
        }

        const _: () = {
            struct ThisLibrary;

            impl $crate::abi::Exported for ThisLibrary {
                fn library() -> &'static $crate::Library {
                    static LIBRARY: ::std::sync::LazyLock<$crate::Library> =
                        ::std::sync::LazyLock::new(library);
                    &LIBRARY
                }
            }

            #[allow(unsafe_code, reason = "the one symbol that makes a library a plugin")]
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            static HEADER: $crate::abi::LibHeader = $crate::abi::header::<ThisLibrary>();
        };
    };
}
