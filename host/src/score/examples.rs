//! Reads examples line by line straight into columns: the file is never in memory as JSON.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use bomf_plugin_api::{PluginError, Table, column};

use super::columns::{Numbers, Texts};
use super::labels::LabelNames;
use super::record::{Fault, Record, Scalar, parse};
use crate::diagnostics::Failure;
use crate::progress::Progress;

/// Longer lines are no examples.
const LONGEST: u64 = 1 << 28;

/// So many of the lines passed over are described.
const DESCRIBED: usize = 3;

/// The key of groups where `--group` names none.
const GROUP: &str = "group";

/// Where examples with predictions stand.
#[derive(Debug, Clone, Copy)]
pub struct ExampleFile<'a> {
    /// The file; `-` is standard input.
    pub path: &'a Path,
    /// Names of the labels, in the order of their indices; none: all that occur, sorted.
    pub labels: &'a [String],
    /// Key that says which group an example is of.
    pub group: Option<&'a str>,
    /// Whether lines that cannot be read are passed over.
    pub skip_bad: bool,
}

/// What was read.
pub struct Examples {
    /// One row per example.
    pub table: Table<'static>,
    /// Lines that were passed over, since they cannot be read.
    pub skipped: usize,
    /// Names of the labels in the order of their indices; empty where lines have indices.
    pub labels: Vec<String>,
}

/// Reads a file or standard input.
///
/// # Errors
/// The first line that cannot be read, unless such lines are passed over.
pub fn read(from: &ExampleFile<'_>, progress: &Progress) -> Result<Examples, Failure> {
    let path = from.path;
    let place = match path.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => path.display().to_string(),
    };
    let unreadable = |error: io::Error| Failure::input("score::file", &place, error.to_string());
    let file: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(path).map_err(unreadable)?),
    };
    let mut lines = Lines::new(BufReader::with_capacity(1 << 20, file));
    let mut rows = Rows::new(from);
    let mut skipped = 0;
    while let Some(line) = lines.next().map_err(unreadable)? {
        let read = line.and_then(|line| rows.push(line));
        let Err(fault) = read else { continue };
        let failure = fault_at(&place, lines.number, fault);
        if !from.skip_bad {
            return Err(failure.hint("`--skip-bad` passes over lines that cannot be read"));
        }
        skipped += 1;
        if skipped <= DESCRIBED {
            progress.insist(&format!(
                "passed over {}: {}",
                failure.place, failure.message
            ));
        }
    }
    if skipped > 0 {
        progress.insist(&format!(
            "passed over {skipped} of {} lines of {place}",
            skipped + rows.count
        ));
    }
    if rows.count == 0 {
        let message = "found no example, expected one JSON object per line";
        return Err(Failure::input("score::empty", place, message));
    }
    let (table, labels) = rows
        .finish()
        .map_err(|error| Failure::input("score::examples", place, error.message))?;
    Ok(Examples {
        table,
        skipped,
        labels,
    })
}

fn fault_at(place: &str, line: usize, fault: Fault) -> Failure {
    let place = match fault.column {
        Some(column) => format!("{place}:{line}:{column}"),
        None => format!("{place}:{line}"),
    };
    Failure::input("score::line", place, fault.message)
}

/// Lines that are not blank, one at a time in the same memory.
struct Lines<R> {
    from: R,
    buffer: Vec<u8>,
    /// Number of the line that was read last, from 1.
    number: usize,
}

impl<R: BufRead> Lines<R> {
    fn new(from: R) -> Self {
        Self {
            from,
            buffer: Vec::new(),
            number: 0,
        }
    }

    /// The next line without its end; inside, what is wrong with the line as such.
    fn next(&mut self) -> io::Result<Option<Result<&[u8], Fault>>> {
        loop {
            self.buffer.clear();
            let length = (&mut self.from)
                .take(LONGEST)
                .read_until(b'\n', &mut self.buffer)?;
            if length == 0 {
                return Ok(None);
            }
            self.number += 1;
            if length as u64 == LONGEST && self.buffer.last() != Some(&b'\n') {
                self.from.skip_until(b'\n')?;
                let message =
                    format!("found more than {LONGEST} bytes, expected one example per line");
                return Ok(Some(Err(Fault {
                    column: None,
                    message,
                })));
            }
            if self.number == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
                self.buffer.drain(..3);
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        Ok(Some(Ok(self.buffer.trim_ascii_end())))
    }
}

/// What `prediction` is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    References,
    Labels,
    Value,
    Nothing,
}

