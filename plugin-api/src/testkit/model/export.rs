//! Models on their way to a folder.

use super::{expect_same_bits, sound, weights_of};
use crate::{Model, Tensor};

pub(super) fn an_export_holds_the_loaded_weights(model: &mut dyn Model) {
    // Other weights than the folder's: every tensor is scaled by 1 + 2^-10.
    let scaled: Vec<Tensor> = weights_of(model)
        .iter()
        .map(|tensor| {
            let Ok(values) = tensor.to_f32() else {
                return tensor.clone();
            };
            let values: Vec<f32> = values.iter().map(|x| x * (1.0 + 1.0 / 1024.0)).collect();
            Tensor::from_f32(&tensor.spec().name, &tensor.spec().shape, &values)
                .expect("the same shape")
        })
        .collect();
    sound(model.load(&scaled), "changed weights can be loaded");
    let export = sound(model.export(), "a model can be exported");
    let named = |name: &str| {
        export
            .tensors
            .iter()
            .filter(|tensor| tensor.spec().name == name)
            .count()
    };
    for tensor in &export.tensors {
        assert_eq!(
            named(&tensor.spec().name),
            1,
            "tensor `{}` is exported once",
            tensor.spec().name
        );
    }
    let exported: Vec<Tensor> = scaled
        .iter()
        .map(|tensor| {
            let name = &tensor.spec().name;
            let found = export
                .tensors
                .iter()
                .find(|other| other.spec().name == *name);
            found
                .unwrap_or_else(|| panic!("trainable tensor `{name}` is exported"))
                .clone()
        })
        .collect();
    expect_same_bits(&exported, &scaled, "the loaded weights are exported");
    let elements: usize = export
        .tensors
        .iter()
        .filter_map(|tensor| tensor.spec().elements())
        .sum();
    let parameters = model.info().parameters;
    assert!(
        elements as u64 >= parameters,
        "all {parameters} parameters are exported, found {elements}"
    );
    for (name, contents) in &export.files {
        let is_plain = !name.is_empty() && !name.contains(['/', '\\']) && name != "..";
        assert!(
            is_plain && !contents.is_empty(),
            "file `{name}` has a plain name and contents"
        );
    }
    assert!(
        export.files.iter().any(|(name, _)| name == "config.json"),
        "`config.json` is exported"
    );
}
