//! The suite that every model backend has to pass, on small random models.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use bomf_plugin_api::testkit::model::{Subject, conformance};
use bomf_plugin_api::{Context, Hyperparameters, ModelSpec, Table, Task, column};

fn subject(name: &str, frozen: Option<u32>) -> Subject {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/goldens")
        .join(name);
    let labels = (0..3).map(|i| format!("l{i}")).collect();
    let texts = [
        "w1 w2 w3",
        "w4",
        "w5 w6 w7 w8 w9",
        "w10 w11",
        "w3 w3 w3 w1",
        "w30",
        "w20 w21",
        "w0 w9 w8 w7",
    ];
    let examples = Table::new(texts.len())
        .with_texts(column::TEXT, texts)
        .and_then(|table| table.with_integers(column::LABEL, vec![0, 1, 2, 0, 1, 2, 0, 1]))
        .unwrap();
    Subject {
        spec: ModelSpec::new(folder, Task::Classification { labels }, 5).with_frozen_layers(frozen),
        examples,
        hyperparameters: Hyperparameters {
            batch_size: 3,
            learning_rate: 1e-3,
            ..Hyperparameters::default()
        },
    }
}

fn run(frozen: Option<u32>, options: &str) {
    let backend = model_candle::library()
        .make_model("candle", options, &Context::new(2, 5))
        .unwrap();
    for name in ["bert-pairs", "roberta"] {
        conformance(&*backend, &subject(name, frozen));
    }
}

#[test]
fn conforms_with_everything_trained() {
    run(None, "{}");
}

#[test]
fn conforms_with_frozen_layers_and_cached_features() {
    run(Some(1), "{}");
}

#[test]
fn conforms_with_frozen_layers_computed_anew() {
    run(Some(1), r#"{"cache_mib": 0}"#);
}

/// The features of frozen layers may come from the cache or be computed anew: no bit of a training differs.
#[test]
fn cached_and_uncached_trainings_are_equal_bit_by_bit() {
    let weights: Vec<Vec<Vec<f32>>> = ["{}", r#"{"cache_mib": 0}"#]
        .map(|options| {
            let subject = subject("bert-pairs", Some(1));
            let backend = model_candle::library()
                .make_model("candle", options, &Context::new(2, 5))
                .unwrap();
            let mut model = backend.open(&subject.spec).unwrap();
            model.add_split("x", &subject.examples).unwrap();
            let spec = bomf_plugin_api::TrainingSpec::new("x", 4.0, 9, subject.hyperparameters);
            let mut training = model.begin_training(&spec).unwrap();
            training.advance(100).unwrap();
            let state = training.save().unwrap();
            state
                .tensors
                .iter()
                .map(|tensor| tensor.to_f32().unwrap())
                .collect()
        })
        .into();
    assert!(weights[0] == weights[1]);
}
