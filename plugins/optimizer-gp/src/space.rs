//! The search space as the model sees it: every point a list of numbers of comparable size.

mod moves;

use crate::simplex;
use bomf_plugin_api::{Coordinate, Domain, Parameter, PluginError, Point, Result, Scale};

/// Shares below this are given out as exactly zero.
const LEAST_SHARE: f64 = 1e-7;

/// How one parameter is encoded.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// One number in `[0, 1]`.
    Float { low: f64, high: f64, scale: Scale },
    /// One number in `[0, 1]`; only those of integers are points.
    Integer { low: i64, high: i64, scale: Scale },
    /// One number per choice: 1 for the chosen, 0 for the others.
    Choice { count: usize },
    /// The shares themselves.
    Simplex { dimension: usize },
    /// Numbers in `[0, 1]` that are divided by their sum to give the shares.
    Ray { dimension: usize },
}

/// Where one parameter's numbers are, and what they are.
#[derive(Debug, Clone, PartialEq)]
struct Block {
    from: usize,
    width: usize,
    kind: Kind,
}

/// Encodes points as lists of `dimension` numbers, and the other way round.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchSpace {
    blocks: Vec<Block>,
    dimension: usize,
}

/// How a simplex is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimplexMode {
    /// The model sees shares, the search stays on the simplex.
    Shares,
    /// The model sees a box, whose points are divided by their sum.
    Normalize,
}

impl SearchSpace {
    /// The encoding of a space.
    ///
    /// # Errors
    /// If the space has no parameter, or one of a domain that this version does not know.
    pub fn new(space: &[Parameter], mode: SimplexMode) -> Result<Self> {
        let mut blocks = Vec::with_capacity(space.len());
        let mut from = 0;
        for parameter in space {
            let (kind, width) = match parameter.domain {
                Domain::Float { low, high, scale } => (Kind::Float { low, high, scale }, 1),
                Domain::Integer { low, high, scale } => (Kind::Integer { low, high, scale }, 1),
                Domain::Choice { count } => (Kind::Choice { count }, count),
                Domain::Simplex { dimension } => match mode {
                    SimplexMode::Shares => (Kind::Simplex { dimension }, dimension),
                    SimplexMode::Normalize => (Kind::Ray { dimension }, dimension),
                },
                ref other => {
                    return Err(PluginError::unsupported(format!(
                        "parameter `{}`: found the domain {other:?}, which this version does not know",
                        parameter.name
                    )));
                }
            };
            blocks.push(Block { from, width, kind });
            from += width;
        }
        if blocks.is_empty() {
            return Err(PluginError::input(
                "found a space without parameters, expected at least one",
            ));
        }
        Ok(Self {
            blocks,
            dimension: from,
        })
    }

    /// The space of so many points at once, one after the other.
    #[must_use]
    pub fn repeated(&self, count: usize) -> Self {
        let shifted = |at: usize| {
            self.blocks.iter().map(move |block| Block {
                from: at * self.dimension + block.from,
                ..block.clone()
            })
        };
        Self {
            blocks: (0..count).flat_map(shifted).collect(),
            dimension: count * self.dimension,
        }
    }

    /// Numbers per encoded point.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// For each number, the count of dimensions that its length scale's prior is scaled by: all of them in a box. On a
    /// simplex distances do not grow with the dimension, so that its numbers count as if there were one.
    #[must_use]
    pub fn prior_dimensions(&self) -> Vec<f64> {
        let boxed: usize = self
            .blocks
            .iter()
            .filter(|block| !matches!(block.kind, Kind::Simplex { .. }))
            .map(|block| block.width)
            .sum();
        self.blocks
            .iter()
            .flat_map(|block| {
                let count = match block.kind {
                    Kind::Simplex { .. } => 1.0,
                    _ => boxed as f64,
                };
                std::iter::repeat_n(count, block.width)
            })
            .collect()
    }

