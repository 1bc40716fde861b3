//! `bomf optimize` from outside: whole sessions, killed ones, wrong files, a program in another language.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::Command;

use bomf_tests::{Bomf, Conversation, Output, binary, root, skip};
use serde_json::{Value, json};
use tempfile::TempDir;

const SPACE: &str = "\
space:
  shares: { simplex: 3 }
  rate: { low: 1e-4, high: 1.0, scale: log }
  layers: { low: 0, high: 6, integer: true }
  kind: { choices: [a, 1, true] }
objectives:
  - { name: f1, direction: maximize, reference: 0 }
  - { name: loss, direction: minimize, reference: 2 }
constraints: [ { name: seconds, at_most: 9 }, { name: f1, at_least: 0.01 } ]
optimizer: { use: gp, raw_samples: 32, restarts: 2, samples: 16 }
budget: 12
parallel: 2
seed: 5
threads: 1
";

struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new(space: &str) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("space.yaml"), space).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn bomf(&self, more: &[&str]) -> Bomf {
        Bomf::new(self.path(), ["optimize", "space.yaml"].iter().chain(more))
    }
}

fn tell(ask: &Value) -> String {
    let (id, point) = (&ask["ask"]["id"], &ask["ask"]["point"]);
    let number = |value: &Value| value.as_f64().unwrap();
    let (share, rate) = (number(&point["shares"][0]), number(&point["rate"]));
    let values = json!({
        "f1": share * (1.0 - share) + 0.1,
        "loss": (rate.ln() + 3.0).abs() / 7.0 + 0.1 * share,
        "seconds": number(&point["layers"]) + 1.0,
    });
    json!({"tell": {"id": id, "values": values}}).to_string()
}

/// Tells all twelve asks, of which so many came before, the later of two that are open first. Returns all that is heard.
fn play(talk: &mut Conversation, before: usize) -> Vec<Value> {
    let (mut heard, mut open, mut asked) = (Vec::new(), Vec::new(), before as u64);
    while let Some(message) = talk.hear() {
        if let Some(id) = message["ask"]["id"].as_u64() {
            asked = asked.max(id + 1);
            open.push(message.clone());
        }
        heard.push(message);
        while open.len() == 2 || (asked == 12 && !open.is_empty()) {
            talk.say(tell(&open.pop().unwrap()));
        }
    }
    heard
}

fn asks(heard: &[Value]) -> Vec<Value> {
    heard
        .iter()
        .filter(|message| message.get("ask").is_some())
        .cloned()
        .collect()
}

