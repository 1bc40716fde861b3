//! Tables and tensors in a layout that both sides of the border agree on.

use std::sync::Arc;

use abi_stable::std_types::{RBox, RCowSlice, RCowStr, RSlice, RSliceMut, RString, RVec};
use abi_stable::{StableAbi, sabi_trait};

use crate::error::{PluginError, Result};
use crate::table::{Column, Table, Values};
use crate::tensor::{ByteOwner, Dtype, SharedBytes, Tensor, TensorMut, TensorSpec};

#[repr(C)]
#[derive(StableAbi)]
pub struct AbiTable<'a> {
    rows: u64,
    columns: RVec<AbiColumn<'a>>,
}

/// A column of any type: `kind` says which of the value slices counts (0 texts, 1 numbers, 2 integers).
#[repr(C)]
#[derive(StableAbi)]
pub struct AbiColumn<'a> {
    name: RCowStr<'a>,
    cells: RCowSlice<'a, u64>,
    kind: u8,
    ends: RCowSlice<'a, u64>,
    bytes: RCowSlice<'a, u8>,
    numbers: RCowSlice<'a, f64>,
    integers: RCowSlice<'a, i64>,
}

const TEXTS: u8 = 0;
const NUMBERS: u8 = 1;
const INTEGERS: u8 = 2;

impl<'a> AbiTable<'a> {
    /// A view of a table; nothing is copied.
    pub(super) fn view(table: &'a Table<'_>) -> Self {
        let columns = table.columns().iter().map(AbiColumn::view).collect();
        Self {
            rows: table.rows() as u64,
            columns,
        }
    }

    /// A table that changes sides; nothing is copied.
    pub(super) fn owned(table: Table<'static>) -> AbiTable<'static> {
        let rows = table.rows() as u64;
        let columns = table
            .columns()
            .iter()
            .cloned()
            .map(AbiColumn::owned)
            .collect();
        AbiTable { rows, columns }
    }

    /// The plain table that borrows from this one. Columns of types that this side does not know are passed over.
    pub(super) fn table(&self) -> Result<Table<'_>> {
        self.columns
            .iter()
            .try_fold(
                Table::new(self.rows as usize),
                |table, column| match column.values()? {
                    Some(values) => table.with_column(
                        column.name.as_str(),
                        column.cells.as_slice().into(),
                        values,
                    ),
                    None => Ok(table),
                },
            )
    }
}

impl<'a> AbiColumn<'a> {
    fn empty(name: RCowStr<'a>, cells: RCowSlice<'a, u64>, kind: u8) -> Self {
        Self {
            name,
            cells,
            kind,
            ends: RSlice::EMPTY.into(),
            bytes: RSlice::EMPTY.into(),
            numbers: RSlice::EMPTY.into(),
            integers: RSlice::EMPTY.into(),
        }
    }

    fn view(column: &'a Column<'_>) -> Self {
        let name = RCowStr::from(&*column.name);
        let cells = borrowed(&column.cells);
        match &column.values {
            Values::Texts { ends, bytes } => Self {
                ends: borrowed(ends),
                bytes: borrowed(bytes.as_bytes()),
                ..Self::empty(name, cells, TEXTS)
            },
            Values::Numbers(numbers) => Self {
                numbers: borrowed(numbers),
                ..Self::empty(name, cells, NUMBERS)
            },
            Values::Integers(integers) => Self {
                integers: borrowed(integers),
                ..Self::empty(name, cells, INTEGERS)
            },
        }
    }

    fn owned(column: Column<'static>) -> AbiColumn<'static> {
        let name = RCowStr::from(RString::from(column.name.into_owned()));
        let cells = moved(column.cells.into_owned());
        match column.values {
            Values::Texts { ends, bytes } => AbiColumn {
                ends: moved(ends.into_owned()),
                bytes: moved(bytes.into_owned().into_bytes()),
                ..AbiColumn::empty(name, cells, TEXTS)
            },
            Values::Numbers(numbers) => AbiColumn {
                numbers: moved(numbers.into_owned()),
                ..AbiColumn::empty(name, cells, NUMBERS)
            },
            Values::Integers(integers) => AbiColumn {
                integers: moved(integers.into_owned()),
                ..AbiColumn::empty(name, cells, INTEGERS)
            },
        }
    }

    fn values(&self) -> Result<Option<Values<'_>>> {
        Ok(match self.kind {
            TEXTS => {
                let bytes = std::str::from_utf8(self.bytes.as_slice()).map_err(|error| {
                    PluginError::input(format!("column `{}`: {error}", self.name))
                })?;
                Some(Values::Texts {
                    ends: self.ends.as_slice().into(),
                    bytes: bytes.into(),
                })
            }
            NUMBERS => Some(Values::Numbers(self.numbers.as_slice().into())),
            INTEGERS => Some(Values::Integers(self.integers.as_slice().into())),
            _ => None,
        })
    }
}

