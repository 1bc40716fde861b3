//! `bomf fuse` with LoRA adapters, from outside: PEFT's numbers, ranks and scales that differ, adapters into models.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;

use bomf_tests::safetensors::{f32s, files, floats, read, write};
use bomf_tests::{Bomf, Output};
use serde_json::{Value, json};

/// Sums of products of f32 in another order, on numbers up to about 10.
const ROUNDING: f32 = 2e-5;

fn golden() -> Value {
    serde_json::from_str(include_str!("../goldens/adapters.json")).unwrap()
}

fn list(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn shape(value: &Value) -> Vec<usize> {
    serde_json::from_value(value.clone()).unwrap()
}

fn write_tensors(path: &Path, tensors: &Value) {
    let tensors = tensors.as_object().unwrap().iter();
    let tensors: Vec<_> = tensors
        .map(|(name, tensor)| f32s(name, &shape(&tensor["shape"]), &list(&tensor["values"])))
        .collect();
    write(path, &tensors);
}

fn write_adapter(folder: &Path, adapter: &Value) {
    std::fs::create_dir_all(folder).unwrap();
    write_tensors(
        &folder.join("adapter_model.safetensors"),
        &adapter["tensors"],
    );
    let config = adapter["config"].to_string();
    std::fs::write(folder.join("adapter_config.json"), config).unwrap();
}

/// All adapters and the base of the goldens.
fn write_goldens(here: &Path) -> Value {
    let golden = golden();
    for (name, adapter) in golden["adapters"].as_object().unwrap() {
        write_adapter(&here.join(name), adapter);
    }
    write_base(here, "base", &golden["base"]);
    golden
}

fn write_base(here: &Path, name: &str, tensors: &Value) {
    std::fs::create_dir_all(here.join(name)).unwrap();
    write_tensors(&here.join(name).join("model.safetensors"), tensors);
    std::fs::write(
        here.join(name).join("config.json"),
        r#"{"model_type": "tiny"}"#,
    )
    .unwrap();
}

fn fuse(here: &Path, arguments: &[&str]) -> Output {
    Bomf::new(here, [&["fuse"], arguments].concat()).output()
}

/// `--member a=0.5` for each member of a golden case, whose coefficients may be changed.
fn members(case: &Value, change: impl Fn(f64) -> f64) -> Vec<String> {
    let members = case["members"].as_object().unwrap().iter();
    members
        .flat_map(|(name, weight)| {
            let coefficient = change(weight.as_f64().unwrap());
            ["--member".to_owned(), format!("{name}={coefficient}")]
        })
        .collect()
}

fn words(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

fn expect_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        assert!(
            error <= ROUNDING,
            "{what}, element {at}: found {found}, expected {expected}"
        );
    }
}

/// `scale * B A` of a module, `[outputs, inputs]`, as the settings beside the factors say.
fn delta(folder: &Path, module: &str) -> (Vec<f32>, usize, usize) {
    let config = config(folder);
    let path = folder.join("adapter_model.safetensors");
    let (header, _) = read(&path);
    let ends = [
        [".lora_A.weight", ".lora_B.weight"],
        [".lora_embedding_A", ".lora_embedding_B"],
    ];
    let names = ends.map(|ends| ends.map(|end| format!("base_model.model.{module}{end}")));
    let [a_name, b_name] = names.iter().find(|[a, _]| !header[a].is_null()).unwrap();
    let (a, b) = (floats(&path, a_name), floats(&path, b_name));
    let (a_shape, b_shape) = (
        shape(&header[a_name]["shape"]),
        shape(&header[b_name]["shape"]),
    );
    let (rank, inputs, outputs) = (a_shape[0], a_shape[1], b_shape[0]);
    assert_eq!(b_shape[1], rank);
    let special = |pattern: &str, value: &str| {
        let own = &config[pattern][module];
        if own.is_null() {
            config[value].as_f64()
        } else {
            own.as_f64()
        }
        .unwrap()
    };
    assert_eq!(special("rank_pattern", "r"), rank as f64, "{module}");
    let divisor = match config["use_rslora"] == json!(true) {
        true => (rank as f64).sqrt(),
        false => rank as f64,
    };
    let scale = (special("alpha_pattern", "lora_alpha") / divisor) as f32;
    let mut product = vec![0.0; outputs * inputs];
    for (row, out) in product.chunks_mut(inputs).enumerate() {
        for (column, out) in out.iter_mut().enumerate() {
            let terms = (0..rank).map(|k| b[row * rank + k] * a[k * inputs + column]);
            *out = scale * terms.sum::<f32>();
        }
    }
    (product, outputs, inputs)
}