/// The rows read so far, column by column.
struct Rows {
    /// The key that says which group an example is of.
    group_key: String,
    /// Which keys the first row has; all others have the same.
    keys: Option<[(&'static str, bool); 12]>,
    truth: Truth,
    count: usize,
    names: LabelNames,
    input: Texts,
    id: Texts,
    group: Texts,
    references: Texts,
    predicted_text: Texts,
    label: Numbers<i64>,
    predicted_label: Numbers<i64>,
    value: Numbers<f64>,
    predicted_value: Numbers<f64>,
    scores: Numbers<f64>,
    no_answer_probability: Numbers<f64>,
    loss: Numbers<f64>,
    tokens: Numbers<i64>,
    right_tokens: Numbers<i64>,
}

impl Rows {
    fn new(from: &ExampleFile<'_>) -> Self {
        Self {
            group_key: from.group.unwrap_or(GROUP).to_owned(),
            keys: None,
            truth: Truth::Nothing,
            count: 0,
            names: LabelNames::new(from.labels),
            input: Texts::default(),
            id: Texts::default(),
            group: Texts::default(),
            references: Texts::default(),
            predicted_text: Texts::default(),
            label: Numbers::default(),
            predicted_label: Numbers::default(),
            value: Numbers::default(),
            predicted_value: Numbers::default(),
            scores: Numbers::default(),
            no_answer_probability: Numbers::default(),
            loss: Numbers::default(),
            tokens: Numbers::default(),
            right_tokens: Numbers::default(),
        }
    }

    /// Adds a line, or nothing of it.
    fn push(&mut self, line: &[u8]) -> Result<(), Fault> {
        // 1. Everything that can be wrong with it.
        let group_key = self.group_key.clone();
        let record = parse(line, &group_key)?;
        let fault = |message| Fault {
            column: None,
            message,
        };
        let keys = keys(&record);
        let truth = match &self.keys {
            None => truth(&record, &group_key).map_err(fault)?,
            Some(first) => same_keys(first, &keys)
                .map(|()| self.truth)
                .map_err(fault)?,
        };
        self.check(truth, &record).map_err(fault)?;

        // 2. From here on nothing fails, so that no column grows without the others.
        (self.keys, self.truth) = (Some(keys), truth);
        self.count += 1;
        self.push_prediction(record.prediction);
        if let Some(input) = record.input {
            self.input.push([input]);
        }
        for (column, scalar) in [(&mut self.id, record.id), (&mut self.group, record.group)] {
            if let Some(scalar) = scalar {
                column.push([scalar.into_text()]);
            }
        }
        if let Some(references) = record.references {
            self.references
                .push(references.into_iter().map(|text| text.0));
        }
        if let Some(labels) = record.labels {
            let indices = labels.iter().map(|label| self.names.index(label));
            self.label.push(indices);
        }
        if let Some(scores) = record.scores {
            self.scores.push(scores);
        }
        for (column, number) in [
            (&mut self.value, record.value),
            (
                &mut self.no_answer_probability,
                record.no_answer_probability,
            ),
            (&mut self.loss, record.loss),
        ] {
            if let Some(number) = number {
                column.push([number]);
            }
        }
        for (column, count) in [
            (&mut self.tokens, record.tokens),
            (&mut self.right_tokens, record.right_tokens),
        ] {
            if let Some(count) = count {
                column.push([count]);
            }
        }
        Ok(())
    }

    /// Whether the prediction is of the kind that the truth asks for, and labels are of one kind.
    fn check(&self, truth: Truth, record: &Record<'_>) -> Result<(), String> {
        let wrong = |found: &Scalar<'_>, beside: &str, expected: &str| {
            Err(format!(
                "`prediction`: found {found} {beside}, expected {expected}"
            ))
        };
        match (truth, &record.prediction) {
            (Truth::Labels, Some(label)) => {
                self.names
                    .check(label)
                    .map_err(|what| format!("`prediction`: {what}"))?;
            }
            (Truth::Value, Some(text @ Scalar::Text(_))) => {
                wrong(text, "beside `value`", "a number")?
            }
            (Truth::References, Some(number @ (Scalar::Integer(_) | Scalar::Number(_)))) => {
                wrong(number, "beside `references`", "a text")?;
            }
            (Truth::Nothing, Some(number @ (Scalar::Integer(_) | Scalar::Number(_)))) => {
                wrong(
                    number,
                    "without `label` or `value`",
                    "one of them beside it, or a text",
                )?;
            }
            _ => {}
        }
        for label in record.labels.iter().flatten() {
            self.names
                .check(label)
                .map_err(|what| format!("`label`: {what}"))?;
        }
        Ok(())
    }

    fn push_prediction(&mut self, prediction: Option<Scalar<'_>>) {
        let Some(prediction) = prediction else { return };
        match (self.truth, prediction) {
            (Truth::Labels, label) => {
                let index = self.names.index(&label);
                self.predicted_label.push([index]);
            }
            (_, Scalar::Text(text)) => self.predicted_text.push([text]),
            (_, Scalar::Integer(number)) => self.predicted_value.push([number as f64]),
            (_, Scalar::Number(number)) => self.predicted_value.push([number]),
        }
    }

    /// The table, and the names of the labels in the order of their indices.
    fn finish(mut self) -> Result<(Table<'static>, Vec<String>), PluginError> {
        let (labels, order) = self.names.sorted();
        for column in [&mut self.label, &mut self.predicted_label] {
            if let Some(order) = &order {
                column
                    .values_mut()
                    .iter_mut()
                    .for_each(|index| *index = order[*index as usize]);
            }
        }
        let mut table = Table::new(self.count);
        for (name, texts) in [
            (column::TEXT, self.input),
            (column::ID, self.id),
            (column::GROUP, self.group),
            (column::REFERENCE_TEXT, self.references),
            (column::PREDICTED_TEXT, self.predicted_text),
        ] {
            table = texts.beside(table, name)?;
        }
        for (name, integers) in [
            (column::LABEL, self.label),
            (column::PREDICTED_LABEL, self.predicted_label),
            (column::TOKENS, self.tokens),
            (column::RIGHT_TOKENS, self.right_tokens),
        ] {
            table = integers.beside(table, name)?;
        }
        for (name, numbers) in [
            (column::VALUE, self.value),
            (column::PREDICTED_VALUE, self.predicted_value),
            (column::PREDICTED_SCORES, self.scores),
            (column::NO_ANSWER_PROBABILITY, self.no_answer_probability),
            (column::LOSS, self.loss),
        ] {
            table = numbers.beside(table, name)?;
        }
        Ok((table, labels))
    }
}

fn keys(record: &Record<'_>) -> [(&'static str, bool); 12] {
    [
        ("input", record.input.is_some()),
        ("id", record.id.is_some()),
        ("group", record.group.is_some()),
        ("prediction", record.prediction.is_some()),
        ("references", record.references.is_some()),
        ("label", record.labels.is_some()),
        ("value", record.value.is_some()),
        ("scores", record.scores.is_some()),
        (
            "no_answer_probability",
            record.no_answer_probability.is_some(),
        ),
        ("loss", record.loss.is_some()),
        ("tokens", record.tokens.is_some()),
        ("right_tokens", record.right_tokens.is_some()),
    ]
}

fn same_keys(first: &[(&str, bool)], keys: &[(&str, bool)]) -> Result<(), String> {
    let differing = first.iter().zip(keys).find(|(a, b)| a.1 != b.1);
    match differing {
        None => Ok(()),
        Some(((key, true), _)) => Err(format!(
            "found no `{key}`, expected one as in the lines before"
        )),
        Some(((key, false), _)) => {
            Err(format!("found `{key}`, which the lines before do not have"))
        }
    }
}

/// What the prediction is compared with. A label that is the group counts only where there is nothing else.
fn truth(record: &Record<'_>, group_key: &str) -> Result<Truth, String> {
    let mut kinds = Vec::new();
    if record.references.is_some() {
        kinds.push((Truth::References, "references"));
    }
    if record.value.is_some() {
        kinds.push((Truth::Value, "value"));
    }
    if record.labels.is_some() && (kinds.is_empty() || group_key != "label") {
        kinds.push((Truth::Labels, "label"));
    }
    match kinds[..] {
        [] => Ok(Truth::Nothing),
        [(truth, _)] => Ok(truth),
        [(_, one), (_, other), ..] => Err(format!(
            "found `{one}` beside `{other}`, expected one of them: `prediction` is compared with it"
        )),
    }
}
