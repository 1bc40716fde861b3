//! Judges against an endpoint on this machine, in good and in bad weather.

mod log;
mod pairs;
mod secrets;
mod server;
mod spending;
mod unreadable;
mod weather;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Once;
use std::time::{Duration, Instant};

use bomf_plugin_api::testkit::{self, manifest};
use bomf_plugin_api::{Context, Kind, Metric, PluginError, Result, Scores, Table, column};
use serde_json::{Value, json};

use server::{Answer, Request, Server};

/// As many rows with a text, a prediction and a reference, all different.
fn table(rows: usize) -> Table<'static> {
    let texts = |what: &str| {
        (0..rows)
            .map(move |row| format!("{what} #{row}#"))
            .collect::<Vec<_>>()
    };
    Table::new(rows)
        .with_texts(column::TEXT, texts("task"))
        .and_then(|table| table.with_texts(column::PREDICTED_TEXT, texts("prediction")))
        .and_then(|table| table.with_texts(column::REFERENCE_TEXT, texts("reference")))
        .unwrap()
}

/// Options that ask the server without long waits, and more of them.
fn options(server: &Server, more: Value) -> Value {
    let mut options = json!({
        "base_url": server.base_url,
        "model": "judge-1",
        "retry_delay_s": 0.001,
        "timeout_s": 20.0,
    });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    options
}

fn make(name: &str, options: &Value) -> Result<Box<dyn Metric>> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(log::Scribe).unwrap());
    crate::library().make_metric(name, &options.to_string(), &Context::default())
}

fn judge(server: &Server, more: Value, table: &Table<'_>) -> Result<Scores> {
    make("llm-judge", &options(server, more))?.score(table)
}

fn refusal(server: &Server, more: Value, rows: usize) -> PluginError {
    judge(server, more, &table(rows)).unwrap_err()
}

#[track_caller]
fn holds(error: &PluginError, pieces: &[&str]) {
    let text = error.to_string();
    for piece in pieces {
        assert!(text.contains(piece), "`{piece}` is not in: {text}");
    }
}

/// The number between the first two `#` of the request: the row it is about.
fn row(request: &Request) -> usize {
    request.body.split('#').nth(1).unwrap().parse().unwrap()
}

fn say(text: impl ToString) -> Answer {
    Answer::Say(text.to_string(), Duration::ZERO)
}

fn status(code: u16, head: &str, body: &str) -> Answer {
    Answer::Status(code, head.to_owned(), body.to_owned())
}

fn everything_in(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        write!(
            text,
            "{}\n{}",
            path.display(),
            std::fs::read_to_string(&path).unwrap()
        )
        .unwrap();
    }
    text
}

#[test]
fn all_promises_of_a_metric_are_kept() {
    let library = crate::library();
    manifest::conformance(library.manifest());
    let server = Server::new(|_, request| say(row(request) * 20));
    let arena = Server::new(|_, request| say(["A", "B", "tie"][row(request) % 3]));
    let cases = [
        ("llm-judge", &server, json!({})),
        (
            "llm-judge",
            &server,
            json!({"prompt": "{input} {prediction}", "references": "mean"}),
        ),
        (
            "llm-judge",
            &server,
            json!({"references": "all", "range": {"low": 0, "high": 200}}),
        ),
        ("llm-judge-pairwise", &arena, json!({})),
        (
            "llm-judge-pairwise",
            &arena,
            json!({"prompt": "{a} {b}", "against": column::TEXT}),
        ),
    ];
    for (name, server, more) in cases {
        let metric = make(name, &options(server, more)).unwrap();
        let descriptor = manifest::descriptor(library.manifest(), Kind::Metric, name);
        testkit::metric::conformance(&*metric, descriptor, &table(5));
    }
}

#[test]
fn the_score_is_the_mean_of_what_the_model_says() {
    let server =
        Server::new(|_, request| say(format!("I would say {} of 100.", row(request) * 10)));
    let scores = judge(&server, json!({}), &table(4)).unwrap();
    assert_eq!(scores.get("judge"), Some(15.0));
    assert_eq!(scores.get("judge_failed"), Some(0.0));
    assert_eq!(scores.per_example[0].1, [0.0, 10.0, 20.0, 30.0]);
    assert_eq!(server.count(), 4);
}

#[test]
fn a_request_holds_what_the_options_say() {
    let server = Server::saying("5");
    let more = json!({"system": "Be \"fair\".", "seed": 3, "temperature": null, "max_tokens": null,
        "extra": {"top_p": 0.5, "max_completion_tokens": 9}, "range": {"low": 1, "high": 5},
        "prompt": "{\"x\": 1} {low}-{high} {input}|{prediction}|{reference}|{prediction}"});
    let scores = judge(&server, more, &table(1)).unwrap();
    // The top of the scale, whatever the scale.
    assert_eq!(scores.get("judge"), Some(100.0));
    let request = &server.seen()[0];
    let head = request.head.to_lowercase();
    assert!(head.starts_with("post /v1/chat/completions "), "{head}");
    assert!(
        head.contains("content-type: application/json") && !head.contains("authorization"),
        "{head}"
    );
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let question = "{\"x\": 1} 1-5 task #0#|prediction #0#|reference #0#|prediction #0#";
    let expected = json!({"model": "judge-1", "messages": [
        {"role": "system", "content": "Be \"fair\"."}, {"role": "user", "content": question}],
        "seed": 3, "max_completion_tokens": 9, "top_p": 0.5});
    assert_eq!(body, expected);
}