    /// Whether there is a simplex whose shares the model sees themselves.
    #[must_use]
    pub fn has_shares(&self) -> bool {
        let is_simplex = |block: &Block| matches!(block.kind, Kind::Simplex { .. });
        self.blocks.iter().any(is_simplex)
    }

    /// First number and dimension of each simplex.
    pub fn simplex_places(&self) -> impl Iterator<Item = (usize, usize)> {
        self.blocks.iter().filter_map(|block| match block.kind {
            Kind::Simplex { dimension } | Kind::Ray { dimension } => Some((block.from, dimension)),
            _ => None,
        })
    }

    /// The numbers of a point of the space, `[dimension]`.
    #[must_use]
    pub fn encode(&self, point: &Point) -> Vec<f64> {
        let mut encoded = vec![0.0; self.dimension];
        for (block, coordinate) in self.blocks.iter().zip(point) {
            let target = &mut encoded[block.from..block.from + block.width];
            match (&block.kind, coordinate) {
                (Kind::Float { low, high, scale }, Coordinate::Float(x)) => {
                    target[0] = share(*low, *high, *scale, *x);
                }
                (Kind::Integer { low, high, scale }, Coordinate::Integer(i)) => {
                    target[0] = share(*low as f64, *high as f64, *scale, *i as f64);
                }
                (Kind::Choice { .. }, Coordinate::Choice(index)) => target[*index] = 1.0,
                (_, Coordinate::Simplex(shares)) => target.copy_from_slice(shares),
                _ => unreachable!("the study was checked against its space"),
            }
        }
        encoded
    }

    /// The numbers that a point of some numbers is encoded as: the same for all that stand for one point.
    #[must_use]
    pub fn canonical(&self, encoded: &[f64]) -> Vec<f64> {
        self.encode(&self.decode(encoded))
    }

    /// The point of some numbers that lie in the space, as [`Self::project`] and [`Self::round`] leave them.
    #[must_use]
    pub fn decode(&self, encoded: &[f64]) -> Point {
        self.blocks
            .iter()
            .map(|block| {
                let numbers = &encoded[block.from..block.from + block.width];
                match &block.kind {
                    Kind::Float { low, high, scale } => {
                        Coordinate::Float(value(*low, *high, *scale, numbers[0]))
                    }
                    Kind::Integer { low, high, scale } => {
                        Coordinate::Integer(integer(*low, *high, *scale, numbers[0]))
                    }
                    Kind::Choice { .. } => Coordinate::Choice(largest(numbers)),
                    Kind::Simplex { .. } | Kind::Ray { .. } => Coordinate::Simplex(shares(numbers)),
                }
            })
            .collect()
    }

    /// A point from one number in `(0, 1)` per dimension, taken in order; uniform if they are.
    #[must_use]
    pub fn from_cube(&self, mut next: impl FnMut() -> f64) -> Vec<f64> {
        let mut point = Vec::with_capacity(self.dimension);
        for block in &self.blocks {
            match &block.kind {
                Kind::Float { low, high, .. } => {
                    // One that is fixed has one number, too, but takes its dimension all the same.
                    let number = next();
                    point.push(if low == high { 0.0 } else { number });
                }
                Kind::Integer { low, high, scale } => {
                    // Equal shares for all integers, on a log scale shares of the ratio.
                    let (from, to) = (*low as f64 - 0.5, *high as f64 + 0.5);
                    let (from, to) = match scale {
                        Scale::Log => (*low as f64, *high as f64),
                        _ => (from, to),
                    };
                    let at = value(from, to, *scale, next());
                    point.push(share(*low as f64, *high as f64, *scale, at).clamp(0.0, 1.0));
                }
                Kind::Choice { count } => {
                    let chosen = ((next() * *count as f64) as usize).min(count - 1);
                    point.extend((0..*count).map(|i| f64::from(i == chosen)));
                }
                Kind::Simplex { dimension } => {
                    point.extend(simplex::from_cube(&mut next, *dimension));
                }
                Kind::Ray { dimension } => point.extend((0..*dimension).map(|_| next())),
            }
        }
        self.round(&mut point);
        point
    }

