//! BERT and RoBERTa encoders with a head for classification or regression.
//!
//! Papers: Devlin et al. 2019 (BERT), Liu et al. 2019 (RoBERTa). Names and numbers are those of `transformers`'
//! `BertForSequenceClassification` and `RobertaForSequenceClassification`.

use std::sync::Arc;

use bomf_plugin_api::{PluginError, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::engine::{Dropout, Engine};
use crate::source::Source;
use crate::text::Batch;
use crate::weights::{Slot, Weights};

/// What `config.json` says.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// `bert` or `roberta`.
    pub model_type: String,
    /// Rows of the word embeddings.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// Only `gelu` is known.
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// Rows of the position embeddings.
    pub max_position_embeddings: usize,
    /// Rows of the token type embeddings.
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// Epsilon of the layer norms.
    #[serde(default = "epsilon")]
    pub layer_norm_eps: f64,
    /// Dropout of hidden states.
    #[serde(default = "tenth")]
    pub hidden_dropout_prob: f32,
    /// Dropout of attention probabilities.
    #[serde(default = "tenth")]
    pub attention_probs_dropout_prob: f32,
    /// Dropout before the classifier; by default that of hidden states.
    pub classifier_dropout: Option<f32>,
    /// Deviation of fresh weights.
    #[serde(default = "fiftieth")]
    pub initializer_range: f32,
    /// The padding token; RoBERTa's positions start behind it.
    #[serde(default)]
    pub pad_token_id: Option<u32>,
    /// Only `absolute` is known.
    #[serde(default = "absolute")]
    pub position_embedding_type: Option<String>,
}

fn gelu() -> String {
    "gelu".to_owned()
}
fn absolute() -> Option<String> {
    Some("absolute".to_owned())
}
fn two() -> usize {
    2
}
fn epsilon() -> f64 {
    1e-12
}
fn tenth() -> f32 {
    0.1
}
fn fiftieth() -> f32 {
    0.02
}

impl Config {
    /// Reads and checks `config.json`.
    ///
    /// # Errors
    /// Says which key is missing, wrong or not known here.
    pub fn parse(json: &Value) -> Result<Self> {
        let config: Self = serde_json::from_value(json.clone())
            .map_err(|error| PluginError::input(format!("config.json: {error}")))?;
        let unknown = |key: &str, found: &str, known: &str| {
            Err(PluginError::unsupported(format!(
                "config.json: {key}: found `{found}`, expected {known}"
            )))
        };
        if !["bert", "roberta", "xlm-roberta"].contains(&config.model_type.as_str()) {
            return unknown(
                "model_type",
                &config.model_type,
                "`bert`, `roberta` or `xlm-roberta`",
            );
        }
        if config.hidden_act != "gelu" {
            return unknown("hidden_act", &config.hidden_act, "`gelu`");
        }
        if let Some(kind) = config
            .position_embedding_type
            .as_deref()
            .filter(|kind| *kind != "absolute")
        {
            return unknown("position_embedding_type", kind, "`absolute`");
        }
        let positive = [
            config.vocab_size,
            config.hidden_size,
            config.num_hidden_layers,
            config.num_attention_heads,
            config.intermediate_size,
            config.max_position_embeddings,
            config.type_vocab_size,
        ];
        if positive.contains(&0)
            || !config
                .hidden_size
                .is_multiple_of(config.num_attention_heads)
        {
            return Err(PluginError::input(format!(
                "config.json: found sizes {positive:?}, expected all above 0 and hidden_size a multiple of \
                 num_attention_heads"
            )));
        }
        Ok(config)
    }

    /// Whether it is RoBERTa's variant.
    pub fn is_roberta(&self) -> bool {
        self.model_type != "bert"
    }

    /// Position of the first token.
    pub fn first_position(&self) -> usize {
        if self.is_roberta() {
            self.pad_token_id.unwrap_or(1) as usize + 1
        } else {
            0
        }
    }

