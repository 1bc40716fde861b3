//! Facts about the model, and its weights going in and out.

use super::{Subject, expect_same_bits, open, read_all, refused, sound, weights_of};
use crate::{Model, ModelBackend, Tensor, TensorSpec};

pub(super) fn facts_add_up(model: &dyn Model) {
    let info = model.info();
    assert!(
        !info.architecture.is_empty() && !info.engine.is_empty(),
        "architecture and engine have names"
    );
    let specs = model.trainable();
    assert!(!specs.is_empty(), "some tensor is trainable");
    for (index, spec) in specs.iter().enumerate() {
        assert!(
            spec.dtype.is_float(),
            "trainable tensor `{}` holds floating-point numbers",
            spec.name
        );
        let is_new = specs[..index].iter().all(|other| other.name != spec.name);
        assert!(
            is_new,
            "trainable tensors have names of their own, found `{}` twice",
            spec.name
        );
    }
    let elements: usize = specs.iter().filter_map(TensorSpec::elements).sum();
    assert_eq!(
        info.trainable_parameters, elements as u64,
        "the trainable parameters are those of the tensors"
    );
    assert!(
        info.trainable_parameters <= info.parameters,
        "there are not more trainable parameters than there are"
    );
    assert_eq!(
        model.trainable(),
        specs,
        "the trainable tensors are always the same"
    );
}

pub(super) fn what_is_loaded_is_read(model: &mut dyn Model) {
    let original = weights_of(model);
    let changed: Vec<Tensor> = original.iter().map(altered).collect();
    sound(model.load(&changed), "changed weights can be loaded");
    expect_same_bits(
        &weights_of(model),
        &changed,
        "what is loaded is read, bit by bit",
    );
    let backwards: Vec<Tensor> = original.iter().rev().cloned().collect();
    sound(model.load(&backwards), "weights can be loaded in any order");
    expect_same_bits(&weights_of(model), &original, "weights are loaded by name");
    // Some of them, backwards.
    let some: Vec<TensorSpec> = model.trainable().into_iter().rev().step_by(2).collect();
    let found = sound(
        read_all(&some, |out| model.read(out)),
        "some tensors can be read",
    );
    let expected: Vec<Tensor> = backwards.into_iter().step_by(2).collect();
    expect_same_bits(&found, &expected, "tensors are read by name");
}

/// The same tensor with every last byte but the highest of an element turned: other numbers, none of them infinite.
fn altered(tensor: &Tensor) -> Tensor {
    let size = tensor.spec().dtype.size();
    let bytes = tensor.data().iter().enumerate();
    let turned = bytes.map(|(place, byte)| if place % size == 0 { byte ^ 1 } else { *byte });
    let data = crate::SharedBytes::new(turned.collect::<Vec<u8>>());
    Tensor::new(tensor.spec().clone(), data).expect("as many bytes as before")
}

pub(super) fn faulty_weights_change_nothing(model: &mut dyn Model) {
    let original = weights_of(model);
    let changed: Vec<Tensor> = original.iter().map(altered).collect();
    let last = changed.len() - 1;
    let name = &changed[last].spec().name;

    let error = refused(model.load(&changed[..last]), "a missing tensor");
    assert!(
        error.message.contains(name.as_str()),
        "the missing tensor `{name}` is named, found: {error}"
    );

    let renamed = TensorSpec {
        name: "a.tensor.nobody.knows".to_owned(),
        ..changed[last].spec().clone()
    };
    let mut unknown = changed.clone();
    unknown[last] = Tensor::new(renamed, changed[last].data().clone()).expect("the same shape");
    let error = refused(model.load(&unknown), "an unknown tensor");
    let names_one =
        error.message.contains("a.tensor.nobody.knows") || error.message.contains(name.as_str());
    assert!(
        names_one,
        "the unknown tensor or the missing one is named, found: {error}"
    );

    let mut longer = changed[last].spec().clone();
    longer.shape.insert(0, 2);
    let data = [&**changed[last].data(), &**changed[last].data()].concat();
    let mut misshapen = changed.clone();
    misshapen[last] =
        Tensor::new(longer, crate::SharedBytes::new(data)).expect("twice as many bytes");
    let error = refused(model.load(&misshapen), "a tensor of another shape");
    assert!(
        error.message.contains(name.as_str()),
        "the tensor `{name}` of another shape is named, found: {error}"
    );

    expect_same_bits(
        &weights_of(model),
        &original,
        "weights that are refused change nothing",
    );

    let mut stranger = model.trainable()[0].clone();
    stranger.name = "a.tensor.nobody.knows".to_owned();
    refused(
        read_all(&[stranger], |out| model.read(out)),
        "reading an unknown tensor",
    );
}

pub(super) fn the_seed_decides_what_the_folder_does_not_hold(
    backend: &dyn ModelBackend,
    subject: &Subject,
) {
    let (one, other) = (open(backend, subject), open(backend, subject));
    expect_same_bits(
        &weights_of(&*one),
        &weights_of(&*other),
        "a model opened twice has the same weights",
    );
}
