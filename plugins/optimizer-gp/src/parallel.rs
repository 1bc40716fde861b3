//! Work shared among a few threads, results in order.

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
    // Dealt out like cards: items of like cost that lie together are shared evenly.
    let mut hands: Vec<Vec<(usize, T)>> = (0..threads).map(|_| Vec::new()).collect();
    let count = items.len();
    for (index, item) in items.into_iter().enumerate() {
        hands[index % threads].push((index, item));
    }
    let mut results: Vec<Option<R>> = (0..count).map(|_| None).collect();
    let work = &work;
    let mut play = |hand: Vec<(usize, R)>| {
        for (index, result) in hand {
            results[index] = Some(result);
        }
    };
    std::thread::scope(|scope| {
        let do_all = move |hand: Vec<(usize, T)>| -> Vec<(usize, R)> {
            hand.into_iter()
                .map(|(index, item)| (index, work(item)))
                .collect()
        };
        let mine = hands.pop();
        let others: Vec<_> = hands
            .into_iter()
            .map(|hand| scope.spawn(move || do_all(hand)))
            .collect();
        if let Some(mine) = mine {
            play(do_all(mine));
        }
        for other in others {
            match other.join() {
                Ok(hand) => play(hand),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    results
        .into_iter()
        .map(|result| result.expect("every item was dealt to a thread"))
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
