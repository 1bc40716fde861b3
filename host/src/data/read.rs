//! Files with examples as columns of text.

use std::fs::File;
use std::io::BufRead;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Map, Value};

use super::ResolvedFile;
use crate::config::{FileConfig, Format};
use crate::diagnostics::Failure;

/// Columns of text, as they stand in the file.
pub struct Frame {
    /// Names of the columns.
    pub names: Vec<String>,
    columns: Vec<Vec<String>>,
    /// Number of the first row's line or record, as people count.
    first: usize,
}

impl Frame {
    /// A column by its name.
    pub fn column(&self, name: &str) -> Option<&[String]> {
        let position = self.names.iter().position(|other| other == name)?;
        Some(&self.columns[position])
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// How people would count the row in the file.
    pub fn row_number(&self, row: usize) -> usize {
        row + self.first
    }
}

type Fault = String;

/// Reads a whole file, up to the limit that the configuration sets.
pub fn read(resolved: &ResolvedFile, config: &FileConfig) -> Result<Frame, Failure> {
    let path = &resolved.path;
    let fault = |what: Fault| Failure::input("data::file", path.display(), what);
    let format = config
        .format
        .or(resolved.format)
        .or_else(|| guess(path))
        .ok_or_else(|| {
            fault("found an ending that says nothing of the format".to_owned())
                .hint("name it: `format: csv`, `tsv`, `jsonl` or `parquet`")
        })?;
    let limit = config.limit.unwrap_or(usize::MAX);
    let frame = match format {
        Format::Parquet => parquet(path, limit),
        _ => text(resolved, config).and_then(|text| match format {
            Format::Jsonl => jsonl(&text, limit),
            _ => delimited(&text, format, resolved, config, limit),
        }),
    };
    let frame = frame.map_err(fault)?;
    match frame.rows() {
        0 => Err(fault("found no row, expected one or more".to_owned())),
        _ => Ok(frame),
    }
}

fn guess(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "csv" => Some(Format::Csv),
        "tsv" | "tab" => Some(Format::Tsv),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        "parquet" => Some(Format::Parquet),
        _ => None,
    }
}

