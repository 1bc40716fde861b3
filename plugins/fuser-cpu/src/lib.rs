//! Linear fusion on the CPU at memory speed: one pass over the members, up to eight of them in the inner loop.

mod session;

use bomf_plugin_api::{
    Component, Context, Descriptor, Fuser, FuserDevice, FuserDeviceKind, FuserSession, Kind,
    Member, Result, export_plugin,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub use session::Session;

/// No options: the thread budget is the host's.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {}

/// Fuses on the CPU, in f32 (in f64 where a member or the output is f64).
pub struct Cpu {
    threads: usize,
}

impl Component for Cpu {
    type Options = Options;

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Fuser,
            "cpu",
            "linear fusion on the CPU at memory speed",
        )
    }

    fn new(_: Options, context: &Context) -> Result<Self> {
        Ok(Self {
            threads: context.threads.max(1),
        })
    }
}

impl Fuser for Cpu {
    fn open(&self, members: Vec<Member>, groups: Vec<usize>) -> Result<Box<dyn FuserSession>> {
        Ok(Box::new(Session::new(members, groups, self.threads)?))
    }

    fn devices(&self) -> Result<Vec<FuserDevice>> {
        let cpu = FuserDevice::new("the CPU", FuserDeviceKind::Cpu, &session::TYPES);
        Ok(vec![cpu])
    }
}

export_plugin!(fuser: Cpu);
