//! `grid`: every corner of a lattice.

use bomf_plugin_api::{
    Component, Context, Coordinate, Descriptor, Domain, Kind, Optimizer, Parameter, PluginError,
    Result, Study, Suggestion, Suggestions,
};
use schemars::JsonSchema;
use serde::Deserialize;

use search::axis::between;
use search::point::unknown;

/// A lattice with more corners than this on one axis is a mistake in the configuration.
const MAX_AXIS: usize = 1_000_000;

/// Options of `grid`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GridOptions {
    /// Values per numeric axis, ends included; on a simplex the coefficients are multiples of `1 / (points - 1)`.
    /// Integer axes have at most as many values as there are integers; choices are all tried.
    #[schemars(range(min = 1, max = 1000))]
    pub points: usize,
}

impl Default for GridOptions {
    fn default() -> Self {
        Self { points: 5 }
    }
}

/// Tries every corner of a lattice, the last axis fastest, then it is done.
pub struct Grid {
    options: GridOptions,
}

impl Component for Grid {
    type Options = GridOptions;

    fn describe() -> Descriptor {
        Descriptor::new(Kind::Optimizer, "grid", "every corner of a lattice")
    }

    fn new(options: GridOptions, _: &Context) -> Result<Self> {
        Ok(Self { options })
    }
}

impl Optimizer for Grid {
    fn suggest(&mut self, study: &Study, count: usize) -> Result<Suggestions> {
        let axes = study
            .space
            .iter()
            .map(|parameter| axis(parameter, self.options.points))
            .collect::<Result<Vec<_>>>()?;
        let total = axes.iter().map(|axis| axis.len() as u128).product::<u128>();
        let first = study.trials.len() as u128;
        let points: Vec<_> = (first..total.min(first + count as u128))
            .map(|corner| Suggestion::evaluate(pick(&axes, corner)))
            .collect();
        Ok(match points.is_empty() {
            true => Suggestions::Done {
                why: format!("all {total} corners of the grid were tried"),
            },
            false => Suggestions::Points(points),
        })
    }
}

/// Corner number `corner` in mixed radix, the last axis fastest.
fn pick(axes: &[Vec<Coordinate>], mut corner: u128) -> Vec<Coordinate> {
    let mut point: Vec<_> = axes
        .iter()
        .rev()
        .map(|axis| {
            let index = (corner % axis.len() as u128) as usize;
            corner /= axis.len() as u128;
            axis[index].clone()
        })
        .collect();
    point.reverse();
    point
}

fn axis(parameter: &Parameter, points: usize) -> Result<Vec<Coordinate>> {
    // One value sits in the middle, more include both ends.
    let share = |i: usize| {
        if points == 1 {
            0.5
        } else {
            i as f64 / (points - 1) as f64
        }
    };
    Ok(match &parameter.domain {
        Domain::Float { low, high, .. } if low == high => vec![Coordinate::Float(*low)],
        Domain::Float { low, high, scale } => (0..points)
            .map(|i| Coordinate::Float(between(*low, *high, *scale, share(i))))
            .collect(),
        Domain::Integer { low, high, scale } => {
            let mut values: Vec<i64> = (0..points)
                .map(|i| between(*low as f64, *high as f64, *scale, share(i)).round() as i64)
                .map(|value| value.clamp(*low, *high))
                .collect();
            values.dedup();
            values.into_iter().map(Coordinate::Integer).collect()
        }
        Domain::Choice { count } => (0..*count).map(Coordinate::Choice).collect(),
        Domain::Simplex { dimension } => {
            let parts = points - 1;
            if compositions(parts, *dimension) > MAX_AXIS as u128 {
                return Err(PluginError::input(format!(
                    "parameter `{}`: found a lattice of more than {MAX_AXIS} points, with {points} points per axis on a simplex of {dimension}",
                    parameter.name
                ))
                .hint("use fewer `points`, or `dirichlet`"));
            }
            if parts == 0 {
                return Ok(vec![Coordinate::Simplex(vec![
                    1.0 / *dimension as f64;
                    *dimension
                ])]);
            }
            let mut corners = Vec::new();
            compose(parts, &mut vec![0; *dimension], 0, parts, &mut corners);
            corners.into_iter().map(Coordinate::Simplex).collect()
        }
        other => return Err(unknown(other)),
    })
}

/// In how many ways `parts` equal parts can be shared among `among`: `C(parts + among - 1, parts)`, saturating.
fn compositions(parts: usize, among: usize) -> u128 {
    let mut ways: u128 = 1;
    for i in 1..=parts as u128 {
        ways = match ways.checked_mul(among as u128 + i - 1) {
            Some(product) => product / i,
            None => return u128::MAX,
        };
    }
    ways
}

/// Appends every way to share `left` of `parts` equal parts among the places from `at`.
fn compose(left: usize, shares: &mut Vec<usize>, at: usize, parts: usize, to: &mut Vec<Vec<f64>>) {
    if at + 1 == shares.len() {
        shares[at] = left;
        to.push(
            shares
                .iter()
                .map(|&share| share as f64 / parts as f64)
                .collect(),
        );
        return;
    }
    for share in (0..=left).rev() {
        shares[at] = share;
        compose(left - share, shares, at + 1, parts, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simplex_lattice_has_as_many_corners_as_there_are_compositions() {
        let simplex = Parameter {
            name: "c".into(),
            domain: Domain::Simplex { dimension: 3 },
        };
        let corners = axis(&simplex, 5).unwrap();
        assert_eq!(corners.len() as u128, compositions(4, 3));
        assert_eq!(corners[0], Coordinate::Simplex(vec![1.0, 0.0, 0.0]));
        assert_eq!(axis(&simplex, 1).unwrap().len(), 1);
    }

    #[test]
    fn a_lattice_too_large_to_walk_is_refused() {
        let simplex = Parameter {
            name: "c".into(),
            domain: Domain::Simplex { dimension: 200 },
        };
        let error = axis(&simplex, 100).unwrap_err();
        assert!(error.message.contains("`c`") && error.hint.is_some());
    }
}
