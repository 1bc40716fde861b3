//! Model backends: open, train, predict.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{PluginError, Result};
use crate::table::Table;
use crate::tensor::{Tensor, TensorMut, TensorSpec};

/// Opens models of the architectures it knows.
pub trait ModelBackend: Send + 'static {
    /// Opens a model for a task.
    ///
    /// # Errors
    /// When files are missing or broken, or the architecture, task or device is not one this backend knows.
    fn open(&self, spec: &ModelSpec) -> Result<Box<dyn Model>>;
}

/// What to open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelSpec {
    /// A Hugging Face model folder.
    pub folder: PathBuf,
    /// What the model is to do.
    pub task: Task,
    /// How many of the lowest layers, and the embeddings with the first of them, are not trained; their dropout is off,
    /// their outputs may be cached. `None`: everything is trained, the embeddings too.
    #[serde(default)]
    pub freeze_layers: Option<u32>,
    /// Seeds weights that the folder does not hold (a fresh head).
    pub seed: u64,
}

impl ModelSpec {
    /// A model with everything trainable.
    pub fn new(folder: impl Into<PathBuf>, task: Task, seed: u64) -> Self {
        Self {
            folder: folder.into(),
            task,
            freeze_layers: None,
            seed,
        }
    }

    /// Freezes the embeddings and the lowest layers.
    #[must_use]
    pub fn with_frozen_layers(mut self, layers: Option<u32>) -> Self {
        self.freeze_layers = layers;
        self
    }
}

/// What a model is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Task {
    /// One of several labels per text.
    Classification {
        /// Their names, in the order of their indices; two or more.
        labels: Vec<String>,
    },
    /// One number per text.
    Regression,
}

/// An open model. `Send`, not `Sync`: called from one thread at a time.
///
/// Splits are handed over once and then called by name, so that what depends only on the text (tokens, the outputs of
/// frozen layers) is computed once.
pub trait Model: Send {
    /// Facts about the model.
    fn info(&self) -> ModelInfo;

    /// The tensors that training changes, in the order in which all others speak of them.
    fn trainable(&self) -> Vec<TensorSpec>;

