//! The threads that start scanners, watch their time and end them. They are started before a command confines itself,
//! stay outside its walls, and never see a byte of what is scanned: that goes through the pipes that they hand out.
//!
//! There are as many of them as scanners may run at once; whoever asks for one more waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::lock::lock;
use crate::program::{self, End, Failure, Kin, Limits, Pipes, Surroundings};

/// The first and the longest pause between two looks at a scanner.
const LOOKS: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(10));

/// How long the end of a scanner is waited for that is ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// The words that one scanner is started with, and where the answers go.
struct Order {
    words: Vec<String>,
    limits: Limits,
    pipes: SyncSender<Result<Pipes, Failure>>,
    end: SyncSender<Option<End>>,
    stop: Arc<AtomicBool>,
}

/// Gives orders to the threads; when it goes, they end.
#[derive(Debug)]
pub(super) struct Starter {
    orders: SyncSender<Order>,
}

/// A scanner that runs. Dropped, it is ended.
pub(super) struct Started {
    pub pipes: Pipes,
    /// Told once: how it ended; `None` where the system would not tell.
    pub end: Receiver<Option<End>>,
    stop: Arc<AtomicBool>,
}

impl Drop for Started {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // None outlives us. One that has ended was told of already, and nothing is waited for.
        let _ = self.end.recv_timeout(PATIENCE);
    }
}

impl Starter {
    /// `count` threads that start `program` in `surroundings`.
    ///
    /// # Errors
    /// The system's own.
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
                // Those that there are start them all.
                Err(_) if number > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Self { orders })
    }

    /// Starts one with `words` after the program's name, once a thread is free.
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
        // Whoever asked may have gone.
        let _ = self.end.send(end);
    }
}
