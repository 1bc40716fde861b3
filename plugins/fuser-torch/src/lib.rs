//! Linear fusion in LibTorch, on the CPU or on CUDA.
//!
//! Members are copied once into slabs, `[members, elements]` of one element type and one row of coefficients each, on the
//! device. A fusion is one matrix-vector product per slab into an output that is used again; only the coefficients travel there,
//! and the result back.
//!
//! The library is linked with LibTorch, which the host finds and opens before it: see [`libtorch`].

mod device;
mod session;
mod slab;

use bomf_plugin_api::{
    Component, Context, Descriptor, Dtype, Fuser, FuserDevice, FuserSession, FusionShape, Kind,
    Member, Preload, Result, export_plugin,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub use session::Session;

/// The types that LibTorch computes with.
const TYPES: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::F64];

/// Options of the fuser.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where members are kept and fused: `cpu`, `cuda`, `cuda:1`, or `auto`: the first CUDA device, and the CPU where there is
    /// none.
    #[schemars(regex(pattern = r"^(auto|cpu|cuda(:[0-9]{1,3})?)$"))]
    pub device: String,
    /// The folder of LibTorch 2.13.0, which has `lib/` in it. By default the one in the environment variable `LIBTORCH`, the one
    /// that `cargo xtask setup-libtorch` made, or the one of the Python package `torch`. The first one that a process opens
    /// serves all.
    #[schemars(extend("x-runtime" = true))]
    pub libtorch: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            device: "auto".to_owned(),
            libtorch: None,
        }
    }
}

/// Fuses in LibTorch.
pub struct Torch {
    device: device::Wanted,
    threads: usize,
}

impl Component for Torch {
    type Options = Options;

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Fuser,
            "torch",
            "linear fusion in LibTorch, on the CPU or on CUDA",
        )
    }

    fn new(options: Options, context: &Context) -> Result<Self> {
        Ok(Self {
            device: device::Wanted::parse(&options.device)?,
            threads: context.threads,
        })
    }
}

impl Fuser for Torch {
    fn open(&self, members: Vec<Member>, groups: Vec<usize>) -> Result<Box<dyn FuserSession>> {
        let shape = FusionShape::of(&members, groups, &TYPES)?;
        let device = self.device.resolve()?;
        let session = Session::new(members, shape, device, self.threads)?;
        Ok(Box::new(session))
    }

    fn devices(&self) -> Result<Vec<FuserDevice>> {
        Ok(vec![device::describe(self.device.resolve()?)])
    }
}

/// What has to be open before this library is, under the names that LibTorch's own builds use.
pub fn libtorch() -> Preload {
    Preload::new("libtorch", "2.13.0", &["c10", "torch_cpu"])
        .optional("c10_cuda")
        .optional("torch_cuda")
        .python_module("torch")
        .hint(
            "`cargo xtask setup-libtorch` makes one for the CPU ready; `pip install torch==2.13.0` brings one with CUDA; \
             or name its folder in LIBTORCH",
        )
}

export_plugin!(preload: libtorch(); fuser: Torch);
