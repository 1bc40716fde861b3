//! From the arguments to a record of what is to be made.

use std::collections::BTreeMap;
use std::path::Path;

use fusion::Dtype;
use fusion::lora::Lora;
use fusion::recipe::{Integers, Pattern};
use fusion::record::{Model, Record};
use fusion::rules::Rule;
use serde_json::{Value, json};

use crate::cli::FuseArguments;
use crate::cli::fuse::{DtypeName, IntegersName, LoraName, SumName};
use crate::config::document::Document;
use crate::config::schema;
use crate::diagnostics::{Failure, Failures};

/// What the arguments ask for; the files of the models are still to be noted.
pub fn record(arguments: &FuseArguments) -> Result<Record, Failures> {
    let method = method(&arguments.method, &arguments.options)?;
    let base = arguments.base.as_deref().or(arguments.into.as_deref());
    let base = base.map(|path| model(path, None));
    let lora = match (arguments.lora, &arguments.into) {
        (_, Some(_)) => Some(Lora::Into),
        (None, None) => None,
        (Some(LoraName::Factors), None) => Some(Lora::Factors),
        (Some(LoraName::Products), None) => Some(Lora::Products {
            rank: arguments.rank.map(usize::from),
        }),
    };
    if arguments.rank.is_some() && !matches!(lora, Some(Lora::Products { .. })) {
        let what = "found a rank, expected it with `--lora products` alone";
        return Err(Failure::input("fuse::rank", "--rank", what).into());
    }
    let patterns = arguments.patterns.iter().map(|text| pattern(text));
    Ok(Record {
        bomf: env!("CARGO_PKG_VERSION").to_owned(),
        base: base.transpose()?,
        members: members(&arguments.members, &method)?,
        patterns: patterns.collect::<Result<_, _>>()?,
        method,
        lora,
        seed: arguments.seed,
        dtype: arguments.dtype.map(|name| match name {
            DtypeName::F64 => Dtype::F64,
            DtypeName::F32 => Dtype::F32,
            DtypeName::F16 => Dtype::F16,
            DtypeName::Bf16 => Dtype::Bf16,
        }),
        accumulate: arguments.accumulate.map(|name| match name {
            SumName::F32 => Dtype::F32,
            SumName::F64 => Dtype::F64,
        }),
        integers: match arguments.integers {
            IntegersName::Error => Integers::Error,
            IntegersName::First => Integers::First,
        },
        shard_size: arguments.shard_size,
        truncation: None,
    })
}

/// A method with its options, checked as those of plugins are.
fn method(name: &str, options: &[String]) -> Result<Rule, Failures> {
    let known = Rule::named(name).expect("the command line knows the names");
    let mut lines = String::from("{}");
    for (number, text) in options.iter().enumerate() {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            let place = format!("--option {text}");
            Failure::input("fuse::option", place, "found no `=`, expected KEY=VALUE")
        })?;
        if number == 0 {
            lines.clear();
        }
        let value = value.replace(['\n', '\r'], " ");
        lines.push_str(&format!("{}: {value}\n", json!(key)));
    }
    // One option a line, so that positions in messages are those of the arguments.
    let mut document = Document::parse(Path::new("--option"), &lines)?;
    let mut problems = Vec::new();
    let schema = known.schema();
    schema::check(&schema, &document.value, "", &document, &mut problems);
    if !problems.is_empty() {
        return Err(Failures(problems));
    }
    document.value["use"] = Value::from(name);
    let fault = |error: serde_json::Error| document.problem("", "config::value", error.to_string());
    Ok(serde_json::from_value(document.value.clone()).map_err(fault)?)
}

