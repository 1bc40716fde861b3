//! Logits, losses and the gradient of every tensor equal those of `transformers`, and what follows from there.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use bomf_plugin_api::{
    Context, Dtype, Model, ModelSpec, Table, Task, TensorMut, TensorSpec, column,
};
use safetensors::SafeTensors;
use serde_json::Value;

const LOGITS: f64 = 1e-4;
const LOSS: f64 = 1e-5;
const GRADIENT: f64 = 1e-3;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/goldens")
        .join(name)
}

struct Golden {
    folder: PathBuf,
    json: Value,
    task: Task,
}

fn golden(name: &str) -> Golden {
    let folder = folder(name);
    let json: Value =
        serde_json::from_slice(&std::fs::read(folder.join("golden.json")).unwrap()).unwrap();
    let outputs = json["logits"][0].as_array().unwrap().len();
    let task = match outputs {
        1 => Task::Regression,
        _ => Task::Classification {
            labels: (0..outputs).map(|i| format!("l{i}")).collect(),
        },
    };
    Golden { folder, json, task }
}

fn texts(value: &Value) -> Vec<String> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

impl Golden {
    fn table(&self) -> Table<'static> {
        let lines = texts(&self.json["texts"]);
        let table = Table::new(lines.len())
            .with_texts(column::TEXT, lines)
            .unwrap();
        let table = match &self.json["pairs"] {
            Value::Null => table,
            pairs => table.with_texts(column::TEXT_PAIR, texts(pairs)).unwrap(),
        };
        let targets = self.json["targets"].as_array().unwrap();
        match self.task {
            Task::Regression => {
                let values: Vec<f64> = targets.iter().map(|t| t.as_f64().unwrap()).collect();
                table.with_numbers(column::VALUE, values).unwrap()
            }
            _ => {
                let labels: Vec<i64> = targets.iter().map(|t| t.as_i64().unwrap()).collect();
                table.with_integers(column::LABEL, labels).unwrap()
            }
        }
    }

    fn open(&self, frozen: Option<u32>, options: &str) -> Box<dyn Model> {
        let spec = ModelSpec::new(&self.folder, self.task.clone(), 1).with_frozen_layers(frozen);
        let backend = model_candle::library()
            .make_model("candle", options, &Context::new(2, 1))
            .unwrap();
        let mut model = backend.open(&spec).unwrap();
        model.add_split("x", &self.table()).unwrap();
        model
    }

    fn check_predictions(&self, model: &mut dyn Model) {
        let predictions = model.predict("x").unwrap();
        let loss = self.json["loss"].as_f64().unwrap();
        assert!(
            (predictions.mean_loss.unwrap() - loss).abs() <= LOSS,
            "{:?}, expected {loss}",
            predictions.mean_loss
        );
        for (row, expected) in self.json["logits"].as_array().unwrap().iter().enumerate() {
            let expected: Vec<f64> = expected
                .as_array()
                .unwrap()
                .iter()
                .map(|x| x.as_f64().unwrap())
                .collect();
            let found = match self.task {
                Task::Regression => predictions
                    .table
                    .column(column::PREDICTED_VALUE)
                    .unwrap()
                    .numbers(row)
                    .to_vec(),
                // Probabilities tell logits up to a constant.
                _ => {
                    let scores = predictions
                        .table
                        .column(column::PREDICTED_SCORES)
                        .unwrap()
                        .numbers(row);
                    let shift = expected[0] - scores[0].ln();
                    scores.iter().map(|p| p.ln() + shift).collect()
                }
            };
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() <= LOGITS,
                    "row {row}: {found}, expected {expected}"
                );
            }
        }
    }

    /// Compares the gradients of all trainable tensors; returns how many there are.
    fn check_gradients(&self, model: &mut dyn Model) -> usize {
        let rows: Vec<u64> = (0..self.table().rows() as u64).collect();
        let loss = model.gradient("x", &rows).unwrap();
        assert!((loss - self.json["loss"].as_f64().unwrap()).abs() <= LOSS);
        let bytes = std::fs::read(self.folder.join("gradients.safetensors")).unwrap();
        let expected = SafeTensors::deserialize(&bytes).unwrap();
        let trainable = model.trainable();
        for spec in &trainable {
            let found = gradient(model, spec);
            let (words, _) = expected.tensor(&spec.name).unwrap().data().as_chunks::<4>();
            let expected: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
            let scale = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
            // The gradient of the keys' biases is zero but for rounding: softmax does not see them.
            let allowed = GRADIENT * f64::from(scale) + 1e-6;
            for (found, expected) in found.iter().zip(&expected) {
                let off = f64::from((found - expected).abs());
                assert!(
                    off <= allowed,
                    "{}: {found}, expected {expected}",
                    spec.name
                );
            }
        }
        trainable.len()
    }
}

