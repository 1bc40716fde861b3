//! `bomf fuse` with merge rules, from outside: mergekit's numbers, the same bytes again, and what is refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use bomf_tests::safetensors::{Tensor, f32s, files, floats, write};
use bomf_tests::{Bomf, Output};
use serde_json::{Value, json};

/// A handful of f32 operations in another order, on numbers about 1.
const ROUNDING: f32 = 1e-6;

fn model(folder: &Path, name: &str, tensors: &[Tensor]) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(&path).unwrap();
    write(&path.join("model.safetensors"), tensors);
    std::fs::write(path.join("config.json"), r#"{"model_type": "tiny"}"#).unwrap();
    path
}

/// A vector of `elements` numbers that look random.
fn vector(elements: usize, salt: usize) -> Vec<f32> {
    let element = |k: usize| ((k * 7919 + salt * 104_729) % 65_521) as f32 / 32_760.0 - 1.0;
    (0..elements).map(element).collect()
}

fn fuse(here: &Path, arguments: &[&str]) -> Output {
    Bomf::new(here, [&["fuse"], arguments].concat()).output()
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// The arguments of a golden case: its members are `a`, `b` and `c`, or `a` alone.
fn arguments(case: &Value) -> Vec<String> {
    let method = case["method"].as_str().unwrap();
    let mut arguments = strings(&["--method", method]);
    for (key, value) in case["options"].as_object().unwrap() {
        arguments.extend(["--option".to_owned(), format!("{key}={value}")]);
    }
    if method != "linear" {
        arguments.extend(strings(&["--base", "base"]));
    }
    let members = if method == "slerp" {
        &["a"][..]
    } else {
        &["a", "b", "c"]
    };
    for (index, member) in members.iter().enumerate() {
        let member = match &case["coefficients"][index] {
            Value::Null => (*member).to_owned(),
            coefficient => format!("{member}={coefficient}"),
        };
        arguments.extend(["--member".to_owned(), member]);
    }
    arguments
}

#[test]
fn merges_are_those_of_mergekit_and_can_be_made_again() {
    let golden: Value = serde_json::from_str(include_str!("../goldens/merges.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let list = |value: &Value| serde_json::from_value::<Vec<f32>>(value.clone()).unwrap();
    for (name, tensors) in golden["models"].as_object().unwrap() {
        let tensors = tensors.as_object().unwrap().iter().map(|(tensor, values)| {
            let shape: Vec<usize> =
                serde_json::from_value(golden["shapes"][tensor].clone()).unwrap();
            f32s(tensor, &shape, &list(values))
        });
        model(here, name, &tensors.collect::<Vec<_>>());
    }
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 10);
    for (number, case) in cases.iter().enumerate() {
        let (out, again) = (format!("out{number}"), format!("again{number}"));
        let arguments = arguments(case);
        let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        words.extend(["--out", &out]);
        fuse(here, &words).expect_code(0);
        for (tensor, expected) in case["merged"].as_object().unwrap() {
            let found = floats(&here.join(&out).join("model.safetensors"), tensor);
            let expected = list(expected);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                let error = (found - expected).abs();
                assert!(
                    error <= ROUNDING * expected.abs().max(1.0),
                    "{} {}, {tensor}: found {found}, expected {expected}",
                    case["method"],
                    case["options"]
                );
            }
        }
        let record = format!("{out}/fusion.json");
        fuse(
            here,
            &["--replay", &record, "--threads", "1", "--out", &again],
        )
        .expect_code(0);
        assert_eq!(files(&here.join(&out)), files(&here.join(&again)));
    }
}

/// A base, two members, each with a tensor of many blocks, a small one, a tied one and an integer.
fn large_models(here: &Path) {
    for (name, salt) in [("base", 0), ("a", 1), ("b", 2)] {
        let tensors = [
            f32s("large", &[101, 1999], &vector(101 * 1999, salt)),
            f32s("small", &[3], &vector(3, salt + 10)),
            (
                "step".to_owned(),
                "I64",
                vec![1],
                7i64.to_le_bytes().to_vec(),
            ),
        ];
        model(here, name, &tensors);
    }
}

/// Neither threads nor memory change a bit, also where random choices are made and where magnitudes are ranked.
#[test]
fn threads_and_memory_change_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    large_models(here);
    for (method, options) in [
        ("dare_ties", &["density=0.4"][..]),
        ("dare_linear", &["density=0.4", "rescale=false"]),
        ("ties", &["density=0.3", "rescale=true"]),
        ("breadcrumbs", &["density=[0.5, 0.7]"]),
        ("model_stock", &["filter_wise=true"]),
    ] {
        let mut given = vec![
            "--method", method, "--base", "base", "--member", "a", "--member", "b",
        ];
        given.extend(options.iter().flat_map(|option| ["--option", option]));
        let made = |number: usize, extra: &[&str]| {
            let out = format!("{method}-{number}");
            fuse(here, &[&given[..], &["--out", &out], extra].concat()).expect_code(0);
            files(&here.join(out))
        };
        let first = made(1, &["--seed", "3", "--threads", "1", "--memory", "64MiB"]);
        let again = made(2, &["--seed", "3", "--threads", "5", "--memory", "5MiB"]);
        assert_eq!(first, again, "{method}");
        let other = made(3, &["--seed", "4"]);
        let is_same = first["model.safetensors"] == other["model.safetensors"];
        assert_eq!(is_same, !method.starts_with("dare"), "{method}");
    }
    fuse(
        here,
        &[
            "--method",
            "ties",
            "--option",
            "density=0.5",
            "--base",
            "base",
            "--member",
            "a",
            "--member",
            "b",
            "--memory",
            "1MiB",
            "--out",
            "x",
        ],
    )
    .expect_code(2)
    .expect_stderr(&["error[fuse::memory]", "MiB or more"]);
}

