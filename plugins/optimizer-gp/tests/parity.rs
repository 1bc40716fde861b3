//! Processes and acquisition functions beside BoTorch's: the same hyperparameters, the same base samples
//! (`goldens/generate.py`).

use nalgebra::DMatrix;
use optimizer_gp::acquisition::{
    Acquisition, BaseSamples, Incumbents, LogEi, LogFeasibility, LogHvi, Product, QLogEi, Surrogate,
};
use optimizer_gp::boxes::undominated;
use optimizer_gp::fit::log_marginal_likelihood;
use optimizer_gp::gp::{Gp, Hyperparameters};
use optimizer_gp::kernel::{Kernel, KernelKind};
use optimizer_gp::log_space::{TAU_MAX, TAU_RELU, fat_maximum, fat_positive_part};
use optimizer_gp::observations::{Noise, Observations};
use pareto::hypervolume;
use serde::Deserialize;

type Points = Vec<Vec<f64>>;

#[derive(Deserialize)]
struct Golden {
    version: String,
    processes: Vec<WithPosterior>,
    constrained: Vec<Constrained>,
    batches: Vec<Batch>,
    improvements: Vec<Improvement>,
    hypervolumes: Vec<Volume>,
    smoothing: Smoothing,
}

#[derive(Deserialize)]
struct Process {
    kernel: KernelKind,
    length_scales: Vec<f64>,
    noise: f64,
    mean: f64,
    points: Points,
    outcomes: Vec<f64>,
}

#[derive(Deserialize)]
struct WithPosterior {
    #[serde(flatten)]
    process: Process,
    log_marginal_likelihood: f64,
    at: Points,
    means: Vec<f64>,
    variances: Vec<f64>,
    best: f64,
    log_ei: Vec<f64>,
    log_ei_gradients: Points,
}

/// Values and gradients at `[n, q, d]`.
#[derive(Deserialize)]
struct Evaluated {
    at: Vec<Points>,
    values: Vec<f64>,
    gradients: Vec<Points>,
}

#[derive(Deserialize)]
struct Constrained {
    objective: Process,
    constraint: Process,
    best: f64,
    low: Option<f64>,
    high: Option<f64>,
    #[serde(flatten)]
    evaluated: Evaluated,
}

#[derive(Deserialize)]
struct Batch {
    process: Process,
    known: Points,
    drawn: Points,
    base_samples: Vec<Points>,
    #[serde(flatten)]
    evaluated: Evaluated,
}

#[derive(Deserialize)]
struct Improvement {
    surrogates: Vec<Process>,
    reference: Vec<f64>,
    known: Points,
    drawn: Points,
    base_samples: Vec<Points>,
    #[serde(flatten)]
    evaluated: Evaluated,
}

#[derive(Deserialize)]
struct Volume {
    values: Points,
    reference: Vec<f64>,
    hypervolume: f64,
    #[serde(rename = "undominated_below_1.5")]
    undominated: f64,
}

#[derive(Deserialize)]
struct Smoothing {
    x: Vec<f64>,
    log_fatplus: Vec<f64>,
    sets: Points,
    fatmax: Vec<f64>,
}

fn golden() -> Golden {
    let text = include_str!("goldens/botorch.json");
    let golden: Golden = serde_json::from_str(text).expect("the generator writes these fields");
    assert_eq!(golden.version, "0.18.1");
    golden
}

impl Process {
    fn parts(&self) -> (Hyperparameters, Observations) {
        let kernel = Kernel {
            kind: self.kernel,
            length_scales: self.length_scales.clone(),
            near: 0.0,
        };
        let (noise, mean) = (self.noise, self.mean);
        let hyperparameters = Hyperparameters {
            kernel,
            noise,
            mean,
        };
        let data = Observations {
            points: self.points.clone(),
            outcomes: self.outcomes.clone(),
            noise: vec![Noise::LEARNED; self.points.len()],
        };
        (hyperparameters, data)
    }

    fn gp(&self) -> Gp {
        let (hyperparameters, data) = self.parts();
        Gp::condition(&hyperparameters, &data).expect("the points are apart")
    }
}

/// Rows of incumbents, then of candidates, `[points][samples]`.
fn base(rows: &Points, incumbents: usize) -> BaseSamples {
    let matrix = |rows: &[Vec<f64>]| {
        let samples = rows.first().map_or(0, Vec::len);
        DMatrix::from_fn(rows.len(), samples, |row, sample| rows[row][sample])
    };
    let candidates = matrix(&rows[incumbents..]);
    BaseSamples {
        incumbents: match incumbents {
            0 => DMatrix::zeros(0, candidates.ncols()),
            _ => matrix(&rows[..incumbents]),
        },
        candidates,
    }
}

fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!(
        (found - expected).abs() <= tolerance * expected.abs().max(1.0),
        "{what}: found {found}, expected {expected}"
    );
}

/// Values to one tolerance, gradients to another, both absolute below 1 and relative above.
fn compare(acquisition: &dyn Acquisition, golden: &Evaluated, values: f64, gradients: f64) {
    assert!(golden.at.len() > 3, "a golden with too few points");
    for (at, (value, expected)) in golden
        .at
        .iter()
        .zip(golden.values.iter().zip(&golden.gradients))
    {
        let mut gradient = vec![0.0; at.concat().len()];
        let found = acquisition.value_and_gradient(&at.concat(), &mut gradient);
        assert_close(found, *value, values, "value");
        for (found, expected) in gradient.iter().zip(expected.concat()) {
            assert_close(*found, expected, gradients, "gradient");
        }
    }
}

