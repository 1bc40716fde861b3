//! Adapters added to a model, `W + sum of coefficient * scale * B A`: which tensor of the base is changed by what.

use std::collections::BTreeMap;

use crate::checkpoint::{Checkpoint, Tensor};
use crate::compare::json;
use crate::error::{Error, Result};
use crate::lora::add::{AddProducts, Product};
use crate::lora::{BASE_LAYER, Module, PREFIX, Part, Settings, fault, is_factor, modules};
use crate::plan::{Make, Source, Task};
use crate::recipe::Recipe;
use crate::write::Spec;

/// Models of `transformers` with modules whose weights lie `[inputs, outputs]` (its class `Conv1D`), and what these are called.
/// PEFT does not always note it in an adapter's settings.
const CONV1D_MODELS: [&str; 5] = [
    "gpt2",
    "openai-gpt",
    "imagegpt",
    "decision_transformer",
    "clvp",
];
const CONV1D_MODULES: [&str; 4] = [".c_attn", ".q_attn", ".c_proj", ".c_fc"];

/// The tasks that make a model of adapters and their base, and its tied names. The base is the last of the models.
pub(crate) fn tasks<'a>(
    models: &'a [Checkpoint],
    recipe: &Recipe,
    warnings: &mut Vec<String>,
) -> Result<(Vec<Task<'a>>, BTreeMap<String, String>)> {
    let (base, adapters) = models.split_last().expect("there is a base");
    let settings = adapters.iter().map(Settings::read);
    let settings = settings.collect::<Result<Vec<_>>>()?;
    let config = base.companions.get("config.json");
    let config = config.map(|path| json(path)).transpose()?;
    let model_type = config
        .as_ref()
        .and_then(|config| config["model_type"].as_str());
    let adding = Adding {
        base,
        model_type: model_type.unwrap_or_default().to_owned(),
        number: adapters.len(),
        adapters,
        settings: &settings,
        recipe,
    };
    adding.check()?;
    let modules = modules(adapters, &settings)?;
    let whole = adding.whole();
    let prefix = adding.prefix(&modules)?;
    // 1. What is changed, by the name of the base's tensor.
    let mut changed: BTreeMap<&str, Task<'a>> = BTreeMap::new();
    let is_tied = config.is_none_or(|config| config["tie_word_embeddings"] != false);
    for module in &modules {
        let target = adding.target(module, prefix)?;
        if module.is_embedding && is_tied {
            warnings.push(format!(
                "warning: `{}` is changed: if the model ties its head to these embeddings, the head changes too",
                target.name
            ));
        }
        changed.insert(&target.name, adding.product_task(module, target)?);
    }
    let mut new = Vec::new();
    for (name, parts) in &whole {
        let short = name.strip_prefix(PREFIX).unwrap_or(name);
        if let Some((module, rest)) = short.split_once(BASE_LAYER) {
            adding.check_copy(&format!("{module}.{rest}"), prefix, parts)?;
            continue;
        }
        let Some(target) = adding.find(short, prefix) else {
            new.push(adding.new_task(short, parts)?);
            continue;
        };
        let task = adding.whole_task(target, parts)?;
        if changed.insert(&target.name, task).is_some() {
            let what = format!(
                "found it beside another change of `{}`, which the base ties to it, expected one",
                target.name
            );
            return Err(fault(&models[parts[0].model], name, what));
        }
    }
    // 2. All tensors of the base in their order. With a head of its own it is the model that the adapters were trained on.
    let rename = |name: &str| match new.is_empty() {
        true => name.to_owned(),
        false => format!("{prefix}{name}"),
    };
    let mut tasks = Vec::new();
    for tensor in base.tensors() {
        let mut task = match changed.remove(tensor.name.as_str()) {
            Some(task) => task,
            None => adding.kept_task(tensor),
        };
        task.specs[0].name = rename(&tensor.name);
        tasks.push(task);
    }
    let aliases = base.aliases().iter();
    let aliases = aliases.map(|(alias, name)| (rename(alias), rename(name)));
    let aliases = aliases.collect();
    tasks.extend(new);
    Ok((tasks, aliases))
}

struct Adding<'a, 's> {
    base: &'a Checkpoint,
    /// Number of the base among the models.
    number: usize,
    adapters: &'a [Checkpoint],
    settings: &'s [Settings],
    /// What the base's configuration says that it is.
    model_type: String,
    recipe: &'s Recipe,
}

