//! Scores made of others in whole runs: as objectives, in the report, with intervals.

use bomf_tests::TinyRun;
use serde_json::Value;

const METRICS: &str = "metrics: [ { use: accuracy }, { use: f1 } ]";

const COMBINED: &str = "metrics:
  - { use: accuracy, by: label }
  - { use: f1, average: macro }
  - { combine: weighted_sum, of: { accuracy: 1, loss: -0.1 }, name: blend }
  - { combine: minimum, of: [ f1, accuracy_worst ], name: floor }";

fn combined() -> TinyRun {
    let tiny = TinyRun::new();
    tiny.edit(METRICS, COMBINED);
    tiny
}

#[test]
fn combinations_and_worst_groups_are_objectives_with_intervals() {
    let tiny = combined();
    tiny.edit(
        "objectives: [loss, accuracy, f1]",
        "objectives: [blend, floor, accuracy_worst]",
    );
    tiny.edit("choose: best_metric_sum", "choose: { best: floor }");
    tiny.run("a").output().expect_code(0).expect_stdout(&[
        "accuracy_worst",
        "## accuracy by label (test split)",
        "## How the scores were computed",
        "weighted_sum\\|of:1*accuracy,-0.1*loss",
        "accuracy\\|version:0.1.0\\|worst by:label",
    ]);
    let report = tiny.results("a").report;
    let scores: Vec<&Value> = report["scores"].as_array().into_iter().flatten().collect();
    let names: Vec<&str> = scores
        .iter()
        .filter_map(|score| score["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["loss", "accuracy", "accuracy_worst", "f1", "blend", "floor"]
    );
    for result in report["test"].as_array().into_iter().flatten() {
        let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        let values: Vec<f64> = result["evaluation"]["values"]
            .as_array()
            .into_iter()
            .flatten()
            .map(number)
            .collect();
        let [loss, accuracy, worst, f1, blend, floor] = values[..] else {
            panic!("{values:?}")
        };
        assert!(
            (blend - (accuracy - 0.1 * loss)).abs() < 1e-12,
            "{values:?}"
        );
        assert_eq!(floor.to_bits(), f1.min(worst).to_bits());
        let groups = result["groups"][0]["groups"]
            .as_array()
            .into_iter()
            .flatten();
        let of_groups = groups
            .map(|group| number(&group["values"][0]))
            .reduce(f64::min);
        assert_eq!(of_groups, Some(worst));
        let intervals = result["intervals"]
            .as_array()
            .into_iter()
            .flatten()
            .zip(&values);
        let around = intervals.filter(|(interval, value)| {
            number(&interval["low"]) <= **value && **value <= number(&interval["high"])
        });
        assert!(around.count() >= 5, "{result}");
        assert_eq!(
            result["signatures"]["floor"],
            "minimum|of:f1,accuracy_worst"
        );
    }
}

#[test]
fn what_cannot_be_combined_is_found_before_the_run() {
    for (from, to, pieces) in [
        (
            "[ f1, accuracy_worst ]",
            "[ f1, acuracy_worst ]",
            ["metrics[3].of[1]", "did you mean `accuracy_worst`?"],
        ),
        (
            "[ f1, accuracy_worst ]",
            "[ f1, floor ]",
            ["metrics[3].of[1]", "before this one"],
        ),
        (
            "[ f1, accuracy_worst ]",
            "[ f1, loss ]",
            ["metrics[3].of", "lower is better"],
        ),
        (
            "loss: -0.1",
            "loss: 0.1",
            ["metrics[2].of", "expected one way"],
        ),
        (
            "combine: minimum",
            "combine: maximum",
            ["metrics[3].combine", "`minimum`"],
        ),
        ("name: floor", "name: blend", ["metrics[3]", "`blend`"]),
        ("by: label", "by: group", ["metrics[0].by", "`group`"]),
        ("by: label", "by: 3", ["metrics[0].by", "found `3`"]),
    ] {
        let tiny = combined();
        tiny.edit(from, to);
        tiny.bomf(&["validate", "tiny.yaml"])
            .output()
            .expect_code(2)
            .expect_stderr(&pieces);
    }
}

#[test]
fn groups_come_from_the_data_and_draws_that_cannot_be_scored_are_drawn_again() {
    let tiny = combined();
    for split in ["train", "validation", "test"] {
        let path = tiny.path().join(format!("{split}.csv"));
        let text = std::fs::read_to_string(&path).unwrap();
        // Few enough in the north that some draws have one label of it alone.
        let rows = text.lines().enumerate().map(|(row, line)| match row {
            0 => format!("{line},region\n"),
            1..=6 => format!("{line},north\n"),
            _ => format!("{line},south\n"),
        });
        std::fs::write(&path, rows.collect::<String>()).unwrap();
        let file =
            format!("path: {split}.csv, format: csv, fields: {{ text: sentence, label: label");
        tiny.edit(&file, &format!("{file}, group: region"));
    }
    tiny.edit(
        "{ use: accuracy, by: label }",
        "{ use: accuracy, by: group }",
    );
    tiny.edit(
        "  - { use: f1, average: macro }",
        "  - { use: auroc, by: group }\n  - { use: f1, average: macro }",
    );
    tiny.run("a").output().expect_code(0).expect_stdout(&[
        "## auroc by group (test split)",
        "| north",
        "were drawn again",
    ]);
    let report = tiny.results("a").report;
    let result = &report["test"][0];
    assert!(result["redrawn"].as_u64() > Some(0), "{result}");
    assert_eq!(result["groups"][1]["groups"][0]["name"], "north");
    assert_eq!(result["groups"][1]["groups"][0]["examples"], 6);
}
