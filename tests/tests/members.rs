//! `bomf run` over checkpoints that are there already: evaluated by a model, by a program, by predictions.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::Command;

use bomf_tests::{Bomf, Output, Results, TinyRun, root, skip};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Numbers beside the weights: so many that a file has several pages.
const PADDING: usize = 20_000;

/// Three checkpoints whose fusion is the coefficients themselves: `w` is (1, 0), (0, 1) and (0, 0).
fn corners() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, weights) in [
        ("c-2", [1.0_f32, 0.0]),
        ("c-10", [0.0, 1.0]),
        ("c-11", [0.0, 0.0]),
    ] {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        let header = json!({
            "padding": {"dtype": "F32", "shape": [PADDING], "data_offsets": [0, 4 * PADDING]},
            "w": {"dtype": "F32", "shape": [2], "data_offsets": [4 * PADDING, 4 * PADDING + 8]},
        });
        let mut header = header.to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header);
        file.extend([0; 4 * PADDING]);
        file.extend(weights.iter().flat_map(|x| x.to_le_bytes()));
        std::fs::write(path.join("model.safetensors"), file).unwrap();
        std::fs::write(path.join("config.json"), r#"{"model_type": "corner"}"#).unwrap();
    }
    folder
}

/// Reads the two weights, and prints how near they are to a point that the split moves a little.
const EVALUATE: &str = r#"#!/bin/sh
[ -f "$1/config.json" ] || exit 9
shift_by=0; [ "$2" = test ] && shift_by=0.05
tail -c 8 "$1/model.safetensors" | od -An -tf4 | awk -v s=$shift_by '{
  d = ($1 - 0.5 - s)^2 + ($2 - 0.3)^2
  printf "looking\n{\"results\": {\"near,none\": %.9f}, \"far\": %.9f}\n", 1 - d, d
}'
"#;

const BY_COMMAND: &str = "\
name: corners
seed: 3
members: [ c-* ]
evaluate:
  use: command
  run: sh evaluate.sh {model} {split}
  scores:
    near: { at: [results, 'near,none'], range: [0, 1] }
    far: { direction: minimize }
fuse:
  iterations: 12
  methods: [ { use: best_member }, { use: swa }, { use: bomf } ]
";

fn write(folder: &Path, config: &str, script: &str) {
    std::fs::write(folder.join("c.yaml"), config).unwrap();
    std::fs::write(folder.join("evaluate.sh"), script).unwrap();
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let all = [&["run", "c.yaml", "--out", "out"], arguments].concat();
    Bomf::new(folder, all).output()
}