impl<'a> Adding<'a, '_> {
    /// Refuses adapters whose factors are not all that they add.
    fn check(&self) -> Result<()> {
        for (adapter, settings) in self.adapters.iter().zip(self.settings) {
            let refuse = |what: String| {
                let error = Error::input("fuse::adapter", adapter.path.display(), what);
                Err(error.hint("merge it with PEFT's `merge_and_unload`, and fuse the models"))
            };
            if settings.is_dora {
                return refuse(
                    "found a DoRA adapter, which rescales the base's weights, expected plain LoRA"
                        .to_owned(),
                );
            }
            if settings.has_trained_tokens {
                return refuse(
                    "found `trainable_token_indices`, rows of embeddings that were trained whole, expected plain LoRA"
                        .to_owned(),
                );
            }
            if let Some(name) = &settings.initialisation {
                return refuse(format!(
                    "found `init_lora_weights` \"{name}\", which changes the base, expected plain LoRA"
                ));
            }
            let odd = |tensor: &&Tensor| tensor.name.contains(".lora_") && !is_factor(&tensor.name);
            if let Some(odd) = adapter.tensors().iter().find(odd) {
                return refuse(format!(
                    "found the tensor `{}`, expected the factors `lora_A` and `lora_B` alone",
                    odd.name
                ));
            }
        }
        Ok(())
    }

    /// Tensors that adapters hold whole, with the numbers of those that do.
    fn whole(&self) -> BTreeMap<&'a str, Vec<Source<'a>>> {
        let mut whole: BTreeMap<&str, Vec<Source<'a>>> = BTreeMap::new();
        for (number, adapter) in self.adapters.iter().enumerate() {
            for tensor in adapter.tensors() {
                if !is_factor(&tensor.name) {
                    let sources = whole.entry(&tensor.name).or_default();
                    sources.push(Source::new(number, tensor));
                }
            }
        }
        whole
    }

    /// What adapters' names have in front of the base's: nothing, or, for a base saved without a head, its first part.
    fn prefix<'m>(&self, modules: &'m [Module<'a>]) -> Result<&'m str> {
        let Some(first) = modules.first() else {
            return Err(Error::input(
                "fuse::adapter",
                self.adapters[0].path.display(),
                "found no LoRA factors, expected tensors named `...lora_A.weight`",
            ));
        };
        let head = first.name.find('.').map_or("", |dot| &first.name[..=dot]);
        Ok(match self.find(&first.name, "") {
            None if self.find(&first.name, head).is_some() => head,
            _ => "",
        })
    }

    /// The base's tensor behind the name of a module or a tensor in an adapter.
    fn find(&self, name: &str, prefix: &str) -> Option<&'a Tensor> {
        let name = name.strip_prefix(prefix)?;
        let weights = format!("{name}.weight");
        self.base
            .tensor(name)
            .or_else(|| self.base.tensor(&weights))
    }

    fn target(&self, module: &Module<'_>, prefix: &str) -> Result<&'a Tensor> {
        self.find(&module.name, prefix).ok_or_else(|| {
            let adapter = &self.adapters[module.parts[0].model];
            let what = format!(
                "found no `{}.weight` in {}, expected the base that the adapter was trained on",
                module.name,
                self.base.path.display()
            );
            fault(adapter, &module.factors[0], what)
        })
    }

    fn product_task(&self, module: &Module<'a>, target: &'a Tensor) -> Result<Task<'a>> {
        let given = self.recipe.coefficients(&[&target.name])?;
        let mut sources = vec![Source::new(self.number, target)];
        let mut products = Vec::new();
        for part in &module.parts {
            products.push(Product {
                coefficient: given[part.model] * part.scale,
                rank: part.rank,
                is_transposed: self.is_transposed(module, part, target)?,
            });
            sources.extend([part.a, part.b].map(|tensor| Source::new(part.model, tensor)));
        }
        let spec = self.spec(target);
        let add = AddProducts {
            products,
            row: target.shape[1..].iter().product(),
            wide: self.recipe.is_wide(spec.dtype, &sources),
        };
        Ok(Task::new(vec![spec], sources, Make::AddProducts(add)))
    }

    fn is_transposed(&self, module: &Module<'_>, part: &Part<'_>, target: &Tensor) -> Result<bool> {
        let (inputs, outputs) = (&part.a.shape[1..], part.b.shape[0]);
        let shape = &target.shape[..];
        let plain = shape.first() == Some(&outputs) && shape[1..] == *inputs;
        let transposed = inputs.len() == 1 && *shape == [inputs[0], outputs];
        match (plain, transposed) {
            _ if !target.dtype.is_float() => {}
            (_, true) if module.is_embedding => return Ok(true),
            (true, true) => {
                let is_conv1d = CONV1D_MODULES.iter().any(|end| module.name.ends_with(end));
                let is_known = is_conv1d && CONV1D_MODELS.contains(&self.model_type.as_str());
                return Ok(is_known || self.settings[part.model].fan_in_fan_out);
            }
            (true, false) if !module.is_embedding => return Ok(false),
            (false, true) => return Ok(true),
            _ => {}
        }
        let what = format!(
            "found factors {:?} and {:?} for {} {:?} in {}, expected those of its shape",
            part.a.shape,
            part.b.shape,
            target.dtype,
            target.shape,
            self.base.path.display()
        );
        Err(fault(&self.adapters[part.model], &part.a.name, what))
    }

    /// A tensor that some adapters trained whole: the differences from the base's are added.
    fn whole_task(&self, target: &'a Tensor, parts: &[Source<'a>]) -> Result<Task<'a>> {
        self.check_shapes(&target.shape, parts)?;
        let given = self.recipe.coefficients(&[&target.name])?;
        let taken: Vec<f64> = parts.iter().map(|part| given[part.model]).collect();
        let mut coefficients = vec![1.0 - taken.iter().sum::<f64>()];
        coefficients.extend(taken);
        let mut sources = vec![Source::new(self.number, target)];
        sources.extend_from_slice(parts);
        Ok(self.sum(self.spec(target), sources, coefficients))
    }

    /// A tensor that the base does not have, such as a head: the adapters' weighted mean.
    fn new_task(&self, name: &str, parts: &[Source<'a>]) -> Result<Task<'a>> {
        let first = &parts[0];
        let (adapter, settings) = (&self.adapters[first.model], &self.settings[first.model]);
        let is_saved = |part: &str| settings.modules_to_save.iter().any(|module| module == part);
        if !name.split('.').any(is_saved) {
            let what = format!(
                "found no such tensor in {}, expected the base that the adapter was trained on",
                self.base.path.display()
            );
            return Err(fault(adapter, &first.tensor.name, what));
        }
        self.check_shapes(&first.tensor.shape, parts)?;
        let given = self.recipe.coefficients(&[name])?;
        let taken: Vec<f64> = parts.iter().map(|part| given[part.model]).collect();
        let sum: f64 = taken.iter().sum();
        if sum == 0.0 {
            let what = "found coefficients that sum to 0, expected another sum: the base has no such tensor";
            return Err(fault(adapter, &first.tensor.name, what.to_owned()));
        }
        let spec = Spec {
            name: name.to_owned(),
            ..self.spec(first.tensor)
        };
        let coefficients = taken.iter().map(|coefficient| coefficient / sum);
        Ok(self.sum(spec, parts.to_vec(), coefficients.collect()))
    }

    /// A copy of the base's own tensor, which PEFT saves with changed embeddings, adds nothing if it has the base's shape.
    fn check_copy(&self, name: &str, prefix: &str, parts: &[Source<'_>]) -> Result<()> {
        match self.find(name, prefix) {
            Some(target) => self.check_shapes(&target.shape, parts),
            None => Ok(()),
        }
    }

    fn check_shapes(&self, shape: &[usize], parts: &[Source<'_>]) -> Result<()> {
        let odd = |part: &&Source<'_>| part.tensor.shape != shape || !part.tensor.dtype.is_float();
        match parts.iter().find(odd) {
            Some(Source { model, tensor, .. }) => {
                let what = format!(
                    "found {} {:?}, expected numbers {shape:?}",
                    tensor.dtype, tensor.shape
                );
                Err(fault(&self.adapters[*model], &tensor.name, what))
            }
            None => Ok(()),
        }
    }

    /// A tensor that no adapter changes: byte by byte, unless another type was chosen.
    fn kept_task(&self, tensor: &'a Tensor) -> Task<'a> {
        let (spec, source) = (self.spec(tensor), Source::new(self.number, tensor));
        match spec.dtype == tensor.dtype {
            true => Task::new(vec![spec], vec![source], Make::Copy),
            false => self.sum(spec, vec![source], vec![1.0]),
        }
    }

    fn sum(&self, spec: Spec, sources: Vec<Source<'a>>, coefficients: Vec<f64>) -> Task<'a> {
        let wide = self.recipe.is_wide(spec.dtype, &sources);
        Task::new(vec![spec], sources, Make::Sum { coefficients, wide })
    }

    fn spec(&self, tensor: &Tensor) -> Spec {
        let chosen = self.recipe.dtype.filter(|_| tensor.dtype.is_float());
        Spec {
            name: tensor.name.clone(),
            dtype: chosen.unwrap_or(tensor.dtype),
            shape: tensor.shape.clone(),
        }
    }
}
