//! Model backend on candle: BERT, MiniLM and RoBERTa encoders, fine-tuned and evaluated on the CPU.

mod attention;
mod checkpoint;
mod engine;
mod kernels;
mod matmul;
mod numeric;
mod op;
mod simd;

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Model, ModelBackend, ModelSpec, Result, export_plugin,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use transformer::{Settings, TextModel};

pub use engine::Candle;

/// Options of the backend.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Longest text in tokens; what is longer is cut. At most what the model can take.
    #[schemars(range(min = 2, max = 65536))]
    pub max_length: usize,
    /// How the tokens of a text become one vector.
    pub pooling: Pooling,
    /// Most memory (MiB) for the outputs of frozen layers of one split; beyond it they are computed anew each time.
    #[schemars(range(min = 0, max = 1_048_576))]
    pub cache_mib: usize,
}

/// How the tokens of a text become one vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The first token through a dense layer, as `transformers` has it: the fused folder loads there with the same logits.
    #[default]
    First,
    /// The mean of all tokens. `transformers` has no such head: its classes do not reproduce the logits.
    Mean,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_length: 128,
            pooling: Pooling::First,
            cache_mib: 1024,
        }
    }
}

/// The backend.
pub struct Backend {
    options: Options,
    threads: usize,
}

impl Component for Backend {
    type Options = Options;

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Model,
            "candle",
            "BERT and RoBERTa encoders on candle, classification and regression, CPU",
        )
    }

    fn new(options: Options, context: &Context) -> Result<Self> {
        Ok(Self {
            options,
            threads: context.threads,
        })
    }
}

impl ModelBackend for Backend {
    fn open(&self, spec: &ModelSpec) -> Result<Box<dyn Model>> {
        let engine = Candle::new(self.threads)?;
        let tensors = checkpoint::open(&spec.folder)?;
        let settings = Settings {
            longest: self.options.max_length,
            pooling: match self.options.pooling {
                Pooling::First => transformer::Pooling::First,
                Pooling::Mean => transformer::Pooling::Mean,
            },
            cache_bytes: self.options.cache_mib << 20,
        };
        Ok(Box::new(TextModel::open(engine, spec, settings, &tensors)?))
    }
}

export_plugin!(model: Backend);
