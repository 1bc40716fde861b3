//! Tensors as they cross the border: a name, a type, a shape, and bytes that stay where they are.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{PluginError, Result};

/// The type of a tensor's elements, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Dtype {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
    /// IEEE 754 binary64.
    F64,
    /// Signed 64-bit integer.
    I64,
    /// Signed 32-bit integer.
    I32,
    /// Signed 16-bit integer.
    I16,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 8-bit integer.
    U8,
    /// One byte, 0 or 1.
    Bool,
}

impl Dtype {
    /// All types, in the order of [`Dtype::code`].
    pub const ALL: [Dtype; 10] = [
        Dtype::F32,
        Dtype::F16,
        Dtype::Bf16,
        Dtype::F64,
        Dtype::I64,
        Dtype::I32,
        Dtype::I16,
        Dtype::I8,
        Dtype::U8,
        Dtype::Bool,
    ];

    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
        }
    }

    /// Whether elements are floating-point numbers, so that they can be fused.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F32 | Dtype::F16 | Dtype::Bf16 | Dtype::F64)
    }

    /// The number that stands for the type at the border.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The type that a number at the border stands for.
    ///
    /// # Errors
    /// When this version knows no such type.
    pub fn from_code(code: u8) -> Result<Self> {
        Dtype::ALL.get(code as usize).copied().ok_or_else(|| {
            PluginError::input(format!("found the unknown element type {code}"))
                .hint("host and plugin are of different versions: update the older one")
        })
    }

    /// The name that safetensors files use.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
            Dtype::Bf16 => "BF16",
            Dtype::F64 => "F64",
            Dtype::I64 => "I64",
            Dtype::I32 => "I32",
            Dtype::I16 => "I16",
            Dtype::I8 => "I8",
            Dtype::U8 => "U8",
            Dtype::Bool => "BOOL",
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that owns bytes: a vector, a mapped file, memory of the other side of the border.
pub trait ByteOwner: Send + Sync + 'static {
    /// The bytes; the same ones, at the same place, at every call.
    fn bytes(&self) -> &[u8];
}

impl ByteOwner for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// A shared, immutable run of bytes that is never copied: clones and slices refer to the same memory.
///
/// The owner is released when the last of them is dropped. The bytes need not be aligned.
#[derive(Clone)]
pub struct SharedBytes {
    owner: Arc<dyn ByteOwner>,
    start: usize,
    len: usize,
}

impl SharedBytes {
    /// Shares all bytes of an owner.
    pub fn new(owner: impl ByteOwner) -> Self {
        Self::from_owner(Arc::new(owner))
    }

    /// Shares all bytes of an owner that is shared already.
    pub fn from_owner(owner: Arc<dyn ByteOwner>) -> Self {
        let len = owner.bytes().len();
        Self {
            owner,
            start: 0,
            len,
        }
    }

    /// Copies f32 numbers into bytes of their own.
    pub fn from_f32(values: &[f32]) -> Self {
        Self::new(
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect::<Vec<u8>>(),
        )
    }

    /// A part of these bytes, without a copy.
    ///
    /// # Errors
    /// When the range does not lie within them.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Result<Self> {
        if range.start > range.end || range.end > self.len {
            return Err(PluginError::input(format!(
                "found the byte range {}..{}, expected one within {} bytes",
                range.start, range.end, self.len
            )));
        }
        let start = self.start + range.start;
        Ok(Self {
            owner: Arc::clone(&self.owner),
            start,
            len: range.len(),
        })
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.owner.bytes()[self.start..self.start + self.len]
    }
}

impl std::fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedBytes({} bytes)", self.len)
    }
}

/// Name, element type and shape of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// The name in Hugging Face checkpoints, for example `bert.encoder.layer.0.output.dense.weight`.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Lengths of the axes, outermost first; empty for a single number.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// Number of elements; `None` when it does not fit into memory's address range.
    pub fn elements(&self) -> Option<usize> {
        self.shape
            .iter()
            .try_fold(1usize, |product, &axis| product.checked_mul(axis))
    }

    /// Number of bytes; `None` when it does not fit into memory's address range.
    pub fn bytes(&self) -> Option<usize> {
        self.elements()?.checked_mul(self.dtype.size())
    }

    fn check(&self, found: usize) -> Result<()> {
        match self.bytes() {
            Some(expected) if expected == found => Ok(()),
            expected => Err(PluginError::input(format!(
                "tensor `{}`: found {found} bytes, expected {} for {} {:?}",
                self.name,
                expected.map_or("more than can be addressed".to_owned(), |n| n.to_string()),
                self.dtype,
                self.shape
            ))),
        }
    }
}

