//! What is to be computed.

use serde::{Deserialize, Serialize};

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::lora::Lora;
use crate::plan::Source;
use crate::rules::{Rule, RuleError, Slerp};

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

impl Recipe {
    pub(crate) fn check(&self, members: usize) -> Result<()> {
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
    pub(crate) fn of(&self, names: &[&str]) -> (Rule, Vec<f64>) {
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

    pub(crate) fn fault(&self, error: RuleError) -> Error {
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
