//! Merge rules: how the tensors of several models become one, tensor by tensor, with the numbers of mergekit 0.1.5.
//!
//! ```
//! use fusion::rules::{Inputs, Rule, Shape};
//!
//! let rule: Rule = serde_json::from_str(r#"{"use": "ties", "density": 0.5}"#).unwrap();
//! let base = [1.0, 1.0, 1.0, 1.0];
//! let members: [&[f32]; 2] = [&[1.5, 1.1, 0.0, 1.0], &[2.0, 0.0, 1.1, 1.0]];
//! let inputs = Inputs { base: Some(&base), members: &members, first: 0 };
//! let mut merged = [0.0; 4];
//! rule.merge(&[0.5, 0.3], &Shape::of(&inputs), &inputs, &mut merged).unwrap();
//! assert_eq!(merged, [1.6875, 0.0, 0.0, 1.0]); // 1 + (0.5 * 0.5 + 0.3 * 1) / 0.8, 1 - 1, 1 - 1, 1
//! ```
//!
//! | rule | merges | base | looks before it merges |
//! |---|---|---|---|
//! | `linear` | the weights | none | 0 |
//! | `slerp` | two models on the arc between them | or a second member | 1 |
//! | `task_arithmetic` | differences from the base | yes | 0 |
//! | `ties` | the largest differences that agree in sign | yes | 2 |
//! | `dare_linear`, `dare_ties` | differences chosen at random | yes | 1, without `rescale` 0 |
//! | `breadcrumbs`, `breadcrumbs_ties` | differences neither small nor outlying | yes | 2 |
//! | `model_stock` | the mean, drawn towards the base | yes | 1 |
//!
//! `rescale` costs one look more. A rule goes over a tensor front to back in blocks, so that no tensor has to be in memory
//! as a whole; one that does not look may be given any piece by itself. The rules that rank magnitudes find order statistics
//! with two histograms, neither sorting nor copying: all of them work in a fixed amount of memory beside the blocks.
//!
//! Differences and their sums are f32, in the members' order, as mergekit's are; norms, inner products and sums over a
//! tensor are f64. A rule is a function of its inputs: the same tensors give the same bits wherever, beside whatever and in
//! whatever blocks (multiples of [`BLOCK`]) they are merged.
//!
//! Of differences of equal magnitude at a cut `ties` keeps the first ones of the tensor, `breadcrumbs` the last ones at its
//! lower end and the first ones at its upper end. Mergekit leaves that to an unstable sort; where no magnitudes are equal,
//! both keep the same.
//!
//! Inputs that are NaN or infinite are refused by every rule, with their place: one of them would reach a whole tensor
//! through a norm, or pass for a large difference.
//!
//! The types to know: [`Rule`], [`Merge`], [`RuleError`].

mod block;
mod error;
mod linear;
mod options;
mod ranking;
mod sieve;
mod slerp;
mod stock;
mod task;

use linear::Sum;
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use slerp::Arc;
use stock::Stock;
use task::Task;

pub use block::BLOCK;
pub use error::{Operand, Result, RuleError};
pub use options::{Breadcrumbs, Dare, Linear, ModelStock, PerMember, Slerp, TaskArithmetic, Ties};

/// How tensors are merged: `{"use": "ties", "density": 0.5}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "use", rename_all = "snake_case")]
pub enum Rule {
    /// Weighted sum or mean of the weights (Wortsman et al. 2022).
    Linear(Linear),
    /// Spherical interpolation between two models (Shoemake 1985).
    Slerp(Slerp),
    /// Weighted sum of the differences from a base (Ilharco et al. 2023).
    TaskArithmetic(TaskArithmetic),
    /// The largest differences, of those the ones with the elected sign (Yadav et al. 2023).
    Ties(Ties),
    /// Differences chosen at random and stretched (Yu et al. 2024).
    DareLinear(Dare),
    /// Differences chosen at random and stretched, of those the ones with the elected sign.
    DareTies(Dare),
    /// Differences neither small nor outlying (Davari and Belilovsky 2024).
    Breadcrumbs(Breadcrumbs),
    /// Differences neither small nor outlying, of those the ones with the elected sign.
    BreadcrumbsTies(Breadcrumbs),
    /// The mean, drawn towards the base by the angles between the differences (Jang et al. 2024).
    ModelStock(ModelStock),
}