#[test]
fn likelihoods_and_posteriors_agree_to_1e_8_and_log_ei_to_1e_6() {
    for golden in golden().processes {
        let (hyperparameters, data) = golden.process.parts();
        let likelihood = log_marginal_likelihood(&hyperparameters, &data).unwrap();
        assert_close(
            likelihood,
            golden.log_marginal_likelihood,
            1e-8,
            "likelihood",
        );
        let gp = golden.process.gp();
        let log_ei = LogEi::new(gp.clone(), golden.best);
        for (i, at) in golden.at.iter().enumerate() {
            let (mean, variance) = gp.predict(at);
            assert_close(mean, golden.means[i], 1e-8, "mean");
            assert_close(variance, golden.variances[i], 1e-8, "variance");
            let mut gradient = vec![0.0; at.len()];
            let value = log_ei.value_and_gradient(at, &mut gradient);
            assert_close(value, golden.log_ei[i], 1e-6, "log ei");
            for (found, expected) in gradient.iter().zip(&golden.log_ei_gradients[i]) {
                assert_close(*found, *expected, 1e-6, "gradient of log ei");
            }
        }
    }
}

#[test]
fn improvement_under_a_constraint_agrees_to_1e_6() {
    for golden in golden().constrained {
        let product = Product(vec![
            Box::new(LogEi::new(golden.objective.gp(), golden.best)),
            Box::new(LogFeasibility::new(
                golden.constraint.gp(),
                golden.low.unwrap_or(f64::NEG_INFINITY),
                golden.high.unwrap_or(f64::INFINITY),
            )),
        ]);
        compare(&product, &golden.evaluated, 1e-6, 1e-6);
    }
}

#[test]
fn batches_of_one_to_three_agree_to_1e_6() {
    for golden in golden().batches {
        let base = base(&golden.base_samples[0], golden.drawn.len());
        let noisy = !golden.drawn.is_empty();
        let incumbents = Incumbents {
            known: golden.known,
            drawn: golden.drawn,
        };
        let gp = golden.process.gp();
        let found = QLogEi::new(&gp, &incumbents, base, Product::default()).unwrap();
        // Drawn incumbents have 1e-10 added to their variances.
        let tolerance = if noisy { 1e-5 } else { 1e-6 };
        compare(&found, &golden.evaluated, tolerance, 10.0 * tolerance);
    }
}

#[test]
fn hypervolume_improvements_agree_to_1e_5_for_two_objectives_and_to_1e_3_for_more() {
    for golden in golden().improvements {
        let surrogates: Vec<Surrogate> = golden
            .surrogates
            .iter()
            .zip(&golden.reference)
            .map(|(process, reference)| Surrogate {
                gp: process.gp(),
                reference: *reference,
            })
            .collect();
        let bases = golden.base_samples.iter();
        let bases = bases.map(|rows| base(rows, golden.drawn.len())).collect();
        let incumbents = Incumbents {
            known: golden.known,
            drawn: golden.drawn,
        };
        let found = LogHvi::new(&surrogates, &incumbents, bases).unwrap();
        // Boxes of two objectives are cut alike; how more are cut shows in the smoothing of their sides.
        let (values, gradients) = match surrogates.len() {
            2 => (1e-5, 1e-4),
            _ => (1e-3, 5e-2),
        };
        compare(&found, &golden.evaluated, values, gradients);
    }
}

fn volume_below<const M: usize>(values: &Points, reference: &[f64], top: f64) -> f64 {
    let values: Vec<[f64; M]> = values
        .iter()
        .map(|value| std::array::from_fn(|o| value[o]))
        .collect();
    undominated(&values, &std::array::from_fn(|o| reference[o]))
        .iter()
        .map(|cell| {
            let side = |o: usize| (cell.upper[o].min(top) - cell.lower[o]).max(0.0);
            (0..M).map(side).product::<f64>()
        })
        .sum()
}

#[test]
fn hypervolumes_and_volumes_of_boxes_agree_to_1e_10() {
    for golden in golden().hypervolumes {
        let found = hypervolume(&golden.values, &golden.reference).unwrap();
        assert_close(found, golden.hypervolume, 1e-10, "hypervolume");
        let (values, reference) = (&golden.values, &golden.reference);
        let free = match reference.len() {
            2 => volume_below::<2>(values, reference, 1.5),
            3 => volume_below::<3>(values, reference, 1.5),
            _ => volume_below::<4>(values, reference, 1.5),
        };
        assert_close(free, golden.undominated, 1e-10, "undominated volume");
    }
}

#[test]
fn smoothing_agrees_to_1e_8_out_to_a_million_deviations() {
    let golden = golden().smoothing;
    for (x, expected) in golden.x.iter().zip(golden.log_fatplus) {
        let found = fat_positive_part(*x, TAU_RELU).0.ln();
        assert_close(found, expected, 1e-8, "positive part");
    }
    for (set, expected) in golden.sets.iter().zip(golden.fatmax) {
        let found = fat_maximum(set, TAU_MAX, &mut vec![0.0; set.len()]);
        assert_close(found, expected, 1e-10, "maximum");
    }
}
