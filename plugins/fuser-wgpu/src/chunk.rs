//! Elements of all members in one buffer of the GPU.

use std::collections::BTreeMap;

use bomf_plugin_api::{Dtype, FusionShape, Member, PluginError, Result, Tensor, TensorMut};
use bytemuck::{Pod, Zeroable};
use fusion::kernel::{Level, read, store};
use wgpu::{BindGroup, Buffer, BufferUsages, CommandEncoder};

use crate::device::Gpu;

/// Bytes that the shaders read at once.
const VECTOR: usize = 16;
/// Invocations per workgroup, as in the shaders.
const WORKGROUP: u32 = 256;
/// Workgroups per row of a dispatch.
const ROW: u32 = 1 << 14;
/// Bytes that are handed to the driver at once: what it stages of members stays bounded.
const STAGED: usize = 16 << 20;

/// What the shaders know of a chunk: group 0, binding 0.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ChunkUniform {
    vectors: u32,
    members: u32,
    row: u32,
    storage: u32,
    stride: u32,
    padding: [u32; 3],
}

/// How elements are stored on the GPU; the numbers are the shaders'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Storage {
    F32 = 0,
    Bf16 = 1,
    F16 = 2,
}

impl Storage {
    /// As the members store it, if all store it alike; else as f32.
    fn of(members: &[Member], tensor: usize) -> Self {
        let mut types = members.iter().map(|m| m.tensors[tensor].spec().dtype);
        let first = types.next().unwrap_or(Dtype::F32);
        match first {
            Dtype::Bf16 if types.all(|dtype| dtype == first) => Storage::Bf16,
            Dtype::F16 if types.all(|dtype| dtype == first) => Storage::F16,
            _ => Storage::F32,
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Storage::F32 => Dtype::F32,
            Storage::Bf16 => Dtype::Bf16,
            Storage::F16 => Dtype::F16,
        }
    }

    fn per_vector(self) -> usize {
        VECTOR / self.dtype().size()
    }
}

/// Some elements of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    tensor: usize,
    start: usize,
    length: usize,
}

/// What a chunk holds: parts of tensors of one group, stored in one way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    group: usize,
    storage: Storage,
    parts: Vec<Part>,
}

/// Splits all tensors so that all members of a chunk, and an f32 per element of it, fit into `most` bytes each.
pub(crate) fn split(members: &[Member], shape: &FusionShape, most: u64) -> Result<Vec<Contents>> {
    let mut sorted: BTreeMap<(usize, Storage), Vec<Part>> = BTreeMap::new();
    for (tensor, spec) in shape.specs().iter().enumerate() {
        let length = spec.elements().unwrap_or(0);
        let key = (shape.groups()[tensor], Storage::of(members, tensor));
        let start = 0;
        let part = Part {
            tensor,
            start,
            length,
        };
        sorted.entry(key).or_default().push(part);
    }
    let mut chunks = Vec::new();
    for ((group, storage), tensors) in sorted {
        let of_members = most / (VECTOR * members.len()) as u64;
        let of_results = most / (4 * storage.per_vector()) as u64;
        let vectors = of_members.min(of_results).min(u64::from(u32::MAX / 2)) as usize;
        if vectors == 0 {
            return Err(PluginError::unsupported(format!(
                "{} members do not fit into buffers of {most} bytes",
                members.len()
            )));
        }
        for parts in runs(&tensors, vectors * storage.per_vector()) {
            let contents = Contents {
                group,
                storage,
                parts,
            };
            chunks.push(contents);
        }
    }
    Ok(chunks)
}

