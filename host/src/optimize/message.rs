//! What a program may say to a session: one JSON object per line.

use std::fmt;

use bomf_plugin_api::{Coordinate, Domain, Objective, Outcome, Point, check_point};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::search::Search;
use crate::config::schema::nearest;
use crate::diagnostics::Failure;
use crate::stages::tune::Axis;

/// Lines of more bytes are not read.
pub const LONGEST: usize = 1 << 20;

/// Values further from zero than this, as they are or on their objective's scale, are refused: squares of it are finite.
const GREATEST: f64 = 1e100;

/// A line, understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// What came of a trial, or of a point that was evaluated outside.
    Tell { of: Target, outcome: Outcome },
    /// Values on the way, one per objective.
    Report {
        id: u64,
        step: u64,
        values: Vec<f64>,
    },
}

/// What an outcome belongs to.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// What was asked under this id.
    Asked(u64),
    /// A point that was not asked.
    Point(Point),
}

/// Understands a line.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read(line: &[u8], search: &Search) -> Result<Message, Failure> {
    let value = parse(line)?;
    let whole = Part::of(&value, String::new())?;
    whole.only(&["tell", "report"], UNKNOWN_KEY)?;
    match (whole.map.get("tell"), whole.map.get("report")) {
        (Some(tell), None) => read_tell(&Part::of(tell, "tell".to_owned())?, search),
        (None, Some(report)) => read_report(&Part::of(report, "report".to_owned())?, search),
        (found, _) => {
            let found = if found.is_some() { "both" } else { "neither" };
            Err(whole.fault(
                "",
                FORM,
                format!("found {found}, expected either `tell` or `report`"),
            ))
        }
    }
}

const FORM: &str = "optimize::form";
const UNKNOWN_KEY: &str = "optimize::unknown_key";
const UNKNOWN_NAME: &str = "optimize::unknown_name";
const MISSING: &str = "optimize::missing";
const VALUE: &str = "optimize::value";
const POINT: &str = "optimize::point";

fn parse(line: &[u8]) -> Result<Value, Failure> {
    if line.len() > LONGEST {
        let message = format!("found a line of more than {LONGEST} bytes, expected a shorter one");
        return Err(Failure::input("optimize::too_long", "", message));
    }
    let text = std::str::from_utf8(line).map_err(|error| {
        let message = format!(
            "found bytes that are not UTF-8 after {}",
            error.valid_up_to()
        );
        Failure::input("optimize::json", "", message)
    })?;
    let strict = serde_json::from_str(text).map(|Strict(value)| value);
    strict.map_err(|error| {
        if error.is_data() {
            return Failure::input(FORM, "", format!("found {error}, expected every key once"));
        }
        let message = format!("found no JSON ({error}), expected one object in one line");
        let failure = Failure::input("optimize::json", "", message);
        match ["NaN", "Infinity"].iter().any(|word| text.contains(word)) {
            true => failure.hint(FAILED_HINT),
            false => failure,
        }
    })
}

