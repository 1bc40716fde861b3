//! A training that can be put to sleep and woken up exactly.
//!
//! Everything random is a function of the seed and the step: weights, moments and the step are the whole state.

use std::sync::Arc;

use bomf_plugin_api::{
    PluginError, Result, Tensor, TensorMut, Training, TrainingReport, TrainingSpec, TrainingState,
};
use serde_json::{Value, json};

use crate::bert::DropoutSeeds;
use crate::engine::{AdamW, Engine};
use crate::model::{Prepared, Shared};
use crate::schedule::learning_rate;
use crate::text::shuffled_batches;
use crate::weights::{Slot, Weights};

/// Moments of one parameter.
struct Moments {
    slot: Slot,
    decays: bool,
    first: Vec<f32>,
    second: Vec<f32>,
}

/// A training in progress, on weights of its own.
pub struct Session<E: Engine> {
    shared: Arc<Shared<E>>,
    prepared: Arc<Prepared>,
    weights: Weights<E>,
    spec: TrainingSpec,
    moments: Vec<Moments>,
    step: u64,
    total: u64,
    /// Batches of an epoch, kept while it lasts.
    epoch: Option<(u64, Vec<Vec<usize>>)>,
}

impl<E: Engine> Session<E> {
    /// Begins with the given weights, which have trainable tensors of their own.
    ///
    /// # Errors
    /// When the split is empty or has no labels, or a setting is out of range.
    pub fn begin(
        shared: Arc<Shared<E>>,
        prepared: Arc<Prepared>,
        weights: Weights<E>,
        spec: TrainingSpec,
    ) -> Result<Self> {
        let examples = prepared.split.encoded.len();
        if examples == 0 || prepared.split.targets.is_none() {
            return Err(PluginError::input(format!(
                "split `{}`: found {examples} examples{}, expected labelled ones",
                spec.split,
                if prepared.split.targets.is_none() {
                    " without labels"
                } else {
                    ""
                }
            )));
        }
        check(&spec)?;
        let moments = weights.trainable().into_iter().map(|slot| {
            let tensor = weights.spec(slot);
            let zeros = vec![0.0; tensor.elements().unwrap_or(0)];
            // As transformers' Trainer: no decay of biases and layer norms.
            let decays = !tensor.name.ends_with(".bias") && !tensor.name.contains("LayerNorm");
            Moments {
                slot,
                decays,
                first: zeros.clone(),
                second: zeros,
            }
        });
        let moments = moments.collect();
        let total = spec.total_steps(examples as u64);
        Ok(Self {
            shared,
            prepared,
            weights,
            spec,
            moments,
            step: 0,
            total,
            epoch: None,
        })
    }

    /// The batches of one step.
    fn batches(&mut self, step: u64) -> Vec<Vec<usize>> {
        let settings = &self.spec.hyperparameters;
        let accumulation = settings.accumulation as usize;
        let lengths = || {
            self.prepared
                .split
                .encoded
                .iter()
                .map(|e| e.ids.len())
                .collect::<Vec<_>>()
        };
        let per_step = settings.batch_size * settings.accumulation;
        let per_epoch = (self.prepared.split.encoded.len() as u64).div_ceil(per_step);
        let (epoch, position) = (step / per_epoch, (step % per_epoch) as usize);
        if self
            .epoch
            .as_ref()
            .is_none_or(|(current, _)| *current != epoch)
        {
            let batches = shuffled_batches(
                &lengths(),
                settings.batch_size as usize,
                self.spec.seed,
                epoch,
            );
            self.epoch = Some((epoch, batches));
        }
        let (_, batches) = self.epoch.as_ref().expect("set above");
        let start = position * accumulation;
        batches[start..batches.len().min(start + accumulation)].to_vec()
    }

