//! Members on the GPU, and what is computed of them.

use std::sync::mpsc;

use bomf_plugin_api::{
    Dtype, FuserSession, Member, PluginError, Result, Tensor, TensorMut, TensorSpec,
};
use bytemuck::{Pod, Zeroable};
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, Buffer, BufferUsages, MapMode, PollType,
};

use crate::device::Gpu;

/// Invocations per workgroup, as in the shader.
const WORKGROUP: u32 = 256;
/// Workgroups per row of a dispatch.
const ROW: u32 = 1 << 14;

/// What the shader knows of a chunk: binding 0.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ChunkUniform {
    quads: u32,
    members: u32,
    row: u32,
    stride: u32,
}

/// Elements of one group that fit into one binding with all members.
struct Chunk {
    bindings: BindGroup,
    fused: Buffer,
    readback: Buffer,
    quads: u32,
    /// Which elements they are: tensor, first element, number of elements, in order.
    parts: Vec<(usize, usize, usize)>,
}

/// Members that stay on the GPU.
pub struct Session {
    gpu: Gpu,
    specs: Vec<TensorSpec>,
    coefficients: Buffer,
    expected: usize,
    chunks: Vec<Chunk>,
    uploaded: u64,
}

impl Session {
    /// Uploads members that are alike. No buffer is larger than `most` bytes.
    ///
    /// # Errors
    /// When members differ, or the GPU has not enough memory.
    pub fn new(gpu: Gpu, members: &[Member], groups: &[usize], most: u64) -> Result<Self> {
        let first = members
            .first()
            .ok_or_else(|| PluginError::input("found no member, expected one or more"))?;
        members.iter().try_for_each(|member| alike(first, member))?;
        let specs: Vec<TensorSpec> = first
            .tensors
            .iter()
            .map(|tensor| tensor.spec().clone())
            .collect();
        let groups = if groups.is_empty() {
            vec![0; specs.len()]
        } else {
            groups.to_vec()
        };
        if groups.len() != specs.len() {
            return Err(PluginError::input(format!(
                "found groups for {} tensors, expected {}",
                groups.len(),
                specs.len()
            )));
        }
        let rows = groups.iter().max().map_or(1, |greatest| greatest + 1);
        let expected = rows * members.len();
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST;
        let coefficients = gpu.buffer((expected * 4) as u64, usage);
        let mut session = Self {
            gpu,
            specs,
            coefficients,
            expected,
            chunks: Vec::new(),
            uploaded: 0,
        };
        let limits = session.gpu.device.limits();
        let binding = limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size)
            .min(most);
        let most = (binding / (4 * members.len() as u64) / 4 * 4) as usize;
        if most == 0 {
            return Err(PluginError::unsupported(format!(
                "{} members do not fit into {binding} bytes",
                members.len()
            )));
        }
        for group in 0..rows {
            for parts in session.parts(&groups, group, most) {
                session.upload(members, group, parts)?;
            }
        }
        Ok(session)
    }

    /// How many bytes have gone to the GPU so far.
    pub fn uploaded(&self) -> u64 {
        self.uploaded
    }

    /// The elements of a group, in runs of at most `most`.
    fn parts(
        &self,
        groups: &[usize],
        group: usize,
        most: usize,
    ) -> Vec<Vec<(usize, usize, usize)>> {
        let (mut runs, mut run, mut room) = (Vec::new(), Vec::new(), most);
        for (tensor, spec) in self
            .specs
            .iter()
            .enumerate()
            .filter(|(tensor, _)| groups[*tensor] == group)
        {
            let elements = spec.elements().unwrap_or(0);
            let mut start = 0;
            while start < elements {
                let length = room.min(elements - start);
                run.push((tensor, start, length));
                start += length;
                room -= length;
                if room == 0 {
                    runs.push(std::mem::take(&mut run));
                    room = most;
                }
            }
        }
        if !run.is_empty() {
            runs.push(run);
        }
        runs
    }

    fn upload(
        &mut self,
        members: &[Member],
        group: usize,
        parts: Vec<(usize, usize, usize)>,
    ) -> Result<()> {
        let elements: usize = parts.iter().map(|(_, _, length)| length).sum();
        let quads = elements.div_ceil(4);
        let mut slab = Vec::with_capacity(members.len() * quads * 4);
        for member in members {
            for &(tensor, start, length) in &parts {
                append(&mut slab, &member.tensors[tensor], start, length);
            }
            slab.resize(slab.len().next_multiple_of(4), 0.0f32);
        }
        let gpu = &self.gpu;
        let uniform = ChunkUniform {
            quads: quads as u32,
            members: members.len() as u32,
            row: (group * members.len()) as u32,
            stride: ROW * WORKGROUP,
        };
        let uniform = gpu.buffer_of(bytemuck::bytes_of(&uniform), BufferUsages::UNIFORM);
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let slab_buffer = gpu.buffer_of(bytemuck::cast_slice(&slab), BufferUsages::STORAGE);
        let size = (quads * 16) as u64;
        let fused = gpu.buffer(size, BufferUsages::STORAGE | BufferUsages::COPY_SRC);
        let readback = gpu.buffer(size, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(PluginError::failed(format!(
                "`{}` has not enough memory: {error}",
                gpu.name
            ))
            .hint("fuse with `use: cpu`, which leaves members in their files"));
        }
        let buffers = [&uniform, &self.coefficients, &slab_buffer, &fused];
        let entries: Vec<BindGroupEntry<'_>> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bindings = gpu.device.create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &gpu.pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        self.uploaded += (slab.len() * 4 + size_of::<ChunkUniform>()) as u64;
        self.chunks.push(Chunk {
            bindings,
            fused,
            readback,
            quads: quads as u32,
            parts,
        });
        Ok(())
    }

    fn check(&self, coefficients: &[f64], out: &[TensorMut<'_>]) -> Result<()> {
        if coefficients.len() != self.expected {
            return Err(PluginError::input(format!(
                "found {} coefficients, expected {}",
                coefficients.len(),
                self.expected
            )));
        }
        if let Some(position) = coefficients.iter().position(|c| !(*c as f32).is_finite()) {
            return Err(PluginError::input(format!(
                "coefficient {position}: found {}, expected a finite number",
                coefficients[position]
            )));
        }
        if out.len() != self.specs.len() {
            return Err(PluginError::input(format!(
                "found room for {} tensors, expected {}",
                out.len(),
                self.specs.len()
            )));
        }
        for (spec, out) in self.specs.iter().zip(out) {
            let found = out.spec();
            if found.name != spec.name || found.shape != spec.shape || found.dtype != Dtype::F32 {
                return Err(PluginError::input(format!(
                    "the output: found the tensor `{}` {} {:?}, expected `{}` F32 {:?}",
                    found.name, found.dtype, found.shape, spec.name, spec.shape
                )));
            }
        }
        Ok(())
    }

    /// Runs all chunks in one pass.
    fn submit(&mut self, coefficients: &[f64]) {
        let coefficients: Vec<f32> = coefficients.iter().map(|&c| c as f32).collect();
        self.gpu
            .queue
            .write_buffer(&self.coefficients, 0, bytemuck::cast_slice(&coefficients));
        self.uploaded += (coefficients.len() * 4) as u64;
        let mut encoder = self
            .gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.gpu.pipeline);
            for chunk in &self.chunks {
                let workgroups = chunk.quads.div_ceil(WORKGROUP);
                pass.set_bind_group(0, &chunk.bindings, &[]);
                pass.dispatch_workgroups(workgroups.min(ROW), workgroups.div_ceil(ROW), 1);
            }
        }
        for chunk in &self.chunks {
            encoder.copy_buffer_to_buffer(
                &chunk.fused,
                0,
                &chunk.readback,
                0,
                chunk.readback.size(),
            );
        }
        self.gpu.queue.submit([encoder.finish()]);
    }

    fn read_back(&self, out: &mut [TensorMut<'_>]) -> Result<()> {
        let (done, mapped) = mpsc::channel();
        for chunk in &self.chunks {
            let done = done.clone();
            // The receiver is gone only after an earlier chunk failed.
            chunk
                .readback
                .map_async(MapMode::Read, .., move |outcome| drop(done.send(outcome)));
        }
        let failed = |error: String| PluginError::failed(format!("`{}`: {error}", self.gpu.name));
        self.gpu
            .device
            .poll(PollType::wait_indefinitely())
            .map_err(|error| failed(error.to_string()))?;
        for chunk in &self.chunks {
            let outcome = mapped.recv().map_err(|error| failed(error.to_string()))?;
            outcome.map_err(|error| failed(error.to_string()))?;
            {
                let view = chunk
                    .readback
                    .get_mapped_range(..)
                    .map_err(|error| failed(error.to_string()))?;
                let mut rest = &view[..];
                for &(tensor, start, length) in &chunk.parts {
                    let part;
                    (part, rest) = rest.split_at(length * 4);
                    out[tensor].data()[start * 4..][..length * 4].copy_from_slice(part);
                }
            }
            chunk.readback.unmap();
        }
        Ok(())
    }
}

