//! Area under the receiver operating characteristic.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table, column,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::label_scores::LabelScores;

/// Probability that a row of a class gets a higher score for it than a row of another class; ties count half.
pub struct Auroc {
    options: AurocOptions,
}

/// How the areas of several classes become one number. With two labels there is only one area.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AurocOptions {
    /// With more than two labels, what is compared. `ovr`: each class with all others. `ovo`: each class with each other
    /// one (Hand and Till 2001), which does not depend on how frequent they are.
    pub multi_class: MultiClass,
    /// With more than two labels, how areas are averaged. `macro`: all alike. `weighted`: by the rows of the class, or of
    /// the pair of classes.
    pub average: AreaAverage,
}

/// What is compared with what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MultiClass {
    /// Each class with all others.
    #[default]
    Ovr,
    /// Each class with each other one.
    Ovo,
}

/// How much each area counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AreaAverage {
    /// All alike.
    #[default]
    Macro,
    /// By the rows compared.
    Weighted,
}

impl Component for Auroc {
    type Options = AurocOptions;

    fn describe() -> Descriptor {
        let summary = "area under the receiver operating characteristic";
        Descriptor::new(Kind::Metric, "auroc", summary)
            .score(ScoreDescriptor::maximize("auroc", 0.0, 1.0))
    }

    fn new(options: AurocOptions, _: &Context) -> Result<Self> {
        Ok(Self { options })
    }
}

impl Metric for Auroc {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let all = LabelScores::of(examples)?;
        let mut support = vec![0u64; all.width];
        all.labels.iter().for_each(|&label| support[label] += 1);
        if let Some(absent) = support.iter().position(|&rows| rows == 0) {
            return Err(PluginError::input(format!(
                "found no row with the label {absent} in column `{}`, expected rows of all {} labels: \
                 without them no area is defined",
                column::LABEL,
                all.width
            )));
        }
        let AurocOptions {
            multi_class,
            average,
        } = self.options;
        let (value, how) = match (all.width, multi_class) {
            (2, _) => (one_against_rest(&all, 1), "binary".to_owned()),
            (_, MultiClass::Ovr) => {
                let areas = (0..all.width).map(|class| {
                    let rows = support[class];
                    (one_against_rest(&all, class), rows)
                });
                (
                    mean(areas, average),
                    format!("ovr|average:{}", average.name()),
                )
            }
            (_, MultiClass::Ovo) => {
                let pairs = (0..all.width).flat_map(|a| (a + 1..all.width).map(move |b| (a, b)));
                let areas =
                    pairs.map(|(a, b)| (one_against_one(&all, a, b), support[a] + support[b]));
                (
                    mean(areas, average),
                    format!("ovo|average:{}", average.name()),
                )
            }
        };
        let signature = format!("auroc|{how}|version:{}", env!("CARGO_PKG_VERSION"));
        Ok(Scores::new(signature).value("auroc", value))
    }
}

impl AreaAverage {
    fn name(self) -> &'static str {
        match self {
            Self::Macro => "macro",
            Self::Weighted => "weighted",
        }
    }
}

/// Mean of areas, each with the number of rows that it is of.
fn mean(areas: impl Iterator<Item = (f64, u64)>, average: AreaAverage) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (area, rows) in areas {
        let weight = match average {
            AreaAverage::Macro => 1.0,
            AreaAverage::Weighted => rows as f64,
        };
        sum += weight * area;
        weights += weight;
    }
    sum / weights
}

fn one_against_rest(all: &LabelScores<'_>, class: usize) -> f64 {
    let truth = all.labels.iter().map(|&label| label == class);
    area(all.of_label(class).zip(truth).collect())
}

/// Hand and Till 2001, equation 7: the mean of both directions.
fn one_against_one(all: &LabelScores<'_>, a: usize, b: usize) -> f64 {
    let one_way = |class: usize| {
        let rows = all.of_label(class).zip(&all.labels);
        let pair = rows.filter(|(_, label)| [a, b].contains(*label));
        area(
            pair.map(|(score, &label)| (score, label == class))
                .collect(),
        )
    };
    f64::midpoint(one_way(a), one_way(b))
}

/// Share of pairs of a positive and a negative row in which the positive one has the higher score; ties count half.
///
/// Both kinds of rows occur. Pairs are counted in integers, after sorting: O(n log n).
fn area(mut rows: Vec<(f64, bool)>) -> f64 {
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut positives, mut halves) = (0u128, 0u128, 0u128);
    // `total_cmp` puts -0 beside 0, and `==` makes a tie of them.
    for ties in rows.chunk_by(|a, b| a.0 == b.0) {
        let hits = ties.iter().filter(|(_, positive)| *positive).count() as u128;
        let misses = ties.len() as u128 - hits;
        halves += hits * (2 * below + misses);
        below += misses;
        positives += hits;
    }
    halves as f64 / (2 * below * positives) as f64
}
