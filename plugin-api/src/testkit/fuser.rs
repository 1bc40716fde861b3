//! What every fuser has to satisfy.

mod samples;

use samples::{SHAPES, coefficients, decode, fuse, member, member_of, members, numbers, specs};

use crate::testkit::tolerance;
use crate::{
    Dtype, Fuser, FuserSession, Member, PluginError, Result, SharedBytes, Tensor, TensorSpec,
};

/// What a fuser can do beside fusing f32, and how exactly.
#[derive(Debug, Clone, Copy)]
pub struct Abilities {
    /// Element types of members.
    pub members: &'static [Dtype],
    /// Element types of the output.
    pub outputs: &'static [Dtype],
    /// Whether `gram` and `project` are there; if not, they have to answer with an error.
    pub reductions: bool,
    /// What its numbers are held to.
    pub precision: Precision,
}

/// How exact a fuser is. The tolerances are those of [`tolerance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Sums are `sum += coefficient * element`, one member after the other, each operation rounded to f32 (to f64 where a
    /// member or the output is f64): equal to the bit on every machine. Reductions within [`tolerance::F64_SUM`].
    Exact,
    /// Sums in f32 in any order, with or without fused multiply-add: within [`tolerance::F32_SUM`]; of f64 members to f64,
    /// and reductions, within [`tolerance::F64_SUM`].
    Fused,
    /// Sums as [`Precision::Fused`]; reductions add blocks of f32 sums, since GPUs have no f64: within
    /// [`tolerance::F32_BLOCK_SUM`].
    Gpu,
}

impl Precision {
    fn reduction(self) -> f64 {
        match self {
            Precision::Exact | Precision::Fused => tolerance::F64_SUM,
            Precision::Gpu => tolerance::F32_BLOCK_SUM,
        }
    }
}

const FLOATS: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::F64];

/// Everything, on a CPU.
pub const ALL: Abilities = Abilities {
    members: &FLOATS,
    outputs: &FLOATS,
    reductions: true,
    precision: Precision::Exact,
};

/// Runs the whole suite.
///
/// # Panics
/// With the claim that does not hold.
pub fn conformance(fuser: &dyn Fuser, abilities: Abilities) {
    sums_are_weighted_sums(fuser, abilities);
    a_vertex_gives_the_member_bit_by_bit(fuser, abilities);
    members_with_coefficient_zero_take_no_part(fuser);
    groups_have_coefficients_of_their_own(fuser, abilities);
    a_session_serves_many_calls(fuser);
    tensors_may_be_empty(fuser, abilities);
    faults_are_named(fuser);
    reductions_are_centred_and_exact(fuser, abilities);
    devices_are_what_members_fit(fuser, abilities);
}

fn open(fuser: &dyn Fuser, members: &[Member]) -> Box<dyn FuserSession> {
    fuser
        .open(members.to_vec(), Vec::new())
        .expect("members that are alike can be opened")
}

/// Each type alone, and all of them in turns.
fn mixtures(abilities: Abilities) -> Vec<&'static [Dtype]> {
    let mut mixtures: Vec<&[Dtype]> = abilities.members.chunks(1).collect();
    if abilities.members.len() > 1 {
        mixtures.push(abilities.members);
    }
    mixtures
}

/// One fusion, whose every element is looked at.
struct Fusion<'a> {
    members: &'a [Member],
    groups: &'a [usize],
    coefficients: &'a [f64],
    output: Dtype,
    precision: Precision,
}

