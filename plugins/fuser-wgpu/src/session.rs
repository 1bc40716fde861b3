//! Members on the GPU, and what is computed of them.

use std::sync::mpsc;

use bomf_plugin_api::{FuserSession, FusionShape, Member, Result, Tensor, TensorMut};
use wgpu::{Buffer, BufferUsages, CommandEncoder, ComputePass, ComputePipeline, MapMode};

use crate::TYPES;
use crate::chunk::{Chunk, rows, split};
use crate::device::Gpu;

/// Members in a block of the Gram matrix, as in the shader.
const BLOCK: usize = 16;
/// Vectors that one workgroup of `gram.wgsl` and `project.wgsl` takes.
const GRAM_RUN: u32 = 512;
const PROJECT_RUN: u32 = 1024;

/// Members that stay on the GPU.
pub struct Session {
    gpu: Gpu,
    shape: FusionShape,
    coefficients: Buffer,
    chunks: Vec<Chunk>,
    uploaded: u64,
}

impl Session {
    /// Uploads members, one after the other; each is released when it is there.
    ///
    /// # Errors
    /// When members differ, are of a type that cannot be fused, or the GPU has not enough memory.
    pub fn new(gpu: Gpu, members: Vec<Member>, groups: Vec<usize>) -> Result<Self> {
        let shape = FusionShape::of(&members, groups, &TYPES)
            .map_err(|error| error.hint("`use: cpu` fuses f64 as well"))?;
        let size = (shape.coefficients() * 4) as u64;
        let coefficients = gpu.buffer(size, BufferUsages::STORAGE | BufferUsages::COPY_DST);
        let (mut chunks, mut uploaded) = (Vec::new(), 0);
        for contents in split(&members, &shape, gpu.most)? {
            let (chunk, bytes) = Chunk::new(&gpu, contents, members.len(), &coefficients)?;
            chunks.push(chunk);
            uploaded += bytes;
        }
        for (index, member) in members.into_iter().enumerate() {
            for chunk in &chunks {
                uploaded += chunk.put(&gpu, index, &member.tensors)?;
            }
        }
        tracing::debug!(
            "{} chunks, {uploaded} bytes on `{}`",
            chunks.len(),
            gpu.name
        );
        Ok(Self {
            gpu,
            shape,
            coefficients,
            chunks,
            uploaded,
        })
    }

    /// How many bytes have gone to the GPU so far.
    pub fn uploaded(&self) -> u64 {
        self.uploaded
    }

    /// How many parts the members are in.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    fn encoder(&self) -> CommandEncoder {
        self.gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// Uploads the coefficients and runs all chunks in one pass.
    fn submit(&mut self, coefficients: &[f64]) {
        let coefficients: Vec<f32> = coefficients.iter().map(|&c| c as f32).collect();
        let bytes = bytemuck::cast_slice(&coefficients);
        self.gpu.queue.write_buffer(&self.coefficients, 0, bytes);
        self.uploaded += bytes.len() as u64;
        let mut encoder = self.encoder();
        let mut pass = begin(&mut encoder, &self.gpu.fusion);
        for chunk in &self.chunks {
            let [x, y] = chunk.workgroups();
            pass.set_bind_group(0, &chunk.bindings, &[]);
            pass.dispatch_workgroups(x, y, 1);
        }
        drop(pass);
        self.chunks
            .iter()
            .for_each(|chunk| chunk.copy_back(&mut encoder));
        self.gpu.queue.submit([encoder.finish()]);
    }

