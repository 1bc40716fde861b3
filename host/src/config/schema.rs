//! Checks values against JSON Schema, as far as schemars writes it for structs of options.
//!
//! The same walker checks the host's own sections and every plugin's options. All problems are gathered.

use serde_json::{Map, Value, json};

use super::document::{Document, child, item};
use crate::diagnostics::Failure;

/// Gathers what is wrong with the value at a path.
pub fn check(
    schema: &Value,
    value: &Value,
    at: &str,
    document: &Document,
    problems: &mut Vec<Failure>,
) {
    Walk {
        root: schema,
        document,
        problems,
    }
    .value(schema, value, at);
}

struct Walk<'a> {
    root: &'a Value,
    document: &'a Document,
    problems: &'a mut Vec<Failure>,
}

impl Walk<'_> {
    fn problem(&mut self, at: &str, code: &'static str, message: String) {
        self.problems.push(self.document.problem(at, code, message));
    }

    fn value(&mut self, schema: &Value, value: &Value, at: &str) {
        let schema = resolve(self.root, schema);
        if let Some(choices) = choices(self.root, schema) {
            return self.choice(&choices, value, at);
        }
        for list in ["anyOf", "oneOf"] {
            if let Some(options) = schema.get(list).and_then(Value::as_array) {
                return self.one_of(options, value, at);
            }
        }
        if !has_type(schema, value) {
            let message = format!(
                "found {}, expected {}",
                show(value),
                expected(self.root, schema)
            );
            return self.problem(at, "config::type", message);
        }
        match value {
            Value::Number(_) => self.range(schema, value, at),
            Value::Array(items) => self.items(schema, items, at),
            Value::Object(map) => self.object(schema, map, at),
            _ => {}
        }
    }

    fn choice(&mut self, choices: &[Value], value: &Value, at: &str) {
        if choices.contains(value) {
            return;
        }
        let names = texts(choices);
        let mut failure = self.document.problem(
            at,
            "config::choice",
            format!("found {}, expected {}", show(value), alternatives(&names)),
        );
        if let Some(near) = value
            .as_str()
            .and_then(|text| nearest(text, names.iter().map(String::as_str)))
        {
            failure = failure.hint(format!("did you mean `{near}`?"));
        }
        self.problems.push(failure);
    }

    /// One of several schemas: the one that accepts the value's type says what is wrong with it.
    fn one_of(&mut self, options: &[Value], value: &Value, at: &str) {
        let fits = |option: &&Value| {
            let mut problems = Vec::new();
            let mut walk = Walk {
                root: self.root,
                document: self.document,
                problems: &mut problems,
            };
            walk.value(option, value, at);
            problems.is_empty()
        };
        if options.iter().any(|option| fits(&option)) {
            return;
        }
        if let (Some((key, names)), Value::Object(map)) = (kinds(self.root, options), value) {
            let at = child(at, key);
            match map.get(key) {
                Some(name) if names.contains(name) => {}
                Some(name) => return self.choice(&names, name, &at),
                None => return self.missing(&alternatives(&texts(&names)), &at),
            }
        }
        let alike: Vec<&Value> = options
            .iter()
            .filter(|option| {
                let option = resolve(self.root, option);
                has_type(option, value)
                    && option.get("type").is_some_and(|t| t != "null")
                    && discriminated(self.root, option, value)
            })
            .collect();
        match meant(self.root, alike, value)[..] {
            [only] => self.value(only, value, at),
            _ => {
                let kinds = one_of(self.root, options);
                let message = format!("found {}, expected {kinds}", show(value));
                self.problem(at, "config::type", message);
            }
        }
    }

    fn range(&mut self, schema: &Value, value: &Value, at: &str) {
        let number = value.as_f64().unwrap_or(f64::NAN);
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        let low = bound("minimum").is_none_or(|bound| number >= bound)
            && bound("exclusiveMinimum").is_none_or(|bound| number > bound);
        let high = bound("maximum").is_none_or(|bound| number <= bound)
            && bound("exclusiveMaximum").is_none_or(|bound| number < bound);
        if !(low && high) {
            self.problem(
                at,
                "config::range",
                format!("found {value}, expected {}", interval(schema)),
            );
        }
    }

    fn items(&mut self, schema: &Value, items: &[Value], at: &str) {
        let count = |key: &str| schema.get(key).and_then(Value::as_u64);
        let enough = count("minItems").is_none_or(|least| items.len() as u64 >= least);
        if !enough || count("maxItems").is_some_and(|most| items.len() as u64 > most) {
            let message = format!(
                "found {} items, expected {}",
                items.len(),
                expected(self.root, schema)
            );
            return self.problem(at, "config::range", message);
        }
        if let Some(kind) = schema.get("items").filter(|kind| kind.is_object()) {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| self.value(kind, value, &item(at, index)));
        }
    }

    fn object(&mut self, schema: &Value, map: &Map<String, Value>, at: &str) {
        let none = Map::new();
        let properties = schema
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&none);
        for (key, value) in map {
            match (properties.get(key), schema.get("additionalProperties")) {
                (Some(property), _) => self.value(property, value, &child(at, key)),
                (None, Some(Value::Bool(false))) => self.unknown(properties, key, at),
                (None, Some(rest)) if rest.is_object() => self.value(rest, value, &child(at, key)),
                _ => {}
            }
        }
        for key in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if !map.contains_key(key) {
                let kind = properties
                    .get(key)
                    .map_or(String::new(), |p| expected(self.root, p));
                self.missing(&kind, &child(at, key));
            }
        }
    }

    fn missing(&mut self, kind: &str, at: &str) {
        let message = format!("found nothing, expected {kind}");
        self.problem(at, "config::missing", message);
    }

    fn unknown(&mut self, properties: &Map<String, Value>, key: &str, at: &str) {
        let failure = self.document.problem(
            &child(at, key),
            "config::unknown_key",
            format!("found no option named `{key}`"),
        );
        let hint = match nearest(key, properties.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if properties.is_empty() => "there are no options here".to_owned(),
            None => format!(
                "known here: {}",
                properties
                    .keys()
                    .map(|k| format!("`{k}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        self.problems.push(failure.hint(hint));
    }
}

/// Where a section needs nothing but `use`, a plain name stands for it: `accuracy` for `{ use: accuracy }`. Puts the section
/// in its place, wherever the schema has one.
pub fn spell_out(schema: &Value, value: &mut Value) {
    spell(schema, schema, value);
}

fn spell(root: &Value, schema: &Value, value: &mut Value) {
    let schema = resolve(root, schema);
    for list in ["anyOf", "oneOf"] {
        let options = schema.get(list).and_then(Value::as_array);
        for option in options.into_iter().flatten() {
            spell(root, option, value);
        }
    }
    if value.is_string() && needs_only_use(schema) {
        *value = json!({"use": value});
    }
    match value {
        Value::Array(items) => {
            for item in items {
                spell(root, &schema["items"], item);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let property = schema["properties"].get(key);
                spell(
                    root,
                    property.unwrap_or(&schema["additionalProperties"]),
                    value,
                );
            }
        }
        _ => {}
    }
}

/// Whether a plain name may stand for a section.
fn needs_only_use(schema: &Value) -> bool {
    schema.get("required") == Some(&json!(["use"]))
}

/// The property by which sections of several kinds are told apart, with its value in each.
fn kinds<'a>(root: &'a Value, options: &'a [Value]) -> Option<(&'a str, Vec<Value>)> {
    let constant = |option: &'a Value, key: &str| {
        let property = &resolve(root, option)["properties"][key];
        property.get("const").cloned()
    };
    let first = resolve(root, options.first()?)["properties"].as_object()?;
    first.keys().find_map(|key| {
        let names: Option<Vec<Value>> = options.iter().map(|o| constant(o, key)).collect();
        Some((key.as_str(), names?))
    })
}

/// For variants that name their kind in a constant property: whether it is this value's.
fn discriminated(root: &Value, option: &Value, value: &Value) -> bool {
    let properties = option.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().all(|(key, property)| {
        let constant = resolve(root, property).get("const");
        constant.is_none_or(|constant| value.get(key) == Some(constant))
    })
}

/// Of several kinds of sections, those that know most of a section's keys; a key that is nearly theirs counts half.
fn meant<'a>(root: &Value, options: Vec<&'a Value>, value: &Value) -> Vec<&'a Value> {
    let Some(map) = value.as_object().filter(|_| options.len() > 1) else {
        return options;
    };
    let known = |option: &Value| -> usize {
        let properties = resolve(root, option)
            .get("properties")
            .and_then(Value::as_object);
        let names = || {
            properties
                .into_iter()
                .flatten()
                .map(|(name, _)| name.as_str())
        };
        let points = map.keys().map(|key| match names().any(|name| name == key) {
            true => 2,
            false => usize::from(nearest(key, names()).is_some()),
        });
        points.sum()
    };
    let most = options
        .iter()
        .map(|option| known(option))
        .max()
        .unwrap_or(0);
    options
        .into_iter()
        .filter(|option| known(option) == most)
        .collect()
}