#[test]
fn several_references_are_asked_one_by_one_or_together() {
    let server = Server::new(|_, request| match request.body.contains("1. #40#") {
        true => say(7),
        false => say(row(request)),
    });
    let table = Table::new(2)
        .with_texts(column::PREDICTED_TEXT, ["x", "x"])
        .and_then(|table| {
            let references: [&[&str]; 2] = [&["#40#", "#80#"], &["#10#"]];
            table.with_text_lists(column::REFERENCE_TEXT, references)
        })
        .unwrap();
    for (references, expected) in [
        ("best", [80.0, 10.0]),
        ("mean", [60.0, 10.0]),
        ("all", [7.0, 10.0]),
    ] {
        let scores = judge(&server, json!({"references": references}), &table).unwrap();
        assert_eq!(scores.per_example[0].1, expected, "{references}");
    }
}

#[test]
fn the_signature_tells_judges_apart() {
    let server = Server::saying("5");
    let sign = |more: Value| judge(&server, more, &table(2)).unwrap().signature;
    let plain = sign(json!({}));
    assert!(
        plain.starts_with("llm-judge|model:judge-1|prompt:"),
        "{plain}"
    );
    let piece = "|references:best|range:0-100|pattern:none|temperature:0|seed:none|max_tokens:32|reasks:2|version:0.1.0";
    assert!(plain.ends_with(piece), "{plain}");
    let others = [
        json!({"model": "judge-2"}),
        json!({"prompt": "{prediction}"}),
        json!({"system": "Be fair."}),
        json!({"temperature": 0.5}),
        json!({"seed": 1}),
        json!({"extra": {"top_p": 0.5}}),
        json!({"references": "all"}),
        json!({"pattern": "(.*)"}),
        json!({"reasks": 0}),
    ];
    let mut all: Vec<String> = others.into_iter().map(sign).collect();
    all.push(plain.clone());
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 10);
    // How fast it was asked does not matter.
    assert_eq!(
        sign(json!({"concurrency": 1, "retries": 0, "timeout_s": 9, "budget": {"requests": 99}})),
        plain
    );
}

#[test]
fn questions_are_asked_side_by_side_over_kept_connections() {
    let server =
        Server::new(|_, request| Answer::Say(row(request).to_string(), Duration::from_millis(60)));
    let scores = judge(&server, json!({"concurrency": 6}), &table(24)).unwrap();
    // In the order of the rows, whoever came first.
    let expected: Vec<f64> = (0..24).map(f64::from).collect();
    assert_eq!(scores.per_example[0].1, expected);
    assert!(
        (4..=6).contains(&server.busiest()),
        "{} at once",
        server.busiest()
    );
    assert!(
        server.connections() <= 6,
        "{} connections",
        server.connections()
    );
    let alone = Server::new(|_, _| Answer::Say("1".to_owned(), Duration::from_millis(5)));
    judge(&alone, json!({"concurrency": 1}), &table(6)).unwrap();
    assert_eq!(alone.busiest(), 1);
}

#[test]
fn the_rate_is_kept() {
    let server = Server::saying("50");
    judge(&server, json!({"requests_per_minute": 1500.0}), &table(8)).unwrap();
    let times: Vec<Instant> = server.seen().iter().map(|request| request.at).collect();
    let took = *times.iter().max().unwrap() - *times.iter().min().unwrap();
    // Seven steps of 40 ms; the first may come late.
    assert!(took >= Duration::from_millis(240), "{took:?}");
}

#[test]
fn options_that_are_of_no_use_are_refused() {
    let server = Server::saying("1");
    let cases = [
        (json!({"prompt": "{reference}"}), "{prediction}"),
        (json!({"range": {"low": 5, "high": 5}}), "5 to 5"),
        (json!({"pattern": "("}), "pattern"),
        (json!({"model": ""}), "model"),
        (json!({"base_url": "nowhere"}), "base_url"),
        (json!({"extra": {"messages": []}}), "`messages`"),
        (
            json!({"api_key_env": "BOMF_TEST_NO_SUCH_VARIABLE"}),
            "BOMF_TEST_NO_SUCH_VARIABLE",
        ),
        (json!({"modle": "x"}), "unknown field `modle`"),
        (json!({"budget": {"request": 1}}), "unknown field `request`"),
    ];
    for (more, piece) in cases {
        let error = make("llm-judge", &options(&server, more)).err().unwrap();
        holds(&error, &[piece]);
    }
    let error = make("llm-judge", &json!({"model": "x"})).err().unwrap();
    holds(&error, &["base_url"]);
    let error = make(
        "llm-judge-pairwise",
        &options(&server, json!({"prompt": "{a}"})),
    )
    .err()
    .unwrap();
    holds(&error, &["{b}"]);
    assert_eq!(server.count(), 0);
}

#[test]
fn the_schema_says_which_options_change_no_score() {
    for descriptor in &crate::library().manifest().provides {
        let properties = descriptor.options["properties"].as_object().unwrap();
        let runtime: Vec<&str> = properties
            .iter()
            .filter(|(_, property)| property["x-runtime"] == json!(true))
            .map(|(name, _)| name.as_str())
            .collect();
        let mut expected = [
            "api_key_env",
            "concurrency",
            "timeout_s",
            "retries",
            "retry_delay_s",
            "max_wait_s",
            "requests_per_minute",
            "budget",
            "cache",
        ];
        let mut found = runtime.clone();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}
