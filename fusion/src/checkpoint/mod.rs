//! Checkpoints as training leaves them behind: what tensors there are, and how to read any part of them.
//!
//! Opening reads headers only. Tensors stay in their files and are read in blocks into the caller's buffers, so that memory
//! does not grow with the model. Nothing in a file is trusted and nothing in it is executed.

mod file;
mod folder;
mod gguf;
mod pickle;
mod quantised;
mod safetensors;
mod torch;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use file::WeightsFile;
pub use quantised::Quantisation;

use crate::dtype::Dtype;
use crate::error::{Error, Result};
pub use folder::ADAPTER_CONFIG;

/// How weights lie on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One safetensors file, or several with an index.
    Safetensors,
    /// A state dict saved by `torch.save`, or several with an index.
    Torch,
    /// A GGUF file.
    Gguf,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Safetensors => "safetensors",
            Format::Torch => "PyTorch state dict",
            Format::Gguf => "GGUF",
        })
    }
}

/// A tensor in a file.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Its name in the checkpoint.
    pub name: String,
    /// The type of its elements as they are read: F32 where they are stored quantised.
    pub dtype: Dtype,
    /// Elements per axis, the last one varying fastest.
    pub shape: Vec<usize>,
    /// Number of its file in [`Checkpoint::files`].
    pub file: usize,
    /// Where its first element begins in the file.
    pub offset: u64,
    /// How its elements follow each other.
    pub layout: Layout,
}

/// How the elements of a tensor follow each other in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One behind the other, the last axis fastest.
    Plain,
    /// So many elements apart along each axis.
    Strided(Vec<u64>),
    /// In blocks that are dequantised when read.
    Quantised(Quantisation),
}

impl Tensor {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Where some elements lie in the file; `None` where they do not lie together.
    pub fn range(&self, start: usize, count: usize) -> Option<Range<u64>> {
        let bytes = |elements: usize| match &self.layout {
            Layout::Plain => Some(elements as u64 * self.dtype.size() as u64),
            Layout::Quantised(kind) => Some(kind.bytes(elements)),
            Layout::Strided(_) => None,
        };
        Some(self.offset + bytes(start)?..self.offset + bytes(start + count)?)
    }

    /// How its elements are stored: `F32`, or `Q8_0 read as F32`.
    pub fn stored_as(&self) -> String {
        match &self.layout {
            Layout::Quantised(kind) => format!("{kind} read as {}", self.dtype),
            _ => self.dtype.to_string(),
        }
    }
}

/// What one file holds.
#[derive(Debug)]
struct Contents {
    tensors: Vec<Tensor>,
    /// Names that stand for another tensor: `(alias, name)`.
    aliases: Vec<(String, String)>,
}

/// An open checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// What was opened: a file or a folder.
    pub path: PathBuf,
    /// How its weights lie on disk.
    pub format: Format,
    /// Configuration, tokenizer and generation settings beside the weights: name and path.
    pub companions: BTreeMap<String, PathBuf>,
    /// The files of the weights.
    pub files: Vec<WeightsFile>,
    tensors: Vec<Tensor>,
    aliases: BTreeMap<String, String>,
    by_name: HashMap<String, usize>,
}

impl Checkpoint {
    /// Opens a safetensors file, a PyTorch state dict, a GGUF file, an index of several files, a model folder, a `checkpoint-*`
    /// folder of a training, or the folder of a LoRA adapter.
    ///
    /// # Errors
    /// When there is none, or what there is is broken; names the file, the tensor and the offset.
    pub fn open(path: &Path) -> Result<Self> {
        let found = folder::find(path)?;
        let mut checkpoint = Self {
            path: path.to_owned(),
            format: Format::Safetensors,
            companions: found.companions,
            files: Vec::new(),
            tensors: Vec::new(),
            aliases: BTreeMap::new(),
            by_name: HashMap::new(),
        };
        for (number, part) in found.parts.iter().enumerate() {
            let weights = WeightsFile::open(&part.path)?;
            let (format, contents) = read(&weights, number)?;
            if number > 0 && format != checkpoint.format {
                return Err(Error::input(
                    "checkpoint::index",
                    part.path.display(),
                    format!(
                        "found {format}, expected {} as in the first file",
                        checkpoint.format
                    ),
                ));
            }
            checkpoint.format = format;
            if let Some(expected) = &part.tensors {
                check_part(&part.path, expected, &contents)?;
            }
            checkpoint.files.push(weights);
            checkpoint.add(contents, &part.path)?;
        }
        Ok(checkpoint)
    }

    fn add(&mut self, contents: Contents, path: &Path) -> Result<()> {
        for tensor in contents.tensors {
            let number = self.tensors.len();
            if self.by_name.insert(tensor.name.clone(), number).is_some() {
                return Err(Error::input(
                    "checkpoint::duplicate",
                    path.display(),
                    format!("found the tensor `{}` a second time", tensor.name),
                ));
            }
            self.tensors.push(tensor);
        }
        self.aliases.extend(contents.aliases);
        Ok(())
    }

    /// Its tensors, in the order in which they lie in the files. Tied ones are there once.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Further names of tensors that are tied to others: alias and the name of the tensor that it stands for.
    pub fn aliases(&self) -> &BTreeMap<String, String> {
        &self.aliases
    }

