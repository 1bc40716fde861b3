//! Which tensor of the output is made of what.

use std::collections::{BTreeMap, HashSet};

use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::{Error, Result};
use crate::lora::{self, AddProducts, Lora, Modules, Refactor};
use crate::recipe::{Integers, Pattern, Recipe, fits};
use crate::rules::{Rule, Shape, TensorSeed};
use crate::write::Spec;

/// Which tensors are made of what.
#[derive(Debug)]
pub struct Plan<'a> {
    pub(crate) models: &'a [Checkpoint],
    pub(crate) integers: Integers,
    pub(crate) tasks: Vec<Task<'a>>,
    /// Tied names: alias, and the name that it stands for.
    pub aliases: BTreeMap<String, String>,
    /// Rank and scale of the modules of a fused adapter.
    pub modules: Option<Modules>,
    /// What the user should know about it.
    pub warnings: Vec<String>,
}

/// One tensor of the output, or several that are made together.
#[derive(Debug)]
pub(crate) struct Task<'a> {
    pub(crate) specs: Vec<Spec>,
    /// Number of its first tensor in the output.
    pub(crate) first: usize,
    pub(crate) sources: Vec<Source<'a>>,
    pub(crate) make: Make,
}

/// A tensor of a model that takes part.
#[derive(Debug, Clone)]
pub(crate) struct Source<'a> {
    /// Number of its model.
    pub(crate) model: usize,
    pub(crate) tensor: &'a Tensor,
    /// Where its rows are filled up with zeros: their length, and the one they get.
    pub(crate) widened: Option<(usize, usize)>,
}

/// How a tensor is made of its sources.
#[derive(Debug)]
pub(crate) enum Make {
    /// Integers are taken over.
    Copy,
    /// A weighted sum, in f64 where it is wide.
    Sum { coefficients: Vec<f64>, wide: bool },
    /// By a merge rule, in f32.
    Merge {
        rule: Rule,
        coefficients: Vec<f64>,
        shape: Shape,
    },
    /// Products of factors are added.
    AddProducts(AddProducts),
    /// Factors of a sum of products.
    Refactor(Refactor),
}

impl<'a> Plan<'a> {
    /// Finds the tensors of the output. The models, members first, have to be alike: see [`crate::compare`].
    ///
    /// # Errors
    /// When coefficients are not one finite number per member, options do not fit the rule, a pattern fits no tensor, or a
    /// tensor is missing.
    pub fn new(models: &'a [Checkpoint], recipe: &Recipe) -> Result<Self> {
        let first = models.first().ok_or_else(|| {
            Error::input(
                "fuse::members",
                "--member",
                "found no member, expected one or more",
            )
        })?;
        recipe.check(models.len() - usize::from(recipe.has_base))?;
        let mut warnings = Vec::new();
        let (mut tasks, aliases, modules) = match recipe.lora {
            None => {
                let (names, aliases) = names(first, models);
                let tasks = names.iter().map(|name| Task::plain(name, models, recipe));
                (tasks.collect::<Result<Vec<_>>>()?, aliases, None)
            }
            Some(Lora::Into) => {
                let (tasks, aliases) = lora::into_base(models, recipe, &mut warnings)?;
                (tasks, aliases, None)
            }
            Some(way) => {
                let (tasks, modules) = lora::average(models, way, recipe)?;
                (tasks, BTreeMap::new(), Some(modules))
            }
        };
        let mut first = 0;
        for task in &mut tasks {
            task.first = first;
            first += task.specs.len();
        }
        let plan = Self {
            models,
            integers: recipe.integers,
            tasks,
            aliases,
            modules,
            warnings,
        };
        plan.check_patterns(&recipe.patterns)?;
        Ok(plan)
    }

    fn check_patterns(&self, patterns: &[Pattern]) -> Result<()> {
        let is_unused = |pattern: &&Pattern| {
            let mut specs = self.tasks.iter().flat_map(|task| &task.specs);
            !specs.any(|spec| fits(&pattern.pattern, &spec.name))
        };
        match patterns.iter().find(is_unused) {
            Some(unused) => Err(Error::input(
                "fuse::pattern",
                &unused.pattern,
                "found no tensor that the pattern fits, expected one or more",
            )),
            None => Ok(()),
        }
    }

    /// The tensors of the output, in the order in which they are made.
    pub fn specs(&self) -> Vec<Spec> {
        let specs = self.tasks.iter().flat_map(|task| &task.specs);
        specs.cloned().collect()
    }

    /// Elements of all tensors of the output.
    pub fn elements(&self) -> u64 {
        self.tasks.iter().map(|task| task.elements() as u64).sum()
    }
}