/// Tensors one after the other, in runs of at most `most` elements.
fn runs(tensors: &[Part], most: usize) -> Vec<Vec<Part>> {
    let (mut runs, mut run, mut room) = (Vec::new(), Vec::new(), most);
    for &tensor in tensors {
        let (mut start, end) = (tensor.start, tensor.start + tensor.length);
        while start < end {
            let length = room.min(end - start);
            run.push(Part {
                start,
                length,
                ..tensor
            });
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

/// A chunk on the GPU.
pub(crate) struct Chunk {
    contents: Contents,
    vectors: u32,
    members: Buffer,
    elements: Buffer,
    readback: Buffer,
    pub(crate) bindings: BindGroup,
}

impl Chunk {
    /// Makes room on the GPU; nothing is uploaded but the uniform. Returns its bytes as well.
    pub(crate) fn new(
        gpu: &Gpu,
        contents: Contents,
        members: usize,
        coefficients: &Buffer,
    ) -> Result<(Self, u64)> {
        let elements: usize = contents.parts.iter().map(|part| part.length).sum();
        let vectors = elements.div_ceil(contents.storage.per_vector());
        let uniform = ChunkUniform {
            vectors: vectors as u32,
            members: members as u32,
            row: (contents.group * members) as u32,
            storage: contents.storage as u32,
            stride: ROW * WORKGROUP,
            padding: [0; 3],
        };
        let bytes = bytemuck::bytes_of(&uniform);
        let uniform = gpu.buffer_of(bytes, BufferUsages::UNIFORM);
        let out_of_memory = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let size = (vectors * contents.storage.per_vector() * 4) as u64;
        let stored = (members * vectors * VECTOR) as u64;
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST;
        let members = gpu.buffer(stored, usage);
        let elements = gpu.buffer(size, usage | BufferUsages::COPY_SRC);
        let readback = gpu.buffer(size, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
        if let Some(error) = pollster::block_on(out_of_memory.pop()) {
            return Err(gpu
                .fault(&format!("not enough memory: {error}"))
                .hint("fuse with `use: cpu`, which leaves members in their files"));
        }
        let bindings = gpu.bind_chunk([&uniform, coefficients, &members, &elements]);
        let chunk = Self {
            contents,
            vectors: vectors as u32,
            members,
            elements,
            readback,
            bindings,
        };
        Ok((chunk, bytes.len() as u64))
    }

    /// Vectors of one member.
    pub(crate) fn vectors(&self) -> u32 {
        self.vectors
    }

    /// Uploads one member's elements; returns their bytes.
    pub(crate) fn put(&self, gpu: &Gpu, member: usize, tensors: &[Tensor]) -> Result<u64> {
        let start = (member * self.vectors as usize * VECTOR) as u64;
        self.upload(
            gpu,
            &self.members,
            start,
            tensors,
            self.contents.storage.dtype(),
        )
    }

    /// Uploads a gradient, where a projection looks for it.
    pub(crate) fn put_gradient(&self, gpu: &Gpu, gradient: &[Tensor]) -> Result<u64> {
        self.upload(gpu, &self.elements, 0, gradient, Dtype::F32)
    }

    /// Uploads this chunk's parts of tensors, as a type, padded with zeros to whole vectors; returns their bytes.
    fn upload(
        &self,
        gpu: &Gpu,
        buffer: &Buffer,
        start: u64,
        tensors: &[Tensor],
        dtype: Dtype,
    ) -> Result<u64> {
        let mut upload = Upload {
            gpu,
            buffer,
            end: start,
            staged: Vec::new(),
        };
        for part in &self.contents.parts {
            let tensor = &tensors[part.tensor];
            let from = tensor.spec().dtype;
            let bytes = &tensor.data()[part.start * from.size()..][..part.length * from.size()];
            for bytes in bytes.chunks(STAGED / 4) {
                append(&mut upload.staged, bytes, from, dtype);
                if upload.staged.len() >= STAGED {
                    upload.send()?;
                }
            }
        }
        let padded = self.vectors as usize * self.contents.storage.per_vector() * dtype.size();
        let sent = (upload.end - start) as usize;
        upload.staged.resize(padded - sent, 0);
        upload.send()?;
        Ok(padded as u64)
    }

    /// How many workgroups a fusion takes, in two dimensions.
    pub(crate) fn workgroups(&self) -> [u32; 2] {
        rows(self.vectors.div_ceil(WORKGROUP))
    }

    /// Copies the result to where it can be read.
    pub(crate) fn copy_back(&self, encoder: &mut CommandEncoder) {
        let size = self.readback.size();
        encoder.copy_buffer_to_buffer(&self.elements, 0, &self.readback, 0, size);
    }

    /// The buffer that results are read from.
    pub(crate) fn readback(&self) -> &Buffer {
        &self.readback
    }

    /// Writes a result into the output, in its types.
    pub(crate) fn write(&self, sums: &[f32], out: &mut [TensorMut<'_>]) {
        let mut rest = sums;
        for part in &self.contents.parts {
            let own;
            (own, rest) = rest.split_at(part.length);
            let out = &mut out[part.tensor];
            let dtype = out.spec().dtype;
            let bytes = &mut out.data()[part.start * dtype.size()..][..part.length * dtype.size()];
            store(Level::best(), own, kernel_dtype(dtype), bytes);
        }
    }
}

/// Bytes on their way into a buffer.
struct Upload<'a> {
    gpu: &'a Gpu,
    buffer: &'a Buffer,
    /// Where the next ones go.
    end: u64,
    staged: Vec<u8>,
}

impl Upload<'_> {
    /// Sends what is staged, in whole words, and waits until the driver has taken it.
    fn send(&mut self) -> Result<()> {
        let whole = self.staged.len() / 4 * 4;
        let queue = &self.gpu.queue;
        queue.write_buffer(self.buffer, self.end, &self.staged[..whole]);
        queue.submit([]);
        self.end += whole as u64;
        self.staged.drain(..whole);
        self.gpu.wait()
    }
}

/// So many workgroups, in rows that every adapter allows.
pub(crate) fn rows(workgroups: u32) -> [u32; 2] {
    [workgroups.min(ROW), workgroups.div_ceil(ROW)]
}

/// Appends elements as another type, or as they are.
fn append(staged: &mut Vec<u8>, bytes: &[u8], from: Dtype, to: Dtype) {
    if from == to {
        return staged.extend_from_slice(bytes);
    }
    let mut numbers = vec![0f32; bytes.len() / from.size()];
    read(Level::best(), bytes, kernel_dtype(from), &mut numbers);
    staged.extend_from_slice(bytemuck::cast_slice(&numbers));
}

fn kernel_dtype(dtype: Dtype) -> fusion::Dtype {
    fusion::Dtype::from_name(dtype.name()).expect("the shape was checked for types that are fused")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(tensor: usize, start: usize, length: usize) -> Part {
        Part {
            tensor,
            start,
            length,
        }
    }

    #[test]
    fn runs_are_full_but_for_the_last() {
        let tensors = [part(0, 0, 3), part(2, 0, 0), part(3, 0, 9)];
        let expected = [
            vec![part(0, 0, 3), part(3, 0, 2)],
            vec![part(3, 2, 5)],
            vec![part(3, 7, 2)],
        ];
        assert_eq!(runs(&tensors, 5), expected);
        assert_eq!(runs(&[part(1, 0, 4)], 4), [[part(1, 0, 4)]]);
        assert!(runs(&[part(1, 0, 0)], 4).is_empty());
    }

    #[test]
    fn many_workgroups_are_dispatched_in_rows() {
        assert_eq!(rows(1), [1, 1]);
        assert_eq!(rows(ROW), [ROW, 1]);
        assert_eq!(rows(ROW + 1), [ROW, 2]);
    }
}