fn config(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("adapter_config.json")).unwrap()).unwrap()
}

fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let column = |column: usize| matrix.iter().skip(column).step_by(columns);
    (0..columns).flat_map(column).copied().collect()
}

#[test]
fn averages_are_those_of_peft_and_can_be_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let golden = write_goldens(here);
    for (number, case) in golden["averages"].as_array().unwrap().iter().enumerate() {
        let (out, again) = (format!("out{number}"), format!("again{number}"));
        // PEFT multiplies both factors by the root of a weight, and by its sign one of them.
        let kind = case["kind"].as_str().unwrap();
        let members = match kind {
            "linear" => members(case, |weight| weight.abs().sqrt()),
            _ => members(case, |weight| weight),
        };
        let is_negative = case["members"]["d"]
            .as_f64()
            .is_some_and(|weight| weight < 0.0);
        let mut arguments = words(&members);
        arguments.extend(match kind {
            "linear" if is_negative => {
                // Patterns have coefficients for one of the factors.
                vec!["--pattern", "*_A*=0.8366600265340756,-0.6324555320336759"]
            }
            "linear" => vec![],
            "cat" => vec!["--lora", "products", "--rank", "5"],
            _ if case["rank"] == 2 => vec!["--lora", "products", "--rank", "2"],
            _ => vec!["--lora", "products"],
        });
        arguments.extend(["--out", &out]);
        fuse(here, &arguments).expect_code(0);
        for (module, expected) in case["deltas"].as_object().unwrap() {
            let (found, outputs, inputs) = delta(&here.join(&out), module);
            let is_plain = shape(&expected["shape"]) == [outputs, inputs];
            let found = if is_plain {
                found
            } else {
                transposed(&found, inputs)
            };
            let what = format!("{kind}, {}, {module}", case["members"]);
            expect_close(&found, &list(&expected["values"]), &what);
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

#[test]
fn models_with_adapters_in_them_are_those_of_peft() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let golden = write_goldens(here);
    for (number, case) in golden["merges"].as_array().unwrap().iter().enumerate() {
        let out = format!("out{number}");
        let members = members(case, |weight| weight);
        let arguments = [&words(&members)[..], &["--into", "base", "--out", &out]].concat();
        let output = fuse(here, &arguments).expect_code(0);
        let changes_embeddings = case["members"]["a"].is_number();
        let warns = output
            .stderr
            .contains("if the model ties its head to these embeddings");
        assert_eq!(warns, changes_embeddings, "{}", output.stderr);
        let path = here.join(&out).join("model.safetensors");
        let merged = case["merged"].as_object().unwrap();
        assert_eq!(merged.len(), read(&path).0.as_object().unwrap().len() - 1);
        for (name, expected) in merged {
            let what = format!("{}, {name}", case["members"]);
            expect_close(&floats(&path, name), &list(&expected["values"]), &what);
        }
        let again = format!("again{number}");
        let record = format!("{out}/fusion.json");
        fuse(
            here,
            &[
                "--replay",
                &record,
                "--threads",
                "1",
                "--memory",
                "1MiB",
                "--out",
                &again,
            ],
        )
        .expect_code(0);
        assert_eq!(files(&here.join(&out)), files(&here.join(&again)));
    }
    let card = std::fs::read_to_string(here.join("out1/README.md")).unwrap();
    for said in [
        "library_name: transformers\n",
        "3 LoRA adapters, added to their base",
        "| base | base | model.safetensors (safetensors) |",
        "bomf fuse --method linear --option normalize=false --into base --member a=0.7",
    ] {
        assert!(card.contains(said), "`{said}` is not in\n{card}");
    }
    assert!(here.join("out1/config.json").is_file());
    assert!(!here.join("out1/adapter_config.json").exists());
}

/// GPT-2 was saved without its head: names lack `transformer.`, and square weights lie `[inputs, outputs]`.
#[test]
fn names_and_axes_of_gpt2_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let tensors = json!({
        "h.0.attn.c_proj.weight": {"shape": [2, 2], "values": [0, 0, 0, 0]},
        "ln_f.weight": {"shape": [2], "values": [1, 2]},
    });
    write_base(here, "base", &tensors);
    std::fs::write(here.join("base/config.json"), r#"{"model_type": "gpt2"}"#).unwrap();
    let name = "base_model.model.transformer.h.0.attn.c_proj";
    let adapter = |save: Value| {
        json!({
            "config": {"peft_type": "LORA", "r": 1, "lora_alpha": 2, "modules_to_save": save},
            "tensors": {
                format!("{name}.lora_A.weight"): {"shape": [1, 2], "values": [1, 10]},
                format!("{name}.lora_B.weight"): {"shape": [2, 1], "values": [1, 2]},
                "base_model.model.score.weight": {"shape": [1, 2], "values": [7, 8]},
            },
        })
    };
    write_adapter(&here.join("a"), &adapter(json!(["score"])));
    fuse(here, &["--member", "a", "--into", "base", "--out", "out"]).expect_code(0);
    let path = here.join("out/model.safetensors");
    // B A = [[1, 10], [2, 20]], transposed. With the head it is the model that the adapter was trained on.
    let found = floats(&path, "transformer.h.0.attn.c_proj.weight");
    assert_eq!(found, [2.0, 4.0, 20.0, 40.0]);
    assert_eq!(floats(&path, "transformer.ln_f.weight"), [1.0, 2.0]);
    assert_eq!(floats(&path, "score.weight"), [7.0, 8.0]);
    // A head that nothing says was trained is one that the base lacks.
    write_adapter(&here.join("b"), &adapter(Value::Null));
    fuse(here, &["--member", "b", "--into", "base", "--out", "x"])
        .expect_code(2)
        .expect_stderr(&[
            "error[fuse::adapter]",
            "score.weight",
            "found no such tensor in",
        ]);
}

#[test]
fn settings_of_the_result_are_those_of_its_factors() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_goldens(here);
    // Ranks, scales and modules differ: what the first adapter says, and exceptions by name.
    fuse(
        here,
        &["--member", "b=0.5", "--member", "c=0.5", "--out", "factors"],
    )
    .expect_code(0);
    let config = config(&here.join("factors"));
    assert_eq!(
        (&config["r"], &config["use_rslora"]),
        (&json!(3), &json!(true))
    );
    assert_eq!(config["rank_pattern"], json!({"embed": 1}));
    let names: Vec<&str> = vec!["block.attention", "block.mix", "block.square", "embed"];
    assert_eq!(config["target_modules"], json!(names));
    for module in names {
        delta(&here.join("factors"), module);
    }
    // One adapter alone stays what it is.
    fuse(here, &["--member", "c=1", "--out", "one"]).expect_code(0);
    for module in ["embed", "block.attention", "block.mix", "block.square"] {
        let (found, ..) = delta(&here.join("one"), module);
        let (tensors, adapter) = (here.join("one/adapter_model.safetensors"), here.join("c"));
        let name = format!("base_model.model.{module}.lora_A.weight");
        if module != "embed" {
            let original = floats(&adapter.join("adapter_model.safetensors"), &name);
            assert_eq!(floats(&tensors, &name), original);
        }
        assert!(found.iter().any(|value| *value != 0.0));
    }
    // Products: one rank for all, and what was lost.
    let products = [
        "--member", "a=0.5", "--member", "c=0.5", "--lora", "products", "--rank", "1",
    ];
    fuse(here, &[&products[..], &["--out", "products"]].concat()).expect_code(0);
    let config: BTreeMap<String, Value> =
        serde_json::from_value(self::config(&here.join("products"))).unwrap();
    assert_eq!(
        (&config["r"], &config["lora_alpha"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (&config["rank_pattern"], &config["alpha_pattern"]),
        (&json!({}), &json!({}))
    );
    let record: Value =
        serde_json::from_slice(&std::fs::read(here.join("products/fusion.json")).unwrap()).unwrap();
    let lost = &record["truncation"];
    let of = |module: &str| lost["modules"][module].as_f64().unwrap();
    assert!(
        of("block.attention") > 0.1 && of("block.attention") < 1.0,
        "{lost}"
    );
    assert!(lost["overall"].as_f64().unwrap() > 0.1, "{lost}");
    let card = std::fs::read_to_string(here.join("products/README.md")).unwrap();
    assert!(
        card.contains("taken apart at rank 1 (relative error"),
        "{card}"
    );
    assert!(card.contains("library_name: peft\n"), "{card}");
}

/// Factors of many blocks, whose ranks and scales differ.
#[test]
fn smaller_ranks_are_filled_up_with_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (inputs, outputs) = (5003, 4001);
    let vector = |elements: usize, salt: usize| -> Vec<f32> {
        let element = |k: usize| ((k * 7919 + salt * 104_729) % 613) as f32 / 307.0 - 1.0;
        (0..elements).map(element).collect()
    };
    let names = ["A", "B"].map(|factor| format!("base_model.model.m.lora_{factor}.weight"));
    let mut factors = Vec::new();
    for (adapter, rank, alpha) in [("a", 1, 4), ("b", 3, 3)] {
        let (a, b) = (
            vector(rank * inputs, rank),
            vector(outputs * rank, rank + 9),
        );
        std::fs::create_dir_all(here.join(adapter)).unwrap();
        let tensors = [
            f32s(&names[0], &[rank, inputs], &a),
            f32s(&names[1], &[outputs, rank], &b),
        ];
        write(
            &here.join(adapter).join("adapter_model.safetensors"),
            &tensors,
        );
        let config =
            json!({"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": ["m"]});
        std::fs::write(
            here.join(adapter).join("adapter_config.json"),
            config.to_string(),
        )
        .unwrap();
        factors.push((a, b));
    }
    let members = ["--member", "a=0.5", "--member", "b=0.25"];
    fuse(
        here,
        &[&members[..], &["--memory", "1MiB", "--out", "c"]].concat(),
    )
    .expect_code(0);
    assert_eq!(
        (
            &config(&here.join("c"))["r"],
            &config(&here.join("c"))["lora_alpha"]
        ),
        (&json!(3), &json!(12))
    );
    let path = here.join("c/adapter_model.safetensors");
    // The scales are 4 and 1: what is folded into the second one's factors is the root of a quarter.
    let expected_a: Vec<f32> = (0..3 * inputs)
        .map(|k| 0.5 * factors[0].0.get(k).unwrap_or(&0.0) + 0.125 * factors[1].0[k])
        .collect();
    let expected_b: Vec<f32> = (0..outputs * 3)
        .map(|k| {
            let first = if k % 3 == 0 { factors[0].1[k / 3] } else { 0.0 };
            0.5 * first + 0.125 * factors[1].1[k]
        })
        .collect();
    assert_eq!(floats(&path, &names[0]), expected_a);
    assert_eq!(floats(&path, &names[1]), expected_b);
}

/// An adapter of one module with a bias at its factor `B`.
fn write_biased(here: &Path, name: &str, alpha: f32, bias: f32) {
    let module = "base_model.model.layer";
    let tensors = [
        f32s(&format!("{module}.lora_A.weight"), &[1, 2], &[1.0, 0.0]),
        f32s(&format!("{module}.lora_B.weight"), &[2, 1], &[1.0, 2.0]),
        f32s(&format!("{module}.lora_B.bias"), &[2], &[bias, -bias]),
    ];
    std::fs::create_dir_all(here.join(name)).unwrap();
    write(&here.join(name).join("adapter_model.safetensors"), &tensors);
    let config = json!({
        "peft_type": "LORA", "r": 1, "lora_alpha": alpha, "lora_bias": true,
        "target_modules": ["layer"],
    });
    let path = here.join(name).join("adapter_config.json");
    std::fs::write(path, config.to_string()).unwrap();
}

#[test]
fn biases_of_factors_are_scaled_as_their_products_are() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_biased(here, "a", 4.0, 1.0);
    write_biased(here, "b", 1.0, 2.0);
    for way in ["factors", "products"] {
        let members = ["--member", "a=0.5", "--member", "b=0.5"];
        let out = ["--lora", way, "--out", way];
        fuse(here, &[&members[..], &out].concat()).expect_code(0);
        let weights = here.join(way).join("adapter_model.safetensors");
        let bias = floats(&weights, "base_model.model.layer.lora_B.bias");
        let config = config(&here.join(way));
        let rank = config["r"].as_f64().unwrap() as f32;
        let scale = config["lora_alpha"].as_f64().unwrap() as f32 / rank;
        // 0.5 * 4 * 1 + 0.5 * 1 * 2.
        expect_close(&[scale * bias[0], scale * bias[1]], &[3.0, -3.0], way);
    }
    // Settings beside the weights decide about them.
    write_biased(here, "b", 8.0, 2.0);
    fuse(here, &["--replay", "factors/fusion.json", "--out", "again"])
        .expect_code(2)
        .expect_stderr(&["error[fuse::changed]", "adapter_config.json"]);
}

