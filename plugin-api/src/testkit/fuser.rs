//! What every fuser has to satisfy.

use crate::testkit::tolerance;
use crate::{
    Dtype, Fuser, Member, PluginError, Result, SharedBytes, Tensor, TensorMut, TensorSpec,
};

/// What a fuser can do beside fusing f32.
#[derive(Debug, Clone, Copy)]
pub struct Abilities {
    /// Element types of members.
    pub members: &'static [Dtype],
    /// Element types of the output.
    pub outputs: &'static [Dtype],
    /// Whether `gram` and `project` are there; if not, they have to answer with an error.
    pub reductions: bool,
}

/// Everything, on a CPU.
pub const ALL: Abilities = Abilities {
    members: &[Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::F64],
    outputs: &[Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::F64],
    reductions: true,
};

/// Lengths that meet every loop's remainder.
const SHAPES: [&[usize]; 7] = [&[], &[0], &[1], &[3], &[5, 7], &[16 * 1024 + 1], &[40_000]];

/// Runs the whole suite.
///
/// # Panics
/// With the claim that does not hold.
pub fn conformance(fuser: &dyn Fuser, abilities: Abilities) {
    sums_are_weighted_sums(fuser, abilities);
    a_vertex_gives_the_member_bit_by_bit(fuser);
    members_with_coefficient_zero_take_no_part(fuser);
    groups_have_coefficients_of_their_own(fuser);
    a_session_serves_many_calls(fuser);
    faults_are_named(fuser);
    reductions_are_centred_and_exact(fuser, abilities);
}

/// A deterministic stream of numbers in (-1, 1), a third of them tiny.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let unit = (self.0 >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0;
        if self.0.is_multiple_of(3) {
            unit * 1e-3
        } else {
            unit
        }
    }
}

/// Rounds a number to what a type can hold, and gives its bytes.
fn encode(dtype: Dtype, value: f64) -> Vec<u8> {
    match dtype {
        Dtype::F64 => value.to_le_bytes().to_vec(),
        Dtype::Bf16 => (((value as f32).to_bits() >> 16) as u16)
            .to_le_bytes()
            .to_vec(),
        Dtype::F16 => {
            // Truncated, normal numbers only; too small ones become zero.
            let bits = (value as f32).to_bits();
            let exponent = (bits >> 23 & 0xff) as i32 - 112;
            let sign = (bits >> 16 & 0x8000) as u16;
            let half = if exponent <= 0 {
                sign
            } else {
                sign | (exponent as u16) << 10 | (bits >> 13 & 0x3ff) as u16
            };
            half.to_le_bytes().to_vec()
        }
        _ => (value as f32).to_le_bytes().to_vec(),
    }
}

fn decode(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    let chunks = bytes.chunks_exact(dtype.size());
    chunks
        .map(|b| match dtype {
            Dtype::F64 => f64::from_le_bytes(b.try_into().expect("eight bytes")),
            Dtype::Bf16 => f64::from(f32::from_bits(
                u32::from(u16::from_le_bytes(b.try_into().expect("two bytes"))) << 16,
            )),
            Dtype::F16 => {
                let half = u16::from_le_bytes(b.try_into().expect("two bytes"));
                let (exponent, fraction) = (i32::from(half >> 10 & 0x1f), f64::from(half & 0x3ff));
                let magnitude = match exponent {
                    0 => fraction * 2f64.powi(-24),
                    _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
                };
                if half >> 15 == 1 {
                    -magnitude
                } else {
                    magnitude
                }
            }
            _ => f64::from(f32::from_le_bytes(b.try_into().expect("four bytes"))),
        })
        .collect()
}

fn specs(dtype: Dtype) -> Vec<TensorSpec> {
    let named = SHAPES.iter().enumerate();
    named
        .map(|(i, shape)| TensorSpec {
            name: format!("t{i}"),
            dtype,
            shape: shape.to_vec(),
        })
        .collect()
}

fn member(index: usize, dtype: Dtype, base: f64, spread: f64) -> Member {
    let mut shared = Numbers(1);
    let mut own = Numbers(index as u64 + 100);
    let tensors = specs(dtype).into_iter().map(|spec| {
        let elements = spec.elements().expect("small");
        // One odd byte in front: mapped files are not aligned either.
        let mut bytes = vec![0xff];
        for _ in 0..elements {
            bytes.extend(encode(dtype, base * shared.next() + spread * own.next()));
        }
        let data = SharedBytes::new(bytes);
        let data = data.slice(1..data.len()).expect("one byte at least");
        Tensor::new(spec, data).expect("the bytes fit")
    });
    Member {
        name: format!("member-{index}"),
        tensors: tensors.collect(),
    }
}

fn members(count: usize, dtypes: &[Dtype]) -> Vec<Member> {
    (0..count)
        .map(|i| member(i, dtypes[i % dtypes.len()], 0.5, 0.5))
        .collect()
}

