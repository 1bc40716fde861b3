//! `bomf score` from outside: what it prints, what it refuses, and that it streams.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use bomf_tests::plugin_folder::PluginFolder;
use bomf_tests::{Bomf, Output};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with the metrics and a file of examples.
struct Desk {
    plugins: PluginFolder,
    folder: TempDir,
}

impl Desk {
    fn new(examples: impl AsRef<[u8]>) -> Self {
        let plugins = [
            "metric-classification",
            "metric-regression",
            "metric-loss",
            "metric-squad",
        ];
        let desk = Self {
            plugins: PluginFolder::with(&plugins),
            folder: TempDir::new().unwrap(),
        };
        std::fs::write(desk.examples(), examples).unwrap();
        desk
    }

    fn examples(&self) -> std::path::PathBuf {
        self.folder.path().join("examples.jsonl")
    }

    fn call(&self, arguments: &[&str]) -> Bomf {
        self.call_on("examples.jsonl", arguments)
    }

    fn call_on(&self, examples: &str, arguments: &[&str]) -> Bomf {
        let plugins = self.plugins.path().to_str().unwrap();
        let fixed = ["--examples", examples, "--plugins", plugins];
        let all = ["score"].iter().chain(arguments).chain(&fixed);
        Bomf::new(self.folder.path(), all)
    }

    #[track_caller]
    fn scores(&self, arguments: &[&str]) -> Value {
        self.call(arguments).output().expect_code(0).json()
    }

    #[track_caller]
    fn refusal(&self, arguments: &[&str], pieces: &[&str]) -> Output {
        let output = self.call(arguments).output().expect_code(2);
        assert_eq!(output.stdout, "");
        output.expect_stderr(pieces)
    }
}

/// One line per value.
fn lines(values: &[Value]) -> String {
    values.iter().fold(String::new(), |mut text, value| {
        writeln!(text, "{value}").unwrap();
        text
    })
}

/// Three of four right; the positive ones: one of two found, nothing else.
fn labelled() -> String {
    lines(&[
        json!({"prediction": 1, "label": 1, "region": "north"}),
        json!({"prediction": 0, "label": 1, "region": "south"}),
        json!({"prediction": 0, "label": 0, "region": "north"}),
        json!({"prediction": 0, "label": 0, "region": "south"}),
    ])
}

#[track_caller]
fn close(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap();
    assert!(
        (found - expected).abs() < 1e-12,
        "found {found}, expected {expected}"
    );
}

#[test]
fn every_metric_has_its_scores_and_its_signature() {
    let found = Desk::new(labelled()).scores(&["accuracy", "f1"]);
    let expected = json!({
        "accuracy": {"accuracy": 0.75},
        "f1": {"f1": 2.0 / 3.0},
        "examples": 4,
        "skipped": 0,
        "signatures": {
            "accuracy": "accuracy|version:0.1.0",
            "f1": "f1|average:binary|positive:1|version:0.1.0",
        },
    });
    assert_eq!(found, expected);
}

#[test]
fn options_go_to_one_metric_or_to_all_that_know_them() {
    let desk = Desk::new(labelled());
    let found = desk.scores(&["accuracy", "f1", "recall", "--option", "average=macro"]);
    close(&found["f1"]["f1"], f64::midpoint(2.0 / 3.0, 0.8));
    close(&found["recall"]["recall"], 0.75);
    let found = desk.scores(&["f1", "recall", "--option", "f1.average=macro"]);
    close(&found["f1"]["f1"], f64::midpoint(2.0 / 3.0, 0.8));
    close(&found["recall"]["recall"], 0.5);
    let found = desk.scores(&[
        "f1",
        "{ use: f1, name: zero, positive: 0 }",
        "--option",
        "zero.positive=0",
    ]);
    close(&found["zero"]["f1"], 0.8);

    let unknown = ["f1", "--option", "averag=macro"];
    desk.refusal(
        &unknown,
        &["score::option", "`averag`", "did you mean `average`?"],
    );
    let unknown = ["f1", "--option", "f1.averag=macro"];
    desk.refusal(
        &unknown,
        &["config::unknown_key", "did you mean `average`?"],
    );
    desk.refusal(
        &["f1", "--option", "f2.average=macro"],
        &["`f2`", "among `f1`"],
    );
    desk.refusal(
        &["f1", "--option", "average=mean"],
        &["config::choice", "`macro`"],
    );
    desk.refusal(
        &["f1", "--option", "positive=-1"],
        &["config::range", "at least 0"],
    );
    desk.refusal(&["f1", "--option", "average"], &["KEY=VALUE"]);
    desk.refusal(
        &["acuracy"],
        &["config::unknown_plugin", "did you mean `accuracy`?"],
    );
    desk.refusal(&["{ use: f1, average: [1] }"], &["METRIC:1:", "average"]);
    desk.refusal(
        &["{ use: f1, name: examples }"],
        &["config::name", "`examples`"],
    );
    desk.refusal(&["f1", "f1"], &["second score named `f1`"]);
}