fn gradient(model: &dyn Model, spec: &TensorSpec) -> Vec<f32> {
    let mut bytes = vec![0; spec.bytes().unwrap()];
    model
        .read_gradient(&mut [TensorMut::new(spec.clone(), &mut bytes).unwrap()])
        .unwrap();
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&word| f32::from_le_bytes(word))
        .collect()
}

#[test]
fn predictions_equal_those_of_transformers() {
    for name in ["bert-pairs", "roberta", "bert-regression"] {
        let golden = golden(name);
        golden.check_predictions(&mut *golden.open(None, "{}"));
    }
}

#[test]
fn the_gradient_of_every_tensor_equals_that_of_transformers() {
    for name in ["bert-pairs", "roberta", "bert-regression"] {
        let golden = golden(name);
        let mut model = golden.open(None, "{}");
        let compared = golden.check_gradients(&mut *model);
        let bytes = std::fs::read(golden.folder.join("gradients.safetensors")).unwrap();
        assert_eq!(
            compared,
            SafeTensors::deserialize(&bytes).unwrap().len(),
            "{name}: all tensors are trained"
        );
    }
}

#[test]
fn freezing_changes_nothing_but_what_is_trained() {
    for name in ["bert-pairs", "roberta", "bert-regression"] {
        let golden = golden(name);
        let mut sizes = Vec::new();
        for layers in [0, 1, 2] {
            let mut model = golden.open(Some(layers), "{}");
            golden.check_predictions(&mut *model);
            sizes.push(golden.check_gradients(&mut *model));
            assert!(
                model
                    .trainable()
                    .iter()
                    .all(|spec| !spec.name.contains("embeddings"))
            );
        }
        assert!(
            sizes[0] > sizes[1] && sizes[1] > sizes[2] && sizes[2] == 4,
            "{sizes:?}"
        );
        let spec =
            ModelSpec::new(&golden.folder, golden.task.clone(), 1).with_frozen_layers(Some(3));
        let backend = model_candle::library()
            .make_model("candle", "{}", &Context::new(1, 1))
            .unwrap();
        assert!(
            backend
                .open(&spec)
                .err()
                .unwrap()
                .message
                .contains("at most 2")
        );
    }
}

#[test]
fn exported_tensors_are_those_that_were_opened() {
    let golden = golden("bert-pairs");
    let export = golden.open(Some(1), "{}").export().unwrap();
    let bytes = std::fs::read(golden.folder.join("model.safetensors")).unwrap();
    let original = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(export.tensors.len(), original.len());
    for tensor in &export.tensors {
        assert_eq!(tensor.spec().dtype, Dtype::F32);
        assert_eq!(
            &**tensor.data(),
            original.tensor(&tensor.spec().name).unwrap().data(),
            "{}",
            tensor.spec().name
        );
    }
    let names: Vec<&str> = export.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["config.json", "tokenizer.json"]);
    let config: Value = serde_json::from_slice(&export.files[0].1).unwrap();
    assert_eq!(config["architectures"][0], "BertForSequenceClassification");
    assert_eq!(config["id2label"]["1"], "l1");
}
