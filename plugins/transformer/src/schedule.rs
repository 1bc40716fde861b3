//! Step sizes over a training.

use bomf_plugin_api::{Hyperparameters, Schedule};

/// The step size of step `step` (from 0) of `total`.
///
/// The warm-up rises in a straight line and reaches the greatest step size at its last step; no step has size 0.
pub fn learning_rate(settings: &Hyperparameters, step: u64, total: u64) -> f64 {
    let warmup = (settings.warmup * total as f64).round();
    let at = step as f64;
    if at < warmup {
        return settings.learning_rate * (at + 1.0) / warmup;
    }
    let progress = (at - warmup) / (total as f64 - warmup).max(1.0);
    let cosine = |x: f64| 0.5 * (1.0 + (std::f64::consts::PI * x).cos());
    let factor = match settings.schedule {
        Schedule::Constant => 1.0,
        Schedule::Cosine => cosine(progress),
        // Izmailov et al. 2018: the averaged half runs at a constant, small step size.
        Schedule::Swa if progress < 0.5 => 0.1 + 0.9 * cosine(2.0 * progress),
        Schedule::Swa => 0.1,
        _ => 1.0 - progress,
    };
    settings.learning_rate * factor
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule) -> Vec<f64> {
        let settings = Hyperparameters {
            learning_rate: 1.0,
            warmup: 0.2,
            schedule,
            ..Hyperparameters::default()
        };
        (0..10)
            .map(|step| learning_rate(&settings, step, 10))
            .collect()
    }

    #[test]
    fn the_warm_up_rises_to_the_greatest_step_size() {
        for schedule in [
            Schedule::Constant,
            Schedule::Linear,
            Schedule::Cosine,
            Schedule::Swa,
        ] {
            let rates = rates(schedule);
            assert_eq!(rates[..3], [0.5, 1.0, 1.0], "{schedule:?}");
            assert!(rates.iter().all(|rate| *rate > 0.0));
        }
    }

    #[test]
    fn schedules_fall_as_they_are_named() {
        assert_eq!(rates(Schedule::Constant)[9], 1.0);
        assert!((rates(Schedule::Linear)[9] - 1.0 / 8.0).abs() < 1e-12);
        assert!((rates(Schedule::Cosine)[6] - 0.5).abs() < 1e-12);
        assert_eq!(rates(Schedule::Swa)[6..], [0.1; 4]);
        for schedule in [Schedule::Linear, Schedule::Cosine, Schedule::Swa] {
            assert!(
                rates(schedule)[2..]
                    .windows(2)
                    .all(|pair| pair[1] <= pair[0]),
                "{schedule:?}"
            );
        }
    }
}
