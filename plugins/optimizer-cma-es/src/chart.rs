//! The space as numbers without constraints, and the way back into it.

use bomf_plugin_api::{Coordinate, Domain, Parameter, PluginError, Point, Result};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use search::axis::Axis;
use search::{point, simplex};

/// Standard deviation of a uniform distribution on `[0, 1]`: `1 / sqrt(12)`.
const UNIFORM_DEVIATION: f64 = 0.288_675_134_594_812_9;
/// Least standard deviation of an integer, in steps: at the middle of its cell one draw in 80 leaves it.
const LEAST_DEVIATION: f64 = 0.2;

/// One parameter's numbers.
#[derive(Debug, Clone, PartialEq)]
enum Block {
    /// None: there is one value only.
    Fixed(Coordinate),
    /// One, in `[0, 1]`.
    Number(Axis),
    /// `dimension - 1`, with the uniform average at the origin.
    Simplex(usize),
}

/// Numbers for points and points for numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chart {
    blocks: Vec<Block>,
    pub(crate) dimension: usize,
}

impl Chart {
    /// # Errors
    /// If there is a choice, or a domain that this version does not know.
    pub(crate) fn new(space: &[Parameter]) -> Result<Self> {
        let blocks = space.iter().map(block).collect::<Result<Vec<_>>>()?;
        let dimension = blocks.iter().map(Block::width).sum();
        Ok(Self { blocks, dimension })
    }

    /// The middle of the space: of coefficients the uniform average.
    pub(crate) fn centre(&self) -> Vec<f64> {
        self.blocks
            .iter()
            .flat_map(|block| match block {
                Block::Fixed(_) => Vec::new(),
                Block::Number(_) => vec![0.5],
                Block::Simplex(n) => vec![0.0; n - 1],
            })
            .collect()
    }

    /// The numbers of a point.
    pub(crate) fn place(&self, point: &Point) -> Vec<f64> {
        let mut numbers = Vec::with_capacity(self.dimension);
        for (block, coordinate) in self.blocks.iter().zip(point) {
            match (block, coordinate) {
                (Block::Number(axis), value) => numbers.push(axis.place(value)),
                (Block::Simplex(_), Coordinate::Simplex(shares)) => numbers.extend(flatten(shares)),
                _ => {}
            }
        }
        numbers
    }

    /// The numbers of a uniform draw from the space.
    pub(crate) fn draw(&self, space: &[Parameter], generator: &mut ChaCha8Rng) -> Result<Vec<f64>> {
        Ok(self.place(&point::draw(space, || generator.random())?))
    }

    /// The point of the space nearest to some numbers.
    pub(crate) fn point(&self, numbers: &[f64]) -> Point {
        self.each(numbers)
            .map(|(block, own)| match block {
                Block::Fixed(value) => value.clone(),
                Block::Number(axis) => axis.value(own[0]),
                Block::Simplex(_) => {
                    let mut shares = unflatten(own);
                    simplex::project(&mut shares);
                    Coordinate::Simplex(without_roundings(shares))
                }
            })
            .collect()
    }

    /// The squared distance of some numbers from the space.
    pub(crate) fn distance(&self, numbers: &[f64]) -> f64 {
        self.each(numbers)
            .map(|(block, own)| match block {
                Block::Fixed(_) => 0.0,
                Block::Number(_) => (own[0] - own[0].clamp(0.0, 1.0)).powi(2),
                Block::Simplex(n) => {
                    let shares = unflatten(own);
                    let mut inside = shares.clone();
                    simplex::project(&mut inside);
                    let gap: f64 = shares
                        .iter()
                        .zip(&inside)
                        .map(|(a, b)| (a - b).powi(2))
                        .sum();
                    gap * stretch(*n).powi(2)
                }
            })
            .sum()
    }

    /// Least standard deviations at some numbers, `[dimension]`: 0 but for integers.
    pub(crate) fn least_deviations(&self, numbers: &[f64]) -> Vec<f64> {
        self.each(numbers)
            .flat_map(|(block, own)| match block {
                Block::Number(axis) if axis.is_integer() => {
                    let (from, to) = axis.cell(&axis.value(own[0]));
                    vec![LEAST_DEVIATION * (to - from)]
                }
                _ => vec![0.0; own.len()],
            })
            .collect()
    }

    fn each<'a>(&'a self, numbers: &'a [f64]) -> impl Iterator<Item = (&'a Block, &'a [f64])> {
        let mut rest = numbers;
        self.blocks.iter().map(move |block| {
            let (own, others) = rest.split_at(block.width());
            rest = others;
            (block, own)
        })
    }
}

impl Block {
    fn width(&self) -> usize {
        match self {
            Block::Fixed(_) => 0,
            Block::Number(_) => 1,
            Block::Simplex(n) => n - 1,
        }
    }
}

fn block(parameter: &Parameter) -> Result<Block> {
    if let Some(axis) = Axis::of(&parameter.domain) {
        return Ok(match axis.is_fixed() {
            true => Block::Fixed(axis.value(0.0)),
            false => Block::Number(axis),
        });
    }
    match parameter.domain {
        Domain::Simplex { dimension } => Ok(Block::Simplex(dimension)),
        Domain::Choice { count: 1 } => Ok(Block::Fixed(Coordinate::Choice(0))),
        Domain::Choice { count } => Err(PluginError::unsupported(format!(
            "parameter `{}`: found {count} choices, expected numbers or coefficients",
            parameter.name
        ))
        .hint("`cma_es` has no order of choices to follow; `tpe` and `gp` search them")),
        ref other => Err(point::unknown(other)),
    }
}

