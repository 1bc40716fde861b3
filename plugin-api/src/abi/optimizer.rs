//! Optimizers at the border.

use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, RSlice, RStr, RString};

use super::{AbiResult, Owned, answer, from_json, outcome, to_json};
use crate::error::Result;
use crate::optimizer::Optimizer;
use crate::study::{Study, Suggestions, Verdict};

pub(super) type OptimizerBox = AbiOptimizer_TO<'static, RBox<()>>;

#[sabi_trait]
pub trait AbiOptimizer: Send {
    fn suggest(&mut self, study: RStr<'_>, count: u64) -> AbiResult<RString>;
    #[sabi(last_prefix_field)]
    fn report(
        &mut self,
        study: RStr<'_>,
        trial: u64,
        step: u64,
        values: RSlice<'_, f64>,
    ) -> AbiResult<RString>;
}

struct Export(Owned<dyn Optimizer>);

impl AbiOptimizer for Export {
    fn suggest(&mut self, study: RStr<'_>, count: u64) -> AbiResult<RString> {
        answer(|| {
            let study: Study = from_json(&study, "study")?;
            study.check()?;
            to_json(&self.0.suggest(&study, count as usize)?)
        })
    }

    fn report(
        &mut self,
        study: RStr<'_>,
        trial: u64,
        step: u64,
        values: RSlice<'_, f64>,
    ) -> AbiResult<RString> {
        answer(|| {
            let study: Study = from_json(&study, "study")?;
            to_json(&self.0.report(&study, trial, step, values.as_slice())?)
        })
    }
}

pub(super) fn export(optimizer: Box<dyn Optimizer>) -> OptimizerBox {
    AbiOptimizer_TO::from_value(
        Export(Owned::new(optimizer)),
        abi_stable::erased_types::TD_Opaque,
    )
}

/// The host's side of a plugin's optimizer.
pub(super) struct Import(pub(super) OptimizerBox);

impl Optimizer for Import {
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions> {
        let study = to_json(study)?;
        from_json(
            &outcome(self.0.suggest(study.as_rstr(), count as u64))?,
            "suggestion",
        )
    }

    fn report(&mut self, study: &Study, trial: u64, step: u64, values: &[f64]) -> Result<Verdict> {
        let study = to_json(study)?;
        let values = RSlice::from_slice(values);
        from_json(
            &outcome(self.0.report(study.as_rstr(), trial, step, values))?,
            "verdict",
        )
    }
}
