//! `greedy`: averages of ever more members.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Optimizer, Outcome, Result, Study, Suggestions, Trial,
};

use search::point::{average, points_or_done, trial_at, untried, vertices};

use crate::members::count_or_refuse;

/// The greedy soup (Wortsman et al. 2022, recipe 1): members in the order of their own quality, each kept if the average
/// of the kept ones gets better.
///
/// Quality is the sum of the study's normalised objectives. First every member alone, then one evaluation per member but
/// the best. While the order or the next average hangs on trials that are still pending, there is nothing to suggest and
/// the list is empty. A member whose own trial failed is left out, an average whose trial failed counts as no better.
pub struct Greedy;

impl Component for Greedy {
    type Options = ();

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Optimizer,
            "greedy",
            "the members, then averages of ever more of them",
        )
    }

    fn new((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
}

impl Optimizer for Greedy {
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions> {
        // 1. The members themselves.
        let members = count_or_refuse(study, "greedy")?;
        let vertices = vertices(members);
        let left = untried(study, vertices.clone());
        if !left.is_empty() {
            return Ok(points_or_done(left, count, ""));
        }
        if vertices
            .iter()
            .any(|vertex| is_pending(trial_at(study, vertex)))
        {
            return Ok(Suggestions::Points(Vec::new()));
        }

        // 2. Their order: best first, ties to the earlier member.
        let trials: Vec<Option<&Trial>> = vertices.iter().map(|v| trial_at(study, v)).collect();
        // The members alone say in which units objectives are summed: what comes later changes no decision.
        let sum = study.normalised_sum(trials.iter().copied().flatten());
        let quality = |trial: Option<&Trial>| match &trial?.outcome {
            Outcome::Finished { values, .. } => Some(sum(values)),
            _ => None,
        };
        let mut order: Vec<(usize, f64)> = (trials.iter().enumerate())
            .filter_map(|(member, trial)| Some((member, quality(*trial)?)))
            .collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let Some(&(best, mut kept_quality)) = order.first() else {
            return Ok(Suggestions::Done {
                why: "no member could be evaluated".to_owned(),
            });
        };

        // 3. Replay what was decided, up to the first average without an outcome.
        let mut kept = vec![best];
        for &(member, _) in &order[1..] {
            let mut candidate = kept.clone();
            candidate.push(member);
            let point = average(&candidate, members);
            let Some(trial) = trial_at(study, &point) else {
                return Ok(points_or_done(vec![point], 1, ""));
            };
            if is_pending(Some(trial)) {
                return Ok(Suggestions::Points(Vec::new()));
            }
            if let Some(quality) = quality(Some(trial))
                && quality > kept_quality
            {
                (kept, kept_quality) = (candidate, quality);
            }
        }
        Ok(Suggestions::Done {
            why: "every member was added or passed over".to_owned(),
        })
    }
}

fn is_pending(trial: Option<&Trial>) -> bool {
    trial.is_some_and(|trial| matches!(trial.outcome, Outcome::Pending))
}
