//! `bomf plugins`: see what can be named in `use:`, and pack libraries.

use bomf_plugin_api::{Descriptor, Kind};
use serde_json::{Value, json};

use crate::config::schema::{self, nearest};
use crate::diagnostics::{Failure, Failures};
use crate::registry::{Fault, Plugin, Registry};

const KINDS: [Kind; 4] = [Kind::Model, Kind::Metric, Kind::Optimizer, Kind::Fuser];

/// `bomf plugins list`.
pub fn list(registry: &Registry, json: bool) -> String {
    if json {
        let plugins: Vec<Value> = registry.plugins().iter().map(describe).collect();
        let faults: Vec<Value> = registry
            .faults()
            .iter()
            .map(|fault| json!({"code": fault.code, "place": fault.place, "message": fault.message, "hint": fault.hint}))
            .collect();
        return format!("{:#}\n", json!({"plugins": plugins, "faults": faults}));
    }
    let mut text = String::new();
    for kind in KINDS {
        let mut components = registry.components(kind).peekable();
        if components.peek().is_none() {
            continue;
        }
        text.push_str(&format!("{kind}s\n"));
        for (plugin, descriptor) in components {
            let name = names(descriptor);
            text.push_str(&format!(
                "  {name:<24} {}  [{} {}]\n",
                descriptor.summary,
                plugin.name(),
                plugin.manifest.version
            ));
        }
    }
    if text.is_empty() {
        text.push_str("no plugins found\n");
    }
    text
}

/// What is wrong with plugins, one paragraph each; for standard error.
pub fn faults(registry: &Registry) -> Vec<String> {
    registry
        .faults()
        .iter()
        .map(|fault: &Fault| format!("warning: {}", Failure::from(fault.clone())))
        .collect()
}

/// `bomf plugins show NAME`.
pub fn show(registry: &Registry, name: &str, json: bool) -> Result<String, Failures> {
    let whole = registry
        .plugins()
        .iter()
        .find(|plugin| plugin.name() == name);
    let components: Vec<(&Plugin, &Descriptor)> = match whole {
        Some(plugin) => plugin
            .manifest
            .provides
            .iter()
            .map(|descriptor| (plugin, descriptor))
            .collect(),
        None => {
            let all = KINDS.into_iter().flat_map(|kind| registry.components(kind));
            all.filter(|(_, descriptor)| descriptor.answers_to(name))
                .collect()
        }
    };
    if components.is_empty() {
        let failure = Failure::input(
            "plugin::unknown",
            name,
            "found no plugin and no component of that name",
        );
        let known: Vec<&str> = KINDS
            .into_iter()
            .flat_map(|kind| registry.components(kind))
            .map(|(_, descriptor)| descriptor.name.as_str())
            .collect();
        return Err(failure
            .hint(match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`bomf plugins list` shows what is there".to_owned(),
            })
            .into());
    }
    if json {
        let components: Vec<Value> = components
            .iter()
            .map(|(plugin, d)| component(plugin, d))
            .collect();
        return Ok(format!("{:#}\n", Value::Array(components)));
    }
    let shown: Vec<String> = components
        .iter()
        .map(|(plugin, descriptor)| page(plugin, descriptor))
        .collect();
    Ok(shown.join("\n"))
}

fn names(descriptor: &Descriptor) -> String {
    std::iter::once(&descriptor.name)
        .chain(&descriptor.aliases)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ")
}

fn page(plugin: &Plugin, descriptor: &Descriptor) -> String {
    let mut text = format!(
        "{} `{}`: {}\nfrom {} {} ({}), {}\n",
        descriptor.kind,
        names(descriptor),
        descriptor.summary,
        plugin.name(),
        plugin.manifest.version,
        plugin.manifest.license,
        plugin.folder.display(),
    );
    for score in &descriptor.scores {
        let range = score.range.map_or("unbounded".to_owned(), |(low, high)| {
            format!("{low} to {high}")
        });
        text.push_str(
            &format!(
                "\n  score `{}`: {range}, {}{:?}\n",
                score.name,
                if score.detail { "detail, " } else { "" },
                score.direction
            )
            .to_lowercase(),
        );
    }
    let options = schema::options(&descriptor.options);
    if options.is_empty() {
        text.push_str("\n  no options\n");
    }
    for option in options {
        let default = option
            .default
            .map_or(String::new(), |default| format!(" (default {default})"));
        text.push_str(&format!(
            "\n  {}: {}{default}\n",
            option.name, option.expected
        ));
        for line in wrap(&option.doc, 90) {
            text.push_str(&format!("      {line}\n"));
        }
    }
    text
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn describe(plugin: &Plugin) -> Value {
    let manifest = &plugin.manifest;
    json!({
        "name": manifest.name, "version": manifest.version, "license": manifest.license,
        "api_version": manifest.api_version, "platform": manifest.platform, "digest": manifest.digest,
        "folder": plugin.folder,
        "provides": manifest.provides.iter().map(|d| component(plugin, d)).collect::<Vec<_>>(),
    })
}

fn component(plugin: &Plugin, descriptor: &Descriptor) -> Value {
    json!({
        "plugin": plugin.name(), "kind": descriptor.kind, "name": descriptor.name, "aliases": descriptor.aliases,
        "summary": descriptor.summary, "scores": descriptor.scores,
        "options": schema::options(&descriptor.options), "schema": descriptor.options,
    })
}
