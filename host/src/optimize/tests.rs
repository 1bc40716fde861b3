//! Sessions without a process: lines in, lines out.

use std::cell::RefCell;
use std::io::BufReader;

use bomf_plugin_api::{Coordinate, Outcome};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::message::{self, LONGEST};
use super::next_line;
use super::sample::{Spread, search};
use super::search::Search;
use super::session::{Event, Session};

/// A session that has begun, what it said first, and what it recorded.
struct Talk<'a> {
    session: Session<'a>,
    heard: Vec<Value>,
}

impl<'a> Talk<'a> {
    fn new(search: &'a Search, kept: &'a RefCell<Vec<Event>>) -> Self {
        let before = kept.borrow().clone();
        let record = |event: &Event| {
            kept.borrow_mut().push(event.clone());
            Ok(())
        };
        let mut session = Session::new(search, Box::new(Spread), Box::new(record));
        before
            .into_iter()
            .for_each(|event| session.replay(event).unwrap());
        let heard = session.begin().unwrap();
        Self { session, heard }
    }

    fn say(&mut self, line: &str) -> Vec<Value> {
        let replies = self.session.line(line.as_bytes()).unwrap();
        self.heard.extend(replies.clone());
        replies
    }

    /// The code of the error that a line is answered by; the study stays as it was.
    #[track_caller]
    fn refused(&mut self, line: &str) -> String {
        let before = self.session.study().clone();
        let replies = self.session.line(line.as_bytes()).unwrap();
        assert_eq!(replies.len(), 1, "{line}: {replies:?}");
        assert_eq!(*self.session.study(), before);
        let error = &replies[0]["error"];
        assert!(
            error["message"].as_str().unwrap().contains("found"),
            "{error}"
        );
        assert!(
            error["place"].as_str().unwrap().starts_with("line "),
            "{error}"
        );
        error["code"].as_str().unwrap().to_owned()
    }
}

fn tell(id: u64) -> String {
    let x = (id as f64 * 0.37).rem_euclid(1.0);
    json!({"tell": {"id": id, "values": {"f1": x, "loss": 1.0 - x, "seconds": 7.0 * x}}})
        .to_string()
}