#[test]
fn a_session_ends_with_the_pareto_set() {
    let desk = Desk::new(SPACE);
    let mut talk = desk.bomf(&[]).talk();
    let heard = play(&mut talk, 0);
    talk.finish().expect_code(0);
    assert_eq!(asks(&heard).len(), 12);
    let done = &heard.last().unwrap()["done"];
    assert_eq!(
        done["trials"],
        json!({"finished": 12, "failed": 0, "pending": 0})
    );
    assert!(done["hypervolume"].as_f64().unwrap() > 0.0, "{done}");
    assert_eq!(done["chosen"]["feasible"], true);
    let pareto = done["pareto"].as_array().unwrap();
    assert!(!pareto.is_empty());
    for point in pareto {
        let ask = heard
            .iter()
            .find(|message| message["ask"]["id"] == point["id"])
            .unwrap();
        assert_eq!(ask["ask"]["point"], point["point"]);
        let sum: f64 = point["point"]["shares"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(Value::as_f64)
            .sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }
}

/// Kills a session at its n-th durable write, as `kill -9` would, and goes on.
#[test]
fn a_session_that_is_killed_anywhere_goes_on_to_the_same_end() {
    let desk = Desk::new(SPACE);
    let mut talk = desk.bomf(&["--journal", "whole"]).talk();
    let expected = play(&mut talk, 0);
    talk.finish().expect_code(0);
    let mut killed = 0;
    for at in (1..).step_by(7) {
        let name = format!("killed-{at}");
        let mut talk = desk
            .bomf(&["--journal", &name])
            .env("BOMF_TEST_CRASH_AT", at.to_string())
            .talk();
        let mut heard = play(&mut talk, 0);
        let code = talk.finish().code;
        if code == Some(0) {
            break;
        }
        assert_eq!(code, None);
        killed += 1;
        let mut talk = desk.bomf(&["--journal", &name]).talk();
        let again = play(&mut talk, asks(&heard).len());
        talk.finish().expect_code(0);
        heard.extend(again);
        let mut points = asks(&heard);
        points.sort_by_key(|ask| ask["ask"]["id"].as_u64());
        points.dedup();
        assert_eq!(points, asks(&expected), "killed at {at}");
        assert_eq!(heard.last(), expected.last(), "killed at {at}");
    }
    assert!(killed >= 5, "{killed} moments were tried");
}

#[test]
fn a_torn_last_line_is_dropped_and_asked_again() {
    let desk = Desk::new(SPACE);
    let mut talk = desk.bomf(&["--journal", "j"]).talk();
    let first = talk.hear().unwrap();
    talk.hear().unwrap();
    talk.say(tell(&first));
    let third = talk.hear().unwrap();
    talk.kill();
    talk.finish();
    let path = desk.path().join("j");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    let mut talk = desk.bomf(&["--journal", "j"]).talk();
    assert_eq!(talk.hear().unwrap()["ask"]["id"], 1);
    assert_eq!(talk.hear().unwrap(), third);
    talk.finish()
        .expect_code(0)
        .expect_stderr(&["torn last line"]);
}

#[test]
fn a_journal_of_something_else_is_refused_with_what_differs() {
    let desk = Desk::new(SPACE);
    desk.bomf(&["--journal", "j"]).output().expect_code(0);
    let refused = |set: &str| -> Output {
        desk.bomf(&["--journal", "j", "--set", set])
            .output()
            .expect_code(2)
    };
    refused("seed=6").expect_stderr(&["error[optimize::journal]", "`seed` was 5 and is 6"]);
    refused("space.rate.low=1e-3").expect_stderr(&["`space.rate.domain"]);
    refused("optimizer.restarts=3").expect_stderr(&["`optimizer.options.restarts`"]);
    refused("optimizer=random").expect_stderr(&["`optimizer.use`"]);
    for set in ["budget=3", "parallel=1", "choose=knee", "threads=2"] {
        desk.bomf(&["--journal", "j", "--set", set])
            .output()
            .expect_code(0);
    }
    desk.bomf(&["--journal", "space.yaml"])
        .output()
        .expect_code(2)
        .expect_stderr(&["error[journal::corrupt]", "space.yaml:1"]);
    assert_eq!(
        std::fs::read_to_string(desk.path().join("space.yaml")).unwrap(),
        SPACE
    );
}

#[test]
fn a_second_process_on_one_journal_is_refused() {
    let desk = Desk::new(SPACE);
    let mut talk = desk.bomf(&["--journal", "j"]).talk();
    talk.hear().unwrap();
    desk.bomf(&["--journal", "j"])
        .output()
        .expect_code(2)
        .expect_stderr(&["error[journal::locked]"]);
    talk.finish().expect_code(0);
}

#[test]
fn wrong_lines_are_answered_and_the_session_goes_on() {
    let desk = Desk::new(SPACE);
    let mut talk = desk.bomf(&["--set", "parallel=1"]).talk();
    let ask = talk.hear().unwrap();
    let long = "x".repeat((1 << 20) + 1);
    for (line, code) in [
        (&b"nonsense"[..], "optimize::json"),
        (b"\xff\xfe", "optimize::json"),
        (long.as_bytes(), "optimize::too_long"),
        (
            br#"{"tell": {"id": 9, "failed": "x"}}"#,
            "optimize::unknown_id",
        ),
        (
            br#"{"tell": {"id": 0, "values": {"f1": 1}}}"#,
            "optimize::missing",
        ),
        (
            br#"{"tell": {"id": 0, "values": {"f1": NaN}}}"#,
            "optimize::json",
        ),
    ] {
        talk.say(line);
        assert_eq!(talk.hear().unwrap()["error"]["code"], code);
    }
    talk.say(tell(&ask));
    assert_eq!(talk.hear().unwrap()["ask"]["id"], 1);
    talk.say(tell(&ask));
    assert_eq!(
        talk.hear().unwrap()["error"]["code"],
        "optimize::told_twice"
    );
    talk.say(r#"{"report": {"id": 1, "step": 1, "values": {"f1": 0.5, "loss": 1}}}"#);
    assert_eq!(talk.hear().unwrap(), json!({"continue": {"id": 1}}));
    let output = talk.finish().expect_code(0);
    assert_eq!(
        output.json()["done"]["trials"],
        json!({"finished": 1, "failed": 0, "pending": 1})
    );
    assert_eq!(output.json()["done"]["why"], "standard input was closed");
}

#[test]
fn an_optimizer_that_has_nothing_left_ends_the_session() {
    let desk = Desk::new(
        "space: { x: { choices: [1, 2, 3] } }\nobjectives: [ { name: y, direction: maximize } ]\n\
         optimizer: grid\nparallel: 5\n",
    );
    let mut talk = desk.bomf(&[]).talk();
    for id in 0..3 {
        assert_eq!(talk.hear().unwrap()["ask"]["id"], id);
    }
    for id in [2, 0, 1] {
        talk.say(json!({"tell": {"id": id, "values": {"y": id}}}).to_string());
    }
    let done = talk.hear().unwrap();
    assert_eq!(done["done"]["chosen"]["point"]["x"], 3);
    assert_eq!(talk.hear(), None);
    talk.finish().expect_code(0);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_session_with_what_is_known() {
    let desk = Desk::new(SPACE);
    let mut talk = desk.bomf(&["--journal", "j"]).talk();
    let ask = talk.hear().unwrap();
    talk.hear().unwrap();
    talk.say(tell(&ask));
    talk.hear().unwrap();
    let killed = Command::new("kill")
        .args(["-TERM", &talk.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let done = talk.hear().unwrap();
    assert_eq!(done["done"]["trials"]["finished"], 1);
    talk.finish()
        .expect_code(4)
        .expect_stderr(&["error[optimize::interrupted]", "--journal"]);
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let desk = Desk::new(SPACE);
    let script = format!(
        "\"{}\" optimize space.yaml < /dev/null | head -c 1",
        binary::path().display()
    );
    let output = Command::new("sh")
        .arg("-c")
        .arg(script)
        .current_dir(desk.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !stderr.contains("error"),
        "{stderr}"
    );
}

#[test]
fn everything_wrong_with_a_space_is_said_at_once() {
    let wrong = SPACE
        .replace("low: 1e-4, high: 1.0", "low: -1, high: 1.0")
        .replace("choices: [a, 1, true]", "choices: [a, [b], a]")
        .replace(
            "direction: minimize, reference: 2",
            "direction: minimize, scale: [0, 1]",
        )
        .replace("name: seconds, at_most: 9", "name: seconds")
        .replace("restarts: 2", "restart: 2");
    let output = Desk::new(&format!("{wrong}choose: {{ best: los }}\n"))
        .bomf(&[])
        .output();
    let output = output.expect_code(2).expect_stderr(&[
        "space.yaml:3:",
        "^",
        "did you mean `restarts`?",
        "did you mean `loss`?",
    ]);
    let expected = [
        "config::range",
        "config::choice",
        "config::choice",
        "config::range",
        "config::constraint",
        "config::objective",
        "config::unknown_key",
    ];
    assert_eq!(output.codes(), expected, "{}", output.stderr);
    let misspelt = SPACE
        .replace("high: 1.0", "hihg: 1.0")
        .replace("budget", "budgt");
    Desk::new(&misspelt)
        .bomf(&[])
        .output()
        .expect_code(2)
        .expect_stderr(&["did you mean `high`?", "did you mean `budget`?"]);
}

#[test]
fn help_teaches() {
    let here = Path::new(".");
    Bomf::new(here, ["optimize", "--help"])
        .output()
        .expect_code(0)
        .expect_stdout(&["\"ask\"", "\"tell\"", "simplex", "--journal", "within"]);
}

#[test]
fn the_program_of_the_guide_runs() {
    let guide = std::fs::read_to_string(root().join("docs/optimize.md")).unwrap();
    let block = |language: &str| {
        let (_, rest) = guide.split_once(&format!("```{language}\n")).unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    };
    let space = std::fs::read_to_string(root().join("configs/optimize/blend.yaml")).unwrap();
    assert!(
        space.contains(&block("yaml")),
        "the guide and configs/optimize/blend.yaml differ"
    );
    let desk = Desk::new("");
    std::fs::write(desk.path().join("blend.yaml"), &space).unwrap();
    std::fs::write(desk.path().join("program.py"), block("python")).unwrap();
    let program = binary::path();
    let mut path = vec![program.parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let python = Command::new("python3")
        .arg("program.py")
        .current_dir(desk.path())
        .env("PATH", std::env::join_paths(path).unwrap())
        .output();
    let Ok(output) = python else {
        return skip("REQUIRE_PYTHON", "there is no python3");
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{wrong}");
    assert!(
        said.contains("points lead; chosen:") && said.contains("'feasible': True"),
        "{said}"
    );
}

#[test]
fn shipped_spaces_are_in_order() {
    let folder = root().join("configs/optimize");
    let mut checked = 0;
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        // Its input is closed: it asks once and ends.
        let output = Bomf::new(Path::new("."), [Path::new("optimize"), &entry.path()]).output();
        output
            .expect_code(0)
            .expect_stdout(&["\"ask\"", "\"done\""]);
        checked += 1;
    }
    assert!(checked >= 1);
}
