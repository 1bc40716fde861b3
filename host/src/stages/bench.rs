//! An open model with its splits and metrics: what turns weights into scores.

use std::sync::Arc;

use bomf_plugin_api::{
    ByteOwner, Dtype, FuserSession, Member, Model, Predictions, SharedBytes, Table, Tensor,
    TensorMut, TensorSpec, Training, TrainingReport,
};

use super::Run;
use crate::diagnostics::Failure;
use crate::metrics::{Evaluation, Metrics};
use crate::progress::Stage;
use crate::timing::{Category, Timing};

/// Steps of a training between two looks at the user.
const STEPS_AT_ONCE: u64 = 8;

/// A model with its splits.
pub struct Bench<'a> {
    model: Box<dyn Model>,
    backend: String,
    initial: Vec<Tensor>,
    splits: Vec<(String, Table<'a>)>,
    metrics: &'a Metrics,
    timing: &'a Timing,
}

impl<'a> Bench<'a> {
    /// Takes a model that is open already.
    pub fn new(
        model: Box<dyn Model>,
        backend: &str,
        metrics: &'a Metrics,
        timing: &'a Timing,
    ) -> Result<Self, Failure> {
        let initial = WeightsBuffer::new(model.trainable()).fill(|out| model.read(out));
        let initial = initial.map_err(|error| Failure::plugin(backend, &error))?;
        Ok(Self {
            model,
            backend: backend.to_owned(),
            initial,
            splits: Vec::new(),
            metrics,
            timing,
        })
    }

    /// Hands a split to the model.
    pub fn add_split(&mut self, name: &str, examples: Table<'a>) -> Result<(), Failure> {
        let info = self.timing.measure(Category::Prediction, || {
            self.model.add_split(name, &examples)
        });
        let info = info.map_err(|error| self.fault(&error))?;
        tracing::info!(
            "{name}: {} examples, {} tokens, longest {}, {} cut",
            info.examples,
            info.tokens,
            info.longest,
            info.truncated
        );
        self.splits.push((name.to_owned(), examples));
        Ok(())
    }

    /// Number of rows of a split.
    pub fn rows(&self, split: &str) -> Result<usize, Failure> {
        let table = self
            .splits
            .iter()
            .find(|(name, _)| name == split)
            .map(|(_, table)| table);
        table.map(Table::rows).ok_or_else(|| {
            Failure::run(
                "model::split",
                split,
                "found no split of that name, expected train or validation",
            )
        })
    }

    /// Loads the weights that the model was opened with.
    pub fn reset(&mut self) -> Result<(), Failure> {
        let initial = self.initial.clone();
        self.load(&initial)
    }

    /// The model itself.
    pub fn model(&mut self) -> &mut dyn Model {
        &mut *self.model
    }

    /// An error of the model, with its backend's name.
    pub fn fault(&self, error: &bomf_plugin_api::PluginError) -> Failure {
        Failure::plugin(&self.backend, error)
    }

    /// Loads weights.
    pub fn load(&mut self, weights: &[Tensor]) -> Result<(), Failure> {
        let loaded = self
            .timing
            .measure(Category::Prediction, || self.model.load(weights));
        loaded.map_err(|error| self.fault(&error))
    }

    /// Makes so many steps of a training, a few at a time, so that the user sees it move and can stop it.
    ///
    /// The loss of the report is the mean over all of them.
    pub fn train(
        &self,
        run: &Run<'_>,
        progress: &Stage<'_>,
        training: &mut dyn Training,
        steps: u64,
    ) -> Result<TrainingReport, Failure> {
        let (mut left, mut loss) = (steps, 0.0);
        loop {
            run.check_stop()?;
            let some = left.min(STEPS_AT_ONCE);
            let report = self
                .timing
                .measure(Category::Training, || training.advance(some));
            let mut report = report.map_err(|error| self.fault(&error))?;
            loss += report.loss * some as f64;
            left -= some;
            progress.glance(&format!(
                "step {}/{}, training loss {:.4}",
                report.step, report.total_steps, report.loss
            ));
            if left == 0 {
                report.loss = loss / steps.max(1) as f64;
                return Ok(report);
            }
        }
    }

    /// Predicts a split with the loaded weights.
    pub fn predict(&mut self, split: &str) -> Result<Predictions, Failure> {
        let predictions = self
            .timing
            .measure(Category::Prediction, || self.model.predict(split));
        predictions.map_err(|error| self.fault(&error))
    }

    /// Predicts and scores a split with the loaded weights.
    pub fn evaluate(&mut self, split: &str) -> Result<Evaluation, Failure> {
        let predictions = self.predict(split)?;
        let examples = self.beside(split, &predictions.table)?;
        self.timing.measure(Category::Metrics, || {
            self.metrics.evaluate(&examples, predictions.mean_loss)
        })
    }

    /// The examples of a split with what was predicted beside them.
    pub fn beside<'b>(
        &'b self,
        split: &str,
        predicted: &'b Table<'static>,
    ) -> Result<Table<'b>, Failure> {
        let examples = self
            .splits
            .iter()
            .find(|(name, _)| name == split)
            .map(|(_, table)| table);
        let examples = examples.expect("a split is predicted after it was added");
        examples
            .borrow()
            .with_table(predicted.borrow())
            .map_err(|error| self.fault(&error))
    }
}

