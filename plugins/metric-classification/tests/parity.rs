//! Scores equal scikit-learn's; and what no reference can say.

use bomf_plugin_api::{Context, Table, column};
use metric_classification::library;
use proptest::prelude::*;
use serde_json::Value;

/// Sums of a few hundred f64 in another order.
const TOLERANCE: f64 = 1e-12;

fn table(truth: &[i64], predicted: &[i64]) -> Table<'static> {
    Table::new(truth.len())
        .with_integers(column::LABEL, truth.to_vec())
        .and_then(|table| table.with_integers(column::PREDICTED_LABEL, predicted.to_vec()))
        .unwrap()
}

/// `key` is `name`, `name|average` or `name|binary|positive`.
fn score(key: &str, table: &Table<'_>) -> f64 {
    let parts: Vec<&str> = key.split('|').collect();
    let options = match parts[..] {
        [_] => "{}".to_owned(),
        [_, average] => format!(r#"{{"average": "{average}"}}"#),
        [_, average, positive] => format!(r#"{{"average": "{average}", "positive": {positive}}}"#),
        _ => panic!("{key}"),
    };
    let metric = library()
        .make_metric(parts[0], &options, &Context::default())
        .unwrap();
    metric.score(table).unwrap().get(parts[0]).unwrap()
}

#[test]
fn scores_equal_scikit_learn() {
    let golden: Value = serde_json::from_str(include_str!("goldens/classification.json")).unwrap();
    let integers = |value: &Value| -> Vec<i64> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_i64().unwrap())
            .collect()
    };
    let mut compared = 0;
    for case in golden["cases"].as_array().unwrap() {
        let table = table(&integers(&case["truth"]), &integers(&case["predicted"]));
        for (key, expected) in case["scores"].as_object().unwrap() {
            let (found, expected) = (score(key, &table), expected.as_f64().unwrap());
            assert!(
                (found - expected).abs() <= TOLERANCE,
                "{key}: {found} for {expected}: {case}"
            );
            compared += 1;
        }
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn without_an_example_there_is_no_score() {
    for name in ["accuracy", "f1", "precision", "recall", "matthews"] {
        let metric = library()
            .make_metric(name, "{}", &Context::default())
            .unwrap();
        assert!(
            metric
                .score(&table(&[], &[]))
                .unwrap_err()
                .message
                .contains("no example"),
            "{name}"
        );
        assert!(metric.score(&Table::new(0)).is_err(), "{name}");
    }
}

#[test]
fn a_negative_label_is_named_with_its_row() {
    let metric = library()
        .make_metric("f1", "{}", &Context::default())
        .unwrap();
    let error = metric.score(&table(&[0, 1], &[0, -1])).unwrap_err();
    assert!(
        error
            .message
            .contains("-1 in row 1 of column `predicted_label`"),
        "{error}"
    );
}

#[test]
fn several_right_labels_all_count_for_accuracy() {
    let truth = bomf_plugin_api::Values::Integers(vec![0, 2, 1].into());
    let table = Table::new(2)
        .with_column(column::LABEL, vec![0, 2, 3].into(), truth)
        .and_then(|table| table.with_integers(column::PREDICTED_LABEL, vec![2, 0]))
        .unwrap();
    assert_eq!(score("accuracy", &table), 0.5);
    let f1 = library()
        .make_metric("f1", "{}", &Context::default())
        .unwrap();
    assert!(f1.score(&table).is_err());
}

#[test]
fn an_unknown_option_is_refused() {
    assert!(
        library()
            .make_metric("f1", r#"{"averge": "macro"}"#, &Context::default())
            .is_err()
    );
}

proptest! {
    #[test]
    fn scores_lie_in_range_and_do_not_depend_on_the_order(
        pairs in proptest::collection::vec((0i64..5, 0i64..5), 1..60),
        rotation in 0usize..60,
    ) {
        let mut rotated = pairs.clone();
        rotated.rotate_left(rotation % pairs.len());
        let tables = [pairs, rotated].map(|pairs| {
            let (truth, predicted): (Vec<i64>, Vec<i64>) = pairs.into_iter().unzip();
            table(&truth, &predicted)
        });
        for key in ["accuracy", "f1", "f1|macro", "precision|weighted", "recall|micro", "matthews"] {
            let [a, b] = [&tables[0], &tables[1]].map(|table| score(key, table));
            prop_assert!((-1.0..=1.0).contains(&a));
            prop_assert!(key == "matthews" || a >= 0.0);
            prop_assert!((a - b).abs() <= TOLERANCE);
        }
    }
}
