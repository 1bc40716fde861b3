//! ROUGE over a split: the mean over the examples.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, PluginError, Result, ScoreDescriptor, Scores,
    Table,
};
use text::Pairs;

use crate::options::{RougeNOptions, RougeOptions};
use crate::scorer::{Scorer, Variant};

/// The four variants that papers report.
pub(crate) const VARIANTS: [(&str, Variant); 4] = [
    ("rouge1", Variant::N(1)),
    ("rouge2", Variant::N(2)),
    ("rougeL", Variant::L),
    ("rougeLsum", Variant::Lsum),
];

/// ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum.
pub struct Rouge {
    options: RougeOptions,
    threads: usize,
}

/// ROUGE-N for any N.
pub struct RougeN {
    options: RougeNOptions,
    threads: usize,
}

impl Component for Rouge {
    type Options = RougeOptions;

    fn describe() -> Descriptor {
        let descriptor = Descriptor::new(
            Kind::Metric,
            "rouge",
            "words, word pairs and word order shared with the references",
        );
        VARIANTS.iter().fold(descriptor, |descriptor, (name, _)| {
            descriptor.score(ScoreDescriptor::maximize(*name, 0.0, 1.0).per_example())
        })
    }

    fn new(options: RougeOptions, context: &Context) -> Result<Self> {
        Ok(Self {
            options,
            threads: context.threads,
        })
    }
}

impl Metric for Rouge {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let columns = per_example(
            examples,
            self.options,
            self.threads,
            VARIANTS.map(|(_, variant)| variant),
        )?;
        let scores = Scores::new(format!("rouge|{}", self.options.signature()));
        let named = VARIANTS.iter().zip(columns);
        Ok(named.fold(scores, |scores, ((name, _), column)| {
            scores.mean_of(name, column)
        }))
    }
}

impl Component for RougeN {
    type Options = RougeNOptions;

    fn describe() -> Descriptor {
        Descriptor::new(
            Kind::Metric,
            "rouge_n",
            "groups of n words shared with the references",
        )
        .score(ScoreDescriptor::maximize("rouge_n", 0.0, 1.0).per_example())
    }

    fn new(options: RougeNOptions, context: &Context) -> Result<Self> {
        if options.n == 0 || options.n > 100 {
            return Err(PluginError::input(format!(
                "found `n: {}`, expected 1 to 100",
                options.n
            )));
        }
        Ok(Self {
            options,
            threads: context.threads,
        })
    }
}

impl Metric for RougeN {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let (options, n) = (self.options.shared(), self.options.n);
        let [values] = per_example(examples, options, self.threads, [Variant::N(n as usize)])?;
        Ok(
            Scores::new(format!("rouge_n|n:{n}|{}", options.signature()))
                .mean_of("rouge_n", values),
        )
    }
}

/// For each variant one value per example.
pub(crate) fn per_example<const V: usize>(
    examples: &Table<'_>,
    options: RougeOptions,
    threads: usize,
    variants: [Variant; V],
) -> Result<[Vec<f64>; V]>
where
    [f64; V]: Default,
{
    let rows = Pairs::of(examples)?.map(
        threads,
        || Scorer::new(options),
        |scorer, predicted, references| {
            let found = scorer.score(variants, predicted, references);
            found.map(|comparison| comparison.measure(options.measure))
        },
    );
    Ok(std::array::from_fn(|place| {
        rows.iter().map(|row| row[place]).collect()
    }))
}
