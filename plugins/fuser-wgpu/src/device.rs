//! The GPU, and the kernels on it.

use bomf_plugin_api::{FuserDevice, FuserDeviceKind, PluginError, Result};
use wgpu::util::DeviceExt;
use wgpu::{
    Adapter, Backends, BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout,
    BindGroupLayoutDescriptor, BindGroupLayoutEntry, BindingType, Buffer, BufferBindingType,
    BufferDescriptor, BufferUsages, ComputePipeline, ComputePipelineDescriptor, Device,
    DeviceDescriptor, DeviceType, Instance, InstanceDescriptor, PipelineLayoutDescriptor, PollType,
    Queue, ShaderModuleDescriptor, ShaderSource, ShaderStages,
};

use crate::{Backend, Options, TYPES};

/// An adapter that is open, with the kernels on it.
pub struct Gpu {
    pub(crate) device: Device,
    pub(crate) queue: Queue,
    pub(crate) fusion: ComputePipeline,
    pub(crate) gram: ComputePipeline,
    pub(crate) project: ComputePipeline,
    /// Group 0: a chunk.
    chunk: BindGroupLayout,
    /// Group 1: where a reduction's sums go.
    sums: BindGroupLayout,
    /// What the adapter is called.
    pub(crate) name: String,
    /// Most bytes of a buffer.
    pub(crate) most: u64,
}

/// A kernel's source, behind what all have in common.
macro_rules! shader {
    ($file:literal) => {
        concat!(
            include_str!("../../../shaders/members.wgsl"),
            include_str!(concat!("../../../shaders/", $file))
        )
    };
}

impl Gpu {
    /// Opens the adapter that the options ask for.
    ///
    /// # Errors
    /// When there is no such adapter, or it cannot be opened.
    pub fn open(options: &Options) -> Result<Self> {
        let adapter = find(options)?;
        let info = adapter.get_info();
        tracing::info!("{} ({:?}, {:?})", info.name, info.device_type, info.backend);
        // The defaults cap a binding at 128 MiB.
        let limits = adapter.limits();
        let descriptor = DeviceDescriptor {
            required_limits: limits.clone(),
            ..DeviceDescriptor::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| {
                PluginError::failed(format!("`{}` cannot be opened: {error}", info.name))
            })?;
        let chunk = layout(
            &device,
            &[
                BufferBindingType::Uniform,
                BufferBindingType::Storage { read_only: true },
                BufferBindingType::Storage { read_only: true },
                BufferBindingType::Storage { read_only: false },
            ],
        );
        let sums = layout(&device, &[BufferBindingType::Storage { read_only: false }]);
        let kernel = |label, source, layouts: &[Option<&BindGroupLayout>]| {
            kernel(&device, label, source, layouts)
        };
        let both = [Some(&chunk), Some(&sums)];
        let allowed = limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size);
        Ok(Self {
            fusion: kernel("linear_fusion", shader!("linear_fusion.wgsl"), &both[..1]),
            gram: kernel("gram", shader!("gram.wgsl"), &both),
            project: kernel("project", shader!("project.wgsl"), &both),
            device,
            queue,
            chunk,
            sums,
            name: info.name,
            most: options
                .buffer_mib
                .map_or(allowed, |mib| allowed.min(mib << 20)),
        })
    }

    /// A buffer with contents.
    pub(crate) fn buffer_of(&self, contents: &[u8], usage: BufferUsages) -> Buffer {
        let descriptor = wgpu::util::BufferInitDescriptor {
            label: None,
            contents,
            usage,
        };
        self.device.create_buffer_init(&descriptor)
    }

    /// A buffer of so many bytes.
    pub(crate) fn buffer(&self, size: u64, usage: BufferUsages) -> Buffer {
        self.device.create_buffer(&BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    }

    /// Binds the buffers of a chunk, in the order of the bindings.
    pub(crate) fn bind_chunk(&self, buffers: [&Buffer; 4]) -> BindGroup {
        self.bind(&self.chunk, &buffers)
    }

    /// Binds the buffer that a reduction's sums go to.
    pub(crate) fn bind_sums(&self, buffer: &Buffer) -> BindGroup {
        self.bind(&self.sums, &[buffer])
    }

    fn bind(&self, layout: &BindGroupLayout, buffers: &[&Buffer]) -> BindGroup {
        let entries = (0..).zip(buffers).map(|(binding, buffer)| BindGroupEntry {
            binding,
            resource: buffer.as_entire_binding(),
        });
        self.device.create_bind_group(&BindGroupDescriptor {
            label: None,
            layout,
            entries: &entries.collect::<Vec<_>>(),
        })
    }

    /// Waits until everything that was submitted is done.
    ///
    /// # Errors
    /// When the device is lost.
    pub(crate) fn wait(&self) -> Result<()> {
        let waited = self.device.poll(PollType::wait_indefinitely());
        waited.map(|_| ()).map_err(|error| self.fault(&error))
    }

    /// Something went wrong on this GPU.
    pub(crate) fn fault(&self, error: &dyn std::fmt::Display) -> PluginError {
        PluginError::failed(format!("`{}`: {error}", self.name))
    }
}

