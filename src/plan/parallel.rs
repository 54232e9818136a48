//! Work on many things at once, with results in the order of the things.
//!
//! Threads of `flow.jobs`; it knows nothing of what is worked on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fault::{Class, Fault};
use crate::flow::Flow;

/// `work` done for every item with at most `flow.jobs` threads; the results stand in the items' order
/// whatever the timing.
///
/// # Errors
/// [`Class::Cancelled`] once the run is cancelled; work that has begun is waited for.
pub fn each<T: Sync, R: Send>(flow: &Flow, items: &[T], work: impl Fn(&T) -> R + Sync) -> Result<Vec<R>, Fault> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..flow.jobs.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    if flow.is_cancelled() {
                        return;
                    }
                    let result = work(item);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    if flow.is_cancelled() {
        return Err(Fault::new(Class::Cancelled, "cancelled"));
    }
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
