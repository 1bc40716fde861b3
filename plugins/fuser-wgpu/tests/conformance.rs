//! The suite that every fuser has to pass, on whatever adapter is there (a software one does), and what this one promises.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bomf_plugin_api::testkit::fuser::{Abilities, Precision, conformance};
use bomf_plugin_api::{Context, Dtype, Fuser, FuserSession, Member, Tensor, TensorMut, TensorSpec};
use fuser_wgpu::{Backend, Gpu, Options, Session};

const ABILITIES: Abilities = Abilities {
    members: &[Dtype::F32, Dtype::F16, Dtype::Bf16],
    outputs: &[Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::F64],
    reductions: true,
    precision: Precision::Gpu,
};

/// Whether there is an adapter; without one the tests say so, or fail where one is required.
fn there_is_a_gpu() -> bool {
    match Gpu::open(&Options::default()) {
        Ok(_) => true,
        Err(error) if std::env::var_os("REQUIRE_GPU").is_some() => {
            panic!("REQUIRE_GPU is set: {error}")
        }
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            false
        }
    }
}

fn fuser(options: &str) -> Box<dyn Fuser> {
    let context = Context::default();
    fuser_wgpu::library()
        .make_fuser("wgpu", options, &context)
        .unwrap()
}

#[test]
fn conforms() {
    if there_is_a_gpu() {
        conformance(&*fuser("{}"), ABILITIES);
    }
}

#[test]
fn conforms_in_many_chunks() {
    if there_is_a_gpu() {
        conformance(&*fuser(r#"{"buffer_mib": 1}"#), ABILITIES);
    }
}

#[test]
fn conforms_on_opengl() {
    let on_gl = fuser(r#"{"backend": "gl"}"#);
    match on_gl.devices() {
        Ok(_) => conformance(&*on_gl, ABILITIES),
        Err(error) => eprintln!("SKIPPED: {error}"),
    }
}

fn members(count: usize, elements: usize) -> Vec<Member> {
    let member = |m| {
        let values: Vec<f32> = (0..elements)
            .map(|i| ((i * 7 + m * 31) % 97) as f32 - 48.0)
            .collect();
        Member {
            name: format!("m{m}"),
            tensors: vec![Tensor::from_f32("w", &[elements], &values).unwrap()],
        }
    };
    (0..count).map(member).collect()
}

fn fuse(session: &mut dyn FuserSession, coefficients: &[f64], elements: usize) -> Vec<u8> {
    let spec = TensorSpec {
        name: "w".into(),
        dtype: Dtype::F32,
        shape: vec![elements],
    };
    let mut bytes = vec![0; elements * 4];
    let out = TensorMut::new(spec, &mut bytes).unwrap();
    session.fuse(coefficients, &mut [out]).unwrap();
    bytes
}

fn session(options: &Options, members: Vec<Member>) -> Session {
    Session::new(Gpu::open(options).unwrap(), members, vec![]).unwrap()
}

#[test]
fn chunks_change_nothing() {
    if !there_is_a_gpu() {
        return;
    }
    let small = Options {
        buffer_mib: Some(1),
        ..Options::default()
    };
    // One MiB holds some 65,000 elements of four members: three chunks and a rest.
    let elements = 200_003;
    let mut whole = session(&Options::default(), members(4, elements));
    let mut parts = session(&small, members(4, elements));
    assert_eq!((whole.chunks(), parts.chunks()), (1, 4));
    let coefficients = [0.5, -1.25, 0.0, 2.0];
    let fused = [&mut whole, &mut parts].map(|session| fuse(session, &coefficients, elements));
    assert!(fused[0] == fused[1]);
    // Whole numbers that are small enough: every sum is exact.
    let gradient = members(9, elements).pop().unwrap().tensors;
    let projected = [&mut whole, &mut parts].map(|session| session.project(&gradient).unwrap());
    assert_eq!(projected[0], projected[1]);
}

#[test]
fn after_the_members_only_coefficients_are_uploaded() {
    if !there_is_a_gpu() {
        return;
    }
    let mut session = session(&Options::default(), members(3, 1000));
    let members_alone = session.uploaded();
    assert!(members_alone >= 3 * 1000 * 4);
    for call in 1..=5 {
        fuse(&mut session, &[0.2, 0.3, 0.5], 1000);
        assert_eq!(session.uploaded() - members_alone, call * 3 * 4);
    }
    session.gram().unwrap();
    assert_eq!(session.uploaded() - members_alone, 5 * 3 * 4);
}

#[test]
fn f64_is_refused_by_name() {
    if !there_is_a_gpu() {
        return;
    }
    let spec = TensorSpec {
        name: "w".into(),
        dtype: Dtype::F64,
        shape: vec![1],
    };
    let data = bomf_plugin_api::SharedBytes::new(vec![0; 8]);
    let member = Member {
        name: "m".into(),
        tensors: vec![Tensor::new(spec, data).unwrap()],
    };
    let error = fuser("{}").open(vec![member], vec![]).err().unwrap();
    assert!(error.message.contains("`w`: found F64"), "{error}");
    assert!(error.hint.unwrap().contains("use: cpu"));
}

/// What a driver does that keeps the compensation: far better than what is promised of all.
#[test]
fn a_software_gpu_keeps_the_compensation() {
    let device = fuser("{}").devices();
    if !device.is_ok_and(|found| found[0].kind == bomf_plugin_api::FuserDeviceKind::Software) {
        eprintln!("SKIPPED: this is no software adapter");
        return;
    }
    // Members that differ by little, and the first one by a thousand times that.
    let elements = 100_000;
    let value = |m: usize, i: usize| {
        let noise = ((i * 7919 + m * 104_729) % 1009) as f32 / 1009.0 - 0.5;
        1.0 + if m == 0 { noise * 0.1 } else { noise * 1e-4 }
    };
    let rows: Vec<Vec<f32>> = (0..5)
        .map(|m| (0..elements).map(|i| value(m, i)).collect())
        .collect();
    let members = rows.iter().map(|row| Member {
        name: "m".into(),
        tensors: vec![Tensor::from_f32("w", &[elements], row).unwrap()],
    });
    let gram = session(&Options::default(), members.collect())
        .gram()
        .unwrap();
    let centred = |m: usize, i: usize| {
        let mean = rows.iter().map(|row| f64::from(row[i])).sum::<f64>() / 5.0;
        f64::from(rows[m][i]) - mean
    };
    for i in 0..5 {
        for j in 0..5 {
            let expected: f64 = (0..elements).map(|e| centred(i, e) * centred(j, e)).sum();
            let error = (gram[i * 5 + j] - expected).abs() / gram[i * 6].max(gram[j * 6]);
            assert!(error < 1e-7, "({i}, {j}): {error:e}");
        }
    }
}

#[test]
fn an_adapter_that_is_not_there_is_an_error_that_names_those_that_are() {
    for options in [
        Options {
            adapter: Some("no such adapter".into()),
            ..Options::default()
        },
        Options {
            backend: Some(if cfg!(target_os = "macos") {
                Backend::Dx12
            } else {
                Backend::Metal
            }),
            ..Options::default()
        },
    ] {
        let error = Gpu::open(&options).err().unwrap();
        assert!(error.message.contains("adapters:"), "{error}");
    }
}
