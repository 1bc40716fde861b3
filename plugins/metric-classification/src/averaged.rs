//! F1, precision and recall, averaged over classes in one of the usual ways.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, Result, ScoreDescriptor, Scores, Table,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::confusion::{Class, Confusion};
use crate::signature;

/// Options of F1, precision and recall.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How the classes' values become one number. By default `binary`: the value of one class, as GLUE has it for tasks of
    /// two classes. For more classes choose `macro`, `micro` or `weighted`.
    pub average: Average,
    /// The class that counts with `binary`, as an index into the task's labels; by default the second one, 1.
    #[schemars(range(min = 0))]
    pub positive: Option<i64>,
}

/// How the values of the classes become one number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// The value of the positive class.
    #[default]
    Binary,
    /// The mean over the classes that occur in the truth or in the predictions.
    Macro,
    /// The value of the counts of all classes together (with one label per example that is the accuracy).
    Micro,
    /// The mean over the classes, weighted by how often they are true.
    Weighted,
}

impl Options {
    fn average(&self, confusion: &Confusion, value: fn(&Class) -> f64) -> f64 {
        let classes = || confusion.classes.values();
        match self.average {
            Average::Binary => value(&confusion.class(self.positive.unwrap_or(1))),
            Average::Macro => classes().map(value).sum::<f64>() / confusion.classes.len() as f64,
            Average::Micro => value(&classes().fold(Class::default(), |sum, class| Class {
                hits: sum.hits + class.hits,
                predicted: sum.predicted + class.predicted,
                truth: sum.truth + class.truth,
            })),
            Average::Weighted => {
                let weighted: f64 = classes()
                    .map(|class| value(class) * class.truth as f64)
                    .sum();
                weighted / confusion.examples as f64
            }
        }
    }

    fn score(&self, name: &str, examples: &Table<'_>, value: fn(&Class) -> f64) -> Result<Scores> {
        let score = self.average(&Confusion::count(examples)?, value);
        let mut options = format!("|average:{:?}", self.average).to_lowercase();
        if self.average == Average::Binary {
            options.push_str(&format!("|positive:{}", self.positive.unwrap_or(1)));
        }
        Ok(Scores::new(signature(name, &options)).value(name, score))
    }
}

macro_rules! averaged {
    ($(#[doc = $doc:literal])* $type:ident, $name:literal, $summary:literal, $value:path) => {
        $(#[doc = $doc])*
        pub struct $type(Options);

        impl Component for $type {
            type Options = Options;

            fn describe() -> Descriptor {
                Descriptor::new(Kind::Metric, $name, $summary)
                    .score(ScoreDescriptor::maximize($name, 0.0, 1.0))
            }

            fn new(options: Options, _: &Context) -> Result<Self> {
                Ok(Self(options))
            }
        }

        impl Metric for $type {
            fn score(&self, examples: &Table<'_>) -> Result<Scores> {
                self.0.score($name, examples, $value)
            }
        }
    };
}

averaged!(
    /// Harmonic mean of precision and recall.
    F1, "f1", "harmonic mean of precision and recall", Class::f1
);
averaged!(
    /// Share of the predictions of a class that are right.
    Precision, "precision", "share of the predictions of a class that are right", Class::precision
);
averaged!(
    /// Share of the examples of a class that are found.
    Recall, "recall", "share of the examples of a class that are found", Class::recall
);
