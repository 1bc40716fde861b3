//! Fusers that need something of the machine: they keep their promises across the border, runs use them, and say what is missing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bomf_plugin_api::abi::LoadedLibrary;
use bomf_plugin_api::testkit::fuser::{ALL, Abilities, Precision, conformance};
use bomf_plugin_api::{Context, Dtype, LogSink};
use bomf_tests::plugin_folder::library_in;
use bomf_tests::{Bomf, TinyRun, plugins, skip};
use tracing::Level;

struct Quiet;

impl LogSink for Quiet {
    fn enabled(&self, _: Level, _: &str) -> bool {
        false
    }

    fn log(&self, _: Level, _: &str, _: &str) {}
}

/// Whether a plugin was built that is not built everywhere.
fn is_built(plugin: &str, variable: &str) -> bool {
    let is_there = plugins().join(plugin).is_dir();
    if !is_there {
        skip(variable, &format!("{plugin} was not built"));
    }
    is_there
}

fn torch_is_built() -> bool {
    is_built("fuser-torch", "REQUIRE_LIBTORCH")
}

fn open(plugin: &str) -> LoadedLibrary {
    LoadedLibrary::open(&library_in(&plugins().join(plugin)), Quiet).unwrap()
}

#[test]
fn the_fuser_in_libtorch_keeps_its_promises() {
    if !torch_is_built() {
        return;
    }
    let abilities = Abilities {
        precision: Precision::Fused,
        ..ALL
    };
    let context = Context::new(2, 7);
    let fuser = open("fuser-torch").fuser("torch", r#"{"device": "cpu"}"#, &context);
    conformance(&*fuser.unwrap(), abilities);
}

#[test]
fn the_fuser_in_shaders_keeps_its_promises() {
    if !is_built("fuser-wgpu", "REQUIRE_GPU") {
        return;
    }
    let fuser = open("fuser-wgpu")
        .fuser("wgpu", "{}", &Context::new(2, 7))
        .unwrap();
    if let Err(error) = fuser.devices() {
        return skip("REQUIRE_GPU", &error.message);
    }
    let abilities = Abilities {
        members: &[Dtype::F32, Dtype::F16, Dtype::Bf16],
        precision: Precision::Gpu,
        ..ALL
    };
    conformance(&*fuser, abilities);
}

/// Without the search path by which `cargo xtask test` lets test programs find LibTorch: bomf has to find it itself.
fn on_its_own(call: Bomf) -> Bomf {
    call.after_shell("unset LD_LIBRARY_PATH DYLD_LIBRARY_PATH")
}

#[test]
fn a_run_finds_libtorch_and_fuses_in_it() {
    if !torch_is_built() {
        return;
    }
    let tiny = TinyRun::new();
    tiny.edit("fuser: { use: cpu }", "fuser: { use: torch, device: cpu }");
    on_its_own(tiny.run("torch")).output().expect_code(0);
    let plugins = &tiny.results("torch").report["plugins"];
    assert!(plugins["fuser-torch"].is_object(), "{plugins}");
}

#[test]
fn a_missing_libtorch_is_named_before_anything_is_trained() {
    if !torch_is_built() {
        return;
    }
    let tiny = TinyRun::new();
    tiny.edit("fuser: { use: cpu }", "fuser: { use: torch }");
    let pieces = ["error[plugin::preload]", "cargo xtask setup-libtorch"];
    // Named, and not there.
    let output = on_its_own(tiny.run("a"))
        .env("LIBTORCH", "/no/such/folder")
        .output();
    let output = output.expect_code(3).expect_stderr(&pieces);
    let output = output.expect_stderr(&["/no/such/folder", "found no `lib/"]);
    assert!(!output.stderr.contains("trajectory"), "{}", output.stderr);
    // Not named, and nowhere.
    let nowhere = on_its_own(tiny.run("b"))
        .env("LIBTORCH", "")
        .env("BOMF_CACHE", tiny.path())
        .env("BOMF_PYTHON", "no-such-python");
    let output = nowhere.output().expect_code(3).expect_stderr(&pieces);
    output.expect_stderr(&["found no libtorch 2.13.0: `LIBTORCH` is not set"]);
    // Another version, named in the configuration.
    tiny.edit("use: torch", "use: torch, libtorch: other");
    let lib = tiny.path().join("other/lib");
    std::fs::create_dir_all(&lib).unwrap();
    for name in ["c10", "torch_cpu"] {
        use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
        std::fs::write(lib.join(format!("{DLL_PREFIX}{name}{DLL_SUFFIX}")), "").unwrap();
    }
    std::fs::write(tiny.path().join("other/build-version"), "2.12.1+cpu\n").unwrap();
    let output = on_its_own(tiny.run("c"))
        .output()
        .expect_code(3)
        .expect_stderr(&pieces);
    output.expect_stderr(&["found version 2.12.1, expected 2.13.0"]);
}

#[test]
fn auto_says_what_it_chose_and_why() {
    let tiny = TinyRun::new();
    tiny.edit("fuser: { use: cpu }", "fuser: auto");
    let output = tiny.run("auto").output().expect_code(0);
    let why = "cpu, because members of ";
    output.expect_stderr(&[&format!("fuser: {why}"), "are fused before a GPU is open"]);
    let report = tiny.results("auto").report;
    assert_eq!(report["fuser"]["name"], "cpu");
    let text = std::fs::read_to_string(tiny.path().join("auto/report.md")).unwrap();
    assert!(
        text.contains("The fuser was `cpu`, because members of "),
        "{text}"
    );
    let validated = tiny
        .bomf(&["validate", "tiny.yaml"])
        .output()
        .expect_code(0);
    validated.expect_stdout(&[&format!("fuser       {why}")]);
}

#[test]
fn auto_takes_no_options() {
    let tiny = TinyRun::new();
    tiny.edit("fuser: { use: cpu }", "fuser: { use: auto, device: cuda }");
    let output = tiny
        .bomf(&["validate", "tiny.yaml"])
        .output()
        .expect_code(2);
    output.expect_stderr(&["error[config::unknown_key]", "`device`", "takes none"]);
}