/// What a rule knows of a tensor before it sees it.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// How many members there are.
    pub members: usize,
    /// Whether there is a model that the members were trained from.
    pub has_base: bool,
    /// Elements of the whole tensor.
    pub elements: usize,
    /// Elements per row: the length of the last dimension.
    pub row: usize,
    /// What random choices depend on.
    pub seed: TensorSeed,
}

/// The same elements of one tensor of each model.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Those of the model the members were trained from.
    pub base: Option<&'a [f32]>,
    /// Those of the members, row-major.
    pub members: &'a [&'a [f32]],
    /// Place of the first element in its tensor.
    pub first: usize,
}

/// One tensor on its way through a rule, which looks at all of it as often as it has to, and then merges it. Every pass goes
/// front to back, in blocks that end at multiples of [`BLOCK`] or with the tensor.
pub trait Merge: Send {
    /// How often it still has to look at the whole tensor. One that never looks may be given any piece of it alone.
    fn looks(&self) -> usize {
        0
    }

    /// Looks at the next block.
    ///
    /// # Errors
    /// When a weight is NaN or infinite.
    fn look(&mut self, inputs: &Inputs<'_>) -> Result<()> {
        let _ = inputs;
        Ok(())
    }

    /// Ends a look.
    fn turn(&mut self) {}

    /// Merges the next block into `out`. After an error `out` holds nothing of use.
    ///
    /// # Errors
    /// When a weight is NaN or infinite.
    fn merge(&mut self, inputs: &Inputs<'_>, out: &mut [f32]) -> Result<()>;
}

/// The seed of one tensor, so that its random choices depend neither on the other tensors nor on their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorSeed([u8; 32]);

impl TensorSeed {
    /// The seed of a tensor by name.
    #[must_use]
    pub fn new(seed: u64, tensor: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(tensor.as_bytes());
        Self(hasher.finalize().into())
    }
}

impl Shape {
    /// Of inputs that are whole tensors of one row, with the seed of a nameless tensor.
    #[must_use]
    pub fn of(inputs: &Inputs<'_>) -> Self {
        Self {
            members: inputs.members.len(),
            has_base: inputs.base.is_some(),
            elements: inputs.elements(),
            row: inputs.elements(),
            seed: TensorSeed::new(0, ""),
        }
    }
}

impl<'a> Inputs<'a> {
    /// The base, if there is one, then the members.
    fn operands(&self) -> Vec<(Operand, &'a [f32])> {
        let base = self.base.map(|base| (Operand::Base, base));
        let members = self.members.iter().enumerate();
        base.into_iter()
            .chain(members.map(|(index, member)| (Operand::Member(index), *member)))
            .collect()
    }

    fn elements(&self) -> usize {
        self.members.first().map_or(0, |member| member.len())
    }

    /// That of a rule that was begun with one.
    fn base(&self) -> &'a [f32] {
        self.base
            .expect("a rule that needs a base is not begun without")
    }

    fn check(&self, expected: usize) -> Result<()> {
        match self
            .operands()
            .iter()
            .find(|(_, values)| values.len() != expected)
        {
            Some(&(tensor, values)) => Err(RuleError::Length {
                tensor,
                found: values.len(),
                expected,
            }),
            None => Ok(()),
        }
    }
}

impl Rule {
    /// The names of all rules, as in `use`.
    pub const NAMES: [&str; 9] = [
        "linear",
        "slerp",
        "task_arithmetic",
        "ties",
        "dare_linear",
        "dare_ties",
        "breadcrumbs",
        "breadcrumbs_ties",
        "model_stock",
    ];

