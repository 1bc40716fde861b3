//! Examples: read from files, mapped to columns, labelled, split.

mod duplicates;
mod labels;
mod read;
mod split;

use std::path::PathBuf;

use bomf_plugin_api::{Table, Values, column};
use serde::{Deserialize, Serialize};

use crate::config::document::{Document, child};
use crate::config::schema::nearest;
use crate::config::{DataConfig, Duplicates, FileConfig, Format, LabelConfig, TaskConfig};
use crate::diagnostics::{Failure, Failures};

/// A file that a `path:` stands for, with what is known of it beforehand.
#[derive(Debug, Clone, Default)]
pub struct ResolvedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its format, if it cannot be guessed from the ending.
    pub format: Option<Format>,
    /// Its encoding.
    pub encoding: Option<&'static str>,
    /// Names of its columns, if it has no header.
    pub columns: Option<&'static [&'static str]>,
}

/// The three splits of a run.
pub struct Splits {
    /// What is trained on; no rows where nothing is trained.
    pub train: Table<'static>,
    /// What every search looks at.
    pub validation: Table<'static>,
    /// What nothing looks at until the end.
    pub test: Table<'static>,
    /// What the report says of them.
    pub facts: DataFacts,
}

/// What the report says of the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFacts {
    /// Rows of train, validation and test.
    pub rows: [usize; 3],
    /// Rows of each label in train, validation and test; empty for a regression.
    pub labels: Vec<[usize; 3]>,
    /// Texts of one split that stand in another too: `train/validation`, `train/test`, `validation/test`.
    pub duplicates: [usize; 3],
    /// Whether duplicates were left out.
    pub dropped: bool,
    /// BLAKE3 of the texts and labels of all splits, in order.
    pub digest: String,
}

