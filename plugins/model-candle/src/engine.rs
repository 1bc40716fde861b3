//! The engine on candle: its tensors and its graph, own operations for what takes time.

use std::sync::Arc;

use bomf_plugin_api::{PluginError, Result};
use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Tensor, Var};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use transformer::{AdamW, Dropout, Engine};

use crate::attention::Attention;
use crate::kernels::{
    AddDropout, CrossEntropy, Embedding, Gelu, LayerNorm, Linear, SequenceMean, SquaredError,
};
use crate::op::{Kernel, Op};
use crate::simd::vectorised;

/// candle on the CPU, with a thread pool of its own.
#[derive(Clone)]
pub struct Candle {
    pool: Arc<ThreadPool>,
}

impl Candle {
    /// An engine that uses so many threads.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(threads: usize) -> Result<Self> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|index| format!("candle-{index}"))
            .build()
            .map_err(|error| PluginError::failed(format!("found no threads: {error}")))?;
        Ok(Self {
            pool: Arc::new(pool),
        })
    }

    fn op<K: Kernel>(&self, kernel: K) -> Op<K> {
        Op::new(kernel, &self.pool)
    }
}

fn fault(error: candle_core::Error) -> PluginError {
    PluginError::failed(error.to_string())
}

/// Elements that one thread takes at a time.
const CHUNK: usize = 1 << 16;

impl Engine for Candle {
    type Tensor = Tensor;

    fn describe(&self) -> String {
        format!(
            "candle 0.11, cpu, {} threads",
            self.pool.current_num_threads()
        )
    }

    fn constant(&self, data: &[f32], shape: &[usize]) -> Result<Tensor> {
        Tensor::from_slice(data, shape, &Device::Cpu).map_err(fault)
    }

    fn parameter(&self, data: &[f32], shape: &[usize]) -> Result<Tensor> {
        Var::from_slice(data, shape, &Device::Cpu)
            .map(Var::into_inner)
            .map_err(fault)
    }

    fn detach(&self, tensor: &Tensor) -> Tensor {
        tensor.detach()
    }

    fn read(&self, tensor: &Tensor, out: &mut [f32]) -> Result<()> {
        let tensor = tensor.contiguous().map_err(fault)?;
        let (storage, layout) = tensor.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else {
            return Err(PluginError::failed("found a tensor that is not on the CPU"));
        };
        let numbers = crate::op::slice(storage, layout).map_err(fault)?.data;
        if numbers.len() != out.len() {
            return Err(PluginError::failed(format!(
                "found {} numbers, expected {}",
                numbers.len(),
                out.len()
            )));
        }
        out.copy_from_slice(numbers);
        Ok(())
    }

    fn write(&self, parameter: &Tensor, data: &[f32]) -> Result<()> {
        parameter.inplace_op1(&Overwrite(data)).map_err(fault)
    }

    fn linear(&self, x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
        x.apply_op3(w, b, self.op(Linear)).map_err(fault)
    }

    fn add(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        (a + b).map_err(fault)
    }

    fn gelu(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1(self.op(Gelu)).map_err(fault)
    }

    fn tanh(&self, x: &Tensor) -> Result<Tensor> {
        x.tanh().map_err(fault)
    }

    fn dropout(&self, x: &Tensor, dropout: Dropout) -> Result<Tensor> {
        x.apply_op1(self.op(AddDropout(dropout))).map_err(fault)
    }

    fn layer_norm(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        epsilon: f32,
    ) -> Result<Tensor> {
        x.apply_op3(gamma, beta, self.op(LayerNorm { epsilon }))
            .map_err(fault)
    }

    fn attention(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        lengths: &Arc<[usize]>,
        heads: usize,
        dropout: Option<Dropout>,
    ) -> Result<Tensor> {
        let kernel = Attention {
            lengths: Arc::clone(lengths),
            heads,
            dropout,
        };
        q.apply_op3(k, v, self.op(kernel)).map_err(fault)
    }

    fn embedding(&self, table: &Tensor, ids: &Arc<[u32]>) -> Result<Tensor> {
        let rows = table.dims().first().copied().unwrap_or(0);
        if let Some(id) = ids.iter().find(|&&id| id as usize >= rows) {
            return Err(PluginError::input(format!(
                "found the id {id}, expected less than {rows}"
            )));
        }
        table
            .apply_op1(self.op(Embedding(Arc::clone(ids))))
            .map_err(fault)
    }

    fn sequence_mean(&self, x: &Tensor, lengths: &Arc<[usize]>) -> Result<Tensor> {
        x.apply_op1(self.op(SequenceMean(Arc::clone(lengths))))
            .map_err(fault)
    }

    fn cross_entropy(
        &self,
        logits: &Tensor,
        labels: &Arc<[u32]>,
        smoothing: f32,
    ) -> Result<Tensor> {
        let kernel = CrossEntropy {
            labels: Arc::clone(labels),
            smoothing,
        };
        logits.apply_op1(self.op(kernel)).map_err(fault)
    }

    fn squared_error(&self, x: &Tensor, targets: &[f32]) -> Result<Tensor> {
        x.apply_op1(self.op(SquaredError(targets.to_vec())))
            .map_err(fault)
    }