    /// Makes one optimizer step; returns its mean loss, tokens, gradient norm and step size.
    fn advance_once(&mut self) -> Result<(f64, u64, f64, f64)> {
        let batches = self.batches(self.step);
        let examples: usize = batches.iter().map(Vec::len).sum();
        let parameters: Vec<E::Tensor> = self
            .moments
            .iter()
            .map(|moments| self.weights.get(moments.slot).clone())
            .collect();
        let (mut loss, mut tokens) = (0.0, 0);
        let mut gradients: Option<Vec<E::Tensor>> = None;
        for (index, rows) in batches.iter().enumerate() {
            let (sum, new) = self.backward(rows, index as u64, examples, &parameters)?;
            loss += sum;
            tokens += rows
                .iter()
                .map(|&row| self.prepared.split.encoded[row].ids.len() as u64)
                .sum::<u64>();
            gradients = Some(match gradients {
                None => new,
                Some(old) => old
                    .iter()
                    .zip(&new)
                    .map(|(a, b)| self.shared.engine.add(a, b))
                    .collect::<Result<_>>()?,
            });
        }
        let gradients = gradients.unwrap_or_default();
        let norm = self.shared.engine.sum_of_squares(&gradients)?.sqrt();
        let loss = loss / examples as f64;
        if !loss.is_finite() || !norm.is_finite() {
            return Err(PluginError::failed(format!(
                "step {}: found the loss {loss} and the gradient norm {norm}, expected finite numbers",
                self.step + 1
            ))
            .hint("a smaller learning rate, a longer warm-up or gradient clipping may help"));
        }
        let rate = self.update(&gradients, norm)?;
        Ok((loss, tokens, norm, rate))
    }

    /// Sum of the losses of a batch, and its part of the gradient of the step's mean loss.
    fn backward(
        &self,
        rows: &[usize],
        index: u64,
        examples: usize,
        parameters: &[E::Tensor],
    ) -> Result<(f64, Vec<E::Tensor>)> {
        let settings = &self.spec.hyperparameters;
        let seed = mix(mix(self.spec.seed, self.step), index);
        let mut seeds = DropoutSeeds::new(seed, settings.dropout.map(|rate| rate as f32));
        let logits = self
            .shared
            .logits(&self.weights, &self.prepared, rows, Some(&mut seeds))?;
        let losses = self.shared.losses(
            &logits,
            &self.prepared,
            rows,
            settings.label_smoothing as f32,
        )?;
        let mut out = vec![0.0; rows.len()];
        self.shared.engine.read(&losses, &mut out)?;
        let share = vec![1.0 / examples as f32; rows.len()];
        let gradients = self.shared.engine.backward(&losses, &share, parameters)?;
        Ok((out.iter().map(|&x| f64::from(x)).sum(), gradients))
    }

    fn update(&mut self, gradients: &[E::Tensor], norm: f64) -> Result<f64> {
        let settings = &self.spec.hyperparameters;
        let rate = learning_rate(settings, self.step, self.total);
        // As torch's clip_grad_norm_.
        let limit = settings.max_gradient_norm;
        let scale = if limit > 0.0 {
            (limit / (norm + 1e-6)).min(1.0)
        } else {
            1.0
        };
        for (moments, gradient) in self.moments.iter_mut().zip(gradients) {
            let step = AdamW {
                learning_rate: rate as f32,
                beta1: settings.beta1 as f32,
                beta2: settings.beta2 as f32,
                epsilon: settings.epsilon as f32,
                weight_decay: if moments.decays {
                    settings.weight_decay as f32
                } else {
                    0.0
                },
                gradient_scale: scale as f32,
                step: self.step + 1,
            };
            let parameter = self.weights.get(moments.slot);
            let (first, second) = (&mut moments.first, &mut moments.second);
            self.shared
                .engine
                .adamw(parameter, gradient, first, second, step)?;
        }
        self.step += 1;
        Ok(rate)
    }

    fn note(&self) -> Result<Value> {
        let spec = serde_json::to_value(&self.spec)
            .map_err(|error| PluginError::failed(error.to_string()))?;
        Ok(json!({"step": self.step, "spec": spec}))
    }
}

/// Names of the moments of a parameter in a saved state.
fn moment_names(name: &str) -> [String; 2] {
    [
        format!("{name}.first_moment"),
        format!("{name}.second_moment"),
    ]
}

