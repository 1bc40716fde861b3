//! A YAML file with the position of every key: values by serde_yaml, positions by a second, event-based parser.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use saphyr_parser::{Event, Parser, Span};
use serde_json::{Map, Value};

use crate::diagnostics::Failure;

/// A configuration larger than this is not read.
const LARGEST: u64 = 1 << 20;
/// Aliases may not blow a document up to more nodes than this.
const MOST_NODES: usize = 200_000;
/// Nothing is nested deeper.
const DEEPEST: usize = 64;

/// A parsed file. Key paths are written `metrics[1].use`.
#[derive(Debug)]
pub struct Document {
    path: PathBuf,
    lines: Vec<String>,
    /// The values.
    pub value: Value,
    positions: HashMap<String, Position>,
    /// Key paths that `--set` gave.
    set: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Position {
    line: usize,
    column: usize,
}

impl Document {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let place = path.display().to_string();
        let unreadable = |what: String| Failure::input("config::file", &place, what);
        let size = std::fs::metadata(path)
            .map_err(|error| unreadable(error.to_string()))?
            .len();
        if size > LARGEST {
            return Err(unreadable(format!(
                "found {size} bytes, expected at most {LARGEST}"
            )));
        }
        let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|b| **b == b'\n');
            unreadable(format!(
                "line {}: found bytes that are not UTF-8",
                line.count() + 1
            ))
        })?;
        Self::parse(path, &text)
    }

    /// Parses a text; `path` is only for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        let mut document = Self {
            path: path.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            value: Value::Null,
            positions: HashMap::new(),
            set: Vec::new(),
        };
        document.positions =
            positions(text).map_err(|(position, what)| document.syntax(position, &what))?;
        let parsed: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| {
            let position = error.location().map(|l| Position {
                line: l.line(),
                column: l.column(),
            });
            document.syntax(position, &error.to_string())
        })?;
        document.value = to_json(parsed, "", &mut 0)
            .map_err(|(at, what)| document.problem(&at, "config::syntax", what))?;
        Ok(document)
    }

    /// Something wrong with the value (or key) at a path.
    pub fn problem(&self, at: &str, code: &'static str, message: impl Into<String>) -> Failure {
        if let Some(set) = self.set.iter().find(|set| covers(set, at)) {
            return Failure::input(code, format!("--set {set}: {at}"), message);
        }
        let mut known = at;
        let position = loop {
            match self.positions.get(known) {
                Some(position) => break Some(*position),
                None if known.is_empty() => break None,
                None => known = parent(known),
            }
        };
        self.at(position, at, code, message.into())
    }

    /// The text of the file, with what was set beside it.
    pub fn text(&self) -> String {
        let set: String = self
            .set
            .iter()
            .map(|set| format!("# --set {set}\n"))
            .collect();
        format!("{set}{}\n", self.lines.join("\n"))
    }

    /// The file's name, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn syntax(&self, position: Option<Position>, what: &str) -> Failure {
        self.at(position, "", "config::syntax", what.to_owned())
    }

    fn at(
        &self,
        position: Option<Position>,
        at: &str,
        code: &'static str,
        message: String,
    ) -> Failure {
        let file = self.path.display();
        let colon = if at.is_empty() { "" } else { ": " };
        let Some(Position { line, column }) = position else {
            return Failure::input(code, format!("{file}{colon}{at}"), message);
        };
        let mut failure =
            Failure::input(code, format!("{file}:{line}:{column}{colon}{at}"), message);
        if let Some(source) = self.lines.get(line - 1) {
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            let before: String = source
                .chars()
                .take(column - 1)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            failure.excerpt = Some(format!("  {number} | {source}\n  {margin} | {before}^"));
        }
        failure
    }

    /// Applies a change of the form `key.path=value`.
    pub fn set(&mut self, set: &str) -> Result<(), Failure> {
        let fault = |what: String| {
            Failure::input("config::set", format!("--set {set}"), what)
                .hint("for example `--set trajectory.epochs=6` or `--set metrics[0].use=f1`")
        };
        let (key, text) = set
            .split_once('=')
            .ok_or_else(|| fault("found no `=`, expected key.path=value".into()))?;
        let value = value(text).map_err(fault)?;
        let steps =
            steps(key).ok_or_else(|| fault(format!("found `{key}`, expected a key path")))?;
        let mut target = &mut self.value;
        for step in &steps {
            if target.is_null() {
                *target = Value::Object(Map::new());
            }
            let next = match (step, target) {
                (Step::Key(key), Value::Object(map)) => {
                    Some(map.entry(key.clone()).or_insert(Value::Null))
                }
                (Step::Index(index), Value::Array(list)) => list.get_mut(*index),
                _ => None,
            };
            target = next.ok_or_else(|| fault(format!("found no `{key}` to be replaced")))?;
        }
        *target = value;
        self.set.push(key.to_owned());
        Ok(())
    }
}