    /// Replaces numbers by the nearest ones that lie in the space, but for integers that may be between two. Choices are
    /// set to those of `start`, integers too if `hold_integers`.
    pub fn project(&self, point: &mut [f64], start: &[f64], hold_integers: bool) {
        for block in &self.blocks {
            let place = block.from..block.from + block.width;
            let target = &mut point[place.clone()];
            match &block.kind {
                Kind::Choice { .. } => target.copy_from_slice(&start[place]),
                Kind::Integer { .. } if hold_integers => target.copy_from_slice(&start[place]),
                Kind::Float { low, high, .. } if low == high => target[0] = 0.0,
                Kind::Integer { .. } | Kind::Float { .. } | Kind::Ray { .. } => {
                    target
                        .iter_mut()
                        .for_each(|number| *number = number.clamp(0.0, 1.0));
                }
                Kind::Simplex { .. } => ::search::simplex::project(target),
            }
        }
    }

    /// Moves every integer's number to the nearest integer, every choice to its largest number.
    pub fn round(&self, point: &mut [f64]) {
        for block in &self.blocks {
            let target = &mut point[block.from..block.from + block.width];
            match &block.kind {
                Kind::Integer { low, high, scale } => {
                    let nearest = integer(*low, *high, *scale, target[0]);
                    target[0] = share(*low as f64, *high as f64, *scale, nearest as f64);
                }
                Kind::Choice { .. } => {
                    let chosen = largest(target);
                    target.fill(0.0);
                    target[chosen] = 1.0;
                }
                _ => {}
            }
        }
    }
}

/// How far a value lies from `low` to `high`, in `[0, 1]`; 0 if there is no way between.
fn share(low: f64, high: f64, scale: Scale, x: f64) -> f64 {
    if low >= high {
        return 0.0;
    }
    match scale {
        Scale::Log => (x.ln() - low.ln()) / (high.ln() - low.ln()),
        // Halves: the whole range may be too large for a number.
        _ => (0.5 * x - 0.5 * low) / (0.5 * high - 0.5 * low),
    }
}

/// The value at a share of the way from `low` to `high`, never outside of them; the ends exactly.
fn value(low: f64, high: f64, scale: Scale, at: f64) -> f64 {
    if at <= 0.0 || at >= 1.0 {
        return if at <= 0.0 { low } else { high };
    }
    let x = match scale {
        Scale::Log => (low.ln() + at * (high.ln() - low.ln())).exp(),
        _ => low * (1.0 - at) + high * at,
    };
    x.clamp(low, high)
}

fn integer(low: i64, high: i64, scale: Scale, at: f64) -> i64 {
    (value(low as f64, high as f64, scale, at).round() as i64).clamp(low, high)
}

/// The first of the largest numbers.
fn largest(numbers: &[f64]) -> usize {
    (0..numbers.len())
        .rev()
        .max_by(|&a, &b| numbers[a].total_cmp(&numbers[b]))
        .unwrap_or(0)
}

