//! Asks and tells over stdin and stdout, as `bomf optimize` does, straight on the library:
//! `cargo run --release -p optimizer-gp --example ask_tell -- SPACE.json`.
//!
//! What the file says is what `bomf optimize` reads (JSON is YAML, too), one ask at a time.

use std::io::{BufRead as _, Write as _};

use bomf_plugin_api::{
    Context, Coordinate, Direction, Domain, Objective, Outcome, Parameter, PluginError, Result,
    Scale, Study, Suggestions,
};
use serde_json::{Map, Value, json};

fn main() -> Result<()> {
    let path = std::env::args()
        .nth(1)
        .ok_or_else(|| PluginError::input("expected a file with a space"))?;
    let text = std::fs::read(&path)
        .map_err(|e| PluginError::failed(format!("cannot read {path}: {e}")))?;
    let file: Value = serde_json::from_slice(&text).map_err(malformed)?;
    let space = entries(&file["space"])?
        .iter()
        .map(|(name, axis)| parameter(name, axis))
        .collect::<Result<_>>()?;
    let objectives = file["objectives"].as_array().into_iter().flatten();
    let mut study = Study::new(space, objectives.map(objective).collect());
    study.check()?;
    study.budget = file["budget"].as_u64();
    let mut options = file["optimizer"].clone();
    if let Some(entries) = options.as_object_mut() {
        entries.remove("use");
    }
    let context = Context::new(1, file["seed"].as_u64().unwrap_or(0));
    let mut gp = optimizer_gp::library().make_optimizer("gp", &options.to_string(), &context)?;

    let mut lines = std::io::stdin().lock().lines();
    while study
        .budget
        .is_none_or(|most| (study.trials.len() as u64) < most)
    {
        let Suggestions::Points(points) = gp.suggest(&study, 1)? else {
            break;
        };
        for suggestion in points {
            let point = named(&study, &file, &suggestion.point);
            let id = study.suggest(suggestion);
            println!("{}", json!({"ask": {"id": id, "point": point}}));
            std::io::stdout().flush().map_err(malformed)?;
            let Some(line) = lines.next() else {
                return Ok(());
            };
            let tell: Value = serde_json::from_str(&line.map_err(malformed)?).map_err(malformed)?;
            let values = study
                .objectives
                .iter()
                .map(|o| tell["tell"]["values"][&o.name].as_f64())
                .collect::<Option<_>>()
                .ok_or_else(|| PluginError::input("found no value of an objective"))?;
            study.trials[id as usize].outcome = Outcome::finished(values);
        }
    }
    println!("{}", json!({"done": {}}));
    Ok(())
}

fn malformed(error: impl std::fmt::Display) -> PluginError {
    PluginError::input(error.to_string())
}

fn entries(value: &Value) -> Result<&Map<String, Value>> {
    value
        .as_object()
        .ok_or_else(|| PluginError::input("expected `space` with named parameters"))
}

fn parameter(name: &str, axis: &Value) -> Result<Parameter> {
    let scale = match axis["scale"].as_str() {
        Some("log") => Scale::Log,
        _ => Scale::Linear,
    };
    let domain = if let Some(dimension) = axis["simplex"].as_u64() {
        let dimension = dimension as usize;
        Domain::Simplex { dimension }
    } else if let Some(choices) = axis["choices"].as_array() {
        let count = choices.len();
        Domain::Choice { count }
    } else if axis["integer"] == true {
        let bound = |key: &str| axis[key].as_i64();
        match (bound("low"), bound("high")) {
            (Some(low), Some(high)) => Domain::Integer { low, high, scale },
            _ => return Err(malformed(format!("parameter `{name}`: expected bounds"))),
        }
    } else {
        let bound = |key: &str| axis[key].as_f64();
        match (bound("low"), bound("high")) {
            (Some(low), Some(high)) => Domain::Float { low, high, scale },
            _ => return Err(malformed(format!("parameter `{name}`: expected bounds"))),
        }
    };
    let name = name.to_owned();
    Ok(Parameter { name, domain })
}

fn objective(value: &Value) -> Objective {
    let direction = match value["direction"].as_str() {
        Some("minimize") => Direction::Minimize,
        _ => Direction::Maximize,
    };
    let mut objective = Objective::new(value["name"].as_str().unwrap_or("value"), direction);
    objective.reference = value["reference"].as_f64();
    objective
}

/// A point as an object, choices by what they are called.
fn named(study: &Study, file: &Value, point: &[Coordinate]) -> Map<String, Value> {
    study
        .space
        .iter()
        .zip(point)
        .map(|(parameter, coordinate)| {
            let value = match coordinate {
                Coordinate::Float(x) => json!(x),
                Coordinate::Integer(i) => json!(i),
                Coordinate::Choice(index) => {
                    file["space"][&parameter.name]["choices"][*index].clone()
                }
                Coordinate::Simplex(shares) => json!(shares),
                _ => Value::Null,
            };
            (parameter.name.clone(), value)
        })
        .collect()
}
