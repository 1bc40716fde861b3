//! Points: draws, members of a simplex, which are the same.

use bomf_plugin_api::{
    Coordinate, Domain, Parameter, PluginError, Point, Result, Study, Suggestion, Suggestions,
    Trial,
};

use crate::axis::Axis;

/// A point of the space from one number in `[0, 1)` per axis, uniform if they are: on a simplex with respect to its
/// volume, on a log scale with respect to ratios.
///
/// `next` is called once per parameter, per coefficient on a simplex, in the order of the space.
///
/// # Errors
/// For a domain that was added to the API after this version.
pub fn draw(space: &[Parameter], mut next: impl FnMut() -> f64) -> Result<Point> {
    space
        .iter()
        .map(|parameter| coordinate(&parameter.domain, &mut next))
        .collect()
}

fn coordinate(domain: &Domain, next: &mut impl FnMut() -> f64) -> Result<Coordinate> {
    if let Some(axis) = Axis::of(domain) {
        return Ok(axis.value(next()));
    }
    Ok(match domain {
        Domain::Choice { count } => {
            // Truncation is the point: equal shares of [0, 1).
            Coordinate::Choice(((next() * *count as f64) as usize).min(count - 1))
        }
        Domain::Simplex { dimension } => {
            let masses = (0..*dimension).map(|_| -(1.0 - next()).ln()).collect();
            Coordinate::Simplex(normalised(masses))
        }
        other => return Err(unknown(other)),
    })
}

/// Masses that are not negative, scaled to sum to one; nothing but zeros becomes the uniform point.
#[must_use]
pub fn normalised(mut masses: Vec<f64>) -> Vec<f64> {
    let total: f64 = masses.iter().sum();
    let uniform = 1.0 / masses.len() as f64;
    for mass in &mut masses {
        *mass = if total > 0.0 && total.is_finite() {
            *mass / total
        } else {
            uniform
        };
    }
    masses
}

/// The refusal of a domain that was added to the API after this plugin was built.
#[must_use]
pub fn unknown(domain: &Domain) -> PluginError {
    PluginError::unsupported(format!(
        "found the domain {domain:?}, which this version of the plugin does not know"
    ))
}

/// How many points there are, if there are finitely many.
#[must_use]
pub fn count(space: &[Parameter]) -> Option<u128> {
    space.iter().try_fold(1_u128, |size, parameter| {
        let own = match &parameter.domain {
            Domain::Float { low, high, .. } => (low == high).then_some(1)?,
            Domain::Integer { low, high, .. } => u128::from(low.abs_diff(*high)) + 1,
            Domain::Choice { count } => *count as u128,
            Domain::Simplex { dimension } => (*dimension == 1).then_some(1)?,
            _ => return None,
        };
        size.checked_mul(own)
    })
}

/// How many members there are: the dimension of the one simplex that the space has to be.
///
/// # Errors
/// When the space is anything else.
pub fn members(space: &[Parameter]) -> Result<usize> {
    match space {
        [only] if let Domain::Simplex { dimension } = only.domain => Ok(dimension),
        other => Err(PluginError::unsupported(format!(
            "found a space of {} parameters, expected one simplex and nothing else",
            other.len()
        ))),
    }
}

/// Each member alone.
#[must_use]
pub fn vertices(members: usize) -> Vec<Point> {
    (0..members)
        .map(|member| average(&[member], members))
        .collect()
}

/// All members alike.
#[must_use]
pub fn uniform(members: usize) -> Point {
    average(&(0..members).collect::<Vec<_>>(), members)
}

/// The average of some members.
#[must_use]
pub fn average(chosen: &[usize], members: usize) -> Point {
    let mut shares = vec![0.0; members];
    for &member in chosen {
        shares[member] = 1.0 / chosen.len() as f64;
    }
    vec![Coordinate::Simplex(shares)]
}

/// What is tried first of so many members, for so many trials in all, if that is known: positions of members, and `members`
/// itself, which stands for their average.
///
/// All members come first and then the average. Where that would take more than half of the trials, the average comes first
/// and then, for the rest of that half, members in even steps from the first to the last.
#[must_use]
pub fn corners(members: usize, budget: Option<u64>) -> Vec<usize> {
    let half = budget.map_or(usize::MAX, |budget| (budget / 2) as usize);
    if members < half.max(2) {
        return (0..=members).collect();
    }
    let (last, count) = (members - 1, half.saturating_sub(1).max(1));
    // A single one is the last.
    let spread = (0..count)
        .rev()
        .map(|left| last - left * last / (count - 1).max(1));
    std::iter::once(members).chain(spread).collect()
}

