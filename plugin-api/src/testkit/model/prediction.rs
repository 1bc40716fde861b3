//! Splits and what a model says to them.

use super::{ANSWERS, SPLIT, Subject, refused, sound, weights_of, without};
use crate::testkit::tolerance::{self, F32_FORWARD, F32_LOSS};
use crate::{Model, Predictions, Table, Task, column};

fn predict(model: &mut dyn Model, split: &str) -> Predictions {
    sound(model.predict(split), "a split can be predicted")
}

pub(super) fn predictions_are_sound(model: &mut dyn Model, subject: &Subject) {
    let predictions = predict(model, SPLIT);
    let table = &predictions.table;
    assert_eq!(
        table.rows(),
        subject.examples.rows(),
        "there is one prediction per example"
    );
    if let Task::Classification { labels } = &subject.spec.task {
        scores_are_distributions(table, labels.len());
    } else {
        let values = sound(
            table.numbers(column::PREDICTED_VALUE),
            "a regression predicts numbers",
        );
        assert!(
            values.iter().all(|value| value.is_finite()),
            "predicted numbers are finite"
        );
    }
    let losses = sound(
        table.numbers(column::LOSS),
        "examples with answers have a loss",
    );
    assert!(
        losses.iter().all(|loss| loss.is_finite()),
        "losses are finite"
    );
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    let found = predictions
        .mean_loss
        .expect("examples with answers have a mean loss");
    tolerance::expect(
        found,
        mean,
        F32_LOSS,
        "the mean loss is that of the examples",
    );
}

fn scores_are_distributions(table: &Table<'_>, labels: usize) {
    let predicted = sound(
        table.integers(column::PREDICTED_LABEL),
        "a classification predicts labels",
    );
    let scores = sound(
        table.column(column::PREDICTED_SCORES),
        "a classification gives scores",
    );
    for (row, &label) in predicted.iter().enumerate() {
        let scores = scores.numbers(row);
        assert_eq!(scores.len(), labels, "row {row} has one score per label");
        let are_shares = scores
            .iter()
            .all(|score| (0.0..=1.0 + F32_FORWARD).contains(score));
        assert!(
            are_shares,
            "scores of row {row} lie in 0 to 1, found {scores:?}"
        );
        tolerance::expect(
            scores.iter().sum(),
            1.0,
            F32_FORWARD,
            &format!("the scores of row {row} sum to 1"),
        );
        let best = scores.iter().copied().fold(0.0, f64::max);
        let chosen = usize::try_from(label)
            .ok()
            .and_then(|label| scores.get(label));
        assert_eq!(
            chosen,
            Some(&best),
            "the predicted label of row {row} has the greatest of {scores:?}"
        );
    }
}

pub(super) fn predictions_repeat_bit_by_bit(model: &mut dyn Model) {
    let first = predict(model, SPLIT);
    assert_eq!(
        predict(model, SPLIT),
        first,
        "a second prediction is the same"
    );
    let weights = weights_of(model);
    sound(
        model.load(&weights),
        "the model's own weights can be loaded",
    );
    assert_eq!(
        predict(model, SPLIT),
        first,
        "the same weights, loaded again, predict the same"
    );
}

pub(super) fn an_example_is_predicted_alike_in_any_company(
    model: &mut dyn Model,
    subject: &Subject,
) {
    let all = predict(model, SPLIT).table;
    for row in 0..all.rows() as u32 {
        sound(
            model.add_split("alone", &subject.examples.take(&[row])),
            "one example is a split",
        );
        let alone = predict(model, "alone").table;
        for name in [
            column::PREDICTED_SCORES,
            column::PREDICTED_VALUE,
            column::LOSS,
        ] {
            let (Some(all), Some(alone)) = (all.get(name), alone.get(name)) else {
                continue;
            };
            let pairs = alone.numbers(0).iter().zip(all.numbers(row as usize));
            for (found, expected) in pairs {
                tolerance::expect(
                    *found,
                    *expected,
                    F32_FORWARD,
                    &format!("`{name}` of row {row} alone"),
                );
            }
        }
    }
}

pub(super) fn splits_are_replaced_by_name(model: &mut dyn Model, subject: &Subject) {
    let all = predict(model, SPLIT);
    sound(
        model.add_split(SPLIT, &subject.examples.take(&[1, 0])),
        "a split can be replaced",
    );
    assert_eq!(
        predict(model, SPLIT).table.rows(),
        2,
        "a split of the same name replaces the other"
    );
    sound(
        model.add_split(SPLIT, &subject.examples),
        "a split can be replaced again",
    );
    assert_eq!(
        predict(model, SPLIT),
        all,
        "a split that is put back is predicted as before"
    );
}

pub(super) fn a_split_without_labels_has_no_loss(model: &mut dyn Model, subject: &Subject) {
    let expected = predict(model, SPLIT).table;
    sound(
        model.add_split("bare", &without(&subject.examples, &ANSWERS)),
        "a split needs no labels",
    );
    let bare = predict(model, "bare");
    assert_eq!(bare.mean_loss, None, "without labels there is no loss");
    assert!(
        bare.table.get(column::LOSS).is_none(),
        "without labels there is no loss per example"
    );
    for name in [
        column::PREDICTED_LABEL,
        column::PREDICTED_SCORES,
        column::PREDICTED_VALUE,
    ] {
        assert_eq!(
            bare.table.get(name),
            expected.get(name),
            "labels do not change `{name}`"
        );
    }
}

pub(super) fn faulty_splits_are_refused(model: &mut dyn Model, subject: &Subject) {
    let error = refused(
        model.predict("a split nobody handed over"),
        "an unknown split",
    );
    assert!(
        error.message.contains("a split nobody handed over"),
        "the unknown split is named, found: {error}"
    );

    let error = refused(
        model.add_split("faulty", &without(&subject.examples, &[column::TEXT])),
        "a split without a text",
    );
    assert!(
        error.message.contains("`text`"),
        "the missing column is named, found: {error}"
    );

    let Task::Classification { labels } = &subject.spec.task else {
        return;
    };
    for wrong in [-1, labels.len() as i64] {
        let mut answers = vec![0; subject.examples.rows()];
        answers[1] = wrong;
        let table = without(&subject.examples, &ANSWERS).with_integers(column::LABEL, answers);
        let table = table.expect("one label per row");
        let error = refused(model.add_split("faulty", &table), "a label out of range");
        let says_where =
            error.message.contains(&wrong.to_string()) && error.message.contains("row 1");
        assert!(
            says_where,
            "the label {wrong} out of range is named with row 1, found: {error}"
        );
    }
}
