//! What keeps a rule from merging.

use std::fmt;

/// Result of merging.
pub type Result<T> = std::result::Result<T, RuleError>;

/// Why a tensor was not merged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// There is nothing to merge.
    #[error("found no members, expected at least one")]
    NoMembers,
    /// The rule merges deltas from a base, and none was given.
    #[error(
        "`{rule}` merges differences from a base: found none; name the model that the members were trained from"
    )]
    NoBase {
        /// Name of the rule.
        rule: &'static str,
    },
    /// The rule merges the weights themselves, and a base was given.
    #[error("`{rule}` merges no differences: found a base, expected none")]
    Base {
        /// Name of the rule.
        rule: &'static str,
    },
    /// The rule is for another number of models.
    #[error("`{rule}`: found {found} models, expected {expected}")]
    ModelCount {
        /// Name of the rule.
        rule: &'static str,
        /// How many there are; the base counts where `expected` says so.
        found: usize,
        /// How many it takes.
        expected: &'static str,
    },
    /// Tensors of different sizes.
    #[error("{tensor}: found {found} elements, expected {expected}")]
    Length {
        /// The tensor that differs.
        tensor: Operand,
        /// Its number of elements.
        found: usize,
        /// The number of elements of the result.
        expected: usize,
    },
    /// Rows that do not fill the tensor.
    #[error("found rows of {found} elements in a tensor of {elements}, expected a divisor of it")]
    RowLength {
        /// Elements per row.
        found: usize,
        /// Elements of the tensor.
        elements: usize,
    },
    /// A list of another length than there are members.
    #[error(
        "`{option}`: found {found} values, expected one, or one for each of {expected} members"
    )]
    OptionCount {
        /// Name of the option.
        option: &'static str,
        /// Length of the list.
        found: usize,
        /// Number of members.
        expected: usize,
    },
    /// A number outside its range.
    #[error("`{option}`: found {found}, expected {expected}")]
    OptionRange {
        /// Name of the option.
        option: &'static str,
        /// The number.
        found: f64,
        /// Its range in words.
        expected: &'static str,
    },
    /// Coefficients that cannot be divided by their sum.
    #[error(
        "`coefficients` add up to {found}, expected another sum than 0; or set `normalize` to false"
    )]
    CoefficientSum {
        /// The sum.
        found: f64,
    },
    /// NaN or an infinity among the weights.
    #[error("{tensor}, element {element}: found {found}, expected a finite number")]
    NotFinite {
        /// Where it is.
        tensor: Operand,
        /// Its place in the tensor, row-major, from 0.
        element: usize,
        /// What it is.
        found: f32,
    },
}

/// One of the tensors of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// That of the base.
    Base,
    /// That of the member of this index, from 0.
    Member(usize),
}

impl fmt::Display for Operand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => formatter.write_str("base"),
            Self::Member(index) => write!(formatter, "member {index}"),
        }
    }
}
