//! Gradients beside differences of the loss.

use super::{
    SPLIT, Subject, expect_same_bits, is_unsupported, read_all, refused, sound, weights_of,
};
use crate::testkit::tolerance::{self, F32_LOSS, FINITE_DIFFERENCE};
use crate::{Dtype, Model, Tensor, column};

/// How far the weights move, in the direction of a gradient of length 1: far enough for the rounding of an f32 loss.
const STEP: f64 = 5e-3;

/// Tensors with less than this share of the whole gradient drown in the rounding of the loss (the biases of attention's
/// keys, whose gradient is 0).
const SMALLEST_SHARE: f64 = 0.02;

pub(super) fn gradients_agree_with_differences(model: &mut dyn Model, subject: &Subject) {
    let rows: Vec<u64> = (0..subject.examples.rows() as u64).collect();
    let early = refused(
        read_gradients(model),
        "reading a gradient before one was computed",
    );
    let loss = match model.gradient(SPLIT, &rows) {
        Err(error) if is_unsupported(&error) => {
            assert!(
                is_unsupported(&early),
                "a backend without gradients says so in both methods, found: {early}"
            );
            return;
        }
        other => sound(other, "a gradient can be computed"),
    };
    let weights = weights_of(model);
    let gradients = sound(read_gradients(model), "a gradient can be read");
    let predicted = sound(model.predict(SPLIT), "a split can be predicted");
    let losses = sound(
        predicted.table.numbers(column::LOSS),
        "examples with answers have a loss",
    );
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    tolerance::expect(
        loss,
        mean,
        F32_LOSS,
        "the gradient's loss is that of the prediction",
    );

    let directions: Vec<Vec<f64>> = gradients.iter().map(numbers).collect();
    let all = norm(directions.iter().flatten());
    assert!(
        all.is_finite() && all > 0.0,
        "the gradient is finite and not 0, found the norm {all}"
    );
    for (index, direction) in directions.iter().enumerate() {
        let expected = norm(direction.iter());
        if expected < SMALLEST_SHARE * all {
            continue;
        }
        let mut at = |step: f64| {
            let mut moved = weights.clone();
            moved[index] = shifted(&weights[index], direction, step / expected);
            sound(model.load(&moved), "moved weights can be loaded");
            sound(model.gradient(SPLIT, &rows), "a gradient can be computed")
        };
        let found = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        let name = &weights[index].spec().name;
        assert!(
            (found - expected).abs() <= FINITE_DIFFERENCE * expected.max(all),
            "tensor `{name}`: the loss changes by {found} along the gradient, whose norm is {expected}"
        );
    }

    sound(model.load(&weights), "the weights can be put back");
    some_rows_have_a_gradient_of_their_own(model, &rows);
    expect_same_bits(&weights_of(model), &weights, "gradients change no weight");
    refused(
        model.gradient(SPLIT, &[rows.len() as u64]),
        "the gradient of a row that is not there",
    );
    refused(
        model.gradient("a split nobody handed over", &rows),
        "the gradient of an unknown split",
    );
}

/// The loss of all rows is the mean of the losses of its halves.
fn some_rows_have_a_gradient_of_their_own(model: &mut dyn Model, rows: &[u64]) {
    let even = rows.len() / 2 * 2;
    let mut loss = |rows: &[u64]| sound(model.gradient(SPLIT, rows), "some rows have a gradient");
    let (whole, first, second) = (
        loss(&rows[..even]),
        loss(&rows[..even / 2]),
        loss(&rows[even / 2..even]),
    );
    tolerance::expect(
        whole,
        f64::midpoint(first, second),
        F32_LOSS,
        "the loss is a mean over the rows",
    );
    let reversed: Vec<u64> = rows.iter().rev().copied().collect();
    tolerance::expect(
        loss(&reversed),
        loss(rows),
        F32_LOSS,
        "the order of the rows does not matter",
    );
}

fn read_gradients(model: &dyn Model) -> crate::Result<Vec<Tensor>> {
    read_all(&model.trainable(), |out| model.read_gradient(out))
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let values = sound(tensor.to_f32(), "the suite knows gradients in F32 only");
    values.into_iter().map(f64::from).collect()
}

fn norm<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

fn shifted(tensor: &Tensor, direction: &[f64], step: f64) -> Tensor {
    assert_eq!(
        tensor.spec().dtype,
        Dtype::F32,
        "the suite knows gradients in F32 only"
    );
    let moved = numbers(tensor)
        .iter()
        .zip(direction)
        .map(|(w, d)| (w + step * d) as f32)
        .collect::<Vec<f32>>();
    Tensor::from_f32(&tensor.spec().name, &tensor.spec().shape, &moved).expect("the same shape")
}
