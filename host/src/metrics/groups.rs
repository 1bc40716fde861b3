//! Scores of groups of examples.

use std::collections::BTreeMap;

use bomf_plugin_api::{Direction, Table, Values};

use super::{GroupScores, OpenMetric};
use crate::diagnostics::Failure;

/// Which group every row of a table is of.
pub struct Groups {
    names: Vec<String>,
    /// `[rows]`, positions in `names`.
    of_row: Vec<u32>,
}

impl Groups {
    /// Groups by a column with one text or integer per row; groups are in the order of their names.
    pub fn of(examples: &Table<'_>, by: &str) -> Result<Self, Failure> {
        let fault = |what: String| Failure::input("metric::group", format!("column `{by}`"), what);
        let column = examples.column(by).map_err(|error| {
            fault(error.message)
                .hint("`fields.group` of the data names the column that examples are grouped by")
        })?;
        match column.values() {
            Values::Texts { .. } => {
                let texts = examples.texts(by).map_err(|error| fault(error.message))?;
                Ok(Self::named(&texts.collect::<Vec<_>>()))
            }
            Values::Integers(_) => {
                let integers = examples.integers(by);
                Ok(Self::named(integers.map_err(|error| fault(error.message))?))
            }
            _ => Err(fault(
                "found numbers, expected texts or integers".to_owned(),
            )),
        }
    }

    fn named<K: Ord + std::fmt::Display>(keys: &[K]) -> Self {
        let mut positions: BTreeMap<&K, u32> = keys.iter().map(|key| (key, 0)).collect();
        for (next, position) in positions.values_mut().enumerate() {
            *position = next as u32;
        }
        Self {
            names: positions.keys().map(ToString::to_string).collect(),
            of_row: keys.iter().map(|key| positions[key]).collect(),
        }
    }

    /// The scores of each group that some of the rows are of.
    pub fn scores(
        &self,
        rows: &[u32],
        score: impl Fn(&[u32]) -> Result<Vec<f64>, Failure>,
    ) -> Result<Vec<GroupScores>, Failure> {
        let mut members = vec![Vec::new(); self.names.len()];
        for &row in rows {
            members[self.of_row[row as usize] as usize].push(row);
        }
        let present = self
            .names
            .iter()
            .zip(members)
            .filter(|(_, rows)| !rows.is_empty());
        let scored = present.map(|(name, rows)| {
            let values = score(&rows).map_err(|failure| Failure {
                place: format!("{}, group `{name}`", failure.place),
                ..failure
            })?;
            Ok(GroupScores {
                name: name.clone(),
                examples: rows.len(),
                values,
            })
        });
        scored.collect()
    }
}

/// The worst group's value of each of the metric's scores.
pub fn worst(metric: &OpenMetric, groups: &[GroupScores]) -> Vec<f64> {
    let scores = metric.scores.iter().enumerate();
    let worst = scores.map(|(index, (_, direction))| {
        let values = groups.iter().map(|group| group.values[index]);
        let pick = match direction {
            Direction::Maximize => f64::min,
            Direction::Minimize => f64::max,
        };
        values
            .reduce(pick)
            .expect("a table that was scored has a row, and so a group")
    });
    worst.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bomf_plugin_api::column;

    #[test]
    fn groups_are_texts_or_integers_and_those_without_a_row_are_left_out() {
        let table = Table::new(4)
            .with_texts(column::GROUP, ["b", "a", "b", "c"])
            .and_then(|table| table.with_integers(column::LABEL, vec![10, 9, 10, -1]))
            .and_then(|table| table.with_numbers(column::VALUE, vec![0.5; 4]))
            .unwrap();
        let count = |rows: &[u32]| Ok(vec![rows.len() as f64]);
        let names = |by: &str, rows: &[u32]| -> Vec<(String, usize)> {
            let groups = Groups::of(&table, by).unwrap().scores(rows, count).unwrap();
            groups
                .into_iter()
                .map(|group| (group.name, group.examples))
                .collect()
        };
        let all: &[u32] = &[0, 1, 2, 3];
        let named = |pairs: &[(&str, usize)]| -> Vec<(String, usize)> {
            pairs
                .iter()
                .map(|(name, rows)| ((*name).to_owned(), *rows))
                .collect()
        };
        assert_eq!(
            names(column::GROUP, all),
            named(&[("a", 1), ("b", 2), ("c", 1)])
        );
        assert_eq!(
            names(column::LABEL, all),
            named(&[("-1", 1), ("9", 1), ("10", 2)])
        );
        assert_eq!(names(column::GROUP, &[2, 2, 2]), named(&[("b", 3)]));
        for by in ["region", column::VALUE] {
            assert_eq!(
                Groups::of(&table, by).err().map(|e| e.code),
                Some("metric::group")
            );
        }
    }
}
