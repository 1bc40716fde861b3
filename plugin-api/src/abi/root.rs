//! The root module: the one symbol that a plugin library exports, and everything that hangs on it.

use abi_stable::StableAbi;
use abi_stable::library::{CheckTypeLayout, RootModule, RootModuleResult};
use abi_stable::package_version_strings;
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_trait;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RBox, RStr, RString};
use tracing::Level;

use super::fuser::FuserBox;
use super::metric::MetricBox;
use super::model::BackendBox;
use super::optimizer::OptimizerBox;
use super::{AbiResult, answer, from_json, to_json};
use crate::library::{Context, Library};
use crate::logging::{self, LogSink};

pub use abi_stable::library::LibHeader;

/// What the host does for plugins: it takes their log events. `level` runs from 1 (error) to 5 (trace).
#[sabi_trait]
pub trait AbiHost: Send + Sync {
    fn log_enabled(&self, level: u8, target: RStr<'_>) -> bool;
    #[sabi(last_prefix_field)]
    fn log(&self, level: u8, target: RStr<'_>, message: RStr<'_>);
}

pub(super) type HostBox = AbiHost_TO<'static, RBox<()>>;

#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootRef)))]
#[sabi(missing_field(option))]
pub struct Root {
    /// Whether panics unwind in this library: if not, they cannot be caught, and the host refuses it.
    pub unwinds: extern "C" fn() -> bool,
    pub initialize: extern "C" fn(host: HostBox) -> AbiResult<()>,
    /// The manifest as JSON.
    pub manifest: extern "C" fn() -> AbiResult<RString>,
    pub metric: extern "C" fn(RStr<'_>, RStr<'_>, RStr<'_>) -> AbiResult<MetricBox>,
    pub optimizer: extern "C" fn(RStr<'_>, RStr<'_>, RStr<'_>) -> AbiResult<OptimizerBox>,
    pub fuser: extern "C" fn(RStr<'_>, RStr<'_>, RStr<'_>) -> AbiResult<FuserBox>,
    #[sabi(last_prefix_field)]
    pub model: extern "C" fn(RStr<'_>, RStr<'_>, RStr<'_>) -> AbiResult<BackendBox>,
}

impl RootModule for RootRef {
    abi_stable::declare_root_module_statics! {RootRef}
    const BASE_NAME: &'static str = "bomf";
    const NAME: &'static str = "bomf";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// A library that [`export_plugin!`](crate::export_plugin) exports.
pub trait Exported: 'static {
    /// The same library at every call.
    fn library() -> &'static Library;
}

extern "C" fn unwinds() -> bool {
    cfg!(panic = "unwind")
}

extern "C" fn initialize(host: HostBox) -> AbiResult<()> {
    answer(|| {
        logging::initialize(HostSink(host));
        Ok(())
    })
}

extern "C" fn manifest<E: Exported>() -> AbiResult<RString> {
    answer(|| to_json(E::library().manifest()))
}

macro_rules! maker {
    ($name:ident, $make:ident, $module:ident, $boxed:ty) => {
        extern "C" fn $name<E: Exported>(
            name: RStr<'_>,
            options: RStr<'_>,
            context: RStr<'_>,
        ) -> AbiResult<$boxed> {
            answer(|| {
                let context: Context = from_json(&context, "context")?;
                Ok(super::$module::export(
                    E::library().$make(&name, &options, &context)?,
                ))
            })
        }
    };
}

maker!(metric, make_metric, metric, MetricBox);
maker!(optimizer, make_optimizer, optimizer, OptimizerBox);
maker!(fuser, make_fuser, fuser, FuserBox);
maker!(model, make_model, model, BackendBox);

extern "C" fn constructor<E: Exported>() -> RootModuleResult {
    fn root<E: Exported>() -> RootRef {
        Root {
            unwinds,
            initialize,
            manifest: manifest::<E>,
            metric: metric::<E>,
            optimizer: optimizer::<E>,
            fuser: fuser::<E>,
            model: model::<E>,
        }
        .leak_into_prefix()
    }
    abi_stable::library::__call_root_module_loader(root::<E>)
}

/// The header that a library exports under the name that abi_stable looks for.
pub const fn header<E: Exported>() -> LibHeader {
    // SAFETY: `constructor` returns the erased `RootRef` that `__call_root_module_loader` made of `root`.
    unsafe { LibHeader::from_constructor::<RootRef>(constructor::<E>, CheckTypeLayout::Yes) }
}

struct HostSink(HostBox);

impl LogSink for HostSink {
    fn enabled(&self, level: Level, target: &str) -> bool {
        self.0.log_enabled(level_code(level), target.into())
    }

    fn log(&self, level: Level, target: &str, message: &str) {
        self.0.log(level_code(level), target.into(), message.into());
    }
}

fn level_code(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// The level behind a code; codes that this version does not know are the finest.
pub(super) fn level_of(code: u8) -> Level {
    match code {
        1 => Level::ERROR,
        2 => Level::WARN,
        3 => Level::INFO,
        4 => Level::DEBUG,
        _ => Level::TRACE,
    }
}
