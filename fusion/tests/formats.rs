//! What reference tools write is read as they read it; what attackers write is refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use fusion::{Checkpoint, Dtype, Error};
use proptest::prelude::*;
use serde_json::{Value, json};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// All elements of a tensor, read in steps of `step`.
fn values(checkpoint: &Checkpoint, name: &str, step: usize) -> Vec<f64> {
    let tensor = checkpoint.tensor(name).unwrap();
    let mut values = Vec::new();
    for start in (0..tensor.elements()).step_by(step) {
        let count = step.min(tensor.elements() - start);
        let mut bytes = vec![0; count * tensor.dtype.size()];
        checkpoint
            .read(tensor, start, &mut bytes, &mut Vec::new())
            .unwrap();
        values.extend(
            bytes
                .chunks(tensor.dtype.size())
                .map(|b| number(tensor.dtype, b)),
        );
    }
    values
}

fn number(dtype: Dtype, b: &[u8]) -> f64 {
    match dtype {
        Dtype::I64 => i64::from_le_bytes(b.try_into().unwrap()) as f64,
        Dtype::Bool => f64::from(b[0]),
        _ => {
            let mut out = [0f64];
            fusion::kernel::read(fusion::kernel::Level::best(), b, dtype, &mut out);
            out[0]
        }
    }
}

fn check_golden(file: &str, part: &str, step: usize) -> Checkpoint {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(golden("expected.json")).unwrap()).unwrap();
    let checkpoint = Checkpoint::open(&golden(file)).unwrap();
    let tensors = expected[part].as_object().unwrap();
    assert!(tensors.len() >= 6);
    for (name, tensor) in tensors {
        assert_eq!(
            json!(checkpoint.tensor(name).unwrap().shape),
            tensor["shape"],
            "{name}"
        );
        let numbers = tensor["values"].as_array().unwrap().iter();
        let numbers: Vec<f64> = numbers.map(|x| x.as_f64().unwrap()).collect();
        assert_eq!(values(&checkpoint, name, step), numbers, "{name}");
    }
    checkpoint
}

#[test]
fn state_dicts_of_torch_are_read_as_torch_does() {
    let checkpoint = check_golden("state.bin", "torch", 4);
    assert_eq!(
        checkpoint.aliases().get("head.weight").unwrap(),
        "embed.weight"
    );
    assert_eq!(checkpoint.tensor("brain").unwrap().dtype, Dtype::Bf16);
}

#[test]
fn gguf_is_dequantised_as_its_own_library_does() {
    let checkpoint = check_golden("quantised.gguf", "gguf", 32);
    assert_eq!(
        checkpoint.tensor("Q4_0").unwrap().stored_as(),
        "Q4_0 read as F32"
    );
}

#[test]
fn files_of_old_torch_are_refused_with_what_to_do() {
    let error = Checkpoint::open(&golden("legacy.pt")).unwrap_err();
    assert_eq!(error.code, "checkpoint::legacy");
    assert!(error.hint.unwrap().contains("save it again"));
}

fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.resize(file.len() + data, 1);
    file
}

fn open(name: &str, bytes: &[u8]) -> Result<Checkpoint, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    Checkpoint::open(&path)
}

#[test]
fn attacks_on_safetensors_are_refused_with_tensor_and_offset() {
    let one = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    assert!(open("x.safetensors", &safetensors(one, 8)).is_ok());
    let attacks = [
        (one.to_owned(), 7, "`a`"),
        (one.to_owned(), 9, "9 bytes of data"),
        (one.replace("[2]", "[3]"), 8, "`a`, offset 0"),
        (one.replace("[2]", "[4611686018427387905,4]"), 8, "`a`"),
        (one.replace("[0,8]", "[8,0]"), 8, "`a`, offset 8"),
        (one.replace("[0,8]", "[0,18446744073709551615]"), 8, "`a`"),
        (one.replace("F32", "F33"), 8, "`F33`"),
        (one.replace("[2]", "[-2]"), 8, "`a`"),
        (r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[6],"data_offsets":[2,8]}}"#.to_owned(), 8, "`b`"),
        (r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#.to_owned(), 8, "`a`"),
        (r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}"#.to_owned(), 8, "twice"),
        ("[".repeat(100_000), 8, "offset 8"),
        (format!("{{\"a\":{}", "[".repeat(100_000)), 8, "offset 8"),
    ];
    for (header, data, expected) in attacks {
        let error = open("x.safetensors", &safetensors(&header, data)).unwrap_err();
        assert_eq!(error.code, "checkpoint::header");
        assert!(error.message.contains(expected), "{expected}: {error}");
    }
    let mut long = u64::MAX.to_le_bytes().to_vec();
    long.extend(b"{}");
    assert!(
        open("x.safetensors", &long)
            .unwrap_err()
            .message
            .contains("offset 0")
    );
}

