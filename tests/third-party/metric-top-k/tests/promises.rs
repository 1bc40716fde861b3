//! The promises of every metric, in process and across the border.

use std::path::PathBuf;

use bomf_plugin_api::abi::LoadedLibrary;
use bomf_plugin_api::{Context, Kind, LogSink, Table, column, testkit};
use tracing::Level;

fn examples() -> Table<'static> {
    let scores = vec![0.7, 0.2, 0.1, 0.1, 0.3, 0.6, 0.5, 0.3, 0.2];
    Table::new(3)
        .with_integers(column::LABEL, vec![0, 1, 2])
        .and_then(|table| table.with_number_rows(column::PREDICTED_SCORES, 3, scores))
        .unwrap()
}

#[test]
fn two_of_three_labels_are_among_the_two_most_likely() {
    let metric = metric_top_k::library().make_metric("top_k", r#"{"k": 2}"#, &Context::default());
    let scores = metric.unwrap().score(&examples()).unwrap();
    assert_eq!(scores.get("top_k"), Some(2.0 / 3.0));
    assert_eq!(scores.per_example[0].1, [1.0, 1.0, 0.0]);
}

#[test]
fn options_out_of_range_are_refused() {
    for options in [r#"{"k": 0}"#, r#"{"k": -1}"#, r#"{"kk": 2}"#] {
        let made = metric_top_k::library().make_metric("top_k", options, &Context::default());
        assert!(made.is_err(), "{options}");
    }
}

#[test]
fn all_promises_are_kept_in_process() {
    let library = metric_top_k::library();
    testkit::manifest::conformance(library.manifest());
    let metric = library
        .make_metric("top_k", r#"{"k": 2}"#, &Context::default())
        .unwrap();
    let descriptor = testkit::manifest::descriptor(library.manifest(), Kind::Metric, "top_k");
    testkit::metric::conformance(&*metric, descriptor, &examples());
}

#[test]
fn all_promises_are_kept_across_the_border() {
    let library = LoadedLibrary::open(&built(), Quiet).unwrap();
    let manifest = library.manifest().unwrap();
    testkit::manifest::conformance(&manifest);
    let metric = library
        .metric("top_k", r#"{"k": 2}"#, &Context::default())
        .unwrap();
    let descriptor = testkit::manifest::descriptor(&manifest, Kind::Metric, "top_k");
    testkit::metric::conformance(&*metric, descriptor, &examples());
}

/// The plugin, which cargo builds beside this test.
fn built() -> PathBuf {
    let name = format!(
        "{}metric_top_k{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    std::env::current_exe().unwrap().with_file_name(name)
}

/// Nobody listens.
struct Quiet;

impl LogSink for Quiet {
    fn enabled(&self, _: Level, _: &str) -> bool {
        false
    }

    fn log(&self, _: Level, _: &str, _: &str) {}
}
