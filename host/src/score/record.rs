//! One line of a file with examples: a JSON object whose texts are borrowed from the line where they can be.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

/// What a line says.
#[derive(Debug, Default, PartialEq)]
pub struct Record<'a> {
    pub input: Option<Cow<'a, str>>,
    pub id: Option<Scalar<'a>>,
    pub group: Option<Scalar<'a>>,
    pub prediction: Option<Scalar<'a>>,
    pub references: Option<Vec<Text<'a>>>,
    pub labels: Option<Vec<Scalar<'a>>>,
    pub value: Option<f64>,
    pub scores: Option<Vec<f64>>,
    pub no_answer_probability: Option<f64>,
    pub loss: Option<f64>,
    pub tokens: Option<i64>,
    pub right_tokens: Option<i64>,
}

/// A text, borrowed where it has no escapes.
#[derive(Debug, Clone, PartialEq)]
pub struct Text<'a>(pub Cow<'a, str>);

/// A text or a number.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    Number(f64),
}

/// Where and why a line cannot be read.
#[derive(Debug, PartialEq)]
pub struct Fault {
    /// The column, in bytes from 1, where it is known.
    pub column: Option<usize>,
    /// What was found and what was expected.
    pub message: String,
}

/// Reads a line; `group` is the key that says which group an example is of.
pub fn parse<'a>(line: &'a [u8], group: &str) -> Result<Record<'a>, Fault> {
    let text = std::str::from_utf8(line).map_err(|error| Fault {
        column: Some(error.valid_up_to() + 1),
        message: "found bytes that are not UTF-8".to_owned(),
    })?;
    let mut json = serde_json::Deserializer::from_str(text);
    let record = Line { group }.deserialize(&mut json);
    let record = record.and_then(|record| json.end().map(|()| record));
    record.map_err(|error| Fault {
        column: (error.column() > 0).then(|| error.column()),
        message: reword(&error),
    })
}

/// serde's words as ours: what was found, what was expected.
fn reword(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    let text = text
        .replace("invalid type: sequence", "found a list")
        .replace("invalid type: map", "found an object")
        .replace("invalid type: ", "found ")
        .replace("expected a sequence", "expected a list")
        .replace("expected f64", "expected a number")
        .replace("expected i64", "expected an integer")
        .replace("invalid value: ", "found ");
    match text.contains("found ") {
        true => text,
        false => format!("found no JSON object on one line: {text}"),
    }
}

/// Reads the object; knows the key of groups.
struct Line<'g> {
    group: &'g str,
}

impl<'de> DeserializeSeed<'de> for Line<'_> {
    type Value = Record<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Record<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Line<'_> {
    type Value = Record<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with keys such as `prediction`")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Record<'de>, M::Error> {
        let mut record = Record::default();
        while let Some(Text(key)) = map.next_key()? {
            if key == self.group {
                let group: Option<Scalar<'de>> = read(&mut map, &key)?;
                // Labels may be groups, too.
                if key == "label" {
                    let label = group.clone().map(|label| vec![label]);
                    once(&mut record.labels, label, &key)?;
                }
                once(&mut record.group, group, &key)?;
                continue;
            }
            match &*key {
                "input" => once(
                    &mut record.input,
                    read(&mut map, &key)?.map(|Text(text)| text),
                    &key,
                ),
                "id" => once(&mut record.id, read(&mut map, &key)?, &key),
                "prediction" => once(&mut record.prediction, read(&mut map, &key)?, &key),
                "references" => once(&mut record.references, read(&mut map, &key)?, &key),
                "reference" => {
                    let one = read(&mut map, &key)?.map(|text| vec![text]);
                    once(&mut record.references, one, &key)
                }
                "labels" => once(&mut record.labels, read(&mut map, &key)?, &key),
                "label" => {
                    let one = read(&mut map, &key)?.map(|label| vec![label]);
                    once(&mut record.labels, one, &key)
                }
                "value" => once(&mut record.value, read(&mut map, &key)?, &key),
                "scores" => once(&mut record.scores, read(&mut map, &key)?, &key),
                "no_answer_probability" => once(
                    &mut record.no_answer_probability,
                    read(&mut map, &key)?,
                    &key,
                ),
                "loss" => once(&mut record.loss, read(&mut map, &key)?, &key),
                "tokens" => once(&mut record.tokens, read(&mut map, &key)?, &key),
                "right_tokens" => once(&mut record.right_tokens, read(&mut map, &key)?, &key),
                _ => map.next_value::<IgnoredAny>().map(|_| ()),
            }?;
        }
        Ok(record)
    }
}