#[test]
fn a_session_asks_until_the_budget_is_spent_and_all_is_told() {
    let (search, kept) = (search(5, 2), RefCell::default());
    let mut talk = Talk::new(&search, &kept);
    assert_eq!(talk.heard.len(), 2);
    assert_eq!(talk.heard[1]["ask"]["id"], 1);
    let point = talk.heard[0]["ask"]["point"].as_object().unwrap();
    assert_eq!(
        point.keys().collect::<Vec<_>>(),
        ["shares", "rate", "layers", "kind"]
    );
    for id in [1, 0, 3, 2] {
        assert!(talk.session.ended().is_none());
        talk.say(&tell(id));
    }
    assert!(
        talk.say(r#"{"tell": {"id": 4, "failed": "cold"}}"#)
            .is_empty()
    );
    assert_eq!(talk.session.ended(), Some("the budget of 5 asks is spent"));
    let done = talk.session.done("x")["done"].clone();
    assert_eq!(
        done["trials"],
        json!({"finished": 4, "failed": 1, "pending": 0})
    );
    // 0.37 and 0.11 remain: 0.74 takes more than 5 seconds, and 0 breaks the bound of f1.
    assert_eq!(done["pareto"].as_array().unwrap().len(), 1);
    assert_eq!(done["chosen"]["id"], 1);
    assert_eq!(done["chosen"]["feasible"], true);
    assert!((done["hypervolume"].as_f64().unwrap() - 0.37 * 0.37).abs() < 1e-12);
}

#[test]
fn every_kind_of_error_has_a_code_and_changes_nothing() {
    let (search, kept) = (search(9, 2), RefCell::default());
    let mut talk = Talk::new(&search, &kept);
    talk.say(&tell(0));
    talk.say(r#"{"report": {"id": 1, "step": 3, "values": {"f1": 0.5, "loss": 0.5}}}"#);
    let good = r#""values": {"f1": 0.5, "loss": 0.5, "seconds": 1}"#;
    let cases = [
        ("{", "optimize::json"),
        ("[1, 2]", "optimize::form"),
        ("{}", "optimize::form"),
        (r#"{"ask": {}}"#, "optimize::unknown_key"),
        (r#"{"tell": 3}"#, "optimize::form"),
        (
            r#"{"tell": {"id": 1, "values": {"f1": 0.5, "loss": 0.5, "seconds": 1, "f1": 0.6}}}"#,
            "optimize::form",
        ),
        (r#"{"report": {"id": 1, "step": 4}}"#, "optimize::missing"),
        (r#"{"tell": {}, "report": {}}"#, "optimize::form"),
        (&format!(r#"{{"tell": {{{good}}}}}"#), "optimize::missing"),
        (
            &format!(r#"{{"tell": {{"id": 7, {good}}}}}"#),
            "optimize::unknown_id",
        ),
        (
            &format!(r#"{{"tell": {{"id": -1, {good}}}}}"#),
            "optimize::value",
        ),
        (
            &format!(r#"{{"tell": {{"id": "1", {good}}}}}"#),
            "optimize::value",
        ),
        (
            &format!(r#"{{"tell": {{"id": 0, {good}}}}}"#),
            "optimize::told_twice",
        ),
        (
            &format!(r#"{{"tell": {{"id": 1, "vals": 1, {good}}}}}"#),
            "optimize::unknown_key",
        ),
        (
            &format!(r#"{{"tell": {{"id": 1, "failed": "x", {good}}}}}"#),
            "optimize::form",
        ),
        (
            &format!(r#"{{"tell": {{"id": 1, "point": {{}}, {good}}}}}"#),
            "optimize::form",
        ),
        (r#"{"tell": {"id": 1}}"#, "optimize::missing"),
        (r#"{"tell": {"id": 1, "failed": 3}}"#, "optimize::form"),
        (
            r#"{"tell": {"id": 1, "failed": "x", "noise": {}}}"#,
            "optimize::form",
        ),
        (
            r#"{"tell": {"id": 1, "values": {"f1": 0.5, "seconds": 1}}}"#,
            "optimize::missing",
        ),
        (
            r#"{"tell": {"id": 1, "values": {"f1": 1, "loss": 1, "second": 1}}}"#,
            "optimize::unknown_name",
        ),
        (
            r#"{"tell": {"id": 1, "values": {"f1": NaN, "loss": 1, "seconds": 1}}}"#,
            "optimize::json",
        ),
        (
            r#"{"tell": {"id": 1, "values": {"f1": null, "loss": 1, "seconds": 1}}}"#,
            "optimize::value",
        ),
        (
            r#"{"tell": {"id": 1, "values": {"f1": "1", "loss": 1, "seconds": 1}}}"#,
            "optimize::value",
        ),
        (
            r#"{"tell": {"id": 1, "values": {"f1": 1e101, "loss": 1, "seconds": 1}}}"#,
            "optimize::value",
        ),
        (
            r#"{"tell": {"id": 1, "values": {"f1": 1e999, "loss": 1, "seconds": 1}}}"#,
            "optimize::json",
        ),
        (
            &format!(r#"{{"tell": {{"id": 1, "noise": {{"f1": 0.1}}, {good}}}}}"#),
            "optimize::missing",
        ),
        (
            &format!(r#"{{"tell": {{"id": 1, "noise": {{"f1": -1, "loss": 0}}, {good}}}}}"#),
            "optimize::value",
        ),
        (
            &format!(r#"{{"tell": {{"point": {{"rate": 0.5}}, {good}}}}}"#),
            "optimize::missing",
        ),
        (
            r#"{"report": {"id": 1, "step": 3, "values": {"f1": 0.5, "loss": 0.5}}}"#,
            "optimize::step",
        ),
        (
            r#"{"report": {"id": 0, "step": 9, "values": {"f1": 0.5, "loss": 0.5}}}"#,
            "optimize::told_twice",
        ),
        (
            r#"{"report": {"id": 1, "values": {"f1": 0.5, "loss": 0.5}}}"#,
            "optimize::missing",
        ),
    ];
    for (line, code) in cases {
        assert_eq!(talk.refused(line), code, "{line}");
    }
    assert_eq!(
        talk.refused(&" ".repeat(LONGEST).replacen(' ', "{", 1).repeat(2)),
        "optimize::too_long"
    );
    let replies = talk.session.line(b"{\"tell\": \"\xff\"}").unwrap();
    assert_eq!(replies[0]["error"]["code"], "optimize::json");
    assert_eq!(talk.refused(&"[".repeat(100_000)), "optimize::json");
    assert!(talk.say("  \r").is_empty());
}

#[test]
fn errors_suggest_what_was_meant() {
    let (search, kept) = (search(9, 1), RefCell::default());
    let mut talk = Talk::new(&search, &kept);
    let mut hint = |line: &str| {
        talk.say(line)[0]["error"]["hint"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(hint(r#"{"tel": {}}"#).contains("`tell`"));
    assert!(hint(r#"{"tell": {"id": 0, "values": {"los": 1}}}"#).contains("`loss`"));
    assert!(hint(r#"{"tell": {"id": 0, "values": {"loss": NaN}}}"#).contains("failed"));
}

#[test]
fn reports_are_kept_and_answered() {
    let (search, kept) = (search(3, 1), RefCell::default());
    let mut talk = Talk::new(&search, &kept);
    let report = |step: u64, f1: f64| {
        json!({"report": {"id": 0, "step": step, "values": {"f1": f1, "loss": 0.0}}}).to_string()
    };
    assert_eq!(talk.say(&report(1, 0.5)), [json!({"continue": {"id": 0}})]);
    assert_eq!(talk.say(&report(2, -0.5)), [json!({"stop": {"id": 0}})]);
    assert_eq!(
        talk.session.study().trials[0].reports,
        [(1, vec![0.5, 0.0]), (2, vec![-0.5, 0.0])]
    );
    assert_eq!(talk.say(&tell(0))[0]["ask"]["id"], 1);
}

#[test]
fn a_trial_that_runs_again_hears_the_same_verdicts() {
    let (search, kept) = (search(3, 1), RefCell::default());
    let report = |step: u64, f1: f64| {
        json!({"report": {"id": 0, "step": step, "values": {"f1": f1, "loss": 0.0}}}).to_string()
    };
    let (go, stop) = (
        [json!({"continue": {"id": 0}})],
        [json!({"stop": {"id": 0}})],
    );
    let mut first = Talk::new(&search, &kept);
    assert_eq!(first.say(&report(1, 0.5)), go);
    assert_eq!(first.refused(&report(1, 0.5)), "optimize::step");
    assert_eq!(first.say(&report(4, -0.5)), stop);
    drop(first);
    let events = kept.borrow().len();
    let mut again = Talk::new(&search, &kept);
    assert_eq!(again.heard[0]["ask"]["id"], 0);
    for (step, answer) in [(0, &go), (1, &go), (3, &go), (4, &stop)] {
        assert_eq!(again.say(&report(step, 0.5)), *answer, "{step}");
    }
    assert_eq!(kept.borrow().len(), events, "nothing new has happened");
    // Further on it is asked anew, and steps ascend from there.
    assert_eq!(again.say(&report(5, 0.5)), go);
    assert_eq!(again.refused(&report(5, 0.5)), "optimize::step");
}

#[test]
fn points_from_outside_count_but_not_for_the_budget() {
    let (search, kept) = (search(2, 1), RefCell::default());
    let mut talk = Talk::new(&search, &kept);
    let given = |kind: Value, layers: Value| {
        let point = json!({"shares": [0.25, 0.75], "rate": 0.5, "layers": layers, "kind": kind});
        let values = json!({"f1": 0.9, "loss": 0.1, "seconds": 1});
        json!({"tell": {"point": point, "values": values}}).to_string()
    };
    assert!(talk.say(&given(json!(1.0), json!(2.0))).is_empty());
    let trial = &talk.session.study().trials[1];
    assert_eq!(
        trial.suggestion.point[2..],
        [Coordinate::Integer(2), Coordinate::Choice(1)]
    );
    assert_eq!(
        talk.refused(&given(json!("c"), json!(2))),
        "optimize::point"
    );
    assert_eq!(
        talk.refused(&given(json!("a"), json!(7))),
        "optimize::point"
    );
    assert_eq!(
        talk.refused(&given(json!("a"), json!(0.5))),
        "optimize::point"
    );
    talk.say(&tell(0));
    assert_eq!(talk.session.ended(), None);
    talk.say(&tell(2));
    assert_eq!(talk.session.ended(), Some("the budget of 2 asks is spent"));
    assert_eq!(talk.session.done("x")["done"]["chosen"]["id"], 1);
}

#[test]
fn noise_goes_with_its_trial() {
    let (search, kept) = (search(2, 1), RefCell::default());
    let mut talk = Talk::new(&search, &kept);
    talk.say(
        r#"{"tell": {"id": 0, "values": {"seconds": 3, "loss": 1, "f1": 2}, "noise": {"loss": 0.1, "f1": 0.2}}}"#,
    );
    let told = Outcome::Finished {
        values: vec![2.0, 1.0],
        noise: Some(vec![0.2, 0.1]),
        constraint_values: vec![3.0, 2.0],
    };
    assert_eq!(talk.session.study().trials[0].outcome, told);
}

#[test]
fn without_a_feasible_point_the_choice_says_so() {
    let (search, kept) = (search(2, 1), RefCell::default());
    let mut talk = Talk::new(&search, &kept);
    for (id, seconds) in [(0, 9), (1, 6)] {
        let values = json!({"f1": 0.5, "loss": 0.5, "seconds": seconds});
        talk.say(&json!({"tell": {"id": id, "values": values}}).to_string());
    }
    let done = talk.session.done("x")["done"].clone();
    assert_eq!(done["pareto"], json!([]));
    assert_eq!(done["hypervolume"], 0.0);
    assert_eq!(
        (&done["chosen"]["id"], &done["chosen"]["feasible"]),
        (&json!(1), &json!(false))
    );
}

#[test]
fn a_session_that_is_cut_anywhere_goes_on_as_if_it_had_not_been() {
    let (search, whole) = (search(6, 2), RefCell::default());
    let mut talk = Talk::new(&search, &whole);
    let script: Vec<String> = [1, 0, 2, 4, 3, 5].map(tell).to_vec();
    for line in &script {
        talk.say(line);
    }
    let end = talk.session.done("x");
    let events: Vec<Event> = whole.borrow().clone();
    for cut in 0..=events.len() {
        let kept = RefCell::new(events[..cut].to_vec());
        let mut again = Talk::new(&search, &kept);
        for line in &script {
            // Those that were told before are refused.
            again.say(line);
        }
        assert_eq!(again.session.done("x"), end, "cut after {cut} events");
        assert_eq!(*kept.borrow(), events);
    }
}

#[test]
fn events_that_do_not_follow_are_refused() {
    let search = search(3, 1);
    let mut session = Session::new(&search, Box::new(Spread), Box::new(|_| Ok(())));
    let outcome = Outcome::Failed { why: String::new() };
    let failure = session
        .replay(Event::Told {
            id: u64::MAX,
            outcome,
        })
        .unwrap_err();
    assert_eq!(failure.code, "optimize::journal");
}

#[test]
fn lines_are_cut_at_the_limit_and_the_next_is_whole() {
    let text = format!("short\r\n\n{}\nlast", "x".repeat(100));
    let mut from = BufReader::with_capacity(7, text.as_bytes());
    let mut lines = Vec::new();
    while let Some(line) = next_line(&mut from, 10).unwrap() {
        lines.push(String::from_utf8(line).unwrap());
    }
    assert_eq!(lines, ["short\r", "", &"x".repeat(11), "last"]);
}

/// Lines that are nearly right, and lines that are nothing at all.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let valid = prop_oneof![
        (0..9_u64).prop_map(tell),
        Just(r#"{"report": {"id": 1, "step": 2, "values": {"f1": 1.5, "loss": 0}}}"#.to_owned()),
        Just(r#"{"tell": {"id": 2, "failed": "why"}}"#.to_owned()),
        Just(
            r#"{"tell": {"point": {"shares": [0.5, 0.5], "rate": 0.1, "layers": 3, "kind": true},
                "values": {"f1": 0.1, "loss": 3, "seconds": 2}, "noise": {"f1": 0.1, "loss": 0.2}}}"#
                .replace('\n', " ")
        ),
    ];
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..6),
        proptest::sample::select(
            &[
                "1e308",
                "-1",
                "null",
                "{}",
                "[",
                "\"",
                "\\u0000",
                ",",
                "NaN",
                "18446744073709551616"
            ][..]
        )
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let mutated = (valid, any::<prop::sample::Index>(), 0_usize..9, piece).prop_map(
        |(line, at, cut, piece)| {
            let mut bytes = line.into_bytes();
            let at = at.index(bytes.len());
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, piece);
            bytes
        },
    );
    prop_oneof![mutated, proptest::collection::vec(any::<u8>(), 0..80)]
}

proptest! {
    // `PROPTEST_CASES=1000000 cargo test --release -p bomf garbage` makes a long evening of it.
    #[test]
    fn garbage_never_ends_or_changes_a_session(
        lines in proptest::collection::vec((0_usize..7, garbage()), 0..40),
    ) {
        let (search, quiet, noisy) = (search(6, 2), RefCell::default(), RefCell::default());
        let mut undisturbed = Talk::new(&search, &quiet);
        let mut disturbed = Talk::new(&search, &noisy);
        for (turn, id) in [1, 0, 2, 4, 3, 5].into_iter().enumerate() {
            for (_, line) in lines.iter().filter(|(at, _)| *at == turn) {
                // What happens to be understood is no garbage.
                if message::read(line, &search).is_err() {
                    let replies = disturbed.session.line(line).unwrap();
                    prop_assert!(replies.iter().all(|reply| reply["error"].is_object()));
                }
            }
            undisturbed.say(&tell(id));
            disturbed.say(&tell(id));
        }
        prop_assert_eq!(&undisturbed.heard, &disturbed.heard);
        prop_assert_eq!(undisturbed.session.done("x"), disturbed.session.done("x"));
    }

    #[test]
    fn whatever_garbage_is_understood_leaves_a_sound_study(
        lines in proptest::collection::vec(garbage(), 0..60),
    ) {
        let (search, kept) = (search(20, 3), RefCell::default());
        let mut talk = Talk::new(&search, &kept);
        for line in &lines {
            let before = talk.session.study().clone();
            let replies = talk.session.line(line).unwrap();
            if replies.iter().any(|reply| reply["error"].is_object()) {
                prop_assert_eq!(replies.len(), 1);
                prop_assert_eq!(talk.session.study(), &before);
            }
            prop_assert!(talk.session.study().check().is_ok());
        }
        // Every number in the summary is one.
        prop_assert!(serde_json::from_str::<Value>(&talk.session.done("x").to_string()).is_ok());
        let again = Talk::new(&search, &kept);
        prop_assert_eq!(again.session.study(), talk.session.study());
    }
}
