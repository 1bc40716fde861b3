//! Golden values of rouge_score, and what holds for every split.

use bomf_plugin_api::testkit::tolerance;
use bomf_plugin_api::testkit::{self, manifest};
use bomf_plugin_api::{Context, Kind, Result, Scores, Table, column};
use proptest::prelude::*;
use serde_json::Value;

/// As close as the reference tool has to be met; sums of a few hundred f64 stay far below.
const PARITY: f64 = 1e-9;

fn table(predicted: &[&str], references: &[&[&str]]) -> Table<'static> {
    Table::new(predicted.len())
        .with_texts(column::PREDICTED_TEXT, predicted)
        .and_then(|table| table.with_text_lists(column::REFERENCE_TEXT, references.iter().copied()))
        .unwrap()
}

fn try_score(name: &str, options: &str, table: &Table<'_>, context: &Context) -> Result<Scores> {
    crate::library()
        .make_metric(name, options, context)?
        .score(table)
}

fn score(name: &str, options: &str, table: &Table<'_>) -> Scores {
    try_score(name, options, table, &Context::default()).unwrap()
}

/// The pairs of the golden file, and the file.
fn golden() -> (Table<'static>, Value) {
    let golden: Value = serde_json::from_str(include_str!("../goldens/rouge_score.json")).unwrap();
    let pairs = golden["pairs"].as_array().unwrap();
    let lists = |pair: &Value| -> Vec<String> {
        let list = pair["references"].as_array().unwrap();
        list.iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    };
    let table = Table::new(pairs.len())
        .with_texts(
            column::PREDICTED_TEXT,
            pairs.iter().map(|pair| pair["predicted"].as_str().unwrap()),
        )
        .and_then(|table| table.with_text_lists(column::REFERENCE_TEXT, pairs.iter().map(lists)))
        .unwrap();
    (table, golden)
}

