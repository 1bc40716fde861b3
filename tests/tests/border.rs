//! The border between host and plugins: older and newer ones, incompatible ones, faulty ones.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use bomf_plugin_api::abi::{LoadError, LoadedLibrary};
use bomf_plugin_api::{Context, LogSink, Table, column};
use bomf_tests::fixture::Fixture;
use tracing::Level;

struct Quiet;

impl LogSink for Quiet {
    fn enabled(&self, _: Level, _: &str) -> bool {
        false
    }

    fn log(&self, _: Level, _: &str, _: &str) {}
}

fn table() -> Table<'static> {
    Table::new(2)
        .with_integers(column::LABEL, vec![0, 1])
        .and_then(|table| table.with_integers(column::PREDICTED_LABEL, vec![0, 1]))
        .unwrap()
}

/// A plugin-api with a function more at the end of the root module, and a method more at the end of a trait.
fn newer(fixture: Fixture) -> Fixture {
    fixture
        .alter(
            "src/abi/root.rs",
            "    pub model: extern \"C\" fn(RStr<'_>, RStr<'_>, RStr<'_>) -> AbiResult<BackendBox>,\n}",
            "    pub model: extern \"C\" fn(RStr<'_>, RStr<'_>, RStr<'_>) -> AbiResult<BackendBox>,\n    \
             pub added: extern \"C\" fn() -> bool,\n}",
        )
        .alter(
            "src/abi/root.rs",
            "            model: model::<E>,\n",
            "            model: model::<E>,\n            added: unwinds,\n",
        )
        .alter(
            "src/abi/metric.rs",
            "    fn score(&self, examples: AbiTable<'_>) -> AbiResult<AbiScores>;\n",
            "    fn score(&self, examples: AbiTable<'_>) -> AbiResult<AbiScores>;\n    \
             fn added(&self) -> AbiResult<RString> { AbiResult::ROk(RString::new()) }\n",
        )
}

/// A plugin-api in which a function of the root module returns something else.
fn changed(fixture: Fixture) -> Fixture {
    fixture
        .alter(
            "src/abi/root.rs",
            "    pub unwinds: extern \"C\" fn() -> bool,",
            "    pub unwinds: extern \"C\" fn() -> u32,",
        )
        .alter(
            "src/abi/root.rs",
            "extern \"C\" fn unwinds() -> bool {\n    cfg!(panic = \"unwind\")\n}",
            "extern \"C\" fn unwinds() -> u32 {\n    1\n}",
        )
        .alter(
            "src/abi/open.rs",
            "if !(root.unwinds())() {",
            "if (root.unwinds())() == 0 {",
        )
}

