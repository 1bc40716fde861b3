//! Where the tensors of a model come from: a checkpoint, or for what it lacks, a seeded draw.

use std::collections::BTreeMap;

use bomf_plugin_api::{PluginError, Result, Tensor};
use rand::SeedableRng;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// Tensors of a checkpoint by name. Names may lack the model's prefix (`bert.`), as in checkpoints of the bare encoder, and
/// layer norms may have their old names (`gamma`, `beta`).
pub struct Source<'a> {
    tensors: BTreeMap<&'a str, &'a Tensor>,
    seed: u64,
    /// Names of tensors that were drawn.
    pub drawn: Vec<String>,
}

impl<'a> Source<'a> {
    /// The tensors of a checkpoint, and the seed of what it lacks.
    pub fn new(tensors: &'a [Tensor], seed: u64) -> Self {
        let tensors = tensors
            .iter()
            .map(|tensor| (tensor.spec().name.as_str(), tensor))
            .collect();
        Self {
            tensors,
            seed,
            drawn: Vec::new(),
        }
    }

    fn find(&self, name: &str) -> Option<&'a Tensor> {
        let bare = name.split_once('.').map_or(name, |(_, rest)| rest);
        let old = |name: &str| match name.strip_suffix("LayerNorm.weight") {
            Some(stem) => format!("{stem}LayerNorm.gamma"),
            None => name.replace("LayerNorm.bias", "LayerNorm.beta"),
        };
        [name.to_owned(), bare.to_owned(), old(name), old(bare)]
            .iter()
            .find_map(|name| self.tensors.get(name.as_str()).copied())
    }

    /// The numbers of a tensor that has to be there.
    ///
    /// # Errors
    /// When it is not, or has another shape or an element type that is not f32.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.find(name).ok_or_else(|| {
            PluginError::input(format!(
                "found no tensor `{name}` in the checkpoint, expected one"
            ))
        })?;
        if tensor.spec().shape != shape {
            return Err(PluginError::input(format!(
                "tensor `{name}`: found the shape {:?}, expected {shape:?} from config.json",
                tensor.spec().shape
            )));
        }
        let numbers = tensor.to_f32()?;
        match numbers.iter().position(|x| !x.is_finite()) {
            None => Ok(numbers),
            Some(position) => Err(PluginError::input(format!(
                "tensor `{name}`: found {} at position {position}, expected finite numbers",
                numbers[position]
            ))),
        }
    }

    /// The numbers of a tensor, or normal ones of that deviation if the checkpoint has none of this name and shape.
    ///
    /// The draw depends on the seed and the name alone.
    ///
    /// # Errors
    /// As [`Source::take`].
    pub fn take_or_draw(
        &mut self,
        name: &str,
        shape: &[usize],
        deviation: f32,
    ) -> Result<Vec<f32>> {
        if self
            .find(name)
            .is_some_and(|tensor| tensor.spec().shape == shape)
        {
            return self.take(name, shape);
        }
        self.drawn.push(name.to_owned());
        let mut random = ChaCha8Rng::seed_from_u64(self.seed ^ hash(name));
        Ok((0..shape.iter().product())
            .map(|_| deviation * normal(&mut random))
            .collect())
    }
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A standard normal number (Box and Muller 1958).
fn normal(random: &mut impl Rng) -> f32 {
    let (u, v): (f64, f64) = (random.random(), random.random());
    ((-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}
