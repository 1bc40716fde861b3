//! The suite that every fuser has to pass, and what this one promises beyond it.

use bomf_plugin_api::testkit::fuser::{ALL, conformance};
use bomf_plugin_api::{Context, Dtype, Member, Tensor, TensorMut, TensorSpec};

#[test]
fn conforms_with_one_two_and_five_threads() {
    for threads in [1, 2, 5] {
        let fuser = fuser_cpu::library()
            .make_fuser("cpu", "{}", &Context::new(threads, 0))
            .unwrap();
        conformance(&*fuser, ALL);
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    const ELEMENTS: usize = 3 * (1 << 20) + 17;
    let members: Vec<Member> = (0..3)
        .map(|m| {
            let values: Vec<f32> = (0..ELEMENTS)
                .map(|i| ((i * 7 + m * 13) % 1009) as f32 / 1009.0 - 0.4)
                .collect();
            let tensor = Tensor::from_f32("w", &[ELEMENTS], &values).unwrap();
            Member {
                name: format!("m{m}"),
                tensors: vec![tensor],
            }
        })
        .collect();
    let results: Vec<(Vec<u8>, Vec<f64>, Vec<f64>)> = [1, 2, 3]
        .map(|threads| {
            let fuser = fuser_cpu::library()
                .make_fuser("cpu", "{}", &Context::new(threads, 0))
                .unwrap();
            let mut session = fuser.open(members.clone(), Vec::new()).unwrap();
            let spec = TensorSpec {
                name: "w".into(),
                dtype: Dtype::F32,
                shape: vec![ELEMENTS],
            };
            let mut bytes = vec![0; ELEMENTS * 4];
            session
                .fuse(
                    &[0.3, 0.2, 0.5],
                    &mut [TensorMut::new(spec, &mut bytes).unwrap()],
                )
                .unwrap();
            (
                bytes,
                session.gram().unwrap(),
                session.project(&members[1].tensors).unwrap(),
            )
        })
        .into();
    assert!(results[0] == results[1] && results[0] == results[2]);
}
