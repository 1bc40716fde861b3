//! Generations: ranking, learning, starting again.

use bomf_plugin_api::{Objective, Parameter, Result, Study};
use search::point;
use search::random::generator;
use search::standing::Standing;

use crate::chart::Chart;
use crate::constants::default_population;
use crate::evolution::Evolution;
use crate::options::CmaEsOptions;

/// A search ends where steps have become so much smaller than the first, and where values differ by so little of
/// themselves (Hansen 2016, appendix B.3).
const SMALLEST: f64 = 1e-12;
/// What it costs, in usual spreads of a generation, to be a standard deviation outside in every direction. Boxes and
/// simplices are searched as well with a tenth of it; twice of it already drives large spaces off their corners.
const PRICE: f64 = 0.5;
/// Generations whose spreads say what the usual one is.
const SPREADS: usize = 20;

/// A point that was drawn, and how it turned out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) drawn: Vec<f64>,
    pub(crate) standing: Standing,
}

/// What the next generation is made from.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    chart: Chart,
    sigma: f64,
    evolution: Evolution,
    /// Points of the chart that are the whole of the next generation.
    given: Vec<Vec<f64>>,
    /// By what each objective is divided before they are summed, once values were seen.
    units: Option<Vec<f64>>,
    objectives: Vec<Objective>,
    /// Generations so far, over all restarts.
    pub(crate) generation: u32,
    restarts: u32,
    /// Since the last start: the interquartile range and the best value of each generation.
    spreads: Vec<f64>,
    bests: Vec<f64>,
}

impl Walk {
    /// The start; the chart has at least one dimension.
    pub(crate) fn new(study: &Study, chart: Chart, options: &CmaEsOptions) -> Self {
        let mut given = Vec::new();
        if options.members_first
            && let Ok(members) = point::members(&study.space)
        {
            let mut points = point::vertices(members);
            points.push(point::uniform(members));
            given = points.iter().map(|point| chart.place(point)).collect();
        }
        let population = options
            .population
            .unwrap_or(default_population(chart.dimension));
        Self {
            evolution: Evolution::new(chart.centre(), options.sigma, population),
            sigma: options.sigma,
            given,
            units: None,
            objectives: study.objectives.clone(),
            generation: 0,
            restarts: 0,
            spreads: Vec::new(),
            bests: Vec::new(),
            chart,
        }
    }

    /// Points in the next generation.
    pub(crate) fn population(&self) -> usize {
        match self.given.len() {
            0 => self.evolution.population(),
            given => given,
        }
    }

    /// Point number `index` of the next generation, on the chart; its own trial's generator draws it.
    pub(crate) fn draw(&self, index: usize, seed: u64, trial: u64) -> Vec<f64> {
        match self.given.get(index) {
            Some(given) => given.clone(),
            None => self.evolution.draw(&mut generator(seed, trial)),
        }
    }

    /// Learns from the next generation, all of it.
    ///
    /// # Errors
    /// For a domain that this version does not know.
    pub(crate) fn learn(&mut self, seen: &[Seen], space: &[Parameter], seed: u64) -> Result<()> {
        self.generation += 1;
        if self.units.is_none() {
            let rows: Vec<&Vec<f64>> = feasible(seen).collect();
            // The first values fix the units: what comes later changes nothing that was learnt.
            self.units = (!rows.is_empty()).then(|| Objective::units(&self.objectives, &rows));
        }
        let mut values: Vec<f64> = feasible(seen).map(|values| -self.sum(values)).collect();
        values.sort_by(f64::total_cmp);
        self.spreads.push(interquartile_range(&values));
        self.bests
            .push(values.first().copied().unwrap_or(f64::INFINITY));
        let ranked = self.rank(seen);
        let ranked: Vec<&[f64]> = ranked.iter().map(|&i| seen[i].drawn.as_slice()).collect();
        // 1. The members only say where to start.
        if !std::mem::take(&mut self.given).is_empty() {
            let mean = Evolution::weighted_mean(&ranked);
            self.evolution = Evolution::new(mean, self.sigma, self.evolution.population());
            self.forget();
            return Ok(());
        }
        // 2. A generation as any other.
        self.evolution.learn(&ranked);
        let least = self.chart.least_deviations(self.evolution.mean());
        self.evolution.bound_deviations(&least);
        // 3. A new start where nothing moves any more.
        if self.is_stagnant(&values) {
            self.restarts += 1;
            let population = 2 * self.evolution.population();
            tracing::debug!("start {} with {population} points", self.restarts);
            // Streams from the end: those from the beginning belong to trials.
            let mut generator = generator(seed, u64::MAX - u64::from(self.restarts));
            let mean = self.chart.draw(space, &mut generator)?;
            self.evolution = Evolution::new(mean, self.sigma, population);
            self.forget();
        }
        Ok(())
    }

