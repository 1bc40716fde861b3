//! Golden values of scikit-learn, and what holds for every split.

use bomf_plugin_api::testkit::tolerance::{self, STATISTIC};
use bomf_plugin_api::testkit::{self, manifest};
use bomf_plugin_api::{Context, Kind, PluginError, Result, Scores, Table, Values, column};
use proptest::prelude::*;
use serde_json::Value;

fn table(truth: &[i64], predicted: &[i64]) -> Table<'static> {
    Table::new(truth.len())
        .with_integers(column::LABEL, truth.to_vec())
        .and_then(|table| table.with_integers(column::PREDICTED_LABEL, predicted.to_vec()))
        .unwrap()
}

/// Says how many labels the task has, as a model does.
fn with_labels(table: Table<'static>, labels: usize) -> Table<'static> {
    let scores = vec![1.0 / labels as f64; table.rows() * labels];
    table
        .with_number_rows(column::PREDICTED_SCORES, labels, scores)
        .unwrap()
}

fn try_score(name: &str, options: &str, table: &Table<'_>) -> Result<Scores> {
    crate::library()
        .make_metric(name, options, &Context::default())?
        .score(table)
}

fn score(name: &str, options: &str, table: &Table<'_>) -> f64 {
    try_score(name, options, table).unwrap().values[0].1
}

#[track_caller]
fn expect(found: f64, expected: f64, what: &str) {
    tolerance::expect(found, expected, STATISTIC, what);
}

fn refusal(name: &str, options: &str, table: &Table<'_>) -> PluginError {
    try_score(name, options, table).unwrap_err()
}

#[test]
fn all_promises_of_a_metric_are_kept() {
    let library = crate::library();
    manifest::conformance(library.manifest());
    let two = table(&[0, 1, 1, 0, 1], &[0, 1, 0, 1, 1]);
    let three = with_labels(table(&[0, 1, 2, 0, 1], &[0, 1, 1, 2, 1]), 3);
    for (name, options) in ALL {
        let descriptor = manifest::descriptor(library.manifest(), Kind::Metric, name);
        let metric = library
            .make_metric(name, options, &Context::default())
            .unwrap();
        testkit::metric::conformance(&*metric, descriptor, &two);
        testkit::metric::conformance(&*metric, descriptor, &three);
    }
    let scores = vec![0.7, 0.2, 0.1, 0.1, 0.3, 0.6, 0.5, 0.3, 0.2, 0.2, 0.4, 0.4];
    let scored = with_scores(&[0, 1, 2, 1], 3, scores);
    for (name, options) in [
        ("auroc", "{}"),
        ("auroc", r#"{"multi_class": "ovo", "average": "weighted"}"#),
        ("brier", "{}"),
        ("ece", r#"{"bins": 4}"#),
    ] {
        let descriptor = manifest::descriptor(library.manifest(), Kind::Metric, name);
        let metric = library
            .make_metric(name, options, &Context::default())
            .unwrap();
        testkit::metric::conformance(&*metric, descriptor, &scored);
    }
}

#[test]
fn every_number_is_that_of_scikit_learn() {
    let golden: Value = serde_json::from_str(include_str!("../goldens/scikit-learn.json")).unwrap();
    let mut compared = 0;
    for split in golden["splits"].as_array().unwrap() {
        let labels = |key: &str| -> Vec<i64> {
            let labels = split[key].as_array().unwrap();
            labels.iter().map(|label| label.as_i64().unwrap()).collect()
        };
        let bare = table(&labels("truth"), &labels("predicted"));
        let told = with_labels(bare.clone(), split["labels"].as_u64().unwrap() as usize);
        for (key, expected) in split["scores"].as_object().unwrap() {
            let words: Vec<&str> = key.split(' ').collect();
            let options = match words[..] {
                [_] => "{}".to_owned(),
                [_, average] => format!(r#"{{"average": "{average}"}}"#),
                [_, average, positive] => {
                    format!(r#"{{"average": "{average}", "positive": {positive}}}"#)
                }
                _ => unreachable!("three words at most"),
            };
            for table in [&bare, &told] {
                let what = format!("{}: {key}", split["name"]);
                let found = score(words[0], &options, table);
                expect(found, expected.as_f64().unwrap(), &what);
                compared += 1;
            }
        }
    }
    assert!(compared > 300, "{compared} numbers compared");
}

fn numbers(values: &Value) -> Vec<f64> {
    let values = values.as_array().unwrap();
    values.iter().map(|x| x.as_f64().unwrap()).collect()
}

fn with_scores(truth: &[i64], width: usize, scores: Vec<f64>) -> Table<'static> {
    Table::new(truth.len())
        .with_integers(column::LABEL, truth.to_vec())
        .and_then(|table| table.with_number_rows(column::PREDICTED_SCORES, width, scores))
        .unwrap()
}

#[test]
fn every_number_from_scores_is_that_of_scikit_learn_and_torchmetrics() {
    let golden: Value = serde_json::from_str(include_str!("../goldens/scores.json")).unwrap();
    let mut compared = 0;
    for split in golden["splits"].as_array().unwrap() {
        let truth: Vec<i64> = numbers(&split["truth"]).iter().map(|x| *x as i64).collect();
        let width = split["width"].as_u64().unwrap() as usize;
        let scores = numbers(&split["scores"]);
        let answers = scores.chunks(width).map(|row| {
            let best = |a: usize, b: usize| if row[b] > row[a] { b } else { a };
            (0..width).reduce(best).unwrap() as i64
        });
        let answers: Vec<i64> = answers.collect();
        let table = with_scores(&truth, width, scores)
            .with_integers(column::PREDICTED_LABEL, answers)
            .unwrap();
        for (key, expected) in split["expected"].as_object().unwrap() {
            let options = match key.split(' ').collect::<Vec<_>>()[..] {
                ["ece", bins] => format!(r#"{{"bins": {bins}}}"#),
                [_, how, average] => {
                    format!(r#"{{"multi_class": "{how}", "average": "{average}"}}"#)
                }
                _ => "{}".to_owned(),
            };
            let name = key.split(' ').next().unwrap();
            let what = format!("{}: {key}", split["name"]);
            let found = score(name, &options, &table);
            tolerance::expect(found, expected.as_f64().unwrap(), 1e-9, &what);
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared} numbers compared");
}

#[test]
fn a_single_score_is_that_of_label_one() {
    let (truth, of_one) = ([0, 1, 1, 0], [0.25, 0.5, 0.75, 0.625]);
    let both = of_one.iter().flat_map(|p| [1.0 - p, *p]).collect();
    let (single, both) = (
        with_scores(&truth, 1, of_one.to_vec()),
        with_scores(&truth, 2, both),
    );
    for name in ["auroc", "brier", "ece"] {
        assert_eq!(
            score(name, "{}", &single),
            score(name, "{}", &both),
            "{name}"
        );
    }
    assert_eq!(score("auroc", "{}", &single), 0.75);
    let told = single
        .with_integers(column::PREDICTED_LABEL, truth.to_vec())
        .unwrap();
    assert_eq!(score("accuracy", "{}", &told), 1.0);
}

#[test]
fn scores_that_say_nothing_are_refused() {
    let nan = with_scores(&[0, 1], 2, vec![0.5, 0.5, f64::NAN, 0.5]);
    let heavy = with_scores(&[0, 1], 2, vec![0.5, 0.5, 0.9, 0.5]);
    let logits = with_scores(&[0, 1], 2, vec![0.5, 0.5, 3.0, -2.0]);
    let alone = with_scores(&[1, 1], 2, vec![0.5, 0.5, 0.4, 0.6]);
    let other = with_scores(&[0, 2], 2, vec![0.5, 0.5, 0.4, 0.6]);
    for (name, table, piece) in [
        ("auroc", &nan, "NaN in row 1"),
        ("brier", &heavy, "in row 1 of column"),
        ("brier", &heavy, "sum to 1"),
        ("ece", &logits, "sum to 1"),
        ("auroc", &alone, "no row with the label 0"),
        ("ece", &other, "label 2 in row 1"),
    ] {
        let message = refusal(name, "{}", table)
            .message
            .replace(" in column", " of column");
        assert!(message.contains(piece), "{name}: {message}");
    }
    assert_eq!(
        score("auroc", "{}", &logits),
        0.0,
        "scores need not be probabilities"
    );
}

#[test]
fn the_area_is_the_share_of_pairs_in_the_right_order() {
    // Small enough to count the pairs one by one; scores in steps, so that there are ties.
    let truth: Vec<i64> = (0..40).map(|i| i64::from(i * 7 % 5 < 2)).collect();
    let scores: Vec<f64> = (0..40).map(|i| f64::from(i * 13 % 11) / 11.0).collect();
    let (mut right, mut pairs) = (0.0, 0.0);
    for (a, x) in truth.iter().zip(&scores).filter(|(label, _)| **label == 1) {
        for (b, y) in truth.iter().zip(&scores).filter(|(label, _)| **label == 0) {
            assert_ne!(a, b);
            right += if x > y {
                1.0
            } else if x == y {
                0.5
            } else {
                0.0
            };
            pairs += 1.0;
        }
    }
    expect(
        score("auroc", "{}", &with_scores(&truth, 1, scores)),
        right / pairs,
        "area",
    );
}

#[test]
fn two_labels_mean_binary_and_more_mean_macro() {
    let two = table(&[0, 1, 1, 0], &[0, 1, 0, 0]);
    let signature = |table: &Table<'_>, options: &str| {
        let scores = try_score("f1", options, table).unwrap();
        scores.signature.replace(env!("CARGO_PKG_VERSION"), "")
    };
    assert_eq!(
        signature(&two, "{}"),
        "f1|average:binary|positive:1|version:"
    );
    assert_eq!(score("f1", "{}", &two), 2.0 / 3.0);
    assert_eq!(score("f1", r#"{"positive": 0}"#, &two), 0.8);
    // The model says that there is a third label, which does not occur: it is left out of the mean.
    let three = with_labels(two, 3);
    assert_eq!(signature(&three, "{}"), "f1|average:macro|version:");
    expect(
        score("f1", "{}", &three),
        f64::midpoint(2.0 / 3.0, 0.8),
        "macro",
    );
    assert_eq!(
        signature(&three, r#"{"positive": 2}"#),
        "f1|average:binary|positive:2|version:"
    );
}

#[test]
fn any_of_several_right_labels_counts_for_accuracy_alone() {
    let labels = Values::Integers(vec![0, 2, 1, 2].into());
    let table = Table::new(3)
        .with_column(column::LABEL, vec![0, 2, 3, 4].into(), labels)
        .and_then(|table| table.with_integers(column::PREDICTED_LABEL, vec![2, 1, 0]))
        .unwrap();
    let scores = try_score("accuracy", "{}", &table).unwrap();
    assert_eq!(scores.per_example[0].1, [1.0, 1.0, 0.0]);
    assert_eq!(scores.get("accuracy"), Some(2.0 / 3.0));
    for name in ["f1", "precision", "recall", "matthews"] {
        let message = refusal(name, "{}", &table).message;
        assert!(message.contains("2 values in row 0"), "{message}");
    }
}

#[test]
fn labels_out_of_range_are_named_with_their_row() {
    for name in ["accuracy", "f1", "precision", "recall", "matthews"] {
        let cases = [
            (table(&[0, -1], &[0, 1]), "-1 in row 1 of column `label`"),
            (
                table(&[0, 1], &[0, -7]),
                "-7 in row 1 of column `predicted_label`",
            ),
            (
                table(&[i64::MAX, 1], &[0, 1]),
                "9223372036854775807 in row 0",
            ),
            (
                with_labels(table(&[0, 2], &[0, 1]), 2),
                "2 in row 1 of column `label`, expected 0 to 1",
            ),
        ];
        for (table, piece) in cases {
            let message = refusal(name, "{}", &table).message;
            assert!(message.contains(piece), "{name}: {message}");
        }
    }
}

#[test]
fn without_an_example_there_is_no_score() {
    for name in [
        "accuracy",
        "f1",
        "precision",
        "recall",
        "matthews",
        "balanced_accuracy",
        "auroc",
        "brier",
        "ece",
    ] {
        let message = refusal(name, "{}", &table(&[], &[])).message;
        assert!(message.contains("no example"), "{name}: {message}");
    }
}

#[test]
fn rows_without_a_label_are_refused() {
    let table = Table::new(2)
        .with_column(
            column::LABEL,
            vec![0, 1, 1].into(),
            Values::Integers(vec![0].into()),
        )
        .and_then(|table| table.with_integers(column::PREDICTED_LABEL, vec![0, 0]))
        .unwrap();
    for name in ["accuracy", "f1", "matthews"] {
        let message = refusal(name, "{}", &table).message;
        assert!(message.contains("row 1 of column `label`"), "{message}");
    }
}

#[test]
fn scores_of_uneven_width_are_refused() {
    let table = table(&[0, 1, 1], &[0, 1, 0])
        .with_column(
            column::PREDICTED_SCORES,
            vec![0, 2, 5, 7].into(),
            Values::Numbers(vec![0.5; 7].into()),
        )
        .unwrap();
    let message = refusal("f1", "{}", &table).message;
    assert!(message.contains("3 numbers in row 1"), "{message}");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let three = table(&[0, 1, 2], &[0, 1, 1]);
    let cases = [
        (
            r#"{"average": "macro", "positive": 1}"#,
            "beside an average",
        ),
        (r#"{"average": "binary"}"#, "3 labels, expected two"),
        (r#"{"positive": 3}"#, "expected 0 to 2"),
        (r#"{"average": "median"}"#, "unknown variant"),
        (r#"{"averages": "macro"}"#, "unknown field"),
    ];
    for (options, piece) in cases {
        let message = refusal("f1", options, &three).message;
        assert!(message.contains(piece), "{options}: {message}");
    }
    assert!(
        refusal("accuracy", r#"{"x": 1}"#, &three)
            .message
            .contains("options")
    );
}

/// Labels and predictions of a task with so many labels.
fn splits() -> impl Strategy<Value = (usize, Vec<(i64, i64)>)> {
    (2usize..6).prop_flat_map(|labels| {
        let label = 0..labels as i64;
        (
            Just(labels),
            prop::collection::vec((label.clone(), label), 1..60),
        )
    })
}

const ALL: [(&str, &str); 12] = [
    ("accuracy", "{}"),
    ("balanced_accuracy", "{}"),
    ("matthews", "{}"),
    ("f1", "{}"),
    ("f1", r#"{"average": "macro"}"#),
    ("f1", r#"{"average": "weighted"}"#),
    ("f1", r#"{"average": "micro"}"#),
    ("f1", r#"{"positive": 0}"#),
    ("precision", "{}"),
    ("precision", r#"{"average": "weighted"}"#),
    ("recall", "{}"),
    ("recall", r#"{"average": "weighted"}"#),
];

proptest! {
    #[test]
    fn scores_lie_in_their_range_and_do_not_know_the_order((labels, rows) in splits(), turn in 0usize..60) {
        let (truth, predicted): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
        let straight = with_labels(table(&truth, &predicted), labels);
        let order: Vec<u32> = (0..rows.len()).map(|row| ((row + turn) % rows.len()) as u32).rev().collect();
        let turned = straight.take(&order);
        for (name, options) in ALL {
            let value = score(name, options, &straight);
            let low = if name == "matthews" { -1.0 } else { 0.0 };
            prop_assert!((low..=1.0).contains(&value), "{name} {options}: {value}");
            expect(score(name, options, &turned), value, name);
        }
    }

    #[test]
    fn a_perfect_split_scores_one((_, rows) in splits()) {
        let truth: Vec<i64> = rows.iter().map(|row| row.0).collect();
        let table = table(&truth, &truth);
        for average in ["macro", "micro", "weighted"] {
            let options = format!(r#"{{"average": "{average}"}}"#);
            for name in ["f1", "precision", "recall"] {
                expect(score(name, &options, &table), 1.0, name);
            }
        }
        let several = truth.iter().any(|label| *label != truth[0]);
        expect(score("matthews", "{}", &table), f64::from(u8::from(several)), "matthews");
    }

    #[test]
    fn micro_averages_and_weighted_recall_are_the_accuracy((_, rows) in splits()) {
        let (truth, predicted): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
        let table = table(&truth, &predicted);
        let accuracy = score("accuracy", "{}", &table);
        for name in ["f1", "precision", "recall"] {
            expect(score(name, r#"{"average": "micro"}"#, &table), accuracy, name);
        }
        expect(score("recall", r#"{"average": "weighted"}"#, &table), accuracy, "weighted recall");
    }

    #[test]
    fn matthews_does_not_know_the_names_of_the_classes((labels, rows) in splits()) {
        let (truth, predicted): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
        let renamed = |classes: &[i64]| -> Vec<i64> { classes.iter().map(|class| labels as i64 - 1 - class).collect() };
        let value = score("matthews", "{}", &table(&truth, &predicted));
        expect(score("matthews", "{}", &table(&renamed(&truth), &renamed(&predicted))), value, "renamed");
        expect(score("matthews", "{}", &table(&predicted, &truth)), value, "swapped");
    }
}
