//! One pass over a split that counts all that the scores by class need.

use bomf_plugin_api::{Result, Table, column};

use crate::labels::{MOST_LABELS, declared, index, out_of_range, refuse_empty};

/// How often a class is right, predicted and true.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// Rows of this class that were predicted to be of it (true positives).
    pub right: u64,
    /// Rows predicted to be of this class.
    pub predicted: u64,
    /// Rows of this class.
    pub support: u64,
}

impl ClassCounts {
    /// Whether the class occurs at all, as a label or as a prediction.
    pub fn occurs(&self) -> bool {
        self.predicted + self.support > 0
    }
}

/// The counts of a split.
pub(crate) struct Counts {
    /// One entry per label of the task.
    pub(crate) classes: Vec<ClassCounts>,
    /// The sum over all classes.
    pub(crate) total: ClassCounts,
}

impl Counts {
    /// Counts a split in which every row has one label and one prediction.
    pub(crate) fn of(examples: &Table<'_>) -> Result<Self> {
        refuse_empty(examples)?;
        let truth = examples.integers(column::LABEL)?;
        let predicted = examples.integers(column::PREDICTED_LABEL)?;
        let declared = declared(examples)?;
        let bound = declared.unwrap_or(MOST_LABELS);

        let mut classes = vec![ClassCounts::default(); declared.unwrap_or(2)];
        for (row, (&label, &answer)) in truth.iter().zip(predicted).enumerate() {
            let label = index(label, bound)
                .ok_or_else(|| out_of_range(label, row, column::LABEL, bound))?;
            let answer = index(answer, bound)
                .ok_or_else(|| out_of_range(answer, row, column::PREDICTED_LABEL, bound))?;
            let greatest = label.max(answer);
            if greatest >= classes.len() {
                classes.resize(greatest + 1, ClassCounts::default());
            }
            classes[label].support += 1;
            classes[answer].predicted += 1;
            classes[label].right += u64::from(label == answer);
        }

        let rows = examples.rows() as u64;
        let right = classes.iter().map(|class| class.right).sum();
        let total = ClassCounts {
            right,
            predicted: rows,
            support: rows,
        };
        Ok(Self { classes, total })
    }
}