/// A named tensor whose row-major elements are shared bytes (little-endian, any alignment).
#[derive(Debug, Clone)]
pub struct Tensor {
    spec: TensorSpec,
    data: SharedBytes,
}

impl Tensor {
    /// Puts a description and its bytes together.
    ///
    /// # Errors
    /// When the number of bytes is not what type and shape ask for.
    pub fn new(spec: TensorSpec, data: SharedBytes) -> Result<Self> {
        spec.check(data.len())?;
        Ok(Self { spec, data })
    }

    /// An f32 tensor, copied from a slice.
    ///
    /// # Errors
    /// When the number of elements is not what the shape asks for.
    pub fn from_f32(name: &str, shape: &[usize], values: &[f32]) -> Result<Self> {
        let spec = TensorSpec {
            name: name.to_owned(),
            dtype: Dtype::F32,
            shape: shape.to_vec(),
        };
        Self::new(spec, SharedBytes::from_f32(values))
    }

    /// Name, element type and shape.
    pub fn spec(&self) -> &TensorSpec {
        &self.spec
    }

    /// The row-major elements, little-endian, of any alignment.
    pub fn data(&self) -> &SharedBytes {
        &self.data
    }

    /// The elements as f32.
    ///
    /// # Errors
    /// When the element type is another one.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        if self.spec.dtype != Dtype::F32 {
            return Err(PluginError::input(format!(
                "tensor `{}`: found {}, expected F32",
                self.spec.name, self.spec.dtype
            )));
        }
        let (words, _) = self.data.as_chunks::<4>();
        Ok(words.iter().map(|&word| f32::from_le_bytes(word)).collect())
    }
}

/// A named tensor to be written, in memory of the caller.
#[derive(Debug)]
pub struct TensorMut<'a> {
    spec: TensorSpec,
    data: &'a mut [u8],
}

impl<'a> TensorMut<'a> {
    /// Puts a description and the bytes to be filled together.
    ///
    /// # Errors
    /// When the number of bytes is not what type and shape ask for.
    pub fn new(spec: TensorSpec, data: &'a mut [u8]) -> Result<Self> {
        spec.check(data.len())?;
        Ok(Self { spec, data })
    }

    /// Name, element type and shape.
    pub fn spec(&self) -> &TensorSpec {
        &self.spec
    }

    /// The bytes to be filled: row-major, little-endian, of any alignment.
    pub fn data(&mut self) -> &mut [u8] {
        self.data
    }

    /// Fills the tensor with f32 numbers.
    ///
    /// # Errors
    /// When the element type is another one or the number of elements differs.
    pub fn write_f32(&mut self, values: &[f32]) -> Result<()> {
        if self.spec.dtype != Dtype::F32 || values.len() * 4 != self.data.len() {
            return Err(PluginError::input(format!(
                "tensor `{}`: found room for {} {:?}, expected F32 and {} elements",
                self.spec.name,
                self.spec.dtype,
                self.spec.shape,
                values.len()
            )));
        }
        let (words, _) = self.data.as_chunks_mut::<4>();
        for (word, value) in words.iter_mut().zip(values) {
            *word = value.to_le_bytes();
        }
        Ok(())
    }
}

/// A set of weights that takes part in a fusion.
#[derive(Debug, Clone)]
pub struct Member {
    /// What messages call it, for example `step-000120`.
    pub name: String,
    /// Its tensors. All members of a fusion have the same names and shapes in the same order; types may differ.
    pub tensors: Vec<Tensor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_must_fit_the_shape() {
        assert!(Tensor::from_f32("w", &[2, 2], &[0.0; 4]).is_ok());
        let error = Tensor::from_f32("w", &[2, 3], &[0.0; 4]).unwrap_err();
        assert!(
            error.message.contains("`w`: found 16 bytes, expected 24"),
            "{error}"
        );
        let spec = TensorSpec {
            name: "w".into(),
            dtype: Dtype::F64,
            shape: vec![usize::MAX, 2],
        };
        assert!(Tensor::new(spec, SharedBytes::from_f32(&[])).is_err());
    }

    #[test]
    fn slices_share_the_memory() {
        let whole = SharedBytes::new(vec![1u8, 2, 3, 4]);
        let part = whole.slice(1..3).unwrap().slice(1..2).unwrap();
        assert_eq!(&*part, [3]);
        assert_eq!(part.as_ptr(), whole[2..].as_ptr());
        assert!(whole.slice(3..5).is_err());
    }

    #[test]
    fn type_codes_round_trip() {
        for dtype in Dtype::ALL {
            assert_eq!(Dtype::from_code(dtype.code()).unwrap(), dtype);
        }
        assert!(Dtype::from_code(200).is_err());
    }
}
