//! Fusers: weights from members and coefficients.

use serde::{Deserialize, Serialize};

use crate::error::{PluginError, Result};
use crate::tensor::{Dtype, Member, Tensor, TensorMut, TensorSpec};

/// Opens sessions that fuse a fixed set of members again and again.
pub trait Fuser: Send + 'static {
    /// Takes the members over: they stay where they are (a mapped file) or are brought where the work is done (a GPU),
    /// once. `groups[t]` is the row of coefficients that tensor `t` uses; empty: all tensors use row 0.
    ///
    /// # Errors
    /// When there is no member, when names, order or shapes of tensors differ between members (names the first
    /// difference), when a type cannot be fused, or when memory does not suffice.
    fn open(&self, members: Vec<Member>, groups: Vec<usize>) -> Result<Box<dyn FuserSession>>;

    /// What the fuser, with its options, could work on here: hosts ask before they choose a fuser by themselves. Only looks;
    /// takes no memory. A fuser that does not say is never chosen unless it is named.
    ///
    /// # Errors
    /// When it cannot work here at all; says why.
    fn devices(&self) -> Result<Vec<FuserDevice>> {
        Ok(Vec::new())
    }
}

/// Something that a fuser can work on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FuserDevice {
    /// What people call it: `NVIDIA H100 (CUDA)`.
    pub name: String,
    /// How fast it is to be expected, and whose memory it uses.
    pub kind: FuserDeviceKind,
    /// Types of members' elements that it takes.
    pub members: Vec<Dtype>,
    /// Whether a session holds a copy of the members in the device's memory; if not, they stay where they are.
    #[serde(default)]
    pub copies: bool,
    /// Bytes of the device's memory that are free, where the fuser knows.
    #[serde(default)]
    pub free_bytes: Option<u64>,
    /// PCI address (`0000:01:00.0`), by which a host can ask the driver for what the fuser does not know.
    #[serde(default)]
    pub pci_address: Option<String>,
}

/// What kind of device a fuser can work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FuserDeviceKind {
    /// The processor, at the speed of the machine's memory.
    Cpu,
    /// A GPU with memory of its own, several times as fast as the machine's.
    Gpu,
    /// A GPU that shares the machine's memory.
    SharedGpu,
    /// A processor that stands in for a GPU: right, and slow.
    Software,
}

impl FuserDevice {
    /// A device that takes members of these types and leaves them where they are.
    pub fn new(name: impl Into<String>, kind: FuserDeviceKind, members: &[Dtype]) -> Self {
        Self {
            name: name.into(),
            kind,
            members: members.to_vec(),
            copies: false,
            free_bytes: None,
            pci_address: None,
        }
    }

    /// Says that sessions hold a copy of the members in its memory.
    #[must_use]
    pub fn copies_members(mut self) -> Self {
        self.copies = true;
        self
    }

    /// Says where the device sits.
    #[must_use]
    pub fn at_pci_address(mut self, address: impl Into<String>) -> Self {
        self.pci_address = Some(address.into());
        self
    }
}

/// A set of members ready to be fused; only coefficients travel between calls.
///
/// `Send`, not `Sync`: called from one thread at a time.
pub trait FuserSession: Send {
    /// `out[t] = sum_m coefficients[group(t), m] * member[m][t]`, accumulated in f32 or wider.
    ///
    /// `coefficients` is row-major `[groups, members]`, any finite numbers (landscapes leave the simplex). `out` has one
    /// entry per tensor, in the members' order, same shapes; its element types say what to store.
    ///
    /// # Errors
    /// When a length, shape or type does not fit, or a coefficient is not finite.
    fn fuse(&mut self, coefficients: &[f64], out: &mut [TensorMut<'_>]) -> Result<()>;

    /// The Gram matrix of the centred members, row-major `[members, members]`: entry `(i, j)` is
    /// `<w_i - mean(w), w_j - mean(w)>` over all tensors, with f64 sums (from raw f32 sums most digits would cancel:
    /// checkpoints of one run are nearly identical).
    ///
    /// # Errors
    /// When the fuser cannot do it.
    fn gram(&mut self) -> Result<Vec<f64>> {
        Err(PluginError::unsupported(
            "this fuser computes no gram matrix",
        ))
    }

    /// `[members]`: the inner product of each member with a gradient of the same tensors, with f64 sums.
    ///
    /// # Errors
    /// When the fuser cannot do it, or names, order or shapes differ from the members'.
    fn project(&mut self, gradient: &[Tensor]) -> Result<Vec<f64>> {
        let _ = gradient;
        Err(PluginError::unsupported("this fuser projects no gradient"))
    }
}

/// What the calls of a session have to fit: the tensors of its members, and the row of coefficients that each uses. A help for
/// writing fusers; it holds no weights.
#[derive(Debug, Clone)]
pub struct FusionShape {
    specs: Vec<TensorSpec>,
    groups: Vec<usize>,
    rows: usize,
    members: usize,
}

impl FusionShape {
    /// The shape of members that are alike, with the arguments of [`Fuser::open`].
    ///
    /// # Errors
    /// When there is no member, a name, shape or number of tensors differs, a type is none of `types`, or groups are given for
    /// some tensors only. Names the member and the tensor.
    pub fn of(members: &[Member], groups: Vec<usize>, types: &[Dtype]) -> Result<Self> {
        let first = members
            .first()
            .ok_or_else(|| PluginError::input("found no member, expected one or more"))?;
        let specs: Vec<TensorSpec> = first.tensors.iter().map(|t| t.spec().clone()).collect();
        for member in members {
            check_tensors(&specs, &member.tensors, types).map_err(|fault| {
                PluginError::input(format!("member `{}`: {fault}", member.name))
            })?;
        }
        let groups = match groups.is_empty() {
            true => vec![0; specs.len()],
            false => groups,
        };
        if groups.len() != specs.len() {
            return Err(PluginError::input(format!(
                "found groups for {} tensors, expected {}",
                groups.len(),
                specs.len()
            )));
        }
        Ok(Self {
            rows: groups.iter().max().map_or(1, |greatest| greatest + 1),
            members: members.len(),
            specs,
            groups,
        })
    }

    /// The first member's tensors.
    pub fn specs(&self) -> &[TensorSpec] {
        &self.specs
    }

    /// The row of coefficients that each tensor uses.
    pub fn groups(&self) -> &[usize] {
        &self.groups
    }

    /// How many members there are.
    pub fn members(&self) -> usize {
        self.members
    }

    /// How many coefficients a call has: `[groups, members]`.
    pub fn coefficients(&self) -> usize {
        self.rows * self.members
    }

    /// The coefficients of a tensor, one per member, among those of a call.
    pub fn row<'a>(&self, coefficients: &'a [f64], tensor: usize) -> &'a [f64] {
        &coefficients[self.groups[tensor] * self.members..][..self.members]
    }

