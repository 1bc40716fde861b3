//! LoRA adapters in PEFT's folders: which tensors are factors, by what their product is multiplied, and the ways to make one
//! adapter of several or to add them to a model.
//!
//! An adapter changes a module's weights by `scale * B A`, with `A` `[rank, inputs]` and `B` `[outputs, rank]` (Hu et al.
//! 2022). Averaging factors is cheap and rough: the product of averages is not the average of products. Averaging products is
//! exact up to the rank that the result is given.

mod add;
mod factors;
mod into;
mod products;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::{Error, Result};

use crate::plan::{Make, Source, Task};
use crate::recipe::Recipe;
use crate::write::Spec;

pub(crate) use add::{AddProducts, Loaded};
pub(crate) use into::tasks as into_base;
pub(crate) use products::Refactor;
pub use products::Truncation;
use settings::Settings;
pub use settings::{Modules, adapter_config};

/// How adapters are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lora {
    /// Weighted sums of factors. Scales and ranks may differ.
    Factors,
    /// Weighted sums of products, taken apart into factors again.
    Products {
        /// The rank of the result; where there is none, the largest of the members.
        rank: Option<usize>,
    },
    /// Added to the base.
    Into,
}

/// Names of an adapter's tensors begin so.
const PREFIX: &str = "base_model.model.";

/// Stands in names of a module's own weights, which PEFT saves beside the factors of changed embeddings.
const BASE_LAYER: &str = ".base_layer.";

/// What the factors of a module are called behind its name.
const FACTORS: [[&str; 2]; 2] = [
    [".lora_A.weight", ".lora_B.weight"],
    [".lora_embedding_A", ".lora_embedding_B"],
];

/// A module that an adapter changes.
#[derive(Debug, Clone)]
struct Module<'a> {
    /// Its name in the base, without [`PREFIX`].
    name: String,
    /// What its factors are called.
    factors: [String; 2],
    is_embedding: bool,
    /// Those of the adapters that have it.
    parts: Vec<Part<'a>>,
}

/// One adapter's part in a module.
#[derive(Debug, Clone)]
struct Part<'a> {
    /// Number of the adapter.
    model: usize,
    a: &'a Tensor,
    b: &'a Tensor,
    rank: usize,
    scale: f64,
}

/// The tasks that make one adapter of several, with ranks and scales of its modules. Tensors that are no factors are averaged
/// as those of models are.
pub(crate) fn average<'a>(
    adapters: &'a [Checkpoint],
    way: Lora,
    recipe: &Recipe,
) -> Result<(Vec<Task<'a>>, Modules)> {
    let settings = adapters.iter().map(Settings::read);
    let settings = settings.collect::<Result<Vec<_>>>()?;
    let modules = modules(adapters, &settings)?;
    if modules.is_empty() {
        let what = "found no LoRA factors, expected tensors named `...lora_A.weight`";
        return Err(Error::input(
            "fuse::adapter",
            adapters[0].path.display(),
            what,
        ));
    }
    let (mut tasks, made) = match way {
        Lora::Products { rank } => {
            let dora = settings.iter().position(|settings| settings.is_dora);
            if let Some(number) = dora {
                let what = "found a DoRA adapter, whose products are no differences of weights, expected plain LoRA";
                let error = Error::input("fuse::adapter", adapters[number].path.display(), what);
                return Err(error.hint("`--lora factors` averages the factors"));
            }
            products::tasks(&modules, rank, recipe)?
        }
        _ => factors::tasks(&modules, recipe)?,
    };
    let names = adapters.iter().flat_map(Checkpoint::names);
    let whole: BTreeSet<&String> = names.filter(|name| !is_factor(name)).collect();
    for name in whole {
        tasks.push(match name.contains(BASE_LAYER) {
            true => copy_task(name, adapters),
            false => Task::plain(name, adapters, recipe)?,
        });
        let task = tasks.last_mut().expect("it was just added");
        rescale_bias(task, name, &modules, &made);
    }
    Ok((tasks, made))
}

/// The bias of a factor `B` is multiplied by its adapter's scale as the product is.
fn rescale_bias(task: &mut Task<'_>, name: &str, modules: &[Module<'_>], made: &Modules) {
    let is_its = |module: &&Module<'_>| {
        let stem = module.factors[1].strip_suffix(".weight");
        stem.is_some() && stem == name.strip_suffix(".bias")
    };
    let Some(module) = modules.iter().find(is_its) else {
        return;
    };
    if let Make::Sum { coefficients, .. } = &mut task.make {
        let scale = made[&module.name].1;
        for (source, coefficient) in task.sources.iter().zip(coefficients) {
            let part = module.parts.iter().find(|part| part.model == source.model);
            *coefficient *= part.map_or(1.0, |part| part.scale / scale);
        }
    }
}

