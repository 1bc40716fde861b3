//! Linear fusion in a wgpu compute shader, on any adapter: Vulkan, Metal, DirectX 12, OpenGL.
//!
//! Members are uploaded once and stay on the GPU, as f32; per fusion only the coefficients travel there, and the result
//! back.

mod device;
mod session;

use bomf_plugin_api::{
    Component, Context, Descriptor, Fuser, FuserSession, Kind, Member, Result, export_plugin,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub use device::Gpu;
pub use session::Session;

/// Options of the fuser.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Part of the adapter's name, for example `nvidia` or `llvmpipe`; by default the fastest one is used.
    pub adapter: Option<String>,
    /// Most MiB of one buffer; by default what the adapter allows.
    #[schemars(range(min = 1, max = 65536))]
    pub buffer_mib: Option<u64>,
}

/// Fuses on a GPU.
pub struct Wgpu {
    options: Options,
}

impl Component for Wgpu {
    type Options = Options;

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Fuser,
            "wgpu",
            "linear fusion in a compute shader, on any GPU",
        )
    }

    fn new(options: Options, _: &Context) -> Result<Self> {
        Ok(Self { options })
    }
}

impl Fuser for Wgpu {
    fn open(&self, members: Vec<Member>, groups: Vec<usize>) -> Result<Box<dyn FuserSession>> {
        let gpu = Gpu::open(self.options.adapter.as_deref())?;
        let most = self.options.buffer_mib.map_or(u64::MAX, |mib| mib << 20);
        Ok(Box::new(Session::new(gpu, &members, &groups, most)?))
    }
}

export_plugin!(fuser: Wgpu);
