//! A text model as a backend hands it to the host.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;

use bomf_plugin_api::{
    Export, Model, ModelInfo, ModelSpec, PluginError, Predictions, Result, SplitInfo, Table, Task,
    Tensor, TensorMut, TensorSpec, Training, TrainingSpec, column,
};
use serde_json::Value;

use crate::bert::{Bert, Config, Pooling};
use crate::engine::Engine;
use crate::export;
use crate::features::{Features, TOKENS};
use crate::source::Source;
use crate::text::{Batch, Encoder, Split, Targets, sorted_batches};
use crate::training::Session;
use crate::weights::Weights;

/// What a backend's options say.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Longest text in tokens; cut to what the model can take.
    pub longest: usize,
    /// How the encoder's output becomes one vector.
    pub pooling: Pooling,
    /// Features of a split that take more bytes than this are computed anew each time.
    pub cache_bytes: usize,
}

/// A split, and what the frozen part of the model makes of it, once that was asked for.
pub struct Prepared {
    /// Tokens and targets.
    pub split: Split,
    features: OnceLock<Features>,
}

/// Everything that a model and its trainings share.
pub struct Shared<E: Engine> {
    /// Executes.
    pub engine: E,
    /// The architecture.
    pub bert: Bert,
    /// Whether class labels or numbers are predicted, and which.
    pub task: Task,
    /// What the options say.
    pub settings: Settings,
}

/// An encoder with a head, open.
pub struct TextModel<E: Engine> {
    shared: Arc<Shared<E>>,
    folder: PathBuf,
    config: Value,
    encoder: Encoder,
    weights: Weights<E>,
    splits: BTreeMap<String, Arc<Prepared>>,
    gradients: Option<Vec<E::Tensor>>,
}

impl<E: Engine> TextModel<E> {
    /// Opens a Hugging Face folder whose tensors were read already.
    ///
    /// # Errors
    /// When a file is missing or broken, or says something that is not known here.
    pub fn open(
        engine: E,
        spec: &ModelSpec,
        settings: Settings,
        tensors: &[Tensor],
    ) -> Result<Self> {
        let path = spec.folder.join("config.json");
        let text = std::fs::read_to_string(&path)
            .map_err(|error| PluginError::input(format!("{}: {error}", path.display())))?;
        let json: Value = serde_json::from_str(&text)
            .map_err(|error| PluginError::input(format!("{}: {error}", path.display())))?;
        let config = Config::parse(&json)?;
        let outputs = match &spec.task {
            Task::Classification { labels } if labels.len() < 2 => {
                return Err(PluginError::input(format!(
                    "task.labels: found {}, expected two or more",
                    labels.len()
                )));
            }
            Task::Classification { labels } => labels.len(),
            Task::Regression => 1,
            other => {
                return Err(PluginError::unsupported(format!(
                    "found the task {other:?}"
                )));
            }
        };
        let longest = settings.longest.min(config.longest());
        let encoder = Encoder::open(&spec.folder, longest, config.vocab_size)?;
        let mut source = Source::new(tensors, spec.seed);
        let mut weights = Weights::new(engine.clone());
        let frozen = spec.freeze_layers.map(|layers| layers as usize);
        let bert = Bert::load(
            config,
            outputs,
            settings.pooling,
            frozen,
            &mut source,
            &mut weights,
        )?;
        if !source.drawn.is_empty() {
            tracing::info!("drew fresh weights for {}", source.drawn.join(", "));
        }
        let shared = Arc::new(Shared {
            engine,
            bert,
            task: spec.task.clone(),
            settings,
        });
        Ok(Self {
            shared,
            folder: spec.folder.clone(),
            config: json,
            encoder,
            weights,
            splits: BTreeMap::new(),
            gradients: None,
        })
    }

    fn prepared(&self, split: &str) -> Result<Arc<Prepared>> {
        self.splits.get(split).cloned().ok_or_else(|| {
            let names: Vec<&str> = self.splits.keys().map(String::as_str).collect();
            PluginError::input(format!(
                "found no split `{split}` among `{}`, expected one",
                names.join("`, `")
            ))
        })
    }

    fn parameter_count(&self, slots: impl Iterator<Item = usize>) -> u64 {
        slots
            .map(|slot| self.weights.spec(slot).elements().unwrap_or(0) as u64)
            .sum()
    }
}

