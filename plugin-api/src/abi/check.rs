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

/// The field's or function's name out of its description (`field_name:...` or `function_name(...)`).
fn name(step: &str) -> String {
    let first = step
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("");
    first
        .split([':', '('])
        .next()
        .unwrap_or("")
        .trim()
        .to_owned()
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
