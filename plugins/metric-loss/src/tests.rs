//! What holds for losses and tokens.

use bomf_plugin_api::testkit::{self, manifest, tolerance};
use bomf_plugin_api::{Context, Kind, PluginError, Result, Scores, Table, column};

fn table(losses: &[f64], tokens: &[i64], right: &[i64]) -> Table<'static> {
    Table::new(losses.len())
        .with_numbers(column::LOSS, losses.to_vec())
        .and_then(|table| table.with_integers(column::TOKENS, tokens.to_vec()))
        .and_then(|table| table.with_integers(column::RIGHT_TOKENS, right.to_vec()))
        .unwrap()
}

fn score(name: &str, examples: &Table<'_>) -> Result<Scores> {
    let metric = crate::library().make_metric(name, "{}", &Context::default())?;
    metric.score(examples)
}

fn refusal(name: &str, examples: &Table<'_>) -> PluginError {
    score(name, examples).unwrap_err()
}

#[test]
fn all_promises_of_a_metric_are_kept() {
    let library = crate::library();
    manifest::conformance(library.manifest());
    let examples = table(&[0.5, 2.0, 1.25], &[3, 10, 4], &[2, 3, 4]);
    for name in ["perplexity", "token_accuracy"] {
        let metric = library
            .make_metric(name, "{}", &Context::default())
            .unwrap();
        let descriptor = manifest::descriptor(library.manifest(), Kind::Metric, name);
        testkit::metric::conformance(&*metric, descriptor, &examples);
    }
}

#[test]
fn examples_count_as_much_as_they_have_tokens() {
    // Token by token: ten tokens with a loss of 1, thirty with a loss of 2.
    let examples = table(&[1.0, 2.0], &[10, 30], &[10, 0]);
    let scores = score("perplexity", &examples).unwrap();
    let mean = (10.0 * 1.0 + 30.0 * 2.0) / 40.0;
    tolerance::expect(scores.values[0].1, f64::exp(mean), 1e-12, "perplexity");
    assert!(
        scores.signature.contains("mean:tokens"),
        "{}",
        scores.signature
    );
    assert_eq!(
        score("token_accuracy", &examples)
            .unwrap()
            .get("token_accuracy"),
        Some(0.25)
    );
}

#[test]
fn examples_without_tokens_count_once() {
    let examples = Table::new(2)
        .with_numbers(column::LOSS, vec![1.0, 2.0])
        .unwrap();
    let scores = score("perplexity", &examples).unwrap();
    tolerance::expect(scores.values[0].1, f64::exp(1.5), 1e-12, "perplexity");
    assert!(
        scores.signature.contains("mean:examples"),
        "{}",
        scores.signature
    );
}

#[test]
fn what_the_backend_does_not_report_is_said() {
    let bare = Table::new(1)
        .with_integers(column::TOKENS, vec![3])
        .unwrap();
    for (name, column) in [
        ("perplexity", "`loss`"),
        ("token_accuracy", "`right_tokens`"),
    ] {
        let error = refusal(name, &bare);
        assert!(error.message.contains(column), "{error}");
        assert!(error.hint.unwrap().contains("a model backend that reports"));
    }
}

#[test]
fn counts_and_losses_that_cannot_be_are_refused() {
    for (name, examples, piece) in [
        (
            "perplexity",
            table(&[1.0, -0.5], &[1, 1], &[0, 0]),
            "-0.5 in row 1",
        ),
        ("perplexity", table(&[f64::NAN], &[1], &[0]), "NaN in row 0"),
        ("perplexity", table(&[1000.0], &[1], &[0]), "1000 nats"),
        ("perplexity", table(&[1.0], &[0], &[0]), "no token"),
        (
            "perplexity",
            table(&[1.0], &[-2], &[0]),
            "-2 in row 0 of column `tokens`",
        ),
        (
            "token_accuracy",
            table(&[1.0], &[2], &[3]),
            "3 in row 0 of column `right_tokens`",
        ),
        ("token_accuracy", table(&[1.0], &[0], &[0]), "no token"),
    ] {
        let error = refusal(name, &examples);
        assert!(error.message.contains(piece), "{name}: {error}");
    }
}
