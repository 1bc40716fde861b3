//! Every plugin of ours keeps the promises of its kind across the border, as the host sees it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;

use bomf_plugin_api::abi::LoadedLibrary;
use bomf_plugin_api::testkit::{self, manifest};
use bomf_plugin_api::{Context, Hyperparameters, Kind, LogSink, ModelSpec, Table, Task, column};
use bomf_tests::TinyRun;
use bomf_tests::plugin_folder::library_in;
use tracing::Level;

#[path = "../../plugins/metric-judge/src/tests/server.rs"]
#[expect(dead_code, reason = "the plugin's own tests use the rest")]
mod server;

struct Quiet;

impl LogSink for Quiet {
    fn enabled(&self, _: Level, _: &str) -> bool {
        false
    }

    fn log(&self, _: Level, _: &str, _: &str) {}
}

/// An open plugin of ours that describes itself as it should.
fn open(plugin: &str) -> LoadedLibrary {
    let library = LoadedLibrary::open(&library(plugin), Quiet).unwrap();
    let found = library.manifest().unwrap();
    assert_eq!(found.name, plugin);
    manifest::conformance(&found);
    library
}

fn library(plugin: &str) -> PathBuf {
    library_in(&bomf_tests::plugins().join(plugin))
}

/// The names that a plugin brings of a kind; none may be left out of a test.
fn names(library: &LoadedLibrary, kind: Kind) -> Vec<String> {
    let found = library.manifest().unwrap().provides.into_iter();
    found
        .filter(|one| one.kind == kind)
        .map(|one| one.name)
        .collect()
}

fn context() -> Context {
    Context::new(2, 7)
}

#[test]
fn metrics_for_classification_keep_their_promises() {
    let library = open("metric-classification");
    let all = library.manifest().unwrap();
    let scores = vec![0.8, 0.1, 0.1, 0.2, 0.5, 0.3, 0.3, 0.6, 0.1, 0.2, 0.2, 0.6];
    let examples = Table::new(4)
        .with_integers(column::LABEL, vec![0, 1, 2, 2])
        .and_then(|table| table.with_integers(column::PREDICTED_LABEL, vec![0, 1, 1, 2]))
        .and_then(|table| table.with_number_rows(column::PREDICTED_SCORES, 3, scores))
        .unwrap();
    for name in names(&library, Kind::Metric) {
        let metric = library.metric(&name, "{}", &context()).unwrap();
        let descriptor = manifest::descriptor(&all, Kind::Metric, &name);
        testkit::metric::conformance(&*metric, descriptor, &examples);
    }
}

#[test]
fn metrics_of_numbers_and_losses_keep_their_promises() {
    let numbers = Table::new(3)
        .with_numbers(column::VALUE, vec![0.5, -1.0, 3.0])
        .and_then(|table| table.with_numbers(column::PREDICTED_VALUE, vec![0.75, -2.0, 1.0]))
        .unwrap();
    let losses = Table::new(3)
        .with_numbers(column::LOSS, vec![0.5, 2.0, 1.0])
        .and_then(|table| table.with_integers(column::TOKENS, vec![3, 8, 1]))
        .and_then(|table| table.with_integers(column::RIGHT_TOKENS, vec![2, 1, 0]))
        .unwrap();
    for (plugin, examples) in [("metric-regression", numbers), ("metric-loss", losses)] {
        let library = open(plugin);
        let all = library.manifest().unwrap();
        for name in names(&library, Kind::Metric) {
            let metric = library.metric(&name, "{}", &context()).unwrap();
            let descriptor = manifest::descriptor(&all, Kind::Metric, &name);
            testkit::metric::conformance(&*metric, descriptor, &examples);
        }
    }
}

