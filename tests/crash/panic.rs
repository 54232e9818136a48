//! P5: a worker of verify panics, each time at another of its progress reports. The clock, which a
//! worker reads at that point, is the fail point: nothing in the program exists for this test.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use packmule::cli::run;
use packmule::cli::world::World;
use packmule::flow::Clock;

use crate::{Bundle, noise};

/// Panics on the n-th reading by a thread other than the one that made it.
struct Trap {
    home: ThreadId,
    left: AtomicUsize,
}

impl Clock for Trap {
    fn unix(&self) -> i64 {
        1_767_225_600
    }

    fn elapsed(&self) -> Duration {
        let sprung = thread::current().id() != self.home && self.left.fetch_sub(1, Ordering::SeqCst) == 1;
        assert!(!sprung, "the trap");
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {}
}

#[test]
fn p5_a_worker_that_panics_never_ends_in_a_pass() {
    let bundle = Bundle::new(&[noise(1, 9 << 20), noise(2, 100_000), noise(3, 70_000)], &[], &[1]);
    let (mut sprung, mut passed) = (0, false);
    for moment in 1..100 {
        let args = ["verify", "usb/b", "--key", "1.pub.pem", "-j", "2"];
        let (mut world, stdout, stderr) = World::for_test(&args, bundle.root.path());
        let trap = Arc::new(Trap { home: thread::current().id(), left: AtomicUsize::new(moment) });
        world.clock = trap.clone();
        let code = run(&mut world);
        // It goes below zero and wraps around once it has panicked and other threads continue.
        let left = trap.left.load(Ordering::SeqCst);
        passed = (1..=moment).contains(&left);
        if passed {
            assert_eq!(code, 0, "{}", stderr.text());
            assert!(stdout.text().starts_with("PASS"));
            break;
        }
        sprung += 1;
        assert_eq!(code, 1, "{moment}: {}{}", stdout.text(), stderr.text());
        assert!(!stdout.text().contains("PASS"), "{}", stdout.text());
        assert!(stderr.text().contains("a worker of the check ended early"), "{}", stderr.text());
    }
    assert!(sprung >= 4 && passed, "{sprung} moments, and one run without");
}
