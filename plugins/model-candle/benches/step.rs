//! Time of a training step and a forward pass.
//!
//!     cargo bench -p model-candle --bench step -- MODEL_FOLDER [THREADS]
//!
//! Prints one JSON object per line: batch, tokens per text, frozen layers, milliseconds (best of several). The comparison
//! `pytorch` of `cargo xtask peers` does the same with PyTorch and `transformers`, and puts both side by side.

use std::time::Instant;

use bomf_plugin_api::{Context, Hyperparameters, ModelSpec, Table, Task, TrainingSpec, column};

const BATCH: usize = 16;
const ROUNDS: usize = 8;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let Some(folder) = arguments.first() else {
        eprintln!(
            "name a model folder: cargo bench -p model-candle --bench step -- MODEL_FOLDER [THREADS]"
        );
        return;
    };
    let threads = arguments
        .get(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(2);
    for (tokens, frozen) in [(128, None), (128, Some(3)), (28, None), (28, Some(3))] {
        measure(folder, threads, tokens, frozen);
    }
}

fn measure(folder: &str, threads: usize, tokens: usize, frozen: Option<u32>) {
    let labels = vec!["negative".to_owned(), "positive".to_owned()];
    let spec =
        ModelSpec::new(folder, Task::Classification { labels }, 1).with_frozen_layers(frozen);
    let backend = model_candle::library().make_model("candle", "{}", &Context::new(threads, 1));
    let mut model = backend
        .and_then(|backend| backend.open(&spec))
        .expect("a model");
    // One token per word, and one at either end.
    let text = vec!["film"; tokens - 2].join(" ");
    let examples = Table::new(BATCH)
        .with_texts(column::TEXT, vec![text; BATCH])
        .and_then(|table| table.with_integers(column::LABEL, vec![1; BATCH]))
        .expect("a table");
    model.add_split("train", &examples).expect("a split");
    let settings = Hyperparameters {
        batch_size: BATCH as u64,
        ..Hyperparameters::default()
    };
    let mut training = model
        .begin_training(&TrainingSpec::new("train", 1000.0, 1, settings))
        .expect("a training");
    let step = best(|| {
        training.advance(1).expect("a step");
    });
    let forward = best(|| {
        model.predict("train").expect("predictions");
    });
    println!(
        r#"{{"engine": "candle", "batch": {BATCH}, "tokens": {tokens}, "frozen": {}, "threads": {threads}, "step_ms": {step:.1}, "forward_ms": {forward:.1}}}"#,
        frozen.unwrap_or(0)
    );
}

/// Milliseconds of the fastest round.
fn best(mut work: impl FnMut()) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e3
        })
        .fold(f64::INFINITY, f64::min)
}