#[test]
fn labels_may_have_names() {
    let text = lines(&[
        json!({"prediction": "yes", "label": "yes"}),
        json!({"prediction": "no", "label": "yes"}),
        json!({"prediction": "no", "labels": ["no", "maybe"]}),
    ]);
    let desk = Desk::new(text);
    let found = desk.scores(&["accuracy"]);
    close(&found["accuracy"]["accuracy"], 2.0 / 3.0);
    assert_eq!(found["labels"], json!(["maybe", "no", "yes"]));

    let desk = Desk::new(
        labelled()
            .replace(":1", ":\"spam\"")
            .replace(":0", ":\"mail\""),
    );
    // Sorted, `spam` is label 1; in the order given it is label 0.
    close(&desk.scores(&["f1"])["f1"]["f1"], 2.0 / 3.0);
    let found = desk.scores(&["f1", "--labels", "spam,mail"]);
    close(&found["f1"]["f1"], 0.8);
    assert_eq!(found["labels"], json!(["spam", "mail"]));
    desk.refusal(
        &["f1", "--labels", "spam,ham"],
        &["examples.jsonl:2", "`mail`", "`--labels`"],
    );

    let mixed =
        Desk::new("{\"prediction\": \"a\", \"label\": \"b\"}\n{\"prediction\": 1, \"label\": 0}\n");
    mixed.refusal(&["accuracy"], &["examples.jsonl:2", "expected a name"]);
}

#[test]
fn scores_values_and_losses_reach_their_metrics() {
    let found = Desk::new(lines(&[
        json!({"label": 1, "scores": [0.25, 0.75]}),
        json!({"label": 0, "scores": [0.5, 0.5]}),
    ]))
    .scores(&["auroc", "brier", "ece", "--option", "bins=2"]);
    close(&found["auroc"]["auroc"], 1.0);
    close(&found["brier"]["brier"], (0.0625 + 0.25) / 2.0);
    // The second row's answer is label 0, the first of the two, and right.
    close(&found["ece"]["ece"], 0.375);

    let found = Desk::new(lines(&[
        json!({"prediction": 1, "value": 2.5}),
        json!({"prediction": 2.5, "value": 4}),
        json!({"prediction": -1, "value": 1}),
    ]))
    .scores(&["pearson", "spearman", "mse", "mae"]);
    close(&found["spearman"]["spearman"], 1.0);
    close(&found["mae"]["mae"], 5.0 / 3.0);
    close(&found["mse"]["mse"], (2.25 + 2.25 + 4.0) / 3.0);

    let reported = lines(&[
        json!({"loss": 1.0, "tokens": 10, "right_tokens": 5}),
        json!({"loss": 2.0, "tokens": 30, "right_tokens": 5}),
    ]);
    let found = Desk::new(reported).scores(&["perplexity", "token_accuracy"]);
    close(&found["perplexity"]["perplexity"], f64::exp(1.75));
    close(&found["token_accuracy"]["token_accuracy"], 0.25);
}

#[test]
fn groups_and_combinations_are_scored_too() {
    let desk = Desk::new(labelled());
    let floor = "{ combine: minimum, of: [accuracy_worst, blend], name: floor }";
    let blend = "{ combine: weighted_sum, of: { accuracy: 0.5, f1: 0.5 }, name: blend }";
    let found = desk.scores(&[
        "accuracy",
        "{ use: f1, average: macro }",
        blend,
        floor,
        "--group",
        "region",
    ]);
    assert_eq!(
        found["accuracy"],
        json!({"accuracy": 0.75, "accuracy_worst": 0.5})
    );
    assert_eq!(
        found["groups"]["accuracy"]["north"],
        json!({"accuracy": 1.0})
    );
    assert_eq!(
        found["groups"]["accuracy"]["south"],
        json!({"accuracy": 0.5})
    );
    let f1 = f64::midpoint(2.0 / 3.0, 0.8);
    close(&found["f1"]["f1"], f1);
    // South: one of each label, both called 0.
    close(&found["f1"]["f1_worst"], f64::midpoint(0.0, 2.0 / 3.0));
    close(&found["blend"]["blend"], f64::midpoint(0.75, f1));
    assert_eq!(found["floor"], json!({"floor": 0.5}));
    assert_eq!(
        found["signatures"]["floor"],
        "minimum|of:accuracy_worst,blend"
    );
    assert_eq!(
        found["signatures"]["accuracy"],
        "accuracy|version:0.1.0|worst by:group"
    );

    // Recall by label is what a group's accuracy is, where labels are the groups.
    let found = desk.scores(&["accuracy", "--group", "label"]);
    assert_eq!(
        found["groups"]["accuracy"],
        json!({"0": {"accuracy": 1.0}, "1": {"accuracy": 0.5}})
    );

    desk.refusal(
        &["accuracy", "--group", "nation"],
        &["metric::group", "`group`"],
    );
    let later = "{ combine: minimum, of: [acuracy], name: x }";
    desk.refusal(
        &["accuracy", later],
        &["config::combine", "[1].of[0]", "did you mean `accuracy`?"],
    );
    desk.refusal(
        &[later, "accuracy"],
        &["config::combine", "before this one"],
    );
    let list = "{ combine: weighted_sum, of: [accuracy], name: x }";
    desk.refusal(&["accuracy", list], &["expected weights by name"]);
    let wrong = "{ combine: minimum, of: 3, name: x }";
    desk.refusal(&["accuracy", wrong], &["[1].of", "found `3`"]);
}