impl Fusion<'_> {
    fn expect(&self, session: &mut dyn FuserSession) {
        let specs = specs(&SHAPES, self.output);
        let found = fuse(session, self.coefficients, specs).expect("a fusion of alike members");
        for (tensor, bytes) in found.iter().enumerate() {
            let row = self.groups.get(tensor).copied().unwrap_or(0);
            let row = &self.coefficients[row * self.members.len()..][..self.members.len()];
            let rows: Vec<Vec<f64>> = self
                .members
                .iter()
                .map(|member| numbers(&member.tensors[tensor]))
                .collect();
            for (i, found) in decode(self.output, bytes).into_iter().enumerate() {
                let terms = row.iter().zip(&rows).map(|(&c, values)| (c, values[i]));
                self.expect_sum(found, terms, [tensor, i]);
            }
        }
    }

    fn expect_sum(
        &self,
        found: f64,
        terms: impl Iterator<Item = (f64, f64)> + Clone,
        [tensor, element]: [usize; 2],
    ) {
        let place = || {
            let types = self.members.iter().map(|m| m.tensors[0].spec().dtype);
            let types: Vec<Dtype> = types.collect();
            format!(
                "members of {types:?} to {}, tensor {tensor}, element {element}",
                self.output
            )
        };
        if self.precision == Precision::Exact && matches!(self.output, Dtype::F32 | Dtype::F64) {
            let expected = self.exact(terms);
            assert_eq!(found, expected, "{}, to the bit", place());
            return;
        }
        let wide = self.output == Dtype::F64 && self.all_are(Dtype::F64);
        let relative = if wide {
            tolerance::F64_SUM
        } else {
            tolerance::F32_SUM
        };
        let (sum, size) = terms.fold((0.0, 0.0), |(s, a), (c, x)| {
            (s + c * x, a + f64::abs(c * x))
        });
        // Absolute where sums cancel: errors grow with the terms, not with their sum. A small half has fewer digits.
        let (rounding, least) = match self.output {
            Dtype::Bf16 => (tolerance::BF16_ROUNDING, 0.0),
            Dtype::F16 => (tolerance::F16_ROUNDING, 1e-7),
            _ => (0.0, 0.0),
        };
        let allowed = size * relative + sum.abs() * rounding + least;
        let distance = (found - sum).abs();
        assert!(
            distance <= allowed,
            "{}: {found}, expected {sum} within {allowed:e}",
            place()
        );
    }

    /// One operation after the other, in f32, or in f64 where one takes part anywhere.
    fn exact(&self, terms: impl Iterator<Item = (f64, f64)>) -> f64 {
        let terms = terms.filter(|&(c, _)| c != 0.0);
        let mut types = self.members.iter().map(|m| m.tensors[0].spec().dtype);
        match self.output == Dtype::F64 || types.any(|dtype| dtype == Dtype::F64) {
            true => {
                let sum = terms.fold(0.0, |sum, (c, x)| sum + c * x);
                if self.output == Dtype::F32 {
                    f64::from(sum as f32)
                } else {
                    sum
                }
            }
            false => f64::from(terms.fold(0f32, |sum, (c, x)| sum + c as f32 * x as f32)),
        }
    }

    fn all_are(&self, dtype: Dtype) -> bool {
        self.members
            .iter()
            .all(|m| m.tensors[0].spec().dtype == dtype)
    }
}

fn sums_are_weighted_sums(fuser: &dyn Fuser, abilities: Abilities) {
    for types in mixtures(abilities) {
        let counts: &[usize] = match types.len() {
            1 => &[1, 3, 8, 15, 64],
            _ => &[2, 4, 5, 7, 9, 16, 17, 33, 64],
        };
        for &count in counts {
            let members = members(count, types);
            let mut session = open(fuser, &members);
            for (seed, &output) in abilities.outputs.iter().enumerate() {
                let fusion = Fusion {
                    members: &members,
                    groups: &[],
                    coefficients: &coefficients(count, seed as u64),
                    output,
                    precision: abilities.precision,
                };
                fusion.expect(&mut *session);
            }
        }
    }
}

