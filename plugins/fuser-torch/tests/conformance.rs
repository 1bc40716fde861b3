//! The suite that every fuser has to pass, on the CPU, and what this one promises beyond it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bomf_plugin_api::testkit::fuser::{ALL, Abilities, Precision, conformance};
use bomf_plugin_api::{
    Context, Dtype, Fuser, FuserSession, FusionShape, Member, Tensor, TensorMut, TensorSpec,
};
use fuser_torch::{Session, library};

const ABILITIES: Abilities = Abilities {
    precision: Precision::Fused,
    ..ALL
};

fn fuser(options: &str, threads: usize) -> Box<dyn Fuser> {
    let context = Context::new(threads, 0);
    library().make_fuser("torch", options, &context).unwrap()
}

#[test]
fn conforms_with_one_and_two_threads() {
    for threads in [1, 2] {
        conformance(&*fuser(r#"{"device": "cpu"}"#, threads), ABILITIES);
    }
}

#[test]
fn conforms_on_cuda() {
    let on_cuda = fuser(r#"{"device": "cuda"}"#, 2);
    match on_cuda.devices() {
        Ok(_) => conformance(&*on_cuda, ABILITIES),
        Err(error) if std::env::var_os("REQUIRE_CUDA").is_some() => {
            panic!("REQUIRE_CUDA is set: {error}")
        }
        Err(error) => eprintln!("SKIPPED: {error}"),
    }
}

/// Members of two tensors that use rows 0 and 1, and of one of another type that uses row 0.
fn members() -> (Vec<Member>, Vec<usize>) {
    let tensor = |name: &str, value: f32| Tensor::from_f32(name, &[2], &[value, -value]).unwrap();
    let half = |name: &str| {
        let spec = TensorSpec {
            name: name.into(),
            dtype: Dtype::Bf16,
            shape: vec![1],
        };
        let one = 0x3f80u16.to_le_bytes().to_vec();
        Tensor::new(spec, bomf_plugin_api::SharedBytes::new(one)).unwrap()
    };
    let members = (0..5).map(|m| Member {
        name: format!("m{m}"),
        tensors: vec![
            tensor("a", m as f32),
            tensor("b", 1.0),
            tensor("c", 2.0),
            half("d"),
        ],
    });
    (members.collect(), vec![0, 1, 0, 0])
}

#[test]
fn a_fusion_is_one_product_per_slab() {
    let (members, groups) = members();
    let shape = FusionShape::of(&members, groups, &[Dtype::F32, Dtype::Bf16]).unwrap();
    let mut session = Session::new(members, shape.clone(), tch::Device::Cpu, 1).unwrap();
    // Row 0 in f32 and in bf16, row 1 in f32.
    assert_eq!(session.slabs(), 3);
    let mut bytes: Vec<Vec<u8>> = shape
        .specs()
        .iter()
        .map(|spec| vec![0; spec.bytes().unwrap()])
        .collect();
    let mut fuse = |coefficients: &[f64]| {
        let specs = shape.specs().iter().cloned().zip(&mut bytes);
        let mut out: Vec<_> = specs
            .map(|(spec, bytes)| TensorMut::new(spec, bytes).unwrap())
            .collect();
        session.fuse(coefficients, &mut out).unwrap();
        session.products()
    };
    assert_eq!(fuse(&[0.2; 10]), 3);
    assert_eq!(fuse(&[0.1; 10]), 6);
    // A member with the coefficient zero parts row 1 in two.
    assert_eq!(
        fuse(&[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.0, 0.1, 0.1]),
        10
    );
    // Nothing is to be done for row 0.
    assert_eq!(
        fuse(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 0.1, 0.1]),
        11
    );
    assert_eq!(bytes[0], [0; 8]);
}