/// The outputs of one fusion, tensor by tensor.
fn fuse(
    session: &mut dyn crate::FuserSession,
    coefficients: &[f64],
    dtype: Dtype,
) -> Result<Vec<Vec<u8>>> {
    let specs = specs(dtype);
    let mut slabs: Vec<Vec<u8>> = specs
        .iter()
        .map(|spec| vec![0xaa; spec.bytes().expect("small")])
        .collect();
    let mut out = specs
        .into_iter()
        .zip(&mut slabs)
        .map(|(spec, slab)| TensorMut::new(spec, slab))
        .collect::<Result<Vec<_>>>()?;
    session.fuse(coefficients, &mut out)?;
    drop(out);
    Ok(slabs)
}

fn coefficients(count: usize, seed: u64) -> Vec<f64> {
    let mut numbers = Numbers(seed);
    (0..count).map(|_| numbers.next() * 1.5).collect()
}

fn open(fuser: &dyn Fuser, members: Vec<Member>) -> Box<dyn crate::FuserSession> {
    fuser
        .open(members, Vec::new())
        .expect("members that are alike can be opened")
}

fn rounding(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::Bf16 => tolerance::BF16_ROUNDING,
        Dtype::F16 => tolerance::F16_ROUNDING,
        _ => 0.0,
    }
}

fn sums_are_weighted_sums(fuser: &dyn Fuser, abilities: Abilities) {
    for count in [1, 2, 3, 4, 5, 9, 15] {
        for &output in abilities.outputs {
            let members = members(count, abilities.members);
            let coefficients = coefficients(count, count as u64);
            let mut session = open(fuser, members.clone());
            let found =
                fuse(&mut *session, &coefficients, output).expect("a fusion of alike members");
            for (tensor, bytes) in found.iter().enumerate() {
                let rows: Vec<Vec<f64>> = members
                    .iter()
                    .map(|member| {
                        decode(
                            member.tensors[tensor].spec().dtype,
                            member.tensors[tensor].data(),
                        )
                    })
                    .collect();
                for (i, found) in decode(output, bytes).into_iter().enumerate() {
                    let terms = rows.iter().zip(&coefficients).map(|(row, c)| c * row[i]);
                    let (sum, size) = terms.fold((0.0, 0.0), |(s, a), t| (s + t, a + f64::abs(t)));
                    // Absolute where sums cancel: errors grow with the terms, not with their sum.
                    let allowed = size * tolerance::F32_SUM + sum.abs() * rounding(output) + 1e-7;
                    assert!(
                        (found - sum).abs() <= allowed,
                        "{count} members to {output}, tensor {tensor}, element {i}: {found}, expected {sum}"
                    );
                }
            }
        }
    }
}

fn a_vertex_gives_the_member_bit_by_bit(fuser: &dyn Fuser) {
    let members = members(5, &[Dtype::F32]);
    let mut session = open(fuser, members.clone());
    for (index, member) in members.iter().enumerate() {
        let mut vertex = vec![0.0; members.len()];
        vertex[index] = 1.0;
        let found = fuse(&mut *session, &vertex, Dtype::F32).expect("a vertex can be fused");
        for (tensor, bytes) in member.tensors.iter().zip(&found) {
            assert_eq!(
                &**tensor.data(),
                &bytes[..],
                "vertex {index}, tensor `{}`",
                tensor.spec().name
            );
        }
    }
}

fn members_with_coefficient_zero_take_no_part(fuser: &dyn Fuser) {
    let mut members = members(3, &[Dtype::F32]);
    let poisoned = members[1].tensors.iter().map(|tensor| {
        let values = vec![f32::NAN; tensor.data().len() / 4];
        Tensor::from_f32(&tensor.spec().name, &tensor.spec().shape, &values)
            .expect("the same shape")
    });
    members[1].tensors = poisoned.collect();
    let mut session = open(fuser, members);
    let found = fuse(&mut *session, &[0.5, 0.0, 0.5], Dtype::F32).expect("a face can be fused");
    assert!(
        found
            .iter()
            .all(|bytes| decode(Dtype::F32, bytes).iter().all(|x| x.is_finite()))
    );
}

fn groups_have_coefficients_of_their_own(fuser: &dyn Fuser) {
    let members = members(2, &[Dtype::F32]);
    let groups: Vec<usize> = (0..SHAPES.len()).map(|tensor| tensor % 2).collect();
    let mut session = fuser
        .open(members.clone(), groups)
        .expect("two groups can be opened");
    let found =
        fuse(&mut *session, &[1.0, 0.0, 0.0, 1.0], Dtype::F32).expect("two groups can be fused");
    for (tensor, bytes) in found.iter().enumerate() {
        let expected = members[tensor % 2].tensors[tensor].data();
        assert_eq!(
            &**expected,
            &bytes[..],
            "tensor {tensor} uses row {}",
            tensor % 2
        );
    }
    assert!(
        fuse(&mut *session, &[1.0, 0.0], Dtype::F32).is_err(),
        "a row per group is asked for"
    );
}

