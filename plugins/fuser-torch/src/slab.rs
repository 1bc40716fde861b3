//! Tensors of all members in one matrix, and what is computed of it.

use std::ops::Range;

use bomf_plugin_api::{Dtype, Tensor as BorderTensor, TensorMut};
use tch::{Device, Kind, TchError, Tensor};

/// Columns of a product: cuBLAS and MKL count in 32 bits.
const MOST_COLUMNS: usize = 1 << 30;
/// Columns that are widened together: all members' share of them stays in a processor's cache, and occupies a GPU.
const WIDENED_ON_CPU: usize = 1 << 15;
const WIDENED_ON_GPU: usize = 1 << 20;

/// Elements of all members that are of one type and use one row of coefficients.
pub(crate) struct Slab {
    /// `[members, elements]`, in the type that they are stored in.
    members: Tensor,
    /// `[elements]`: the last fusion, in f32, or f64 where members are.
    sums: Tensor,
    /// `[members, columns]` f32, for members in halves: their sums are made in f32.
    widened: Option<Tensor>,
    group: usize,
    parts: Vec<Part>,
}

/// The place of a tensor among the columns.
struct Part {
    tensor: usize,
    columns: Range<usize>,
}

/// The element type in LibTorch.
pub(crate) fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F16 => Kind::Half,
        Dtype::Bf16 => Kind::BFloat16,
        Dtype::F64 => Kind::Double,
        _ => Kind::Float,
    }
}

fn is_half(kind: Kind) -> bool {
    matches!(kind, Kind::Half | Kind::BFloat16)
}

impl Slab {
    /// Room for tensors, each with its number of elements; nothing is written yet.
    pub(crate) fn new(
        rows: usize,
        kind: Kind,
        group: usize,
        tensors: &[(usize, usize)],
        device: Device,
    ) -> Result<Self, TchError> {
        let mut end = 0;
        let parts = tensors.iter().map(|&(tensor, elements)| {
            let start = end;
            end += elements;
            let columns = start..end;
            Part { tensor, columns }
        });
        let parts = parts.collect();
        let empty = |size: &[i64], kind| Tensor::f_empty(size, (kind, device));
        let sums = if kind == Kind::Double {
            Kind::Double
        } else {
            Kind::Float
        };
        let columns = end.min(widened_columns(device)) as i64;
        let widened = is_half(kind).then(|| empty(&[rows as i64, columns], Kind::Float));
        Ok(Self {
            members: empty(&[rows as i64, end as i64], kind)?,
            sums: empty(&[end as i64], sums)?,
            widened: widened.transpose()?,
            group,
            parts,
        })
    }

    /// The row of coefficients that it uses.
    pub(crate) fn group(&self) -> usize {
        self.group
    }

    /// Copies one member's tensors to the device.
    pub(crate) fn put(&mut self, member: usize, tensors: &[BorderTensor]) -> Result<(), TchError> {
        let row = self.members.f_get(member as i64)?;
        self.parts
            .iter()
            .try_for_each(|part| copy(&row, part, &tensors[part.tensor]))
    }

    /// Computes the sums: one product, or one for each run of members between such whose coefficient is zero: those are not
    /// read. Products of halves go over blocks. Returns the number of products.
    pub(crate) fn fuse(&mut self, coefficients: &[f64]) -> Result<u64, TchError> {
        let runs = runs(coefficients);
        if runs.is_empty() {
            let _same = self.sums.f_zero_()?;
            return Ok(0);
        }
        let row = Tensor::f_from_slice(coefficients)?;
        let row = row
            .f_to_device(self.sums.device())?
            .f_to_kind(self.sums.kind())?;
        let blocks = self.blocks(match &self.widened {
            Some(widened) => widened.size()[1] as usize,
            None => MOST_COLUMNS,
        });
        let products = blocks.len() * runs.len();
        for columns in blocks {
            let mut sums = narrow(&self.sums, 0, &columns)?;
            for (index, run) in runs.iter().enumerate() {
                let members = narrow(&narrow(&self.members, 0, run)?, 1, &columns)?;
                let members = self.widen(members)?.f_tr()?;
                let coefficients = narrow(&row, 0, run)?;
                let _same = match index {
                    0 => members.f_mv_out(&sums, &coefficients)?,
                    _ => sums.f_addmv_(&members, &coefficients)?,
                };
            }
        }
        Ok(products as u64)
    }

    /// Halves as f32; others as they are.
    fn widen(&self, members: Tensor) -> Result<Tensor, TchError> {
        let Some(widened) = &self.widened else {
            return Ok(members);
        };
        let [rows, columns] = members.size2()?.into();
        let mut target = widened.f_narrow(0, 0, rows)?.f_narrow(1, 0, columns)?;
        target.f_copy_(&members)?;
        Ok(target)
    }

