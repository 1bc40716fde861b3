//! A judge in a run: what it spends, and what a resumed run pays for again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use bomf_tests::Bomf;
use bomf_tests::fixture::Fixture;
use bomf_tests::tiny::Results;
use tempfile::TempDir;

#[path = "../../plugins/metric-judge/src/tests/server.rs"]
#[expect(dead_code, reason = "the plugin's own tests use the rest")]
mod server;

use server::{Answer, Server};

/// The backend of the author's guide, which predicts a number from a text's length, and says it in words as well.
fn talker() -> String {
    let guide = std::fs::read_to_string(bomf_tests::root().join("docs/plugin-author.md")).unwrap();
    let blocks = guide
        .split("```rust")
        .map(|rest| rest.split_once('\n').unwrap().1);
    let block = blocks
        .filter_map(|rest| rest.split("\n```").next())
        .find(|block| block.contains("impl ModelBackend for Lengths"))
        .unwrap();
    let silent = "Ok(Predictions::new(table.with_numbers(column::PREDICTED_VALUE, found)?, mean))";
    assert!(block.contains(silent));
    let spoken = r#"let words = found.iter().map(|x| format!("about {:.2}", x));
        let table = table.with_texts(column::PREDICTED_TEXT, words)?;
        Ok(Predictions::new(table.with_numbers(column::PREDICTED_VALUE, found)?, mean))"#;
    block.replace(silent, spoken)
}

/// A folder with `plugins/`, data and a configuration whose judge asks `server`.
fn desk(server: &Server) -> TempDir {
    let folder = TempDir::new().unwrap();
    let library = Fixture::plugin_of("talker", talker()).build();
    let arguments = [
        "plugins",
        "pack",
        library.to_str().unwrap(),
        "--out",
        "plugins",
    ];
    Bomf::new(folder.path(), arguments).output().expect_code(0);
    std::fs::create_dir(folder.path().join("model")).unwrap();
    std::fs::write(folder.path().join("model/config.json"), "{}").unwrap();
    for (name, rows) in [("train", 12), ("validation", 5), ("test", 4)] {
        let mut text = String::from("text,value\n");
        for row in 1..=rows {
            writeln!(
                text,
                "{} of {name},{}",
                "word ".repeat(row),
                row as f64 / 10.0
            )
            .unwrap();
        }
        std::fs::write(folder.path().join(format!("{name}.csv")), text).unwrap();
    }
    let mut data = String::new();
    for name in ["train", "validation", "test"] {
        let fields = "{ text: text, value: value }";
        writeln!(
            data,
            "  {name}: {{ path: {name}.csv, format: csv, fields: {fields} }}"
        )
        .unwrap();
    }
    let url = &server.base_url;
    let configuration = format!(
        "name: judged\nseed: 3\nmodel: {{ use: lengths, source: model, task: {{ kind: regression }} }}\ndata:\n{data}\
         metrics:\n  - {{ use: mse }}\n  - {{ use: llm-judge, base_url: '{url}', model: m, cache: answers, \
         prompt: 'How true is {{prediction}} of {{input}}?', budget: {{ requests: 1000 }} }}\n\
         trajectory: {{ epochs: 2, members: 3, hyperparameters: {{ learning_rate: 0.05, batch_size: 4 }} }}\n\
         fuse:\n  fuser: {{ use: cpu }}\n  methods: [ {{ use: best_member }}, {{ use: swa }}, {{ use: random, iterations: 3 }} ]\n  \
         choose: best_metric_sum\n"
    );
    std::fs::write(folder.path().join("run.yaml"), configuration).unwrap();
    folder
}

fn call(folder: &Path, out: &str, more: &[&str]) -> Bomf {
    let ours = bomf_tests::plugins();
    let ours = ours.to_str().unwrap();
    let fixed = [
        "run",
        "run.yaml",
        "--out",
        out,
        "--plugins",
        "plugins",
        "--plugins",
        ours,
    ];
    Bomf::new(folder, fixed.iter().chain(more))
}

/// The model's answer depends on the question alone.
fn judge() -> Server {
    Server::new(|_, request| {
        let sum: u32 = request.body.bytes().map(u32::from).sum();
        Answer::Say((sum % 101).to_string(), Duration::ZERO)
    })
}

#[test]
fn a_run_that_spent_its_budget_goes_on_with_a_larger_one_and_asks_nothing_twice() {
    let whole = judge();
    let desk_of_whole = desk(&whole);
    call(desk_of_whole.path(), "out", &[])
        .output()
        .expect_code(0);
    let expected = Results::read(&desk_of_whole.path().join("out"));
    assert!(whole.count() > 12, "{} requests", whole.count());

    let server = judge();
    let folder = desk(&server);
    let budget = |requests: usize| format!("metrics[1].budget.requests={requests}");
    let few = whole.count() / 2;
    let stopped = call(folder.path(), "out", &["--set", &budget(few)])
        .output()
        .expect_code(2);
    let spent = format!("{few} of {few} requests spent");
    stopped.expect_stderr(&["plugin `llm-judge`", &spent, "--resume"]);
    assert_eq!(server.count(), few);

    // Still too little: what was answered before costs nothing, and one more answer is kept.
    let resume = |requests: usize| {
        let set = budget(requests);
        call(folder.path(), "out", &["--resume", "--set", &set]).output()
    };
    resume(1).expect_code(2);
    assert_eq!(server.count(), few + 1);
    resume(1000).expect_code(0);
    let asked: HashSet<String> = server
        .seen()
        .into_iter()
        .map(|request| request.body)
        .collect();
    assert_eq!(
        (server.count(), asked.len()),
        (whole.count(), whole.count())
    );
    let mut found = Results::read(&folder.path().join("out"));
    assert_eq!(found.fused, expected.fused);
    // The address of the endpoint is part of the configuration, which the report shows.
    let text = found
        .report
        .to_string()
        .replace(&server.base_url, &whole.base_url);
    found.report = serde_json::from_str(&text).unwrap();
    expected.expect_same(&found);
}
