//! Judges against an endpoint on this machine, in good and in bad weather.

mod server;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant, SystemTime};

use bomf_plugin_api::testkit::{self, manifest};
use bomf_plugin_api::{
    Context, ErrorKind, Kind, Metric, PluginError, Result, Scores, Table, Values, column,
};
use serde_json::{Value, json};
use tempfile::TempDir;

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
    ONCE.call_once(|| tracing::subscriber::set_global_default(Scribe).unwrap());
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
    let references = Values::Texts {
        ends: vec![4, 8, 12].into(),
        bytes: "#40##80##10#".into(),
    };
    let table = Table::new(2)
        .with_texts(column::PREDICTED_TEXT, ["x", "x"])
        .and_then(|table| {
            table.with_column(column::REFERENCE_TEXT, vec![0, 2, 3].into(), references)
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
    for piece in [
        "|references:best|range:0-100|pattern:none|temperature:0|seed:none|max_tokens:32|reasks:2|version:0.1.0",
    ] {
        assert!(plain.contains(piece), "{plain}");
    }
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
fn faults_that_pass_are_waited_out() {
    let past = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(60));
    let weather: Vec<(&str, Box<dyn Fn() -> Answer + Send + Sync>)> = vec![
        ("500", Box::new(|| status(500, "", "oops"))),
        (
            "503 with a date",
            Box::new(move || status(503, &format!("retry-after: {past}\r\n"), "")),
        ),
        ("408", Box::new(|| status(408, "", ""))),
        ("409", Box::new(|| status(409, "", ""))),
        (
            "429",
            Box::new(|| status(429, "", r#"{"error": {"message": "slow down"}}"#)),
        ),
        ("a dropped connection", Box::new(|| Answer::Drop)),
        ("garbage", Box::new(|| status(200, "", "<html>busy</html>"))),
        (
            "no choices",
            Box::new(|| status(200, "", r#"{"error": {"message": "upstream"}}"#)),
        ),
    ];
    for (name, bad) in weather {
        let server = Server::new(move |number, _| if number < 2 { bad() } else { say(60) });
        let scores = judge(&server, json!({"concurrency": 1}), &table(2)).unwrap();
        assert_eq!(scores.get("judge"), Some(60.0), "{name}");
        assert_eq!(server.count(), 4, "{name}");
    }
}

#[test]
fn everybody_waits_as_long_as_the_endpoint_asks() {
    let server = Server::new(|number, _| match number {
        0 => status(429, "retry-after: 1\r\n", ""),
        _ => say(60),
    });
    judge(&server, json!({"concurrency": 1}), &table(3)).unwrap();
    let seen = server.seen();
    let waited = seen[1].at - seen[0].at;
    assert!(waited >= Duration::from_millis(950), "{waited:?}");
    // Longer than one is willing to wait: that is said, and nothing is done meanwhile.
    let server = Server::new(|_, _| status(429, "retry-after: 3600\r\n", ""));
    let error = refusal(&server, json!({"concurrency": 1}), 3);
    holds(&error, &["status 429", "3600 s", "max_wait_s"]);
    assert_eq!(server.count(), 1);
}

#[test]
fn an_endpoint_that_stays_down_is_an_error_and_no_number() {
    let server = Server::new(|_, _| status(502, "", "bad\u{1b}[31m gateway"));
    let error = refusal(&server, json!({"retries": 2, "concurrency": 1}), 3);
    holds(
        &error,
        &[
            "status 502",
            "bad\\u{1b}[31m gateway",
            "last of 3 tries",
            "0 of 3 questions",
        ],
    );
    assert_eq!((server.count(), error.kind), (3, ErrorKind::Input));
    let nobody = json!({"base_url": "http://127.0.0.1:9/v1", "retries": 1});
    holds(
        &refusal(&server, nobody, 1),
        &["no answer", "127.0.0.1:9", "last of 2 tries"],
    );
}

#[test]
fn slow_endpoints_run_into_the_time_limit() {
    let server = Server::new(|number, _| {
        let wait = if number == 0 { 1500 } else { 0 };
        Answer::Say("60".to_owned(), Duration::from_millis(wait))
    });
    let more = json!({"timeout_s": 0.4, "concurrency": 1});
    let scores = judge(&server, more, &table(1)).unwrap();
    assert_eq!((scores.get("judge"), server.count()), (Some(60.0), 2));
    let server = Server::new(|_, _| Answer::Say("60".to_owned(), Duration::from_secs(2)));
    let error = refusal(&server, json!({"timeout_s": 0.2, "retries": 1}), 1);
    holds(&error, &["timeout", "last of 2 tries"]);
}

#[test]
fn faults_that_stay_end_everything_at_once() {
    let cases = [
        (
            400,
            r#"{"error": {"message": "no such parameter"}}"#,
            "no such parameter",
            "extra",
        ),
        (
            401,
            r#"{"error": "who are you"}"#,
            "who are you",
            "api_key_env",
        ),
        (403, r#"{"detail": "not you"}"#, "not you", "api_key_env"),
        (404, "nothing here", "nothing here", "base_url"),
        (
            429,
            r#"{"error": {"code": "insufficient_quota", "message": "broke"}}"#,
            "broke",
            "account",
        ),
        (308, "", "status 308", "redirects"),
    ];
    for (code, body, said, hint) in cases {
        let server =
            Server::new(move |_, _| status(code, "location: http://127.0.0.1:9/\r\n", body));
        let error = refusal(&server, json!({"concurrency": 2}), 50);
        holds(
            &error,
            &[&format!("status {code}"), said, hint, "0 of 50 questions"],
        );
        assert_eq!(error.kind, ErrorKind::Input);
        assert!(server.count() <= 2, "{code}: {} requests", server.count());
    }
}

#[test]
fn huge_answers_are_refused() {
    let server = Server::new(|_, _| status(200, "", &" ".repeat(3 << 20)));
    let error = refusal(&server, json!({"concurrency": 1}), 3);
    holds(&error, &["more than 1048576 bytes"]);
    assert_eq!(server.count(), 1);
    // In an error, a little of a long answer is enough.
    let server = Server::new(|_, _| status(400, "", &"long ".repeat(10_000)));
    let error = refusal(&server, json!({}), 1);
    assert!(error.to_string().chars().count() < 900, "{error}");
}

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
        &["30 of 30 tokens spent", "3 of 6 questions"],
    );
    assert_eq!(server.count(), 7);
    let scores = judge(&server, with(json!({"requests": 10})), &table(10)).unwrap();
    assert_eq!((scores.get("judge"), server.count()), (Some(4.5), 10));
    let error = refusal(&server, json!({"budget": {"requests": 0}}), 2);
    holds(&error, &["0 of 0 requests", "`cache` names a folder"]);
}

#[test]
fn the_key_is_sent_and_seen_nowhere_else() {
    const SECRET: &str = "sk-live/9f\"8e7d6c5b4a";
    let variable = "BOMF_TEST_JUDGE_KEY";
    if std::env::var_os(variable).is_none() {
        // Keys come from the environment: this test runs again in a process that has one.
        let again = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::the_key_is_sent_and_seen_nowhere_else"])
            .env(variable, SECRET)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&again.stdout);
        assert!(
            again.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    // Echoes all it was sent, in errors and in replies.
    let header = |request: &Request| {
        let line = request
            .head
            .lines()
            .find(|line| line.to_lowercase().starts_with("authorization"));
        line.unwrap_or("none").to_owned()
    };
    let folder = TempDir::new().unwrap();
    let mut said = String::new();
    for code in [400, 401, 500] {
        let server = Server::new(move |_, request| {
            let message = json!({"error": {"message": format!("you sent {}", header(request))}});
            let slashed = message.to_string().replace('/', "\\/");
            status(code, "", if code == 400 { &slashed } else { &request.head })
        });
        let more = json!({"api_key_env": variable, "retries": 1, "cache": folder.path()});
        let error = refusal(&server, more, 2);
        let sent = format!("Bearer {SECRET}");
        assert!(
            server
                .seen()
                .iter()
                .all(|request| request.head.contains(&sent))
        );
        holds(&error, &["[key]"]);
        write!(said, "{error:?} {error}").unwrap();
    }
    let server = Server::new(move |_, request| say(format!("100, says {}", header(request))));
    let more = json!({"api_key_env": variable, "cache": folder.path()});
    let scores = judge(&server, more.clone(), &table(2)).unwrap();
    assert_eq!(scores.get("judge"), Some(100.0));
    write!(said, "{scores:?}").unwrap();
    // A reply that cannot be read is shown in an error.
    let server = Server::new(move |_, request| say(header(request)));
    let more = json!({"api_key_env": variable, "cache": folder.path(), "pattern": "(none)"});
    let error = judge(&server, more, &table(4)).unwrap_err();
    write!(said, "{error:?}").unwrap();
    assert!(said.contains("[key]"), "{said}");
    let cached = everything_in(folder.path());
    assert!(cached.contains("[key]"), "{cached}");
    let log = log();
    assert!(log.contains("trying again"), "{log}");
    for (place, text) in [("errors", said), ("cache", cached), ("log", log)] {
        // However it is escaped, its tail is in it.
        assert!(!text.contains("8e7d6c5b4a"), "{place}: {text}");
    }
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

/// Everything that was logged in this process so far.
fn log() -> String {
    LOG.lock().unwrap().clone()
}

static LOG: Mutex<String> = Mutex::new(String::new());

/// Writes down every event of every thread, with all its fields.
struct Scribe;

impl tracing::Subscriber for Scribe {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Fields(String);
        impl tracing::field::Visit for Fields {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                writeln!(self.0, "{}={value:?}", field.name()).unwrap();
            }
        }
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        LOG.lock().unwrap().push_str(&fields.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
