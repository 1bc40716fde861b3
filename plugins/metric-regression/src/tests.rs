//! Golden values of scipy and scikit-learn, and what is refused.

use bomf_plugin_api::testkit::{self, manifest, tolerance};
use bomf_plugin_api::{Context, ErrorKind, Kind, Result, Table, column};
use serde_json::Value;

const ALL: [&str; 5] = ["pearson", "spearman", "mse", "rmse", "mae"];

fn table(truth: &[f64], predicted: &[f64]) -> Table<'static> {
    Table::new(truth.len())
        .with_numbers(column::VALUE, truth.to_vec())
        .and_then(|table| table.with_numbers(column::PREDICTED_VALUE, predicted.to_vec()))
        .unwrap()
}

fn score(name: &str, truth: &[f64], predicted: &[f64]) -> Result<f64> {
    let metric = crate::library().make_metric(name, "{}", &Context::default())?;
    Ok(metric.score(&table(truth, predicted))?.values[0].1)
}

#[test]
fn all_promises_of_a_metric_are_kept() {
    let library = crate::library();
    manifest::conformance(library.manifest());
    let examples = table(&[0.1, 3.0, -2.5, 3.0, 7.25], &[0.5, 2.0, -1.5, 4.0, 4.0]);
    for name in ALL {
        let metric = library
            .make_metric(name, "{}", &Context::default())
            .unwrap();
        let descriptor = manifest::descriptor(library.manifest(), Kind::Metric, name);
        testkit::metric::conformance(&*metric, descriptor, &examples);
    }
}

#[test]
fn every_number_is_that_of_scipy_and_scikit_learn() {
    let golden: Value = serde_json::from_str(include_str!("../goldens/scipy.json")).unwrap();
    let mut compared = 0;
    for split in golden["splits"].as_array().unwrap() {
        let numbers = |key: &str| -> Vec<f64> {
            let numbers = split[key].as_array().unwrap();
            numbers.iter().map(|x| x.as_f64().unwrap()).collect()
        };
        let (truth, predicted) = (numbers("truth"), numbers("predicted"));
        for name in ALL {
            let expected = split["scores"][name].as_f64().unwrap();
            let found = score(name, &truth, &predicted).unwrap();
            // Numbers below 1 are compared by their ratio too: some splits are tiny.
            let unit = expected.abs().max(f64::MIN_POSITIVE);
            let what = format!("{}: {name}", split["name"]);
            tolerance::expect(found / unit, expected / unit, 1e-9, &what);
            compared += 1;
        }
    }
    assert_eq!(compared, 50);
}

#[test]
fn a_correlation_that_is_not_defined_is_an_error() {
    for name in ["pearson", "spearman"] {
        let error = score(name, &[1.0, 1.0], &[1.0, 2.0]).unwrap_err();
        assert!(
            error.kind == ErrorKind::Input && error.message.contains("`value`"),
            "{error}"
        );
        let error = score(name, &[1.0, 2.0], &[0.5, 0.5]).unwrap_err();
        let is_the_models = error.kind == ErrorKind::Failed;
        assert!(
            is_the_models && error.message.contains("`predicted_value`"),
            "{error}"
        );
        assert!(score(name, &[1.0], &[2.0]).is_err());
    }
}

#[test]
fn numbers_that_are_none_are_refused_with_their_row() {
    for name in ALL {
        for bad in [f64::NAN, f64::INFINITY] {
            let error = score(name, &[1.0, 2.0], &[1.0, bad]).unwrap_err();
            assert!(
                error.message.contains("row 1 of column `predicted_value`"),
                "{error}"
            );
            let error = score(name, &[bad, 2.0], &[1.0, 3.0]).unwrap_err();
            assert!(error.message.contains("row 0 of column `value`"), "{error}");
        }
    }
    assert!(
        score("mse", &[1e200, 0.0], &[-1e200, 0.0]).is_err(),
        "an overflow is no number"
    );
}

#[test]
fn ranks_do_not_change_under_a_growing_function() {
    let truth: Vec<f64> = (0..200).map(|i| f64::from(i * 37 % 101)).collect();
    let predicted: Vec<f64> = (0..200).map(|i| f64::from(i * 53 % 97)).collect();
    let grown: Vec<f64> = predicted.iter().map(|x| (x / 20.0).exp()).collect();
    let straight = score("spearman", &truth, &predicted).unwrap();
    assert_eq!(score("spearman", &truth, &grown).unwrap(), straight);
    let turned: Vec<f64> = predicted.iter().map(|x| -x).collect();
    tolerance::expect(
        score("spearman", &truth, &turned).unwrap(),
        -straight,
        1e-12,
        "turned",
    );
}