/// A key's value, `None` for `null`; an error names the key.
fn read<'de, M: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut M,
    key: &str,
) -> Result<Option<T>, M::Error> {
    // The position at the end of serde_json's text is read back from it.
    map.next_value()
        .map_err(|error| de::Error::custom(format!("`{key}`: {error}")))
}

/// Refuses a second value for what has one already: `label` beside `labels`, or a key that stands twice.
fn once<T, E: de::Error>(slot: &mut Option<T>, value: Option<T>, key: &str) -> Result<(), E> {
    if slot.is_some() && value.is_some() {
        return Err(E::custom(format!(
            "`{key}`: found a second value for the same, expected one"
        )));
    }
    if value.is_some() {
        *slot = value;
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(if value {
            "true"
        } else {
            "false"
        })))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scalar<'de>, E> {
        Ok(i64::try_from(value).map_or(Scalar::Number(value as f64), Scalar::Integer))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(value))
    }
}

impl Scalar<'_> {
    /// As a name.
    pub fn into_text(self) -> String {
        match self {
            Scalar::Text(text) => text.into_owned(),
            Scalar::Integer(value) => value.to_string(),
            Scalar::Number(value) => value.to_string(),
        }
    }
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Text(text) => write!(f, "the text `{text}`"),
            Scalar::Integer(value) => write!(f, "the number {value}"),
            Scalar::Number(value) => write!(f, "the number {value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> (Option<usize>, String) {
        let fault = parse(line.as_bytes(), "group").unwrap_err();
        (fault.column, fault.message)
    }

    #[test]
    fn texts_are_borrowed_unless_they_have_escapes() {
        let line =
            br#"{"prediction": "plain", "references": ["a\n", "b"], "x": {"y": [1]}, "id": 7}"#;
        let record = parse(line, "group").unwrap();
        assert!(matches!(
            record.prediction,
            Some(Scalar::Text(Cow::Borrowed("plain")))
        ));
        let references = record.references.unwrap();
        assert!(matches!(&references[0].0, Cow::Owned(text) if text == "a\n"));
        assert!(matches!(references[1].0, Cow::Borrowed("b")));
        assert_eq!(record.id, Some(Scalar::Integer(7)));
    }

    #[test]
    fn a_fault_has_its_column_its_key_and_what_was_expected() {
        assert_eq!(
            fault(r#"{"references": "one"}"#),
            (
                Some(20),
                "`references`: found string \"one\", expected a list".to_owned()
            )
        );
        let (column, message) = fault(r#"{"tokens": 1.5}"#);
        assert!(
            column.is_some() && message.starts_with("`tokens`: found "),
            "{message}"
        );
        let (column, message) = fault(r#"{"prediction": ["a"]}"#);
        assert!(
            column.is_some() && message.ends_with("expected a text or a number"),
            "{message}"
        );
        let (_, message) = fault(r#"[1, 2]"#);
        assert!(message.contains("expected an object"), "{message}");
        let (column, message) = fault(r#"{"prediction": "a""#);
        assert!(
            column.is_some() && message.starts_with("found no JSON object"),
            "{message}"
        );
        assert!(fault(r#"{"loss": 1} {"loss": 2}"#).1.contains("trailing"));
        assert!(
            fault(r#"{"label": 1, "labels": [2]}"#)
                .1
                .contains("second value")
        );
        assert!(fault(r#"{"loss": NaN}"#).1.contains("found no JSON object"));
        let broken = parse(b"{\"id\": \"\xff\"}", "group").unwrap_err();
        assert_eq!(
            (broken.column, &*broken.message),
            (Some(9), "found bytes that are not UTF-8")
        );
    }

    #[test]
    fn null_is_nothing_and_a_label_may_be_the_group() {
        let record = parse(br#"{"value": null, "label": "b"}"#, "label").unwrap();
        assert_eq!(record.value, None);
        assert_eq!(record.group, Some(Scalar::Text("b".into())));
        assert_eq!(record.labels, Some(vec![Scalar::Text("b".into())]));
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(line in "\\PC{0,80}", bytes in proptest::collection::vec(0u8..=255, 0..60)) {
            let _ = parse(line.as_bytes(), "group");
            let _ = parse(format!("{{\"prediction\": {line}}}").as_bytes(), "group");
            let _ = parse(&bytes, "group");
        }
    }
}
