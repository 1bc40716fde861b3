//! The GPU and the pipeline.

use bomf_plugin_api::{PluginError, Result};
use wgpu::util::DeviceExt;
use wgpu::{
    Adapter, Backends, Buffer, BufferDescriptor, BufferUsages, ComputePipeline,
    ComputePipelineDescriptor, Device, DeviceDescriptor, Instance, InstanceDescriptor, Queue,
    ShaderModuleDescriptor, ShaderSource,
};

/// An adapter that is open, with the pipeline on it.
pub struct Gpu {
    /// Makes buffers.
    pub device: Device,
    /// Takes work.
    pub queue: Queue,
    /// The kernel.
    pub pipeline: ComputePipeline,
    /// What the adapter is called.
    pub name: String,
}

impl Gpu {
    /// Opens the fastest adapter, or the one whose name contains a text.
    ///
    /// # Errors
    /// When there is no such adapter; says which there are.
    pub fn open(wanted: Option<&str>) -> Result<Self> {
        let instance = Instance::new(InstanceDescriptor::new_without_display_handle());
        let mut adapters = pollster::block_on(instance.enumerate_adapters(Backends::all()));
        adapters.sort_by_key(rank);
        let names: Vec<String> = adapters
            .iter()
            .map(|adapter| adapter.get_info().name)
            .collect();
        let fits = |adapter: &Adapter| {
            let name = adapter.get_info().name.to_lowercase();
            wanted.is_none_or(|wanted| name.contains(&wanted.to_lowercase()))
        };
        let adapter = adapters.into_iter().find(fits).ok_or_else(|| {
            let found = if names.is_empty() {
                "none".to_owned()
            } else {
                format!("`{}`", names.join("`, `"))
            };
            PluginError::unsupported(format!("found no GPU that fits; adapters: {found}"))
                .hint("install a driver for Vulkan, Metal or DirectX 12, or fuse with `use: cpu`")
        })?;
        let info = adapter.get_info();
        tracing::info!("{} ({:?}, {:?})", info.name, info.device_type, info.backend);
        // The defaults cap a binding at 128 MiB.
        let descriptor = DeviceDescriptor {
            required_limits: adapter.limits(),
            ..DeviceDescriptor::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| {
                PluginError::failed(format!("`{}` cannot be opened: {error}", info.name))
            })?;
        let module = device.create_shader_module(ShaderModuleDescriptor {
            label: Some("linear_fusion"),
            source: ShaderSource::Wgsl(include_str!("../../../shaders/linear_fusion.wgsl").into()),
        });
        let pipeline = device.create_compute_pipeline(&ComputePipelineDescriptor {
            label: Some("linear_fusion"),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        Ok(Self {
            device,
            queue,
            pipeline,
            name: info.name,
        })
    }

    /// A buffer with contents.
    pub fn buffer_of(&self, contents: &[u8], usage: BufferUsages) -> Buffer {
        self.device
            .create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: None,
                contents,
                usage,
            })
    }

    /// A buffer of so many bytes.
    pub fn buffer(&self, size: u64, usage: BufferUsages) -> Buffer {
        self.device.create_buffer(&BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    }
}

/// Real GPUs before software; Vulkan, Metal and DirectX before OpenGL.
fn rank(adapter: &Adapter) -> (u8, u8) {
    let info = adapter.get_info();
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    (kind, u8::from(info.backend == wgpu::Backend::Gl))
}
