//! F1, precision and recall: a ratio per class, and ways to make one number of them.

use std::marker::PhantomData;

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::counts::{ClassCounts, Counts};

/// A ratio of the counts of a class.
pub trait Ratio: Send + 'static {
    /// What configurations call it.
    const NAME: &'static str;
    /// One line for people.
    const SUMMARY: &'static str;
    /// The ratio, in [0, 1]; 0 where it is one of nothing to nothing.
    fn of(class: &ClassCounts) -> f64;
}

/// Harmonic mean of precision and recall.
pub struct F1;

/// Share of right ones among the rows predicted to be of a class.
pub struct Precision;

/// Share of a class that was predicted to be of it.
pub struct Recall;

impl Ratio for F1 {
    const NAME: &'static str = "f1";
    const SUMMARY: &'static str = "harmonic mean of precision and recall";

    fn of(class: &ClassCounts) -> f64 {
        ratio(2 * class.right, class.predicted + class.support)
    }
}

impl Ratio for Precision {
    const NAME: &'static str = "precision";
    const SUMMARY: &'static str = "share of right ones among those predicted to be of a class";

    fn of(class: &ClassCounts) -> f64 {
        ratio(class.right, class.predicted)
    }
}

impl Ratio for Recall {
    const NAME: &'static str = "recall";
    const SUMMARY: &'static str = "share of a class that was found";

    fn of(class: &ClassCounts) -> f64 {
        ratio(class.right, class.support)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

/// A ratio over a split, made of those of its classes.
pub struct ByClass<R> {
    options: ByClassOptions,
    ratio: PhantomData<fn() -> R>,
}

/// How the ratios of the classes become one number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ByClassOptions {
    /// `binary`: of the class `positive` alone. `macro`: the mean over all classes that occur as label or prediction.
    /// `micro`: of all classes counted together, which is the accuracy. `weighted`: the mean weighted by how many rows
    /// are of the class. `auto`: `binary` for two labels or where `positive` is given, `macro` for more.
    pub average: Average,
    /// The class that counts for `binary`, as an index into the task's labels; 1 if it is not given. With more than two
    /// labels it is that class against all others.
    #[schemars(range(min = 0))]
    pub positive: Option<u64>,
}

/// Which classes count, and how much. `Serialize` lets the default into the options' schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// `binary` for two labels or where `positive` is given, `macro` for more.
    #[default]
    Auto,
    /// One class alone.
    Binary,
    /// Every class that occurs as much as any other.
    Macro,
    /// All classes counted together.
    Micro,
    /// Every class as much as it has rows.
    Weighted,
}

/// [`Average`], once the labels are known.
enum Resolved {
    Binary(usize),
    Macro,
    Micro,
    Weighted,
}

impl<R: Ratio> Component for ByClass<R> {
    type Options = ByClassOptions;

    fn describe() -> Descriptor {
        Descriptor::new(Kind::Metric, R::NAME, R::SUMMARY).score(ScoreDescriptor::maximize(
            R::NAME,
            0.0,
            1.0,
        ))
    }

    fn new(options: ByClassOptions, _: &Context) -> Result<Self> {
        if let (Some(positive), Average::Macro | Average::Micro | Average::Weighted) =
            (options.positive, options.average)
        {
            return Err(PluginError::input(format!(
                "found `positive: {positive}` beside an average over all classes, expected `average: binary`"
            ))
            .hint("leave one of the two out"));
        }
        Ok(Self {
            options,
            ratio: PhantomData,
        })
    }
}

impl<R: Ratio> Metric for ByClass<R> {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let counts = Counts::of(examples)?;
        let average = self.options.resolve(counts.classes.len())?;
        let (value, how) = match average {
            Resolved::Binary(positive) => (
                R::of(&counts.classes[positive]),
                format!("binary|positive:{positive}"),
            ),
            Resolved::Macro => (mean::<R>(&counts.classes, |_| 1), "macro".to_owned()),
            Resolved::Micro => (R::of(&counts.total), "micro".to_owned()),
            Resolved::Weighted => (
                mean::<R>(&counts.classes, |class| class.support),
                "weighted".to_owned(),
            ),
        };
        let signature = format!(
            "{}|average:{how}|version:{}",
            R::NAME,
            env!("CARGO_PKG_VERSION")
        );
        Ok(Scores::new(signature).value(R::NAME, value))
    }
}

/// The weighted mean over the classes that occur; every row has a label, so that the weights do not sum to 0.
fn mean<R: Ratio>(classes: &[ClassCounts], weight: impl Fn(&ClassCounts) -> u64) -> f64 {
    let (mut sum, mut weights) = (0.0, 0);
    for class in classes.iter().filter(|class| class.occurs()) {
        sum += weight(class) as f64 * R::of(class);
        weights += weight(class);
    }
    sum / weights as f64
}

impl ByClassOptions {
    fn resolve(&self, labels: usize) -> Result<Resolved> {
        let binary = match (self.average, self.positive) {
            (Average::Macro, _) => return Ok(Resolved::Macro),
            (Average::Micro, _) => return Ok(Resolved::Micro),
            (Average::Weighted, _) => return Ok(Resolved::Weighted),
            (Average::Auto, None) if labels > 2 => return Ok(Resolved::Macro),
            (Average::Binary, None) if labels > 2 => {
                return Err(PluginError::input(format!(
                    "found `average: binary` and {labels} labels, expected two"
                ))
                .hint("name the class with `positive`, or use `average: macro`"));
            }
            (_, positive) => positive.unwrap_or(1),
        };
        match usize::try_from(binary) {
            Ok(positive) if positive < labels => Ok(Resolved::Binary(positive)),
            _ => Err(PluginError::input(format!(
                "found `positive: {binary}` and {labels} labels, expected 0 to {}",
                labels.saturating_sub(1)
            ))),
        }
    }
}
