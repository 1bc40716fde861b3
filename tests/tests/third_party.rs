//! Somebody else's metric, from the author's guide to a number in a report.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;
use std::process::Command;

use bomf_tests::plugin_folder::library_in;
use bomf_tests::{Bomf, TinyRun};
use tempfile::TempDir;

fn source() -> PathBuf {
    bomf_tests::root().join("tests/third-party/metric-top-k")
}

/// Builds it as its author would; returns the library.
fn build() -> PathBuf {
    let target = bomf_tests::fixtures().with_file_name("third-party");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release"])
        .current_dir(source())
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .expect("cargo runs this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let name = format!(
        "{}metric_top_k{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    target.join("release").join(name)
}

/// A search folder that holds it, made with `bomf plugins pack`.
fn packed() -> TempDir {
    let folder = TempDir::new().unwrap();
    let library = build();
    let arguments = [
        "plugins".as_ref(),
        "pack".as_ref(),
        library.as_os_str(),
        "--out".as_ref(),
        folder.path().as_os_str(),
    ];
    Bomf::new(folder.path(), arguments).output().expect_code(0);
    let made = folder.path().join("metric-top-k");
    assert!(made.join("plugin.toml").is_file());
    library_in(&made);
    folder
}

#[test]
fn the_guide_shows_the_very_files() {
    let guide = std::fs::read_to_string(bomf_tests::root().join("docs/plugin-author.md")).unwrap();
    for file in ["Cargo.toml", "src/lib.rs", "tests/promises.rs"] {
        let text = std::fs::read_to_string(source().join(file)).unwrap();
        let block = format!("\n{}\n```\n", text.trim_end());
        assert!(
            guide.contains(&block),
            "docs/plugin-author.md does not hold {file} of {} as it is",
            source().display()
        );
    }
}

#[test]
fn a_packed_metric_is_listed_and_shown() {
    let plugins = packed();
    let call = |arguments: &[&str]| {
        let plugins = plugins.path().to_str().unwrap();
        let arguments = arguments.iter().copied().chain(["--plugins", plugins]);
        Bomf::new(plugins.as_ref(), arguments)
            .output()
            .expect_code(0)
    };
    call(&["plugins", "list"]).expect_stdout(&["top_k", "metric-top-k 0.1.0"]);
    call(&["plugins", "show", "top_k"]).expect_stdout(&[
        "How many of the most likely labels",
        "k",
        "3",
    ]);
}

#[test]
fn a_run_scores_with_it() {
    let (plugins, tiny) = (packed(), TinyRun::new());
    let plugins = plugins.path().to_str().unwrap();
    tiny.edit("{ use: f1 }", "{ use: f1 }, { use: top_k, k: 0 }");
    tiny.bomf(&["validate", "tiny.yaml", "--plugins", plugins])
        .output()
        .expect_code(2)
        .expect_stderr(&["metrics[2].k"]);
    tiny.edit("k: 0", "k: 1");
    tiny.bomf(&["run", "tiny.yaml", "--out", "out", "--plugins", plugins])
        .output()
        .expect_code(0);
    let report = tiny.results("out").report.to_string();
    assert!(report.contains("top_k"), "{report}");
}