    /// Most tokens of an example.
    pub fn longest(&self) -> usize {
        self.max_position_embeddings
            .saturating_sub(self.first_position())
    }

    /// The class of `transformers` that loads the folder.
    pub fn architecture(&self) -> &'static str {
        match self.model_type.as_str() {
            "bert" => "BertForSequenceClassification",
            "roberta" => "RobertaForSequenceClassification",
            _ => "XLMRobertaForSequenceClassification",
        }
    }

    fn prefix(&self) -> &'static str {
        if self.is_roberta() { "roberta" } else { "bert" }
    }
}

/// How the encoder's output becomes one vector per text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The first token, through the dense layer that `transformers` has there.
    First,
    /// The mean of all tokens.
    Mean,
}

#[derive(Debug, Clone, Copy)]
struct Linear {
    weight: Slot,
    bias: Slot,
}

#[derive(Debug, Clone, Copy)]
struct Norm {
    gamma: Slot,
    beta: Slot,
}

#[derive(Debug, Clone, Copy)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: Norm,
    intermediate: Linear,
    output: Linear,
    output_norm: Norm,
}

/// The architecture: which tensor is used where.
#[derive(Debug, Clone)]
pub struct Bert {
    config: Config,
    pooling: Pooling,
    /// Number of frozen layers; `None`: the embeddings are trained too.
    frozen: Option<usize>,
    word: Slot,
    position: Slot,
    token_type: Slot,
    embedding_norm: Norm,
    layers: Vec<Layer>,
    pooler: Option<Linear>,
    classifier: Linear,
}

/// Seeds for the dropout of one forward pass.
pub struct DropoutSeeds {
    /// Replaces all rates of the configuration.
    pub rate: Option<f32>,
    next: u64,
}

impl DropoutSeeds {
    /// Seeds that follow from one seed.
    pub fn new(seed: u64, rate: Option<f32>) -> Self {
        Self { rate, next: seed }
    }

    fn next(&mut self, rate: f32) -> Option<Dropout> {
        // Weyl sequence: each use has a seed of its own, whatever the rates are.
        self.next = self.next.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let rate = self.rate.unwrap_or(rate);
        (rate > 0.0).then_some(Dropout {
            rate,
            seed: self.next,
        })
    }
}

/// Dropout is off without seeds.
type Seeds<'a> = Option<&'a mut DropoutSeeds>;

fn draw(seeds: &mut Seeds<'_>, rate: f32) -> Option<Dropout> {
    seeds.as_mut().and_then(|seeds| seeds.next(rate))
}

