//! When the next request may be made, and whether there may be one at all.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::options::Budget;

/// What all requests of a judge have in common: their rate, a pause that the endpoint asked for, what they may cost, and
/// that one of them may end them all. Used from several threads at once.
pub struct Pace {
    interval: Duration,
    budget: Budget,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// No request before it, because of the rate or because the endpoint asked for a pause.
    next: Instant,
    requests: u64,
    tokens: u64,
    stopped: bool,
}

/// Why there may be no further request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Another request ended them all.
    Stopped,
    /// The budget is spent: says which.
    Spent(String),
}

impl Pace {
    /// At most so many requests in a minute, and so much spent.
    pub fn new(requests_per_minute: Option<f64>, budget: Budget) -> Self {
        let interval = requests_per_minute.map_or(0.0, |rate| 60.0 / rate);
        let state = State {
            next: Instant::now(),
            requests: 0,
            tokens: 0,
            stopped: false,
        };
        Self {
            interval: Duration::from_secs_f64(interval),
            budget,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// Waits for the turn of one request, and counts it.
    ///
    /// # Errors
    /// When there may be none.
    pub fn admit(&self) -> Result<(), Refusal> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return Err(Refusal::Stopped);
            }
            self.check_budget(&state)?;
            let now = Instant::now();
            let Some(wait) = state
                .next
                .checked_duration_since(now)
                .filter(|wait| !wait.is_zero())
            else {
                state.next = now + self.interval;
                state.requests += 1;
                return Ok(());
            };
            state = self.wait(state, wait);
        }
    }

    fn check_budget(&self, state: &State) -> Result<(), Refusal> {
        let spent = |most: Option<u64>, used: u64, what: &str| match most {
            Some(most) if used >= most => Err(Refusal::Spent(format!("{used} of {most} {what}"))),
            _ => Ok(()),
        };
        spent(self.budget.requests, state.requests, "requests")?;
        spent(self.budget.tokens, state.tokens, "tokens")
    }

    /// Counts tokens.
    pub fn spend(&self, tokens: u64) {
        let mut state = self.lock();
        state.tokens = state.tokens.saturating_add(tokens);
    }

    /// Keeps every request back for a while.
    pub fn pause(&self, time: Duration) {
        let mut state = self.lock();
        state.next = state.next.max(Instant::now() + time);
    }

    /// Waits, but not beyond a stop.
    pub fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut state = self.lock();
        while let Some(wait) = end
            .checked_duration_since(Instant::now())
            .filter(|wait| !wait.is_zero())
            && !state.stopped
        {
            state = self.wait(state, wait);
        }
    }

    /// Lets no further request be made; those under way finish.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Lets requests be made again. What was spent stays spent.
    pub fn restart(&self) {
        self.lock().stopped = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// How long to wait before retry number `retry` (from 0): `first` doubled each time, less a part of up to one half that
/// `seed` and `what` decide, so that judges that failed together do not come back together.
pub fn backoff(first: Duration, most: Duration, retry: u32, seed: u64, what: &[u8]) -> Duration {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&seed.to_le_bytes())
        .update(&retry.to_le_bytes())
        .update(what);
    let hash = hasher.finalize();
    let part = f64::from(hash.as_bytes()[0]) / 512.0;
    let doubled = first.as_secs_f64() * 2f64.powi(retry.min(60) as i32);
    Duration::from_secs_f64(doubled.min(most.as_secs_f64()) * (1.0 - part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_differ_between_requests() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(1));
        let wait = |retry, what: &[u8]| backoff(first, most, retry, 7, what).as_secs_f64();
        for retry in 0..100 {
            let doubled = (0.1 * 2f64.powi(retry)).min(1.0);
            let found = wait(retry as u32, b"x");
            assert!(
                found <= doubled && found >= doubled / 2.0,
                "{retry}: {found}"
            );
        }
        let all: std::collections::BTreeSet<u64> =
            (0..50u8).map(|n| wait(3, &[n]).to_bits()).collect();
        assert!(all.len() > 30, "{}", all.len());
        assert_eq!(wait(3, b"x"), wait(3, b"x"));
    }

    #[test]
    fn requests_keep_to_the_rate_and_to_pauses() {
        let pace = Pace::new(Some(3000.0), Budget::default());
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..4).for_each(|_| pace.admit().unwrap()));
            }
        });
        assert!(
            start.elapsed() >= Duration::from_millis(220),
            "{:?}",
            start.elapsed()
        );
        pace.pause(Duration::from_millis(150));
        let start = Instant::now();
        pace.admit().unwrap();
        assert!(
            start.elapsed() >= Duration::from_millis(140),
            "{:?}",
            start.elapsed()
        );
    }

    #[test]
    fn a_stop_ends_all_waiting_until_the_restart() {
        let pace = Pace::new(None, Budget::default());
        pace.pause(Duration::from_secs(600));
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(pace.admit(), Err(Refusal::Stopped)));
            scope.spawn(|| pace.sleep(Duration::from_secs(600)));
            std::thread::sleep(Duration::from_millis(30));
            pace.stop();
        });
        assert!(start.elapsed() < Duration::from_secs(60));
        let pace = Pace::new(None, Budget::default());
        pace.stop();
        pace.restart();
        assert_eq!(pace.admit(), Ok(()));
    }

    #[test]
    fn what_is_spent_is_refused() {
        let budget = Budget {
            requests: Some(2),
            tokens: Some(10),
        };
        let pace = Pace::new(None, budget);
        assert_eq!(pace.admit(), Ok(()));
        pace.spend(10);
        assert_eq!(pace.admit(), Err(Refusal::Spent("10 of 10 tokens".into())));
        let pace = Pace::new(None, budget);
        assert_eq!([pace.admit(), pace.admit()], [Ok(()), Ok(())]);
        pace.restart();
        assert_eq!(pace.admit(), Err(Refusal::Spent("2 of 2 requests".into())));
    }
}
