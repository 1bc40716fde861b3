//! One model, looked at from this side: `peer MODEL_FOLDER OUT_FOLDER`. The comparison with PyTorch uses it.
//!
//! Reads lines `label<TAB>text` from standard input; makes in the new folder OUT_FOLDER the model as it was opened (with a
//! fresh head where the model has none) and `gradients.safetensors`, the gradient of the mean loss of all lines; prints the
//! class probabilities and that loss as JSON.

use std::path::Path;

use bomf_plugin_api::{
    Context, Dtype, ModelSpec, Table, Task, Tensor, TensorMut, TensorSpec, column,
};
use safetensors::tensor::TensorView;
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, out] = &arguments[..] else {
        return Err("expected MODEL_FOLDER OUT_FOLDER".into());
    };
    let (mut texts, mut labels) = (Vec::new(), Vec::new());
    for line in std::io::stdin().lines() {
        let line = line?;
        let (label, text) = line.split_once('\t').ok_or("expected label<TAB>text")?;
        labels.push(label.parse::<i64>()?);
        texts.push(text.to_owned());
    }
    let task = Task::Classification {
        labels: vec!["negative".to_owned(), "positive".to_owned()],
    };
    let mut model = model_candle::library()
        .make_model("candle", "{}", &Context::new(2, 0))?
        .open(&ModelSpec::new(folder, task, 0))?;
    let table = Table::new(texts.len())
        .with_texts(column::TEXT, &texts)?
        .with_integers(column::LABEL, labels)?;
    model.add_split("lines", &table)?;

    let predictions = model.predict("lines")?;
    let scores = predictions.table.column(column::PREDICTED_SCORES)?;
    let rows: Vec<&[f64]> = (0..texts.len()).map(|row| scores.numbers(row)).collect();

    let all: Vec<u64> = (0..texts.len() as u64).collect();
    let loss = model.gradient("lines", &all)?;
    let specs: Vec<TensorSpec> = model.trainable();
    let mut buffers: Vec<Vec<u8>> = Vec::new();
    for spec in &specs {
        let spec = TensorSpec {
            dtype: Dtype::F32,
            ..spec.clone()
        };
        let mut buffer = vec![0; spec.bytes().ok_or("a tensor too large")?];
        model.read_gradient(&mut [TensorMut::new(spec, &mut buffer)?])?;
        buffers.push(buffer);
    }

    let out = Path::new(out);
    std::fs::create_dir(out)?;
    let export = model.export()?;
    for (name, contents) in &export.files {
        std::fs::write(out.join(name), contents)?;
    }
    write(
        &out.join("model.safetensors"),
        export.tensors.iter().map(view),
    )?;
    let gradients = specs.iter().zip(&buffers).map(|(spec, buffer)| {
        let view = TensorView::new(safetensors::Dtype::F32, spec.shape.clone(), buffer)?;
        Ok((spec.name.clone(), view))
    });
    write(&out.join("gradients.safetensors"), gradients)?;
    println!("{}", json!({"probabilities": rows, "loss": loss}));
    Ok(())
}

fn view(tensor: &Tensor) -> Result<(String, TensorView<'_>)> {
    let spec = tensor.spec();
    let dtype = match spec.dtype {
        Dtype::F32 => safetensors::Dtype::F32,
        Dtype::I64 => safetensors::Dtype::I64,
        other => return Err(format!("{}: found {other}, expected F32 or I64", spec.name).into()),
    };
    let view = TensorView::new(dtype, spec.shape.clone(), tensor.data())?;
    Ok((spec.name.clone(), view))
}

fn write<'a>(
    path: &Path,
    tensors: impl Iterator<Item = Result<(String, TensorView<'a>)>>,
) -> Result<()> {
    let tensors = tensors.collect::<Result<Vec<_>>>()?;
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    Ok(safetensors::serialize_to_file(
        tensors,
        Some(metadata),
        path,
    )?)
}
