//! Points that were tried already.

use crate::space::SearchSpace;

/// Encoded points that are no further from each other than this, in every coordinate, are the same.
pub const SAME: f64 = 1e-9;

/// A set of points. Two are the same if what they stand for is, whatever numbers they are given in: a box whose points are
/// divided by their sum has many for each.
#[derive(Debug, Clone)]
pub struct Taken {
    space: SearchSpace,
    /// As the space encodes them.
    points: Vec<Vec<f64>>,
}

impl Taken {
    /// Those of some encoded points.
    pub fn of<'a>(space: &SearchSpace, points: impl IntoIterator<Item = &'a Vec<f64>>) -> Self {
        let canonical = |point: &Vec<f64>| space.canonical(point);
        Self {
            space: space.clone(),
            points: points.into_iter().map(canonical).collect(),
        }
    }

    /// Adds an encoded point.
    pub fn insert(&mut self, point: &[f64]) {
        self.points.push(self.space.canonical(point));
    }

    /// Whether a point lies no further than `distance`, in every coordinate, from one of these.
    #[must_use]
    pub fn has_within(&self, point: &[f64], distance: f64) -> bool {
        if self.points.is_empty() {
            return false;
        }
        let point = self.space.canonical(point);
        self.points
            .iter()
            .any(|other| is_near(other, &point, distance))
    }

    /// Whether a point is one of these.
    #[must_use]
    pub fn has(&self, point: &[f64]) -> bool {
        self.has_within(point, SAME)
    }

    /// How many different points there are.
    #[must_use]
    pub fn count(&self) -> usize {
        let is_first = |i: &usize| {
            let mut before = self.points[..*i].iter();
            !before.any(|other| is_near(other, &self.points[*i], SAME))
        };
        (0..self.points.len()).filter(is_first).count()
    }
}

fn is_near(a: &[f64], b: &[f64], distance: f64) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= distance)
}
