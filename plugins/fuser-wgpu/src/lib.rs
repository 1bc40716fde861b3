//! Linear fusion in wgpu compute shaders, on any adapter: Vulkan, Metal, DirectX 12, OpenGL.
//!
//! Members are uploaded once and stay on the GPU as they are stored (f32, f16, bf16); per fusion only the coefficients travel
//! there, and the result back. The shaders and their bindings are in `shaders/`.

mod chunk;
mod device;
mod session;

use bomf_plugin_api::{
    Component, Context, Descriptor, Dtype, Fuser, FuserDevice, FuserSession, Kind, Member, Result,
    export_plugin,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use device::Gpu;
pub use session::Session;

/// The types that are fused. WGSL has no f64, and rounding such members unasked would lose what they were kept for.
const TYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

/// Options of the fuser.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Part of the adapter's name, for example `nvidia` or `llvmpipe`; by default the fastest one is used.
    pub adapter: Option<String>,
    /// The interface to the adapter; by default Vulkan, Metal or DirectX 12 before OpenGL.
    pub backend: Option<Backend>,
    /// Most MiB of one buffer; by default what the adapter allows.
    #[schemars(range(min = 1, max = 65536))]
    pub buffer_mib: Option<u64>,
}

/// The interface to an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// Vulkan.
    Vulkan,
    /// Metal.
    Metal,
    /// DirectX 12.
    Dx12,
    /// OpenGL ES 3.1 or newer.
    Gl,
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
            "linear fusion in compute shaders, on any GPU",
        )
    }

    fn new(options: Options, _: &Context) -> Result<Self> {
        Ok(Self { options })
    }
}

impl Fuser for Wgpu {
    fn open(&self, members: Vec<Member>, groups: Vec<usize>) -> Result<Box<dyn FuserSession>> {
        let gpu = Gpu::open(&self.options)?;
        Ok(Box::new(Session::new(gpu, members, groups)?))
    }

    fn devices(&self) -> Result<Vec<FuserDevice>> {
        Ok(vec![device::describe(&device::find(&self.options)?)])
    }
}

export_plugin!(fuser: Wgpu);