/// How much wider coefficients are on the chart: so much that a uniform draw from the simplex, whose variance in each
/// direction is `1 / (n (n + 1))`, is as wide as on an axis.
fn stretch(n: usize) -> f64 {
    let n = n as f64;
    UNIFORM_DEVIATION * (n * (n + 1.0)).sqrt()
}

/// Shares without those that only rounding has made, so that members and faces are themselves.
fn without_roundings(shares: Vec<f64>) -> Vec<f64> {
    const ROUNDING: f64 = 1e-12;
    let kept = shares.iter().map(|&s| if s < ROUNDING { 0.0 } else { s });
    point::normalised(kept.collect())
}

/// Coordinates of shares in the Helmert basis of the plane in which they sum to one: number `k` (from 1) is along
/// `(1, ..., 1, -k, 0, ..., 0) / sqrt(k (k + 1))`, with `k` ones.
fn flatten(shares: &[f64]) -> Vec<f64> {
    let scale = stretch(shares.len());
    let mut before = 0.0;
    (1..shares.len())
        .map(|k| {
            before += shares[k - 1];
            let length = ((k * (k + 1)) as f64).sqrt();
            scale * (before - k as f64 * shares[k]) / length
        })
        .collect()
}

/// Shares of such coordinates; they sum to one but may be negative.
fn unflatten(numbers: &[f64]) -> Vec<f64> {
    let n = numbers.len() + 1;
    let scale = stretch(n);
    let mut shares = vec![1.0 / n as f64; n];
    // From the last: each adds to all shares before it.
    let mut added = 0.0;
    for k in (1..n).rev() {
        let along = numbers[k - 1] / scale / ((k * (k + 1)) as f64).sqrt();
        shares[k] += added - k as f64 * along;
        added += along;
    }
    shares[0] += added;
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use bomf_plugin_api::{Scale, check_point};
    use search::random::{dirichlet, generator, normal};

    fn parameter(domain: Domain) -> Parameter {
        Parameter {
            name: "p".into(),
            domain,
        }
    }

    fn space() -> Vec<Parameter> {
        let integer = |low, high, scale| parameter(Domain::Integer { low, high, scale });
        let float = |low, high, scale| parameter(Domain::Float { low, high, scale });
        vec![
            float(1e-6, 1e-2, Scale::Log),
            float(2.5, 2.5, Scale::Linear),
            integer(-3, 9, Scale::Linear),
            integer(1, 512, Scale::Log),
            parameter(Domain::Choice { count: 1 }),
            parameter(Domain::Simplex { dimension: 5 }),
            parameter(Domain::Simplex { dimension: 1 }),
        ]
    }

    #[test]
    fn the_plane_of_coefficients_is_mapped_isometrically() {
        let mut random = generator(1, 0);
        let (a, b) = (
            dirichlet([1.0; 7], &mut random),
            dirichlet([1.0; 7], &mut random),
        );
        let gap =
            |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum() };
        let expected = gap(&a, &b) * stretch(7).powi(2);
        assert!((gap(&flatten(&a), &flatten(&b)) - expected).abs() < 1e-12);
        for (share, again) in a.iter().zip(unflatten(&flatten(&a))) {
            assert!((share - again).abs() < 1e-14);
        }
    }

    #[test]
    fn members_are_exact() {
        for members in [2, 3, 15, 64] {
            let parameter = parameter(Domain::Simplex { dimension: members });
            let chart = Chart::new(&[parameter]).unwrap();
            for vertex in point::vertices(members) {
                assert_eq!(chart.point(&chart.place(&vertex)), vertex);
            }
        }
    }

    #[test]
    fn uniform_draws_are_as_wide_on_the_chart_as_on_an_axis() {
        let mut random = generator(2, 0);
        let draws = 20_000;
        let sum: f64 = (0..draws)
            .map(|_| flatten(&dirichlet([1.0; 6], &mut random))[2].powi(2))
            .sum();
        assert!((sum / f64::from(draws) * 12.0 - 1.0).abs() < 0.05);
    }

    #[test]
    fn any_numbers_lead_to_a_point_of_the_space_and_points_to_themselves() {
        let (space, mut random) = (space(), generator(3, 0));
        let chart = Chart::new(&space).unwrap();
        assert_eq!(chart.dimension, 3 + 4);
        for _ in 0..200 {
            let numbers: Vec<f64> = (0..7).map(|_| 5.0 * normal(&mut random)).collect();
            let found = chart.point(&numbers);
            check_point(&space, &found).unwrap();
            let place = chart.place(&found);
            assert!(chart.distance(&place) < 1e-20);
            check_point(&space, &chart.point(&place)).unwrap();
            assert!(chart.distance(&numbers) >= 0.0);
        }
        assert_eq!(chart.distance(&chart.centre()), 0.0);
    }

    #[test]
    fn integers_keep_a_fifth_of_a_step() {
        let chart = Chart::new(&space()[2..3]).unwrap();
        assert!((chart.least_deviations(&[0.4])[0] - 0.2 / 13.0).abs() < 1e-12);
        let all = Chart::new(&space()).unwrap();
        assert_eq!(all.least_deviations(&all.centre())[0], 0.0);
    }

    #[test]
    fn choices_are_refused_with_a_way_out() {
        let error = Chart::new(&[parameter(Domain::Choice { count: 3 })]).unwrap_err();
        assert!(error.message.contains("3 choices"));
        assert!(error.hint.unwrap().contains("`tpe`"));
    }
}
