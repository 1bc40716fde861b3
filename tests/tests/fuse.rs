//! `bomf fuse` from outside: what is averaged, what is refused, and that nothing half-done is left behind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use bomf_tests::Bomf;
use bomf_tests::safetensors::{f32s, files, floats, read, write};
use serde_json::{Value, json};

/// A model folder with one vector of f32 and one of integers.
fn model(folder: &Path, name: &str, weights: &[f32], id: i64) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(&path).unwrap();
    let ids = ("ids".to_owned(), "I64", vec![1], id.to_le_bytes().to_vec());
    let tensors = [f32s("layer.weight", &[weights.len()], weights), ids];
    write(&path.join("model.safetensors"), &tensors);
    let config =
        json!({"model_type": "tiny", "torch_dtype": "float32", "_name_or_path": "someone/tiny"});
    std::fs::write(path.join("config.json"), config.to_string()).unwrap();
    std::fs::write(path.join("vocab.txt"), "a\nb\n").unwrap();
    path
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
fn the_command_on_the_card_makes_the_model_again() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(here, "a", &[1.0, 2.0, 3.0], 5);
    model(here, "b", &[3.0, 4.0, -1.0], 6);
    let fuse = [
        "fuse",
        "--member",
        "a=0.5",
        "--member",
        "b=0.5",
        "--integers",
        "first",
        "--shard-size",
        "10",
        "--out",
        "c/",
    ];
    Bomf::new(here, fuse).output().expect_code(0);
    let card = std::fs::read_to_string(here.join("c/README.md")).unwrap();
    let command = card
        .lines()
        .find(|line| line.starts_with("bomf fuse --method"))
        .unwrap();
    let words = command.trim_start_matches("bomf ").replace("DIR", "again");
    let words: Vec<&str> = words.split(' ').collect();
    Bomf::new(here, words).output().expect_code(0);
    assert_eq!(files(&here.join("c")), files(&here.join("again")));

    // What is carried over counts as well as the weights.
    std::fs::write(here.join("a/generation_config.json"), "{}").unwrap();
    let replay = ["fuse", "--replay", "c/fusion.json", "--out", "d"];
    Bomf::new(here, replay)
        .output()
        .expect_code(2)
        .expect_stderr(&["error[fuse::changed]", "generation_config.json"]);
}

#[test]
fn names_that_are_tied_in_all_members_stay_tied() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    // One file has the tensor under the one name, the other under the other.
    for (file, own, tied) in [("a", "emb", "head"), ("b", "head", "emb")] {
        let header = json!({
            "__metadata__": {tied: own, "format": "pt"},
            own: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        });
        let mut header = header.to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend(2.0_f32.to_le_bytes());
        std::fs::write(here.join(format!("{file}.safetensors")), bytes).unwrap();
    }
    let fuse = [
        "fuse",
        "--member",
        "a.safetensors",
        "--member",
        "b.safetensors",
        "--out",
        "c",
    ];
    Bomf::new(here, fuse).output().expect_code(0);
    let (header, _) = read(&here.join("c/model.safetensors"));
    assert_eq!(header["__metadata__"]["head"], "emb");
    assert!(header["head"].is_null(), "{header}");
}

#[test]
fn vocabularies_are_compared_by_tokens_and_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(here, "a", &[1.0], 5);
    let path = model(here, "b", &[3.0], 5);
    std::fs::remove_file(path.join("vocab.txt")).unwrap();
    let tokenizer = |added: &str| {
        let added = json!([{"id": 1, "content": added}]);
        let tokenizer = json!({"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": added});
        std::fs::write(path.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    };
    let check = ["fuse", "--member", "a", "--member", "b", "--check"];
    tokenizer("b");
    Bomf::new(here, check).output().expect_code(0);
    tokenizer("<end>");
    Bomf::new(here, check)
        .output()
        .expect_code(2)
        .expect_stderr(&["vocabulary"]);
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
        .after_shell("ulimit -f 40")
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

/// What torch and gguf wrote: the goldens of the library.
fn library_golden(name: &str) -> PathBuf {
    bomf_tests::root().join("fusion/tests/golden").join(name)
}

fn expected(part: &str, name: &str) -> Vec<f32> {
    let golden = std::fs::read(library_golden("expected.json")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    let values = golden[part][name]["values"].as_array().unwrap().iter();
    values.map(|x| x.as_f64().unwrap() as f32).collect()
}

#[test]
fn state_dicts_are_fused_in_parts_and_tied_weights_stay_tied() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    // One of the two lies in a folder, behind an index.
    let shards = here.join("sharded");
    std::fs::create_dir_all(&shards).unwrap();
    std::fs::copy(
        library_golden("state.bin"),
        shards.join("pytorch_model-00001-of-00001.bin"),
    )
    .unwrap();
    let golden: Value =
        serde_json::from_slice(&std::fs::read(library_golden("expected.json")).unwrap()).unwrap();
    let names = golden["torch"].as_object().unwrap().keys();
    let map: serde_json::Map<String, Value> = names
        .map(|name| (name.clone(), "pytorch_model-00001-of-00001.bin".into()))
        .collect();
    let index = json!({"metadata": {}, "weight_map": map});
    std::fs::write(
        shards.join("pytorch_model.bin.index.json"),
        index.to_string(),
    )
    .unwrap();
    let state = library_golden("state.bin");
    let other = format!("{}=0.25", state.display());
    let fuse = [
        "fuse",
        "--member",
        "sharded=0.25",
        "--member",
        &other,
        "--dtype",
        "f32",
        "--out",
        "c",
    ];
    Bomf::new(here, fuse).output().expect_code(0);
    let path = here.join("c/model.safetensors");
    for name in [
        "embed.weight",
        "transposed",
        "part",
        "half",
        "brain",
        "double",
        "scalar",
    ] {
        let halves: Vec<f32> = expected("torch", name).iter().map(|x| x * 0.5).collect();
        let found = floats(&path, name);
        assert_eq!(found.len(), halves.len());
        let is_close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
        assert!(found.iter().zip(&halves).all(is_close), "{name}: {found:?}");
    }
    let (header, _) = read(&path);
    assert!(header["head.weight"].is_null());
    assert_eq!(header["__metadata__"]["head.weight"], "embed.weight");
    // What was tied on disk is one tensor for the next fusion too.
    Bomf::new(here, ["fuse", "--member", "c=1", "--out", "d"])
        .output()
        .expect_code(0);
    assert_eq!(read(&here.join("d/model.safetensors")), read(&path));
}

#[test]
fn gguf_is_dequantised_and_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let gguf = library_golden("quantised.gguf");
    let gguf = format!("{}=1", gguf.display());
    Bomf::new(
        here,
        ["fuse", "--member", &gguf, "--dtype", "f32", "--out", "c"],
    )
    .output()
    .expect_code(0)
    .expect_stderr(&[
        "Q4_0 read as F32 (dequantised)",
        "Q8_0 read as F32 (dequantised)",
    ]);
    for name in ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"] {
        let found = floats(&here.join("c/model.safetensors"), name);
        assert_eq!(found, expected("gguf", name), "{name}");
    }
    let card = std::fs::read_to_string(here.join("c/README.md")).unwrap();
    assert!(card.contains("quantised.gguf (GGUF)"), "{card}");
}
