//! The key is sent to the endpoint, and seen nowhere else.

use std::fmt::Write as _;

use serde_json::json;
use tempfile::TempDir;

use super::log::log;
use super::server::{Request, Server};
use super::{everything_in, holds, judge, refusal, say, status, table};

#[test]
fn the_key_is_sent_and_seen_nowhere_else() {
    const SECRET: &str = "sk-live/9f\"8e7d6c5b4a";
    let variable = "BOMF_TEST_JUDGE_KEY";
    if std::env::var_os(variable).is_none() {
        // Keys come from the environment: this test runs again in a process that has one.
        let again = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "tests::secrets::the_key_is_sent_and_seen_nowhere_else",
            ])
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
