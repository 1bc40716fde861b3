//! Metrics at the border.

use abi_stable::std_types::{RBox, RString};
use abi_stable::{StableAbi, sabi_trait};

use super::values::AbiTable;
use super::{AbiResult, Owned, answer, from_json, outcome, to_json};
use crate::error::Result;
use crate::metric::{Metric, Scores};
use crate::table::Table;

pub(super) type MetricBox = AbiMetric_TO<'static, RBox<()>>;

/// `summary` is JSON (`[values, signature]`); `per_example` has a column of numbers per score.
#[repr(C)]
#[derive(StableAbi)]
pub struct AbiScores {
    summary: RString,
    per_example: AbiTable<'static>,
}

#[sabi_trait]
pub trait AbiMetric: Send {
    #[sabi(last_prefix_field)]
    fn score(&self, examples: AbiTable<'_>) -> AbiResult<AbiScores>;
}

struct Export(Owned<dyn Metric>);

impl AbiMetric for Export {
    fn score(&self, examples: AbiTable<'_>) -> AbiResult<AbiScores> {
        answer(|| {
            let scores = self.0.score(&examples.table()?)?;
            let summary = to_json(&(&scores.values, &scores.signature))?;
            let rows = scores
                .per_example
                .first()
                .map_or(0, |(_, values)| values.len());
            let table = scores
                .per_example
                .into_iter()
                .try_fold(Table::new(rows), |table, (name, values)| {
                    table.with_numbers(&name, values)
                })?;
            Ok(AbiScores {
                summary,
                per_example: AbiTable::owned(table),
            })
        })
    }
}

pub(super) fn export(metric: Box<dyn Metric>) -> MetricBox {
    AbiMetric_TO::from_value(
        Export(Owned::new(metric)),
        abi_stable::erased_types::TD_Opaque,
    )
}

/// The host's side of a plugin's metric.
pub(super) struct Import(pub(super) MetricBox);

impl Metric for Import {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let scores = outcome(self.0.score(AbiTable::view(examples)))?;
        let (values, signature) = from_json(&scores.summary, "score")?;
        let table = scores.per_example.table()?;
        let per_example = table
            .columns()
            .iter()
            .map(|column| {
                Ok((
                    column.name().to_owned(),
                    table.numbers(column.name())?.to_vec(),
                ))
            })
            .collect::<Result<_>>()?;
        Ok(Scores {
            values,
            per_example,
            signature,
        })
    }
}