/// How far coefficients may differ and still be the same point.
const SAME: f64 = 1e-9;

/// Whether two points are the same: coefficients within a rounding, everything else exactly.
#[must_use]
pub fn same(a: &Point, b: &Point) -> bool {
    let alike = |(a, b): (&Coordinate, &Coordinate)| match (a, b) {
        (Coordinate::Simplex(a), Coordinate::Simplex(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= SAME)
        }
        (a, b) => a == b,
    };
    a.len() == b.len() && a.iter().zip(b).all(alike)
}

/// The trial at a point, whatever became of it; the last one if there are several.
#[must_use]
pub fn trial_at<'a>(study: &'a Study, point: &Point) -> Option<&'a Trial> {
    study
        .trials
        .iter()
        .rev()
        .find(|trial| same(&trial.suggestion.point, point))
}

/// Those of the points that no trial is at, each once.
#[must_use]
pub fn untried(study: &Study, points: Vec<Point>) -> Vec<Point> {
    let mut left: Vec<Point> = Vec::new();
    for point in points {
        // With one member the corner and the middle are the same point.
        if trial_at(study, &point).is_none() && !left.iter().any(|other| same(other, &point)) {
            left.push(point);
        }
    }
    left
}

/// Whether the space is finite and some trial is at every point of it.
#[must_use]
pub fn is_used_up(study: &Study) -> bool {
    let Some(size) = count(&study.space).filter(|size| *size <= study.trials.len() as u128) else {
        return false;
    };
    let tried = study.trials.iter().map(|t| t.suggestion.point.clone());
    let empty = Study::new(study.space.clone(), Vec::new());
    size <= untried(&empty, tried.collect()).len() as u128
}

/// The first `count` points as suggestions, or that there are none.
#[must_use]
pub fn points_or_done(mut points: Vec<Point>, count: usize, why: &str) -> Suggestions {
    points.truncate(count);
    match points.is_empty() {
        true => Suggestions::Done {
            why: why.to_owned(),
        },
        false => Suggestions::Points(points.into_iter().map(Suggestion::evaluate).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bomf_plugin_api::Scale;

    #[test]
    fn masses_of_zero_become_the_uniform_point() {
        assert_eq!(normalised(vec![0.0, 0.0]), vec![0.5, 0.5]);
        assert_eq!(normalised(vec![1.0, 3.0]), vec![0.25, 0.75]);
    }

    #[test]
    fn finite_spaces_are_counted() {
        let parameter = |domain| Parameter {
            name: "p".into(),
            domain,
        };
        let integer = Domain::Integer {
            low: -1,
            high: 3,
            scale: Scale::Linear,
        };
        let float = |high| Domain::Float {
            low: 1.0,
            high,
            scale: Scale::Linear,
        };
        let finite = [
            parameter(integer),
            parameter(Domain::Choice { count: 4 }),
            parameter(Domain::Simplex { dimension: 1 }),
            parameter(float(1.0)),
        ];
        assert_eq!(count(&finite), Some(20));
        assert_eq!(count(&[parameter(float(2.0))]), None);
        assert_eq!(count(&[parameter(Domain::Simplex { dimension: 2 })]), None);
    }

    #[test]
    fn members_take_no_more_than_half_of_the_trials() {
        assert_eq!(corners(15, Some(75)), (0..=15).collect::<Vec<_>>());
        assert_eq!(corners(15, Some(32)), (0..=15).collect::<Vec<_>>());
        assert_eq!(corners(15, Some(10)), [15, 0, 5, 10, 14]);
        assert_eq!(corners(200, Some(4)), [200, 199]);
        assert_eq!(corners(200, Some(0)), [200, 199]);
        assert_eq!(corners(1, Some(1)), [0, 1]);
        let of_200 = corners(200, Some(75));
        assert_eq!(
            (of_200.len(), of_200[0], of_200[1], of_200[36]),
            (37, 200, 0, 199)
        );
    }

    #[test]
    fn points_differ_by_any_coordinate() {
        let point = |x, i, share| {
            vec![
                Coordinate::Float(x),
                Coordinate::Choice(i),
                Coordinate::Simplex(vec![share, 1.0 - share]),
            ]
        };
        assert!(same(&point(1.0, 0, 0.5), &point(1.0, 0, 0.5 + 1e-12)));
        assert!(!same(&point(1.0, 0, 0.5), &point(1.0 + 1e-12, 0, 0.5)));
        assert!(!same(&point(1.0, 0, 0.5), &point(1.0, 1, 0.5)));
        assert!(!same(&point(1.0, 0, 0.5), &point(1.0, 0, 0.6)));
    }
}
