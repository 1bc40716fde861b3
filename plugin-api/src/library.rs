//! What a library brings, in plain Rust: the author's side of [`export_plugin!`](crate::export_plugin).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::descriptor::{API_VERSION, Descriptor, Kind, Manifest, Preload};
use crate::error::{PluginError, Result};
use crate::fuser::Fuser;
use crate::metric::Metric;
use crate::model::ModelBackend;
use crate::optimizer::Optimizer;

/// What the host hands to everything it creates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Context {
    /// How many threads the plugin may use; never start more.
    pub threads: usize,
    /// Seeds every random number of the instance.
    pub seed: u64,
    /// A folder of this machine's user where an instance may keep what it can make or fetch again, in a folder of its own;
    /// `None`: there is none.
    #[serde(default)]
    pub cache: Option<PathBuf>,
}

impl Context {
    /// A context with a thread budget (at least one) and a seed.
    pub fn new(threads: usize, seed: u64) -> Self {
        Self {
            threads: threads.max(1),
            seed,
            cache: None,
        }
    }

    /// Sets the folder for what can be made or fetched again.
    #[must_use]
    pub fn with_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new(1, 0)
    }
}

/// Something that a plugin brings: how it is described and made. The kind's own trait says what it does.
pub trait Component: Sized {
    /// The options that configurations may give. Doc comments are the reference text that users read; ranges
    /// (`#[schemars(range(min = 0.0))]`) are checked before [`Component::new`] is called. `()` for none.
    type Options: DeserializeOwned + JsonSchema;

    /// Name, summary, and for a metric its scores. The options' schema is filled in by the library.
    fn describe() -> Descriptor;

    /// Makes an instance.
    ///
    /// # Errors
    /// When options contradict each other, or what the instance needs is not there.
    fn new(options: Self::Options, context: &Context) -> Result<Self>;
}

type Make<T> = Box<dyn Fn(&str, &Context) -> Result<Box<T>> + Send + Sync>;

enum Maker {
    Metric(Make<dyn Metric>),
    Optimizer(Make<dyn Optimizer>),
    Fuser(Make<dyn Fuser>),
    Model(Make<dyn ModelBackend>),
}

/// All that one library brings.
pub struct Library {
    manifest: Manifest,
    makers: Vec<Maker>,
}

macro_rules! kinds {
    ($($add:ident, $make:ident, $kind:ident, $trait:ident, $doc:literal;)*) => {
        $(
            #[doc = concat!("Adds ", $doc, ".")]
            #[must_use]
            pub fn $add<C: Component + $trait>(mut self) -> Self {
                self.manifest.provides.push(descriptor::<C>(Kind::$kind));
                self.makers.push(Maker::$kind(Box::new(|options, context| {
                    Ok(Box::new(make::<C>(options, context)?))
                })));
                self
            }

            #[doc = concat!("Makes ", $doc, " by its name or an alias, from its options as JSON.")]
            ///
            /// # Errors
            /// When there is none of that name, or its options are refused.
            pub fn $make(
                &self,
                name: &str,
                options: &str,
                context: &Context,
            ) -> Result<Box<dyn $trait>> {
                for (descriptor, maker) in self.manifest.provides.iter().zip(&self.makers) {
                    if let (Maker::$kind(make), true) = (maker, descriptor.answers_to(name)) {
                        return make(options, context);
                    }
                }
                Err(PluginError::input(format!(
                    "library `{}` brings no {} named `{name}`",
                    self.manifest.name,
                    Kind::$kind
                )))
            }
        )*
    };
}

impl Library {
    /// A library that brings nothing yet. [`export_plugin!`](crate::export_plugin) fills in name, version and licence.
    pub fn new(name: &str, version: &str, license: &str) -> Self {
        let manifest = Manifest {
            name: name.to_owned(),
            version: version.to_owned(),
            api_version: API_VERSION.to_owned(),
            platform: env!("BOMF_TARGET").to_owned(),
            license: license.to_owned(),
            preload: Vec::new(),
            provides: Vec::new(),
        };
        Self {
            manifest,
            makers: Vec::new(),
        }
    }

    kinds! {
        metric, make_metric, Metric, Metric, "a metric";
        optimizer, make_optimizer, Optimizer, Optimizer, "an optimizer";
        fuser, make_fuser, Fuser, Fuser, "a fuser";
        model, make_model, Model, ModelBackend, "a model backend";
    }

    /// Names a foreign library that has to be opened before this one.
    #[must_use]
    pub fn preload(mut self, library: Preload) -> Self {
        self.manifest.preload.push(library);
        self
    }

    /// What the library says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

fn descriptor<C: Component>(kind: Kind) -> Descriptor {
    let mut descriptor = C::describe();
    descriptor.kind = kind;
    descriptor.options = schemars::schema_for!(C::Options).to_value();
    // The schema of `()`: configurations give options as a section, so none at all is an empty one.
    if descriptor.options["type"] == "null" {
        descriptor.options =
            json!({"type": "object", "properties": {}, "additionalProperties": false});
    }
    descriptor
}

fn make<C: Component>(options: &str, context: &Context) -> Result<C> {
    let options = parse_options::<C::Options>(options)?;
    C::new(options, context)
}

fn parse_options<O: DeserializeOwned>(options: &str) -> Result<O> {
    // `()` reads from `null`, not from an empty object.
    let attempt = serde_json::from_str(options).or_else(|error| {
        if options.trim() == "{}" {
            serde_json::from_str("null").map_err(|_| error)
        } else {
            Err(error)
        }
    });
    attempt.map_err(|error| PluginError::input(format!("options: {error}")))
}

/// Runs a plugin's code so that a panic becomes an error.
pub(crate) fn guard<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a value that is no text".to_owned());
        let place =
            crate::logging::last_panic().map_or(String::new(), |place| format!(" at {place}"));
        Err(PluginError::failed(format!("panicked{place}: {text}"))
            .hint("this is a fault of the plugin: report it to its authors"))
    })
}