fn a_vertex_gives_the_member_bit_by_bit(fuser: &dyn Fuser, abilities: Abilities) {
    let both = |dtype: &&Dtype| abilities.outputs.contains(dtype);
    for &dtype in abilities.members.iter().filter(both) {
        let members = members(5, &[dtype]);
        let mut session = open(fuser, &members);
        for (index, member) in members.iter().enumerate() {
            let mut vertex = vec![0.0; members.len()];
            vertex[index] = 1.0;
            let found = fuse(&mut *session, &vertex, specs(&SHAPES, dtype)).expect("a vertex");
            for (tensor, found) in member.tensors.iter().zip(&found) {
                let (found, expected) = (decode(dtype, found), numbers(tensor));
                let name = &tensor.spec().name;
                assert!(
                    found == expected,
                    "{dtype}, vertex {index}, tensor `{name}`"
                );
            }
        }
    }
}

fn members_with_coefficient_zero_take_no_part(fuser: &dyn Fuser) {
    let mut members = members(5, &[Dtype::F32]);
    for (index, value) in [(1, f32::NAN), (2, f32::INFINITY)] {
        let poisoned = members[index].tensors.iter().map(|tensor| {
            let values = vec![value; tensor.data().len() / 4];
            Tensor::from_f32(&tensor.spec().name, &tensor.spec().shape, &values)
                .expect("the same shape")
        });
        members[index].tensors = poisoned.collect();
    }
    let mut session = open(fuser, &members);
    for face in [[0.5, 0.0, 0.0, 0.25, 0.25], [0.0, 0.0, 0.0, 0.0, 0.0]] {
        let found = fuse(&mut *session, &face, specs(&SHAPES, Dtype::F32)).expect("a face");
        for bytes in found {
            let numbers = decode(Dtype::F32, &bytes);
            assert!(numbers.iter().all(|x| x.is_finite()), "{face:?}");
            let is_zero = numbers.iter().all(|&x| x == 0.0);
            assert!(is_zero || face[0] != 0.0, "the sum of nothing is zero");
        }
    }
}

fn groups_have_coefficients_of_their_own(fuser: &dyn Fuser, abilities: Abilities) {
    // Neighbours and tensors further apart, and a row that nobody uses.
    for groups in [[0, 1, 0, 1, 0, 1, 0], [3, 3, 0, 0, 3, 1, 1]] {
        let members = members(4, abilities.members);
        let rows = groups.iter().max().map_or(1, |last| last + 1);
        let mut session = fuser
            .open(members.clone(), groups.to_vec())
            .expect("groups can be opened");
        for &output in abilities.outputs {
            let fusion = Fusion {
                members: &members,
                groups: &groups,
                coefficients: &coefficients(rows * members.len(), 9),
                output,
                precision: abilities.precision,
            };
            fusion.expect(&mut *session);
        }
        let one_row = coefficients(members.len(), 9);
        let result = fuse(&mut *session, &one_row, specs(&SHAPES, Dtype::F32));
        error_of(result, "a row per group is asked for");
    }
}

fn a_session_serves_many_calls(fuser: &dyn Fuser) {
    let mut session = open(fuser, &members(4, &[Dtype::F32]));
    let mut call = |coefficients: &[f64]| {
        fuse(&mut *session, coefficients, specs(&SHAPES, Dtype::F32)).map_err(|e| e.message)
    };
    let (a, b) = (coefficients(4, 1), coefficients(4, 2));
    let first = call(&a).expect("first call");
    let other = call(&b).expect("second call");
    assert_ne!(first, other, "other coefficients give other weights");
    call(&a[1..]).expect_err("too few coefficients are an error");
    let again = call(&a).expect("a call after one that failed");
    assert_eq!(first, again, "the same coefficients give the same bits");
}

fn tensors_may_be_empty(fuser: &dyn Fuser, abilities: Abilities) {
    const EMPTY: [&[usize]; 2] = [&[0], &[3, 0]];
    let members: Vec<Member> = (0..3)
        .map(|i| member_of(&EMPTY, i, Dtype::F32, 1.0, 1.0))
        .collect();
    let mut session = open(fuser, &members);
    let found = fuse(&mut *session, &[0.5, 0.25, 0.25], specs(&EMPTY, Dtype::F32));
    assert_eq!(
        found.expect("nothing can be fused"),
        [[], []] as [[u8; 0]; 2]
    );
    if abilities.reductions {
        assert_eq!(session.gram().expect("of nothing"), [0.0; 9]);
        let projected = session.project(&members[0].tensors);
        assert_eq!(projected.expect("of nothing"), [0.0; 3]);
    }
}