#[test]
fn every_number_is_that_of_rouge_score() {
    let (table, golden) = golden();
    let types = golden["types"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| kind.as_str().unwrap());
    let types: Vec<&str> = types.collect();
    let mut compared = 0;
    for (key, stemmer) in [("plain", false), ("stemmed", true)] {
        for (place, measure) in ["precision", "recall", "f"].into_iter().enumerate() {
            let all = score(
                "rouge",
                &format!(r#"{{"stemmer": {stemmer}, "measure": "{measure}"}}"#),
                &table,
            );
            for (kind, name) in types.iter().enumerate() {
                let values = match all.per_example.iter().find(|(other, _)| other == name) {
                    Some((_, values)) => values.clone(),
                    None => {
                        let options = format!(
                            r#"{{"n": {}, "stemmer": {stemmer}, "measure": "{measure}"}}"#,
                            &name[5..]
                        );
                        score("rouge_n", &options, &table).per_example.remove(0).1
                    }
                };
                for (pair, found) in golden["pairs"].as_array().unwrap().iter().zip(values) {
                    let expected = pair[key][kind][place].as_f64().unwrap();
                    tolerance::expect(
                        found,
                        expected,
                        PARITY,
                        &format!("{}: {key} {name} {measure}", pair["name"]),
                    );
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 4000, "{compared} numbers compared");
}

#[test]
fn all_promises_of_a_metric_are_kept() {
    let library = crate::library();
    manifest::conformance(library.manifest());
    let (golden, _) = golden();
    for (name, options) in ALL {
        let descriptor = manifest::descriptor(library.manifest(), Kind::Metric, name);
        let metric = library
            .make_metric(name, options, &Context::default())
            .unwrap();
        testkit::metric::conformance(&*metric, descriptor, &golden);
    }
}

#[test]
fn threads_change_nothing() {
    let (golden, _) = golden();
    let rows: Vec<u32> = (0..golden.rows() as u32).cycle().take(1000).collect();
    let many = golden.take(&rows);
    for (name, options) in ALL {
        let one = score(name, options, &many);
        for threads in [2, 3, 16] {
            let found = try_score(name, options, &many, &Context::new(threads, 0)).unwrap();
            assert_eq!(found, one, "{name} {options} with {threads} threads");
        }
    }
}

#[test]
fn a_vocabulary_that_is_emptied_between_examples_changes_nothing() {
    let predicted: Vec<String> = (0..3000)
        .map(|row| {
            (row * 100..row * 100 + 100)
                .map(|w| format!("w{w} "))
                .collect()
        })
        .collect();
    let predicted: Vec<&str> = predicted.iter().map(String::as_str).collect();
    let references: Vec<&[&str]> = predicted.iter().map(std::slice::from_ref).collect();
    for stemmer in [false, true] {
        let scores = score(
            "rouge",
            &format!(r#"{{"stemmer": {stemmer}}}"#),
            &table(&predicted, &references),
        );
        assert!(
            scores.values.iter().all(|(_, value)| *value == 1.0),
            "{:?}",
            scores.values
        );
    }
}

#[test]
fn the_signature_says_when_the_numbers_are_not_rouge_scores() {
    let table = table(&["고양이", "a"], &[&["고양"], &["a"]]);
    let unicode = score("rouge", r#"{"tokenizer": "unicode"}"#, &table);
    assert!(
        unicode.signature.contains("not-rouge_score"),
        "{}",
        unicode.signature
    );
    assert_eq!(unicode.per_example[0].1, [0.8, 1.0]);
    let latin = score("rouge", "{}", &table);
    assert!(
        !latin.signature.contains("not-rouge_score"),
        "{}",
        latin.signature
    );
    assert_eq!(latin.per_example[0].1, [0.0, 1.0]);
}

#[test]
fn the_interval_contains_the_mean_and_narrows_with_confidence() {
    let (table, _) = golden();
    let means = score("rouge", "{}", &table);
    let of = |confidence: f64, seed: u64| {
        let options = format!(r#"{{"confidence": {confidence}}}"#);
        try_score("rouge_interval", &options, &table, &Context::new(1, seed)).unwrap()
    };
    let (wide, narrow) = (of(0.99, 1), of(0.5, 1));
    for (name, mean) in &means.values {
        let bound = |scores: &Scores, bound: &str| scores.get(&format!("{name}_{bound}")).unwrap();
        assert!(bound(&wide, "low") < bound(&narrow, "low") && bound(&narrow, "low") < *mean);
        assert!(*mean < bound(&narrow, "high") && bound(&narrow, "high") < bound(&wide, "high"));
        // A thousand means, each with a deviation of some 0.03.
        tolerance::expect(bound(&wide, "mid"), *mean, 0.01, name);
    }
    assert_ne!(of(0.95, 1).values, of(0.95, 2).values);
    assert_eq!(of(0.95, 1), of(0.95, 1));
}

#[test]
fn options_out_of_range_are_refused() {
    let table = table(&["a"], &[&["a"]]);
    for (name, options) in [
        ("rouge", r#"{"measure": "f2"}"#),
        ("rouge", r#"{"n": 2}"#),
        ("rouge_n", r#"{"n": 0}"#),
        ("rouge_n", r#"{"n": 101}"#),
        ("rouge_interval", r#"{"resamples": 0}"#),
        ("rouge_interval", r#"{"confidence": 1.5}"#),
    ] {
        assert!(
            try_score(name, options, &table, &Context::default()).is_err(),
            "{name} {options}"
        );
    }
}

const ALL: [(&str, &str); 8] = [
    ("rouge", "{}"),
    ("rouge", r#"{"stemmer": true}"#),
    ("rouge", r#"{"tokenizer": "unicode", "measure": "recall"}"#),
    ("rouge", r#"{"tokenizer": "unicode", "stemmer": true}"#),
    ("rouge_n", "{}"),
    ("rouge_n", r#"{"n": 7, "measure": "precision"}"#),
    ("rouge_interval", "{}"),
    ("rouge_interval", r#"{"resamples": 10, "confidence": 0.5}"#),
];

fn texts() -> impl Strategy<Value = Vec<(String, String)>> {
    let text = prop_oneof![
        "[a-c \n]{0,30}",
        "(walk|walks|the|of|안녕|é| |\n|\\.){0,40}",
        "\\PC{0,20}"
    ];
    prop::collection::vec((text.clone(), text), 1..12)
}

fn pairs<'a>(rows: impl Iterator<Item = (&'a String, &'a String)>) -> Table<'static> {
    let (predicted, references): (Vec<&str>, Vec<&str>) =
        rows.map(|(p, r)| (p.as_str(), r.as_str())).unzip();
    Table::new(predicted.len())
        .with_texts(column::PREDICTED_TEXT, predicted)
        .and_then(|table| table.with_texts(column::REFERENCE_TEXT, references))
        .unwrap()
}

proptest! {
    #[test]
    fn scores_lie_in_their_range_and_a_text_is_like_itself(rows in texts()) {
        let straight = pairs(rows.iter().map(|(p, r)| (p, r)));
        let same = pairs(rows.iter().map(|(p, _)| (p, p)));
        for (name, options) in &ALL[..6] {
            for (_, values) in score(name, options, &straight).per_example {
                prop_assert!(values.iter().all(|value| (0.0..=1.0).contains(value)), "{name} {options}: {values:?}");
            }
            for (_, values) in score(name, options, &same).per_example {
                // Too short for a group of words: nothing is shared.
                prop_assert!(values.iter().all(|value| [0.0, 1.0].contains(value)), "{name} {options}: {values:?}");
            }
        }
    }

    #[test]
    fn precision_one_way_is_recall_the_other_way(rows in texts()) {
        let there = pairs(rows.iter().map(|(p, r)| (p, r)));
        let back = pairs(rows.iter().map(|(p, r)| (r, p)));
        for tokenizer in ["rouge_score", "unicode"] {
            let of = |measure: &str, table: &Table<'_>| {
                score("rouge", &format!(r#"{{"measure": "{measure}", "tokenizer": "{tokenizer}"}}"#), table).per_example
            };
            // The union of ROUGE-Lsum is taken over the prediction's sentences, so that it has no such symmetry.
            prop_assert_eq!(&of("precision", &there)[..3], &of("recall", &back)[..3]);
        }
    }

    #[test]
    fn more_references_never_lower_f(rows in texts()) {
        let predicted: Vec<&str> = rows.iter().map(|(p, _)| p.as_str()).collect();
        let few: Vec<Vec<&str>> = rows.iter().map(|(_, r)| vec![r.as_str()]).collect();
        let more: Vec<Vec<&str>> = rows.iter().map(|(p, r)| vec![r.as_str(), "the cat", p.as_str()]).collect();
        let of = |references: &[Vec<&str>]| {
            let references: Vec<&[&str]> = references.iter().map(Vec::as_slice).collect();
            score("rouge", "{}", &table(&predicted, &references))
        };
        for ((name, few), (_, more)) in of(&few).per_example.iter().zip(of(&more).per_example) {
            prop_assert!(few.iter().zip(more).all(|(few, more)| *few <= more), "{name}");
        }
    }
}