/// A value as it stands behind `=` on the command line.
pub fn value(text: &str) -> Result<Value, String> {
    let parsed: serde_yaml::Value =
        serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    to_json(parsed, "", &mut 0).map_err(|(_, what)| what)
}

/// `a.b` below a path, or an item of a list.
pub fn child(at: &str, key: &str) -> String {
    if at.is_empty() {
        key.to_owned()
    } else {
        format!("{at}.{key}")
    }
}

/// Item of a list at a path.
pub fn item(at: &str, index: usize) -> String {
    format!("{at}[{index}]")
}

fn parent(at: &str) -> &str {
    at.rfind(['.', '[']).map_or("", |end| &at[..end])
}

fn covers(set: &str, at: &str) -> bool {
    at.strip_prefix(set)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

enum Step {
    Key(String),
    Index(usize),
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let mut parts = part.split('[');
        let key = parts.next().filter(|key| !key.is_empty())?;
        steps.push(Step::Key(key.to_owned()));
        for index in parts {
            steps.push(Step::Index(index.strip_suffix(']')?.parse().ok()?));
        }
    }
    Some(steps)
}

/// The error names the path of what is at fault.
fn to_json(
    value: serde_yaml::Value,
    at: &str,
    nodes: &mut usize,
) -> Result<Value, (String, String)> {
    let fault = |what: String| (at.to_owned(), what);
    *nodes += 1;
    if *nodes > MOST_NODES {
        return Err(fault(format!(
            "found more than {MOST_NODES} values once aliases are expanded"
        )));
    }
    Ok(match value {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(value) => Value::Bool(value),
        serde_yaml::Value::Number(number) => {
            match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(value), ..) => Value::from(value),
                (_, Some(value), _) => Value::from(value),
                (.., Some(value)) if value.is_finite() => Value::from(value),
                _ => return Err(fault(format!("found {number}, expected a finite number"))),
            }
        }
        serde_yaml::Value::String(text) => Value::String(text),
        serde_yaml::Value::Sequence(items) => Value::Array(
            items
                .into_iter()
                .enumerate()
                .map(|(index, value)| to_json(value, &item(at, index), nodes))
                .collect::<Result<_, _>>()?,
        ),
        serde_yaml::Value::Mapping(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let key = key_text(&key).map_err(fault)?;
                let value = to_json(value, &child(at, &key), nodes)?;
                map.insert(key, value);
            }
            Value::Object(map)
        }
        serde_yaml::Value::Tagged(tagged) => {
            return Err(fault(format!(
                "found the tag {}, expected none",
                tagged.tag
            )));
        }
    })
}

fn key_text(key: &serde_yaml::Value) -> Result<String, String> {
    match key {
        serde_yaml::Value::String(text) => Ok(text.clone()),
        serde_yaml::Value::Number(number) => Ok(number.to_string()),
        serde_yaml::Value::Bool(value) => Ok(value.to_string()),
        other => Err(format!("found the key {other:?}, expected a text")),
    }
}

type Fault = (Option<Position>, String);

/// The position of every key (of items of lists: of the item) by its path.
fn positions(text: &str) -> Result<HashMap<String, Position>, Fault> {
    let mut found = HashMap::from([(String::new(), Position { line: 1, column: 1 })]);
    let mut open: Vec<Container> = Vec::new();
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let marker = error.marker();
            (
                Some(Position {
                    line: marker.line(),
                    column: marker.col() + 1,
                }),
                error.info().to_owned(),
            )
        })?;
        let here = position(span);
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err((
                        Some(here),
                        "found a second document, expected one".to_owned(),
                    ));
                }
            }
            Event::Scalar(text, ..) if open.last().is_some_and(Container::wants_key) => {
                let path = {
                    let container = open.last_mut().expect("looked at above");
                    let path = child(&container.path, &text);
                    container.key = Some(path.clone());
                    path
                };
                if found.insert(path.clone(), here).is_some() {
                    return Err((
                        Some(here),
                        format!("found the key `{path}` twice, expected it once"),
                    ));
                }
            }
            Event::Scalar(..) | Event::Alias(_) => {
                place(&mut open, &mut found, here);
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                let path = place(&mut open, &mut found, here);
                let list = matches!(event, Event::SequenceStart(..)).then_some(0);
                open.push(Container {
                    path,
                    list,
                    key: None,
                });
                if open.len() > DEEPEST {
                    return Err((
                        Some(here),
                        format!("found more than {DEEPEST} levels of nesting"),
                    ));
                }
            }
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
            }
            _ => {}
        }
    }
    Ok(found)
}

