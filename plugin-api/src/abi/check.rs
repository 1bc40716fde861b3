//! One line per fault out of abi_stable's long reports.

use abi_stable::abi_stability::abi_checking::AbiInstabilityErrors;

/// Path of field names, what was expected, what was found.
pub(super) fn faults(errors: &AbiInstabilityErrors) -> Vec<String> {
    let mut lines = Vec::new();
    for error in &errors.errors {
        let path: Vec<String> = error
            .stack_trace
            .iter()
            .map(|step| name(&step.expected.to_string()))
            .filter(|name| !name.is_empty())
            .collect();
        for fault in &error.errs {
            let text = format!("{fault:?}");
            let line = format!("{}: {}", path.join("."), compact(&text));
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

/// The field's name out of its description, which begins with `field_name:<name>`. Empty for what says nothing to a
/// reader: the signature of a function pointer, whose field was named before, and the fields of transparent wrappers.
fn name(step: &str) -> String {
    let first = step.lines().next().unwrap_or("").trim();
    match first.strip_prefix("field_name:").map(str::trim) {
        Some("__returns") => "(what it returns)".to_owned(),
        Some(name) if name.parse::<usize>().is_err() => name.to_owned(),
        _ => String::new(),
    }
}

/// One line of bounded length.
fn compact(text: &str) -> String {
    const LONGEST: usize = 200;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