/// The known name nearest to a wrong one, if one is near.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|other| (strsim::jaro_winkler(name, other), other));
    scored
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|text| text.strip_prefix('#'));
    match pointer.and_then(|pointer| root.pointer(pointer)) {
        // A reference to a reference is not written by schemars; one step keeps a loop from hanging us.
        Some(target) => target,
        None => schema,
    }
}

/// The constants of an enumeration, however it is written.
fn choices(root: &Value, schema: &Value) -> Option<Vec<Value>> {
    if let Some(constant) = schema.get("const") {
        return Some(vec![constant.clone()]);
    }
    if let Some(constants) = schema.get("enum").and_then(Value::as_array) {
        return Some(constants.clone());
    }
    let options = schema.get("oneOf").and_then(Value::as_array)?;
    let parts: Option<Vec<Vec<Value>>> = options
        .iter()
        .map(|option| choices(root, resolve(root, option)))
        .collect();
    parts.map(|parts| parts.concat())
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let types = types(schema);
    types.is_empty()
        || types.iter().any(|name| match *name {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            _ => true,
        })
}

/// What a schema asks for, in words.
pub fn expected(root: &Value, schema: &Value) -> String {
    let schema = resolve(root, schema);
    if let Some(choices) = choices(root, schema) {
        return alternatives(&texts(&choices));
    }
    for list in ["anyOf", "oneOf"] {
        if let Some(options) = schema.get(list).and_then(Value::as_array) {
            return one_of(root, options);
        }
    }
    let named = types(schema).into_iter().map(|name| match name {
        "null" => "nothing".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" | "number" => interval(schema),
        "string" => "a text".to_owned(),
        "array" => match schema.get("minItems").and_then(Value::as_u64) {
            Some(least) => format!("a list of {least} or more"),
            None => "a list".to_owned(),
        },
        "object" => section(schema),
        other => other.to_owned(),
    });
    let named: Vec<String> = named.filter(|name| name != "nothing").collect();
    if named.is_empty() {
        "nothing".to_owned()
    } else {
        named.join(" or ")
    }
}