impl<E: Engine> Training for Session<E>
where
    E::Tensor: Sync,
    E: Sync,
{
    fn advance(&mut self, steps: u64) -> Result<TrainingReport> {
        let mut report = TrainingReport::default();
        let mut made = 0;
        while made < steps && self.step < self.total {
            let (loss, tokens, norm, rate) = self.advance_once()?;
            report.loss += loss;
            report.tokens += tokens;
            (report.gradient_norm, report.learning_rate) = (norm, rate);
            made += 1;
        }
        report.loss /= made.max(1) as f64;
        (report.step, report.total_steps) = (self.step, self.total);
        Ok(report)
    }

    fn read(&self, out: &mut [TensorMut<'_>]) -> Result<()> {
        self.weights.read(out)
    }

    fn save(&self) -> Result<TrainingState> {
        let mut tensors = Vec::new();
        for moments in &self.moments {
            let spec = self.weights.spec(moments.slot);
            tensors.push(Tensor::from_f32(
                &spec.name,
                &spec.shape,
                &self.weights.numbers(moments.slot)?,
            )?);
            let parts = moment_names(&spec.name)
                .into_iter()
                .zip([&moments.first, &moments.second]);
            for (name, numbers) in parts {
                tensors.push(Tensor::from_f32(&name, &spec.shape, numbers)?);
            }
        }
        Ok(TrainingState::new(tensors, self.note()?))
    }

    fn restore(&mut self, state: &TrainingState) -> Result<()> {
        let foreign =
            || PluginError::input("found the state of another training, expected this one's");
        if state.state.get("spec") != self.note()?.get("spec") {
            return Err(foreign());
        }
        let step = state
            .state
            .get("step")
            .and_then(Value::as_u64)
            .ok_or_else(foreign)?;
        let take = |name: &str, slot: Slot| -> Result<Vec<f32>> {
            let tensor = state
                .tensors
                .iter()
                .find(|tensor| tensor.spec().name == name);
            let tensor =
                tensor.filter(|tensor| tensor.spec().shape == self.weights.spec(slot).shape);
            tensor.ok_or_else(foreign)?.to_f32()
        };
        let mut restored = Vec::new();
        for moments in &self.moments {
            let name = &self.weights.spec(moments.slot).name;
            let [first, second] = moment_names(name);
            restored.push([
                take(name, moments.slot)?,
                take(&first, moments.slot)?,
                take(&second, moments.slot)?,
            ]);
        }
        for (moments, [weights, first, second]) in self.moments.iter_mut().zip(restored) {
            self.shared
                .engine
                .write(self.weights.get(moments.slot), &weights)?;
            (moments.first, moments.second) = (first, second);
        }
        self.step = step;
        Ok(())
    }
}

fn check(spec: &TrainingSpec) -> Result<()> {
    let settings = &spec.hyperparameters;
    let in_range = [
        (
            "epochs",
            spec.epochs,
            spec.epochs > 0.0 && spec.epochs <= 1e6,
        ),
        (
            "batch_size",
            settings.batch_size as f64,
            (1..=65536).contains(&settings.batch_size),
        ),
        (
            "accumulation",
            settings.accumulation as f64,
            (1..=65536).contains(&settings.accumulation),
        ),
        (
            "learning_rate",
            settings.learning_rate,
            (0.0..=1.0).contains(&settings.learning_rate),
        ),
        (
            "warmup",
            settings.warmup,
            (0.0..=1.0).contains(&settings.warmup),
        ),
        (
            "weight_decay",
            settings.weight_decay,
            (0.0..=1.0).contains(&settings.weight_decay),
        ),
        (
            "beta1",
            settings.beta1,
            (0.0..1.0).contains(&settings.beta1),
        ),
        (
            "beta2",
            settings.beta2,
            (0.0..1.0).contains(&settings.beta2),
        ),
        (
            "epsilon",
            settings.epsilon,
            (0.0..=1.0).contains(&settings.epsilon),
        ),
        (
            "max_gradient_norm",
            settings.max_gradient_norm,
            settings.max_gradient_norm >= 0.0,
        ),
        (
            "label_smoothing",
            settings.label_smoothing,
            (0.0..1.0).contains(&settings.label_smoothing),
        ),
        (
            "dropout",
            settings.dropout.unwrap_or(0.0),
            (0.0..1.0).contains(&settings.dropout.unwrap_or(0.0)),
        ),
    ];
    match in_range.iter().find(|(_, _, holds)| !holds) {
        None => Ok(()),
        Some((name, found, _)) => Err(PluginError::input(format!(
            "{name}: found {found}, which is out of range"
        ))),
    }
}

/// A well-mixed function of two numbers (the finaliser of splitmix64, Steele et al. 2014).
fn mix(a: u64, b: u64) -> u64 {
    let mut x = a
        .wrapping_add(b.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(0x632b_e59b_d9b4_e019);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