    /// Its name, as in `use`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        Self::NAMES[match self {
            Self::Linear(_) => 0,
            Self::Slerp(_) => 1,
            Self::TaskArithmetic(_) => 2,
            Self::Ties(_) => 3,
            Self::DareLinear(_) => 4,
            Self::DareTies(_) => 5,
            Self::Breadcrumbs(_) => 6,
            Self::BreadcrumbsTies(_) => 7,
            Self::ModelStock(_) => 8,
        }]
    }

    /// The rule of a name, with its defaults.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::json!({ "use": name })).ok()
    }

    /// The JSON Schema of its options.
    #[must_use]
    pub fn schema(&self) -> serde_json::Value {
        let schema = match self {
            Self::Linear(_) => schema_for!(Linear),
            Self::Slerp(_) => schema_for!(Slerp),
            Self::TaskArithmetic(_) => schema_for!(TaskArithmetic),
            Self::Ties(_) => schema_for!(Ties),
            Self::DareLinear(_) | Self::DareTies(_) => schema_for!(Dare),
            Self::Breadcrumbs(_) | Self::BreadcrumbsTies(_) => schema_for!(Breadcrumbs),
            Self::ModelStock(_) => schema_for!(ModelStock),
        };
        schema.to_value()
    }

    /// What it is called in a sentence.
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self {
            Self::Linear(_) => "a weighted sum",
            Self::Slerp(_) => "spherical interpolation",
            Self::TaskArithmetic(_) => "task arithmetic",
            Self::Ties(_) => "TIES",
            Self::DareLinear(_) => "DARE",
            Self::DareTies(_) => "DARE with elected signs",
            Self::Breadcrumbs(_) => "Model Breadcrumbs",
            Self::BreadcrumbsTies(_) => "Model Breadcrumbs with elected signs",
            Self::ModelStock(_) => "Model Stock",
        }
    }

    /// Whether the rule merges differences from a base.
    #[must_use]
    pub fn needs_base(&self) -> bool {
        !matches!(self, Self::Linear(_) | Self::Slerp(_))
    }

    /// Whether the members have coefficients.
    #[must_use]
    pub fn has_coefficients(&self) -> bool {
        !matches!(self, Self::Slerp(_) | Self::ModelStock(_))
    }

    /// Whether it makes random choices.
    #[must_use]
    pub fn is_random(&self) -> bool {
        matches!(self, Self::DareLinear(_) | Self::DareTies(_))
    }

    /// Most bytes that merging a tensor takes beside the blocks.
    #[must_use]
    pub fn bytes(&self, shape: &Shape) -> usize {
        let tables = match self {
            Self::Ties(_) | Self::Breadcrumbs(_) | Self::BreadcrumbsTies(_) => ranking::BYTES,
            _ => 0,
        };
        let shares = match self {
            Self::ModelStock(ModelStock { filter_wise: true }) => {
                shape.elements / shape.row.max(1) * size_of::<f64>()
            }
            _ => 0,
        };
        // A delta of a block, and a copy of it that is measured.
        shape.members * (tables + 2 * BLOCK * size_of::<f32>()) + shares
    }

    /// Begins with a tensor. There is a coefficient for each member, or none where the rule has none.
    ///
    /// # Errors
    /// When options are out of range or of another number than the members, or a base is missing or too many.
    pub fn begin(&self, coefficients: &[f64], shape: &Shape) -> Result<Box<dyn Merge>> {
        let rule = self.name();
        match (self.needs_base(), shape.has_base) {
            _ if shape.members == 0 => return Err(RuleError::NoMembers),
            (true, false) => return Err(RuleError::NoBase { rule }),
            (false, true) if matches!(self, Self::Linear(_)) => {
                return Err(RuleError::Base { rule });
            }
            _ => {}
        }
        Ok(match self {
            Self::Linear(options) => Box::new(Sum::new(options, coefficients, shape)?),
            Self::Slerp(options) => Box::new(Arc::new(options, shape)?),
            Self::TaskArithmetic(options) => {
                Box::new(Task::arithmetic(options, coefficients, shape)?)
            }
            Self::Ties(options) => Box::new(Task::ties(options, coefficients, shape)?),
            Self::DareLinear(options) => Box::new(Task::dare(options, false, coefficients, shape)?),
            Self::DareTies(options) => Box::new(Task::dare(options, true, coefficients, shape)?),
            Self::Breadcrumbs(options) => {
                Box::new(Task::breadcrumbs(options, false, coefficients, shape)?)
            }
            Self::BreadcrumbsTies(options) => {
                Box::new(Task::breadcrumbs(options, true, coefficients, shape)?)
            }
            Self::ModelStock(options) => Box::new(Stock::new(options, shape)?),
        })
    }

    /// Merges a tensor that is in memory as a whole. After an error `out` holds nothing of use.
    ///
    /// # Errors
    /// As [`Rule::begin`], and when lengths differ or a weight is NaN or infinite.
    pub fn merge(
        &self,
        coefficients: &[f64],
        shape: &Shape,
        inputs: &Inputs<'_>,
        out: &mut [f32],
    ) -> Result<()> {
        let mut merge = self.begin(coefficients, shape)?;
        inputs.check(out.len())?;
        while merge.looks() > 0 {
            merge.look(inputs)?;
            merge.turn();
        }
        merge.merge(inputs, out)
    }
}

#[cfg(test)]
mod tests;