/// Names of the tensors of the output, and tied names with those that they stand for.
fn names<'a>(
    first: &'a Checkpoint,
    models: &'a [Checkpoint],
) -> (Vec<&'a String>, BTreeMap<String, String>) {
    // What is a tensor of its own in one model is one in the output, even if others tie it.
    let tensors = models.iter().flat_map(|model| model.tensors());
    let own: HashSet<&String> = tensors.map(|tensor| &tensor.name).collect();
    let mut aliases = BTreeMap::new();
    let mut names: Vec<&String> = first.tensors().iter().map(|tensor| &tensor.name).collect();
    let mut known: HashSet<&String> = names.iter().copied().collect();
    for (alias, name) in models.iter().flat_map(Checkpoint::aliases) {
        // Whichever of the two names has the tensor.
        let is_tied = |model: &Checkpoint| match (model.tensor(alias), model.tensor(name)) {
            (Some(a), Some(b)) => std::ptr::eq(a, b),
            _ => false,
        };
        let is_everywhere = models.iter().all(|model| model.tensor(alias).is_some());
        if own.contains(alias) && is_everywhere && !models.iter().all(is_tied) {
            if known.insert(alias) {
                names.push(alias);
            }
        } else if known.contains(name) && !known.contains(alias) {
            aliases.insert(alias.clone(), name.clone());
        }
    }
    (names, aliases)
}

impl<'a> Source<'a> {
    pub(crate) fn new(model: usize, tensor: &'a Tensor) -> Self {
        Self {
            model,
            tensor,
            widened: None,
        }
    }
}

impl<'a> Task<'a> {
    pub(crate) fn new(specs: Vec<Spec>, sources: Vec<Source<'a>>, make: Make) -> Self {
        Self {
            specs,
            first: 0,
            sources,
            make,
        }
    }

    /// A tensor that all models have, alike.
    pub(crate) fn plain(name: &str, models: &'a [Checkpoint], recipe: &Recipe) -> Result<Self> {
        let sources = models.iter().enumerate().map(|(number, model)| {
            let tensor = model.tensor(name).ok_or_else(|| {
                Error::input(
                    "fuse::tensor",
                    model.path.display(),
                    format!("found no tensor `{name}`, expected one as in the first member"),
                )
            })?;
            Ok(Source::new(number, tensor))
        });
        let sources = sources.collect::<Result<Vec<_>>>()?;
        let first = sources[0].tensor;
        for (Source { tensor, .. }, model) in sources.iter().zip(models) {
            let same_kind =
                tensor.dtype == first.dtype || (tensor.dtype.is_float() && first.dtype.is_float());
            if tensor.shape != first.shape || !same_kind {
                return Err(Error::input(
                    "fuse::tensor",
                    model.path.display(),
                    format!(
                        "tensor `{name}`: found {} {:?}, expected {} {:?} as in the first member",
                        tensor.dtype, tensor.shape, first.dtype, first.shape
                    ),
                ));
            }
        }
        let dtype = match first.dtype.is_float() {
            true => recipe.dtype.unwrap_or(first.dtype),
            false => first.dtype,
        };
        let spec = Spec {
            name: name.to_owned(),
            dtype,
            shape: first.shape.clone(),
        };
        let make = Make::new(&spec, &sources, recipe)?;
        Ok(Self::new(vec![spec], sources, make))
    }

    /// Elements of all that it makes.
    pub(crate) fn elements(&self) -> usize {
        self.specs.iter().map(Spec::elements).sum()
    }

    pub(crate) fn place(&self) -> String {
        format!("tensor `{}`", self.specs[0].name)
    }
}

impl Make {
    fn new(spec: &Spec, sources: &[Source<'_>], recipe: &Recipe) -> Result<Self> {
        if !spec.dtype.is_float() {
            return Ok(Make::Copy);
        }
        let (rule, coefficients) = recipe.of(&[&spec.name]);
        if let Rule::Linear(_) = rule {
            return Ok(Make::Sum {
                coefficients: recipe.coefficients(&[&spec.name])?,
                wide: recipe.is_wide(spec.dtype, sources),
            });
        }
        let shape = Shape {
            members: sources.len() - usize::from(recipe.has_base),
            has_base: recipe.has_base,
            elements: spec.elements(),
            row: spec.shape.last().copied().unwrap_or(1),
            seed: TensorSeed::new(recipe.seed, &spec.name),
        };
        // What is wrong with options is said before anything is written.
        rule.begin(&coefficients, &shape)
            .map_err(|error| recipe.fault(error))?;
        Ok(Make::Merge {
            rule,
            coefficients,
            shape,
        })
    }

    /// Whether any part of the tensor can be made by itself.
    pub(crate) fn is_cut_anywhere(&self) -> bool {
        match self {
            Make::Copy | Make::Sum { .. } | Make::AddProducts(_) => true,
            Make::Refactor(_) => false,
            Make::Merge {
                rule,
                coefficients,
                shape,
            } => rule
                .begin(coefficients, shape)
                .is_ok_and(|merge| merge.looks() == 0),
        }
    }
}