#[test]
fn products_beyond_all_numbers_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_biased(here, "a", 4.0, 1.0);
    let members = ["--member", "a=1e308", "--member", "a=1e308"];
    let out = ["--lora", "products", "--out", "x"];
    fuse(here, &[&members[..], &out].concat())
        .expect_code(2)
        .expect_stderr(&["error[fuse::overflow]", "layer"]);
}

#[test]
fn what_is_no_plain_lora_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let golden = write_goldens(here);
    let refused = |arguments: &[&str], said: &[&str]| {
        fuse(here, &[arguments, &["--out", "x"]].concat())
            .expect_code(2)
            .expect_stderr(said);
        assert!(!here.join("x").exists() && !here.join("x.unfinished").exists());
    };
    refused(
        &["--member", "dora", "--into", "base"],
        &[
            "error[fuse::adapter]",
            "found a DoRA adapter",
            "merge_and_unload",
        ],
    );
    refused(
        &["--member", "dora", "--lora", "products"],
        &[
            "error[fuse::adapter]",
            "found a DoRA adapter",
            "--lora factors",
        ],
    );
    refused(
        &["--member", "dora", "--member", "a"],
        &["error[fuse::members]", "adapter_config.json use_dora"],
    );
    refused(
        &["--member", "a", "--member", "h"],
        &[
            "error[fuse::members]",
            "tensor base_model.model.head.weight",
        ],
    );
    refused(
        &["--member", "base", "--into", "base"],
        &["found no `adapter_config.json`"],
    );
    refused(
        &["--member", "a", "--into", "h"],
        &["error[fuse::adapter]", "found no `block.attention.weight`"],
    );
    refused(
        &["--member", "a", "--member", "d", "--rank", "2"],
        &["error[fuse::rank]", "--lora products"],
    );
    refused(
        &[
            "--member", "a", "--member", "d", "--method", "slerp", "--lora", "products",
        ],
        &["error[fuse::method] --method slerp", "`linear` alone"],
    );
    let mut odd = golden["adapters"]["a"].clone();
    odd["config"]["init_lora_weights"] = json!("pissa");
    write_adapter(&here.join("pissa"), &odd);
    refused(
        &["--member", "pissa", "--into", "base"],
        &["`init_lora_weights` \"pissa\""],
    );
    let mut odd = golden["adapters"]["a"].clone();
    odd["tensors"]["base_model.model.block.mix.lora_A.weight"] =
        json!({"shape": [2, 3], "values": [0, 0, 0, 0, 0, 0]});
    write_adapter(&here.join("narrow"), &odd);
    refused(
        &["--member", "narrow", "--into", "base"],
        &[
            "block.mix.lora_A.weight",
            "[2, 3]",
            "expected those of its shape",
        ],
    );
    refused(
        &["--member", "a", "--member", "narrow"],
        &["error[fuse::adapter]", "[2, 3]", "[2, 4]"],
    );
    let mut odd = golden["adapters"]["a"].clone();
    odd["tensors"]["base_model.model.block.mix.lora_B.weight"]["values"][3] = json!(1e39);
    write_adapter(&here.join("inf"), &odd);
    for ways in [
        &["--into", "base"][..],
        &["--lora", "products"],
        &["--lora", "factors"],
    ] {
        refused(
            &[&["--member", "inf"], ways].concat(),
            &[
                "error[fuse::not_finite]",
                "block.mix.lora_B.weight`: found inf at [1, 1]",
            ],
        );
    }
}