/// Reads, labels and splits.
///
/// `resolve` turns a `path:` into a file. A training split is only needed where something `trains`.
///
/// # Errors
/// What is wrong with the files, all at once as far as they can be read.
pub fn load(
    config: &DataConfig,
    task: &TaskConfig,
    document: &Document,
    resolve: &dyn Fn(&str) -> Result<ResolvedFile, Failure>,
    seed: u64,
    trains: bool,
) -> Result<Splits, Failures> {
    let mut splits = match &config.source {
        Some(source) => {
            let whole = file("data.source", source, task, document, resolve)?;
            let settings = config.split.clone().unwrap_or_else(split::default);
            split::split(&whole, &settings, seed, trains)
                .map_err(|message| document.problem("data.split", "data::split", message))?
        }
        None => {
            let mut problems = Vec::new();
            let mut tables = Vec::new();
            for (name, file_config) in [
                ("train", &config.train),
                ("validation", &config.validation),
                ("test", &config.test),
            ] {
                let at = child("data", name);
                // The configuration was checked: what is missing is the training split, and is not needed.
                let Some(file_config) = file_config else {
                    continue;
                };
                match file(&at, file_config, task, document, resolve) {
                    Ok(table) => tables.push(table),
                    Err(failure) => problems.push(failure),
                }
            }
            if !problems.is_empty() {
                return Err(Failures(problems));
            }
            if config.train.is_none() {
                tables.insert(0, tables[0].take(&[]));
            }
            <[Table<'static>; 3]>::try_from(tables).expect("all three were read, or made above")
        }
    };
    let counts = duplicates::count(&splits);
    let dropped = config.duplicates == Duplicates::Drop;
    duplicates::warn(&splits, &counts, dropped);
    if dropped {
        splits = duplicates::drop(splits);
    }
    for (name, table) in ["train", "validation", "test"].iter().zip(&splits) {
        if table.rows() == 0 && (trains || *name != "train") {
            return Err(document
                .problem(
                    "data",
                    "data::empty",
                    format!("found no row for `{name}`, expected some"),
                )
                .into());
        }
    }
    let [train, validation, test] = splits;
    let facts = facts([&train, &validation, &test], task, counts, dropped);
    Ok(Splits {
        train,
        validation,
        test,
        facts,
    })
}

/// One file as a table with the columns that models and metrics know.
fn file(
    at: &str,
    config: &FileConfig,
    task: &TaskConfig,
    document: &Document,
    resolve: &dyn Fn(&str) -> Result<ResolvedFile, Failure>,
) -> Result<Table<'static>, Failure> {
    let path_at = child(at, "path");
    let place = |failure: Failure| Failure {
        // The position in the configuration, and what is wrong with the file.
        hint: failure.hint.clone(),
        ..document.problem(
            &path_at,
            failure.code,
            format!("{}: {}", failure.place, failure.message),
        )
    };
    let resolved = resolve(&config.path).map_err(place)?;
    let frame = read::read(&resolved, config).map_err(place)?;
    let column_at = |key: &str, name: &str| {
        frame.column(name).ok_or_else(|| {
            let known: Vec<&str> = frame.names.iter().map(String::as_str).collect();
            let failure = document.problem(
                &child(at, key),
                "data::column",
                format!("found no column `{name}` in {}", resolved.path.display()),
            );
            failure.hint(match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it has `{}`", known.join("`, `")),
            })
        })
    };
    let fields = &config.fields;
    let texts = column_at("fields.text", &fields.text)?;
    if let Some(row) = texts.iter().position(|text| text.trim().is_empty()) {
        let message = format!(
            "{}: row {}: found an empty text",
            resolved.path.display(),
            frame.row_number(row)
        );
        return Err(document.problem(&path_at, "data::text", message));
    }
    let fault =
        |error: bomf_plugin_api::PluginError| document.problem(at, "data::table", error.message);
    let mut table = Table::new(frame.rows())
        .with_texts(column::TEXT, texts)
        .map_err(fault)?;
    for (key, name, field) in [
        ("fields.text_pair", column::TEXT_PAIR, &fields.text_pair),
        ("fields.id", column::ID, &fields.id),
        ("fields.group", column::GROUP, &fields.group),
    ] {
        if let Some(field) = field {
            table = table
                .with_texts(name, column_at(key, field)?)
                .map_err(fault)?;
        }
    }
    let numbered = |(row, what): (usize, String), key: &str| {
        let message = format!(
            "{}: row {}: {what}",
            resolved.path.display(),
            frame.row_number(row)
        );
        document.problem(&child(at, key), "data::label", message)
    };
    match (task, &config.fields.label, &config.fields.value) {
        (TaskConfig::Classification { labels }, Some(LabelConfig::Column(name)), _) => {
            let found = labels::named(column_at("fields.label", name)?, labels)
                .map_err(|e| numbered(e, "fields.label"))?;
            table.with_integers(column::LABEL, found).map_err(fault)
        }
        (TaskConfig::Classification { .. }, Some(LabelConfig::Cut(cut)), _) => {
            let values = column_at("fields.label.field", &cut.field)?;
            let (rows, found) =
                labels::cut(values, cut).map_err(|e| numbered(e, "fields.label"))?;
            table
                .take(&rows)
                .with_integers(column::LABEL, found)
                .map_err(fault)
        }
        (_, _, Some(name)) => {
            let found = labels::numbers(column_at("fields.value", name)?)
                .map_err(|e| numbered(e, "fields.value"))?;
            table.with_numbers(column::VALUE, found).map_err(fault)
        }
        _ => Err(document.problem(
            at,
            "data::label",
            "found neither `label` nor `value`, expected one of them",
        )),
    }
}

fn facts(
    splits: [&Table<'static>; 3],
    task: &TaskConfig,
    duplicates: [usize; 3],
    dropped: bool,
) -> DataFacts {
    let labels = match task {
        TaskConfig::Classification { labels } => (0..labels.len() as i64)
            .map(|label| {
                splits.map(|table| {
                    let found = table.integers(column::LABEL).unwrap_or_default();
                    found.iter().filter(|other| **other == label).count()
                })
            })
            .collect(),
        TaskConfig::Regression {} => Vec::new(),
    };
    let mut hasher = blake3::Hasher::new();
    for table in splits {
        hasher.update(&table.rows().to_le_bytes());
        for column in table.columns() {
            hasher.update(column.name().as_bytes());
            match column.values() {
                Values::Texts { ends, bytes } => {
                    hasher.update(bytes.as_bytes());
                    ends.iter().for_each(|end| {
                        hasher.update(&end.to_le_bytes());
                    });
                }
                Values::Integers(values) => values.iter().for_each(|x| {
                    hasher.update(&x.to_le_bytes());
                }),
                Values::Numbers(values) => values.iter().for_each(|x| {
                    hasher.update(&x.to_le_bytes());
                }),
                _ => {}
            }
        }
    }
    let digest = format!("blake3:{}", hasher.finalize().to_hex());
    DataFacts {
        rows: splits.map(Table::rows),
        labels,
        duplicates,
        dropped,
        digest,
    }
}
