//! `best_member` and `swa`: the corners and the middle of a simplex.

use bomf_plugin_api::{
    Component, Context, Coordinate, Descriptor, Domain, Kind, Optimizer, PluginError, Point,
    Result, Study, Suggestion, Suggestions, Trial,
};

/// How far coefficients may differ and still be the same point.
const SAME: f64 = 1e-9;

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

/// The first `count` points as suggestions, or that there are none.
pub(crate) fn points_or_done(mut points: Vec<Point>, count: usize, why: &str) -> Suggestions {
    points.truncate(count);
    match points.is_empty() {
        true => Suggestions::Done {
            why: why.to_owned(),
        },
        false => Suggestions::Points(points.into_iter().map(Suggestion::evaluate).collect()),
    }
}

/// How many members there are: the dimension of the one simplex that the space has to be.
pub(crate) fn count(study: &Study) -> Result<usize> {
    match study.space.as_slice() {
        [only] if let Domain::Simplex { dimension } = only.domain => Ok(dimension),
        other => Err(PluginError::unsupported(format!(
            "found a space of {} parameters, expected one simplex and nothing else",
            other.len()
        ))),
    }
}

pub(crate) fn count_or_refuse(study: &Study, name: &str) -> Result<usize> {
    count(study).map_err(|error| {
        error.hint(format!(
            "`{name}` searches coefficients; try `sobol` or `random` here"
        ))
    })
}

/// Each member alone.
pub(crate) fn vertices(members: usize) -> Vec<Point> {
    (0..members)
        .map(|member| average(&[member], members))
        .collect()
}

/// All members alike.
pub(crate) fn uniform(members: usize) -> Point {
    average(&(0..members).collect::<Vec<_>>(), members)
}

/// The average of some members.
pub(crate) fn average(chosen: &[usize], members: usize) -> Point {
    let mut shares = vec![0.0; members];
    for &member in chosen {
        shares[member] = 1.0 / chosen.len() as f64;
    }
    vec![Coordinate::Simplex(shares)]
}

/// The trial at a point of coefficients, whatever became of it; the last one if there are several.
pub(crate) fn trial_at<'a>(study: &'a Study, point: &Point) -> Option<&'a Trial> {
    study
        .trials
        .iter()
        .rev()
        .find(|trial| same(&trial.suggestion.point, point))
}

/// Those of the points that no trial is at.
pub(crate) fn untried(study: &Study, points: Vec<Point>) -> Vec<Point> {
    let mut left: Vec<Point> = Vec::new();
    for point in points {
        // With one member the corner and the middle are the same point.
        if trial_at(study, &point).is_none() && !left.iter().any(|other| same(other, &point)) {
            left.push(point);
        }
    }
    left
}

fn same(a: &Point, b: &Point) -> bool {
    match (a.as_slice(), b.as_slice()) {
        ([Coordinate::Simplex(a)], [Coordinate::Simplex(b)]) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= SAME)
        }
        _ => false,
    }
}