fn borrowed<T: Clone>(slice: &[T]) -> RCowSlice<'_, T> {
    RCowSlice::Borrowed(RSlice::from_slice(slice))
}

fn moved<T: Clone>(values: Vec<T>) -> RCowSlice<'static, T> {
    RCowSlice::Owned(values.into())
}

/// Bytes that the other side owns and releases.
#[sabi_trait]
pub trait AbiOwner: Send + Sync {
    #[sabi(last_prefix_field)]
    fn bytes(&self) -> RSlice<'_, u8>;
}

struct Lent(SharedBytes);

impl AbiOwner for Lent {
    fn bytes(&self) -> RSlice<'_, u8> {
        RSlice::from_slice(&self.0)
    }
}

struct Borrowed(AbiOwner_TO<'static, RBox<()>>);

impl ByteOwner for Borrowed {
    fn bytes(&self) -> &[u8] {
        self.0.bytes().as_slice()
    }
}

#[repr(C)]
#[derive(StableAbi)]
pub struct AbiTensor {
    name: RString,
    dtype: u8,
    shape: RVec<u64>,
    data: AbiOwner_TO<'static, RBox<()>>,
}

impl AbiTensor {
    /// A handle on a tensor for the other side; nothing is copied.
    pub(super) fn lend(tensor: Tensor) -> Self {
        let spec = tensor.spec();
        Self {
            name: spec.name.as_str().into(),
            dtype: spec.dtype.code(),
            shape: spec.shape.iter().map(|&axis| axis as u64).collect(),
            data: AbiOwner_TO::from_value(
                Lent(tensor.data().clone()),
                abi_stable::erased_types::TD_Opaque,
            ),
        }
    }

    /// The tensor behind a handle of the other side; nothing is copied.
    pub(super) fn tensor(self) -> Result<Tensor> {
        let spec = spec(&self.name, self.dtype, &self.shape)?;
        Tensor::new(spec, SharedBytes::from_owner(Arc::new(Borrowed(self.data))))
    }
}

pub(super) fn lend_all(tensors: &[Tensor]) -> RVec<AbiTensor> {
    tensors.iter().cloned().map(AbiTensor::lend).collect()
}

pub(super) fn receive_all(tensors: RVec<AbiTensor>) -> Result<Vec<Tensor>> {
    tensors.into_iter().map(AbiTensor::tensor).collect()
}

#[repr(C)]
#[derive(StableAbi)]
pub struct AbiTensorMut<'a> {
    name: RString,
    dtype: u8,
    shape: RVec<u64>,
    data: RSliceMut<'a, u8>,
}

/// Views of tensors that the other side is to fill.
pub(super) fn views<'a>(tensors: &'a mut [TensorMut<'_>]) -> RVec<AbiTensorMut<'a>> {
    tensors
        .iter_mut()
        .map(|tensor| AbiTensorMut {
            name: tensor.spec().name.as_str().into(),
            dtype: tensor.spec().dtype.code(),
            shape: tensor
                .spec()
                .shape
                .iter()
                .map(|&axis| axis as u64)
                .collect(),
            data: RSliceMut::from_mut_slice(tensor.data()),
        })
        .collect()
}

/// The tensors to fill, on the filling side.
pub(super) fn unview(views: RVec<AbiTensorMut<'_>>) -> Result<Vec<TensorMut<'_>>> {
    views
        .into_iter()
        .map(|view| {
            let spec = spec(&view.name, view.dtype, &view.shape)?;
            TensorMut::new(spec, view.data.into_mut_slice())
        })
        .collect()
}

fn spec(name: &str, dtype: u8, shape: &[u64]) -> Result<TensorSpec> {
    let shape = shape
        .iter()
        .map(|&axis| {
            usize::try_from(axis).map_err(|_| {
                PluginError::input(format!("tensor `{name}`: found the axis length {axis}"))
            })
        })
        .collect::<Result<_>>()?;
    Ok(TensorSpec {
        name: name.to_string(),
        dtype: Dtype::from_code(dtype)?,
        shape,
    })
}
