//! Threads that start scanners, watch their time and end them. They are started before a command
//! confines itself, stay unconfined, and never see the scanned content, which goes through the
//! pipes that they return.
//!
//! There are as many threads as scanners may run at once. A request for one more waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::lock::lock;
use crate::program::{self, End, Failure, Kin, Limits, Pipes, Surroundings};

/// First and longest pause between two checks of a scanner.
const LOOKS: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(10));

/// Maximum time to wait for the end of a scanner that is being ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// Arguments for one scanner, and the channels for the answers.
struct Order {
    words: Vec<String>,
    limits: Limits,
    pipes: SyncSender<Result<Pipes, Failure>>,
    end: SyncSender<Option<End>>,
    stop: Arc<AtomicBool>,
}

/// Sends orders to the threads. They end when it is dropped.
#[derive(Debug)]
pub(super) struct Starter {
    orders: SyncSender<Order>,
}

/// A running scanner. Ends the scanner when dropped.
pub(super) struct Started {
    pub pipes: Pipes,
    /// Receives once how it ended, or `None` if the system does not tell.
    pub end: Receiver<Option<End>>,
    stop: Arc<AtomicBool>,
}

impl Drop for Started {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // No scanner outlives this value. One that has already ended returns immediately.
        let _ = self.end.recv_timeout(PATIENCE);
    }
}

impl Starter {
    /// Starts `count` threads that start `program` in `surroundings`.
    ///
    /// # Errors
    /// System errors.
    pub(super) fn new(program: &str, surroundings: &Surroundings, count: usize) -> std::io::Result<Self> {
        let (orders, taken) = mpsc::sync_channel::<Order>(1);
        let taken = Arc::new(Mutex::new(taken));
        for number in 0..count.max(1) {
            let (program, surroundings, taken) = (program.to_owned(), surroundings.clone(), Arc::clone(&taken));
            let started = std::thread::Builder::new().name("scanners".into()).spawn(move || {
                loop {
                    let order = lock(&taken).recv();
                    let Ok(order) = order else { return };
                    order.fill(&program, &surroundings);
                }
            });
            match started {
                Ok(_) => {}
                // The existing threads do all the work.
                Err(_) if number > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Self { orders })
    }

    /// Starts a scanner with `words` after the program's name, as soon as a thread is free.
    ///
    /// # Errors
    /// Those of [`program::start`].
    pub(super) fn start(&self, words: Vec<String>, limits: Limits) -> Result<Started, Failure> {
        let (pipes, given) = mpsc::sync_channel(1);
        let (end, ended) = mpsc::sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let gone = |_| Failure::Broken(std::io::ErrorKind::BrokenPipe.into());
        self.orders
            .send(Order { words, limits, pipes, end, stop: Arc::clone(&stop) })
            .map_err(|_| Failure::Broken(std::io::ErrorKind::BrokenPipe.into()))?;
        let pipes = given.recv().map_err(gone)??;
        Ok(Started { pipes, end: ended, stop })
    }
}

impl Order {
    fn fill(self, program: &str, surroundings: &Surroundings) {
        let started = program::start(program, &self.words, surroundings, self.limits, Kin::Apart);
        let (mut running, pipes) = match started {
            Ok(started) => started,
            Err(failure) => {
                let _ = self.pipes.send(Err(failure));
                return;
            }
        };
        let _ = self.pipes.send(Ok(pipes));
        let (mut pause, longest) = LOOKS;
        let end = loop {
            if self.stop.load(Ordering::Relaxed) {
                break None;
            }
            match running.look() {
                Ok(None) => {}
                Ok(end) => break end,
                Err(_) => break None,
            }
            std::thread::sleep(pause);
            pause = longest.min(pause * 2);
        };
        running.end();
        // The receiver may already be gone.
        let _ = self.end.send(end);
    }
}
