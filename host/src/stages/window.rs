//! Which checkpoints of a trajectory become members.

use serde::{Deserialize, Serialize};

/// The members' steps, and how they were found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// B*, the best step.
    pub best: u64,
    /// First step of the window, rounded up.
    pub first: u64,
    /// Last step of the window.
    pub last: u64,
    /// Whether the training ended before `to * B*`.
    pub cut_short: bool,
    /// Steps of the members, ascending.
    pub members: Vec<u64>,
}

/// Where members are looked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Between `from * B*` and `to * B*`.
    AroundBest {
        /// Factor of the first step.
        from: f64,
        /// Factor of the last step.
        to: f64,
    },
    /// In the second half of the training.
    LastHalf,
}

/// Position of the best checkpoint: greatest sum of range-scaled metrics; ties: lower loss, then earlier.
///
/// `checkpoints` holds `(metric sum, loss)`, ascending by step. `None` when there is none.
pub fn best_checkpoint(checkpoints: &[(f64, f64)]) -> Option<usize> {
    (0..checkpoints.len()).reduce(|best, next| {
        let ((sum, loss), (best_sum, best_loss)) = (checkpoints[next], checkpoints[best]);
        let better = sum > best_sum || (sum == best_sum && loss < best_loss);
        if better { next } else { best }
    })
}

/// Thins the checkpoints in the window to at most `wanted` members at intervals as equal as the grid allows.
///
/// `grid` is ascending and not empty; `best` is one of its steps; `total` is the training's length.
pub fn members(grid: &[u64], best: u64, total: u64, rule: Rule, wanted: usize) -> Window {
    let (first, end) = match rule {
        Rule::AroundBest { from, to } => (from * best as f64, to * best as f64),
        Rule::LastHalf => (total as f64 / 2.0, total as f64),
    };
    let first = first.ceil() as u64;
    let last = (end.floor() as u64).min(total);
    let inside: Vec<u64> = grid
        .iter()
        .copied()
        .filter(|step| (first..=last).contains(step))
        .collect();
    let members = match inside.len() {
        0 => vec![best],
        count if count <= wanted => inside,
        count => (0..wanted)
            .map(|i| inside[(i * (count - 1) + (wanted - 1) / 2) / (wanted - 1).max(1)])
            .collect(),
    };
    Window {
        best,
        first,
        last,
        cut_short: end.floor() as u64 > total,
        members,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAPER: Rule = Rule::AroundBest { from: 0.5, to: 2.0 };

    fn grid(spacing: u64, total: u64) -> Vec<u64> {
        (1..=total / spacing).map(|i| i * spacing).collect()
    }

    #[test]
    fn members_lie_evenly_between_half_and_twice_the_best_step() {
        let window = members(&grid(10, 300), 100, 300, PAPER, 16);
        assert_eq!(
            (window.first, window.last, window.cut_short),
            (50, 200, false)
        );
        assert_eq!(window.members, grid(10, 200)[4..]);
    }

    #[test]
    fn thinning_keeps_both_ends_and_even_gaps() {
        let window = members(&grid(1, 400), 200, 400, PAPER, 15);
        assert_eq!(window.members.len(), 15);
        assert_eq!((window.members[0], window.members[14]), (100, 400));
        let gaps: Vec<u64> = window
            .members
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        assert!(gaps.iter().all(|gap| (21..=22).contains(gap)), "{gaps:?}");
    }

    #[test]
    fn a_window_cut_short_by_the_training_is_said() {
        let window = members(&grid(10, 300), 250, 300, PAPER, 15);
        assert_eq!(
            (window.first, window.last, window.cut_short),
            (125, 300, true)
        );
    }

    #[test]
    fn the_last_half_does_not_depend_on_the_best_step() {
        let window = members(&grid(10, 300), 30, 300, Rule::LastHalf, 100);
        assert_eq!(
            (window.first, window.last, window.cut_short),
            (150, 300, false)
        );
        assert!(!window.members.contains(&30));
    }

    #[test]
    fn a_coarse_grid_gives_at_least_the_best_step() {
        assert_eq!(members(&[100], 100, 100, PAPER, 15).members, [100]);
        assert_eq!(members(&grid(1, 9), 5, 9, PAPER, 1).members.len(), 1);
    }

    #[test]
    fn ties_go_to_the_lower_loss_and_then_to_the_earlier_step() {
        assert_eq!(
            best_checkpoint(&[(1.0, 0.5), (1.0, 0.4), (1.0, 0.4), (0.9, 0.1)]),
            Some(1)
        );
        assert_eq!(best_checkpoint(&[]), None);
    }
}
