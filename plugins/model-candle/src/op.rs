//! Own operations in candle's graph: a kernel says forward and backward on slices, the rest is here.

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor,
};

/// A differentiable function of one to three tensors, on row-major f32 slices.
pub trait Kernel: Send + Sync + 'static {
    /// For messages.
    fn name(&self) -> &'static str;
    /// The result and its shape.
    fn forward(&self, inputs: &[Slice<'_>]) -> (Vec<f32>, Shape);
    /// The gradient of each input, given that of the output.
    fn backward(&self, inputs: &[Slice<'_>], gradient: &[f32]) -> Vec<Vec<f32>>;
}

/// A tensor's numbers and shape.
#[derive(Clone, Copy)]
pub struct Slice<'a> {
    /// Row-major.
    pub data: &'a [f32],
    /// Lengths of the axes.
    pub shape: &'a [usize],
}

impl Slice<'_> {
    /// Length of the first axis.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Elements per row.
    pub fn width(&self) -> usize {
        self.shape[1..].iter().product()
    }
}

/// A kernel, run in a thread pool, as an operation of candle's.
pub struct Op<K> {
    kernel: K,
    pool: std::sync::Arc<rayon::ThreadPool>,
}

impl<K: Kernel> Op<K> {
    /// Runs the kernel in this pool.
    pub fn new(kernel: K, pool: &std::sync::Arc<rayon::ThreadPool>) -> Self {
        Self {
            kernel,
            pool: pool.clone(),
        }
    }

    fn run(&self, inputs: &[(&CpuStorage, &Layout)]) -> Result<(CpuStorage, Shape)> {
        let slices = inputs
            .iter()
            .map(|(storage, layout)| slice(storage, layout))
            .collect::<Result<Vec<_>>>()?;
        let (data, shape) = self.pool.install(|| self.kernel.forward(&slices));
        Ok((CpuStorage::F32(data), shape))
    }

    fn gradients(&self, inputs: &[&Tensor], gradient: &Tensor) -> Result<Vec<Tensor>> {
        let gradient = gradient.contiguous()?;
        let guards: Vec<_> = inputs
            .iter()
            .map(|input| input.storage_and_layout())
            .collect();
        let slices = guards
            .iter()
            .map(|(storage, layout)| match &**storage {
                Storage::Cpu(storage) => slice(storage, layout),
                _ => candle_core::bail!(
                    "{}: found a tensor that is not on the CPU",
                    self.kernel.name()
                ),
            })
            .collect::<Result<Vec<_>>>()?;
        let (storage, layout) = gradient.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else {
            candle_core::bail!(
                "{}: found a gradient that is not on the CPU",
                self.kernel.name()
            );
        };
        let gradient = slice(storage, layout)?.data;
        let gradients = self
            .pool
            .install(|| self.kernel.backward(&slices, gradient));
        let tensors = gradients.into_iter().zip(inputs);
        tensors
            .map(|(data, input)| Tensor::from_vec(data, input.shape(), input.device()))
            .collect()
    }
}

/// The numbers of a contiguous f32 tensor on the CPU.
pub fn slice<'a>(storage: &'a CpuStorage, layout: &'a Layout) -> Result<Slice<'a>> {
    let data = storage.as_slice::<f32>()?;
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("found a tensor that is not contiguous");
    };
    Ok(Slice {
        data: &data[start..end],
        shape: layout.dims(),
    })
}

impl<K: Kernel> CustomOp1 for Op<K> {
    fn name(&self) -> &'static str {
        self.kernel.name()
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run(&[(s, l)])
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.gradients(&[a], gradient)?.pop())
    }
}

impl<K: Kernel> CustomOp2 for Op<K> {
    fn name(&self) -> &'static str {
        self.kernel.name()
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run(&[(s1, l1), (s2, l2)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut gradients = self.gradients(&[a, b], gradient)?.into_iter();
        Ok((gradients.next(), gradients.next()))
    }
}

impl<K: Kernel> CustomOp3 for Op<K> {
    fn name(&self) -> &'static str {
        self.kernel.name()
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run(&[(s1, l1), (s2, l2), (s3, l3)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut gradients = self.gradients(&[a, b, c], gradient)?.into_iter();
        Ok((gradients.next(), gradients.next(), gradients.next()))
    }
}
