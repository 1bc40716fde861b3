//! The points before there is a model.

use ::search::point::corners;

use crate::quasi::Sobol;
use crate::simplex;
use crate::space::SearchSpace;

/// What is tried first, encoded.
#[derive(Debug, Clone)]
pub struct Design {
    /// Members and their uniform average, where the space has a simplex.
    pub members: Vec<Vec<f64>>,
    /// Points that fill the space, in order; as many as one likes.
    sobol: Sobol,
    space: SearchSpace,
}

impl Design {
    /// The design of a space and a seed, for so many trials in all, if that is known: members and average as [`corners`]
    /// orders them.
    #[must_use]
    pub fn new(space: &SearchSpace, seed: u64, budget: Option<u64>) -> Self {
        let mut design = Self {
            members: Vec::new(),
            sobol: Sobol::new(seed),
            space: space.clone(),
        };
        // What stands beside a simplex takes values that fill its range.
        if let Some(largest) = space.simplex_places().map(|(_, dimension)| dimension).max() {
            for corner in corners(largest, budget) {
                let point = design.with_simplices(corner as u64, |dimension| match corner {
                    _ if corner == largest => simplex::centre(dimension),
                    _ => simplex::vertex(corner % dimension, dimension),
                });
                if !design.members.contains(&point) {
                    design.members.push(point);
                }
            }
        }
        design
    }

    /// Point number `index` of those that fill the space.
    #[must_use]
    pub fn filling(&self, index: u64) -> Vec<f64> {
        let mut dimension = 0;
        self.space.from_cube(|| {
            dimension += 1;
            self.sobol.number(index, dimension - 1)
        })
    }

    /// A filling point whose simplices are replaced.
    fn with_simplices(&self, index: u64, shares: impl Fn(usize) -> Vec<f64>) -> Vec<f64> {
        let mut point = self.filling(index);
        for (from, dimension) in self.space.simplex_places() {
            point[from..from + dimension].copy_from_slice(&shares(dimension));
        }
        point
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::SimplexMode;
    use bomf_plugin_api::{Domain, Parameter, Scale};

    fn space(domains: Vec<Domain>) -> SearchSpace {
        let parameters: Vec<Parameter> = domains
            .into_iter()
            .map(|domain| Parameter {
                name: "p".into(),
                domain,
            })
            .collect();
        SearchSpace::new(&parameters, SimplexMode::Shares).unwrap()
    }

    #[test]
    fn members_come_first_then_their_average() {
        let design = Design::new(&space(vec![Domain::Simplex { dimension: 3 }]), 1, None);
        assert_eq!(design.members.len(), 4);
        assert_eq!(design.members[2], [0.0, 0.0, 1.0]);
        assert_eq!(design.members[3], [1.0 / 3.0; 3]);
        let one = Design::new(&space(vec![Domain::Simplex { dimension: 1 }]), 1, None);
        assert_eq!(one.members, [[1.0]]);
    }

    #[test]
    fn what_stands_beside_a_simplex_varies() {
        let float = Domain::Float {
            low: 0.0,
            high: 1.0,
            scale: Scale::Linear,
        };
        let design = Design::new(
            &space(vec![float.clone(), Domain::Simplex { dimension: 2 }]),
            1,
            None,
        );
        assert_eq!(design.members.len(), 3);
        assert!(design.members[0][0] != design.members[1][0]);
        assert!(Design::new(&space(vec![float]), 1, None).members.is_empty());
    }
}
