//! Which tensor of the output is made of what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Tensor};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::lora::{self, AddProducts, Lora, Modules, Refactor};
use crate::rules::{Rule, RuleError, Shape, Slerp, TensorSeed};
use crate::write::Spec;

/// What becomes of tensors of integers and booleans, which have no average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Integers {
    /// All models have to agree.
    #[default]
    Error,
    /// The first member's are taken.
    First,
}

/// Coefficients for the tensors that a pattern fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Names of tensors; `*` stands for any characters, `?` for one.
    pub pattern: String,
    /// One per member; for `slerp`, its `t`.
    pub coefficients: Vec<f64>,
}

/// What is computed.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// How members are combined.
    pub rule: Rule,
    /// What random choices depend on, together with the names of the tensors.
    pub seed: u64,
    /// How adapters are combined; where there is nothing, tensor by tensor as models are.
    pub lora: Option<Lora>,
    /// Whether the last of the models is no member but the one that the members were trained from.
    pub has_base: bool,
    /// One per member, or none where the rule has none.
    pub coefficients: Vec<f64>,
    /// For some tensors; the last that fits counts.
    pub patterns: Vec<Pattern>,
    /// The type of fused tensors; that of the first member where there is none.
    pub dtype: Option<Dtype>,
    /// F32 or F64, in which `linear` makes sums; where there is none, F64 for tensors that are F64 in a member or in the output,
    /// F32 for all others.
    pub accumulate: Option<Dtype>,
    /// What becomes of integers and booleans.
    pub integers: Integers,
}

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
    let own = |name: &String| {
        models
            .iter()
            .any(|m| m.tensors().iter().any(|t| t.name == *name))
    };
    let mut aliases = BTreeMap::new();
    let mut names: Vec<&String> = first.tensors().iter().map(|tensor| &tensor.name).collect();
    for (alias, name) in models.iter().flat_map(Checkpoint::aliases) {
        let is_everywhere = models.iter().all(|model| model.tensor(alias).is_some());
        if own(alias) && is_everywhere {
            if !names.contains(&alias) {
                names.push(alias);
            }
        } else if names.contains(&name) && !names.contains(&alias) {
            aliases.insert(alias.clone(), name.clone());
        }
    }
    (names, aliases)
}

impl Recipe {
    fn check(&self, members: usize) -> Result<()> {
        let rule = self.rule.name();
        let linear = matches!(self.rule, Rule::Linear(_));
        if self.lora.is_some() && !linear {
            let place = format!("--method {rule}");
            let what = "found adapters, whose factors `linear` alone combines";
            return Err(Error::input("fuse::method", place, what));
        }
        if linear && self.has_base && self.lora != Some(Lora::Into) {
            return Err(self.fault(RuleError::Base { rule }));
        }
        if let Some(accumulate) = self.accumulate.filter(|_| !linear) {
            return Err(Error::input(
                "fuse::accumulate",
                "--accumulate",
                format!("found {accumulate}, expected nothing: `{rule}` computes in F32"),
            ));
        }
        let expected = match self.rule.has_coefficients() {
            true => members,
            false => 0,
        };
        check_coefficients("--member", &self.coefficients, expected, "one per member")?;
        self.patterns.iter().try_for_each(|pattern| {
            let (expected, words) = match self.rule {
                Rule::Slerp(_) => (1, "its `t`"),
                Rule::ModelStock(_) => (0, "none for `model_stock`"),
                _ => (members, "one per member"),
            };
            check_coefficients(&pattern.pattern, &pattern.coefficients, expected, words)
        })
    }

    /// The rule and the coefficients for a tensor, or for several that are made together.
    fn of(&self, names: &[&str]) -> (Rule, Vec<f64>) {
        let patterns = self.patterns.iter();
        let pattern = patterns
            .rev()
            .find(|p| names.iter().any(|name| fits(&p.pattern, name)));
        match (&self.rule, pattern) {
            (Rule::Slerp(_), Some(pattern)) => {
                let t = pattern.coefficients[0];
                (Rule::Slerp(Slerp { t }), Vec::new())
            }
            (rule, Some(pattern)) => (rule.clone(), pattern.coefficients.clone()),
            (rule, None) => (rule.clone(), self.coefficients.clone()),
        }
    }

    /// What members are multiplied by in a weighted sum.
    pub(crate) fn coefficients(&self, names: &[&str]) -> Result<Vec<f64>> {
        let (rule, given) = self.of(names);
        match &rule {
            Rule::Linear(options) => options.coefficients(&given).map_err(|e| self.fault(e)),
            _ => Ok(given),
        }
    }

    /// Whether sums are made in f64.
    pub(crate) fn is_wide(&self, out: Dtype, sources: &[Source<'_>]) -> bool {
        match self.accumulate {
            Some(accumulate) => accumulate == Dtype::F64,
            None => {
                let is_f64 = |source: &Source<'_>| source.tensor.dtype == Dtype::F64;
                out == Dtype::F64 || sources.iter().any(is_f64)
            }
        }
    }

    fn fault(&self, error: RuleError) -> Error {
        let place = format!("--method {}", self.rule.name());
        Error::input("fuse::method", place, error)
    }
}

fn check_coefficients(
    place: &str,
    coefficients: &[f64],
    expected: usize,
    words: &str,
) -> Result<()> {
    let fault = |what: String| Error::input("fuse::coefficients", place, what);
    if coefficients.len() != expected {
        return Err(fault(format!(
            "found {} coefficients, expected {words}: {expected}",
            coefficients.len()
        )));
    }
    match coefficients
        .iter()
        .find(|coefficient| !coefficient.is_finite())
    {
        Some(odd) => Err(fault(format!(
            "found the coefficient {odd}, expected a finite number"
        ))),
        None => Ok(()),
    }
}

/// Whether a pattern fits a name: `*` stands for any characters, `?` for one.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the last star does not fit: one character later.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
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