/// What one of several schemas asks for, each said once.
fn one_of(root: &Value, options: &[Value]) -> String {
    let mut kinds: Vec<String> = Vec::new();
    for kind in options.iter().map(|option| expected(root, option)) {
        if kind != "nothing" && !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.join(" or ")
}

/// A section by the keys that it cannot do without.
fn section(schema: &Value) -> String {
    let required = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let names: Vec<String> = required
        .filter_map(Value::as_str)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.is_empty() {
        true => "a section with keys".to_owned(),
        false if needs_only_use(schema) => "a name or a section with `use`".to_owned(),
        false => format!("a section with {}", names.join(" and ")),
    }
}

fn interval(schema: &Value) -> String {
    let kind = if types(schema).contains(&"integer") {
        "an integer"
    } else {
        "a number"
    };
    let get = |key: &str| schema.get(key).map(ToString::to_string);
    let low = get("minimum")
        .map(|x| format!("at least {x}"))
        .or(get("exclusiveMinimum").map(|x| format!("above {x}")));
    let high = get("maximum")
        .map(|x| format!("at most {x}"))
        .or(get("exclusiveMaximum").map(|x| format!("below {x}")));
    let bounds: Vec<String> = [low, high].into_iter().flatten().collect();
    if bounds.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind}, {}", bounds.join(" and "))
    }
}

fn alternatives(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(" or ")
}

fn texts(values: &[Value]) -> Vec<String> {
    values.iter().map(plain).collect()
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a section with keys".to_owned(),
        other => format!("`{}`", plain(other)),
    }
}

/// An option as `bomf plugins show` prints it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct OptionDoc {
    /// Its key.
    pub name: String,
    /// What it takes.
    pub expected: String,
    /// Used when it is not given.
    pub default: Option<Value>,
    /// What it means.
    pub doc: String,
}

/// The options that a schema describes, in the order in which they were declared.
pub fn options(schema: &Value) -> Vec<OptionDoc> {
    let properties = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    properties
        .map(|(name, property)| {
            let target = resolve(schema, property);
            let doc = property
                .get("description")
                .or_else(|| target.get("description"));
            OptionDoc {
                name: name.clone(),
                expected: expected(schema, property),
                default: property
                    .get("default")
                    .or_else(|| target.get("default"))
                    .cloned(),
                doc: doc
                    .and_then(Value::as_str)
                    .unwrap_or("")
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" "),
            }
        })
        .collect()
}