/// A copy of the base's own weights, of which there is no average: adapters that have it have to agree.
fn copy_task<'a>(name: &str, adapters: &'a [Checkpoint]) -> Task<'a> {
    let holders = adapters.iter().enumerate();
    let holders = holders.filter_map(|(model, adapter)| Some((model, adapter.tensor(name)?)));
    let mut sources: Vec<Source<'a>> = holders
        .map(|(model, tensor)| Source::new(model, tensor))
        .collect();
    let first = sources[0].tensor;
    sources.retain(|source| {
        (source.tensor.dtype, &source.tensor.shape) == (first.dtype, &first.shape)
    });
    let spec = Spec {
        name: name.to_owned(),
        dtype: first.dtype,
        shape: first.shape.clone(),
    };
    Task::new(vec![spec], sources, Make::Copy)
}

/// Whether adapters that are averaged may have a tensor in different shapes, or not all of them.
pub(crate) fn may_differ(name: &str) -> bool {
    is_factor(name) || name.contains(BASE_LAYER)
}

/// Whether a tensor is a factor of a product.
fn is_factor(name: &str) -> bool {
    FACTORS
        .iter()
        .flatten()
        .any(|factor| name.ends_with(factor))
}

/// The modules that adapters change, in the order of their tensors.
fn modules<'a>(adapters: &'a [Checkpoint], settings: &[Settings]) -> Result<Vec<Module<'a>>> {
    let mut modules: Vec<Module<'a>> = Vec::new();
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for (model, (adapter, settings)) in adapters.iter().zip(settings).enumerate() {
        for a_name in adapter.names() {
            let found = FACTORS
                .iter()
                .find_map(|names| Some((names, a_name.strip_suffix(names[0])?)));
            let Some(((names, stem), a)) = found.zip(adapter.tensor(a_name)) else {
                continue;
            };
            let name = stem.strip_prefix(PREFIX).unwrap_or(stem);
            let factors = names.map(|factor| format!("{stem}{factor}"));
            let b = adapter.tensor(&factors[1]).ok_or_else(|| {
                fault(
                    adapter,
                    &a.name,
                    format!("found no `{}` beside it", factors[1]),
                )
            })?;
            let rank = rank(adapter, a, b)?;
            let number = *known.entry(name).or_insert_with(|| {
                modules.push(Module {
                    name: name.to_owned(),
                    factors,
                    is_embedding: names == &FACTORS[1],
                    parts: Vec::new(),
                });
                modules.len() - 1
            });
            modules[number].parts.push(Part {
                model,
                a,
                b,
                rank,
                scale: settings.scale(name, rank),
            });
        }
    }
    modules
        .iter()
        .try_for_each(|module| module.check(adapters))?;
    Ok(modules)
}

/// The rank of two factors `[rank, ...]` and `[outputs, rank, 1, ...]`.
fn rank(adapter: &Checkpoint, a: &Tensor, b: &Tensor) -> Result<usize> {
    let fits = a.shape.len() >= 2
        && b.shape.len() >= 2
        && a.shape[0] == b.shape[1]
        && a.elements() > 0
        && b.elements() > 0
        && b.shape[2..].iter().all(|&n| n == 1)
        && a.dtype.is_float()
        && b.dtype.is_float();
    match fits {
        true => Ok(a.shape[0]),
        false => Err(fault(
            adapter,
            &a.name,
            format!(
                "found {} {:?} and `{}` {} {:?}, expected factors of one rank",
                a.dtype, a.shape, b.name, b.dtype, b.shape
            ),
        )),
    }
}

impl Module<'_> {
    /// Whether all adapters change a module of one shape.
    fn check(&self, adapters: &[Checkpoint]) -> Result<()> {
        let first = &self.parts[0];
        let odd = self.parts.iter().find(|part| {
            part.a.shape[1..] != first.a.shape[1..] || part.b.shape[0] != first.b.shape[0]
        });
        match odd {
            Some(part) => Err(fault(
                &adapters[part.model],
                &part.a.name,
                format!(
                    "found factors {:?} and {:?}, expected {:?} and {:?} as in the first adapter but for the rank",
                    part.a.shape, part.b.shape, first.a.shape, first.b.shape
                ),
            )),
            None => Ok(()),
        }
    }

    /// The largest rank among the adapters.
    fn rank(&self) -> usize {
        self.parts.iter().map(|part| part.rank).max().unwrap_or(0)
    }

    /// Shapes of both factors at some rank.
    fn shapes(&self, rank: usize) -> [Vec<usize>; 2] {
        let (mut a, mut b) = (self.parts[0].a.shape.clone(), self.parts[0].b.shape.clone());
        (a[0], b[1]) = (rank, rank);
        [a, b]
    }
}

fn fault(adapter: &Checkpoint, tensor: &str, what: String) -> Error {
    let place = format!("{}: tensor `{tensor}`", adapter.path.display());
    Error::input("fuse::adapter", place, what)
}