impl Bert {
    /// Takes the tensors of a model from a source, and makes those of the head that it does not hold.
    ///
    /// # Errors
    /// When a tensor of the encoder is missing or of another shape.
    pub fn load<E: Engine>(
        config: Config,
        outputs: usize,
        pooling: Pooling,
        frozen: Option<usize>,
        source: &mut Source<'_>,
        weights: &mut Weights<E>,
    ) -> Result<Self> {
        let layers = config.num_hidden_layers;
        if frozen.is_some_and(|frozen| frozen > layers) {
            return Err(PluginError::input(format!(
                "freeze_layers: found {}, expected at most {layers}, the model's layers",
                frozen.unwrap_or(0)
            )));
        }
        let (prefix, h, wide) = (
            config.prefix(),
            config.hidden_size,
            config.intermediate_size,
        );
        let mut at = |name: String, shape: &[usize], trainable: bool| {
            let data = source.take(&name, shape)?;
            weights.push(&name, shape, &data, trainable)
        };
        let train = frozen.is_none();
        let embedding = |part: &str| format!("{prefix}.embeddings.{part}");
        let word = at(
            embedding("word_embeddings.weight"),
            &[config.vocab_size, h],
            train,
        )?;
        let position = at(
            embedding("position_embeddings.weight"),
            &[config.max_position_embeddings, h],
            train,
        )?;
        let token_type = at(
            embedding("token_type_embeddings.weight"),
            &[config.type_vocab_size, h],
            train,
        )?;
        let embedding_norm = Norm {
            gamma: at(embedding("LayerNorm.weight"), &[h], train)?,
            beta: at(embedding("LayerNorm.bias"), &[h], train)?,
        };
        let mut stack = Vec::new();
        for index in 0..layers {
            let train = frozen.is_none_or(|frozen| index >= frozen);
            let name = |part: &str| format!("{prefix}.encoder.layer.{index}.{part}");
            let mut linear = |part: &str, rows: usize, columns: usize| {
                Ok::<_, PluginError>(Linear {
                    weight: at(name(&format!("{part}.weight")), &[rows, columns], train)?,
                    bias: at(name(&format!("{part}.bias")), &[rows], train)?,
                })
            };
            let query = linear("attention.self.query", h, h)?;
            let key = linear("attention.self.key", h, h)?;
            let value = linear("attention.self.value", h, h)?;
            let attention_output = linear("attention.output.dense", h, h)?;
            let intermediate = linear("intermediate.dense", wide, h)?;
            let output = linear("output.dense", h, wide)?;
            let mut norm = |part: &str| {
                Ok::<_, PluginError>(Norm {
                    gamma: at(name(&format!("{part}.LayerNorm.weight")), &[h], train)?,
                    beta: at(name(&format!("{part}.LayerNorm.bias")), &[h], train)?,
                })
            };
            let attention_norm = norm("attention.output")?;
            let output_norm = norm("output")?;
            stack.push(Layer {
                query,
                key,
                value,
                attention_output,
                attention_norm,
                intermediate,
                output,
                output_norm,
            });
        }
        let (dense, out) = match config.is_roberta() {
            true => ("classifier.dense".to_owned(), "classifier.out_proj"),
            false => (format!("{prefix}.pooler.dense"), "classifier"),
        };
        let mut head = |name: &str, rows: usize, columns: usize| {
            let range = config.initializer_range;
            let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
            let data = source.take_or_draw(&weight, &[rows, columns], range)?;
            let weight = weights.push(&weight, &[rows, columns], &data, true)?;
            let data = source.take_or_draw(&bias, &[rows], 0.0)?;
            Ok::<_, PluginError>(Linear {
                weight,
                bias: weights.push(&bias, &[rows], &data, true)?,
            })
        };
        let pooler = match pooling {
            Pooling::First => Some(head(&dense, h, h)?),
            Pooling::Mean => None,
        };
        let classifier = head(out, outputs, h)?;
        Ok(Self {
            config,
            pooling,
            frozen,
            word,
            position,
            token_type,
            embedding_norm,
            layers: stack,
            pooler,
            classifier,
        })
    }