#[test]
fn record_and_card_say_how_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    large_models(here);
    fuse(
        here,
        &[
            "--method",
            "dare_ties",
            "--option",
            "density=0.5",
            "--seed",
            "3",
            "--base",
            "base",
            "--member",
            "a=0.5",
            "--member",
            "b=0.25",
            "--pattern",
            "small=1,0",
            "--out",
            "c",
        ],
    )
    .expect_code(0);
    let record: Value =
        serde_json::from_slice(&std::fs::read(here.join("c/fusion.json")).unwrap()).unwrap();
    assert_eq!(
        record["method"],
        json!({"use": "dare_ties", "density": 0.5, "normalize": false, "lambda": 1.0, "rescale": true})
    );
    assert_eq!(record["seed"], 3);
    assert_eq!(
        record["base"]["files"][0]["blake3"].as_str().unwrap().len(),
        64
    );
    assert_eq!(record["members"][1]["coefficient"], 0.25);
    let card = std::fs::read_to_string(here.join("c/README.md")).unwrap();
    for said in [
        "tags:\n- merge\n",
        "| base | base | model.safetensors (safetensors) |",
        "| a | 0.5 |",
        "| density | 0.5 |",
        "| seed | 3 |",
        "bomf fuse --method dare_ties --option density=0.5",
        "--seed 3 --base base --member a=0.5 --member b=0.25 --pattern small=1,0 --out DIR",
    ] {
        assert!(card.contains(said), "`{said}` is not in\n{card}");
    }
    // Another base of the same length.
    model(
        here,
        "base",
        &[f32s("large", &[101, 1999], &vector(101 * 1999, 9))],
    );
    let path = here.join("base/model.safetensors");
    let tensors = [
        f32s("large", &[101, 1999], &vector(101 * 1999, 9)),
        f32s("small", &[3], &vector(3, 10)),
        (
            "step".to_owned(),
            "I64",
            vec![1],
            7i64.to_le_bytes().to_vec(),
        ),
    ];
    write(&path, &tensors);
    fuse(here, &["--replay", "c/fusion.json", "--out", "d"])
        .expect_code(2)
        .expect_stderr(&["error[fuse::changed]", "base", "digest"]);
    assert!(!here.join("d").exists());
}

#[test]
fn slerp_has_its_own_t_for_some_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    large_models(here);
    let both = ["--method", "slerp", "--member", "a", "--member", "b"];
    let patterns = ["--pattern", "large=0", "--pattern", "small=1", "--out", "c"];
    fuse(here, &[&both[..], &patterns].concat()).expect_code(0);
    let path = here.join("c/model.safetensors");
    assert_eq!(floats(&path, "large"), vector(101 * 1999, 1));
    assert_eq!(floats(&path, "small"), vector(3, 12));
}

