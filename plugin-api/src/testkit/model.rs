//! What every model backend has to satisfy.

mod export;
mod gradient;
mod prediction;
mod training;
mod weights;

use crate::{
    ErrorKind, Hyperparameters, Model, ModelBackend, ModelSpec, PluginError, Result, Table, Tensor,
    TensorMut, TensorSpec, Training, TrainingSpec, column,
};

/// What the suite works on. The caller brings a small model folder and examples that fit its task.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What to open. The suite opens it more than once.
    pub spec: ModelSpec,
    /// Examples with labels or values; some eight short ones do.
    pub examples: Table<'static>,
    /// How to train; two or three examples per step make the trainings short.
    pub hyperparameters: Hyperparameters,
}

/// The name under which the suite hands over the examples.
const SPLIT: &str = "examples";

/// Runs the whole suite.
///
/// # Panics
/// With the claim that does not hold.
pub fn conformance(backend: &dyn ModelBackend, subject: &Subject) {
    assert!(
        subject.examples.rows() >= 4,
        "the suite needs four examples or more"
    );
    weights::facts_add_up(&*open(backend, subject));
    weights::what_is_loaded_is_read(&mut *open(backend, subject));
    weights::faulty_weights_change_nothing(&mut *open(backend, subject));
    weights::the_seed_decides_what_the_folder_does_not_hold(backend, subject);
    prediction::predictions_are_sound(&mut *ready(backend, subject), subject);
    prediction::predictions_repeat_bit_by_bit(&mut *ready(backend, subject));
    prediction::an_example_is_predicted_alike_in_any_company(
        &mut *ready(backend, subject),
        subject,
    );
    prediction::splits_are_replaced_by_name(&mut *ready(backend, subject), subject);
    prediction::a_split_without_labels_has_no_loss(&mut *ready(backend, subject), subject);
    prediction::faulty_splits_are_refused(&mut *ready(backend, subject), subject);
    training::a_training_runs_to_its_end_and_leaves_the_model_alone(
        &mut *ready(backend, subject),
        subject,
    );
    training::a_training_repeats_bit_by_bit(backend, subject);
    training::a_restored_training_goes_on_bit_by_bit(backend, subject);
    training::faulty_trainings_are_refused(&mut *ready(backend, subject), subject);
    gradient::gradients_agree_with_differences(&mut *ready(backend, subject), subject);
    export::an_export_holds_the_loaded_weights(&mut *ready(backend, subject));
}

fn open(backend: &dyn ModelBackend, subject: &Subject) -> Box<dyn Model> {
    match backend.open(&subject.spec) {
        Ok(model) => model,
        Err(error) => panic!("the model can be opened: {error}"),
    }
}

/// An open model that has the examples.
fn ready(backend: &dyn ModelBackend, subject: &Subject) -> Box<dyn Model> {
    let mut model = open(backend, subject);
    let info = sound(
        model.add_split(SPLIT, &subject.examples),
        "the examples can be handed over",
    );
    assert_eq!(
        info.examples,
        subject.examples.rows() as u64,
        "every example is counted"
    );
    model
}

fn training_of(subject: &Subject, epochs: f64, seed: u64) -> TrainingSpec {
    TrainingSpec::new(SPLIT, epochs, seed, subject.hyperparameters.clone())
}

fn begin(model: &mut dyn Model, spec: &TrainingSpec) -> Box<dyn Training> {
    sound(model.begin_training(spec), "a training can begin")
}

#[track_caller]
fn sound<T>(result: Result<T>, claim: &str) -> T {
    result.unwrap_or_else(|error| panic!("{claim}, found: {error}"))
}

#[track_caller]
fn refused<T>(result: Result<T>, claim: &str) -> PluginError {
    match result {
        Ok(_) => panic!("{claim} is an error"),
        Err(error) => error,
    }
}

/// Reads all tensors of these descriptions.
fn read_all(
    specs: &[TensorSpec],
    read: impl FnOnce(&mut [TensorMut<'_>]) -> Result<()>,
) -> Result<Vec<Tensor>> {
    let size = |spec: &TensorSpec| {
        spec.bytes()
            .expect("a tensor of an open model fits into memory")
    };
    // Not zero: what is not written shows.
    let mut slabs: Vec<Vec<u8>> = specs.iter().map(|spec| vec![0xa5; size(spec)]).collect();
    let out = specs
        .iter()
        .zip(&mut slabs)
        .map(|(spec, slab)| TensorMut::new(spec.clone(), slab));
    read(&mut out.collect::<Result<Vec<_>>>()?)?;
    let tensors = specs.iter().zip(slabs);
    tensors
        .map(|(spec, slab)| Tensor::new(spec.clone(), crate::SharedBytes::new(slab)))
        .collect()
}

fn weights_of(model: &dyn Model) -> Vec<Tensor> {
    sound(
        read_all(&model.trainable(), |out| model.read(out)),
        "the trainable tensors can be read",
    )
}

fn weights_in(training: &dyn Training, specs: &[TensorSpec]) -> Vec<Tensor> {
    sound(
        read_all(specs, |out| training.read(out)),
        "a training's weights can be read",
    )
}

#[track_caller]
fn expect_same_bits(found: &[Tensor], expected: &[Tensor], claim: &str) {
    assert_eq!(found.len(), expected.len(), "{claim}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.spec(), expected.spec(), "{claim}");
        assert!(
            **found.data() == **expected.data(),
            "{claim}: tensor `{}`",
            found.spec().name
        );
    }
}

fn have_same_bits(one: &[Tensor], other: &[Tensor]) -> bool {
    one.iter()
        .zip(other)
        .all(|(one, other)| **one.data() == **other.data())
}

/// The table but for some columns.
fn without(table: &Table<'static>, names: &[&str]) -> Table<'static> {
    let kept = table
        .columns()
        .iter()
        .filter(|column| !names.contains(&column.name()));
    kept.cloned()
        .fold(Table::new(table.rows()), |table, column| {
            table
                .with_column(column.name, column.cells, column.values)
                .expect("it was part of a table")
        })
}

fn is_unsupported(error: &PluginError) -> bool {
    error.kind == ErrorKind::Unsupported
}

/// Columns that hold what is to be predicted.
const ANSWERS: [&str; 2] = [column::LABEL, column::VALUE];