fn error_of<T>(result: Result<T>, claim: &str) -> PluginError {
    match result {
        Ok(_) => panic!("{claim}"),
        Err(error) => error,
    }
}

fn faults_are_named(fuser: &dyn Fuser) {
    let open_with = |alter: &dyn Fn(&mut Member), groups: Vec<usize>| {
        let mut members = members(2, &[Dtype::F32]);
        alter(&mut members[1]);
        fuser.open(members, groups).map(|_| ())
    };
    error_of(fuser.open(Vec::new(), Vec::new()), "no member is an error");
    let odd = Tensor::from_f32("t3", &[4], &[0.0; 4]).expect("four numbers");
    let other_shape = |member: &mut Member| member.tensors[3] = odd.clone();
    let error = error_of(open_with(&other_shape, vec![]), "another shape is an error");
    let names = ["t3", "member-1"].map(|name| error.message.contains(name));
    assert_eq!(names, [true, true], "tensor and member are named: {error}");
    let fewer = |member: &mut Member| drop(member.tensors.pop());
    error_of(open_with(&fewer, vec![]), "a missing tensor is an error");
    let swapped = |member: &mut Member| member.tensors.swap(2, 3);
    error_of(open_with(&swapped, vec![]), "another order is an error");
    let counted = |member: &mut Member| {
        let spec = TensorSpec {
            dtype: Dtype::I64,
            ..member.tensors[3].spec().clone()
        };
        let data = SharedBytes::new(vec![0; 24]);
        member.tensors[3] = Tensor::new(spec, data).expect("three integers");
    };
    let error = error_of(open_with(&counted, vec![]), "an integer cannot be fused");
    assert!(error.message.contains("I64"), "the type is named: {error}");
    error_of(
        open_with(&|_| (), vec![0]),
        "groups for some tensors are an error",
    );
    faults_of_calls_are_named(fuser);
}

fn faults_of_calls_are_named(fuser: &dyn Fuser) {
    let mut session = open(fuser, &members(2, &[Dtype::F32]));
    let mut refused = |coefficients: &[f64], alter: &dyn Fn(&mut Vec<TensorSpec>), claim: &str| {
        let mut specs = specs(&SHAPES, Dtype::F32);
        alter(&mut specs);
        error_of(fuse(&mut *session, coefficients, specs), claim);
    };
    let as_it_is = |_: &mut Vec<TensorSpec>| ();
    refused(&[1.0], &as_it_is, "too few coefficients are an error");
    refused(
        &[1.0, 0.0, 0.0],
        &as_it_is,
        "too many coefficients are an error",
    );
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        refused(&[bad, 0.0], &as_it_is, "coefficients have to be finite");
    }
    let half = [0.5, 0.5];
    refused(
        &half,
        &|specs| specs.clear(),
        "no room for the output is an error",
    );
    refused(
        &half,
        &|specs| specs[3].shape = vec![4],
        "room of another shape is an error",
    );
    refused(
        &half,
        &|specs| specs[3].dtype = Dtype::I32,
        "no integer can be written",
    );
    refused(
        &half,
        &|specs| specs.swap(2, 3),
        "room in another order is an error",
    );
}