#[test]
fn models_that_do_not_fit_a_method_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    large_models(here);
    model(here, "other", &[f32s("large", &[1], &[1.0])]);
    let mut bad = vector(101 * 1999, 1);
    bad[1999 * 2 + 5] = f32::NAN;
    let step = (
        "step".to_owned(),
        "I64",
        vec![1],
        7i64.to_le_bytes().to_vec(),
    );
    let tensors = [
        f32s("large", &[101, 1999], &bad),
        f32s("small", &[3], &[1.0; 3]),
        step,
    ];
    model(here, "nan", &tensors);
    let refused = |arguments: &[&str], said: &[&str]| {
        fuse(here, &[arguments, &["--out", "x"]].concat())
            .expect_code(2)
            .expect_stderr(said);
        assert!(!here.join("x").exists() && !here.join("x.unfinished").exists());
    };
    let members = ["--member", "a", "--member", "b"];
    let with = |arguments: &[&'static str]| [arguments, &members].concat();
    refused(
        &with(&["--method", "ties"]),
        &[
            "error[fuse::method] --method ties",
            "merges differences from a base: found none",
        ],
    );
    refused(
        &with(&["--base", "base"]),
        &[
            "error[fuse::method] --method linear",
            "found a base, expected none",
        ],
    );
    refused(
        &with(&["--method", "ties", "--base", "other"]),
        &[
            "error[fuse::members]",
            "tensor large",
            "F32 [1]",
            "other",
            "tensor small",
        ],
    );
    refused(
        &with(&["--method", "ties", "--base", "nowhere"]),
        &["error[checkpoint::missing]", "nowhere"],
    );
    refused(
        &with(&[
            "--method",
            "ties",
            "--base",
            "base",
            "--option",
            "densty=0.5",
        ]),
        &[
            "error[config::unknown_key]",
            "densty",
            "did you mean `density`?",
        ],
    );
    refused(
        &with(&[
            "--method",
            "ties",
            "--base",
            "base",
            "--option",
            "density=1.5",
        ]),
        &[
            "error[fuse::method]",
            "`density`: found 1.5, expected a number from 0 to 1",
        ],
    );
    refused(
        &[
            "--method", "slerp", "--member", "a", "--member", "b", "--member", "base",
        ],
        &["`slerp`: found 3 models, expected 2, the base included"],
    );
    refused(
        &["--method", "model_stock", "--base", "base", "--member", "a"],
        &["`model_stock`: found 1 models, expected at least 2 beside the base"],
    );
    refused(
        &with(&["--method", "ties", "--base", "base", "--accumulate", "f64"]),
        &["error[fuse::accumulate]", "`ties` computes in F32"],
    );
    refused(
        &with(&[
            "--method",
            "model_stock",
            "--base",
            "base",
            "--pattern",
            "large=1,2",
        ]),
        &["error[fuse::coefficients]", "none for `model_stock`"],
    );
    refused(
        &[
            "--method", "ties", "--base", "base", "--member", "a", "--member", "nan",
        ],
        &[
            "error[fuse::not_finite]",
            "nan: tensor `large`: found NaN at [2, 5]",
        ],
    );
    Bomf::new(
        here,
        ["fuse", "--method", "tie", "--member", "a", "--out", "x"],
    )
    .output()
    .expect_code(2)
    .expect_stderr(&["ties", "breadcrumbs"]);
    // One member is enough where one makes sense, and the base is compared too.
    let one = [
        "--method",
        "task_arithmetic",
        "--base",
        "base",
        "--member",
        "a=1",
    ];
    fuse(here, &[&one[..], &["--check"]].concat())
        .expect_code(0)
        .expect_stdout(&["1 members and their base of 3 tensors go together"]);
    fuse(here, &[&one[..], &["--out", "one"]].concat()).expect_code(0);
    let found = floats(&here.join("one/model.safetensors"), "small");
    for (found, expected) in found.iter().zip(vector(3, 11)) {
        assert!((found - expected).abs() <= ROUNDING);
    }
}

/// Members of half precision are merged in f32; the output has the type that was chosen.
#[test]
fn types_are_mixed_and_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    model(here, "base", &[f32s("w", &[2], &[1.0, 2.0])]);
    let bf16 = |values: &[f32]| -> Vec<u8> {
        values
            .iter()
            .flat_map(|x| x.to_le_bytes()[2..].to_vec())
            .collect()
    };
    let half = ("w".to_owned(), "BF16", vec![2], bf16(&[3.0, 2.5]));
    model(here, "a", &[half]);
    let doubles: Vec<u8> = [0.0f64, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    model(here, "b", &[("w".to_owned(), "F64", vec![2], doubles)]);
    let given = [
        "--method",
        "task_arithmetic",
        "--base",
        "base",
        "--member",
        "a=1",
        "--member",
        "b=0.5",
    ];
    fuse(
        here,
        &[&given[..], &["--dtype", "f32", "--out", "c"]].concat(),
    )
    .expect_code(0);
    assert_eq!(floats(&here.join("c/model.safetensors"), "w"), [2.5, 3.5]);
    fuse(here, &[&given[..], &["--out", "d"]].concat()).expect_code(0);
    let (header, data) = bomf_tests::safetensors::read(&here.join("d/model.safetensors"));
    assert_eq!(
        (&header["w"]["dtype"], data),
        (&json!("BF16"), bf16(&[2.5, 3.5]))
    );
}

#[test]
fn numbers_that_rules_cannot_hold_are_told_apart_from_infinity() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (name, number) in [("a", 1.0_f64), ("b", 1e39)] {
        let tensor = (
            "w".to_owned(),
            "F64",
            vec![1],
            number.to_le_bytes().to_vec(),
        );
        write(&here.join(format!("{name}.safetensors")), &[tensor]);
    }
    let members = ["--member", "a.safetensors", "--member", "b.safetensors"];
    let method = [
        "fuse", "--method", "slerp", "--option", "t=0.5", "--out", "c",
    ];
    Bomf::new(here, [&method[..], &members].concat())
        .output()
        .expect_code(2)
        .expect_stderr(&["error[fuse::range]", "b.safetensors", "f32"]);
}