#[test]
fn metrics_of_texts_keep_their_promises() {
    let texts = ["the child sat", "a kid, walking", "", "안녕 the\ncat"];
    let references = ["A kid sat.", "kids walk", "nothing", "the cat 안녕"];
    let examples = Table::new(4)
        .with_texts(column::PREDICTED_TEXT, texts)
        .and_then(|table| table.with_texts(column::REFERENCE_TEXT, references))
        .unwrap();
    let wordnet = bomf_tests::root().join("plugins/metric-meteor/goldens/wordnet");
    let wordnet = serde_json::json!({ "wordnet": wordnet }).to_string();
    for (plugin, options) in [("metric-rouge", "{}"), ("metric-meteor", &wordnet)] {
        let library = open(plugin);
        let all = library.manifest().unwrap();
        for name in names(&library, Kind::Metric) {
            let metric = library.metric(&name, options, &context()).unwrap();
            let descriptor = manifest::descriptor(&all, Kind::Metric, &name);
            testkit::metric::conformance(&*metric, descriptor, &examples);
        }
    }
}

#[test]
fn metrics_of_translations_and_answers_keep_their_promises() {
    let predictions = ["the cat sat on a mat", "a dog", "Paris", ""];
    let references = ["the cat sat on the mat", "the dog", "Rome", "one more"];
    let answered = Table::new(4)
        .with_texts(column::PREDICTED_TEXT, predictions)
        .and_then(|table| table.with_texts(column::REFERENCE_TEXT, references))
        .unwrap();
    let some_answered = Table::new(4)
        .with_texts(column::PREDICTED_TEXT, predictions)
        .and_then(|table| {
            let answers: [&[&str]; 4] = [&["the cat sat on the mat"], &["dog"], &[], &[]];
            table.with_text_lists(column::REFERENCE_TEXT, answers)
        })
        .and_then(|table| {
            table.with_numbers(column::NO_ANSWER_PROBABILITY, vec![0.1, 0.2, 0.3, 0.9])
        })
        .unwrap();
    for plugin in ["metric-bleu", "metric-squad"] {
        let library = open(plugin);
        let all = library.manifest().unwrap();
        for name in names(&library, Kind::Metric) {
            let metric = library.metric(&name, "{}", &context()).unwrap();
            let descriptor = manifest::descriptor(&all, Kind::Metric, &name);
            // Half of `squad_v2`'s scores are those of questions without an answer.
            let examples = if name == "squad_v2" {
                &some_answered
            } else {
                &answered
            };
            testkit::metric::conformance(&*metric, descriptor, examples);
        }
    }
}

#[test]
fn judges_keep_their_promises() {
    let library = open("metric-judge");
    let all = library.manifest().unwrap();
    let server = server::Server::new(|_, request| {
        let reply = match (
            request.body.contains("first"),
            request.body.contains("Result A"),
        ) {
            (is_first, true) => {
                if is_first {
                    "A"
                } else {
                    "tie"
                }
            }
            (is_first, false) => {
                if is_first {
                    "90"
                } else {
                    "40"
                }
            }
        };
        server::Answer::Say(reply.to_owned(), std::time::Duration::ZERO)
    });
    let examples = Table::new(3)
        .with_texts(column::TEXT, ["p", "q", "r"])
        .and_then(|table| {
            table.with_texts(
                column::PREDICTED_TEXT,
                ["the first", "the next", "the last"],
            )
        })
        .and_then(|table| table.with_texts(column::REFERENCE_TEXT, ["1", "2", "3"]))
        .unwrap();
    // The default prompt has the word as well.
    let prompt = |name: &str| match name {
        "llm-judge" => r#""prompt": "{prediction} {reference}","#,
        _ => "",
    };
    for name in names(&library, Kind::Metric) {
        let options = format!(
            r#"{{{} "base_url": "{}", "model": "any"}}"#,
            prompt(&name),
            server.base_url
        );
        let metric = library.metric(&name, &options, &context()).unwrap();
        let descriptor = manifest::descriptor(&all, Kind::Metric, &name);
        testkit::metric::conformance(&*metric, descriptor, &examples);
    }
}