fn reductions_are_centred_and_exact(fuser: &dyn Fuser, abilities: Abilities) {
    if !abilities.reductions {
        let members = members(2, &[Dtype::F32]);
        let mut session = open(fuser, &members);
        error_of(session.gram(), "what is not there answers with an error");
        let projected = session.project(&members[0].tensors);
        error_of(projected, "what is not there answers with an error");
        return;
    }
    for types in mixtures(abilities) {
        let counts: &[usize] = match types {
            [Dtype::F32] => &[1, 2, 6, 17, 64],
            _ => &[3, 18],
        };
        // Nearly identical, as checkpoints of one run are, as far as the type can tell them apart.
        let is_half = |dtype: &Dtype| matches!(dtype, Dtype::F16 | Dtype::Bf16);
        let spread = if types.iter().any(is_half) {
            0.05
        } else {
            1e-4
        };
        for &count in counts {
            let dtype = |i: usize| types[i % types.len()];
            // The first one lies further out than the others.
            let own = |i: usize| if i == 0 { 10.0 * spread } else { spread };
            let members: Vec<Member> = (0..count)
                .map(|i| member(i, dtype(i), 1.0, own(i)))
                .collect();
            let mut session = open(fuser, &members);
            expect_gram(&mut *session, &members, abilities.precision);
            expect_projection(&mut *session, &members, abilities.precision);
        }
    }
    let members = members(2, &[Dtype::F32]);
    let projected = open(fuser, &members).project(&members[0].tensors[1..]);
    error_of(projected, "a gradient of other tensors is an error");
}

/// All numbers of a member, one tensor after the other.
fn flat(tensors: &[Tensor]) -> Vec<f64> {
    tensors.iter().flat_map(numbers).collect()
}

fn expect_gram(session: &mut dyn FuserSession, members: &[Member], precision: Precision) {
    let count = members.len();
    let mut centred: Vec<Vec<f64>> = members.iter().map(|member| flat(&member.tensors)).collect();
    for element in 0..centred[0].len() {
        let mean = centred.iter().map(|row| row[element]).sum::<f64>() / count as f64;
        centred.iter_mut().for_each(|row| row[element] -= mean);
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let squares: Vec<f64> = centred.iter().map(|row| dot(row, row)).collect();
    let gram = session.gram().expect("a gram matrix");
    assert_eq!(gram.len(), count * count, "the gram matrix is square");
    for i in 0..count {
        for j in 0..=i {
            let (found, expected) = (gram[i * count + j], dot(&centred[i], &centred[j]));
            assert_eq!(found, gram[j * count + i], "gram ({i}, {j}) is symmetric");
            let allowed = precision.reduction() * squares[i].max(squares[j]);
            assert!(
                (found - expected).abs() <= allowed,
                "gram ({i}, {j}) of {count}: {found}, expected {expected} within {allowed:e}"
            );
        }
    }
}

fn expect_projection(session: &mut dyn FuserSession, members: &[Member], precision: Precision) {
    for dtype in [Dtype::F32, Dtype::Bf16] {
        let gradient = member(77, dtype, 0.0, 1.0).tensors;
        let direction = flat(&gradient);
        let projected = session.project(&gradient).expect("a projection");
        assert_eq!(projected.len(), members.len(), "a number per member");
        for (member, found) in members.iter().zip(projected) {
            let terms = flat(&member.tensors);
            let terms = terms.iter().zip(&direction).map(|(x, y)| x * y);
            let (sum, size) = terms.fold((0.0, 0.0), |(s, a), t| (s + t, a + f64::abs(t)));
            let allowed = precision.reduction() * size;
            assert!(
                (found - sum).abs() <= allowed,
                "projection of {}: {found}, expected {sum} within {allowed:e}",
                member.name
            );
        }
    }
}

fn devices_are_what_members_fit(fuser: &dyn Fuser, abilities: Abilities) {
    for device in fuser
        .devices()
        .expect("a fuser that works here says on what")
    {
        assert!(!device.name.is_empty(), "a device has a name");
        let (found, expected) = (&device.members, abilities.members);
        let alike = found.len() == expected.len() && expected.iter().all(|d| found.contains(d));
        assert!(
            alike,
            "{}: members of {found:?}, expected {expected:?}",
            device.name
        );
    }
}