    /// Hands over a split under a name; a split of that name is replaced.
    ///
    /// Columns: [`crate::column::TEXT`], optionally `TEXT_PAIR`, and `LABEL` or `VALUE` (needed for training and loss).
    ///
    /// # Errors
    /// When a column is missing or a label is out of range.
    fn add_split(&mut self, name: &str, examples: &Table<'_>) -> Result<SplitInfo>;

    /// Replaces the trainable tensors: all of [`Model::trainable`], in any order, by name.
    ///
    /// # Errors
    /// When one is missing, unknown, or of another shape. The model is then unchanged.
    fn load(&mut self, weights: &[Tensor]) -> Result<()>;

    /// Reads the trainable tensors that are named in `out`.
    ///
    /// # Errors
    /// When one is unknown or of another shape.
    fn read(&self, out: &mut [TensorMut<'_>]) -> Result<()>;

    /// Predicts a whole split with the loaded weights; dropout is off.
    ///
    /// # Errors
    /// When the split is unknown, or the outputs are not finite.
    fn predict(&mut self, split: &str) -> Result<Predictions>;

    /// Starts a training from the loaded weights. The model itself stays as it is: read the session's weights and load
    /// them to evaluate a checkpoint.
    ///
    /// # Errors
    /// When the split is unknown or has no labels, or a setting is out of range.
    fn begin_training(&mut self, spec: &TrainingSpec) -> Result<Box<dyn Training>>;

    /// The mean loss (nats) of the named rows of a split at the loaded weights, and its gradient, kept for
    /// [`Model::read_gradient`]. Dropout is off.
    ///
    /// # Errors
    /// When the split is unknown, a row out of range, or the loss not finite.
    fn gradient(&mut self, split: &str, rows: &[u64]) -> Result<f64> {
        let _ = (split, rows);
        Err(PluginError::unsupported(
            "this backend computes no gradients",
        ))
    }

    /// Reads the gradients of the trainable tensors that are named in `out`.
    ///
    /// # Errors
    /// When no gradient was computed, or a tensor is unknown or of another shape.
    fn read_gradient(&self, out: &mut [TensorMut<'_>]) -> Result<()> {
        let _ = out;
        Err(PluginError::unsupported(
            "this backend computes no gradients",
        ))
    }

    /// Everything that a folder of this model needs, for the loaded weights: all tensors, frozen ones too, under their
    /// Hugging Face names, and the other files (configuration, tokenizer).
    ///
    /// # Errors
    /// When a file of the original folder cannot be read any more.
    fn export(&self) -> Result<Export>;
}

/// Facts about an open model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelInfo {
    /// For example `BertForSequenceClassification`.
    pub architecture: String,
    /// Layers of the encoder or decoder.
    pub layers: u32,
    /// Number of parameters in all.
    pub parameters: u64,
    /// Number of parameters that training changes.
    pub trainable_parameters: u64,
    /// What executes the tensor code, with version and device, for example `candle 0.11.1, cpu`.
    pub engine: String,
}

impl ModelInfo {
    /// Facts about a model.
    pub fn new(
        architecture: impl Into<String>,
        layers: u32,
        parameters: u64,
        trainable_parameters: u64,
        engine: impl Into<String>,
    ) -> Self {
        let (architecture, engine) = (architecture.into(), engine.into());
        Self {
            architecture,
            layers,
            parameters,
            trainable_parameters,
            engine,
        }
    }
}

/// Facts about a split as the model sees it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SplitInfo {
    /// Number of examples.
    pub examples: u64,
    /// Number of tokens, special ones counted, after truncation.
    pub tokens: u64,
    /// Length of the longest example in tokens, after truncation.
    pub longest: u64,
    /// How many examples were cut at the maximal length.
    pub truncated: u64,
}

impl SplitInfo {
    /// Facts about a split.
    pub fn new(examples: u64, tokens: u64, longest: u64, truncated: u64) -> Self {
        Self {
            examples,
            tokens,
            longest,
            truncated,
        }
    }
}

/// What a model says to a split.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Predictions {
    /// One row per example, in the split's order; columns `predicted_label`, `predicted_scores` (probabilities) and `loss`
    /// for a classification, `predicted_value` and `loss` for a regression.
    pub table: Table<'static>,
    /// Mean loss in nats; `None` where the split has no labels.
    pub mean_loss: Option<f64>,
}

impl Predictions {
    /// Predictions with their mean loss.
    pub fn new(table: Table<'static>, mean_loss: Option<f64>) -> Self {
        Self { table, mean_loss }
    }
}

/// A training that the host pulls along. `Send`, not `Sync`.
pub trait Training: Send {
    /// Makes up to `steps` optimizer steps, fewer at the end of the training.
    ///
    /// # Errors
    /// When the loss or the gradient is not finite (says at which step).
    fn advance(&mut self, steps: u64) -> Result<TrainingReport>;

    /// Reads the current values of the trainable tensors that are named in `out`.
    ///
    /// # Errors
    /// When one is unknown or of another shape.
    fn read(&self, out: &mut [TensorMut<'_>]) -> Result<()>;

    /// Everything that [`Training::restore`] needs: weights, moments, position in the data, random numbers.
    ///
    /// # Errors
    /// When it cannot be read from the device.
    fn save(&self) -> Result<TrainingState>;

    /// Goes on exactly where [`Training::save`] was called, in a session begun with the same spec.
    ///
    /// # Errors
    /// When the state is not one of this model and spec.
    fn restore(&mut self, state: &TrainingState) -> Result<()>;
}

/// How to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainingSpec {
    /// The split to train on.
    pub split: String,
    /// Length of the training in passes over the split; the schedule runs over all of it.
    pub epochs: f64,
    /// Seeds the order of the data and dropout.
    pub seed: u64,
    /// The settings that can be searched.
    pub hyperparameters: Hyperparameters,
}

impl TrainingSpec {
    /// A training of so many passes over a split.
    pub fn new(
        split: impl Into<String>,
        epochs: f64,
        seed: u64,
        hyperparameters: Hyperparameters,
    ) -> Self {
        Self {
            split: split.into(),
            epochs,
            seed,
            hyperparameters,
        }
    }