#[test]
fn searches_without_a_model_keep_their_promises() {
    let library = open("optimizer-basic");
    for name in names(&library, Kind::Optimizer) {
        let options = if name == "grid" {
            r#"{"points": 3}"#
        } else {
            "{}"
        };
        let make = || library.optimizer(&name, options, &context()).unwrap();
        testkit::optimizer::conformance(&make, &testkit::optimizer::coefficients(4));
        if ["grid", "random", "sobol"].contains(&name.as_str()) {
            testkit::optimizer::conformance(&make, &testkit::optimizer::hyperparameters());
        }
    }
}

#[test]
fn the_gp_optimizers_keep_their_promises() {
    let library = open("optimizer-gp");
    for name in names(&library, Kind::Optimizer) {
        let make = || library.optimizer(&name, "{}", &context()).unwrap();
        testkit::optimizer::conformance(&make, &testkit::optimizer::coefficients(4));
        testkit::optimizer::conformance(&make, &testkit::optimizer::hyperparameters());
    }
}

#[test]
fn the_parzen_estimator_keeps_its_promises() {
    let library = open("optimizer-tpe");
    for name in names(&library, Kind::Optimizer) {
        let make = || library.optimizer(&name, "{}", &context()).unwrap();
        testkit::optimizer::conformance(&make, &testkit::optimizer::coefficients(4));
        testkit::optimizer::conformance(&make, &testkit::optimizer::hyperparameters());
    }
}

#[test]
fn the_evolution_strategy_keeps_its_promises() {
    let library = open("optimizer-cma-es");
    for name in names(&library, Kind::Optimizer) {
        let make = || library.optimizer(&name, "{}", &context()).unwrap();
        testkit::optimizer::conformance(&make, &testkit::optimizer::coefficients(4));
        let mut without_choice = testkit::optimizer::hyperparameters();
        without_choice.space.pop();
        testkit::optimizer::conformance(&make, &without_choice);
    }
}

#[test]
fn the_fuser_on_the_cpu_keeps_its_promises() {
    let library = open("fuser-cpu");
    for name in names(&library, Kind::Fuser) {
        let fuser = library.fuser(&name, "{}", &context()).unwrap();
        testkit::fuser::conformance(&*fuser, testkit::fuser::ALL);
    }
}

#[test]
fn the_backend_on_candle_keeps_its_promises() {
    let library = open("model-candle");
    let tiny = TinyRun::new();
    let texts = [
        "the film is good",
        "a very dull story and a weak plot",
        "bright",
        "that actor was awful but the music is great and lovely and warm",
        "poor scene",
        "quite clever",
    ];
    let bare = || {
        Table::new(texts.len())
            .with_texts(column::TEXT, texts)
            .unwrap()
    };
    let labels = || {
        bare()
            .with_integers(column::LABEL, vec![1, 0, 1, 1, 0, 1])
            .unwrap()
    };
    let values = || {
        bare()
            .with_numbers(column::VALUE, vec![0.5, -0.3, 1.0, 0.1, -1.0, 0.7])
            .unwrap()
    };
    let classification = || Task::Classification {
        labels: vec!["bad".into(), "good".into()],
    };
    let mut hyperparameters = Hyperparameters::default();
    (hyperparameters.batch_size, hyperparameters.learning_rate) = (2, 1e-3);
    for name in names(&library, Kind::Model) {
        let backend = library.model(&name, "{}", &context()).unwrap();
        for frozen in [None, Some(1)] {
            for (task, examples) in [(classification(), labels()), (Task::Regression, values())] {
                let spec = ModelSpec::new(tiny.path().join("model"), task, 3);
                let subject = testkit::model::Subject {
                    spec: spec.with_frozen_layers(frozen),
                    examples,
                    hyperparameters: hyperparameters.clone(),
                };
                testkit::model::conformance(&*backend, &subject);
            }
        }
    }
}