    /// Writes the sums into the output, in its types.
    pub(crate) fn write(&self, out: &mut [TensorMut<'_>]) -> Result<(), TchError> {
        let sums = self.sums.f_to_device(Device::Cpu)?;
        for part in &self.parts {
            let out = &mut out[part.tensor];
            let values = narrow(&sums, 0, &part.columns)?.f_to_kind(kind(out.spec().dtype))?;
            values.f_copy_data_u8(out.data(), part.columns.len())?;
        }
        Ok(())
    }

    /// Adds the inner products of the centred members to a matrix, in f64.
    pub(crate) fn add_gram(&self, gram: &mut Tensor) -> Result<(), TchError> {
        for columns in self.blocks(widened_columns(self.members.device())) {
            let block = narrow(&self.members, 1, &columns)?.f_to_kind(Kind::Double)?;
            let centred = block.f_sub(&block.f_mean_dim([0i64].as_slice(), true, None)?)?;
            let _same = gram.f_addmm_(&centred, &centred.f_tr()?)?;
        }
        Ok(())
    }

    /// Adds the inner products of the members with a gradient to a vector, in f64.
    pub(crate) fn add_projection(
        &self,
        gradient: &[BorderTensor],
        projection: &mut Tensor,
    ) -> Result<(), TchError> {
        let dtypes = self
            .parts
            .iter()
            .map(|part| gradient[part.tensor].spec().dtype);
        let options = (common_kind(dtypes), self.members.device());
        let direction = Tensor::f_empty(self.sums.size(), options)?;
        for part in &self.parts {
            copy(&direction, part, &gradient[part.tensor])?;
        }
        for columns in self.blocks(widened_columns(self.members.device())) {
            let block = narrow(&self.members, 1, &columns)?.f_to_kind(Kind::Double)?;
            let direction = narrow(&direction, 0, &columns)?.f_to_kind(Kind::Double)?;
            let _same = projection.f_addmv_(&block, &direction)?;
        }
        Ok(())
    }

    /// All columns, at most so many together.
    fn blocks(&self, most: usize) -> Vec<Range<usize>> {
        let end = self.parts.last().map_or(0, |part| part.columns.end);
        let starts = (0..end).step_by(most.max(1));
        starts.map(|start| start..end.min(start + most)).collect()
    }
}

/// The type that holds numbers of all these types.
pub(crate) fn common_kind(dtypes: impl Iterator<Item = Dtype> + Clone) -> Kind {
    let first = dtypes.clone().next().unwrap_or(Dtype::F32);
    if dtypes.clone().all(|dtype| dtype == first) {
        return kind(first);
    }
    let mut dtypes = dtypes;
    match dtypes.any(|dtype| dtype == Dtype::F64) {
        true => Kind::Double,
        false => Kind::Float,
    }
}

fn widened_columns(device: Device) -> usize {
    match device {
        Device::Cpu => WIDENED_ON_CPU,
        _ => WIDENED_ON_GPU,
    }
}

fn narrow(tensor: &Tensor, axis: i64, range: &Range<usize>) -> Result<Tensor, TchError> {
    tensor.f_narrow(axis, range.start as i64, range.len() as i64)
}

/// Copies a tensor to its place in a row, in the row's type.
fn copy(row: &Tensor, part: &Part, tensor: &BorderTensor) -> Result<(), TchError> {
    let size = [part.columns.len() as i64];
    let source = Tensor::f_from_data_size(tensor.data(), &size, kind(tensor.spec().dtype))?;
    narrow(row, 0, &part.columns)?.f_copy_(&source)
}

/// Neighbours whose coefficients are not zero.
fn runs(coefficients: &[f64]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, _) in coefficients.iter().enumerate().filter(|(_, c)| **c != 0.0) {
        match runs.last_mut() {
            Some(last) if last.end == index => last.end += 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_lie_between_zeros() {
        assert_eq!(runs(&[0.0, 1.0, 2.0, 0.0, -0.0, 3.0]), [1..3, 5..6]);
        assert_eq!(runs(&[1.0, 2.0]), std::slice::from_ref(&(0..2)));
        assert_eq!(runs(&[0.0]), []);
    }

    #[test]
    fn a_common_kind_loses_nothing() {
        let of = |dtypes: &[Dtype]| common_kind(dtypes.iter().copied());
        assert_eq!(of(&[Dtype::F16, Dtype::F16]), Kind::Half);
        assert_eq!(of(&[Dtype::F16, Dtype::Bf16]), Kind::Float);
        assert_eq!(of(&[Dtype::Bf16, Dtype::F64]), Kind::Double);
        assert_eq!(of(&[]), Kind::Float);
    }
}