fn layout(device: &Device, bindings: &[BufferBindingType]) -> BindGroupLayout {
    let entries = (0..)
        .zip(bindings)
        .map(|(binding, &ty)| BindGroupLayoutEntry {
            binding,
            visibility: ShaderStages::COMPUTE,
            ty: BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        });
    device.create_bind_group_layout(&BindGroupLayoutDescriptor {
        label: None,
        entries: &entries.collect::<Vec<_>>(),
    })
}

fn kernel(
    device: &Device,
    label: &str,
    source: &str,
    layouts: &[Option<&BindGroupLayout>],
) -> ComputePipeline {
    let module = device.create_shader_module(ShaderModuleDescriptor {
        label: Some(label),
        source: ShaderSource::Wgsl(source.into()),
    });
    let layout = device.create_pipeline_layout(&PipelineLayoutDescriptor {
        label: Some(label),
        bind_group_layouts: layouts,
        immediate_size: 0,
    });
    device.create_compute_pipeline(&ComputePipelineDescriptor {
        label: Some(label),
        layout: Some(&layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    })
}

/// The fastest adapter that fits the options.
///
/// # Errors
/// When there is none; says which there are.
pub(crate) fn find(options: &Options) -> Result<Adapter> {
    let backends = match options.backend {
        None => Backends::all(),
        Some(Backend::Vulkan) => Backends::VULKAN,
        Some(Backend::Metal) => Backends::METAL,
        Some(Backend::Dx12) => Backends::DX12,
        Some(Backend::Gl) => Backends::GL,
    };
    let instance = Instance::new(InstanceDescriptor::new_without_display_handle());
    let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
    adapters.sort_by_key(rank);
    let names: Vec<String> = adapters.iter().map(name).collect();
    let wanted = options
        .adapter
        .as_deref()
        .unwrap_or_default()
        .to_lowercase();
    let fits = |adapter: &Adapter| name(adapter).to_lowercase().contains(&wanted);
    adapters.into_iter().find(fits).ok_or_else(|| {
        let there = match names.is_empty() {
            true => "none".to_owned(),
            false => format!("`{}`", names.join("`, `")),
        };
        PluginError::unsupported(format!("found no GPU that fits; adapters: {there}"))
            .hint("install a driver for Vulkan, Metal or DirectX 12, or fuse with `use: cpu`")
    })
}

fn name(adapter: &Adapter) -> String {
    let info = adapter.get_info();
    format!("{} ({})", info.name, info.backend)
}

/// Real GPUs before software; Vulkan, Metal and DirectX before OpenGL.
fn rank(adapter: &Adapter) -> (u8, bool) {
    let info = adapter.get_info();
    let kind = match info.device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    };
    (kind, info.backend == wgpu::Backend::Gl)
}

/// What a host is told that chooses a fuser by itself. wgpu does not know how much memory a GPU has.
pub(crate) fn describe(adapter: &Adapter) -> FuserDevice {
    let info = adapter.get_info();
    let kind = match info.device_type {
        DeviceType::DiscreteGpu | DeviceType::VirtualGpu => FuserDeviceKind::Gpu,
        DeviceType::IntegratedGpu | DeviceType::Other => FuserDeviceKind::SharedGpu,
        DeviceType::Cpu => FuserDeviceKind::Software,
    };
    let device = FuserDevice::new(name(adapter), kind, &TYPES).copies_members();
    match info.device_pci_bus_id.is_empty() {
        true => device,
        false => device.at_pci_address(info.device_pci_bus_id),
    }
}
