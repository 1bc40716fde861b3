//! Work shared among a few threads, results in order.

use std::sync::{Mutex, PoisonError};

/// Applies `work` to every item on at most `threads` threads; the results are in the order of the items, whatever the
/// number of threads.
///
/// # Panics
/// If `work` does.
pub fn ordered_map<T: Send, R: Send>(
    items: Vec<T>,
    threads: usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.into_iter().map(work).collect();
    }
    // Each thread takes the next item when it is done with one: items may cost more or less.
    let count = items.len();
    let queue = Mutex::new(items.into_iter().enumerate());
    let take_all = || {
        let mut done = Vec::new();
        loop {
            // The lock is not held while an item is worked on, so a panic there does not poison it.
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, item)) = next else {
                return done;
            };
            done.push((index, work(item)));
        }
    };
    let mut results: Vec<Option<R>> = (0..count).map(|_| None).collect();
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take_all)).collect();
        let mut done = take_all();
        for other in others {
            match other.join() {
                Ok(theirs) => done.extend(theirs),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        for (index, result) in done {
            results[index] = Some(result);
        }
    });
    results
        .into_iter()
        .map(|result| result.expect("every item was taken by a thread"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_for_any_number_of_threads() {
        for threads in [0, 1, 2, 3, 8, 100] {
            let squares = ordered_map((0..20).collect(), threads, |i: u64| i * i);
            assert_eq!(squares, (0..20).map(|i| i * i).collect::<Vec<_>>());
        }
        assert!(ordered_map(Vec::<u8>::new(), 4, |i| i).is_empty());
    }
}