#[test]
fn a_pickle_that_would_run_something_is_refused() {
    let archive = |pickle: &[u8]| {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let stored = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        zip.start_file("x/data.pkl", stored).unwrap();
        std::io::Write::write_all(&mut zip, pickle).unwrap();
        zip.finish().unwrap().into_inner()
    };
    let attacks: [(&[u8], &str); 7] = [
        (b"\x80\x02cos\nsystem\n(X\x04\0\0\0echotR.", "`os.system`"),
        (b"\x80\x02c__builtin__\neval\n.", "`__builtin__.eval`"),
        (b"\x80\x02}.", "no tensor"),
        (b"\x80\x02Pabc\n.", "0x50"),
        (b"\x80\x02X\xff\xff\xff\xffabc", "to the end"),
        (b"\x80\x02t.", "no mark"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "a call"),
    ];
    for (pickle, expected) in attacks {
        let error = open("x.bin", &archive(pickle)).unwrap_err();
        assert!(error.message.contains(expected), "{expected}: {error}");
    }
    // Nesting without end uses no stack.
    let mut deep = b"\x80\x02)".to_vec();
    deep.extend([0x85].repeat(1_000_000));
    deep.push(b'.');
    assert!(open("x.bin", &archive(&deep)).is_err());
}

/// An archive as `torch.save` writes it: this pickle, and one storage of four f32.
fn saved(pickle: &[u8], compression: zip::CompressionMethod) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = |method| zip::write::SimpleFileOptions::default().compression_method(method);
    let mut entry = |name: &str, method, bytes: &[u8]| {
        zip.start_file(name, options(method)).unwrap();
        std::io::Write::write_all(&mut zip, bytes).unwrap();
    };
    entry("x/data.pkl", compression, pickle);
    entry("x/data/0", zip::CompressionMethod::Stored, &[0; 16]);
    zip.finish().unwrap().into_inner()
}

/// The instructions that push a text.
fn text(text: &str) -> Vec<u8> {
    let length = (text.len() as u32).to_le_bytes();
    [b"X", &length[..], text.as_bytes()].concat()
}

/// The instructions that push a tensor of that storage; `metadata` come last in its call.
fn tensor(metadata: &[u8]) -> Vec<u8> {
    let storage = [
        b"(".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        b"K\x04tQ".to_vec(),
    ];
    [
        &b"ctorch._utils\n_rebuild_tensor_v2\n("[..],
        &storage.concat(),
        b"K\x00K\x04\x85K\x01\x85\x89ccollections\nOrderedDict\n)R",
        metadata,
        b"tR",
    ]
    .concat()
}

#[test]
fn weights_that_would_be_lost_or_changed_are_refused() {
    use zip::CompressionMethod::{Deflated, Stored};
    let dictionary = |entries: &[&[u8]]| [b"}(", &entries.concat()[..], b"u"].concat();
    let whole = |value: &[u8]| [b"\x80\x02", value, b"."].concat();
    let plain = whole(&dictionary(&[&text("a"), &tensor(b"}")]));
    let found = open("x.bin", &saved(&plain, Stored)).unwrap();
    assert_eq!(found.tensors()[0].shape, [4]);
    let negated = [b"}", &text("neg")[..], b"\x88s"].concat();
    let inner = dictionary(&[&text("x"), &tensor(b"")]);
    let cases = [
        (dictionary(&[&text("a"), &tensor(&negated)]), "resolve_neg"),
        (
            dictionary(&[&text("a"), &tensor(b""), &text("sub"), &inner]),
            "inside `sub`",
        ),
        (dictionary(&[b"K\x01", &tensor(b"")]), "without a text"),
        // Instructions that push, and nothing else.
        (b")".repeat(10_000_000), "more than"),
    ];
    for (value, expected) in cases {
        let error = open("x.bin", &saved(&whole(&value), Stored)).unwrap_err();
        assert!(error.message.contains(expected), "{expected}: {error}");
    }
    let error = open("x.bin", &saved(&plain, Deflated)).unwrap_err();
    assert!(error.message.contains("compressed"), "{error}");
}

#[test]
fn an_index_cannot_lead_out_of_its_folder() {
    for file in ["../x.safetensors", "/etc/passwd", "a/b.safetensors", ".."] {
        let index = json!({"weight_map": {"a": file}}).to_string();
        let error = open("model.safetensors.index.json", index.as_bytes()).unwrap_err();
        assert_eq!(error.code, "checkpoint::index");
    }
}

#[test]
fn every_cut_and_every_flipped_byte_is_an_error_or_a_checkpoint() {
    for name in ["state.bin", "quantised.gguf"] {
        let whole = std::fs::read(golden(name)).unwrap();
        // A GGUF file may end with padding, which nobody misses.
        for length in (0..whole.len() - 32).step_by(13) {
            assert!(
                open(name, &whole[..length]).is_err(),
                "{name} cut to {length} bytes"
            );
        }
        for at in (0..whole.len()).step_by(11) {
            let mut broken = whole.clone();
            broken[at] ^= 0xff;
            if let Ok(checkpoint) = open(name, &broken) {
                assert!(!checkpoint.tensors().is_empty());
            }
        }
    }
}

#[test]
fn a_member_that_changes_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let bytes = safetensors(
        r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
        8,
    );
    std::fs::write(&path, &bytes).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    checkpoint.check_unchanged().unwrap();
    let other = folder.path().join("other");
    std::fs::write(&other, &bytes).unwrap();
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(
        checkpoint.check_unchanged().unwrap_err().code,
        "checkpoint::changed"
    );
    std::fs::write(&path, &bytes[..9]).unwrap();
    assert!(checkpoint.check_unchanged().is_err());
}

proptest! {
    #[test]
    fn garbage_is_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let magic: [&[u8]; 3] = [b"", b"GGUF\x03\0\0\0", b"PK\x03\x04"];
        let start = magic[bytes.len() % 3];
        bytes.splice(0..0, start.iter().copied());
        prop_assert!(open("x.bin", &bytes).is_err());
    }
}