/// The file's text, without a byte order mark.
fn text(resolved: &ResolvedFile, config: &FileConfig) -> Result<String, Fault> {
    let bytes = std::fs::read(&resolved.path).map_err(|error| error.to_string())?;
    let label = config.encoding.as_deref().or(resolved.encoding);
    let encoding = match label {
        Some(label) => encoding_rs::Encoding::for_label(label.as_bytes())
            // `latin-1` is what people write, `latin1` is the label.
            .or_else(|| encoding_rs::Encoding::for_label(label.replace('-', "").as_bytes()))
            .ok_or_else(|| format!("found the encoding `{label}`, which is not known"))?,
        None => encoding_rs::UTF_8,
    };
    let (text, used, broken) = encoding.decode(&bytes);
    if broken {
        let valid = std::str::from_utf8(&bytes)
            .err()
            .map_or(0, |error| error.valid_up_to());
        let line = bytes[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        return Err(format!(
            "line {line}: found bytes that are not {}; name the file's encoding, for example `encoding: latin-1`",
            used.name()
        ));
    }
    Ok(text.into_owned())
}

fn delimited(
    text: &str,
    format: Format,
    resolved: &ResolvedFile,
    config: &FileConfig,
    limit: usize,
) -> Result<Frame, Fault> {
    let named = config.columns.clone().or_else(|| {
        resolved
            .columns
            .map(|columns| columns.iter().map(ToString::to_string).collect())
    });
    let delimiter = config
        .delimiter
        .unwrap_or(if format == Format::Csv { ',' } else { '\t' });
    let delimiter = u8::try_from(delimiter)
        .map_err(|_| format!("found the delimiter `{delimiter}`, expected ASCII"))?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        // Tab-separated files rarely escape: a stray quotation mark must not swallow lines.
        .quoting(config.quote.unwrap_or(format == Format::Csv))
        .has_headers(named.is_none())
        .from_reader(text.as_bytes());
    let names = match named {
        Some(names) => names,
        None => reader
            .headers()
            .map_err(|error| error.to_string())?
            .iter()
            .map(str::to_owned)
            .collect(),
    };
    let mut columns = vec![Vec::new(); names.len()];
    for record in reader.records().take(limit) {
        let record = record.map_err(|error| error.to_string())?;
        if record.len() != names.len() {
            let line = record.position().map_or(0, csv::Position::line);
            return Err(format!(
                "line {line}: found {} values, expected {}",
                record.len(),
                names.len()
            ));
        }
        columns
            .iter_mut()
            .zip(&record)
            .for_each(|(column, value)| column.push(value.to_owned()));
    }
    let first = if reader.has_headers() { 2 } else { 1 };
    Ok(Frame {
        names,
        columns,
        first,
    })
}

fn jsonl(text: &str, limit: usize) -> Result<Frame, Fault> {
    let mut frame = Frame {
        names: Vec::new(),
        columns: Vec::new(),
        first: 1,
    };
    let lines = text.as_bytes().lines().enumerate();
    for (number, line) in lines
        .filter(|(_, line)| line.as_ref().is_ok_and(|l| !l.trim().is_empty()))
        .take(limit)
    {
        let line = line.map_err(|error| error.to_string())?;
        let object: Map<String, Value> =
            serde_json::from_str(&line).map_err(|error| format!("line {}: {error}", number + 1))?;
        push(
            &mut frame,
            object.into_iter().map(|(key, value)| (key, plain(value))),
        );
    }
    Ok(frame)
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Adds a row; columns that it does not have stay empty.
fn push(frame: &mut Frame, values: impl Iterator<Item = (String, String)>) {
    let rows = frame.rows();
    for (name, value) in values {
        let position = frame
            .names
            .iter()
            .position(|other| *other == name)
            .unwrap_or_else(|| {
                frame.names.push(name);
                frame.columns.push(vec![String::new(); rows]);
                frame.columns.len() - 1
            });
        frame.columns[position].truncate(rows);
        frame.columns[position].push(value);
    }
    frame
        .columns
        .iter_mut()
        .for_each(|column| column.resize(rows + 1, String::new()));
}

fn parquet(path: &Path, limit: usize) -> Result<Frame, Fault> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let reader = SerializedFileReader::new(file).map_err(|error| error.to_string())?;
    let mut frame = Frame {
        names: Vec::new(),
        columns: Vec::new(),
        first: 1,
    };
    for row in reader
        .get_row_iter(None)
        .map_err(|error| error.to_string())?
        .take(limit)
    {
        let row = row.map_err(|error| error.to_string())?;
        push(
            &mut frame,
            row.get_column_iter()
                .map(|(name, field)| (name.clone(), field_text(field))),
        );
    }
    Ok(frame)
}

fn field_text(field: &Field) -> String {
    match field {
        Field::Str(text) => text.clone(),
        Field::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(path: &Path, more: &str) -> FileConfig {
        serde_json::from_str(&format!(r#"{{"path": "{}"{more}}}"#, path.display())).unwrap()
    }

    fn read_text(name: &str, bytes: &[u8], more: &str) -> Result<Frame, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let resolved = ResolvedFile {
            path: path.clone(),
            ..ResolvedFile::default()
        };
        read(&resolved, &config(&path, more))
    }

    #[test]
    fn formats_give_the_same_columns() {
        let csv = read_text(
            "x.csv",
            b"\xef\xbb\xbftext,label\n\"a, \"\"b\"\"\",1\nc,0\n",
            "",
        )
        .unwrap();
        let tsv = read_text("x.tsv", b"text\tlabel\na, \"b\"\t1\nc\t0\n", "").unwrap();
        let jsonl = read_text(
            "x.jsonl",
            b"{\"text\": \"a, \\\"b\\\"\", \"label\": 1}\n\n{\"label\": 0, \"text\": \"c\"}\n",
            "",
        )
        .unwrap();
        for frame in [csv, tsv, jsonl] {
            assert_eq!(frame.column("text").unwrap(), ["a, \"b\"", "c"]);
            assert_eq!(frame.column("label").unwrap(), ["1", "0"]);
        }
    }

    #[test]
    fn a_parquet_file_gives_its_columns() {
        use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
        use parquet::file::writer::SerializedFileWriter;
        use parquet::schema::parser::parse_message_type;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        let schema = "message m { required binary text (UTF8); required int64 label; }";
        let schema = std::sync::Arc::new(parse_message_type(schema).unwrap());
        let mut writer =
            SerializedFileWriter::new(File::create(&path).unwrap(), schema, Default::default())
                .unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let texts: Vec<ByteArray> = vec!["a".into(), "ü".into()];
        column
            .typed::<ByteArrayType>()
            .write_batch(&texts, None, None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<Int64Type>()
            .write_batch(&[1, 0], None, None)
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        let resolved = ResolvedFile {
            path: path.clone(),
            ..ResolvedFile::default()
        };
        let frame = read(&resolved, &config(&path, "")).unwrap();
        assert_eq!(frame.column("text").unwrap(), ["a", "ü"]);
        assert_eq!(frame.column("label").unwrap(), ["1", "0"]);
    }

    #[test]
    fn broken_files_say_where() {
        let message = |name: &str, bytes: &[u8], more: &str| {
            read_text(name, bytes, more)
                .map(|frame| frame.rows())
                .unwrap_err()
                .message
        };
        assert!(message("x.csv", b"text,label\na,1\nb\n", "").contains("line: 3"));
        assert!(message("x.csv", b"text\nfine\ncaf\xe9\n", "").contains("line 3"));
        assert!(message("x.csv", b"text\n", "").contains("no row"));
        assert!(message("x.csv", b"", "").contains("no row"));
        assert!(message("x.jsonl", b"{\"a\": 1}\n{\"a\": \n", "").contains("line 2"));
        assert!(message("x.parquet", b"not parquet at all", "").len() > 5);
        assert!(message("x.foo", b"a", "").contains("ending"));
        assert!(message("x.csv", b"a\nb\n", r#", "encoding": "klingon""#).contains("klingon"));
    }

    #[test]
    fn a_named_encoding_and_named_columns_are_used() {
        let more = r#", "encoding": "latin-1", "format": "tsv", "columns": ["id", "text"]"#;
        let frame = read_text("x.txt", b"1\tcaf\xe9\n2\t\"quoted\n", more).unwrap();
        assert_eq!(frame.column("text").unwrap(), ["café", "\"quoted"]);
        assert_eq!(frame.row_number(1), 2);
    }
}