    /// How many optimizer steps the training has on a split of so many examples: at least one.
    pub fn total_steps(&self, examples: u64) -> u64 {
        let per_step = self.hyperparameters.batch_size * self.hyperparameters.accumulation;
        let per_epoch = examples.div_ceil(per_step.max(1));
        ((per_epoch as f64 * self.epochs).round() as u64).max(1)
    }
}

/// The settings of a training. Each can be fixed, or searched under `tune.space`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hyperparameters {
    /// Greatest step size of AdamW, reached at the end of the warm-up.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub learning_rate: f64,
    /// Examples per forward and backward pass.
    #[schemars(range(min = 1, max = 65536))]
    pub batch_size: u64,
    /// Passes whose gradients are averaged before each step.
    #[schemars(range(min = 1, max = 65536))]
    pub accumulation: u64,
    /// How the step size falls after the warm-up.
    pub schedule: Schedule,
    /// Share of the steps in which the step size rises from 0.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warmup: f64,
    /// Decoupled weight decay; biases and layer norms are left out.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
    /// Decay of AdamW's first moment.
    #[schemars(range(min = 0.0, max = 0.9999999))]
    pub beta1: f64,
    /// Decay of AdamW's second moment.
    #[schemars(range(min = 0.0, max = 0.9999999))]
    pub beta2: f64,
    /// Added to AdamW's denominator.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub epsilon: f64,
    /// Greatest global norm of the gradient; 0 leaves it as it is.
    #[schemars(range(min = 0.0))]
    pub max_gradient_norm: f64,
    /// Share of the probability that goes to the other labels.
    #[schemars(range(min = 0.0, max = 0.9999999))]
    pub label_smoothing: f64,
    /// Dropout in the layers that are trained, instead of the model's own; in [0, 1).
    #[schemars(range(min = 0.0, max = 0.9999999))]
    pub dropout: Option<f64>,
}

/// How the step size changes after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It falls to 0 in a straight line.
    #[default]
    Linear,
    /// It falls to 0 along half a cosine.
    Cosine,
    /// It falls along half a cosine to the middle of the training, then stays at a tenth: the schedule of stochastic
    /// weight averaging.
    Swa,
}

impl Default for Hyperparameters {
    /// The settings of `transformers`' Trainer, with a warm-up of 10 %.
    fn default() -> Self {
        Self {
            learning_rate: 5e-5,
            batch_size: 16,
            accumulation: 1,
            schedule: Schedule::Linear,
            warmup: 0.1,
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            max_gradient_norm: 1.0,
            label_smoothing: 0.0,
            dropout: None,
        }
    }
}

/// Where a training stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainingReport {
    /// Steps made so far.
    pub step: u64,
    /// Steps of the whole training.
    pub total_steps: u64,
    /// Mean training loss (nats) over the steps of this call.
    pub loss: f64,
    /// Global norm of the last gradient, before clipping.
    pub gradient_norm: f64,
    /// Step size of the last step.
    pub learning_rate: f64,
    /// Tokens of this call, padding not counted.
    pub tokens: u64,
}

impl TrainingReport {
    /// Whether the training is at its end.
    pub fn is_finished(&self) -> bool {
        self.step >= self.total_steps
    }
}

/// A training, put to sleep.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrainingState {
    /// Weights and moments.
    pub tensors: Vec<Tensor>,
    /// Everything else, known to the backend alone.
    pub state: Value,
}

impl TrainingState {
    /// Tensors and the rest.
    pub fn new(tensors: Vec<Tensor>, state: Value) -> Self {
        Self { tensors, state }
    }
}

/// A model on its way to a folder.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Export {
    /// All tensors under their Hugging Face names.
    pub tensors: Vec<Tensor>,
    /// Other files: name and contents.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Export {
    /// Tensors and other files.
    pub fn new(tensors: Vec<Tensor>, files: Vec<(String, Vec<u8>)>) -> Self {
        Self { tensors, files }
    }
}
