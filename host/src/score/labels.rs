//! Labels of a file with examples: names become indices.

use std::collections::HashMap;

use super::record::Scalar;

/// Labels by name or by index, one of both in a whole file.
pub struct LabelNames {
    indices: HashMap<String, i64>,
    /// Whether the names and their order were given, and how many there are.
    given: Option<usize>,
    by_name: Option<bool>,
}

impl LabelNames {
    /// The names that were given, or those that are still to come.
    pub fn new(given: &[String]) -> Self {
        let indices = given.iter().cloned().zip(0..).collect();
        Self {
            indices,
            given: (!given.is_empty()).then_some(given.len()),
            by_name: None,
        }
    }

    /// Whether a label can be one of this file.
    pub fn check(&self, label: &Scalar<'_>) -> Result<(), String> {
        match (label, self.by_name, self.given) {
            (Scalar::Number(_), ..) => Err(format!(
                "found {label}, expected the name of a label or its index"
            )),
            (Scalar::Text(_), Some(false), _) => Err(format!(
                "found {label}, expected an index as in the lines before"
            )),
            (Scalar::Integer(_), Some(true), _) => Err(format!(
                "found {label}, expected a name as in the lines before"
            )),
            (Scalar::Text(name), _, Some(_)) if !self.indices.contains_key(&**name) => Err(
                format!("found {label}, expected one of those that `--labels` names"),
            ),
            (Scalar::Integer(index), _, Some(count)) if !(0..count as i64).contains(index) => {
                Err(format!(
                    "found {label}, expected 0 to {}: `--labels` names {count}",
                    count - 1
                ))
            }
            _ => Ok(()),
        }
    }

    /// The index of a label that was checked; names get theirs in the order in which they come.
    pub fn index(&mut self, label: &Scalar<'_>) -> i64 {
        match label {
            Scalar::Text(name) => {
                self.by_name = Some(true);
                if let Some(&index) = self.indices.get(&**name) {
                    return index;
                }
                let next = self.indices.len() as i64;
                self.indices.insert(name.clone().into_owned(), next);
                next
            }
            Scalar::Integer(index) => {
                self.by_name = Some(false);
                *index
            }
            Scalar::Number(_) => unreachable!("refused by the check"),
        }
    }

    /// All names, in the order given or else sorted, and the new index of every old one if they were sorted.
    pub fn sorted(&self) -> (Vec<String>, Option<Vec<i64>>) {
        let mut names: Vec<(&String, i64)> = self
            .indices
            .iter()
            .map(|(name, index)| (name, *index))
            .collect();
        if self.given.is_some() {
            names.sort_by_key(|(_, index)| *index);
            return (
                names.into_iter().map(|(name, _)| name.clone()).collect(),
                None,
            );
        }
        names.sort();
        let mut order = vec![0; names.len()];
        for ((_, old), new) in names.iter().zip(0..) {
            order[*old as usize] = new;
        }
        let is_named = self.by_name == Some(true);
        (
            names.into_iter().map(|(name, _)| name.clone()).collect(),
            is_named.then_some(order),
        )
    }
}
