//! Golden values of nltk, and what holds for every split.

use std::path::PathBuf;

use bomf_plugin_api::testkit::tolerance;
use bomf_plugin_api::testkit::{self, manifest};
use bomf_plugin_api::{Context, Kind, PluginError, Result, Scores, Table, column};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{WordNet, assets};

/// As close as the reference tool has to be met; sums of a few hundred f64 stay far below.
const PARITY: f64 = 1e-9;

/// The database of a few words that was written for the tests.
fn small() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/goldens/wordnet"))
}

fn table(predicted: &[&str], references: &[Vec<&str>]) -> Table<'static> {
    Table::new(predicted.len())
        .with_texts(column::PREDICTED_TEXT, predicted)
        .and_then(|table| table.with_text_lists(column::REFERENCE_TEXT, references))
        .unwrap()
}

fn try_score(options: &Value, table: &Table<'_>, threads: usize) -> Result<Scores> {
    let metric =
        crate::library().make_metric("meteor", &options.to_string(), &Context::new(threads, 0))?;
    metric.score(table)
}

fn score(options: &Value, table: &Table<'_>) -> Scores {
    try_score(options, table, 1).unwrap()
}

/// With the small database.
fn options() -> Value {
    json!({"wordnet": small()})
}

/// The pairs of the golden file, and the file.
fn golden() -> (Table<'static>, Value) {
    let golden: Value = serde_json::from_str(include_str!("../goldens/nltk.json")).unwrap();
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

/// Compares every pair, both ways to find words and all parameters.
fn compare(key: &str, folder: &PathBuf) {
    let (table, golden) = golden();
    let mut compared = 0;
    for tokenizer in ["treebank", "whitespace"] {
        for (parameters, expected) in golden["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .zip(golden[key][tokenizer].as_array().unwrap())
        {
            let mut options = parameters.clone();
            options["tokenizer"] = tokenizer.into();
            options["wordnet"] = json!(folder);
            let found = score(&options, &table).per_example.remove(0).1;
            for ((pair, expected), found) in golden["pairs"]
                .as_array()
                .unwrap()
                .iter()
                .zip(expected.as_array().unwrap())
                .zip(found)
            {
                tolerance::expect(
                    found,
                    expected.as_f64().unwrap(),
                    PARITY,
                    &format!("{}: {key} {options}", pair["name"]),
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 500, "{compared} numbers compared");
}

#[test]
fn every_number_is_that_of_nltk_with_a_database_of_a_few_words() {
    compare("small", &small());
}

/// With WordNet itself, where it is there: `REQUIRE_WORDNET=1` makes its absence a failure.
#[test]
fn every_number_is_that_of_nltk_with_wordnet() {
    match assets::wordnet(None, None) {
        Ok(folder) => {
            assert_eq!(WordNet::open(&folder).unwrap().version(), "3.0");
            compare("whole", &folder);
        }
        Err(error) if std::env::var_os("REQUIRE_WORDNET").is_some() => panic!("{error}"),
        Err(error) => eprintln!("SKIPPED, not compared with WordNet itself: {error}"),
    }
}

#[test]
fn all_promises_of_a_metric_are_kept() {
    let library = crate::library();
    manifest::conformance(library.manifest());
    let descriptor = manifest::descriptor(library.manifest(), Kind::Metric, "meteor");
    let (table, _) = golden();
    let metric = library
        .make_metric("meteor", &options().to_string(), &Context::default())
        .unwrap();
    testkit::metric::conformance(&*metric, descriptor, &table);
}

#[test]
fn threads_change_nothing() {
    let (golden, _) = golden();
    let rows: Vec<u32> = (0..golden.rows() as u32).cycle().take(1000).collect();
    let many = golden.take(&rows);
    let one = score(&options(), &many);
    for threads in [2, 3, 16] {
        assert_eq!(
            try_score(&options(), &many, threads).unwrap(),
            one,
            "{threads} threads"
        );
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
    let references: Vec<Vec<&str>> = predicted.iter().map(|text| vec![*text]).collect();
    let values = score(&options(), &table(&predicted, &references))
        .per_example
        .remove(0)
        .1;
    assert!(
        values
            .iter()
            .all(|value| *value == values[0] && *value > 0.999),
        "{values:?}"
    );
}

#[test]
fn the_signature_names_the_database() {
    let scores = score(&options(), &table(&["a"], &[vec!["a"]]));
    let expected = concat!(
        "meteor|alpha:0.9|beta:3|gamma:0.5|tokenizer:treebank|wordnet:0.1|version:",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(scores.signature, expected);
    // One word in one run: nltk's penalty is not 0.
    assert_eq!(scores.get("meteor"), Some(0.5));
}

fn refusal(options: Value) -> PluginError {
    try_score(&options, &table(&["a"], &[vec!["a"]]), 1).unwrap_err()
}

#[test]
fn options_out_of_range_are_refused() {
    for name in ["alpha", "beta", "gamma"] {
        for value in [-0.1, 100.5] {
            let mut options = options();
            options[name] = value.into();
            let message = refusal(options).message;
            assert!(message.contains(name), "{message}");
        }
    }
    assert!(
        refusal(json!({"tokenizer": "none"}))
            .message
            .contains("unknown variant")
    );
}

#[test]
fn without_wordnet_there_is_no_score() {
    let empty = tempfile::tempdir().unwrap();
    let error = refusal(json!({"wordnet": empty.path()}));
    assert!(
        error.message.contains("data.noun") && error.hint.is_some(),
        "{error}"
    );
}

#[test]
fn a_fault_in_a_database_is_named_with_its_line() {
    for (file, from, to, piece) in [
        ("data.noun", "a gloss", "another", ""),
        (
            "data.noun",
            "WordNet 0.1 Copyright",
            "nothing",
            "data.noun, line 1",
        ),
        ("data.noun", "00 n 03", "00 n xx", "data.noun, line 2"),
        ("data.noun", "00 n 03", "00 n 0f", "as many words"),
        ("data.verb", "00000108", "00000021", "a place behind"),
        (
            "index.adj",
            " a 1 0",
            " a 2 0",
            "expected 2 places, found 1",
        ),
        (
            "index.adv",
            "00000052",
            "00000051",
            "index.adv, line 2: expected the place of a synset, found `00000051`",
        ),
        ("index.verb", "begin v 1", "begin v x", "index.verb, line 2"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(small()).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
        let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(
            piece.is_empty() || text.contains(from),
            "{file} has `{from}`: {text}"
        );
        std::fs::write(folder.path().join(file), text.replace(from, to)).unwrap();
        match WordNet::open(folder.path()) {
            Ok(_) => assert!(piece.is_empty(), "{file}: `{to}` is refused"),
            Err(error) => assert!(
                !piece.is_empty() && error.message.contains(piece),
                "{file}: {error}"
            ),
        }
    }
}

#[test]
fn line_ends_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(small()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace('\n', "\r\n");
        std::fs::write(folder.path().join(path.file_name().unwrap()), text).unwrap();
    }
    let (golden, _) = golden();
    assert_eq!(
        score(&json!({"wordnet": folder.path()}), &golden),
        score(&options(), &golden)
    );
}

fn texts() -> impl Strategy<Value = Vec<(String, String)>> {
    let text = prop_oneof![
        "(kid|child|sofa|couch|walks|walk|mice|the|,|\\.| ){0,40}",
        "[a-c ]{0,30}",
        "\\PC{0,20}"
    ];
    prop::collection::vec((text.clone(), text), 1..12)
}

proptest! {
    #[test]
    fn scores_lie_in_their_range_and_more_references_never_lower_them(rows in texts()) {
        let predicted: Vec<&str> = rows.iter().map(|(p, _)| p.as_str()).collect();
        let few: Vec<Vec<&str>> = rows.iter().map(|(_, r)| vec![r.as_str()]).collect();
        let more: Vec<Vec<&str>> = rows.iter().map(|(p, r)| vec!["the kid", r.as_str(), p.as_str()]).collect();
        let few = score(&options(), &table(&predicted, &few)).per_example.remove(0).1;
        let more = score(&options(), &table(&predicted, &more)).per_example.remove(0).1;
        for (few, more) in few.into_iter().zip(more) {
            prop_assert!((0.0..=more).contains(&few) && more <= 1.0, "{few} {more}");
        }
    }

    #[test]
    fn with_equal_parts_of_precision_and_recall_texts_may_be_swapped(rows in texts()) {
        // Forms alone: synonyms are looked up for the prediction's words, so that they have a direction.
        let plain = |text: &String| text.replace(char::is_alphabetic, "z").replace(char::is_whitespace, " ");
        let rows: Vec<(String, String)> = rows.iter().map(|(p, r)| (plain(p), plain(r))).collect();
        let options = json!({"wordnet": small(), "alpha": 0.5, "gamma": 0.0, "tokenizer": "whitespace"});
        let predicted: Vec<&str> = rows.iter().map(|(p, _)| p.as_str()).collect();
        let reference: Vec<&str> = rows.iter().map(|(_, r)| r.as_str()).collect();
        let of = |a: &[&str], b: &[&str]| score(&options, &table(a, &b.iter().map(|text| vec![*text]).collect::<Vec<_>>()));
        let (there, back) = (of(&predicted, &reference), of(&reference, &predicted));
        for (there, back) in there.per_example[0].1.iter().zip(&back.per_example[0].1) {
            tolerance::expect(*there, *back, tolerance::STATISTIC, "swapped");
        }
    }
}
