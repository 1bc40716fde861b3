//! The tensors of a model by their Hugging Face names, apart from the architecture that uses them.

use bomf_plugin_api::{Dtype, PluginError, Result, Tensor, TensorMut, TensorSpec};

use crate::engine::Engine;

/// Position of a tensor in [`Weights`].
pub type Slot = usize;

/// All tensors of a model. Cloning shares them; [`Weights::copy_trainable`] makes the trainable ones anew.
#[derive(Clone)]
pub struct Weights<E: Engine> {
    engine: E,
    specs: Vec<TensorSpec>,
    values: Vec<E::Tensor>,
    trainable: Vec<bool>,
}

impl<E: Engine> Weights<E> {
    /// No tensor yet.
    pub fn new(engine: E) -> Self {
        Self {
            engine,
            specs: Vec::new(),
            values: Vec::new(),
            trainable: Vec::new(),
        }
    }

    /// Adds a tensor.
    ///
    /// # Errors
    /// When the engine cannot hold it.
    pub fn push(
        &mut self,
        name: &str,
        shape: &[usize],
        data: &[f32],
        trainable: bool,
    ) -> Result<Slot> {
        let value = match trainable {
            true => self.engine.parameter(data, shape)?,
            false => self.engine.constant(data, shape)?,
        };
        self.specs.push(TensorSpec {
            name: name.to_owned(),
            dtype: Dtype::F32,
            shape: shape.to_vec(),
        });
        self.values.push(value);
        self.trainable.push(trainable);
        Ok(self.values.len() - 1)
    }

    /// A tensor.
    pub fn get(&self, slot: Slot) -> &E::Tensor {
        &self.values[slot]
    }

    /// Slots of the trainable tensors, in order.
    pub fn trainable(&self) -> Vec<Slot> {
        (0..self.values.len())
            .filter(|&slot| self.trainable[slot])
            .collect()
    }

    /// Name and shape of a tensor.
    pub fn spec(&self, slot: Slot) -> &TensorSpec {
        &self.specs[slot]
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// A tensor's numbers.
    ///
    /// # Errors
    /// When the engine cannot read it.
    pub fn numbers(&self, slot: Slot) -> Result<Vec<f32>> {
        let mut out = vec![0.0; self.specs[slot].elements().unwrap_or(0)];
        self.engine.read(&self.values[slot], &mut out)?;
        Ok(out)
    }

    /// The same weights, none of them trainable: for forward passes that nothing is learned from.
    #[must_use]
    pub fn detached(&self) -> Self {
        let mut copy = self.clone();
        copy.values = self
            .values
            .iter()
            .map(|value| self.engine.detach(value))
            .collect();
        copy.trainable.fill(false);
        copy
    }

    /// The same weights with trainable tensors of their own.
    ///
    /// # Errors
    /// When the engine cannot copy one.
    pub fn copy_trainable(&self) -> Result<Self> {
        let mut copy = self.clone();
        for slot in self.trainable() {
            copy.values[slot] = self
                .engine
                .parameter(&self.numbers(slot)?, &self.specs[slot].shape)?;
        }
        Ok(copy)
    }

    /// Copies the named trainable tensors out.
    ///
    /// # Errors
    /// When a name is unknown or a shape another one.
    pub fn read(&self, out: &mut [TensorMut<'_>]) -> Result<()> {
        for out in out {
            let slot = self.find(out.spec())?;
            out.write_f32(&self.numbers(slot)?)?;
        }
        Ok(())
    }

    /// Overwrites all trainable tensors; changes nothing when one is missing, unknown or of another shape.
    ///
    /// # Errors
    /// Names the tensor.
    pub fn load(&mut self, tensors: &[Tensor]) -> Result<()> {
        let trainable = self.trainable();
        let slots = tensors
            .iter()
            .map(|tensor| self.find(tensor.spec()))
            .collect::<Result<Vec<_>>>()?;
        if let Some(missing) = trainable.iter().find(|slot| !slots.contains(slot)) {
            return Err(PluginError::input(format!(
                "found no tensor `{}`, expected one: it is trainable",
                self.specs[*missing].name
            )));
        }
        let numbers = tensors
            .iter()
            .map(Tensor::to_f32)
            .collect::<Result<Vec<_>>>()?;
        for (slot, numbers) in slots.into_iter().zip(numbers) {
            self.engine.write(&self.values[slot], &numbers)?;
        }
        Ok(())
    }

    /// The slot of a trainable tensor of that name and shape.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, spec: &TensorSpec) -> Result<Slot> {
        let slot = (0..self.len())
            .find(|&slot| self.trainable[slot] && self.specs[slot].name == spec.name);
        let slot = slot.ok_or_else(|| {
            PluginError::input(format!(
                "found the tensor `{}`, which is not trainable here",
                spec.name
            ))
        })?;
        match self.specs[slot].shape == spec.shape {
            true => Ok(slot),
            false => Err(PluginError::input(format!(
                "tensor `{}`: found the shape {:?}, expected {:?}",
                spec.name, spec.shape, self.specs[slot].shape
            ))),
        }
    }

    /// All tensors, trainable or not.
    ///
    /// # Errors
    /// When the engine cannot read one.
    pub fn export(&self) -> Result<Vec<Tensor>> {
        (0..self.len())
            .map(|slot| {
                let spec = &self.specs[slot];
                Tensor::from_f32(&spec.name, &spec.shape, &self.numbers(slot)?)
            })
            .collect()
    }
}
