//! Where a search goes from a point, and where it starts.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::{Kind, SearchSpace, integer, largest, share};
use crate::simplex;

impl SearchSpace {
    /// A random point for the start of a search: uniform, but on simplices also faces, small ones as likely as large.
    #[must_use]
    pub fn draw_on_face(&self, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let mut point = self.from_cube(|| rng.random::<f64>().max(f64::MIN_POSITIVE));
        for block in &self.blocks {
            if let Kind::Simplex { dimension } = block.kind {
                point[block.from..block.from + block.width]
                    .copy_from_slice(&simplex::draw_on_face(dimension, rng));
            }
        }
        point
    }

    /// A random neighbour of a point: one or more parameters moved, near steps as likely as far ones.
    #[must_use]
    pub fn neighbour(&self, point: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
        let mut moved = point.to_vec();
        // Each parameter moves with even odds, one of them surely.
        let sure = rng.random_range(0..self.blocks.len());
        for (index, block) in self.blocks.iter().enumerate() {
            if index != sure && rng.random::<bool>() {
                continue;
            }
            let target = &mut moved[block.from..block.from + block.width];
            let step = (0.003_f64.ln() * rng.random::<f64>()).exp();
            let mut shift = || step * (2.0 * rng.random::<f64>() - 1.0);
            match &block.kind {
                Kind::Float { low, high, .. } if low == high => target[0] = 0.0,
                Kind::Float { .. } => target[0] = (target[0] + shift()).clamp(0.0, 1.0),
                Kind::Integer { low, high, scale } => {
                    let old = integer(*low, *high, *scale, target[0]);
                    let at = (target[0] + shift()).clamp(0.0, 1.0);
                    let new = match integer(*low, *high, *scale, at) {
                        new if new != old => new,
                        // A step too small to reach another integer goes to the next.
                        _ if at >= target[0] && old < *high => old + 1,
                        _ if old > *low => old - 1,
                        _ => old,
                    };
                    target[0] = share(*low as f64, *high as f64, *scale, new as f64);
                }
                Kind::Choice { count } => {
                    target.fill(0.0);
                    target[rng.random_range(0..*count)] = 1.0;
                }
                Kind::Simplex { .. } => {
                    let neighbour = simplex::neighbour(target, rng);
                    target.copy_from_slice(&neighbour);
                }
                Kind::Ray { .. } => {
                    for number in target {
                        *number = (*number + shift()).clamp(0.0, 1.0);
                    }
                }
            }
        }
        moved
    }

    /// Whether any parameter is an integer or a choice.
    #[must_use]
    pub fn has_steps(&self) -> bool {
        self.blocks
            .iter()
            .any(|block| matches!(block.kind, Kind::Integer { .. } | Kind::Choice { .. }))
    }

    /// Every point that differs in one integer by one or two, or in one choice.
    #[must_use]
    pub fn steps(&self, point: &[f64]) -> Vec<Vec<f64>> {
        let mut all = Vec::new();
        for block in &self.blocks {
            let place = block.from..block.from + block.width;
            match &block.kind {
                Kind::Integer { low, high, scale } => {
                    let now = integer(*low, *high, *scale, point[block.from]);
                    for step in [-2, -1, 1, 2] {
                        if let Some(next) = now.checked_add(step)
                            && (*low..=*high).contains(&next)
                        {
                            let mut other = point.to_vec();
                            other[block.from] =
                                share(*low as f64, *high as f64, *scale, next as f64);
                            all.push(other);
                        }
                    }
                }
                Kind::Choice { count } => {
                    let now = largest(&point[place.clone()]);
                    for choice in (0..*count).filter(|choice| *choice != now) {
                        let mut other = point.to_vec();
                        other[place.clone()].fill(0.0);
                        other[block.from + choice] = 1.0;
                        all.push(other);
                    }
                }
                _ => {}
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::SimplexMode;
    use super::super::tests::space;
    use super::*;
    use bomf_plugin_api::Coordinate;
    use rand_chacha::rand_core::SeedableRng as _;

    #[test]
    fn steps_reach_every_choice_and_the_nearest_integers() {
        let encoding = SearchSpace::new(&space(), SimplexMode::Shares).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut point = encoding.draw_on_face(&mut rng);
        point[2] = 0.0; // layers at its lower bound
        let layers: Vec<_> = encoding
            .steps(&point)
            .iter()
            .map(|other| encoding.decode(other)[2].clone())
            .filter(|coordinate| *coordinate != Coordinate::Integer(-3))
            .collect();
        assert_eq!(layers, [Coordinate::Integer(-2), Coordinate::Integer(-1)]);
        assert!(encoding.has_steps());
    }
}
