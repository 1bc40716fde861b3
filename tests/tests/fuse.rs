//! `bomf fuse` from outside: what is averaged, what is refused, and that nothing half-done is left behind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bomf_tests::Bomf;
use serde_json::{Value, json};

/// A model folder with one matrix of f32 and one vector of integers.
fn model(folder: &Path, name: &str, weights: &[f32], id: i64) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(&path).unwrap();
    let end = weights.len() * 4;
    let header = json!({
        "layer.weight": {"dtype": "F32", "shape": [weights.len()], "data_offsets": [0, end]},
        "ids": {"dtype": "I64", "shape": [1], "data_offsets": [end, end + 8]},
    });
    let mut header = header.to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(weights.iter().flat_map(|x| x.to_le_bytes()));
    file.extend(id.to_le_bytes());
    std::fs::write(path.join("model.safetensors"), file).unwrap();
    let config =
        json!({"model_type": "tiny", "torch_dtype": "float32", "_name_or_path": "someone/tiny"});
    std::fs::write(path.join("config.json"), config.to_string()).unwrap();
    std::fs::write(path.join("vocab.txt"), "a\nb\n").unwrap();
    path
}

/// The header of a safetensors file, and its data.
fn read(path: &Path) -> (Value, Vec<u8>) {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    (header, bytes[8 + length..].to_vec())
}

fn floats(path: &Path, name: &str) -> Vec<f32> {
    let (header, data) = read(path);
    let range = |i: usize| header[name]["data_offsets"][i].as_u64().unwrap() as usize;
    let bytes = data[range(0)..range(1)].chunks(4);
    bytes
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                std::fs::read(entry.path()).unwrap(),
            )
        })
        .collect()
}

#[test]
fn an_average_is_one_and_can_be_made_again_byte_by_byte() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(here, "a", &[1.0, 2.0, 3.0], 5);
    model(here, "b", &[3.0, 4.0, -1.0], 5);
    let fuse = [
        "fuse", "--member", "a=0.25", "--member", "b=0.75", "--out", "c",
    ];
    Bomf::new(here, fuse)
        .output()
        .expect_code(0)
        .expect_stdout(&["c"]);
    assert_eq!(
        floats(&here.join("c/model.safetensors"), "layer.weight"),
        [2.5, 3.5, 0.0]
    );
    assert_eq!(
        read(&here.join("c/model.safetensors")).0["__metadata__"]["format"],
        "pt"
    );
    let card = std::fs::read_to_string(here.join("c/README.md")).unwrap();
    assert!(
        card.starts_with("---\nbase_model:\n- \"someone/tiny\"\n"),
        "{card}"
    );
    assert!(here.join("c/vocab.txt").is_file() && here.join("c/config.json").is_file());

    let replay = [
        "fuse",
        "--replay",
        "c/fusion.json",
        "--threads",
        "1",
        "--memory",
        "1MiB",
        "--out",
        "d",
    ];
    Bomf::new(here, replay).output().expect_code(0);
    assert_eq!(files(&here.join("c")), files(&here.join("d")));

    // The same length, another number.
    model(here, "b", &[3.0, 4.0, -2.0], 5);
    let again = ["fuse", "--replay", "c/fusion.json", "--out", "e"];
    Bomf::new(here, again)
        .output()
        .expect_code(2)
        .expect_stderr(&["error[fuse::changed]", "digest"]);
    assert!(!here.join("e").exists() && !here.join("e.unfinished").exists());
    Bomf::new(here, fuse)
        .output()
        .expect_code(2)
        .expect_stderr(&["error[write::exists]"]);
}

