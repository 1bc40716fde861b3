//! Golden values of the official scripts, and what holds for every split.

use bomf_plugin_api::testkit::tolerance::{self, STATISTIC};
use bomf_plugin_api::testkit::{self, manifest};
use bomf_plugin_api::{Context, Kind, Result, Scores, Table, column};
use proptest::prelude::*;
use serde_json::Value;

type Row<'t> = (&'t str, Vec<&'t str>);

fn table(rows: &[Row<'_>]) -> Table<'static> {
    Table::new(rows.len())
        .with_texts(column::PREDICTED_TEXT, rows.iter().map(|row| row.0))
        .and_then(|table| {
            table.with_text_lists(column::REFERENCE_TEXT, rows.iter().map(|row| &row.1))
        })
        .unwrap()
}

fn with_probabilities(table: Table<'static>, numbers: Vec<f64>) -> Table<'static> {
    table
        .with_numbers(column::NO_ANSWER_PROBABILITY, numbers)
        .unwrap()
}

fn try_score(name: &str, options: &str, table: &Table<'_>) -> Result<Scores> {
    on_threads(1, name, options, table)
}

fn on_threads(threads: usize, name: &str, options: &str, table: &Table<'_>) -> Result<Scores> {
    crate::library()
        .make_metric(name, options, &Context::new(threads, 0))?
        .score(table)
}

#[test]
fn all_promises_of_a_metric_are_kept() {
    let library = crate::library();
    manifest::conformance(library.manifest());
    let answered = [
        ("the Eiffel Tower!", vec!["Eiffel tower", "tower"]),
        ("in 1889", vec!["1889"]),
        ("Rome", vec!["Paris"]),
    ];
    let mut some = answered.to_vec();
    some.extend([("", vec![]), ("said", vec![])]);
    let some = with_probabilities(table(&some), vec![0.1, 0.7, 0.3, 0.9, 0.5]);
    for (name, options, examples) in [
        ("squad", "{}", &table(&answered)),
        ("squad_v2", "{}", &some),
        ("squad_v2", r#"{"no_answer_threshold": 0.4}"#, &some),
    ] {
        let descriptor = manifest::descriptor(library.manifest(), Kind::Metric, name);
        let metric = library
            .make_metric(name, options, &Context::default())
            .unwrap();
        testkit::metric::conformance(&*metric, descriptor, examples);
    }
}

#[test]
fn every_number_is_that_of_the_official_scripts() {
    let golden: Value = serde_json::from_str(include_str!("../goldens/squad.json")).unwrap();
    let mut compared = 0;
    for case in golden["cases"].as_array().unwrap() {
        let corpus = &golden["corpora"][case["corpus"].as_str().unwrap()];
        let predictions = texts(&corpus["predicted_text"]);
        let references = corpus["reference_text"].as_array().unwrap();
        let rows = predictions.into_iter().zip(references.iter().map(texts));
        let mut table = table(&rows.collect::<Vec<_>>());
        if case["probabilities"] == true {
            table = with_probabilities(table, numbers(&corpus["no_answer_probability"]));
        }
        let (metric, options) = (
            case["metric"].as_str().unwrap(),
            case["options"].to_string(),
        );
        let what = format!("{}: {metric} {options}", case["corpus"]);
        let found = try_score(metric, &options, &table).unwrap();
        let expected = case["scores"].as_object().unwrap();
        assert_eq!(found.values.len(), expected.len(), "{what}");
        for (name, expected) in expected {
            let score = found.get(name).unwrap();
            tolerance::expect(
                score,
                expected.as_f64().unwrap(),
                STATISTIC,
                &format!("{what}: {name}"),
            );
            compared += 1;
        }
        for (name, found) in &found.per_example {
            for (row, (found, expected)) in found
                .iter()
                .zip(numbers(&case["per_example"][name]))
                .enumerate()
            {
                tolerance::expect(
                    *found,
                    expected,
                    STATISTIC,
                    &format!("{what}: {name} of row {row}"),
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 2000, "{compared} numbers compared");
}

fn texts(list: &Value) -> Vec<&str> {
    let texts = list.as_array().unwrap().iter();
    texts.map(|text| text.as_str().unwrap()).collect()
}

fn numbers(list: &Value) -> Vec<f64> {
    let numbers = list.as_array().unwrap().iter();
    numbers.map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn squad_wants_an_answer_to_every_question() {
    let error = try_score("squad", "{}", &table(&[("a", vec!["a"]), ("", vec![])])).unwrap_err();
    assert!(error.message.contains("no answer in row 1"), "{error}");
}

#[test]
fn a_group_without_a_question_has_no_score() {
    let scores = try_score("squad_v2", "{}", &table(&[("x", vec!["x"])])).unwrap();
    assert_eq!(
        (scores.get("HasAns_exact"), scores.get("NoAns_exact")),
        (Some(100.0), None)
    );
}

#[test]
fn probabilities_that_are_no_numbers_are_refused() {
    let table = with_probabilities(
        table(&[("x", vec!["x"]), ("y", vec![])]),
        vec![0.0, f64::NAN],
    );
    let error = try_score("squad_v2", "{}", &table).unwrap_err();
    assert!(error.message.contains("NaN in row 1"), "{error}");
}

#[test]
fn signatures_say_all_that_decides_the_number() {
    let table = table(&[("x", vec!["x"])]);
    let signature = |name, options| try_score(name, options, &table).unwrap().signature;
    assert_eq!(signature("squad", "{}"), "squad|version:0.1.0");
    assert_eq!(
        signature("squad_v2", r#"{"no_answer_threshold": 0.5}"#),
        "squad_v2|no_answer_threshold:0.5|version:0.1.0"
    );
}

fn answer() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "a", "the", "The", "cat", "Cat.", "1889", "é", "—", "\n",
    ]);
    prop::collection::vec(word, 0..5).prop_map(|words| words.join(" "))
}

type Drawn = (String, Vec<String>, f64);

fn rows(least: usize) -> impl Strategy<Value = Vec<Drawn>> {
    let row = (
        answer(),
        prop::collection::vec(answer(), least..4),
        0.0..1.0,
    );
    prop::collection::vec(row, 1..80)
}

fn as_table(rows: &[Drawn]) -> Table<'static> {
    let probabilities = rows.iter().map(|row| row.2).collect();
    let rows = rows.iter().map(|(prediction, references, _)| {
        (
            prediction.as_str(),
            references.iter().map(String::as_str).collect(),
        )
    });
    with_probabilities(table(&rows.collect::<Vec<_>>()), probabilities)
}

proptest! {
    #[test]
    fn f1_is_never_below_exact_match(rows in rows(0), threshold in 0.0..1.0) {
        let options = format!(r#"{{"no_answer_threshold": {threshold}}}"#);
        let scores = try_score("squad_v2", &options, &as_table(&rows)).unwrap();
        for (exact, f1) in scores.per_example[0].1.iter().zip(&scores.per_example[1].1) {
            prop_assert!((0.0..=100.0).contains(f1) && exact <= f1, "{} {}", exact, f1);
        }
    }

    #[test]
    fn no_threshold_is_better_than_the_best_one(rows in rows(0), threshold in 0.0..1.0) {
        // Probabilities differ, so that the best threshold is one that could be set. Words of nothing are left out: the script
        // counts an answer of nothing but articles as one that says something.
        let rows: Vec<Drawn> = rows.into_iter().filter(|row| row.0.contains("Cat")).collect();
        prop_assume!(!rows.is_empty());
        let options = format!(r#"{{"no_answer_threshold": {threshold}}}"#);
        let scores = try_score("squad_v2", &options, &as_table(&rows)).unwrap();
        for (name, best) in [("exact", "best_exact"), ("f1", "best_f1")] {
            let (score, best) = (scores.get(name).unwrap(), scores.get(best).unwrap());
            prop_assert!(score <= best + STATISTIC * 100.0, "{}: {} above {}", name, score, best);
        }
    }

    #[test]
    fn another_reference_makes_nothing_worse(rows in rows(1), more in answer()) {
        let before = try_score("squad", "{}", &as_table(&rows)).unwrap();
        let mut rows = rows;
        rows.iter_mut().for_each(|row| row.1.push(more.clone()));
        let after = try_score("squad", "{}", &as_table(&rows)).unwrap();
        for (before, after) in before.per_example.iter().zip(&after.per_example) {
            prop_assert!(before.1.iter().zip(&after.1).all(|(before, after)| before <= after));
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let words = ["the cat", "a Cat", "dog", "", "cat dog mouse"];
    let drawn = |seed: usize| words[seed * 7919 % 101 % words.len()];
    let rows: Vec<Row<'_>> = (0..5000)
        .map(|row| {
            (
                drawn(row),
                (0..row % 4).map(|more| drawn(3 * row + more)).collect(),
            )
        })
        .collect();
    let table = with_probabilities(
        table(&rows),
        (0..5000).map(|row| f64::from(row % 97) / 97.0).collect(),
    );
    let alone = try_score("squad_v2", "{}", &table).unwrap();
    for threads in [2, 3, 8] {
        assert_eq!(
            on_threads(threads, "squad_v2", "{}", &table).unwrap(),
            alone
        );
    }
}
