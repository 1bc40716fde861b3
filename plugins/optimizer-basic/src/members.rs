//! `best_member` and `swa`: the corners and the middle of a simplex.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Optimizer, Result, Study, Suggestions,
};
use search::point::{self, points_or_done, uniform, untried, vertices};

/// Tries each member alone, then it is done.
pub struct BestMember;

impl Component for BestMember {
    type Options = ();

    fn describe() -> Descriptor {
        Descriptor::new(Kind::Optimizer, "best_member", "the members only")
    }

    fn new((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
}

impl Optimizer for BestMember {
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions> {
        let members = count_or_refuse(study, "best_member")?;
        Ok(points_or_done(
            untried(study, vertices(members)),
            count,
            "every member was tried",
        ))
    }
}

/// Tries the uniform average of all members, then it is done.
pub struct Swa;

impl Component for Swa {
    type Options = ();

    fn describe() -> Descriptor {
        Descriptor::new(Kind::Optimizer, "swa", "the uniform average only")
    }

    fn new((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
}

impl Optimizer for Swa {
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions> {
        let members = count_or_refuse(study, "swa")?;
        Ok(points_or_done(
            untried(study, vec![uniform(members)]),
            count,
            "the average was tried",
        ))
    }
}

/// How many members there are, in a space that is one simplex and nothing else.
pub(crate) fn count_or_refuse(study: &Study, name: &str) -> Result<usize> {
    point::members(&study.space).map_err(|error| {
        error.hint(format!(
            "`{name}` searches coefficients; try `sobol` or `random` here"
        ))
    })
}
