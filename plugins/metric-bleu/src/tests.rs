//! Golden values of sacrebleu and evaluate, and what holds for every split.

use bomf_plugin_api::testkit::tolerance::{self, STATISTIC};
use bomf_plugin_api::testkit::{self, manifest};
use bomf_plugin_api::{Context, Kind, PluginError, Result, Scores, Table, column};
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

fn try_score(name: &str, options: &str, table: &Table<'_>) -> Result<Scores> {
    on_threads(1, name, options, table)
}

fn on_threads(threads: usize, name: &str, options: &str, table: &Table<'_>) -> Result<Scores> {
    crate::library()
        .make_metric(name, options, &Context::new(threads, 0))?
        .score(table)
}

fn score(name: &str, options: &str, table: &Table<'_>) -> f64 {
    try_score(name, options, table).unwrap().values[0].1
}

fn refusal(name: &str, options: &str, table: &Table<'_>) -> PluginError {
    try_score(name, options, table).unwrap_err()
}

const ALL: [(&str, &str); 10] = [
    ("bleu", "{}"),
    ("bleu", r#"{"smooth": true, "max_order": 2}"#),
    ("sacrebleu", "{}"),
    (
        "sacrebleu",
        r#"{"tokenize": "intl", "smooth_method": "floor"}"#,
    ),
    (
        "sacrebleu",
        r#"{"tokenize": "zh", "smooth_method": "add-k", "lowercase": true}"#,
    ),
    ("sentence_bleu", "{}"),
    (
        "sentence_bleu",
        r#"{"tokenize": "char", "smooth_method": "none"}"#,
    ),
    ("chrf", "{}"),
    ("chrf", r#"{"word_order": 2, "whitespace": true}"#),
    ("chrf", r#"{"eps_smoothing": true, "beta": 1}"#),
];

#[test]
fn all_promises_of_a_metric_are_kept() {
    let library = crate::library();
    manifest::conformance(library.manifest());
    let examples = table(&[
        (
            "the cat sat on the mat",
            vec!["the cat sat on a mat", "a cat was on the mat"],
        ),
        ("nothing of it", vec!["all else"]),
        ("", vec!["an answer"]),
        (
            "one that is just the same",
            vec!["one that is just the same"],
        ),
    ]);
    for (name, options) in ALL {
        let descriptor = manifest::descriptor(library.manifest(), Kind::Metric, name);
        let metric = library
            .make_metric(name, options, &Context::default())
            .unwrap();
        testkit::metric::conformance(&*metric, descriptor, &examples);
    }
}

#[test]
fn every_number_is_that_of_sacrebleu() {
    let compared = compare(include_str!("../goldens/sacrebleu.json"));
    assert!(compared > 4000, "{compared} numbers compared");
}

#[test]
fn every_number_is_that_of_evaluate() {
    let compared = compare(include_str!("../goldens/evaluate.json"));
    assert!(compared > 900, "{compared} numbers compared");
}

/// Compares every number and signature of a golden file, and says how many numbers there were.
fn compare(golden: &str) -> usize {
    let corpora: Value = serde_json::from_str(include_str!("../goldens/corpora.json")).unwrap();
    let golden: Value = serde_json::from_str(golden).unwrap();
    let options = golden["options"].as_array().unwrap();
    let mut compared = 0;
    for (corpus, numbers) in golden["numbers"].as_object().unwrap() {
        let table = corpus_table(&corpora[corpus]);
        let numbers = numbers.as_array().unwrap();
        assert_eq!(numbers.len(), options.len());
        for (case, expected) in options.iter().zip(numbers) {
            let (metric, options) = (
                case["metric"].as_str().unwrap(),
                case["options"].to_string(),
            );
            let what = format!("{corpus}: {metric} {options}");
            let found = try_score(metric, &options, &table).unwrap();
            compared += compare_numbers(&found, &golden["names"][metric], expected, &what);
            if let Some(parts) = case["signature"].as_array() {
                let expected: Vec<&str> = parts.iter().map(|p| p.as_str().unwrap()).collect();
                assert_eq!(known_to_sacrebleu(&found.signature), expected, "{what}");
            }
        }
    }
    compared
}

/// Every text of a golden corpus stands for so many repetitions of it.
fn corpus_table(corpus: &Value) -> Table<'static> {
    let times = corpus["times"].as_u64().unwrap() as usize;
    let text = |text: &Value| text.as_str().unwrap().repeat(times);
    let rows = corpus["rows"].as_array().unwrap();
    let references = |row: &Value| -> Vec<String> {
        let list = row[1].as_array().unwrap();
        list.iter().map(text).collect()
    };
    Table::new(rows.len())
        .with_texts(column::PREDICTED_TEXT, rows.iter().map(|row| text(&row[0])))
        .and_then(|table| {
            table.with_text_lists(column::REFERENCE_TEXT, rows.iter().map(references))
        })
        .unwrap()
}

/// Expected are the scores that have these names, from the first on, or without names one number per example.
fn compare_numbers(found: &Scores, names: &Value, expected: &Value, what: &str) -> usize {
    let expected = expected.as_array().unwrap();
    let found: Vec<f64> = match names.as_array() {
        Some(names) => names[..expected.len()]
            .iter()
            .map(|name| found.get(name.as_str().unwrap()).unwrap())
            .collect(),
        None => found.per_example[0].1.clone(),
    };
    assert_eq!(found.len(), expected.len(), "{what}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let what = format!("{what}: number {place}");
        tolerance::expect(*found, expected.as_f64().unwrap(), STATISTIC, &what);
    }
    found.len()
}

/// The parts of a signature that sacrebleu has, too, and that do not depend on the corpus.
fn known_to_sacrebleu(signature: &str) -> Vec<&str> {
    let ours = ["nrefs:", "version:", "max_order:"];
    let parts = signature.split('|');
    parts
        .filter(|part| !ours.iter().any(|ours| part.starts_with(ours)))
        .collect()
}

#[test]
fn signatures_say_all_that_decides_the_number() {
    let even = table(&[("a", vec!["a", "b"]), ("a", vec!["a", "b"])]);
    let uneven = table(&[("a", vec!["a", "b"]), ("a", vec!["a"])]);
    for (name, options, table, expected) in [
        (
            "bleu",
            "{}",
            &even,
            "bleu|nrefs:2|tok:13a|max_order:4|smooth:no|version:0.1.0",
        ),
        (
            "sacrebleu",
            r#"{"smooth_method": "floor", "tokenize": "intl", "lowercase": true, "max_order": 2}"#,
            &uneven,
            "BLEU|nrefs:var|case:lc|eff:no|tok:intl|smooth:floor[0.10]|max_order:2|version:bomf-0.1.0",
        ),
        (
            "sentence_bleu",
            "{}",
            &even,
            "sentence BLEU|nrefs:2|case:mixed|eff:yes|tok:13a|smooth:exp|version:bomf-0.1.0",
        ),
        (
            "chrf",
            r#"{"word_order": 2}"#,
            &even,
            "chrF2++|nrefs:2|case:mixed|eff:yes|nc:6|nw:2|space:no|version:bomf-0.1.0",
        ),
    ] {
        assert_eq!(try_score(name, options, table).unwrap().signature, expected);
    }
}

#[test]
fn a_row_without_a_reference_is_refused() {
    let table = table(&[("a", vec!["a"]), ("b", vec![])]);
    for name in ["bleu", "sacrebleu", "sentence_bleu", "chrf"] {
        let message = refusal(name, "{}", &table).message;
        assert!(
            message.contains("no text in row 1 of column `reference_text`"),
            "{message}"
        );
    }
}

#[test]
fn bleu_of_empty_predictions_is_zero_and_of_empty_references_none() {
    let silent = table(&[("", vec!["a b c d"]), (" ", vec!["e"])]);
    for options in ["{}", r#"{"smooth": true}"#] {
        assert_eq!(score("bleu", options, &silent), 0.0);
    }
    let message = refusal("bleu", "{}", &table(&[("a", vec!["", "b"])])).message;
    assert!(message.contains("without a token"), "{message}");
}

#[test]
fn options_that_mean_nothing_are_refused() {
    let table = table(&[("a", vec!["a"])]);
    for (name, options, piece) in [
        ("sacrebleu", r#"{"smooth_value": 0.5}"#, "takes none"),
        (
            "sacrebleu",
            r#"{"smooth_method": "floor", "smooth_value": 1.5}"#,
            "from 0 to 1",
        ),
        (
            "sacrebleu",
            r#"{"smooth_method": "add-k", "smooth_value": -1}"#,
            "expected a number from 0",
        ),
        ("sacrebleu", r#"{"tokenize": "14"}"#, "unknown variant"),
        ("sentence_bleu", r#"{"max_order": 0}"#, "expected 1 to 32"),
        ("bleu", r#"{"max_order": 33}"#, "expected 1 to 32"),
        ("chrf", r#"{"char_order": 0}"#, "expected one above"),
        ("chrf", r#"{"char_order": 64}"#, "expected 0 to 32"),
        ("chrf", r#"{"order": 6}"#, "unknown field"),
    ] {
        let message = refusal(name, options, &table).message;
        assert!(message.contains(piece), "{options}: {message}");
    }
}

/// Texts of few words, so that some n-grams are in common.
fn text() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "a", "b", "The", "the", "3.5", ",", "é", "日本", "\n", "x-y",
    ]);
    prop::collection::vec(word, 0..12).prop_map(|words| words.join(" "))
}

fn rows() -> impl Strategy<Value = Vec<(String, Vec<String>)>> {
    prop::collection::vec((text(), prop::collection::vec(text(), 1..4)), 1..300)
}

fn as_table(rows: &[(String, Vec<String>)]) -> Table<'static> {
    let rows = rows.iter().map(|(prediction, references)| {
        (
            prediction.as_str(),
            references.iter().map(String::as_str).collect(),
        )
    });
    table(&rows.collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn results_do_not_depend_on_threads_or_order(rows in rows(), threads in 2usize..6) {
        let straight = as_table(&rows);
        let reversed = straight.take(&(0..rows.len() as u32).rev().collect::<Vec<_>>());
        for (name, options) in ALL {
            let Ok(expected) = try_score(name, options, &straight) else { continue };
            prop_assert_eq!(&on_threads(threads, name, options, &straight).unwrap(), &expected);
            tolerance::expect(score(name, options, &reversed), expected.values[0].1, STATISTIC, name);
            let most = if name == "bleu" { 1.0 } else { 100.0 };
            prop_assert!((0.0..=most).contains(&expected.values[0].1), "{}: {:?}", name, expected.values);
        }
    }

    #[test]
    fn another_reference_takes_no_match_away(rows in rows(), more in text()) {
        let before = try_score("bleu", "{}", &as_table(&rows));
        let mut rows = rows;
        rows.iter_mut().for_each(|row| row.1.push(more.clone()));
        let after = try_score("bleu", "{}", &as_table(&rows));
        if let (Ok(before), Ok(after)) = (before, after) {
            for name in ["precision_1", "precision_2", "precision_3", "precision_4"] {
                prop_assert!(after.get(name) >= before.get(name), "{}", name);
            }
        }
    }

    #[test]
    fn a_prediction_that_is_a_reference_is_perfect(rows in rows()) {
        let mut rows = rows;
        rows.push(("a b c d e f".to_owned(), Vec::new()));
        for (prediction, references) in &mut rows {
            *references = vec![prediction.clone()];
        }
        let table = as_table(&rows);
        for (name, options, most) in [("bleu", "{}", 1.0), ("sacrebleu", "{}", 100.0), ("chrf", r#"{"word_order": 2}"#, 100.0)] {
            tolerance::expect(score(name, options, &table), most, STATISTIC, name);
        }
    }
}