impl<E: Engine> Shared<E> {
    /// The logits of a batch.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn logits(
        &self,
        weights: &Weights<E>,
        prepared: &Prepared,
        rows: &[usize],
        seeds: Option<&mut crate::bert::DropoutSeeds>,
    ) -> Result<E::Tensor> {
        let batch = Batch::of(&prepared.split, rows, !self.bert.config().is_roberta());
        let features = self.features(weights, prepared, &batch)?;
        self.bert
            .logits(&self.engine, weights, &batch, features, seeds)
    }

    fn features(
        &self,
        weights: &Weights<E>,
        prepared: &Prepared,
        batch: &Batch,
    ) -> Result<Option<E::Tensor>> {
        if !self.bert.is_frozen() {
            return Ok(None);
        }
        let bytes = Features::bytes(&prepared.split, self.bert.config().hidden_size);
        if bytes > self.settings.cache_bytes {
            return self.bert.features(&self.engine, weights, batch).map(Some);
        }
        let features = match prepared.features.get() {
            Some(features) => features,
            None => {
                let computed =
                    Features::compute(&self.engine, &self.bert, weights, &prepared.split)?;
                prepared.features.get_or_init(|| computed)
            }
        };
        features.of(&self.engine, batch).map(Some)
    }

    /// The loss of each row of a batch, in nats.
    ///
    /// # Errors
    /// When the split has no targets, or the engine fails.
    pub fn losses(
        &self,
        logits: &E::Tensor,
        prepared: &Prepared,
        rows: &[usize],
        smoothing: f32,
    ) -> Result<E::Tensor> {
        match &prepared.split.targets {
            Some(Targets::Labels(labels)) => {
                let labels: Arc<[u32]> = rows.iter().map(|&row| labels[row]).collect();
                self.engine.cross_entropy(logits, &labels, smoothing)
            }
            Some(Targets::Values(values)) => {
                let values: Vec<f32> = rows.iter().map(|&row| values[row]).collect();
                self.engine.squared_error(logits, &values)
            }
            None => Err(PluginError::input(
                "found a split without labels, expected one with them",
            )),
        }
    }
}