/// Room for one set of weights, used again and again.
pub struct WeightsBuffer {
    specs: Vec<TensorSpec>,
    slab: Arc<Slab>,
}

struct Slab(Vec<u8>);

impl ByteOwner for Slab {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl WeightsBuffer {
    /// Room for tensors of these names and shapes, all f32.
    pub fn new(specs: Vec<TensorSpec>) -> Self {
        let specs: Vec<TensorSpec> = specs
            .into_iter()
            .map(|spec| TensorSpec {
                dtype: Dtype::F32,
                ..spec
            })
            .collect();
        Self {
            specs,
            slab: Arc::new(Slab(Vec::new())),
        }
    }

    /// Lets `fill` write all tensors, and returns them as shared tensors.
    ///
    /// The memory is used again once nobody holds the tensors of the call before.
    pub fn fill<E>(
        &mut self,
        fill: impl FnOnce(&mut [TensorMut<'_>]) -> Result<(), E>,
    ) -> Result<Vec<Tensor>, E> {
        let sizes: Vec<usize> = self
            .specs
            .iter()
            .map(|spec| spec.bytes().unwrap_or(0))
            .collect();
        let total = sizes.iter().sum();
        if Arc::get_mut(&mut self.slab).is_none_or(|slab| slab.0.len() != total) {
            self.slab = Arc::new(Slab(vec![0; total]));
        }
        let slab = Arc::get_mut(&mut self.slab).expect("checked or made above");
        let mut rest = slab.0.as_mut_slice();
        let mut out = Vec::with_capacity(sizes.len());
        for (spec, &size) in self.specs.iter().zip(&sizes) {
            let (part, tail) = rest.split_at_mut(size);
            rest = tail;
            out.push(
                TensorMut::new(spec.clone(), part).expect("the part has the size of its spec"),
            );
        }
        fill(&mut out)?;
        drop(out);
        let shared = SharedBytes::from_owner(Arc::clone(&self.slab) as Arc<dyn ByteOwner>);
        let mut start = 0;
        let tensors = self.specs.iter().zip(&sizes).map(|(spec, &size)| {
            let data = shared
                .slice(start..start + size)
                .expect("the slab holds all tensors");
            start += size;
            Tensor::new(spec.clone(), data).expect("the slice has the size of its spec")
        });
        Ok(tensors.collect())
    }
}

/// Members in a fuser's session, and room for what comes out.
pub struct Fusion {
    session: Box<dyn FuserSession>,
    fuser: String,
    members: usize,
    buffer: WeightsBuffer,
}

impl Fusion {
    /// Opens a session.
    pub fn open(
        fuser: &dyn bomf_plugin_api::Fuser,
        name: &str,
        members: Vec<Member>,
        specs: Vec<TensorSpec>,
    ) -> Result<Self, Failure> {
        let count = members.len();
        let session = fuser
            .open(members, Vec::new())
            .map_err(|e| Failure::plugin(name, &e))?;
        let buffer = WeightsBuffer::new(specs);
        Ok(Self {
            session,
            fuser: name.to_owned(),
            members: count,
            buffer,
        })
    }

    /// How many members there are.
    pub fn members(&self) -> usize {
        self.members
    }

    /// The weights of these coefficients.
    pub fn fuse(&mut self, coefficients: &[f64]) -> Result<Vec<Tensor>, Failure> {
        let session = &mut self.session;
        let fused = self.buffer.fill(|out| session.fuse(coefficients, out));
        fused.map_err(|error| Failure::plugin(&self.fuser, &error))
    }

    /// The centred Gram matrix of the members, row by row.
    pub fn gram(&mut self) -> Result<Vec<Vec<f64>>, Failure> {
        let gram = self
            .session
            .gram()
            .map_err(|error| Failure::plugin(&self.fuser, &error))?;
        Ok(gram.chunks(self.members).map(<[f64]>::to_vec).collect())
    }

    /// The inner product of each member with a gradient.
    pub fn project(&mut self, gradient: &[Tensor]) -> Result<Vec<f64>, Failure> {
        self.session
            .project(gradient)
            .map_err(|error| Failure::plugin(&self.fuser, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_used_again_when_nobody_holds_it() {
        let spec = TensorSpec {
            name: "w".into(),
            dtype: Dtype::F16,
            shape: vec![2],
        };
        let mut buffer = WeightsBuffer::new(vec![spec.clone(), spec]);
        let mut fill = |value: f32| {
            buffer
                .fill(|out| {
                    out.iter_mut()
                        .try_for_each(|tensor| tensor.write_f32(&[value; 2]))
                })
                .unwrap()
        };
        let first = fill(1.0);
        let place = first[0].data().as_ptr();
        assert_eq!(first[1].to_f32().unwrap(), [1.0, 1.0]);
        drop(first);
        let second = fill(2.0);
        assert_eq!(second[0].data().as_ptr(), place);
        let third = fill(3.0);
        assert_ne!(third[0].data().as_ptr(), place);
        assert_eq!(second[0].to_f32().unwrap(), [2.0, 2.0]);
    }
}