    /// Looks at the arguments of [`FuserSession::fuse`].
    ///
    /// # Errors
    /// When a length, shape or type does not fit, or a coefficient is not finite.
    pub fn check_call(&self, coefficients: &[f64], out: &[TensorMut<'_>]) -> Result<()> {
        if coefficients.len() != self.coefficients() {
            return Err(PluginError::input(format!(
                "found {} coefficients, expected {}: {} group(s) of {} members",
                coefficients.len(),
                self.coefficients(),
                self.rows,
                self.members
            )));
        }
        if let Some(position) = coefficients.iter().position(|c| !c.is_finite()) {
            return Err(PluginError::input(format!(
                "coefficient {position}: found {}, expected a finite number",
                coefficients[position]
            )));
        }
        if out.len() != self.specs.len() {
            return Err(PluginError::input(format!(
                "found room for {} tensors, expected {}",
                out.len(),
                self.specs.len()
            )));
        }
        let mut tensors = self.specs.iter().zip(out);
        tensors
            .try_for_each(|(expected, out)| check_tensor(expected, out.spec(), &FLOATS))
            .map_err(|fault| PluginError::input(format!("the output: {fault}")))
    }

    /// Looks at the argument of [`FuserSession::project`].
    ///
    /// # Errors
    /// When a name, shape or number of tensors differs, or a type is none of `types`.
    pub fn check_gradient(&self, gradient: &[Tensor], types: &[Dtype]) -> Result<()> {
        check_tensors(&self.specs, gradient, types)
            .map_err(|fault| PluginError::input(format!("the gradient: {fault}")))
    }
}

/// The types that can be fused.
const FLOATS: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::F64];

fn check_tensors(expected: &[TensorSpec], found: &[Tensor], types: &[Dtype]) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!(
            "found {} tensors, expected {}",
            found.len(),
            expected.len()
        ));
    }
    let mut tensors = expected.iter().zip(found);
    tensors.try_for_each(|(expected, found)| check_tensor(expected, found.spec(), types))
}

fn check_tensor(expected: &TensorSpec, found: &TensorSpec, types: &[Dtype]) -> Result<(), String> {
    if found.name != expected.name || found.shape != expected.shape {
        return Err(format!(
            "found the tensor `{}` {:?}, expected `{}` {:?}",
            found.name, found.shape, expected.name, expected.shape
        ));
    }
    if !types.contains(&found.dtype) {
        let types: Vec<&str> = types.iter().map(|dtype| dtype.name()).collect();
        return Err(format!(
            "tensor `{}`: found {}, expected one of {}",
            found.name,
            found.dtype,
            types.join(", ")
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, shapes: &[(&str, usize)]) -> Member {
        let tensors = shapes.iter().map(|&(name, length)| {
            Tensor::from_f32(name, &[length], &vec![0.0; length]).expect("the length fits")
        });
        Member {
            name: name.to_owned(),
            tensors: tensors.collect(),
        }
    }

    #[test]
    fn what_differs_is_named() {
        let of = |second: &[(&str, usize)], types: &[Dtype]| {
            let members = [member("a", &[("x", 1), ("y", 2)]), member("b", second)];
            FusionShape::of(&members, Vec::new(), types).map_err(|error| error.message)
        };
        assert!(of(&[("x", 1), ("y", 2)], &FLOATS).is_ok());
        for (second, expected) in [
            (&[("x", 1)][..], "member `b`: found 1 tensors, expected 2"),
            (
                &[("x", 1), ("y", 3)],
                "member `b`: found the tensor `y` [3], expected `y` [2]",
            ),
            (
                &[("x", 1), ("z", 2)],
                "member `b`: found the tensor `z` [2], expected `y` [2]",
            ),
        ] {
            assert_eq!(of(second, &FLOATS).unwrap_err(), expected);
        }
        assert_eq!(
            of(&[("x", 1), ("y", 2)], &[Dtype::F16, Dtype::Bf16]).unwrap_err(),
            "member `a`: tensor `x`: found F32, expected one of F16, BF16"
        );
    }

    #[test]
    fn there_are_as_many_rows_as_the_greatest_group_asks_for() {
        let members = [member("a", &[("x", 1), ("y", 2)])];
        let rows = |groups| FusionShape::of(&members, groups, &FLOATS).map(|s| s.coefficients());
        assert_eq!(rows(vec![]).unwrap(), 1);
        assert_eq!(rows(vec![2, 0]).unwrap(), 3);
        assert!(rows(vec![0]).is_err());
        assert!(FusionShape::of(&[], vec![], &FLOATS).is_err());
    }
}