#[test]
fn a_line_that_cannot_be_read_is_named_or_passed_over() {
    let good = "{\"prediction\": 1, \"label\": 1}\n";
    for (bad, pieces) in [
        (
            "{\"prediction\": 1, \"label\": }",
            ["examples.jsonl:2:28", "found no JSON object"],
        ),
        (
            "{\"prediction\": [1], \"label\": 1}",
            ["examples.jsonl:2:", "expected a text or a number"],
        ),
        (
            "{\"prediction\": 1",
            ["examples.jsonl:2:", "found no JSON object"],
        ),
        ("[]", ["examples.jsonl:2:", "expected an object"]),
        (
            "{\"label\": 1}",
            ["examples.jsonl:2", "found no `prediction`"],
        ),
        (
            "{\"prediction\": 1, \"label\": 1, \"loss\": 2}",
            ["examples.jsonl:2", "found `loss`, which"],
        ),
        (
            "{\"prediction\": \"a\", \"label\": \"a\"}",
            ["examples.jsonl:2", "expected an index"],
        ),
        (
            "{\"prediction\": 1.5, \"label\": 1}",
            ["examples.jsonl:2", "name of a label or its index"],
        ),
    ] {
        let desk = Desk::new(format!("{good}{bad}\n\n{good}{bad}"));
        desk.refusal(&["accuracy"], &pieces)
            .expect_stderr(&["score::line", "--skip-bad"]);
        let output = desk
            .call(&["accuracy", "--skip-bad"])
            .output()
            .expect_code(0);
        let output =
            output.expect_stderr(&[pieces[0], "examples.jsonl:5", "passed over 2 of 4 lines"]);
        let found = output.json();
        assert_eq!(
            (&found["examples"], &found["skipped"]),
            (&json!(2), &json!(2))
        );
        assert_eq!(found["accuracy"], json!({"accuracy": 1.0}));
    }
    let both = Desk::new("{\"prediction\": 1, \"label\": 1, \"value\": 2}\n");
    both.refusal(
        &["accuracy"],
        &["examples.jsonl:1", "`value` beside `label`"],
    );
}

#[test]
fn bytes_that_are_no_text_are_named() {
    let mut bytes =
        b"{\"prediction\": 1, \"label\": 1}\n{\"prediction\": 1, \"label\": 1, \"input\": \""
            .to_vec();
    bytes.extend(b"\xe9\"}\n{\"prediction\": 0, \"label\": 1}\n");
    let desk = Desk::new(&bytes);
    desk.refusal(&["accuracy"], &["examples.jsonl:2:41", "not UTF-8"]);
    let found = desk.scores(&["accuracy", "--skip-bad"]);
    assert_eq!(
        (&found["accuracy"]["accuracy"], &found["skipped"]),
        (&json!(0.5), &json!(1))
    );
}

#[test]
fn a_file_without_examples_is_refused() {
    for text in ["", "\n\n \r\n", "\u{feff}"] {
        Desk::new(text).refusal(&["accuracy"], &["score::empty", "found no example"]);
    }
    let desk = Desk::new("nothing\n");
    desk.refusal(
        &["accuracy", "--skip-bad"],
        &["score::empty", "passed over 1 of 1 lines"],
    );
    let output = desk.call_on("nowhere.jsonl", &["accuracy"]).output();
    output
        .expect_code(2)
        .expect_stderr(&["score::file", "nowhere.jsonl"]);
}

