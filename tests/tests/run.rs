//! `bomf run` from outside: a whole run, killed ones, two at once, wrong input.

use std::path::Path;

use bomf_tests::{Bomf, TinyRun, root};
use serde_json::Value;

#[test]
fn a_run_leaves_a_report_and_a_model_that_has_all_its_files() {
    let tiny = TinyRun::new();
    let output = tiny.run("a").output().expect_code(0);
    let output = output.expect_stdout(&[
        "## Test results",
        "best_member",
        "bomf",
        "## Time",
        "report.md",
    ]);
    assert!(output.stderr.contains("trajectory"), "{}", output.stderr);
    let results = tiny.results("a");
    assert_eq!(results.report["methods"].as_array().map(Vec::len), Some(5));
    let chosen = results.report["chosen"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let names: Vec<String> = results
        .fused
        .iter()
        .map(|(name, _)| name.display().to_string())
        .collect();
    for file in [
        "README.md",
        "config.json",
        "fusion.json",
        "model.safetensors",
        "tokenizer.json",
    ] {
        assert!(
            names.contains(&format!("{chosen}/{file}")),
            "{file} is not among {names:?}"
        );
    }
    let card = results.fused.iter();
    let card = card.filter(|(name, _)| name.ends_with(Path::new(&chosen).join("README.md")));
    let card: String = card
        .map(|(_, bytes)| String::from_utf8_lossy(bytes))
        .collect();
    for said in [
        "---\nlibrary_name: transformers\npipeline_tag: text-classification\ntags:\n- merge\n",
        "accuracy",
        "f1",
        "**(chosen)**",
    ] {
        assert!(card.contains(said), "`{said}` is not in\n{card}");
    }
    for method in results.report["methods"].as_array().into_iter().flatten() {
        let trials = method["trials"].as_array().map_or(0, Vec::len) as u64;
        assert!(
            trials >= 1 && Some(trials) <= method["ceiling"].as_u64(),
            "{}",
            method["name"]
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let tiny = TinyRun::new();
    tiny.run("a").output().expect_code(0);
    tiny.run("b").output().expect_code(0);
    tiny.results("a").expect_same(&tiny.results("b"));
}

/// Kills a run at its n-th durable write, as `kill -9` would, and goes on; until runs are no longer killed.
#[test]
fn a_run_that_is_killed_anywhere_goes_on_to_the_same_end() {
    let tiny = TinyRun::new();
    tiny.run("undisturbed").output().expect_code(0);
    let expected = tiny.results("undisturbed");
    let mut killed = 0;
    for at in (1..).step_by(9) {
        let name = format!("killed-{at}");
        let output = tiny
            .run(&name)
            .env("BOMF_TEST_CRASH_AT", at.to_string())
            .output();
        if output.code == Some(0) {
            break;
        }
        assert_eq!(output.code, None, "{}", output.stderr);
        killed += 1;
        let begun = std::fs::metadata(tiny.path().join(&name).join("journal.jsonl"))
            .is_ok_and(|journal| journal.len() > 0);
        let again = if begun {
            tiny.resume(&name)
        } else {
            tiny.run(&name)
        };
        again.output().expect_code(0);
        expected.expect_same(&tiny.results(&name));
    }
    assert!(killed >= 12, "{killed} moments were tried");
}

#[test]
fn a_killed_process_leaves_a_run_that_goes_on() {
    let tiny = TinyRun::new();
    tiny.run("a").output().expect_code(0);
    for milliseconds in [150, 400, 900] {
        let name = format!("b{milliseconds}");
        let mut running = tiny.run(&name).spawn();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        running.kill();
        running.finish();
        let begun = std::fs::metadata(tiny.path().join(&name).join("journal.jsonl"))
            .is_ok_and(|journal| journal.len() > 0);
        let again = if begun {
            tiny.resume(&name)
        } else {
            tiny.run(&name)
        };
        again.output().expect_code(0);
        tiny.results("a").expect_same(&tiny.results(&name));
    }
}

#[test]
fn a_finished_run_is_not_run_again_and_not_overwritten() {
    let tiny = TinyRun::new();
    tiny.run("a").output().expect_code(0);
    let results = tiny.results("a");
    tiny.run("a")
        .output()
        .expect_code(2)
        .expect_stderr(&["error[journal::exists]", "--resume"]);
    tiny.resume("a").output().expect_code(0);
    results.expect_same(&tiny.results("a"));
}

#[test]
fn a_run_goes_on_only_with_what_it_was_begun_with() {
    let tiny = TinyRun::new();
    tiny.run("a").env("BOMF_TEST_CRASH_AT", "12").output();
    tiny.edit("seed: 17", "seed: 18");
    tiny.resume("a")
        .output()
        .expect_code(2)
        .expect_stderr(&["error[run::changed]", "config"]);
    tiny.resume("none")
        .output()
        .expect_code(2)
        .expect_stderr(&["error[journal::missing]"]);
}

/// A judge wants texts, and this model makes none: the run stops at its first score, whoever resumes it.
#[test]
fn options_that_change_no_result_may_change_between_begin_and_resume() {
    let tiny = TinyRun::new();
    tiny.edit(
        "{ use: f1 }",
        "{ use: f1 }, { use: llm-judge, base_url: 'http://127.0.0.1:9', model: m, budget: { requests: 5 } }",
    );
    let stopped = ["plugin `llm-judge`", "`predicted_text`"];
    tiny.run("a")
        .output()
        .expect_code(2)
        .expect_stderr(&stopped);
    let resume = |set: &str| {
        tiny.bomf(&["run", "tiny.yaml", "--out", "a", "--resume", "--set", set])
            .output()
            .expect_code(2)
    };
    for set in [
        "metrics[2].budget.requests=500",
        "metrics[2].concurrency=3",
        "metrics[2].api_key_env=HOME",
    ] {
        let output = resume(set).expect_stderr(&stopped);
        assert!(
            !output.stderr.contains("run::changed"),
            "{set}: {}",
            output.stderr
        );
    }
    for set in ["metrics[2].model=n", "metrics[2].temperature=0.5"] {
        resume(set).expect_stderr(&["error[run::changed]", "config"]);
    }
}

#[cfg(unix)]
#[test]
fn a_second_process_on_one_run_is_refused() {
    let tiny = TinyRun::new();
    tiny.run("a").env("BOMF_TEST_CRASH_AT", "12").output();
    let mut first = tiny.resume("a").spawn();
    // The first holds the lock once it has said anything; if it ended before the second came, there is nothing to see.
    std::thread::sleep(std::time::Duration::from_millis(60));
    let second = tiny.resume("a").output();
    let ended = first.has_ended();
    first.finish().expect_code(0);
    if !ended && second.code != Some(0) {
        second
            .expect_code(2)
            .expect_stderr(&["error[journal::locked]", "process"]);
    }
}

#[test]
fn an_unwritable_place_is_an_error_that_says_what_to_do() {
    let tiny = TinyRun::new();
    std::fs::write(tiny.path().join("file"), "").unwrap_or_else(|error| panic!("{error}"));
    tiny.run("file/run")
        .output()
        .expect_code(4)
        .expect_stderr(&["error[", "file/run"]);
}

#[cfg(unix)]
#[test]
fn a_full_disk_loses_nothing_that_was_finished() {
    let tiny = TinyRun::new();
    tiny.run("a").output().expect_code(0);
    // No file may grow beyond so many blocks of 512 bytes: weights and states are larger.
    let output = tiny.run("b").after_shell("ulimit -f 40").output();
    output.expect_code(4).expect_stderr(&["error["]);
    tiny.resume("b").output().expect_code(0);
    tiny.results("a").expect_same(&tiny.results("b"));
}

#[test]
fn everything_wrong_with_a_configuration_is_said_at_once() {
    let tiny = TinyRun::new();
    tiny.edit("use: accuracy", "use: acuracy");
    tiny.edit("{ use: swa }", "swat");
    let output = tiny
        .bomf(&["validate", "tiny.yaml"])
        .output()
        .expect_code(2);
    let output = output.expect_stderr(&[
        "tiny.yaml:",
        "did you mean `accuracy`?",
        "metrics[0].use",
        "fuse.methods[1].use: found no optimizer named `swat`",
        "did you mean `swa`?",
        "^",
    ]);
    // The objective still speaks of the metric by its right name.
    let expected = [
        "config::objective",
        "config::unknown_plugin",
        "config::unknown_plugin",
    ];
    assert_eq!(output.codes(), expected);
}

#[test]
fn constraints_bind_the_choice_and_stand_in_the_report() {
    let tiny = TinyRun::new();
    tiny.edit(
        "  choose: best_metric_sum",
        "  constraints: [ { name: loss, at_most: -1 }, { name: accuracy, at_least: 0 } ]\n  choose: { best: f1, within: { loss: 0.1 } }",
    );
    tiny.run("broken")
        .output()
        .expect_code(0)
        .expect_stdout(&[
            "constraints",
            "**broken by all points**: loss",
            "at most -1",
        ])
        .expect_stderr(&["found no point that fulfils the constraints"]);
    let report = tiny.results("broken").report;
    for method in report["methods"].as_array().into_iter().flatten() {
        // Nothing can be below -1 nats: the lowest loss misses that least.
        let losses = method["trials"].as_array().into_iter().flatten();
        let lowest = losses
            .filter_map(|trial| trial["evaluation"]["values"][0].as_f64())
            .fold(f64::INFINITY, f64::min);
        let chosen = &method["trials"][method["chosen"].as_u64().unwrap_or(0) as usize];
        assert_eq!(
            chosen["evaluation"]["values"][0].as_f64(),
            Some(lowest),
            "{}",
            method["name"]
        );
        assert_eq!(method["broken"].as_array().map(Vec::len), Some(1));
    }
    tiny.edit("at_most: -1", "at_most: 1000");
    let held = tiny
        .run("held")
        .output()
        .expect_code(0)
        .expect_stdout(&["| hold"]);
    assert!(!held.stdout.contains("broken by all points"));
    tiny.edit("name: accuracy, at_least: 0", "name: acuracy");
    tiny.bomf(&["validate", "tiny.yaml"])
        .output()
        .expect_code(2)
        .expect_stderr(&[
            "error[config::constraint]",
            "fuse.constraints[1]",
            "did you mean `accuracy`?",
        ]);
}

#[test]
fn validation_estimates_what_a_run_will_take() {
    let tiny = TinyRun::new();
    tiny.bomf(&["validate", "tiny.yaml"])
        .output()
        .expect_code(0)
        .expect_stdout(&["in order", "estimate", "MiB of disk"]);
    let said = tiny
        .bomf(&["validate", "tiny.yaml", "--json"])
        .output()
        .expect_code(0)
        .json();
    for part in ["tuning", "trajectory", "fusion", "test"] {
        let seconds = said["estimate"][format!("{part}_seconds")].as_f64();
        assert!(
            seconds.is_some_and(|s| s > 0.0 && s < 600.0),
            "{part}: {said}"
        );
    }
    assert!(
        said["estimate"]["disk_mib"]
            .as_u64()
            .is_some_and(|mib| mib >= 1),
        "{said}"
    );
    assert!(
        !tiny.path().join("runs").exists(),
        "validation makes no run folder"
    );
}

#[test]
fn shipped_configurations_are_in_order() {
    let folder = root().join("configs");
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut checked = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            // Their models and data come from packages, which tests do not fetch, and their members from runs: those alone
            // may be missing.
            let output = Bomf::new(Path::new("."), [Path::new("validate"), &path])
                .env("BOMF_PYTHON", "no-such-python")
                .output();
            let fine = output.code == Some(0)
                || output.codes().iter().all(|code| {
                    code.starts_with("asset::") || ["data::file", "config::member"].contains(code)
                });
            assert!(fine, "{}: {}", path.display(), output.stderr);
            checked += 1;
        }
    }
    assert!(checked >= 2, "{checked}");
}

#[test]
fn help_version_and_lists_speak() {
    let here = Path::new(".");
    Bomf::new(here, ["--help"])
        .output()
        .expect_code(0)
        .expect_stdout(&["run", "validate", "Exit codes"]);
    Bomf::new(here, ["--version"])
        .output()
        .expect_code(0)
        .expect_stdout(&["bomf", "commit", "rustc"]);
    Bomf::new(here, ["plugins", "list"])
        .output()
        .expect_code(0)
        .expect_stdout(&["bomf", "candle", "accuracy", "cpu"]);
    let shown = Bomf::new(here, ["plugins", "show", "gp", "--json"])
        .output()
        .expect_code(0)
        .json();
    assert!(
        shown[0]["options"]
            .as_array()
            .is_some_and(|options| !options.is_empty())
    );
    Bomf::new(here, ["plugins", "show", "gpp"])
        .output()
        .expect_code(2)
        .expect_stderr(&["did you mean `gp`?"]);
    let assets: Value = Bomf::new(here, ["assets", "list", "--json"])
        .output()
        .expect_code(0)
        .json();
    assert!(assets.as_array().is_some_and(|assets| assets.len() >= 2));
    Bomf::new(here, ["assets", "path", "nothing"])
        .output()
        .expect_code(2)
        .expect_stderr(&["error[asset::unknown]"]);
    Bomf::new(here, ["fly"]).output().expect_code(2);
}