/// JSON whose objects have every key once: a plain map would keep the last of two silently.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Map::new();
        while let Some((key, Strict(value))) = map.next_entry::<String, _>()? {
            if entries.contains_key(&key) {
                let message = format!("the key `{}` twice", short(&key));
                return Err(A::Error::custom(message));
            }
            entries.insert(key, value);
        }
        Ok(Value::Object(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

const FAILED_HINT: &str = "a trial without a finite value is told as failed: {\"tell\": {\"id\": ..., \"failed\": \"why\"}}";

fn read_tell(tell: &Part<'_>, search: &Search) -> Result<Message, Failure> {
    tell.only(&["id", "point", "values", "noise", "failed"], UNKNOWN_KEY)?;
    let of = match (tell.map.get("id"), tell.map.get("point")) {
        (Some(_), None) => Target::Asked(tell.integer("id")?),
        (None, Some(point)) => Target::Point(read_point(
            &Part::of(point, "tell.point".to_owned())?,
            search,
        )?),
        (Some(_), Some(_)) => {
            let message = "found a point beside an id, expected one of them";
            return Err(tell.fault("point", FORM, message));
        }
        (None, None) => {
            let message = "found nothing, expected the id of an ask, or a `point`";
            return Err(tell.fault("id", MISSING, message));
        }
    };
    let outcome = match (tell.map.get("values"), tell.map.get("failed")) {
        (Some(values), None) => finished(tell, values, search)?,
        (None, Some(Value::String(why))) if tell.map.contains_key("noise") => {
            let message = format!("found noise of a trial that failed ({why}), expected none");
            return Err(tell.fault("noise", FORM, message));
        }
        (None, Some(Value::String(why))) => Outcome::Failed { why: why.clone() },
        (None, Some(other)) => {
            let message = format!("found {}, expected a text that says why", show(other));
            return Err(tell.fault("failed", FORM, message));
        }
        (Some(_), Some(_)) => {
            let message = "found a reason beside values, expected one of them";
            return Err(tell.fault("failed", FORM, message));
        }
        (None, None) => {
            let message = "found nothing, expected `values` or `failed`";
            return Err(tell.fault("values", MISSING, message));
        }
    };
    Ok(Message::Tell { of, outcome })
}

fn finished(tell: &Part<'_>, values: &Value, search: &Search) -> Result<Outcome, Failure> {
    let part = Part::of(values, "tell.values".to_owned())?;
    let names = search.names();
    part.only(&names, UNKNOWN_NAME)?;
    let values = objective_values(&part, search)?;
    let constraint_values = search.constraints.iter().map(|c| part.number(&c.name));
    let noise = tell.map.get("noise").map(|noise| read_noise(noise, search));
    Ok(Outcome::Finished {
        values,
        noise: noise.transpose()?,
        constraint_values: constraint_values.collect::<Result<_, _>>()?,
    })
}

/// One value per objective, on whose scale it is not too great.
fn objective_values(part: &Part<'_>, search: &Search) -> Result<Vec<f64>, Failure> {
    let value = |objective: &Objective| {
        let value = part.number(&objective.name)?;
        match objective.normalise(value).abs() <= GREATEST {
            true => Ok(value),
            false => {
                let message = format!("found {value}, expected at most {GREATEST:e} on its scale");
                Err(part
                    .fault(&objective.name, VALUE, message)
                    .hint(FAILED_HINT))
            }
        }
    };
    search.objectives.iter().map(value).collect()
}

fn read_noise(noise: &Value, search: &Search) -> Result<Vec<f64>, Failure> {
    let part = Part::of(noise, "tell.noise".to_owned())?;
    let names: Vec<&str> = search.objectives.iter().map(|o| o.name.as_str()).collect();
    part.only(&names, UNKNOWN_NAME)?;
    let level = |objective: &Objective| {
        let level = part.number(&objective.name)?;
        let unit = objective
            .scale
            .map_or(1.0, |(zero, one)| (one - zero).abs());
        match level >= 0.0 && level / unit <= GREATEST {
            true => Ok(level),
            false => {
                let message = format!("found {level}, expected a standard deviation of 0 or more");
                Err(part.fault(&objective.name, VALUE, message))
            }
        }
    };
    search.objectives.iter().map(level).collect()
}

fn read_report(report: &Part<'_>, search: &Search) -> Result<Message, Failure> {
    report.only(&["id", "step", "values"], UNKNOWN_KEY)?;
    let (id, step) = (report.integer("id")?, report.integer("step")?);
    let Some(values) = report.map.get("values") else {
        return Err(report.fault("values", MISSING, "found nothing, expected an object"));
    };
    let values = Part::of(values, "report.values".to_owned())?;
    let names: Vec<&str> = search.objectives.iter().map(|o| o.name.as_str()).collect();
    values.only(&names, UNKNOWN_NAME)?;
    let values = objective_values(&values, search)?;
    Ok(Message::Report { id, step, values })
}

fn read_point(point: &Part<'_>, search: &Search) -> Result<Point, Failure> {
    let names: Vec<&str> = search
        .axes
        .iter()
        .map(|axis| axis.parameter.name.as_str())
        .collect();
    point.only(&names, UNKNOWN_NAME)?;
    let coordinate = |axis: &Axis| {
        let name = &axis.parameter.name;
        let value = point.map.get(name).ok_or_else(|| {
            point.fault(
                name,
                MISSING,
                format!("found nothing, expected {}", describe(axis)),
            )
        })?;
        let inside = read_coordinate(axis, value).filter(|coordinate| {
            check_point(
                std::slice::from_ref(&axis.parameter),
                &vec![coordinate.clone()],
            )
            .is_ok()
        });
        inside.ok_or_else(|| {
            let message = format!("found {}, expected {}", show(value), describe(axis));
            point.fault(name, POINT, message)
        })
    };
    search.axes.iter().map(coordinate).collect()
}

fn read_coordinate(axis: &Axis, value: &Value) -> Option<Coordinate> {
    match &axis.parameter.domain {
        Domain::Float { .. } => value.as_f64().map(Coordinate::Float),
        Domain::Integer { .. } => {
            let whole = |x: &f64| x.fract() == 0.0 && x.abs() <= (1_u64 << 53) as f64;
            let number = value
                .as_i64()
                .or(value.as_f64().filter(whole).map(|x| x as i64));
            number.map(Coordinate::Integer)
        }
        Domain::Choice { .. } => {
            let same = |choice: &Value| is_same(choice, value);
            axis.choices.iter().position(same).map(Coordinate::Choice)
        }
        Domain::Simplex { .. } => {
            let numbers = value.as_array()?.iter().map(Value::as_f64);
            numbers
                .collect::<Option<Vec<f64>>>()
                .map(Coordinate::Simplex)
        }
        _ => None,
    }
}

/// Whether two choices are one: 1 and 1.0 are, however the number is written.
pub(super) fn is_same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn describe(axis: &Axis) -> String {
    match &axis.parameter.domain {
        Domain::Float { low, high, .. } => format!("a number from {low} to {high}"),
        Domain::Integer { low, high, .. } => format!("a whole number from {low} to {high}"),
        Domain::Simplex { dimension } => {
            format!("a list of {dimension} numbers that are not negative and sum to 1")
        }
        _ => {
            let choices = axis.choices.iter().map(|choice| format!("`{choice}`"));
            choices.collect::<Vec<_>>().join(" or ")
        }
    }
}

/// An object inside a line, and where it is.
struct Part<'a> {
    at: String,
    map: &'a Map<String, Value>,
}

impl<'a> Part<'a> {
    fn of(value: &'a Value, at: String) -> Result<Self, Failure> {
        let Some(map) = value.as_object() else {
            let message = format!("found {}, expected an object", show(value));
            return Err(Failure::input(FORM, at, message));
        };
        Ok(Self { at, map })
    }

    fn fault(&self, key: &str, code: &'static str, message: impl Into<String>) -> Failure {
        let dot = if self.at.is_empty() || key.is_empty() {
            ""
        } else {
            "."
        };
        Failure::input(code, format!("{}{dot}{key}", self.at), message)
    }

    /// Refuses other keys than these.
    fn only(&self, known: &[&str], code: &'static str) -> Result<(), Failure> {
        let Some(key) = self.map.keys().find(|key| !known.contains(&key.as_str())) else {
            return Ok(());
        };
        let message = format!("found `{}`, expected `{}`", short(key), known.join("`, `"));
        let failure = self.fault("", code, message);
        Err(match nearest(key, known.iter().copied()) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure,
        })
    }

    fn integer(&self, key: &str) -> Result<u64, Failure> {
        let Some(value) = self.map.get(key) else {
            return Err(self.fault(key, MISSING, "found nothing, expected a whole number"));
        };
        value.as_u64().ok_or_else(|| {
            let message = format!(
                "found {}, expected a whole number of 0 or more",
                show(value)
            );
            self.fault(key, VALUE, message)
        })
    }

    fn number(&self, key: &str) -> Result<f64, Failure> {
        let Some(value) = self.map.get(key) else {
            return Err(self.fault(key, MISSING, "found nothing, expected a number"));
        };
        value
            .as_f64()
            .filter(|number| number.abs() <= GREATEST)
            .ok_or_else(|| {
                let message = format!(
                    "found {}, expected a number between ±{GREATEST:e}",
                    show(value)
                );
                self.fault(key, VALUE, message).hint(FAILED_HINT)
            })
    }
}

/// What was found, not too long.
fn show(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        other => format!("`{}`", short(&other.to_string())),
    }
}

fn short(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