#[test]
fn what_a_metric_misses_is_said_in_the_words_of_the_lines() {
    let desk = Desk::new("{\"prediction\": \"a text\"}\n");
    desk.refusal(
        &["accuracy"],
        &["no column `label`", "lines give it as `label` or `labels`"],
    );
    desk.refusal(&["perplexity"], &["no column `loss`"]);
    let labels = Desk::new("{\"label\": 1}\n{\"label\": 0}\n");
    labels.refusal(
        &["accuracy"],
        &["`predicted_label`", "`prediction`, beside `label`"],
    );
    labels.refusal(
        &["auroc"],
        &["`predicted_scores`", "`scores`, one number per label"],
    );
}

#[test]
fn line_ends_and_byte_order_marks_make_no_difference() {
    let plain = Desk::new(labelled()).scores(&["accuracy", "f1"]);
    let windows = format!("\u{feff}{}", labelled().replace('\n', "\r\n"));
    assert_eq!(Desk::new(windows).scores(&["accuracy", "f1"]), plain);
    let unfinished = labelled().trim_end().to_owned();
    assert_eq!(Desk::new(unfinished).scores(&["accuracy", "f1"]), plain);
}

#[cfg(unix)]
#[test]
fn examples_may_come_from_standard_input() {
    let desk = Desk::new(labelled());
    let call = desk
        .call_on("-", &["accuracy"])
        .after_shell("exec < examples.jsonl");
    let found = call.output().expect_code(0).json();
    assert_eq!(found["accuracy"], json!({"accuracy": 0.75}));
    std::fs::write(desk.examples(), "oops\n").unwrap();
    let call = desk
        .call_on("-", &["accuracy"])
        .after_shell("exec < examples.jsonl");
    call.output()
        .expect_code(2)
        .expect_stderr(&["standard input:1:1"]);
}

#[test]
fn a_line_may_be_very_long() {
    let long = "word ".repeat(4 << 20);
    let text = lines(&[
        json!({"input": long, "prediction": 1, "label": 1}),
        json!({"input": "short", "prediction": 0, "label": 1}),
    ]);
    let found = Desk::new(text).scores(&["accuracy"]);
    assert_eq!(found["accuracy"], json!({"accuracy": 0.5}));
}

#[test]
fn a_million_examples_are_streamed() {
    let desk = Desk::new("");
    let mut file = BufWriter::new(std::fs::File::create(desk.examples()).unwrap());
    let mut text = 0;
    for i in 0..1_000_000u32 {
        let input = format!(
            "sentence number {i} of a million, as short as many are: {}",
            i % 977
        );
        text += input.len();
        let (label, answer) = (i % 2, u32::from(i % 4 == 1));
        writeln!(
            file,
            r#"{{"input": "{input}", "prediction": {answer}, "label": {label}, "id": "{i}"}}"#
        )
        .unwrap();
        text += i.to_string().len();
    }
    file.into_inner().unwrap();
    let mut running = desk.call(&["accuracy", "f1"]).spawn();
    let mut peak = 0;
    while !running.has_ended() {
        peak = peak.max(resident(running.id()));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let found = running.finish().expect_code(0).json();
    assert_eq!(found["examples"], json!(1_000_000));
    assert_eq!(found["accuracy"], json!({"accuracy": 0.75}));
    if cfg!(target_os = "linux") {
        // The process itself takes some 20 MiB before it reads anything.
        assert!(
            peak > 0 && peak < 3 * text + (40 << 20),
            "{peak} bytes for {text} of text"
        );
    } else {
        eprintln!("SKIPPED: the memory of another process is only looked at on Linux");
    }
}

/// Most bytes of memory that a process had at once; 0 where it cannot be known.
fn resident(id: u32) -> usize {
    let status = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("status"));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<usize>().ok())
        .map_or(0, |kib| kib << 10)
}

#[test]
fn details_are_printed_where_they_have_a_value_and_count_only_by_name() {
    let desk = Desk::new(lines(&[
        json!({"prediction": "in Rome", "references": ["Rome"]}),
        json!({"prediction": "Oslo", "references": ["Oslo"]}),
    ]));
    let squad = &desk.scores(&["squad_v2"])["squad_v2"];
    close(&squad["exact"], 50.0);
    close(&squad["HasAns_total"], 2.0);
    assert!(squad.get("NoAns_total").is_none(), "{squad}");
    // What a combination is made of counts.
    let combination = "{combine: weighted_sum, of: {squad_v2.HasAns_f1: 0.01}, name: share}";
    let entry = "{use: squad_v2, scores: [HasAns_f1]}";
    let found = desk.scores(&[entry, combination]);
    close(
        &found["share"]["share"],
        (100.0 * 2.0 / 3.0 + 100.0) / 200.0,
    );
    desk.refusal(&["squad_v2", combination], &["`squad_v2.HasAns_f1`"]);
    let misspelt = "{use: squad_v2, scores: [HasAns_f, f1]}";
    desk.refusal(&[misspelt], &["`HasAns_f`", "did you mean `HasAns_f1`?"]);
}