    fn backward(
        &self,
        output: &Tensor,
        output_gradient: &[f32],
        with_respect_to: &[Tensor],
    ) -> Result<Vec<Tensor>> {
        let weights = self.constant(output_gradient, output.dims())?;
        let total = (output * weights)
            .and_then(|weighted| weighted.sum_all())
            .map_err(fault)?;
        let mut gradients = total.backward().map_err(fault)?;
        with_respect_to
            .iter()
            .enumerate()
            .map(|(position, parameter)| {
                gradients.remove(parameter).ok_or_else(|| {
                    PluginError::failed(format!(
                        "found no gradient of parameter {position} {:?}: the output does not depend on it",
                        parameter.dims()
                    ))
                })
            })
            .collect()
    }

    fn sum_of_squares(&self, tensors: &[Tensor]) -> Result<f64> {
        let mut total = 0.0;
        for tensor in tensors {
            let tensor = tensor.contiguous().map_err(fault)?;
            let (storage, layout) = tensor.storage_and_layout();
            let candle_core::Storage::Cpu(storage) = &*storage else {
                return Err(PluginError::failed("found a tensor that is not on the CPU"));
            };
            let numbers = crate::op::slice(storage, layout).map_err(fault)?.data;
            let squares = |chunk: &[f32]| -> f64 {
                let mut sums = [0.0f64; 8];
                let (eights, rest) = chunk.as_chunks::<8>();
                for eight in eights {
                    sums.iter_mut()
                        .zip(eight)
                        .for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
                }
                sums.iter().sum::<f64>()
                    + rest
                        .iter()
                        .map(|&x| f64::from(x) * f64::from(x))
                        .sum::<f64>()
            };
            let parts: Vec<f64> = self
                .pool
                .install(|| numbers.par_chunks(CHUNK).map(squares).collect());
            total += parts.iter().sum::<f64>();
        }
        Ok(total)
    }

    fn adamw(
        &self,
        parameter: &Tensor,
        gradient: &Tensor,
        first: &mut [f32],
        second: &mut [f32],
        settings: AdamW,
    ) -> Result<()> {
        let gradient = gradient.contiguous().map_err(fault)?;
        let (storage, layout) = gradient.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else {
            return Err(PluginError::failed(
                "found a gradient that is not on the CPU",
            ));
        };
        let gradient = crate::op::slice(storage, layout).map_err(fault)?.data;
        let moments = std::sync::Mutex::new((first, second));
        let step = Step {
            gradient,
            moments,
            settings,
            pool: &self.pool,
        };
        parameter.inplace_op1(&step).map_err(fault)
    }

    fn add_dropout(
        &self,
        x: &Tensor,
        residual: &Tensor,
        dropout: Option<Dropout>,
    ) -> Result<Tensor> {
        match dropout {
            Some(dropout) => x
                .apply_op2(residual, self.op(AddDropout(dropout)))
                .map_err(fault),
            None => self.add(x, residual),
        }
    }
}

/// The numbers of a parameter, exclusively.
fn numbers<'a>(
    storage: &'a mut CpuStorage,
    layout: &Layout,
    expected: usize,
) -> candle_core::Result<&'a mut [f32]> {
    let (CpuStorage::F32(data), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
        candle_core::bail!("found a parameter that is not contiguous f32");
    };
    if end - start != expected {
        candle_core::bail!(
            "found a parameter of {} numbers, expected {expected}",
            end - start
        );
    }
    Ok(&mut data[start..end])
}

struct Overwrite<'a>(&'a [f32]);

impl InplaceOp1 for Overwrite<'_> {
    fn name(&self) -> &'static str {
        "overwrite"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        numbers(storage, layout, self.0.len())?.copy_from_slice(self.0);
        Ok(())
    }
}

struct Step<'a> {
    gradient: &'a [f32],
    moments: std::sync::Mutex<(&'a mut [f32], &'a mut [f32])>,
    settings: AdamW,
    pool: &'a ThreadPool,
}

vectorised!(
    fn adamw_chunk(
        w: &mut [f32],
        g: &[f32],
        m: &mut [f32],
        v: &mut [f32],
        s: AdamW,
        correction: [f32; 2],
    ) {
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            let g = g * s.gradient_scale;
            *m = s.beta1 * *m + (1.0 - s.beta1) * g;
            *v = s.beta2 * *v + (1.0 - s.beta2) * g * g;
            *w -= s.learning_rate * s.weight_decay * *w;
            *w -=
                s.learning_rate * (*m * correction[0]) / ((*v * correction[1]).sqrt() + s.epsilon);
        }
    }
);

impl InplaceOp1 for Step<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let w = numbers(storage, layout, self.gradient.len())?;
        let Ok(mut moments) = self.moments.lock() else {
            candle_core::bail!("found moments that a panic left behind");
        };
        let (m, v) = &mut *moments;
        let s = self.settings;
        let correction = [s.beta1, s.beta2]
            .map(|beta| (1.0 / (1.0 - f64::from(beta).powi(s.step as i32))) as f32);
        self.pool.install(|| {
            w.par_chunks_mut(CHUNK)
                .zip(self.gradient.par_chunks(CHUNK))
                .zip(m.par_chunks_mut(CHUNK))
                .zip(v.par_chunks_mut(CHUNK))
                .for_each(|(((w, g), m), v)| adamw_chunk(w, g, m, v, s, correction));
        });
        Ok(())
    }
}