fn report(folder: &Path) -> Value {
    let text = std::fs::read_to_string(folder.join("out/report.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn chosen<'a>(report: &'a Value, method: &str) -> &'a Value {
    let methods = report["methods"].as_array().unwrap();
    let found = methods.iter().find(|m| m["name"] == method).unwrap();
    &found["trials"][found["chosen"].as_u64().unwrap() as usize]
}

fn weights(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("model.safetensors")).unwrap()
}

#[test]
fn a_program_is_all_it_takes_to_search() {
    let folder = corners();
    let here = folder.path();
    write(here, BY_COMMAND, EVALUATE);
    let output = run(here, &[]).expect_code(0);
    output.expect_stdout(&[
        "3 checkpoints were fused by 3 methods",
        "## Test results",
        "| c-10",
    ]);
    let report = report(here);
    // In the order of the numbers in their names, scored as the script says.
    let members = report["members"].as_array().unwrap();
    let names: Vec<&str> = members.iter().filter_map(|m| m["name"].as_str()).collect();
    assert_eq!(names, ["c-2", "c-10", "c-11"]);
    let scores = report["scores"].as_array().unwrap();
    let scores: Vec<&str> = scores.iter().filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(scores, ["near", "far"], "as the configuration has them");
    let near = members[0]["evaluation"]["values"][0].as_f64().unwrap();
    assert!((near - (1.0 - 0.25 - 0.09)).abs() < 1e-6, "{near}");
    // The search comes nearer than any member and the average.
    let best = chosen(&report, "bomf")["evaluation"]["values"][0]
        .as_f64()
        .unwrap();
    let average = chosen(&report, "swa")["evaluation"]["values"][0]
        .as_f64()
        .unwrap();
    assert!(best > average && best > 0.985, "{best}, {average}");
    // Tested on the other split, which moves the point, and without intervals.
    let test = &report["test"][2];
    assert!(test["intervals"].is_null() && test["evaluation"]["values"][0].is_number());
    // What is left can be made again from its record.
    let fused = here
        .join("out/fused")
        .join(report["chosen"].as_str().unwrap());
    let record = fused.join("fusion.json");
    let replay = [
        "fuse",
        "--replay",
        record.to_str().unwrap(),
        "--out",
        "again",
    ];
    Bomf::new(here, replay).output().expect_code(0);
    assert_eq!(weights(&fused), weights(&here.join("again")));
    assert!(fused.join("config.json").is_file());
    let left = std::fs::read_dir(here.join("out")).unwrap().flatten();
    let left: Vec<String> = left
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(
        !left.iter().any(|name| name.starts_with("evaluating")),
        "{left:?}"
    );
}

#[test]
fn counters_of_the_first_member_are_taken_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (name, weight, counter) in [("c-1", 1.0, 3_i64), ("c-2", 0.0, 4)] {
        let path = here.join(name);
        std::fs::create_dir(&path).unwrap();
        let counter = counter.to_le_bytes().to_vec();
        let tensors = [
            ("steps".to_owned(), "I64", vec![], counter),
            bomf_tests::safetensors::f32s("w", &[2], &[weight, 1.0 - weight]),
        ];
        bomf_tests::safetensors::write(&path.join("model.safetensors"), &tensors);
        std::fs::write(path.join("config.json"), r#"{"model_type": "corner"}"#).unwrap();
    }
    // By its variable instead of the placeholder.
    let config = BY_COMMAND.replace("{model}", "\"$BOMF_MODEL\"");
    write(here, &config, EVALUATE);
    run(here, &[])
        .expect_code(2)
        .expect_stderr(&["error[fuse::integers]", "integers: first"]);
    let output = run(here, &["--resume", "--set", "fuse.integers=first"]);
    output.expect_code(2);
    std::fs::remove_dir_all(here.join("out")).unwrap();
    run(here, &["--set", "fuse.integers=first"]).expect_code(0);
    let fused = here.join("out/fused/bomf");
    let card = std::fs::read_to_string(fused.join("README.md")).unwrap();
    assert!(
        card.contains("--integers first") && card.contains("| c-2 |"),
        "{card}"
    );
    let record = std::fs::read_to_string(fused.join("fusion.json")).unwrap();
    assert!(record.contains("\"integers\": \"first\""), "{record}");
}

#[test]
fn a_killed_search_goes_on_to_the_same_end() {
    let undisturbed = corners();
    write(undisturbed.path(), BY_COMMAND, EVALUATE);
    run(undisturbed.path(), &[]).expect_code(0);
    let expected = report(undisturbed.path());
    let folder = corners();
    write(folder.path(), BY_COMMAND, EVALUATE);
    // The members' times of modification are part of what a run goes on with.
    let mut resume: &[&str] = &[];
    let mut killed = 0;
    for at in [4, 9, 14, 19] {
        let all = [&["run", "c.yaml", "--out", "out"], resume].concat();
        let output = Bomf::new(folder.path(), all)
            .env("BOMF_TEST_CRASH_AT", at.to_string())
            .output();
        killed += u32::from(output.code.is_none());
        resume = &["--resume"];
    }
    assert!(killed >= 3, "{killed}");
    run(folder.path(), resume).expect_code(0);
    let found = report(folder.path());
    for part in ["methods", "test", "chosen", "objectives"] {
        assert_eq!(found[part], expected[part], "{part}");
    }
}

#[test]
fn changed_members_are_noticed() {
    let folder = corners();
    let here = folder.path();
    write(here, BY_COMMAND, EVALUATE);
    run(here, &[]).expect_code(0);
    let path = here.join("c-2/model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    run(here, &["--resume"])
        .expect_code(2)
        .expect_stderr(&["error[run::changed]", "members"]);
    // So is another order of the scores: what is recorded has values in that order.
    let far = "    far: { direction: minimize }\n";
    let order = BY_COMMAND
        .replace(far, "")
        .replace("  scores:\n", &format!("  scores:\n{far}"));
    write(here, &order, EVALUATE);
    run(here, &["--resume"])
        .expect_code(2)
        .expect_stderr(&["other values of: members, scores"]);
}

#[test]
fn a_member_that_is_cut_while_it_is_in_use_is_an_error_and_no_crash() {
    let folder = corners();
    let here = folder.path();
    let cut = "echo x >> calls; [ $(wc -l < calls) -eq 5 ] && truncate -s 300 c-2/model.safetensors\nshift_by=0;";
    write(here, BY_COMMAND, &EVALUATE.replace("shift_by=0;", cut));
    let output = run(here, &[]).expect_code(4);
    output.expect_stderr(&["error[checkpoint::changed]", "another program has cut"]);
    assert!(!here.join("out/fused").exists());
}

#[test]
fn failed_attempts_are_repeated_and_a_failed_trial_is_no_failed_run() {
    let folder = corners();
    let here = folder.path();
    // Every third call fails; every call for a fusion near the average does.
    let script = EVALUATE.replace(
        "shift_by=0;",
        "echo x >> calls; [ $(( $(wc -l < calls) % 3 )) -eq 0 ] && { echo out of luck >&2; exit 5; }\nshift_by=0;",
    );
    let script = script.replace(
        "  printf",
        "  if ($1 > 0.33 && $1 < 0.34) { print \"no number\"; exit }\n  printf",
    );
    write(here, BY_COMMAND, &script);
    let output = run(here, &[]).expect_code(4);
    output.expect_stderr(&["method `swa`", "printed no JSON object", "stderr.txt"]);
    // Without that method the run goes through.
    let config = BY_COMMAND.replace("{ use: swa }, ", "");
    std::fs::remove_dir_all(here.join("out")).unwrap();
    write(here, &config, &script);
    run(here, &[]).expect_code(0);
    let log = std::fs::read_to_string(here.join("out/log.txt")).unwrap();
    assert!(log.contains("once more"), "{log}");
    let report = report(here);
    let trials = report["methods"][1]["trials"].as_array().unwrap().iter();
    assert!(trials.filter(|trial| trial["failed"].is_string()).count() >= 1);
}

#[test]
fn predictions_are_scored_by_metrics_with_intervals() {
    let folder = corners();
    let here = folder.path();
    let script = r#"#!/bin/sh
tail -c 8 "$1/model.safetensors" | od -An -tf4 | awk -v split_name="$2" '{
  for (i = 0; i < 40; i++) {
    x = i / 40; y = (x > 0.45) ? "up" : "down"
    if (split_name == "test" && i % 13 == 0) y = "up"
    p = (x > $1) ? "up" : "down"
    printf "{\"prediction\": \"%s\", \"label\": \"%s\"}\n", p, y
  }
}' > "$3"
"#;
    let config = "\
name: corners
members: [ c-2, { path: c-10, name: ten }, c-11 ]
evaluate: { use: predictions, run: [sh, evaluate.sh, '{model}', '{split}', '{out}'], labels: [down, up] }
metrics: [ { use: accuracy }, { use: f1 } ]
fuse:
  iterations: 8
  methods: [ { use: best_member }, { use: bomf } ]
";
    write(here, config, script);
    let output = run(here, &[]).expect_code(0);
    output.expect_stdout(&["| ten", "bootstrap intervals", "accuracy vs best_member"]);
    let report = report(here);
    let value = |method| {
        chosen(&report, method)["evaluation"]["values"][0]
            .as_f64()
            .unwrap()
    };
    assert!(value("bomf") > value("best_member"), "{report:#}");
}

#[test]
fn predictions_may_be_brought_by_hand() {
    let folder = corners();
    let here = folder.path();
    let config = "\
name: corners
members: [ c-* ]
evaluate: predictions
metrics: [accuracy]
fuse: { iterations: 0, methods: [best_member, swa] }
";
    write(here, config, "");
    let mut resume: &[&str] = &[];
    let mut brought = 0;
    loop {
        let output = run(here, resume);
        if output.code == Some(0) {
            break;
        }
        let output = output
            .expect_code(4)
            .expect_stderr(&["error[evaluate::waiting]"]);
        let place = output
            .stderr
            .lines()
            .find(|line| line.contains("evaluate::waiting"))
            .unwrap();
        let place = place
            .split("] ")
            .nth(1)
            .unwrap()
            .split(": ")
            .next()
            .unwrap();
        let model = here.join(place).with_file_name("model");
        assert_eq!(weights(&model).len() % 8, 0);
        let right = if brought == 1 { "1" } else { "0" };
        let line = format!(
            "{{\"prediction\": {right}, \"label\": 1}}\n{{\"prediction\": 0, \"label\": 0}}\n"
        );
        std::fs::write(here.join(place), line).unwrap();
        brought += 1;
        resume = &["--resume"];
        assert!(brought < 20);
    }
    // Three members, the average, and the choices of both methods on the test split.
    assert_eq!(brought, 6);
    let report = report(here);
    assert_eq!(
        chosen(&report, "best_member")["coefficients"],
        json!([0.0, 1.0, 0.0])
    );
}

#[test]
fn a_model_evaluates_members_as_its_own_training_did() {
    search_again_over_members_of("epochs: 4");
}

#[test]
fn members_of_a_training_with_frozen_layers_are_completed_by_the_model() {
    let (trained, again) = search_again_over_members_of("freeze_layers: 1, epochs: 4");
    let weights = |results: &Results| -> Vec<u8> {
        let mut files = results.fused.iter();
        let found = files.find(|(name, _)| name.ends_with("model.safetensors"));
        found.unwrap().1.clone()
    };
    assert!(weights(&trained) == weights(&again));
}

/// Results of a training and of a search over its members, which have to be the same.
fn search_again_over_members_of(trajectory: &str) -> (Results, Results) {
    let tiny = TinyRun::new();
    let estimated = || {
        let validated = tiny.bomf(&["validate", "tiny.yaml", "--json"]).output();
        validated.expect_code(0).json()["estimate"]["member_bytes"].clone()
    };
    tiny.edit("epochs: 4", trajectory);
    let member_bytes = estimated();
    tiny.run("a").output().expect_code(0);
    let first = tiny.results("a");
    let trained = &first.report;
    tiny.edit(
        "  train: { path: train.csv, format: csv, fields: { text: sentence, label: label } }\n",
        "",
    );
    let text = std::fs::read_to_string(tiny.path().join("tiny.yaml")).unwrap();
    let (start, end) = (text.find("tune:").unwrap(), text.find("fuse:").unwrap());
    let members = "members: [ { run: tiny } ]\n";
    let text = format!("{}{members}{}", &text[..start], &text[end..]);
    std::fs::write(tiny.path().join("tiny.yaml"), text).unwrap();
    // The last run of that name that has come to its end.
    let runs = tiny.path().join("runs");
    let unfinished = runs.join("tiny-20260102-000000");
    std::fs::create_dir_all(&unfinished).unwrap();
    std::fs::write(unfinished.join("journal.jsonl"), "").unwrap();
    tiny.bomf(&["validate", "tiny.yaml"])
        .output()
        .expect_code(2)
        .expect_stderr(&[
            "error[config::member]",
            "members[0]",
            "found no run named `tiny`",
        ]);
    let finished = runs.join("tiny-20260101-000000");
    std::os::unix::fs::symlink(tiny.path().join("a"), finished).unwrap();
    tiny.bomf(&["validate", "tiny.yaml"])
        .output()
        .expect_code(0)
        .expect_stdout(&["5 members", "40 validation, 40 test", "estimate"]);
    assert_eq!(estimated(), member_bytes);
    tiny.run("b")
        .output()
        .expect_code(0)
        .expect_stdout(&["5 checkpoints", "step-"]);
    let results = tiny.results("b");
    let found = &results.report;
    for part in ["objectives", "methods", "test", "chosen"] {
        assert_eq!(found[part], trained[part], "{part}");
    }
    let chosen = found["chosen"].as_str().unwrap();
    for file in [
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "fusion.json",
        "README.md",
    ] {
        let path = Path::new(chosen).join(file);
        assert!(
            results.fused.iter().any(|(name, _)| *name == path),
            "{}",
            path.display()
        );
    }
    (first, results)
}

#[test]
fn the_program_of_the_configurations_runs() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let name = "existing-checkpoints-program";
    std::fs::create_dir(here.join("configs")).unwrap();
    for file in [format!("configs/{name}.yaml"), format!("configs/{name}.py")] {
        std::fs::copy(root().join(&file), here.join(&file)).unwrap();
    }
    // Reviews whose words are right nine times in ten, in the encoding of the real ones.
    let review = |i: usize| {
        let good = i.is_multiple_of(2);
        let word = if good == (i % 20 < 18) {
            "fine"
        } else {
            "dull"
        };
        let rating = if good { 2.5 } else { -1.5 };
        let text = format!("{i}\t{rating}\tA {word} caf\u{e9} scene, {}\n", i * i % 17);
        text.chars().map(|c| c as u8).collect::<Vec<u8>>()
    };
    let reviews: Vec<u8> = (0..3400).flat_map(review).collect();
    std::fs::write(here.join("movie-reviews.tsv"), reviews).unwrap();
    let train = Command::new("python3")
        .args([&format!("configs/{name}.py"), "train", ".", "runs/words"])
        .current_dir(here)
        .output();
    let Ok(train) = train else {
        return skip("REQUIRE_PYTHON", "there is no python3");
    };
    let wrong = String::from_utf8_lossy(&train.stderr);
    assert!(train.status.success(), "{wrong}");
    let config = format!("configs/{name}.yaml");
    let run = ["run", &config, "--out", "out", "--set", "fuse.iterations=2"];
    let output = Bomf::new(here, run).output().expect_code(0);
    output.expect_stdout(&[
        "15 checkpoints were fused by 5 methods",
        "| checkpoint-400 ",
    ]);
    let report = report(here);
    assert_eq!(report["test"].as_array().map(Vec::len), Some(5));
    let best = &chosen(&report, "best_member")["evaluation"]["values"];
    let (loss, accuracy) = (best[0].as_f64().unwrap(), best[1].as_f64().unwrap());
    assert!((0.85..0.95).contains(&accuracy) && loss < 0.5, "{best}");
}

