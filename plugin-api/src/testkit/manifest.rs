//! What every library has to say about itself.

use serde_json::Value;

use crate::{API_VERSION, Descriptor, Kind, Manifest};

/// Runs the whole suite.
///
/// # Panics
/// With the claim that does not hold.
pub fn conformance(manifest: &Manifest) {
    let name = &manifest.name;
    assert!(
        is_name(name),
        "the library's name `{name}` is one of folders: letters, digits, `-`, `_`"
    );
    for (what, text) in [
        ("version", &manifest.version),
        ("platform", &manifest.platform),
        ("licence", &manifest.license),
    ] {
        assert!(!text.is_empty(), "library `{name}`: the {what} is given");
    }
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    assert_eq!(
        major(&manifest.api_version),
        major(API_VERSION),
        "library `{name}`: the API's major version"
    );
    assert!(
        !manifest.provides.is_empty(),
        "library `{name}`: something is brought"
    );
    for (index, descriptor) in manifest.provides.iter().enumerate() {
        describes_itself(descriptor);
        for other in manifest.provides[..index]
            .iter()
            .filter(|other| other.kind == descriptor.kind)
        {
            let mut names = std::iter::once(&descriptor.name).chain(&descriptor.aliases);
            let taken = names.find(|name| other.answers_to(name));
            assert_eq!(
                taken, None,
                "library `{name}`: two {}s answer to one name",
                descriptor.kind
            );
        }
    }
}

/// The descriptor of that kind and name.
///
/// # Panics
/// When the library brings none: says what it brings.
pub fn descriptor<'a>(manifest: &'a Manifest, kind: Kind, name: &str) -> &'a Descriptor {
    let found = manifest
        .provides
        .iter()
        .find(|one| one.kind == kind && one.answers_to(name));
    found.unwrap_or_else(|| {
        let names: Vec<&str> = manifest
            .provides
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        panic!(
            "library `{}` brings `{}`, no {kind} `{name}`",
            manifest.name,
            names.join("`, `")
        )
    })
}

fn describes_itself(descriptor: &Descriptor) {
    let name = format!("{} `{}`", descriptor.kind, descriptor.name);
    for one in std::iter::once(&descriptor.name).chain(&descriptor.aliases) {
        assert!(
            is_name(one),
            "{name}: `{one}` is made of letters, digits, `-` and `_`"
        );
    }
    let summary = &descriptor.summary;
    let is_line = !summary.is_empty() && summary.lines().count() == 1 && !summary.ends_with('.');
    assert!(
        is_line,
        "{name}: the summary is one line without a full stop, found `{summary}`"
    );
    options_are_documented(&name, &descriptor.options);
    if descriptor.kind != Kind::Metric {
        assert!(
            descriptor.scores.is_empty(),
            "{name}: only metrics have scores"
        );
        return;
    }
    assert!(
        !descriptor.scores.is_empty(),
        "{name}: a metric declares its scores"
    );
    for (index, score) in descriptor.scores.iter().enumerate() {
        let is_new = descriptor.scores[..index]
            .iter()
            .all(|other| other.name != score.name);
        assert!(
            is_new && !score.name.is_empty(),
            "{name}: scores have names of their own"
        );
        if let Some((low, high)) = score.range {
            let is_range = low.is_finite() && high.is_finite() && low < high;
            assert!(
                is_range,
                "{name}: the range of `{}` is {low} to {high}",
                score.name
            );
        }
    }
}

/// Users read an option's doc comment, type and default: each has to be there.
fn options_are_documented(name: &str, schema: &Value) {
    let kind = schema.get("type").and_then(Value::as_str);
    if kind == Some("null") {
        return;
    }
    assert_eq!(
        kind,
        Some("object"),
        "{name}: options are a struct, or `()` for none"
    );
    assert_eq!(
        schema.get("additionalProperties"),
        Some(&Value::Bool(false)),
        "{name}: unknown options are refused: `#[serde(deny_unknown_fields)]`"
    );
    let Some(Value::Object(properties)) = schema.get("properties") else {
        return;
    };
    let required: Vec<&str> = match schema.get("required") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    for (option, property) in properties {
        let doc = property
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or("");
        assert!(
            !doc.trim().is_empty(),
            "{name}: option `{option}` has a doc comment"
        );
        let has_default = property.get("default").is_some() || required.contains(&option.as_str());
        assert!(
            has_default,
            "{name}: option `{option}` shows a default or is required: `#[serde(default)]`, and `Serialize` for its type"
        );
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.chars().all(allowed)
}
