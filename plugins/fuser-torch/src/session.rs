//! A set of members on a device.

use std::collections::BTreeMap;

use bomf_plugin_api::{
    FuserSession, FusionShape, Member, PluginError, Result, Tensor as BorderTensor, TensorMut,
};
use tch::{Device, Kind, TchError, Tensor, no_grad_guard};

use crate::TYPES;
use crate::slab::{Slab, common_kind};

/// Members that stay on a device.
pub struct Session {
    shape: FusionShape,
    slabs: Vec<Slab>,
    device: Device,
    threads: usize,
    products: u64,
}

impl Session {
    /// Copies members that are alike to the device, one after the other; each is released when it is there.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(
        members: Vec<Member>,
        shape: FusionShape,
        device: Device,
        threads: usize,
    ) -> Result<Self> {
        limit_threads(threads);
        let mut slabs = slabs(&members, &shape, device).map_err(fault)?;
        for (index, member) in members.into_iter().enumerate() {
            let mut slabs = slabs.iter_mut();
            slabs
                .try_for_each(|slab| slab.put(index, &member.tensors))
                .map_err(fault)?;
        }
        tracing::debug!("{} slabs on {device:?}", slabs.len());
        Ok(Self {
            shape,
            slabs,
            device,
            threads,
            products: 0,
        })
    }

    /// How many slabs there are: one for each element type and row of coefficients.
    pub fn slabs(&self) -> usize {
        self.slabs.len()
    }

    /// How many matrix-vector products all fusions together have taken.
    pub fn products(&self) -> u64 {
        self.products
    }

    /// Computes all slabs, then fetches what came out: on a GPU the products wait for nobody.
    fn compute(&mut self, coefficients: &[f64], out: &mut [TensorMut<'_>]) -> Result<(), TchError> {
        let members = self.shape.members();
        for slab in &mut self.slabs {
            let row = &coefficients[slab.group() * members..][..members];
            self.products += slab.fuse(row)?;
        }
        self.slabs.iter().try_for_each(|slab| slab.write(out))
    }

    /// Adds up what each slab adds to a tensor of zeros in f64.
    fn reduce(
        &self,
        size: &[i64],
        add: impl Fn(&Slab, &mut Tensor) -> Result<(), TchError>,
    ) -> Result<Vec<f64>, TchError> {
        let mut total = Tensor::f_zeros(size, (Kind::Double, self.device))?;
        self.slabs
            .iter()
            .try_for_each(|slab| add(slab, &mut total))?;
        let mut numbers = vec![0.0; total.numel()];
        total.f_copy_data(&mut numbers, total.numel())?;
        Ok(numbers)
    }
}

impl FuserSession for Session {
    fn fuse(&mut self, coefficients: &[f64], out: &mut [TensorMut<'_>]) -> Result<()> {
        self.shape.check_call(coefficients, out)?;
        limit_threads(self.threads);
        let _no_grad = no_grad_guard();
        self.compute(coefficients, out).map_err(fault)
    }

    fn gram(&mut self) -> Result<Vec<f64>> {
        limit_threads(self.threads);
        let _no_grad = no_grad_guard();
        let n = self.shape.members();
        let gram = self.reduce(&[n as i64, n as i64], |slab, gram| slab.add_gram(gram));
        let mut gram = gram.map_err(fault)?;
        // The product's two halves may differ in the last bit.
        for i in 0..n {
            for j in 0..i {
                gram[j * n + i] = gram[i * n + j];
            }
        }
        Ok(gram)
    }

    fn project(&mut self, gradient: &[BorderTensor]) -> Result<Vec<f64>> {
        self.shape.check_gradient(gradient, &TYPES)?;
        limit_threads(self.threads);
        let _no_grad = no_grad_guard();
        let members = self.shape.members() as i64;
        self.reduce(&[members], |slab, sums| slab.add_projection(gradient, sums))
            .map_err(fault)
    }
}

/// Tensors by their number, each with its elements.
type Tensors = Vec<(usize, usize)>;

/// One slab for each element type and row of coefficients; tensors without elements are in none.
fn slabs(members: &[Member], shape: &FusionShape, device: Device) -> Result<Vec<Slab>, TchError> {
    let mut sorted: BTreeMap<(usize, i32), (Kind, Tensors)> = BTreeMap::new();
    for (tensor, spec) in shape.specs().iter().enumerate() {
        let elements = spec.elements().unwrap_or(0);
        if elements == 0 {
            continue;
        }
        let kind = common_kind(members.iter().map(|m| m.tensors[tensor].spec().dtype));
        let key = (shape.groups()[tensor], kind as i32);
        let (_, tensors) = sorted.entry(key).or_insert((kind, Vec::new()));
        tensors.push((tensor, elements));
    }
    let slabs = sorted.into_iter().map(|((group, _), (kind, tensors))| {
        Slab::new(members.len(), kind, group, &tensors, device)
    });
    slabs.collect()
}

/// LibTorch keeps the number of threads for each thread that calls it.
fn limit_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
}

/// What LibTorch says, without the addresses that it says it from.
fn fault(error: TchError) -> PluginError {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default().to_owned();
    match first.to_lowercase().contains("memory") {
        true => PluginError::failed(first)
            .hint("fuse with `use: cpu`, which leaves members in their files"),
        false => PluginError::failed(first),
    }
}
