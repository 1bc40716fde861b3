//! Hyperparameter trials that are ended early.

use bomf_tests::TinyRun;
use serde_json::Value;

/// A tiny run whose tuning has ten trials of four parts each, with this optimizer.
fn tiny(optimizer: &str) -> TinyRun {
    let tiny = TinyRun::new();
    tiny.edit(
        "optimizer: { use: gp }\n  initial: 2\n  iterations: 3",
        &format!("optimizer: {optimizer}\n  epochs: 4\n  initial: 2\n  iterations: 8"),
    );
    // From rates at which nothing happens to such at which a training falls apart.
    tiny.edit("low: 1e-4, high: 1e-2", "low: 1e-6, high: 1e-1");
    tiny
}

/// The trials of a run's tuning.
fn trials(report: &Value) -> &Vec<Value> {
    report["tuning"]["trials"]
        .as_array()
        .expect("a tuning has trials")
}

fn is_stopped(trial: &Value) -> bool {
    trial["stopped"] == Value::Bool(true)
}

/// Parts and metric sums that a trial reported.
fn reports(trial: &Value) -> Vec<(u64, f64)> {
    let reports = trial["reports"].as_array().expect("a trial has reports");
    reports
        .iter()
        .filter_map(|report| Some((report[0].as_u64()?, report[1][0].as_f64()?)))
        .collect()
}

#[test]
fn a_bad_trial_is_stopped_and_keeps_its_best_value() {
    let tiny = tiny("{ use: random, stopping: { rule: median, warmup_steps: 1, min_trials: 2 } }");
    tiny.run("a").output().expect_code(0);
    let results = tiny.results("a");
    let all = trials(&results.report);
    let stopped: Vec<&Value> = all.iter().filter(|trial| is_stopped(trial)).collect();
    assert!(!stopped.is_empty() && stopped.len() < all.len(), "{all:?}");
    for trial in all {
        let reports = reports(trial);
        let parts: Vec<u64> = reports.iter().map(|report| report.0).collect();
        let last = parts.len() as u64;
        assert_eq!(parts, (1..=last).collect::<Vec<_>>());
        match is_stopped(trial) {
            true => assert!((2..4).contains(&last), "{trial}"),
            false => assert_eq!(last, 4, "{trial}"),
        }
        let best = reports
            .iter()
            .map(|report| report.1)
            .fold(f64::MIN, f64::max);
        assert_eq!(trial["metric_sum"].as_f64(), Some(best));
    }
    assert!(
        !all[..2].iter().any(is_stopped),
        "two others have to finish first"
    );

    let text =
        std::fs::read_to_string(tiny.path().join("a/report.md")).expect("a run has a report");
    let part = reports(stopped[0]).len();
    assert!(
        text.contains(&format!("(stopped after part {part} of 4)")),
        "{text}"
    );
}

/// Reports come back from the journal: without them a resumed run would have no bar to stop by.
#[test]
fn a_resumed_run_stops_the_same_trials() {
    let tiny = tiny("{ use: random, stopping: { rule: median, min_trials: 2 } }");
    tiny.run("undisturbed").output().expect_code(0);
    let expected = tiny.results("undisturbed");
    let first = trials(&expected.report).iter().position(is_stopped);
    assert!(first.is_some(), "{:?}", trials(&expected.report));
    for at in [16, 24, 32] {
        let name = format!("killed-{at}");
        let killed = tiny
            .run(&name)
            .env("BOMF_TEST_CRASH_AT", at.to_string())
            .output();
        assert_eq!(killed.code, None, "{}", killed.stderr);
        tiny.resume(&name).output().expect_code(0);
        expected.expect_same(&tiny.results(&name));
    }
}

#[test]
fn without_a_rule_every_trial_goes_to_its_end() {
    let tiny = tiny("{ use: tpe }");
    tiny.run("a").output().expect_code(0);
    for trial in trials(&tiny.results("a").report) {
        assert!(!is_stopped(trial) && reports(trial).len() == 4, "{trial}");
    }
}

#[test]
fn an_unknown_rule_is_refused_with_the_ones_there_are() {
    let tiny = tiny("{ use: sobol, stopping: { rule: mean } }");
    let output = tiny
        .bomf(&["validate", "tiny.yaml"])
        .output()
        .expect_code(2);
    output.expect_stderr(&["tune.optimizer.stopping", "median"]);
}
