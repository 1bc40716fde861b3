//! Labels out of what stands in a column. Errors carry the row.

use crate::config::CutConfig;

type Fault = (usize, String);

/// Names of labels, or their indices.
pub fn named(values: &[String], labels: &[String]) -> Result<Vec<i64>, Fault> {
    let index = |value: &str| {
        let by_name = labels.iter().position(|label| label == value);
        by_name.or_else(|| {
            value
                .parse::<usize>()
                .ok()
                .filter(|&index| index < labels.len())
        })
    };
    let found = values.iter().enumerate().map(|(row, value)| {
        index(value.trim())
            .map(|index| index as i64)
            .ok_or_else(|| {
                (
                    row,
                    format!(
                        "found the label `{value}`, expected one of `{}`, or its index",
                        labels.join("`, `")
                    ),
                )
            })
    });
    found.collect()
}

/// Numbers, cut at thresholds: the rows that are kept, and their labels.
pub fn cut(values: &[String], config: &CutConfig) -> Result<(Vec<u32>, Vec<i64>), Fault> {
    let numbers = numbers(values)?;
    let kept = numbers.iter().enumerate().filter(|(_, number)| {
        config
            .drop_between
            .is_none_or(|(low, high)| **number <= low || **number >= high)
    });
    let labelled = kept.map(|(row, number)| {
        let label = config
            .thresholds
            .iter()
            .filter(|threshold| number >= threshold)
            .count();
        (row as u32, label as i64)
    });
    Ok(labelled.unzip())
}

/// Finite numbers.
pub fn numbers(values: &[String]) -> Result<Vec<f64>, Fault> {
    let parsed = values
        .iter()
        .enumerate()
        .map(|(row, value)| match value.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err((row, format!("found `{value}`, expected a finite number"))),
        });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn labels_are_names_or_indices() {
        let labels = texts(&["no", "yes"]);
        assert_eq!(
            named(&texts(&["yes", " no", "0", "1"]), &labels).unwrap(),
            [1, 0, 0, 1]
        );
        let (row, what) = named(&texts(&["yes", "2"]), &labels).unwrap_err();
        assert!(row == 1 && what.contains("`2`") && what.contains("`no`, `yes`"));
    }

    #[test]
    fn a_name_counts_before_an_index() {
        assert_eq!(named(&texts(&["1"]), &texts(&["1", "0"])).unwrap(), [0]);
    }

    #[test]
    fn numbers_are_cut_and_what_lies_between_is_dropped() {
        let config = CutConfig {
            field: String::new(),
            thresholds: vec![0.0, 2.0],
            drop_between: Some((-0.5, 0.5)),
        };
        let (rows, labels) = cut(&texts(&["-3", "0", "-0.5", "0.5", "2", "9"]), &config).unwrap();
        assert_eq!((rows, labels), (vec![0, 2, 3, 4, 5], vec![0, 0, 1, 2, 2]));
        assert_eq!(cut(&texts(&["1", "x"]), &config).unwrap_err().0, 1);
    }
}