    /// Runs a reduction over a chunk and fetches its sums: `width` f32 for each of `runs` workgroups.
    fn reduce(
        &self,
        chunk: &Chunk,
        kernel: &ComputePipeline,
        runs: u32,
        layers: u32,
        width: usize,
    ) -> Result<Vec<f32>> {
        let [x, y] = rows(runs);
        let size = (x as usize * y as usize * layers as usize * width * 4) as u64;
        let sums = self
            .gpu
            .buffer(size, BufferUsages::STORAGE | BufferUsages::COPY_SRC);
        let readback = self
            .gpu
            .buffer(size, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
        let mut encoder = self.encoder();
        let mut pass = begin(&mut encoder, kernel);
        pass.set_bind_group(0, &chunk.bindings, &[]);
        pass.set_bind_group(1, &self.gpu.bind_sums(&sums), &[]);
        pass.dispatch_workgroups(x, y, layers);
        drop(pass);
        encoder.copy_buffer_to_buffer(&sums, 0, &readback, 0, size);
        self.gpu.queue.submit([encoder.finish()]);
        let mut found = Vec::new();
        read(&self.gpu, &[&readback], |_, sums| {
            found.extend_from_slice(sums)
        })?;
        Ok(found)
    }

    /// The sums of a chunk's Gram matrix below and on the diagonal.
    fn add_gram(&self, chunk: &Chunk, gram: &mut [f64]) -> Result<()> {
        let n = self.shape.members();
        let blocks = n.div_ceil(BLOCK);
        let pairs: Vec<(usize, usize)> = (0..blocks)
            .flat_map(|i| (0..=i).map(move |j| (i, j)))
            .collect();
        let runs = chunk.vectors().div_ceil(GRAM_RUN);
        let width = 2 * BLOCK * BLOCK;
        let sums = self.reduce(chunk, &self.gpu.gram, runs, pairs.len() as u32, width)?;
        let per_pair = sums.len() / pairs.len();
        for ((block_i, block_j), runs) in pairs.into_iter().zip(sums.chunks_exact(per_pair)) {
            for tile in runs.chunks_exact(width) {
                for (index, sum) in tile.as_chunks::<2>().0.iter().enumerate() {
                    let (i, j) = (
                        block_i * BLOCK + index / BLOCK,
                        block_j * BLOCK + index % BLOCK,
                    );
                    if i < n && j <= i {
                        gram[i * n + j] += f64::from(sum[0]) + f64::from(sum[1]);
                    }
                }
            }
        }
        Ok(())
    }
}

impl FuserSession for Session {
    fn fuse(&mut self, coefficients: &[f64], out: &mut [TensorMut<'_>]) -> Result<()> {
        self.shape.check_call(coefficients, out)?;
        self.submit(coefficients);
        let buffers: Vec<&Buffer> = self.chunks.iter().map(Chunk::readback).collect();
        read(&self.gpu, &buffers, |index, sums| {
            self.chunks[index].write(sums, out)
        })
    }

    fn gram(&mut self) -> Result<Vec<f64>> {
        let n = self.shape.members();
        let mut gram = vec![0.0; n * n];
        self.chunks
            .iter()
            .try_for_each(|chunk| self.add_gram(chunk, &mut gram))?;
        for i in 0..n {
            for j in 0..i {
                gram[j * n + i] = gram[i * n + j];
            }
        }
        Ok(gram)
    }

    fn project(&mut self, gradient: &[Tensor]) -> Result<Vec<f64>> {
        self.shape.check_gradient(gradient, &TYPES)?;
        let n = self.shape.members();
        let mut projection = vec![0.0; n];
        for chunk in &self.chunks {
            self.uploaded += chunk.put_gradient(&self.gpu, gradient)?;
            let runs = chunk.vectors().div_ceil(PROJECT_RUN);
            let sums = self.reduce(chunk, &self.gpu.project, runs, 1, n)?;
            for run in sums.chunks_exact(n) {
                let sums = projection.iter_mut().zip(run);
                sums.for_each(|(total, &sum)| *total += f64::from(sum));
            }
        }
        Ok(projection)
    }
}

fn begin<'a>(encoder: &'a mut CommandEncoder, kernel: &ComputePipeline) -> ComputePass<'a> {
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    pass.set_pipeline(kernel);
    pass
}

/// Waits for buffers and shows what is in them, in their order.
fn read(gpu: &Gpu, buffers: &[&Buffer], mut show: impl FnMut(usize, &[f32])) -> Result<()> {
    let (done, mapped) = mpsc::channel();
    for buffer in buffers {
        let done = done.clone();
        // The receiver is gone only after an earlier buffer failed.
        buffer.map_async(MapMode::Read, .., move |outcome| drop(done.send(outcome)));
    }
    gpu.wait()?;
    for (index, buffer) in buffers.iter().enumerate() {
        let outcome = mapped.recv().map_err(|error| gpu.fault(&error))?;
        outcome.map_err(|error| gpu.fault(&error))?;
        {
            let view = buffer
                .get_mapped_range(..)
                .map_err(|error| gpu.fault(&error))?;
            show(index, bytemuck::cast_slice(&view[..]));
        }
        buffer.unmap();
    }
    Ok(())
}