#[test]
fn sections_that_do_not_go_together_are_refused_all_at_once() {
    let folder = corners();
    let here = folder.path();
    let config = "\
members: [ nothing-* ]
model: { task: { kind: regression } }
metrics: [ { use: accuracy } ]
tune: {}
evaluate:
  use: command
  run: echo {modle}
  scores: { near: { range: [1, 0] } }
fuse: { methods: [ { use: bomf, objectives: [naer] } ] }
";
    write(here, config, "");
    let output = Bomf::new(here, ["validate", "c.yaml"])
        .output()
        .expect_code(2);
    let expected = [
        "config::unused",
        "config::unused",
        "config::unused",
        "config::placeholder",
        "config::range",
        "config::objective",
    ];
    assert_eq!(output.codes(), expected, "{}", output.stderr);
    let config = "members: [ nothing-*, c-2, { path: c-10, name: c-2 } ]\nevaluate: { use: predictions }\nmetrics: [ { use: accuracy } ]\n";
    write(here, config, "");
    let output = Bomf::new(here, ["validate", "c.yaml"])
        .output()
        .expect_code(2);
    assert_eq!(
        output.codes(),
        ["config::member", "config::name"],
        "{}",
        output.stderr
    );
    write(
        here,
        "evaluate: { use: predictions, run: 'x {model}' }\n",
        "",
    );
    let output = Bomf::new(here, ["validate", "c.yaml"])
        .output()
        .expect_code(2);
    assert_eq!(
        output.codes(),
        ["config::missing", "config::missing", "config::placeholder"],
        "{}",
        output.stderr
    );
}
