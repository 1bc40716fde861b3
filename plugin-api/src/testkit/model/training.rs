//! Trainings: to their end, again, and after a break.

use super::{
    ANSWERS, SPLIT, Subject, begin, expect_same_bits, have_same_bits, ready, refused, sound,
    training_of, weights_in, weights_of, without,
};
use crate::{Model, ModelBackend, Tensor, Training, TrainingReport, TrainingState};

pub(super) fn a_training_runs_to_its_end_and_leaves_the_model_alone(
    model: &mut dyn Model,
    subject: &Subject,
) {
    let spec = training_of(subject, 2.0, 5);
    let total = spec.total_steps(subject.examples.rows() as u64);
    let before = weights_of(model);
    let predictions = sound(model.predict(SPLIT), "a split can be predicted");
    let mut training = begin(model, &spec);
    let specs = model.trainable();
    expect_same_bits(
        &weights_in(&*training, &specs),
        &before,
        "a training starts from the loaded weights",
    );

    let first = advance(&mut *training, 1);
    assert_eq!(
        (first.step, first.total_steps),
        (1, total),
        "one step of the whole training is made"
    );
    assert!(
        first.loss.is_finite() && first.gradient_norm.is_finite(),
        "loss and gradient are finite: {first:?}"
    );
    assert!(first.tokens > 0, "tokens are counted");
    let last = advance(&mut *training, total + 7);
    assert_eq!(last.step, total, "a training ends with its last step");
    assert!(last.is_finished());
    assert_eq!(
        advance(&mut *training, 3).step,
        total,
        "after its end a training stays where it is"
    );
    assert!(
        !have_same_bits(&weights_in(&*training, &specs), &before),
        "a training with a learning rate of {} changes the weights",
        subject.hyperparameters.learning_rate
    );

    expect_same_bits(
        &weights_of(model),
        &before,
        "the model itself stays as it is",
    );
    let again = sound(
        model.predict(SPLIT),
        "a split can be predicted during a training",
    );
    assert_eq!(
        again, predictions,
        "the model predicts as before the training"
    );
    let trained = weights_in(&*training, &specs);
    sound(model.load(&trained), "trained weights can be loaded");
    assert_ne!(
        sound(model.predict(SPLIT), "trained weights predict"),
        predictions,
        "training changes predictions"
    );
}

fn advance(training: &mut dyn Training, steps: u64) -> TrainingReport {
    sound(training.advance(steps), "a training goes on")
}

/// The weights after so many steps, and the last report.
fn trained(
    backend: &dyn ModelBackend,
    subject: &Subject,
    steps: &[u64],
) -> (Vec<Tensor>, TrainingReport) {
    let mut model = ready(backend, subject);
    let mut training = begin(&mut *model, &training_of(subject, 2.0, 5));
    let reports: Vec<TrainingReport> = steps
        .iter()
        .map(|&steps| advance(&mut *training, steps))
        .collect();
    let last = reports.last().expect("one call at least").clone();
    (weights_in(&*training, &model.trainable()), last)
}

pub(super) fn a_training_repeats_bit_by_bit(backend: &dyn ModelBackend, subject: &Subject) {
    let (weights, report) = trained(backend, subject, &[3]);
    let (again, same) = trained(backend, subject, &[3]);
    expect_same_bits(&again, &weights, "the same training gives the same weights");
    assert_eq!(same, report, "the same training gives the same report");
    let (parts, _) = trained(backend, subject, &[1, 2]);
    expect_same_bits(&parts, &weights, "steps can be made one by one or together");
}

pub(super) fn a_restored_training_goes_on_bit_by_bit(
    backend: &dyn ModelBackend,
    subject: &Subject,
) {
    let spec = training_of(subject, 2.0, 5);
    let mut model = ready(backend, subject);
    let mut training = begin(&mut *model, &spec);
    advance(&mut *training, 1);
    let state = sound(training.save(), "a training can be saved");
    let saved = weights_in(&*training, &model.trainable());
    let report = advance(&mut *training, 2);
    let expected = weights_in(&*training, &model.trainable());

    // As after a restart: another model, and a state that was on disk.
    let state = TrainingState::new(
        state.tensors.iter().map(copied).collect(),
        state.state.clone(),
    );
    let mut model = ready(backend, subject);
    let mut restored = begin(&mut *model, &spec);
    sound(restored.restore(&state), "a saved training can be restored");
    expect_same_bits(
        &weights_in(&*restored, &model.trainable()),
        &saved,
        "restoring brings the weights back",
    );
    assert_eq!(
        advance(&mut *restored, 2),
        report,
        "a restored training reports the same"
    );
    let found = weights_in(&*restored, &model.trainable());
    expect_same_bits(
        &found,
        &expected,
        "a restored training goes on where it was saved",
    );

    let torn = TrainingState::new(Vec::new(), state.state.clone());
    refused(
        begin(&mut *model, &spec).restore(&torn),
        "a state without its tensors",
    );
    let alien = TrainingState::new(state.tensors, serde_json::Value::Null);
    refused(
        begin(&mut *model, &spec).restore(&alien),
        "a state of another backend",
    );
}

fn copied(tensor: &Tensor) -> Tensor {
    let bytes = tensor.data().to_vec();
    Tensor::new(tensor.spec().clone(), crate::SharedBytes::new(bytes)).expect("the same bytes")
}

pub(super) fn faulty_trainings_are_refused(model: &mut dyn Model, subject: &Subject) {
    let mut spec = training_of(subject, 1.0, 1);
    spec.split = "a split nobody handed over".to_owned();
    let error = refused(
        model.begin_training(&spec),
        "a training on an unknown split",
    );
    assert!(
        error.message.contains("a split nobody handed over"),
        "the unknown split is named, found: {error}"
    );

    sound(
        model.add_split("bare", &without(&subject.examples, &ANSWERS)),
        "a split needs no labels",
    );
    spec.split = "bare".to_owned();
    refused(
        model.begin_training(&spec),
        "a training on a split without labels",
    );
}
