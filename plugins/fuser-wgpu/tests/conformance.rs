//! The suite that every fuser has to pass, on whatever adapter is there (a software one does), and what this one promises.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bomf_plugin_api::testkit::fuser::{Abilities, conformance};
use bomf_plugin_api::{Context, Dtype, Fuser, FuserSession, Member, Tensor, TensorMut, TensorSpec};
use fuser_wgpu::{Gpu, Session};

const ABILITIES: Abilities = Abilities {
    members: &[Dtype::F32, Dtype::F16, Dtype::Bf16],
    outputs: &[Dtype::F32],
    reductions: false,
};

/// Whether there is an adapter; without one the tests say so, or fail where one is required.
fn there_is_a_gpu() -> bool {
    match Gpu::open(None) {
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
    fuser_wgpu::library()
        .make_fuser("wgpu", options, &Context::default())
        .unwrap()
}

#[test]
fn conforms() {
    if there_is_a_gpu() {
        conformance(&*fuser("{}"), ABILITIES);
    }
}

fn members(count: usize, elements: usize) -> Vec<Member> {
    (0..count)
        .map(|m| {
            let values: Vec<f32> = (0..elements)
                .map(|i| ((i * 7 + m * 31) % 97) as f32 - 48.0)
                .collect();
            let tensor = Tensor::from_f32("w", &[elements], &values).unwrap();
            Member {
                name: format!("m{m}"),
                tensors: vec![tensor],
            }
        })
        .collect()
}

fn fuse(session: &mut dyn FuserSession, coefficients: &[f64], elements: usize) -> Vec<u8> {
    let spec = TensorSpec {
        name: "w".into(),
        dtype: Dtype::F32,
        shape: vec![elements],
    };
    let mut bytes = vec![0; elements * 4];
    session
        .fuse(
            coefficients,
            &mut [TensorMut::new(spec, &mut bytes).unwrap()],
        )
        .unwrap();
    bytes
}

#[test]
fn chunks_change_nothing() {
    if !there_is_a_gpu() {
        return;
    }
    // One MiB holds some 65,000 elements of four members: three chunks and a rest.
    let (members, elements) = (members(4, 200_003), 200_003);
    let coefficients = [0.5, -1.25, 0.0, 2.0];
    let whole = fuse(
        &mut *fuser("{}").open(members.clone(), vec![]).unwrap(),
        &coefficients,
        elements,
    );
    let parts = fuse(
        &mut *fuser(r#"{"buffer_mib": 1}"#).open(members, vec![]).unwrap(),
        &coefficients,
        elements,
    );
    assert!(whole == parts);
}

#[test]
fn after_the_members_only_coefficients_are_uploaded() {
    if !there_is_a_gpu() {
        return;
    }
    let mut session =
        Session::new(Gpu::open(None).unwrap(), &members(3, 1000), &[], u64::MAX).unwrap();
    let members_alone = session.uploaded();
    assert!(members_alone >= 3 * 1000 * 4);
    for call in 1..=5 {
        fuse(&mut session, &[0.2, 0.3, 0.5], 1000);
        assert_eq!(session.uploaded() - members_alone, call * 3 * 4);
    }
}

#[test]
fn an_adapter_that_is_not_there_is_an_error_that_names_those_that_are() {
    let error = Gpu::open(Some("no such adapter")).err().unwrap();
    assert!(error.message.contains("adapters:"), "{error}");
}
