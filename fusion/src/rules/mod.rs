//! Merge rules: how the tensors of several models become one, tensor by tensor, with the numbers of mergekit 0.1.5.
//!
//! ```
//! use fusion::rules::{Inputs, Rule};
//!
//! let rule: Rule = serde_json::from_str(r#"{"use": "ties", "coefficients": [0.5, 0.3], "density": 0.5}"#).unwrap();
//! let base = [1.0, 1.0, 1.0, 1.0];
//! let members: [&[f32]; 2] = [&[1.5, 1.1, 0.0, 1.0], &[2.0, 0.0, 1.1, 1.0]];
//! let mut merged = [0.0; 4];
//! rule.merge(&Inputs::new(Some(&base), &members), &mut merged).unwrap();
//! assert_eq!(merged, [1.6875, 0.0, 0.0, 1.0]); // 1 + (0.5 * 0.5 + 0.3 * 1) / 0.8, 1 - 1, 1 - 1, 1
//! ```
//!
//! | rule | merges | base | smallest [`Piece`] | passes over the members |
//! |---|---|---|---|---|
//! | `linear` | the weights | none | element | 1 |
//! | `slerp` | two models on the arc between them | or a second member | tensor | 2 |
//! | `task_arithmetic` | differences from the base | yes | element | 1 |
//! | `ties` | the largest differences that agree in sign | yes | tensor | 3 |
//! | `dare_linear`, `dare_ties` | differences chosen at random | yes | tensor, without `rescale` element | 2, without `rescale` 1 |
//! | `breadcrumbs`, `breadcrumbs_ties` | differences neither small nor outlying | yes | tensor | 4 |
//! | `model_stock` | the mean, drawn towards the base | yes | tensor, `filter_wise` row | 2 |
//!
//! `rescale` costs one pass more. The rules that rank magnitudes find order statistics with two histograms, neither sorting
//! nor copying: all of them work in a fixed amount of memory beside the inputs and the result.
//!
//! Differences and their sums are f32, in the members' order, as mergekit's are; norms, inner products and sums over a
//! tensor are f64. A rule is a function of its inputs and runs on the caller's thread: the same tensors give the same bits
//! wherever and beside whatever they are merged.
//!
//! Of differences of equal magnitude at a cut `ties` keeps the first ones of the tensor, `breadcrumbs` the last ones at its
//! lower end and the first ones at its upper end. Mergekit leaves that to an unstable sort; where no magnitudes are equal,
//! both keep the same.
//!
//! Inputs that are NaN or infinite are refused by every rule, with their place: one of them would reach a whole tensor
//! through a norm, or pass for a large difference.
//!
//! The types to know: [`Rule`], [`Inputs`], [`RuleError`].

mod block;
mod error;
mod linear;
mod options;
mod ranking;
mod sieve;
mod slerp;
mod stock;
mod task;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// The smallest part of a tensor that a rule can merge by itself; larger ones give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// Any run of elements.
    Element,
    /// Whole rows: runs over the last dimension.
    Row,
    /// The whole tensor.
    Tensor,
}

/// One tensor of each model.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// That of the model the members were trained from.
    pub base: Option<&'a [f32]>,
    /// Those of the members, row-major.
    pub members: &'a [&'a [f32]],
    /// Elements per row: the length of the last dimension.
    pub row: usize,
    /// Place of the first element in its tensor; not 0 where a tensor is merged in pieces.
    pub first: usize,
    /// What random choices depend on.
    pub seed: TensorSeed,
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

impl<'a> Inputs<'a> {
    /// Whole tensors of one row, with the seed of a nameless tensor.
    #[must_use]
    pub fn new(base: Option<&'a [f32]>, members: &'a [&'a [f32]]) -> Self {
        let row = members.first().map_or(0, |member| member.len());
        Self {
            base,
            members,
            row,
            first: 0,
            seed: TensorSeed::new(0, ""),
        }
    }

    /// The base, if there is one, then the members.
    fn operands(&self) -> Vec<(Operand, &'a [f32])> {
        let base = self.base.map(|base| (Operand::Base, base));
        let members = self.members.iter().enumerate();
        base.into_iter()
            .chain(members.map(|(index, member)| (Operand::Member(index), *member)))
            .collect()
    }

    fn base(&self, rule: &Rule) -> Result<&'a [f32]> {
        self.base.ok_or(RuleError::NoBase { rule: rule.name() })
    }

    fn check(&self, expected: usize) -> Result<()> {
        if self.members.is_empty() {
            return Err(RuleError::NoMembers);
        }
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

    /// Whether the rule merges differences from a base.
    #[must_use]
    pub fn needs_base(&self) -> bool {
        !matches!(self, Self::Linear(_) | Self::Slerp(_))
    }

    /// What a tensor may be cut into. Pieces go in with [`Inputs::first`] set.
    #[must_use]
    pub fn piece(&self) -> Piece {
        match self {
            Self::Linear(_) | Self::TaskArithmetic(_) => Piece::Element,
            Self::DareLinear(dare) | Self::DareTies(dare) if !dare.rescale => Piece::Element,
            Self::ModelStock(ModelStock { filter_wise: true }) => Piece::Row,
            _ => Piece::Tensor,
        }
    }

    /// Merges one tensor, or a piece of it, into `out`. After an error `out` holds nothing of use.
    ///
    /// # Errors
    /// When options are out of range or of another number than the members, lengths differ, a base is missing, or a weight
    /// is NaN or infinite.
    pub fn merge(&self, inputs: &Inputs<'_>, out: &mut [f32]) -> Result<()> {
        inputs.check(out.len())?;
        match self {
            Self::Linear(options) => linear::merge(options, inputs, out),
            Self::Slerp(options) => slerp::merge(options, inputs, out),
            Self::TaskArithmetic(options) => task::merge(options, inputs, inputs.base(self)?, out),
            Self::Ties(options) => task::merge_ties(options, inputs, inputs.base(self)?, out),
            Self::DareLinear(options) => {
                task::merge_dare(options, false, inputs, inputs.base(self)?, out)
            }
            Self::DareTies(options) => {
                task::merge_dare(options, true, inputs, inputs.base(self)?, out)
            }
            Self::Breadcrumbs(options) => {
                task::merge_breadcrumbs(options, false, inputs, inputs.base(self)?, out)
            }
            Self::BreadcrumbsTies(options) => {
                task::merge_breadcrumbs(options, true, inputs, inputs.base(self)?, out)
            }
            Self::ModelStock(options) => stock::merge(options, inputs, inputs.base(self)?, out),
        }
    }
}

#[cfg(test)]
mod tests;
