//! Class probabilities of the texts on standard input, one per line, as JSON: `probabilities MODEL_FOLDER`.
//!
//! The comparison with PyTorch uses it to look at the same model from this side.

use bomf_plugin_api::{Context, ModelSpec, Table, Task, column};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name a model folder")?;
    let texts = std::io::stdin().lines().collect::<Result<Vec<_>, _>>()?;
    let labels = vec!["negative".to_owned(), "positive".to_owned()];
    let spec = ModelSpec::new(folder, Task::Classification { labels }, 0);
    let mut model = model_candle::library()
        .make_model("candle", "{}", &Context::new(2, 0))?
        .open(&spec)?;
    model.add_split(
        "texts",
        &Table::new(texts.len()).with_texts(column::TEXT, &texts)?,
    )?;
    let predictions = model.predict("texts")?;
    let scores = predictions.table.column(column::PREDICTED_SCORES)?;
    let rows: Vec<&[f64]> = (0..texts.len()).map(|row| scores.numbers(row)).collect();
    println!("{}", serde_json::to_string(&rows)?);
    Ok(())
}
