//! Balanced accuracy.

use bomf_plugin_api::{
    Component, Context, Descriptor, Kind, Metric, Result, ScoreDescriptor, Scores, Table,
};

use crate::counts::Counts;

/// Mean recall of the classes that rows are of: every class counts as much as any other, however rare it is.
pub struct BalancedAccuracy;

impl Component for BalancedAccuracy {
    type Options = ();

    fn describe() -> Descriptor {
        let summary = "mean recall of the classes that occur among the labels";
        Descriptor::new(Kind::Metric, "balanced_accuracy", summary)
            .score(ScoreDescriptor::maximize("balanced_accuracy", 0.0, 1.0))
    }

    fn new((): (), _: &Context) -> Result<Self> {
        Ok(Self)
    }
}

impl Metric for BalancedAccuracy {
    fn score(&self, examples: &Table<'_>) -> Result<Scores> {
        let counts = Counts::of(examples)?;
        let (mut sum, mut classes) = (0.0, 0.0);
        for class in counts.classes.iter().filter(|class| class.support > 0) {
            sum += class.right as f64 / class.support as f64;
            classes += 1.0;
        }
        let signature = concat!("balanced_accuracy|version:", env!("CARGO_PKG_VERSION"));
        // Every row has a label, so that there is a class.
        Ok(Scores::new(signature).value("balanced_accuracy", sum / classes))
    }
}
