//! Fusers at the border.

use abi_stable::std_types::{RBox, RSlice, RString, RVec};
use abi_stable::{StableAbi, sabi_trait};

use super::values::{AbiTensor, AbiTensorMut, lend_all, receive_all, unview, views};
use super::{AbiResult, Owned, answer, from_json, outcome, to_json};
use crate::error::Result;
use crate::fuser::{Fuser, FuserDevice, FuserSession};
use crate::tensor::{Member, Tensor, TensorMut};

pub(super) type FuserBox = AbiFuser_TO<'static, RBox<()>>;
type SessionBox = AbiFuserSession_TO<'static, RBox<()>>;

#[repr(C)]
#[derive(StableAbi)]
pub struct AbiMember {
    name: RString,
    tensors: RVec<AbiTensor>,
}

#[sabi_trait]
pub trait AbiFuser: Send {
    #[sabi(last_prefix_field)]
    fn open(&self, members: RVec<AbiMember>, groups: RVec<u64>) -> AbiResult<SessionBox>;
    /// The devices as JSON.
    fn devices(&self) -> AbiResult<RString> {
        AbiResult::ROk("[]".into())
    }
}

#[sabi_trait]
pub trait AbiFuserSession: Send {
    fn fuse(&mut self, coefficients: RSlice<'_, f64>, out: RVec<AbiTensorMut<'_>>)
    -> AbiResult<()>;
    fn gram(&mut self) -> AbiResult<RVec<f64>>;
    #[sabi(last_prefix_field)]
    fn project(&mut self, gradient: RVec<AbiTensor>) -> AbiResult<RVec<f64>>;
}

struct Export(Owned<dyn Fuser>);

impl AbiFuser for Export {
    fn open(&self, members: RVec<AbiMember>, groups: RVec<u64>) -> AbiResult<SessionBox> {
        answer(|| {
            let members = members
                .into_iter()
                .map(|member| {
                    Ok(Member {
                        name: member.name.into_string(),
                        tensors: receive_all(member.tensors)?,
                    })
                })
                .collect::<Result<_>>()?;
            let groups = groups.into_iter().map(|group| group as usize).collect();
            let session = ExportSession(Owned::new(self.0.open(members, groups)?));
            Ok(AbiFuserSession_TO::from_value(
                session,
                abi_stable::erased_types::TD_Opaque,
            ))
        })
    }

    fn devices(&self) -> AbiResult<RString> {
        answer(|| to_json(&self.0.devices()?))
    }
}

struct ExportSession(Owned<dyn FuserSession>);

impl AbiFuserSession for ExportSession {
    fn fuse(
        &mut self,
        coefficients: RSlice<'_, f64>,
        out: RVec<AbiTensorMut<'_>>,
    ) -> AbiResult<()> {
        answer(|| self.0.fuse(coefficients.as_slice(), &mut unview(out)?))
    }

    fn gram(&mut self) -> AbiResult<RVec<f64>> {
        answer(|| Ok(self.0.gram()?.into()))
    }

    fn project(&mut self, gradient: RVec<AbiTensor>) -> AbiResult<RVec<f64>> {
        answer(|| Ok(self.0.project(&receive_all(gradient)?)?.into()))
    }
}

pub(super) fn export(fuser: Box<dyn Fuser>) -> FuserBox {
    AbiFuser_TO::from_value(
        Export(Owned::new(fuser)),
        abi_stable::erased_types::TD_Opaque,
    )
}

/// The host's side of a plugin's fuser.
pub(super) struct Import(pub(super) FuserBox);

impl Fuser for Import {
    fn open(&self, members: Vec<Member>, groups: Vec<usize>) -> Result<Box<dyn FuserSession>> {
        let members = members
            .iter()
            .map(|member| AbiMember {
                name: member.name.as_str().into(),
                tensors: lend_all(&member.tensors),
            })
            .collect();
        let groups = groups.into_iter().map(|group| group as u64).collect();
        Ok(Box::new(ImportSession(outcome(
            self.0.open(members, groups),
        )?)))
    }

    fn devices(&self) -> Result<Vec<FuserDevice>> {
        from_json(&outcome(self.0.devices())?, "list of devices")
    }
}

struct ImportSession(SessionBox);

impl FuserSession for ImportSession {
    fn fuse(&mut self, coefficients: &[f64], out: &mut [TensorMut<'_>]) -> Result<()> {
        outcome(self.0.fuse(RSlice::from_slice(coefficients), views(out)))
    }

    fn gram(&mut self) -> Result<Vec<f64>> {
        Ok(outcome(self.0.gram())?.into_vec())
    }

    fn project(&mut self, gradient: &[Tensor]) -> Result<Vec<f64>> {
        Ok(outcome(self.0.project(lend_all(gradient)))?.into_vec())
    }
}