    /// What `config.json` says.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether a part of the model is frozen, so that [`Bert::features`] can be cached.
    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// What comes out of the frozen part: `[tokens, hidden]`. A text's rows depend on that text alone, bit by bit.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn features<E: Engine>(
        &self,
        engine: &E,
        weights: &Weights<E>,
        batch: &Batch,
    ) -> Result<E::Tensor> {
        let mut x = self.embed(engine, weights, batch, &mut None)?;
        for layer in &self.layers[..self.frozen.unwrap_or(0)] {
            x = self.layer(engine, weights, layer, &x, batch, &mut None)?;
        }
        Ok(x)
    }

    /// Logits `[texts, outputs]`: from the features where a part is frozen, from the tokens where none is.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn logits<E: Engine>(
        &self,
        engine: &E,
        weights: &Weights<E>,
        batch: &Batch,
        features: Option<E::Tensor>,
        mut seeds: Seeds<'_>,
    ) -> Result<E::Tensor> {
        let mut x = match features {
            Some(features) => features,
            None => self.embed(engine, weights, batch, &mut seeds)?,
        };
        for layer in &self.layers[self.frozen.unwrap_or(0)..] {
            x = self.layer(engine, weights, layer, &x, batch, &mut seeds)?;
        }
        self.head(engine, weights, &x, batch, &mut seeds)
    }

    fn embed<E: Engine>(
        &self,
        engine: &E,
        weights: &Weights<E>,
        batch: &Batch,
        seeds: &mut Seeds<'_>,
    ) -> Result<E::Tensor> {
        let first = self.config.first_position() as u32;
        let positions: Arc<[u32]> = batch
            .lengths
            .iter()
            .flat_map(|&length| (0..length as u32).map(|i| i + first))
            .collect();
        let x = engine.embedding(weights.get(self.word), &batch.ids)?;
        let x = engine.add(
            &x,
            &engine.embedding(weights.get(self.position), &positions)?,
        )?;
        let x = engine.add(
            &x,
            &engine.embedding(weights.get(self.token_type), &batch.types)?,
        )?;
        let x = self.norm(engine, weights, self.embedding_norm, &x)?;
        match draw(seeds, self.config.hidden_dropout_prob) {
            Some(dropout) => engine.dropout(&x, dropout),
            None => Ok(x),
        }
    }

    fn layer<E: Engine>(
        &self,
        engine: &E,
        weights: &Weights<E>,
        layer: &Layer,
        x: &E::Tensor,
        batch: &Batch,
        seeds: &mut Seeds<'_>,
    ) -> Result<E::Tensor> {
        let linear = |linear: Linear, x: &E::Tensor| {
            engine.linear(x, weights.get(linear.weight), weights.get(linear.bias))
        };
        let heads = self.config.num_attention_heads;
        let rate = self.config.hidden_dropout_prob;
        let (q, k, v) = (
            linear(layer.query, x)?,
            linear(layer.key, x)?,
            linear(layer.value, x)?,
        );
        let dropout = draw(seeds, self.config.attention_probs_dropout_prob);
        let attended = engine.attention(&q, &k, &v, &batch.lengths, heads, dropout)?;
        let projected = linear(layer.attention_output, &attended)?;
        let sum = engine.add_dropout(&projected, x, draw(seeds, rate))?;
        let x = self.norm(engine, weights, layer.attention_norm, &sum)?;
        let wide = layer.intermediate;
        let wide = engine.linear_gelu(&x, weights.get(wide.weight), weights.get(wide.bias))?;
        let sum = engine.add_dropout(&linear(layer.output, &wide)?, &x, draw(seeds, rate))?;
        self.norm(engine, weights, layer.output_norm, &sum)
    }

    fn head<E: Engine>(
        &self,
        engine: &E,
        weights: &Weights<E>,
        x: &E::Tensor,
        batch: &Batch,
        seeds: &mut Seeds<'_>,
    ) -> Result<E::Tensor> {
        let rate = self
            .config
            .classifier_dropout
            .unwrap_or(self.config.hidden_dropout_prob);
        let drop = |x: E::Tensor, dropout: Option<Dropout>| match dropout {
            Some(dropout) => engine.dropout(&x, dropout),
            None => Ok(x),
        };
        let linear = |linear: Linear, x: &E::Tensor| {
            engine.linear(x, weights.get(linear.weight), weights.get(linear.bias))
        };
        let mut pooled = match self.pooling {
            Pooling::First => engine.embedding(x, &batch.firsts())?,
            Pooling::Mean => engine.sequence_mean(x, &batch.lengths)?,
        };
        if let Some(pooler) = self.pooler {
            // RoBERTa's head has a dropout on both sides of its dense layer, BERT's only behind it.
            if self.config.is_roberta() {
                pooled = drop(pooled, draw(seeds, rate))?;
            }
            pooled = engine.tanh(&linear(pooler, &pooled)?)?;
        }
        linear(self.classifier, &drop(pooled, draw(seeds, rate))?)
    }

    fn norm<E: Engine>(
        &self,
        engine: &E,
        weights: &Weights<E>,
        norm: Norm,
        x: &E::Tensor,
    ) -> Result<E::Tensor> {
        let epsilon = self.config.layer_norm_eps as f32;
        engine.layer_norm(x, weights.get(norm.gamma), weights.get(norm.beta), epsilon)
    }
}