#[test]
fn another_peoples_plugin_loads_and_scores() {
    let library = Fixture::plugin("constant", "constant.rs").build();
    let library = LoadedLibrary::open(&library, Quiet).unwrap();
    assert_eq!(library.manifest().unwrap().name, "constant");
    let metric = library
        .metric("constant", r#"{"answer": 0.25}"#, &Context::default())
        .unwrap();
    assert_eq!(metric.score(&table()).unwrap().get("constant"), Some(0.25));
}

#[test]
fn a_newer_plugin_loads_in_this_host() {
    let library = newer(Fixture::plugin("constant-newer", "constant.rs")).build();
    let library = LoadedLibrary::open(&library, Quiet).unwrap();
    let metric = library
        .metric("constant", "{}", &Context::default())
        .unwrap();
    assert_eq!(metric.score(&table()).unwrap().get("constant"), Some(0.5));
}

#[test]
fn a_plugin_of_today_loads_in_a_newer_host() {
    let library = Fixture::plugin("constant", "constant.rs").build();
    let probe = newer(Fixture::program("probe-newer", "probe.rs")).build();
    let output = Command::new(probe)
        .args(["constant", "{}"])
        .arg(library)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(said.trim(), r#"constant: [("constant", 0.5)]"#);
}

#[test]
fn older_and_newer_plugins_load_side_by_side() {
    let older = Fixture::plugin("constant", "constant.rs").build();
    let newer_one = newer(Fixture::plugin("constant-newer", "constant.rs")).build();
    let probe = newer(Fixture::program("probe-newer", "probe.rs")).build();
    for libraries in [[&older, &newer_one], [&newer_one, &older]] {
        let mut command = Command::new(&probe);
        let output = command.args(["constant", "{}"]).args(libraries).output();
        let output = output.unwrap();
        let (said, faults) = (output.stdout, String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{faults}");
        assert_eq!(
            String::from_utf8_lossy(&said).lines().count(),
            2,
            "{faults}"
        );
    }
}

#[test]
fn a_changed_layout_is_refused_in_a_line_per_fault() {
    let library = changed(Fixture::plugin("constant-changed", "constant.rs")).build();
    match LoadedLibrary::open(&library, Quiet).map(|_| ()) {
        Err(LoadError::Incompatible { faults, details }) => {
            assert!(!faults.is_empty() && faults.len() <= 8, "{faults:#?}");
            assert!(
                faults.iter().all(|fault| fault.lines().count() == 1),
                "{faults:#?}"
            );
            assert!(
                faults.iter().any(|fault| fault.contains("unwinds")),
                "{faults:#?}"
            );
            assert!(details.lines().count() > faults.len());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plugin_that_aborts_on_panic_is_refused() {
    let library = Fixture::plugin("panics-aborting", "panics.rs")
        .aborting()
        .build();
    assert_eq!(
        LoadedLibrary::open(&library, Quiet)
            .map(|_| ())
            .unwrap_err(),
        LoadError::Aborts
    );
}

#[test]
fn a_panic_becomes_an_error_with_its_place() {
    let library = Fixture::plugin("panics", "panics.rs").build();
    let library = LoadedLibrary::open(&library, Quiet).unwrap();
    let context = Context::default();
    let error = library
        .metric("panics-in-new", "{}", &context)
        .map(|_| ())
        .unwrap_err();
    assert!(error.message.contains("panicked"), "{error}");
    assert!(error.message.contains("nobody told me how"), "{error}");
    assert!(error.message.contains("lib.rs:"), "{error}");
    let metric = library.metric("panics-in-score", "{}", &context).unwrap();
    for _ in 0..3 {
        let error = metric.score(&table()).unwrap_err();
        assert!(error.message.contains("index out of bounds"), "{error}");
    }
}

#[test]
fn a_panic_while_something_is_dropped_does_not_end_the_host() {
    let library = Fixture::plugin("panics", "panics.rs").build();
    let library = LoadedLibrary::open(&library, Quiet).unwrap();
    let metric = library
        .metric("panics-in-drop", "{}", &Context::default())
        .unwrap();
    drop(metric);
}

#[test]
fn options_that_the_plugin_does_not_know_are_an_error() {
    let library = Fixture::plugin("constant", "constant.rs").build();
    let library = LoadedLibrary::open(&library, Quiet).unwrap();
    for (options, piece) in [
        (r#"{"anser": 1}"#, "anser"),
        (r#"{"answer": "high"}"#, "invalid type"),
        ("[", "EOF"),
    ] {
        let error = library
            .metric("constant", options, &Context::default())
            .map(|_| ())
            .unwrap_err();
        assert!(error.message.contains(piece), "{error}");
    }
    let error = library
        .metric("other", "{}", &Context::default())
        .map(|_| ())
        .unwrap_err();
    assert!(error.message.contains("`other`"), "{error}");
}

#[test]
fn a_component_that_the_library_does_not_bring_is_an_error() {
    let library = Fixture::plugin("constant", "constant.rs").build();
    let library = LoadedLibrary::open(&library, Quiet).unwrap();
    let context = Context::default();
    assert!(library.optimizer("constant", "{}", &context).is_err());
    assert!(library.fuser("constant", "{}", &context).is_err());
    assert!(library.model("constant", "{}", &context).is_err());
}

#[test]
fn a_file_that_is_no_library_is_refused() {
    let folder = tempfile::TempDir::new().unwrap();
    let text = folder.path().join("libtext.so");
    std::fs::write(&text, "not a library at all\n").unwrap();
    let library = Fixture::plugin("constant", "constant.rs").build();
    let bytes = std::fs::read(&library).unwrap();
    let empty = folder.path().join("libempty.so");
    std::fs::write(&empty, "").unwrap();
    // Cut after the headers and in the middle: what the system's loader refuses cleanly.
    let truncated = folder.path().join("libtruncated.so");
    std::fs::write(&truncated, &bytes[..40]).unwrap();
    for path in [
        &text,
        &empty,
        &truncated,
        &folder.path().join("libmissing.so"),
    ] {
        assert_refused(path);
    }
}

#[test]
fn a_library_without_our_symbol_is_refused() {
    for name in ["libm.so.6", "libz.so.1"] {
        let found = [
            "/lib/x86_64-linux-gnu",
            "/usr/lib/x86_64-linux-gnu",
            "/lib64",
            "/usr/lib",
        ]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file());
        if let Some(path) = found {
            return assert_refused(&path);
        }
    }
    bomf_tests::skip(
        "REQUIRE_SYSTEM_LIBRARY",
        "no foreign library was found on this system",
    );
}

fn assert_refused(path: &Path) {
    match LoadedLibrary::open(path, Quiet).map(|_| ()) {
        Err(LoadError::NotAPlugin(why)) => assert_eq!(why.lines().count(), 1, "{why}"),
        other => panic!("{}: {other:?}", path.display()),
    }
}

struct Recorder;

static HEARD: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

impl LogSink for Recorder {
    fn enabled(&self, level: Level, _: &str) -> bool {
        level <= Level::WARN
    }

    fn log(&self, level: Level, _: &str, message: &str) {
        HEARD.lock().unwrap().push((level, message.to_owned()));
    }
}

#[test]
fn what_a_plugin_logs_reaches_the_host() {
    // A copy of its own: the sink is installed once per library and process.
    let built = Fixture::plugin("constant-logging", "constant.rs").build();
    let library = LoadedLibrary::open(&built, Recorder).unwrap();
    let metric = library
        .metric("constant", "{}", &Context::default())
        .unwrap();
    metric.score(&table()).unwrap();
    let heard = HEARD.lock().unwrap();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].0, Level::WARN);
    assert!(heard[0].1.contains("scoring without looking"), "{heard:?}");
    assert!(heard[0].1.contains("answer=0.5"), "{heard:?}");
}
