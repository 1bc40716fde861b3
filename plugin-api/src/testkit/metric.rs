//! What every metric has to satisfy.

use super::tolerance::{self, STATISTIC};
use crate::{Descriptor, Metric, Scores, Table};

/// Runs the whole suite on examples that the metric can score: some rows with different outcomes, at least two.
///
/// ```no_run
/// # use bomf_plugin_api::{Context, Kind, Library, Table, column, testkit};
/// # fn library() -> Library { Library::new("mine", "1.0.0", "MIT") }
/// # fn main() -> bomf_plugin_api::Result<()> {
/// let library = library();
/// let metric = library.make_metric("near", "{}", &Context::default())?;
/// let examples = Table::new(3)
///     .with_integers(column::LABEL, vec![0, 4, 2])?
///     .with_integers(column::PREDICTED_LABEL, vec![0, 1, 3])?;
/// let descriptor = testkit::manifest::descriptor(library.manifest(), Kind::Metric, "near");
/// testkit::metric::conformance(&*metric, descriptor, &examples);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// With the claim that does not hold.
pub fn conformance(metric: &dyn Metric, descriptor: &Descriptor, examples: &Table<'_>) {
    assert!(
        examples.rows() >= 2,
        "the suite needs examples with two rows or more"
    );
    let scores = score(metric, examples);
    declared_scores_are_returned(&scores, descriptor);
    values_are_finite_and_in_range(&scores, descriptor);
    means_are_those_of_the_examples(&scores, examples.rows());
    the_signature_is_one_line(&scores);
    a_second_call_gives_the_same_bits(metric, examples, &scores);
    the_order_of_the_rows_does_not_matter(metric, examples, &scores);
    no_example_is_an_error(metric, examples);
    a_missing_column_is_named(metric, examples);
    columns_that_nobody_knows_are_passed_over(metric, examples, &scores);
}

fn score(metric: &dyn Metric, examples: &Table<'_>) -> Scores {
    match metric.score(examples) {
        Ok(scores) => scores,
        Err(error) => panic!("the examples can be scored: {error}"),
    }
}

fn declared_scores_are_returned(scores: &Scores, descriptor: &Descriptor) {
    let returned: Vec<&str> = scores
        .values
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let declared: Vec<&str> = descriptor
        .scores
        .iter()
        .filter(|score| !score.detail || returned.contains(&score.name.as_str()))
        .map(|score| score.name.as_str())
        .collect();
    assert_eq!(
        returned, declared,
        "scores come as declared, in the same order; only details may be missing"
    );
    let declared: Vec<&str> = descriptor
        .scores
        .iter()
        .filter(|score| score.per_example)
        .map(|score| score.name.as_str())
        .collect();
    let returned: Vec<&str> = scores
        .per_example
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        returned, declared,
        "values per example come for the scores that declare them"
    );
}

fn values_are_finite_and_in_range(scores: &Scores, descriptor: &Descriptor) {
    for declared in &descriptor.scores {
        let name = &declared.name;
        let Some(value) = scores.get(name) else {
            continue;
        };
        assert!(value.is_finite(), "score `{name}` is finite, found {value}");
        if let Some((low, high)) = declared.range {
            assert!(
                (low..=high).contains(&value),
                "score `{name}` lies in {low} to {high}, found {value}"
            );
        }
    }
}

fn means_are_those_of_the_examples(scores: &Scores, rows: usize) {
    for (name, values) in &scores.per_example {
        assert_eq!(
            values.len(),
            rows,
            "score `{name}` has one value per example"
        );
        let mean = values.iter().sum::<f64>() / rows as f64;
        let value = scores.get(name).expect("declared scores are returned");
        tolerance::expect(
            value,
            mean,
            STATISTIC,
            &format!("score `{name}` is the mean over the examples"),
        );
    }
}

fn the_signature_is_one_line(scores: &Scores) {
    let signature = &scores.signature;
    let is_line = !signature.trim().is_empty() && signature.lines().count() == 1;
    assert!(is_line, "the signature is one line, found `{signature}`");
}

fn a_second_call_gives_the_same_bits(metric: &dyn Metric, examples: &Table<'_>, scores: &Scores) {
    assert_eq!(
        &score(metric, examples),
        scores,
        "a second call gives the same scores"
    );
}

fn the_order_of_the_rows_does_not_matter(
    metric: &dyn Metric,
    examples: &Table<'_>,
    scores: &Scores,
) {
    let rows = examples.rows() as u32;
    let reversed: Vec<u32> = (0..rows).rev().collect();
    let turned: Vec<u32> = (0..rows).map(|row| (row + rows / 2) % rows).collect();
    for order in [reversed, turned] {
        let other = score(metric, &examples.take(&order));
        for ((name, value), (_, found)) in scores.values.iter().zip(&other.values) {
            tolerance::expect(
                *found,
                *value,
                STATISTIC,
                &format!("score `{name}` with the rows in another order"),
            );
        }
        for ((name, values), (_, found)) in scores.per_example.iter().zip(&other.per_example) {
            for (place, &row) in order.iter().enumerate() {
                let what = format!("score `{name}` of row {row}, wherever the row stands");
                tolerance::expect(found[place], values[row as usize], STATISTIC, &what);
            }
        }
    }
}