impl FuserSession for Session {
    fn fuse(&mut self, coefficients: &[f64], out: &mut [TensorMut<'_>]) -> Result<()> {
        self.check(coefficients, out)?;
        self.submit(coefficients);
        self.read_back(out)
    }
}

/// Some elements of a tensor as f32.
fn append(slab: &mut Vec<f32>, tensor: &Tensor, start: usize, length: usize) {
    let dtype = tensor.spec().dtype;
    let bytes = &tensor.data()[start * dtype.size()..][..length * dtype.size()];
    match dtype {
        Dtype::F32 => slab.extend(
            bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|&word| f32::from_le_bytes(word)),
        ),
        Dtype::Bf16 => slab.extend(
            bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&word| f32::from_bits(u32::from(u16::from_le_bytes(word)) << 16)),
        ),
        _ => slab.extend(
            bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&word| half::f16::from_bits(u16::from_le_bytes(word)).to_f32()),
        ),
    }
}

fn alike(first: &Member, member: &Member) -> Result<()> {
    let fault = |what: String| {
        Err(PluginError::input(format!(
            "member `{}`: {what}",
            member.name
        )))
    };
    if member.tensors.len() != first.tensors.len() {
        return fault(format!(
            "found {} tensors, expected {}",
            member.tensors.len(),
            first.tensors.len()
        ));
    }
    for (expected, found) in first.tensors.iter().zip(&member.tensors) {
        let (expected, found) = (expected.spec(), found.spec());
        if found.name != expected.name || found.shape != expected.shape {
            return fault(format!(
                "found the tensor `{}` {:?}, expected `{}` {:?}",
                found.name, found.shape, expected.name, expected.shape
            ));
        }
        if !matches!(found.dtype, Dtype::F32 | Dtype::F16 | Dtype::Bf16) {
            return fault(format!(
                "tensor `{}`: found {}, expected F32, F16 or BF16",
                found.name, found.dtype
            ));
        }
    }
    Ok(())
}