#[test]
fn types_files_and_patterns_are_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(here, "a", &[1.0, 2.0], 5);
    model(here, "b", &[3.0, 4.0], 5);
    let fuse = [
        "fuse",
        "--member",
        "a",
        "--member",
        "b",
        "--pattern",
        "layer.*=0,1",
        "--dtype",
        "bf16",
        "--shard-size",
        "8B",
        "--out",
        "c",
    ];
    Bomf::new(here, fuse).output().expect_code(0);
    let index: Value = serde_json::from_slice(
        &std::fs::read(here.join("c/model.safetensors.index.json")).unwrap(),
    )
    .unwrap();
    assert_eq!(index["metadata"]["total_size"], 12);
    let file = here
        .join("c")
        .join(index["weight_map"]["layer.weight"].as_str().unwrap());
    let (header, data) = read(&file);
    assert_eq!(header["layer.weight"]["dtype"], "BF16");
    assert_eq!(data, [0x40, 0x40, 0x80, 0x40]);
    let config = std::fs::read_to_string(here.join("c/config.json")).unwrap();
    assert!(config.contains("bfloat16"), "{config}");
    // What was written in several files is a member itself.
    Bomf::new(here, ["fuse", "--check", "--member", "a", "--member", "c"])
        .output()
        .expect_code(0)
        .expect_stdout(&[
            "note",
            "layer.weight",
            "BF16",
            "2 members of 2 tensors go together",
        ]);
    Bomf::new(
        here,
        ["fuse", "--member", "a", "--pattern", "no.*=1", "--out", "x"],
    )
    .output()
    .expect_code(2)
    .expect_stderr(&["error[fuse::pattern]"]);
}

#[test]
fn members_that_do_not_go_together_are_shown_in_one_table() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(here, "a", &[1.0, 2.0], 5);
    let other = model(here, "b", &[1.0, 2.0, 3.0], 5);
    std::fs::write(other.join("vocab.txt"), "b\na\n").unwrap();
    Bomf::new(
        here,
        ["fuse", "--member", "a", "--member", "b", "--out", "c"],
    )
    .output()
    .expect_code(2)
    .expect_stderr(&[
        "error[fuse::members]",
        "layer.weight",
        "F32 [2]",
        "F32 [3]",
        "vocabulary",
    ]);
    assert!(!here.join("c").exists());
}

#[test]
fn bad_weights_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(here, "a", &[1.0, 2.0], 5);
    model(here, "b", &[1.0, f32::NAN], 6);
    let fuse = |extra: &[&str]| {
        let mut arguments = vec!["fuse", "--out", "c"];
        arguments.extend(extra);
        Bomf::new(here, arguments).output()
    };
    fuse(&["--member", "a", "--member", "b", "--integers", "first"])
        .expect_code(2)
        .expect_stderr(&["error[fuse::not_finite]", "layer.weight", "[1]", "NaN"]);
    fuse(&["--member", "a=1", "--member", "b=0"])
        .expect_code(2)
        .expect_stderr(&["error[fuse::integers]", "`ids`", "--integers first"]);
    fuse(&["--member", "a=1e39", "--integers", "first"])
        .expect_code(2)
        .expect_stderr(&["error[fuse::overflow]"]);
    assert!(!here.join("c").exists() && !here.join("c.unfinished").exists());
    fuse(&["--member", "a=1", "--member", "b=0", "--integers", "first"]).expect_code(0);
    assert_eq!(
        floats(&here.join("c/model.safetensors"), "layer.weight"),
        [1.0, 2.0]
    );
}

#[cfg(unix)]
#[test]
fn a_full_disk_and_a_kill_leave_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let weights: Vec<f32> = (0..5_000_000).map(|i| i as f32).collect();
    model(here, "a", &weights, 5);
    let fuse = ["fuse", "--member", "a", "--out", "c"];
    // No file may grow beyond so many blocks of 512 bytes.
    Bomf::new(here, fuse)
        .after_shell("ulimit -f 40; trap '' XFSZ")
        .output()
        .expect_code(4)
        .expect_stderr(&["error[write::file]"]);
    assert!(!here.join("c").exists() && !here.join("c.unfinished").exists());
    let mut running = Bomf::new(here, fuse).spawn();
    while !here.join("c.unfinished").exists() && !running.has_ended() {
        std::thread::yield_now();
    }
    running.kill();
    running.finish();
    // Whole or not at all; what is left of the killed one is cleared away by the next.
    if !here.join("c").exists() {
        Bomf::new(here, fuse).output().expect_code(0);
    }
    assert_eq!(
        floats(&here.join("c/model.safetensors"), "layer.weight"),
        weights
    );
    assert!(!here.join("c.unfinished").exists());
}