impl<E: Engine> Model for TextModel<E>
where
    E::Tensor: Sync,
    E: Sync,
{
    fn info(&self) -> ModelInfo {
        let config = self.shared.bert.config();
        ModelInfo::new(
            config.architecture(),
            config.num_hidden_layers as u32,
            self.parameter_count(0..self.weights.len()),
            self.parameter_count(self.weights.trainable().into_iter()),
            self.shared.engine.describe(),
        )
    }

    fn trainable(&self) -> Vec<TensorSpec> {
        self.weights
            .trainable()
            .into_iter()
            .map(|slot| self.weights.spec(slot).clone())
            .collect()
    }

    fn add_split(&mut self, name: &str, examples: &Table<'_>) -> Result<SplitInfo> {
        let labels = match &self.shared.task {
            Task::Classification { labels } => Some(labels.len()),
            _ => None,
        };
        let split = self.encoder.split(examples, labels)?;
        let info = split.info.clone();
        self.splits.insert(
            name.to_owned(),
            Arc::new(Prepared {
                split,
                features: OnceLock::new(),
            }),
        );
        Ok(info)
    }

    fn load(&mut self, weights: &[Tensor]) -> Result<()> {
        self.gradients = None;
        self.weights.load(weights)
    }

    fn read(&self, out: &mut [TensorMut<'_>]) -> Result<()> {
        self.weights.read(out)
    }

    fn predict(&mut self, split: &str) -> Result<Predictions> {
        let prepared = self.prepared(split)?;
        let weights = self.weights.detached();
        let examples = prepared.split.encoded.len();
        let mut logits: Vec<Vec<f64>> = vec![Vec::new(); examples];
        for rows in sorted_batches(&prepared.split, TOKENS) {
            let tensor = self.shared.logits(&weights, &prepared, &rows, None)?;
            let outputs = match &self.shared.task {
                Task::Classification { labels } => labels.len(),
                _ => 1,
            };
            let mut out = vec![0.0; rows.len() * outputs];
            self.shared.engine.read(&tensor, &mut out)?;
            if out.iter().any(|x| !x.is_finite()) {
                return Err(PluginError::failed(format!(
                    "split `{split}`: found outputs that are not finite"
                )));
            }
            for (row, logit) in rows.iter().zip(out.chunks(outputs)) {
                logits[*row] = logit.iter().map(|&x| f64::from(x)).collect();
            }
        }
        match &prepared.split.targets {
            Some(Targets::Values(values)) => regression(&logits, Some(values)),
            None if self.shared.task == Task::Regression => regression(&logits, None),
            Some(Targets::Labels(labels)) => classification(&logits, Some(labels)),
            None => classification(&logits, None),
        }
    }

    fn begin_training(&mut self, spec: &TrainingSpec) -> Result<Box<dyn Training>> {
        let prepared = self.prepared(&spec.split)?;
        let weights = self.weights.copy_trainable()?;
        Ok(Box::new(Session::begin(
            Arc::clone(&self.shared),
            prepared,
            weights,
            spec.clone(),
        )?))
    }

    fn gradient(&mut self, split: &str, rows: &[u64]) -> Result<f64> {
        let prepared = self.prepared(split)?;
        let examples = prepared.split.encoded.len();
        let rows: Vec<usize> = rows.iter().map(|&row| row as usize).collect();
        if rows.is_empty() || rows.iter().any(|&row| row >= examples) {
            return Err(PluginError::input(format!(
                "split `{split}`: found the rows {rows:?}, expected one or more below {examples}"
            )));
        }
        let engine = &self.shared.engine;
        let logits = self.shared.logits(&self.weights, &prepared, &rows, None)?;
        let losses = self.shared.losses(&logits, &prepared, &rows, 0.0)?;
        let mut out = vec![0.0; rows.len()];
        engine.read(&losses, &mut out)?;
        let share = vec![1.0 / rows.len() as f32; rows.len()];
        let parameters: Vec<E::Tensor> = self
            .weights
            .trainable()
            .into_iter()
            .map(|slot| self.weights.get(slot).clone())
            .collect();
        self.gradients = Some(engine.backward(&losses, &share, &parameters)?);
        let loss = out.iter().map(|&x| f64::from(x)).sum::<f64>() / rows.len() as f64;
        match loss.is_finite() {
            true => Ok(loss),
            false => Err(PluginError::failed(format!(
                "split `{split}`: found the loss {loss}"
            ))),
        }
    }

    fn read_gradient(&self, out: &mut [TensorMut<'_>]) -> Result<()> {
        let gradients = self.gradients.as_ref().ok_or_else(|| {
            PluginError::input(
                "found no gradient, expected a call of `gradient` since the last `load`",
            )
        })?;
        let trainable = self.weights.trainable();
        for out in out {
            let slot = self.weights.find(out.spec())?;
            let position = trainable.iter().position(|&other| other == slot);
            let position = position.expect("`find` only finds trainable tensors");
            let mut numbers = vec![0.0; out.spec().elements().unwrap_or(0)];
            self.shared
                .engine
                .read(&gradients[position], &mut numbers)?;
            out.write_f32(&numbers)?;
        }
        Ok(())
    }

    fn export(&self) -> Result<Export> {
        let architecture = self.shared.bert.config().architecture();
        let files = export::files(&self.folder, &self.config, architecture, &self.shared.task)?;
        Ok(Export::new(self.weights.export()?, files))
    }
}

fn classification(logits: &[Vec<f64>], labels: Option<&[u32]>) -> Result<Predictions> {
    let (mut predicted, mut scores, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    for (row, logits) in logits.iter().enumerate() {
        let greatest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|x| (x - greatest).exp()).sum();
        // The first of equals, as argmax has it.
        let best = logits.iter().position(|&x| x == greatest).unwrap_or(0);
        predicted.push(best as i64);
        scores.extend(logits.iter().map(|x| (x - greatest).exp() / sum));
        if let Some(labels) = labels {
            losses.push(greatest + sum.ln() - logits[labels[row] as usize]);
        }
    }
    let classes = logits.first().map_or(0, Vec::len);
    let table = Table::new(logits.len())
        .with_integers(column::PREDICTED_LABEL, predicted)?
        .with_number_rows(column::PREDICTED_SCORES, classes, scores)?;
    with_losses(table, losses, labels.is_some())
}

fn regression(outputs: &[Vec<f64>], values: Option<&[f32]>) -> Result<Predictions> {
    let predicted: Vec<f64> = outputs.iter().map(|row| row[0]).collect();
    let pairs = predicted.iter().zip(values.unwrap_or_default());
    let losses = pairs.map(|(x, &y)| (x - f64::from(y)).powi(2)).collect();
    let table = Table::new(outputs.len()).with_numbers(column::PREDICTED_VALUE, predicted)?;
    with_losses(table, losses, values.is_some())
}

fn with_losses(table: Table<'static>, losses: Vec<f64>, labelled: bool) -> Result<Predictions> {
    if !labelled || losses.is_empty() {
        return Ok(Predictions::new(table, None));
    }
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    Ok(Predictions::new(
        table.with_numbers(column::LOSS, losses)?,
        Some(mean),
    ))
}
