//! What goes wrong between here and the endpoint.

use std::time::{Duration, SystemTime};

use bomf_plugin_api::ErrorKind;
use serde_json::json;

use super::server::{Answer, Server};
use super::{holds, judge, refusal, say, status, table};

/// What a server does while it has trouble.
type Bad = Box<dyn Fn() -> Answer + Send + Sync>;

#[test]
fn faults_that_pass_are_waited_out() {
    let past = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(60));
    let weather: Vec<(&str, Bad)> = vec![
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
fn what_does_not_speak_tls_is_an_error() {
    let server = Server::saying("50");
    let secure = server.base_url.replace("http:", "https:");
    let more = json!({"base_url": secure, "retries": 0});
    // On a machine without certificates it is refused earlier, with the same address.
    let error = judge(&server, more, &table(1)).unwrap_err();
    holds(&error, &["https://127.0.0.1"]);
    assert_eq!(server.count(), 0);
}