fn no_example_is_an_error(metric: &dyn Metric, examples: &Table<'_>) {
    if let Ok(scores) = metric.score(&examples.take(&[])) {
        panic!(
            "without an example there is no score, found {:?}",
            scores.values
        );
    }
}

fn a_missing_column_is_named(metric: &dyn Metric, examples: &Table<'_>) {
    let mut needed = 0;
    for missing in examples.columns() {
        if let Err(error) = metric.score(&without(examples, missing.name())) {
            needed += 1;
            let name = format!("`{}`", missing.name());
            assert!(
                error.message.contains(&name),
                "a missing column {name} is named, found: {error}"
            );
        }
    }
    assert!(
        needed > 0,
        "some column is needed, and its absence an error"
    );
}

fn columns_that_nobody_knows_are_passed_over(
    metric: &dyn Metric,
    examples: &Table<'_>,
    scores: &Scores,
) {
    let rows = examples.rows();
    let more = examples
        .borrow()
        .with_texts("a column of tomorrow", vec!["x"; rows])
        .expect("one text per row under a new name");
    assert_eq!(
        &score(metric, &more),
        scores,
        "columns that the metric does not know are passed over"
    );
}

/// The table but for one column.
fn without<'a>(examples: &'a Table<'_>, name: &str) -> Table<'a> {
    let kept = examples.borrow();
    kept.columns()
        .iter()
        .filter(|column| column.name() != name)
        .fold(Table::new(kept.rows()), |table, column| {
            let column = column.clone();
            table
                .with_column(column.name, column.cells, column.values)
                .expect("it was part of a table")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::claim_that_fails;
    use crate::{Kind, PluginError, Result, ScoreDescriptor, column};

    /// Accuracy, with a fault on request.
    struct Suspect(&'static str);

    impl Metric for Suspect {
        fn score(&self, examples: &Table<'_>) -> Result<Scores> {
            let fault = |name: &str| self.0 == name;
            if fault("hides the column") && examples.get(column::LABEL).is_none() {
                return Err(PluginError::input("found nothing"));
            }
            let truth = examples.integers(column::LABEL)?;
            let found = examples.integers(column::PREDICTED_LABEL)?;
            if truth.is_empty() && !fault("scores nothing") {
                return Err(PluginError::input("found no example"));
            }
            let mut right: Vec<f64> = truth
                .iter()
                .zip(found)
                .map(|(a, b)| f64::from(u8::from(a == b)))
                .collect();
            if fault("looks at the first row") {
                right[0] *= 0.5;
            }
            let signature = if fault("is unsigned") { "" } else { "accuracy" };
            let scores = Scores::new(signature).mean_of("accuracy", right);
            let value = scores.get("accuracy").unwrap_or(0.0);
            match self.0 {
                "renames" => Ok(Scores::new(signature).value("acc", value)),
                "forgets the examples" => Ok(Scores::new(signature).value("accuracy", value)),
                "is a percentage" => {
                    let right = scores.per_example[0].1.iter().map(|x| x * 100.0).collect();
                    Ok(Scores::new(signature).mean_of("accuracy", right))
                }
                "is no mean" => {
                    let mut scores = scores;
                    scores.values[0].1 /= 2.0;
                    Ok(scores)
                }
                "scores nothing" if value == 0.0 => {
                    Ok(Scores::new(signature).value("accuracy", 0.0))
                }
                "dislikes columns" if examples.columns().len() > 2 => {
                    Err(PluginError::input("found a third column"))
                }
                _ => Ok(scores),
            }
        }
    }

    fn examples() -> Table<'static> {
        Table::new(4)
            .with_integers(column::LABEL, vec![0, 1, 1, 0])
            .and_then(|table| table.with_integers(column::PREDICTED_LABEL, vec![0, 1, 0, 1]))
            .unwrap()
    }

    fn descriptor() -> Descriptor {
        Descriptor::new(Kind::Metric, "accuracy", "share of right labels")
            .score(ScoreDescriptor::maximize("accuracy", 0.0, 1.0).per_example())
    }

    #[test]
    fn a_sound_metric_passes() {
        conformance(&Suspect("nothing"), &descriptor(), &examples());
    }

    #[test]
    fn every_fault_is_found() {
        for (fault, claim) in [
            ("renames", "as declared"),
            ("forgets the examples", "values per example"),
            ("is a percentage", "lies in 0 to 1"),
            ("is no mean", "mean over the examples"),
            ("is unsigned", "signature"),
            ("looks at the first row", "another order"),
            ("scores nothing", "no score"),
            ("hides the column", "is named"),
            ("dislikes columns", "third column"),
        ] {
            let found =
                claim_that_fails(|| conformance(&Suspect(fault), &descriptor(), &examples()));
            assert!(found.contains(claim), "{fault}: {found}");
        }
    }
}
