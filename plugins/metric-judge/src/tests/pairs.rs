//! Predictions against other texts.

use serde_json::{Value, json};

use super::server::Server;
use super::{make, options, say, table};

/// Says which of two texts is better, wherever they stand in the prompt `{a}|{b}`.
fn arena(prefers: impl Fn(&str, &str) -> &'static str + Send + Sync + 'static) -> Server {
    Server::new(move |_, request| {
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let question = body["messages"][0]["content"].as_str().unwrap();
        let (a, b) = question.split_once('|').unwrap();
        say(prefers(a, b))
    })
}

#[test]
fn pairs_are_asked_both_ways_round() {
    let pairwise = |server: &Server| {
        let metric = make(
            "llm-judge-pairwise",
            &options(server, json!({"prompt": "{a}|{b}"})),
        )
        .unwrap();
        metric.score(&table(3)).unwrap()
    };
    let fair = arena(|a, _| {
        if a.starts_with("prediction") {
            "A"
        } else {
            "B"
        }
    });
    assert_eq!(pairwise(&fair).per_example[0].1, [1.0; 3]);
    assert_eq!(fair.count(), 6);
    let loses = arena(|a, _| {
        if a.starts_with("prediction") {
            "B"
        } else {
            "A"
        }
    });
    assert_eq!(pairwise(&loses).get("win_rate"), Some(0.0));
    // Who always prefers the first has no preference.
    let first = arena(|_, _| "A");
    assert_eq!(pairwise(&first).get("win_rate"), Some(0.5));
    let undecided = arena(|_, _| "tie");
    assert_eq!(pairwise(&undecided).get("win_rate"), Some(0.5));
    let mixed = arena(|a, b| match (a, b) {
        ("prediction #0#", _) => "A",
        (_, "prediction #0#") => "B",
        ("prediction #1#", _) => "tie",
        _ => "A",
    });
    assert_eq!(pairwise(&mixed).per_example[0].1, [1.0, 0.5, 0.5]);
}

#[test]
fn a_pair_with_half_an_answer_has_none() {
    let server = arena(|a, _| if a == "reference #1#" { "Both." } else { "A" });
    let more = json!({"prompt": "{a}|{b}", "max_failed_share": 0.4, "reasks": 0});
    let metric = make("llm-judge-pairwise", &options(&server, more)).unwrap();
    let scores = metric.score(&table(3)).unwrap();
    assert_eq!(scores.get("win_rate"), Some(0.5));
    assert_eq!(scores.per_example[0].1, [0.0, 1.0, 0.0]);
}
