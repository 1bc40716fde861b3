//! Model backends at the border.

use abi_stable::std_types::{RBox, RSlice, RStr, RString, RVec, Tuple2};
use abi_stable::{StableAbi, sabi_trait};

use super::values::{AbiTable, AbiTensor, AbiTensorMut, lend_all, receive_all, unview, views};
use super::{AbiResult, Owned, answer, from_json, outcome, to_json};
use crate::error::{PluginError, Result};
use crate::model::{
    Export as ModelExport, Model, ModelBackend, ModelInfo, ModelSpec, Predictions, SplitInfo,
    Training, TrainingReport, TrainingSpec, TrainingState,
};
use crate::table::Table;
use crate::tensor::{Tensor, TensorMut, TensorSpec};

pub(super) type BackendBox = AbiBackend_TO<'static, RBox<()>>;
type ModelBox = AbiModel_TO<'static, RBox<()>>;
type TrainingBox = AbiTraining_TO<'static, RBox<()>>;

/// `note` is JSON beside the bulk data: the mean loss, or a training's own state.
#[repr(C)]
#[derive(StableAbi)]
pub struct AbiPredictions {
    table: AbiTable<'static>,
    note: RString,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct AbiState {
    tensors: RVec<AbiTensor>,
    note: RString,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct AbiModelExport {
    tensors: RVec<AbiTensor>,
    files: RVec<Tuple2<RString, RVec<u8>>>,
}

#[sabi_trait]
pub trait AbiBackend: Send {
    #[sabi(last_prefix_field)]
    fn open(&self, spec: RStr<'_>) -> AbiResult<ModelBox>;
}

#[sabi_trait]
pub trait AbiModel: Send {
    fn info(&self) -> AbiResult<RString>;
    fn trainable(&self) -> AbiResult<RString>;
    fn add_split(&mut self, name: RStr<'_>, examples: AbiTable<'_>) -> AbiResult<RString>;
    fn load(&mut self, weights: RVec<AbiTensor>) -> AbiResult<()>;
    fn read(&self, out: RVec<AbiTensorMut<'_>>) -> AbiResult<()>;
    fn predict(&mut self, split: RStr<'_>) -> AbiResult<AbiPredictions>;
    fn begin_training(&mut self, spec: RStr<'_>) -> AbiResult<TrainingBox>;
    fn gradient(&mut self, split: RStr<'_>, rows: RSlice<'_, u64>) -> AbiResult<f64>;
    fn read_gradient(&self, out: RVec<AbiTensorMut<'_>>) -> AbiResult<()>;
    #[sabi(last_prefix_field)]
    fn export(&self) -> AbiResult<AbiModelExport>;
}

#[sabi_trait]
pub trait AbiTraining: Send {
    fn advance(&mut self, steps: u64) -> AbiResult<RString>;
    fn read(&self, out: RVec<AbiTensorMut<'_>>) -> AbiResult<()>;
    fn save(&self) -> AbiResult<AbiState>;
    #[sabi(last_prefix_field)]
    fn restore(&mut self, state: AbiState) -> AbiResult<()>;
}

struct ExportBackend(Owned<dyn ModelBackend>);

impl AbiBackend for ExportBackend {
    fn open(&self, spec: RStr<'_>) -> AbiResult<ModelBox> {
        answer(|| {
            let spec: ModelSpec = from_json(&spec, "model spec")?;
            let model = ExportModel(Owned::new(self.0.open(&spec)?));
            Ok(AbiModel_TO::from_value(
                model,
                abi_stable::erased_types::TD_Opaque,
            ))
        })
    }
}

struct ExportModel(Owned<dyn Model>);

impl AbiModel for ExportModel {
    fn info(&self) -> AbiResult<RString> {
        answer(|| to_json(&self.0.info()))
    }

    fn trainable(&self) -> AbiResult<RString> {
        answer(|| to_json(&self.0.trainable()))
    }

    fn add_split(&mut self, name: RStr<'_>, examples: AbiTable<'_>) -> AbiResult<RString> {
        answer(|| to_json(&self.0.add_split(&name, &examples.table()?)?))
    }

    fn load(&mut self, weights: RVec<AbiTensor>) -> AbiResult<()> {
        answer(|| self.0.load(&receive_all(weights)?))
    }

    fn read(&self, out: RVec<AbiTensorMut<'_>>) -> AbiResult<()> {
        answer(|| self.0.read(&mut unview(out)?))
    }

    fn predict(&mut self, split: RStr<'_>) -> AbiResult<AbiPredictions> {
        answer(|| {
            let predictions = self.0.predict(&split)?;
            let note = to_json(&predictions.mean_loss)?;
            Ok(AbiPredictions {
                table: AbiTable::owned(predictions.table),
                note,
            })
        })
    }

    fn begin_training(&mut self, spec: RStr<'_>) -> AbiResult<TrainingBox> {
        answer(|| {
            let spec: TrainingSpec = from_json(&spec, "training spec")?;
            let training = ExportTraining(Owned::new(self.0.begin_training(&spec)?));
            Ok(AbiTraining_TO::from_value(
                training,
                abi_stable::erased_types::TD_Opaque,
            ))
        })
    }

    fn gradient(&mut self, split: RStr<'_>, rows: RSlice<'_, u64>) -> AbiResult<f64> {
        answer(|| self.0.gradient(&split, rows.as_slice()))
    }

    fn read_gradient(&self, out: RVec<AbiTensorMut<'_>>) -> AbiResult<()> {
        answer(|| self.0.read_gradient(&mut unview(out)?))
    }

    fn export(&self) -> AbiResult<AbiModelExport> {
        answer(|| {
            let export = self.0.export()?;
            let files = export
                .files
                .into_iter()
                .map(|(name, data)| Tuple2(name.into(), data.into()));
            Ok(AbiModelExport {
                tensors: lend_all(&export.tensors),
                files: files.collect(),
            })
        })
    }
}

struct ExportTraining(Owned<dyn Training>);

impl AbiTraining for ExportTraining {
    fn advance(&mut self, steps: u64) -> AbiResult<RString> {
        answer(|| to_json(&self.0.advance(steps)?))
    }

    fn read(&self, out: RVec<AbiTensorMut<'_>>) -> AbiResult<()> {
        answer(|| self.0.read(&mut unview(out)?))
    }

    fn save(&self) -> AbiResult<AbiState> {
        answer(|| {
            let state = self.0.save()?;
            Ok(AbiState {
                tensors: lend_all(&state.tensors),
                note: to_json(&state.state)?,
            })
        })
    }

    fn restore(&mut self, state: AbiState) -> AbiResult<()> {
        answer(|| {
            let note = from_json(&state.note, "training state")?;
            self.0
                .restore(&TrainingState::new(receive_all(state.tensors)?, note))
        })
    }
}

pub(super) fn export(backend: Box<dyn ModelBackend>) -> BackendBox {
    AbiBackend_TO::from_value(
        ExportBackend(Owned::new(backend)),
        abi_stable::erased_types::TD_Opaque,
    )
}

/// The host's side of a plugin's model backend.
pub(super) struct Import(pub(super) BackendBox);

impl ModelBackend for Import {
    fn open(&self, spec: &ModelSpec) -> Result<Box<dyn Model>> {
        let inner = outcome(self.0.open(to_json(spec)?.as_rstr()))?;
        // Asked for once: both are fixed, and their getters cannot fail.
        let info = from_json(&outcome(inner.info())?, "model's facts")?;
        let trainable = from_json(&outcome(inner.trainable())?, "list of tensors")?;
        Ok(Box::new(ImportModel {
            inner,
            info,
            trainable,
        }))
    }
}

struct ImportModel {
    inner: ModelBox,
    info: ModelInfo,
    trainable: Vec<TensorSpec>,
}

impl Model for ImportModel {
    fn info(&self) -> ModelInfo {
        self.info.clone()
    }

    fn trainable(&self) -> Vec<TensorSpec> {
        self.trainable.clone()
    }

    fn add_split(&mut self, name: &str, examples: &Table<'_>) -> Result<SplitInfo> {
        let info = outcome(self.inner.add_split(name.into(), AbiTable::view(examples)))?;
        from_json(&info, "split's facts")
    }

    fn load(&mut self, weights: &[Tensor]) -> Result<()> {
        outcome(self.inner.load(lend_all(weights)))
    }

    fn read(&self, out: &mut [TensorMut<'_>]) -> Result<()> {
        outcome(self.inner.read(views(out)))
    }

    fn predict(&mut self, split: &str) -> Result<Predictions> {
        let predictions = outcome(self.inner.predict(split.into()))?;
        let mean_loss: Option<f64> = from_json(&predictions.note, "loss")?;
        let table = predictions.table.table()?.into_owned();
        if mean_loss.is_some_and(|loss| !loss.is_finite()) {
            return Err(PluginError::failed("found a mean loss that is not finite"));
        }
        Ok(Predictions { table, mean_loss })
    }

    fn begin_training(&mut self, spec: &TrainingSpec) -> Result<Box<dyn Training>> {
        let inner = outcome(self.inner.begin_training(to_json(spec)?.as_rstr()))?;
        Ok(Box::new(ImportTraining(inner)))
    }

    fn gradient(&mut self, split: &str, rows: &[u64]) -> Result<f64> {
        outcome(self.inner.gradient(split.into(), RSlice::from_slice(rows)))
    }

    fn read_gradient(&self, out: &mut [TensorMut<'_>]) -> Result<()> {
        outcome(self.inner.read_gradient(views(out)))
    }

    fn export(&self) -> Result<ModelExport> {
        let export = outcome(self.inner.export())?;
        let files = export
            .files
            .into_iter()
            .map(|Tuple2(name, data)| (name.into(), data.into()));
        Ok(ModelExport::new(
            receive_all(export.tensors)?,
            files.collect(),
        ))
    }
}

struct ImportTraining(TrainingBox);

impl Training for ImportTraining {
    fn advance(&mut self, steps: u64) -> Result<TrainingReport> {
        from_json(&outcome(self.0.advance(steps))?, "training report")
    }

    fn read(&self, out: &mut [TensorMut<'_>]) -> Result<()> {
        outcome(self.0.read(views(out)))
    }

    fn save(&self) -> Result<TrainingState> {
        let state = outcome(self.0.save())?;
        let note = from_json(&state.note, "training state")?;
        Ok(TrainingState::new(receive_all(state.tensors)?, note))
    }

    fn restore(&mut self, state: &TrainingState) -> Result<()> {
        let note = to_json(&state.state)?;
        outcome(self.0.restore(AbiState {
            tensors: lend_all(&state.tensors),
            note,
        }))
    }
}