    /// The names of its tensors, with those of tied ones.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        let own = self.tensors.iter().map(|tensor| &tensor.name);
        own.chain(self.aliases.keys())
    }

    /// The tensor of a name, which may be an alias.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        let name = self.aliases.get(name).map_or(name, String::as_str);
        self.by_name.get(name).map(|&number| &self.tensors[number])
    }

    /// Whether it is a LoRA adapter and not a model.
    pub fn is_adapter(&self) -> bool {
        self.companions.contains_key(ADAPTER_CONFIG)
    }

    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(WeightsFile::length).sum()
    }

    /// So many elements of a tensor from `start` on as they lie in the file, little-endian, not aligned; `None` where they do
    /// not lie there as they are read, or the file is not mapped.
    pub fn view(&self, tensor: &Tensor, start: usize, count: usize) -> Option<&[u8]> {
        match tensor.layout {
            Layout::Plain => self.files[tensor.file].view(tensor.range(start, count)?),
            _ => None,
        }
    }

    /// Fills `out` with the elements of a tensor from `start` on, little-endian, in the order of its axes. `scratch` is used
    /// and grows where elements are not stored as they are read.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    ///
    /// # Panics
    /// When `out` is no whole number of elements, of 32-element blocks where they are quantised, or reaches
    /// beyond the tensor.
    pub fn read(
        &self,
        tensor: &Tensor,
        start: usize,
        out: &mut [u8],
        scratch: &mut Vec<u8>,
    ) -> Result<()> {
        let size = tensor.dtype.size();
        let count = out.len() / size;
        assert!(
            out.len().is_multiple_of(size) && start + count <= tensor.elements(),
            "a read stays in the tensor"
        );
        let file = &self.files[tensor.file];
        match &tensor.layout {
            Layout::Plain => file.read_at(tensor.offset + (start * size) as u64, out),
            Layout::Quantised(kind) => {
                let offset = tensor.offset + kind.bytes(start);
                scratch.resize(kind.bytes(count) as usize, 0);
                file.read_at(offset, scratch)?;
                kind.dequantise(scratch, out);
                Ok(())
            }
            Layout::Strided(strides) => {
                let runs = Runs::new(&tensor.shape, strides, start, count);
                runs.into_iter().try_for_each(|(from, to, length)| {
                    let offset = tensor.offset + from * size as u64;
                    let out = &mut out[to * size..][..length * size];
                    // A run may be one element: a call of the system for each is thirty times the time.
                    match file.view(offset..offset + out.len() as u64) {
                        Some(bytes) => out.copy_from_slice(bytes),
                        None => file.read_at(offset, out)?,
                    }
                    Ok(())
                })
            }
        }
    }

    /// Whether all its files are what they were when it was opened.
    ///
    /// # Errors
    /// Names the file that changed.
    pub fn check_unchanged(&self) -> Result<()> {
        self.files.iter().try_for_each(WeightsFile::check_unchanged)
    }
}

/// Reads a file's header, in the format that its first bytes tell.
fn read(weights: &WeightsFile, number: usize) -> Result<(Format, Contents)> {
    let mut magic = [0; 4];
    let known = usize::try_from(weights.length()).map_or(4, |length| length.min(4));
    weights.read_at(0, &mut magic[..known])?;
    match &magic {
        b"GGUF" => Ok((Format::Gguf, gguf::read(weights, number)?)),
        b"PK\x03\x04" => Ok((Format::Torch, torch::read(weights, number)?)),
        [0x80, 2..=5, ..] if !is_safetensors(&weights.path) => Err(torch::legacy(&weights.path)),
        _ => Ok((Format::Safetensors, safetensors::read(weights, number)?)),
    }
}

fn is_safetensors(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending == "safetensors")
}

/// A file of several has exactly the tensors that the index says.
fn check_part(path: &Path, expected: &[String], contents: &Contents) -> Result<()> {
    let fault = |what: String| {
        Error::input("checkpoint::index", path.display(), what)
            .hint("index and files do not belong together: copy or save them anew")
    };
    let tensors = contents.tensors.iter().map(|tensor| &tensor.name);
    let mut found: Vec<&String> = tensors
        .chain(contents.aliases.iter().map(|(alias, _)| alias))
        .collect();
    found.sort();
    if let Some(name) = expected
        .iter()
        .find(|name| found.binary_search(name).is_err())
    {
        return Err(fault(format!(
            "found no tensor `{name}`, expected it as the index says"
        )));
    }
    let mut expected: Vec<&String> = expected.iter().collect();
    expected.sort();
    match contents
        .tensors
        .iter()
        .find(|tensor| expected.binary_search(&&tensor.name).is_err())
    {
        Some(tensor) => Err(fault(format!(
            "found the tensor `{}`, which the index does not name for this file",
            tensor.name
        ))),
        None => Ok(()),
    }
}

/// The elements `start..start + count` of a strided tensor as runs that lie together: where each lies in the storage, where
/// it goes, and how long it is.
struct Runs<'a> {
    shape: &'a [usize],
    strides: &'a [u64],
    start: usize,
    count: usize,
}

impl<'a> Runs<'a> {
    fn new(shape: &'a [usize], strides: &'a [u64], start: usize, count: usize) -> Self {
        Self {
            shape,
            strides,
            start,
            count,
        }
    }

    /// Where an element lies, counted in elements from the first one.
    fn position(&self, element: usize) -> u64 {
        let axes = self.shape.iter().zip(self.strides).rev();
        let (position, _) = axes.fold((0, element), |(position, rest), (&n, &stride)| {
            (position + (rest % n) as u64 * stride, rest / n)
        });
        position
    }
}

impl IntoIterator for Runs<'_> {
    type Item = (u64, usize, usize);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        let mut runs: Vec<Self::Item> = Vec::new();
        for i in 0..self.count {
            let position = self.position(self.start + i);
            match runs.last_mut() {
                Some((from, _, length)) if *from + *length as u64 == position => *length += 1,
                _ => runs.push((position, i, 1)),
            }
        }
        runs.into_iter()
    }
}