/// Numbers divided by their sum, the tiny ones exactly zero; nothing but zeros become the uniform average.
fn shares(numbers: &[f64]) -> Vec<f64> {
    let total: f64 = numbers.iter().sum();
    if total <= 0.0 {
        return simplex::centre(numbers.len());
    }
    let cut = |number: &f64| {
        if *number < LEAST_SHARE * total {
            0.0
        } else {
            *number
        }
    };
    let kept: f64 = numbers.iter().map(cut).sum();
    numbers.iter().map(|number| cut(number) / kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bomf_plugin_api::check_point;
    use rand::RngExt as _;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    pub(super) fn space() -> Vec<Parameter> {
        let parameter = |name: &str, domain| Parameter {
            name: name.into(),
            domain,
        };
        vec![
            parameter(
                "rate",
                Domain::Float {
                    low: 1e-6,
                    high: 1e-2,
                    scale: Scale::Log,
                },
            ),
            parameter(
                "fixed",
                Domain::Float {
                    low: 2.5,
                    high: 2.5,
                    scale: Scale::Linear,
                },
            ),
            parameter(
                "layers",
                Domain::Integer {
                    low: -3,
                    high: 9,
                    scale: Scale::Linear,
                },
            ),
            parameter(
                "batch",
                Domain::Integer {
                    low: 1,
                    high: 512,
                    scale: Scale::Log,
                },
            ),
            parameter("schedule", Domain::Choice { count: 3 }),
            parameter("coefficients", Domain::Simplex { dimension: 4 }),
        ]
    }

    #[test]
    fn points_survive_encoding_and_stay_inside() {
        for mode in [SimplexMode::Shares, SimplexMode::Normalize] {
            let encoding = SearchSpace::new(&space(), mode).unwrap();
            assert_eq!(encoding.dimension(), 4 + 3 + 4);
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let mut at = encoding.from_cube(|| rng.random::<f64>().max(1e-300));
            for round in 0..500 {
                at = match round % 3 {
                    0 => encoding.draw_on_face(&mut rng),
                    _ => encoding.neighbour(&at, &mut rng),
                };
                let point = encoding.decode(&at);
                check_point(&space(), &point).unwrap();
                let again = encoding.decode(&encoding.encode(&point));
                for (a, b) in encoding.encode(&point).iter().zip(encoding.encode(&again)) {
                    assert!((a - b).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn projection_and_rounding_bring_any_numbers_into_the_space() {
        let encoding = SearchSpace::new(&space(), SimplexMode::Shares).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let start = encoding.draw_on_face(&mut rng);
        for _ in 0..200 {
            let mut numbers: Vec<f64> = (0..encoding.dimension())
                .map(|_| 20.0 * rng.random::<f64>() - 10.0)
                .collect();
            encoding.project(&mut numbers, &start, false);
            encoding.round(&mut numbers);
            check_point(&space(), &encoding.decode(&numbers)).unwrap();
        }
    }

    #[test]
    fn every_integer_and_choice_is_drawn_about_alike() {
        let space = vec![
            Parameter {
                name: "i".into(),
                domain: Domain::Integer {
                    low: 0,
                    high: 3,
                    scale: Scale::Linear,
                },
            },
            Parameter {
                name: "c".into(),
                domain: Domain::Choice { count: 4 },
            },
        ];
        let encoding = SearchSpace::new(&space, SimplexMode::Shares).unwrap();
        let mut counts = [[0; 4]; 2];
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..4000 {
            let point = encoding.decode(&encoding.from_cube(|| rng.random::<f64>().max(1e-300)));
            let (Coordinate::Integer(i), Coordinate::Choice(c)) = (&point[0], &point[1]) else {
                panic!()
            };
            counts[0][*i as usize] += 1;
            counts[1][*c] += 1;
        }
        assert!(
            counts.iter().flatten().all(|n| (850..1150).contains(n)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_space_without_parameters_is_refused() {
        assert!(SearchSpace::new(&[], SimplexMode::Shares).is_err());
    }

    #[test]
    fn a_repeated_space_holds_points_one_after_the_other() {
        let encoding = SearchSpace::new(&space(), SimplexMode::Shares).unwrap();
        let twice = encoding.repeated(2);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let both = twice.draw_on_face(&mut rng);
        let (first, second) = both.split_at(encoding.dimension());
        assert_eq!(both.len(), twice.dimension());
        let expected = [encoding.decode(first), encoding.decode(second)].concat();
        assert_eq!(twice.decode(&both), expected);
    }

    #[test]
    fn tiny_shares_are_given_out_as_zero() {
        assert_eq!(shares(&[1.0, 1e-9, 3.0]), [0.25, 0.0, 0.75]);
        assert_eq!(shares(&[0.0, 0.0]), [0.5, 0.5]);
    }
}
