//! Replies without a number.

use bomf_plugin_api::ErrorKind;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::Server;
use super::{holds, judge, refusal, row, say, status, table};

#[test]
fn a_reply_without_a_number_is_asked_again_with_a_reminder() {
    let server = Server::new(|number, _| {
        if number == 0 {
            say("Hard to say.")
        } else {
            say(40)
        }
    });
    let scores = judge(&server, json!({"seed": 7}), &table(1)).unwrap();
    assert_eq!(scores.get("judge"), Some(40.0));
    let bodies: Vec<Value> = server
        .seen()
        .iter()
        .map(|one| serde_json::from_str(&one.body).unwrap())
        .collect();
    assert_eq!(
        (&bodies[0]["seed"], &bodies[1]["seed"]),
        (&json!(7), &json!(8))
    );
    let question = bodies[1]["messages"][0]["content"].as_str().unwrap();
    assert!(
        question.ends_with("Answer with one number from 0 to 100 and nothing else."),
        "{question}"
    );
}

#[test]
fn examples_without_a_number_are_counted_and_left_out() {
    let server = Server::new(|_, request| match row(request) {
        3 => say("I cannot."),
        4 => status(
            200,
            "",
            r#"{"choices": [{"message": {"content": null, "refusal": "no"}}]}"#,
        ),
        row => say(row * 10),
    });
    let folder = TempDir::new().unwrap();
    let more = json!({"max_failed_share": 0.2, "reasks": 1, "cache": folder.path()});
    let scores = judge(&server, more.clone(), &table(10)).unwrap();
    assert_eq!(
        scores.get("judge"),
        Some((10 + 20 + 50 + 60 + 70 + 80 + 90) as f64 / 8.0)
    );
    assert_eq!(scores.get("judge_failed"), Some(0.2));
    let names: Vec<&str> = scores
        .per_example
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["judge_failed"]);
    assert_eq!(server.count(), 12);
    // Failures are kept like any other reply.
    assert_eq!(judge(&server, more, &table(10)).unwrap(), scores);
    assert_eq!(server.count(), 12);
}

#[test]
fn too_many_examples_without_a_number_are_an_error_and_never_a_zero() {
    let server = Server::new(|_, request| {
        if row(request) < 30 {
            say("I cannot.")
        } else {
            say(50)
        }
    });
    let error = refusal(
        &server,
        json!({"reasks": 0, "concurrency": 1, "max_failed_share": 0.05}),
        100,
    );
    holds(
        &error,
        &[
            "6 of 100 examples",
            "share of 0.05",
            "I cannot.",
            "max_failed_share",
        ],
    );
    assert_eq!(error.kind, ErrorKind::Failed);
    // It is seen early.
    assert_eq!(server.count(), 6);
    let mute = Server::saying("");
    let error = refusal(&mute, json!({"max_failed_share": 1.0, "reasks": 0}), 3);
    holds(&error, &["no readable reply to any of 3 examples"]);
}