/// Members with their coefficients: all of them have one, or none.
fn members(texts: &[String], method: &Rule) -> Result<Vec<Model>, Failure> {
    let parsed: Vec<(&str, Option<f64>)> = texts
        .iter()
        .map(|text| match text.rsplit_once('=') {
            Some((path, number)) if number.parse::<f64>().is_ok() => (path, number.parse().ok()),
            _ => (text.as_str(), None),
        })
        .collect();
    let with = parsed
        .iter()
        .filter(|(_, coefficient)| coefficient.is_some())
        .count();
    let fault = |what: String| Failure::input("fuse::coefficients", "--member", what);
    if with != 0 && !method.has_coefficients() {
        let name = method.name();
        let fault = fault(format!(
            "found a coefficient for {with} of {} members, expected none with `{name}`",
            parsed.len()
        ));
        return Err(match method {
            Rule::Slerp(_) => fault.hint("`--option t=...` says where on the arc"),
            _ => fault,
        });
    }
    if with != 0 && with != parsed.len() {
        return Err(fault(format!(
            "found a coefficient for {with} of {} members, expected one for all or for none",
            parsed.len()
        )));
    }
    let equal = method.has_coefficients().then(|| 1.0 / parsed.len() as f64);
    parsed
        .into_iter()
        .map(|(path, coefficient)| model(Path::new(path), coefficient.or(equal)))
        .collect()
}

fn model(path: &Path, coefficient: Option<f64>) -> Result<Model, Failure> {
    // A replay may be started from another folder.
    let path = std::path::absolute(path)
        .map_err(|error| Failure::input("fuse::member", path.display(), error.to_string()))?;
    Ok(Model {
        path,
        coefficient,
        files: Vec::new(),
        beside: BTreeMap::new(),
    })
}

fn pattern(text: &str) -> Result<Pattern, Failure> {
    let parsed = text.rsplit_once('=').and_then(|(pattern, numbers)| {
        let coefficients = numbers.split(',').map(|number| number.trim().parse().ok());
        Some(Pattern {
            pattern: pattern.to_owned(),
            coefficients: coefficients.collect::<Option<_>>()?,
        })
    });
    parsed.ok_or_else(|| {
        Failure::input(
            "fuse::pattern",
            "--pattern",
            format!("found `{text}`, expected GLOB=C1,C2,... with one number per member"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_are_given_for_all_members_or_for_none() {
        let parse = |texts: &[&str], method: &str| {
            let texts: Vec<String> = texts.iter().map(|t| (*t).to_owned()).collect();
            members(&texts, &Rule::named(method).unwrap())
        };
        assert_eq!(
            parse(&["/a", "/b"], "ties").unwrap()[1].coefficient,
            Some(0.5)
        );
        let odd = parse(&["/a=b", "/c=d"], "linear").unwrap();
        assert_eq!(
            (odd[0].path.to_str(), odd[0].coefficient),
            (Some("/a=b"), Some(0.5))
        );
        let two = parse(&["/a=b=2", "/c=-1"], "linear").unwrap();
        assert_eq!(two[0].coefficient, Some(2.0));
        assert!(parse(&["/a=1", "/b"], "linear").is_err());
        assert_eq!(parse(&["/a", "/b"], "slerp").unwrap()[0].coefficient, None);
        let fault = parse(&["/a=1", "/b=2"], "slerp").unwrap_err();
        assert!(fault.hint.unwrap().contains("--option t="));
    }

    #[test]
    fn options_are_checked_as_those_of_plugins_are() {
        let parse = |name: &str, options: &[&str]| {
            let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
            method(name, &options)
        };
        let found = parse("ties", &["density=[0.3, 0.5]", "rescale=true"]).unwrap();
        let written = json!(found);
        assert_eq!(written["density"], json!([0.3, 0.5]));
        assert_eq!(
            (&written["rescale"], &written["lambda"]),
            (&json!(true), &json!(1.0))
        );
        assert_eq!(
            parse("model_stock", &[]).unwrap(),
            Rule::named("model_stock").unwrap()
        );
        for (options, code, said) in [
            (
                ["densty=0.3"],
                "config::unknown_key",
                "did you mean `density`?",
            ),
            (
                ["density=much"],
                "config::type",
                "expected a number or a list",
            ),
            (["density"], "fuse::option", "expected KEY=VALUE"),
            (["density=[1"], "config::syntax", ""),
        ] {
            let failures = parse("ties", &options).unwrap_err();
            let failure = &failures.0[0];
            assert_eq!(failure.code, code);
            assert!(failure.to_string().contains(said), "{failure}");
        }
    }
}
