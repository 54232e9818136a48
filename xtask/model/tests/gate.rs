//! No interleaving of the workers ends in a pass unless every unit was pinned exactly once; none after a panic.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is test code")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::Arc;
use loom::thread;
use model::gate::{Closed, Gate, Step, Tally};

/// Result of one worker's check of a unit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Hold,
    Fail,
    Stop,
    Panic,
    /// Like [`Act::Fail`], in a unit that is not listed, after everything that counts.
    Late,
}
use Act::{Fail, Hold, Late, Panic, Stop};

const fn tally(bytes: u64) -> Tally {
    Tally { members: 1, blobs: 1, frames: 1, bytes }
}

/// Runs `workers` threads over `order` in every interleaving, where the check of unit N does `acts[N]`. Gives how
/// many runs there were and how many of them passed; in each, a pass must mean that every unit held, once.
fn explore(workers: usize, acts: &'static [Act], order: &'static [usize]) -> (usize, usize) {
    static RUNS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for count in &RUNS {
        count.store(0, Ordering::SeqCst);
    }
    let mut builder = loom::model::Builder::new();
    // Without a bound three units take minutes; of real faults hardly any needs more than two preemptions.
    builder.preemption_bound = Some(3);
    builder.check(move || {
        // All units of one size: the sum alone would not tell one of them from another.
        let units: Vec<Tally> = acts.iter().filter(|act| **act != Late).map(|_| tally(512)).collect();
        let listed = units.len();
        let whole = units.iter().fold(Tally::default(), |sum, unit| sum.plus(*unit).unwrap());
        let gate = Arc::new(Gate::new(whole, units));
        // Beside the model: what really was done.
        let held: std::sync::Arc<Vec<AtomicUsize>> =
            std::sync::Arc::new(acts.iter().map(|_| AtomicUsize::new(0)).collect());
        let panicked = std::sync::Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                let (gate, held, panicked) = (Arc::clone(&gate), held.clone(), panicked.clone());
                thread::spawn(move || {
                    let work = || {
                        gate.work(order, |unit| match acts[unit] {
                            Hold => {
                                held[unit].fetch_add(1, Ordering::SeqCst);
                                Step::Pinned(tally(512))
                            }
                            Fail => Step::Open,
                            Stop => Step::Stop,
                            Panic | Late => {
                                panicked.fetch_add(1, Ordering::SeqCst);
                                std::panic::resume_unwind(Box::new("a worker is lost"));
                            }
                        });
                    };
                    // What a scope's join does with a thread that panicked.
                    drop(catch_unwind(AssertUnwindSafe(work)));
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let gate = Arc::try_unwrap(gate).unwrap_or_else(|_| unreachable!("all workers have ended"));
        let closed = gate.close();
        let once = held[..listed].iter().all(|count| count.load(Ordering::SeqCst) == 1);
        let lost = panicked.load(Ordering::SeqCst) > 0;
        RUNS[0].fetch_add(1, Ordering::SeqCst);
        match closed {
            Ok(found) => {
                assert!(once && !lost, "passed, although not every unit was pinned exactly once");
                assert_eq!(found, whole);
                RUNS[1].fetch_add(1, Ordering::SeqCst);
            }
            Err(Closed::Worker) => assert!(lost, "a worker is missed that did not panic"),
            Err(_) => assert!(!once && !lost, "refused what holds, or a panic is not told as one"),
        }
    });
    let [runs, passed] = [0, 1].map(|index: usize| RUNS[index].load(Ordering::SeqCst));
    println!("{runs} interleavings, {passed} passed");
    (runs, passed)
}

#[test]
fn all_that_holds_passes_in_every_interleaving() {
    for (workers, acts, order) in
        [(2, &[Hold, Hold, Hold][..], &[2, 0, 1][..]), (3, &[Hold, Hold], &[1, 0]), (2, &[Hold], &[0])]
    {
        let (runs, passed) = explore(workers, acts, order);
        assert!(runs > 10 && runs == passed, "{runs} {passed}");
    }
}

#[test]
fn c6_one_fault_anywhere_and_nothing_passes() {
    for acts in
        [&[Fail, Hold][..], &[Hold, Fail], &[Stop, Hold], &[Hold, Stop], &[Hold, Hold, Fail], &[Hold, Stop, Hold]]
    {
        let order = [0, 1, 2].get(..acts.len()).unwrap();
        let (runs, passed) = explore(2, acts, Box::leak(order.to_vec().into_boxed_slice()));
        assert!(runs > 10 && passed == 0, "{runs} {passed}");
    }
}

#[test]
fn p5_after_a_panic_nothing_passes() {
    for (acts, order) in [
        (&[Panic, Hold][..], &[0, 1][..]),
        (&[Hold, Panic], &[0, 1]),
        (&[Panic, Panic], &[0, 1]),
        (&[Hold, Stop, Panic], &[0, 1, 2]),
        (&[Hold, Late], &[0, 1]),
        (&[Hold, Hold, Late], &[0, 1, 2]),
    ] {
        let (runs, passed) = explore(2, acts, order);
        assert!(runs > 10 && passed == 0, "{runs} {passed}");
    }
}

#[test]
fn a_unit_twice_never_stands_for_another() {
    for order in [&[0, 0][..], &[0, 1, 0], &[1, 1, 0]] {
        let (runs, passed) = explore(2, &[Hold, Hold], order);
        assert!(runs > 10 && passed == 0, "{runs} {passed}");
    }
}