struct Container {
    path: String,
    /// Next index of a list; `None` for a mapping.
    list: Option<usize>,
    /// The key whose value comes next.
    key: Option<String>,
}

impl Container {
    fn wants_key(&self) -> bool {
        self.list.is_none() && self.key.is_none()
    }
}

/// The path of the value that begins here.
fn place(open: &mut [Container], found: &mut HashMap<String, Position>, here: Position) -> String {
    let Some(container) = open.last_mut() else {
        return String::new();
    };
    match &mut container.list {
        Some(index) => {
            let path = item(&container.path, *index);
            *index += 1;
            found.insert(path.clone(), here);
            path
        }
        // A mapping as a key has no path; it is refused when values are read.
        None => container.key.take().unwrap_or_default(),
    }
}

fn position(span: Span) -> Position {
    Position {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Result<Document, Failure> {
        Document::parse(Path::new("x.yaml"), text)
    }

    #[test]
    fn problems_point_at_their_key() {
        let document =
            document("a: 1\nlist:\n  - { use: x, deep: { k: 2 } }\n  - use: rogue\n").unwrap();
        let place = |at: &str| document.problem(at, "c", "m").place;
        assert_eq!(place("a"), "x.yaml:1:1: a");
        assert_eq!(place("list[0].deep.k"), "x.yaml:3:23: list[0].deep.k");
        assert_eq!(place("list[1].use"), "x.yaml:4:5: list[1].use");
        assert_eq!(place("list[1].missing"), "x.yaml:4:5: list[1].missing");
        let excerpt = document.problem("list[1].use", "c", "m").excerpt.unwrap();
        assert_eq!(excerpt, "  4 |   - use: rogue\n    |     ^");
    }

    #[test]
    fn numbers_keep_their_kind() {
        let value = document("a: 1\nb: 1e-6\nc: 1.0\nd: 5.0e-5\ne: true\nf: ~\n")
            .unwrap()
            .value;
        assert_eq!(
            value.to_string(),
            r#"{"a":1,"b":1e-6,"c":1.0,"d":0.00005,"e":true,"f":null}"#
        );
    }

    #[test]
    fn hostile_files_are_refused_with_their_place() {
        assert!(
            document("a: 1\na: 2\n")
                .unwrap_err()
                .message
                .contains("twice")
        );
        assert!(
            document("a: 1\n---\nb: 2\n")
                .unwrap_err()
                .message
                .contains("second document")
        );
        assert!(document("a: [1\n").unwrap_err().code == "config::syntax");
        assert!(document("a:\n\t- 1\n").is_err());
        assert!(document(&format!("a: {}{}", "[".repeat(100), "]".repeat(100))).is_err());
        assert!(document("a: .nan\n").is_err());
        assert!(document("a: !x 1\n").is_err());
        let mut bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
        for i in 1..12 {
            bomb.push_str(&format!(
                "a{i}: &a{i} [{}]\n",
                vec![format!("*a{}", i - 1); 10].join(",")
            ));
        }
        assert!(document(&bomb).is_err());
    }

    #[test]
    fn values_can_be_set_from_the_command_line() {
        let mut document = document("a: { b: 1 }\nl: [ { use: x } ]\n").unwrap();
        document.set("a.b=2").unwrap();
        document.set("a.c.d=[1, two]").unwrap();
        document.set("l[0].use=f1").unwrap();
        assert_eq!(
            document.value.to_string(),
            r#"{"a":{"b":2,"c":{"d":[1,"two"]}},"l":[{"use":"f1"}]}"#
        );
        assert_eq!(
            document.problem("a.c.d[0]", "c", "m").place,
            "--set a.c.d: a.c.d[0]"
        );
        for bad in ["a.b", "l[7].use=1", "=1", "a..b=1", "a.b.c=1"] {
            assert_eq!(document.set(bad).unwrap_err().code, "config::set", "{bad}");
        }
    }
}
