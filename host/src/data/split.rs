//! One source, split by seed.

use std::collections::BTreeMap;

use bomf_plugin_api::{Table, column};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::config::SplitConfig;

/// The default split.
pub fn default() -> SplitConfig {
    SplitConfig {
        train: None,
        validation: 0.2,
        test: 0.2,
        stratify: true,
        seed: None,
    }
}

/// Train, validation and test. A row is in one of them at most. Nothing has to be left to train on where nothing `trains`.
pub fn split(
    whole: &Table<'static>,
    config: &SplitConfig,
    seed: u64,
    trains: bool,
) -> Result<[Table<'static>; 3], String> {
    let rows = whole.rows();
    let amount = |amount: f64| {
        if amount < 1.0 {
            (amount * rows as f64).round() as usize
        } else {
            amount as usize
        }
    };
    let (validation, test) = (amount(config.validation), amount(config.test));
    let train = config
        .train
        .map_or(rows.saturating_sub(validation + test), amount);
    if (trains && train == 0) || validation == 0 || test == 0 || train + validation + test > rows {
        return Err(format!(
            "found {rows} rows, expected enough for {train} + {validation} + {test}, none of them 0"
        ));
    }
    let order = order(whole, config.stratify, config.seed.unwrap_or(seed));
    // Test first: it stays the same when the others change.
    let parts = [(test + validation, train), (test, validation), (0, test)];
    Ok(parts.map(|(start, length)| {
        let mut rows = order[start..start + length].to_vec();
        rows.sort_unstable();
        whole.take(&rows)
    }))
}

/// All rows, shuffled; stratified, every stretch of them has the labels in nearly the same proportions.
fn order(whole: &Table<'static>, stratify: bool, seed: u64) -> Vec<u32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut rows: Vec<u32> = (0..whole.rows() as u32).collect();
    rows.shuffle(&mut random);
    let Some(labels) = whole.integers(column::LABEL).ok().filter(|_| stratify) else {
        return rows;
    };
    let mut strata: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    rows.iter()
        .for_each(|&row| strata.entry(labels[row as usize]).or_default().push(row));
    // Each row's place within its stratum, as a share of it: sorted by that, strata are interleaved evenly.
    let mut placed: Vec<(f64, i64, u32)> = Vec::with_capacity(rows.len());
    for (label, rows) in strata {
        let size = rows.len() as f64;
        placed.extend(
            rows.into_iter()
                .enumerate()
                .map(|(i, row)| ((i as f64 + 0.5) / size, label, row)),
        );
    }
    placed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    placed.into_iter().map(|(.., row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Table<'static> {
        let labels: Vec<i64> = (0..1000).map(|i| i64::from(i % 10 < 3)).collect();
        Table::new(1000)
            .with_texts(column::TEXT, (0..1000).map(|i| i.to_string()))
            .and_then(|table| table.with_integers(column::LABEL, labels))
            .unwrap()
    }

    #[test]
    fn splits_are_disjoint_stratified_and_a_function_of_the_seed() {
        let config = SplitConfig {
            train: Some(200.0),
            validation: 0.1,
            test: 300.0,
            ..default()
        };
        let splits = split(&source(), &config, 1, true).unwrap();
        assert_eq!(splits.each_ref().map(Table::rows), [200, 100, 300]);
        let mut all: Vec<String> = splits
            .iter()
            .flat_map(|table| {
                table
                    .texts(column::TEXT)
                    .unwrap()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 600);
        for table in &splits {
            let positive = table.integers(column::LABEL).unwrap().iter().sum::<i64>() as f64;
            assert!((positive / table.rows() as f64 - 0.3).abs() < 0.011);
        }
        assert!(splits == split(&source(), &config, 1, true).unwrap());
        assert!(splits != split(&source(), &config, 2, true).unwrap());
    }

    #[test]
    fn a_larger_training_split_leaves_the_test_as_it_is() {
        let small = SplitConfig {
            train: Some(100.0),
            ..default()
        };
        let (a, b) = (
            split(&source(), &small, 1, true).unwrap(),
            split(&source(), &default(), 1, true).unwrap(),
        );
        assert!(a[2] == b[2] && a[1] == b[1]);
    }

    #[test]
    fn too_few_rows_are_an_error() {
        let config = SplitConfig {
            train: Some(900.0),
            ..default()
        };
        assert!(
            split(&source(), &config, 1, true)
                .unwrap_err()
                .contains("1000 rows")
        );
    }
}
