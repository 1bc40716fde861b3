//! Weights in safetensors files: mapped, checked, handed on without a copy.
#![expect(unsafe_code, reason = "mapping a file into memory")]

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use bomf_plugin_api::{ByteOwner, Dtype, SharedBytes, Tensor, TensorSpec};
use fusion::Checkpoint;
use fusion::checkpoint::Layout;
use memmap2::Mmap;
use safetensors::SafeTensors;
use serde_json::Value;

use crate::diagnostics::Failure;
use crate::journal::file::NOTE;

struct Mapped(Arc<Mmap>);

impl ByteOwner for Mapped {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The tensors of a safetensors file, sorted by name. They stay in the file, which is mapped as long as one of them lives.
pub fn open(path: &Path) -> Result<Vec<Tensor>, Failure> {
    let place = path.display().to_string();
    let fault = |what: String| {
        Failure::input("weights::file", &place, what)
            .hint("the file is broken or was cut: make it anew")
    };
    let whole = map(path).map_err(|error| fault(error.to_string()))?;
    let parsed = SafeTensors::deserialize(&whole).map_err(|error| fault(error.to_string()))?;
    let start = whole.as_ptr() as usize;
    let mut tensors = Vec::new();
    for (name, view) in parsed.iter() {
        let dtype = dtype(view.dtype()).ok_or_else(|| {
            fault(format!(
                "tensor `{name}`: found {:?}, which is not known",
                view.dtype()
            ))
        })?;
        let offset = view.data().as_ptr() as usize - start;
        let data = whole
            .slice(offset..offset + view.data().len())
            .map_err(|e| fault(e.message))?;
        let spec = TensorSpec {
            name: name.to_owned(),
            dtype,
            shape: view.shape().to_vec(),
        };
        tensors.push(Tensor::new(spec, data).map_err(|e| fault(e.message))?);
    }
    tensors.sort_by(|a, b| a.spec().name.cmp(&b.spec().name));
    Ok(tensors)
}

/// As [`open`], with the note that was written into the file's metadata.
pub fn open_with_note(path: &Path) -> Result<(Vec<Tensor>, Value), Failure> {
    let fault = |what: String| {
        Failure::input("weights::file", path.display(), what)
            .hint("the file is broken or was cut: start the run anew")
    };
    let tensors = open(path)?;
    let mut file = File::open(path).map_err(|error| fault(error.to_string()))?;
    // `open` has checked the header: its length is right, and it is JSON.
    let mut length = [0; 8];
    file.read_exact(&mut length)
        .map_err(|error| fault(error.to_string()))?;
    let mut header = vec![0; u64::from_le_bytes(length) as usize];
    file.read_exact(&mut header)
        .map_err(|error| fault(error.to_string()))?;
    let header: Value =
        serde_json::from_slice(&header).map_err(|error| fault(error.to_string()))?;
    let note = header["__metadata__"][NOTE]
        .as_str()
        .ok_or_else(|| fault("found no note in it".to_owned()))?;
    Ok((
        tensors,
        serde_json::from_str(note).map_err(|error| fault(error.to_string()))?,
    ))
}

/// The tensors of a file in the order of `specs`, which they have to match in name and shape.
pub fn open_as(path: &Path, specs: &[TensorSpec]) -> Result<Vec<Tensor>, Failure> {
    let tensors = open(path)?;
    let place = path.display().to_string();
    let fault = |what: String| {
        Failure::input("weights::mismatch", &place, what)
            .hint("all members have to be weights of the model that the configuration names")
    };
    if let Some(extra) = tensors
        .iter()
        .find(|t| !specs.iter().any(|s| s.name == t.spec().name))
    {
        return Err(fault(format!(
            "found the tensor `{}`, which the model does not train",
            extra.spec().name
        )));
    }
    specs
        .iter()
        .map(|spec| {
            let found = tensors
                .binary_search_by(|tensor| tensor.spec().name.as_str().cmp(&spec.name))
                .map(|position| tensors[position].clone())
                .map_err(|_| fault(format!("found no tensor `{}`, expected one", spec.name)))?;
            if found.spec().shape != spec.shape {
                return Err(fault(format!(
                    "tensor `{}`: found the shape {:?}, expected {:?}",
                    spec.name,
                    found.spec().shape,
                    spec.shape
                )));
            }
            Ok(found)
        })
        .collect()
}

/// The tensors of a checkpoint in the order of `specs`, which they have to match in name and shape. What lies in the files
/// as it is read stays there, mapped as long as one of the tensors lives; what is quantised or strided is read.
///
/// Other tensors of the checkpoint are passed over: buffers, and heads that the model has not got.
pub fn of_checkpoint(
    checkpoint: &Checkpoint,
    specs: &[TensorSpec],
) -> Result<Vec<Tensor>, Failure> {
    let place = checkpoint.path.display();
    let fault = |what: String| {
        Failure::input("weights::mismatch", &place, what)
            .hint("all members have to be weights of the model that the configuration names")
    };
    let files = checkpoint.files.iter().map(|file| {
        let map = Arc::clone(file.map()?);
        Some(SharedBytes::new(Mapped(map)))
    });
    let files: Vec<Option<SharedBytes>> = files.collect();
    let mut scratch = Vec::new();
    let tensors = specs.iter().map(|spec| {
        let name = &spec.name;
        let found = checkpoint
            .tensor(name)
            .ok_or_else(|| fault(format!("found no tensor `{name}`, expected one")))?;
        if found.shape != spec.shape {
            let (found, expected) = (&found.shape, &spec.shape);
            let what = format!("tensor `{name}`: found the shape {found:?}, expected {expected:?}");
            return Err(fault(what));
        }
        let own = TensorSpec {
            dtype: Dtype::ALL
                .into_iter()
                .find(|dtype| dtype.name() == found.dtype.name())
                .ok_or_else(|| {
                    fault(format!("tensor `{name}`: {} cannot be fused", found.dtype))
                })?,
            ..spec.clone()
        };
        let bytes = found.elements() * found.dtype.size();
        let start = usize::try_from(found.offset).map_err(|error| fault(error.to_string()))?;
        let data = match (&found.layout, &files[found.file]) {
            (Layout::Plain, Some(file)) => file
                .slice(start..start + bytes)
                .map_err(|error| fault(error.message))?,
            _ => {
                let mut whole = vec![0; bytes];
                checkpoint.read(found, 0, &mut whole, &mut scratch)?;
                SharedBytes::new(whole)
            }
        };
        Tensor::new(own, data).map_err(|error| fault(error.message))
    });
    tensors.collect()
}

/// A whole file, mapped.
fn map(path: &Path) -> std::io::Result<SharedBytes> {
    let file = File::open(path)?;
    // SAFETY: the bytes are only ever numbers, and no invariant of ours depends on them. Files of the run folder are written
    // whole and renamed into place, and nothing in this program changes them afterwards.
    let map = unsafe { Mmap::map(&file) }?;
    Ok(SharedBytes::new(Mapped(Arc::new(map))))
}

fn dtype(dtype: safetensors::Dtype) -> Option<Dtype> {
    Some(match dtype {
        safetensors::Dtype::F32 => Dtype::F32,
        safetensors::Dtype::F16 => Dtype::F16,
        safetensors::Dtype::BF16 => Dtype::Bf16,
        safetensors::Dtype::F64 => Dtype::F64,
        safetensors::Dtype::I64 => Dtype::I64,
        safetensors::Dtype::I32 => Dtype::I32,
        safetensors::Dtype::I16 => Dtype::I16,
        safetensors::Dtype::I8 => Dtype::I8,
        safetensors::Dtype::U8 => Dtype::U8,
        safetensors::Dtype::BOOL => Dtype::Bool,
        _ => return None,
    })
}