fn a_session_serves_many_calls(fuser: &dyn Fuser) {
    let mut session = open(fuser, members(4, &[Dtype::F32]));
    let (a, b) = (coefficients(4, 1), coefficients(4, 2));
    let first = fuse(&mut *session, &a, Dtype::F32).expect("first call");
    let other = fuse(&mut *session, &b, Dtype::F32).expect("second call");
    let again = fuse(&mut *session, &a, Dtype::F32).expect("third call");
    assert_ne!(first, other, "other coefficients give other weights");
    assert_eq!(first, again, "the same coefficients give the same bits");
}

fn error_of<T>(result: Result<T>, claim: &str) -> PluginError {
    match result {
        Ok(_) => panic!("{claim}"),
        Err(error) => error,
    }
}

fn faults_are_named(fuser: &dyn Fuser) {
    error_of(fuser.open(Vec::new(), Vec::new()), "no member is an error");
    let mut odd = members(2, &[Dtype::F32]);
    odd[1].tensors[3] = Tensor::from_f32("t3", &[4], &[0.0; 4]).expect("four numbers");
    let error = error_of(fuser.open(odd, Vec::new()), "another shape is an error");
    assert!(
        error.message.contains("t3") && error.message.contains("member-1"),
        "{error}"
    );
    let mut fewer = members(2, &[Dtype::F32]);
    fewer[1].tensors.pop();
    error_of(
        fuser.open(fewer, Vec::new()),
        "a missing tensor is an error",
    );
    error_of(
        fuser.open(members(2, &[Dtype::F32]), vec![0]),
        "groups for some tensors are an error",
    );
    let mut session = open(fuser, members(2, &[Dtype::F32]));
    error_of(
        fuse(&mut *session, &[1.0], Dtype::F32),
        "too few coefficients are an error",
    );
    for bad in [f64::NAN, f64::INFINITY] {
        error_of(
            fuse(&mut *session, &[bad, 0.0], Dtype::F32),
            "coefficients have to be finite",
        );
    }
    error_of(
        session.fuse(&[0.5, 0.5], &mut []),
        "no room for the output is an error",
    );
}

fn reductions_are_centred_and_exact(fuser: &dyn Fuser, abilities: Abilities) {
    const COUNT: usize = 6;
    // Nearly identical, as checkpoints of one run are.
    let members: Vec<Member> = (0..COUNT)
        .map(|i| member(i, Dtype::F32, 1.0, 1e-4))
        .collect();
    let mut session = open(fuser, members.clone());
    if !abilities.reductions {
        error_of(session.gram(), "what is not there answers with an error");
        error_of(
            session.project(&members[0].tensors),
            "what is not there answers with an error",
        );
        return;
    }
    let flat: Vec<Vec<f64>> = members
        .iter()
        .map(|member| {
            member
                .tensors
                .iter()
                .flat_map(|t| decode(Dtype::F32, t.data()))
                .collect()
        })
        .collect();
    let mean: Vec<f64> = (0..flat[0].len())
        .map(|i| flat.iter().map(|row| row[i]).sum::<f64>() / COUNT as f64)
        .collect();
    let gram = session.gram().expect("a gram matrix");
    for i in 0..COUNT {
        for j in 0..COUNT {
            let expected: f64 = mean
                .iter()
                .enumerate()
                .map(|(k, m)| (flat[i][k] - m) * (flat[j][k] - m))
                .sum();
            let scale = gram[i * COUNT + i].abs().max(gram[j * COUNT + j].abs());
            let found = gram[i * COUNT + j];
            assert!(
                (found - expected).abs() <= tolerance::F64_SUM * scale,
                "gram ({i}, {j}): {found}, expected {expected}"
            );
        }
    }
    let gradient = member(77, Dtype::F32, 0.0, 1.0).tensors;
    let direction: Vec<f64> = gradient
        .iter()
        .flat_map(|t| decode(Dtype::F32, t.data()))
        .collect();
    let projected = session.project(&gradient).expect("a projection");
    assert_eq!(projected.len(), COUNT);
    for (row, found) in flat.iter().zip(projected) {
        let (sum, size) = row
            .iter()
            .zip(&direction)
            .fold((0.0, 0.0), |(s, a), (x, y)| {
                (s + x * y, a + f64::abs(x * y))
            });
        assert!(
            (found - sum).abs() <= tolerance::F64_SUM * size,
            "projection {found}, expected {sum}"
        );
    }
    error_of(
        session.project(&gradient[1..]),
        "a gradient of other tensors is an error",
    );
}