    /// Higher is better.
    fn sum(&self, values: &[f64]) -> f64 {
        let units = self
            .units
            .iter()
            .flatten()
            .copied()
            .chain(std::iter::repeat(1.0));
        values
            .iter()
            .zip(units)
            .map(|(value, unit)| value / unit)
            .sum()
    }

    fn forget(&mut self) {
        self.spreads.clear();
        self.bests.clear();
    }

    /// Positions best first: by value and penalty, then those that break a constraint, then those that failed. Equal ones
    /// by their distance from the space.
    fn rank(&self, seen: &[Seen]) -> Vec<usize> {
        let recent = &self.spreads[self.spreads.len().saturating_sub(SPREADS)..];
        let unit = self.chart.dimension as f64 * self.evolution.variance();
        let price = PRICE * median(recent) / unit.max(f64::MIN_POSITIVE);
        // Infinity times no distance would be no number.
        let price = price.min(f64::MAX);
        let key = |seen: &Seen| {
            let distance = self.chart.distance(&seen.drawn);
            let (class, value) = match &seen.standing {
                Standing::Feasible(values) => (0, price.mul_add(distance, -self.sum(values))),
                Standing::Infeasible(violation) => (1, *violation),
                Standing::Failed | Standing::Pending => (2, 0.0),
            };
            (class, value, distance)
        };
        let keys: Vec<(u8, f64, f64)> = seen.iter().map(key).collect();
        let mut order: Vec<usize> = (0..seen.len()).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (keys[a], keys[b]);
            a.0.cmp(&b.0)
                .then(a.1.total_cmp(&b.1))
                .then(a.2.total_cmp(&b.2))
        });
        order
    }

    /// Whether the search has come to its end: with the latest generation's values, lower is better, rising.
    fn is_stagnant(&self, values: &[f64]) -> bool {
        if self.evolution.is_degenerate() || self.evolution.reach() < SMALLEST * self.sigma {
            return true;
        }
        let (n, lambda) = (self.chart.dimension, self.evolution.population());
        let window = 10 + (30 * n).div_ceil(lambda);
        if self.bests.len() < window {
            return false;
        }
        let recent = self.bests[self.bests.len() - window..].iter().chain(values);
        let low = recent.clone().copied().fold(f64::INFINITY, f64::min);
        let high = recent.copied().fold(f64::NEG_INFINITY, f64::max);
        // Nothing but failures is no change either.
        low == high || high - low <= SMALLEST * low.abs().max(high.abs())
    }
}

/// The normalised values of those that are feasible.
fn feasible(seen: &[Seen]) -> impl Iterator<Item = &Vec<f64>> {
    seen.iter().filter_map(|seen| match &seen.standing {
        Standing::Feasible(values) => Some(values),
        _ => None,
    })
}

/// How far the middle half of rising values spreads.
fn interquartile_range(rising: &[f64]) -> f64 {
    match rising.len() {
        0 => 0.0,
        n => (rising[(3 * n / 4).min(n - 1)] - rising[n / 4]).min(f64::MAX),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut rising = values.to_vec();
    rising.sort_by(f64::total_cmp);
    rising.get(rising.len() / 2).copied().unwrap_or(0.0)
}
