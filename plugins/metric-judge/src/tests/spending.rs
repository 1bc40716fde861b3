//! What is asked once is paid for once, and a budget is kept.

use bomf_plugin_api::{Context, ErrorKind};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::log::log;
use super::server::Server;
use super::{everything_in, holds, judge, make, options, refusal, row, say, table};

#[test]
fn the_same_text_is_asked_once() {
    let server = Server::saying("50");
    let table = table(2).take(&[0, 1, 0, 0, 1]);
    let folder = TempDir::new().unwrap();
    let more = json!({"cache": folder.path()});
    let metric = make("llm-judge", &options(&server, more.clone())).unwrap();
    let first = metric.score(&table).unwrap();
    assert_eq!(metric.score(&table).unwrap(), first);
    assert_eq!(server.count(), 2);
    // Another process, another endpoint for the same model.
    let other = Server::saying("70");
    assert_eq!(judge(&other, more.clone(), &table).unwrap(), first);
    assert_eq!(other.count(), 0);
    // Other sampling is another question.
    let mut hotter = more;
    hotter["temperature"] = json!(1.0);
    assert_eq!(
        judge(&other, hotter, &table).unwrap().get("judge"),
        Some(70.0)
    );
    assert_eq!(other.count(), 2);
}

#[test]
fn the_cache_folder_of_the_host_is_used() {
    let server = Server::saying("50");
    let folder = TempDir::new().unwrap();
    let context = Context::default().with_cache(folder.path());
    let options = options(&server, json!({})).to_string();
    for _ in 0..2 {
        let metric = crate::library()
            .make_metric("llm-judge", &options, &context)
            .unwrap();
        metric.score(&table(3)).unwrap();
    }
    assert_eq!(server.count(), 3);
    assert_eq!(
        everything_in(&folder.path().join("judge"))
            .matches("\"reply\":\"50\"")
            .count(),
        3
    );
}

#[test]
fn a_spoiled_cache_costs_its_own_questions_and_no_more() {
    let server = Server::saying("50");
    let folder = TempDir::new().unwrap();
    let more = json!({"cache": folder.path()});
    judge(&server, more.clone(), &table(4)).unwrap();
    let path = std::fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"50\"", "\"99\"", 1)).unwrap();
    let scores = judge(&server, more, &table(4)).unwrap();
    assert_eq!((scores.get("judge"), server.count()), (Some(50.0), 5));
    assert!(log().contains("1 lines cannot be read"), "{}", log());
}

#[test]
fn a_budget_stops_in_good_order_and_the_rest_goes_on_from_there() {
    let server = Server::new(|_, request| say(row(request)));
    let folder = TempDir::new().unwrap();
    let with = |budget: Value| json!({"cache": folder.path(), "budget": budget, "concurrency": 4});
    let error = refusal(&server, with(json!({"requests": 4})), 10);
    holds(
        &error,
        &[
            "4 of 4 requests spent",
            "4 of 10 questions answered",
            "--resume",
            ".jsonl",
        ],
    );
    assert_eq!((server.count(), error.kind), (4, ErrorKind::Input));
    // The server counts ten tokens a reply.
    let mut alone = with(json!({"tokens": 30}));
    alone["concurrency"] = json!(1);
    holds(
        &refusal(&server, alone, 10),
        &["30 of 30 tokens spent", "7 of 10 questions"],
    );
    assert_eq!(server.count(), 7);
    let scores = judge(&server, with(json!({"requests": 10})), &table(10)).unwrap();
    assert_eq!((scores.get("judge"), server.count()), (Some(4.5), 10));
    let error = refusal(&server, json!({"budget": {"requests": 0}}), 2);
    holds(&error, &["0 of 0 requests", "`cache` names a folder"]);
}
