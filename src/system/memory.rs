//! Out of memory: the process ends with a message and a documented exit code, not with a signal.
//!
//! The allocator is the system's. When that fails, [`Memory`] writes the bytes given to
//! [`on_exhaustion`], which needs no memory, and ends the process. Code that can work with less
//! memory checks with [`has_room`] first.

#![allow(unsafe_code, reason = "an allocator is unsafe; every call is passed to the system's, under the same contract")]

use crate::base::fault::{Class, Fault};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Allocator of the program.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

/// Output and action when memory is exhausted.
struct Words {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    end: fn() -> !,
}

static WORDS: OnceLock<Words> = OnceLock::new();
static IS_ENDING: AtomicBool = AtomicBool::new(false);

thread_local! {
    // Set if this thread can handle a failed allocation, or is the one that ends the process.
    static IS_FALLIBLE: Cell<bool> = const { Cell::new(false) };
}

/// Sets what happens when memory is exhausted: the bytes are written, then `end` ends the process.
/// `end` must not allocate. Only the first call has an effect.
pub fn on_exhaustion(stdout: Vec<u8>, stderr: Vec<u8>, end: fn() -> !) {
    // Keep an earlier value.
    let _ = WORDS.set(Words { stdout, stderr, end });
}

/// Reports whether `bytes` can be allocated in one piece now. Does not reserve them: another thread
/// may take them.
pub fn has_room(bytes: usize) -> bool {
    let before = IS_FALLIBLE.replace(true);
    let has = Vec::<u8>::new().try_reserve_exact(bytes).is_ok();
    IS_FALLIBLE.set(before);
    has
}

/// Ends the process if [`on_exhaustion`] was called. Otherwise returns, and the allocation fails as
/// usual.
#[cold]
fn exhausted() {
    let Some(words) = WORDS.get() else { return };
    if IS_FALLIBLE.get() {
        return;
    }
    if IS_ENDING.swap(true, Ordering::SeqCst) {
        // Another thread ends the process.
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    IS_FALLIBLE.set(true);
    write(&words.stdout, &words.stderr);
    (words.end)()
}

/// Writes without allocating and without taking a lock, which this thread may already hold. Ignores
/// errors; the exit code is enough.
#[cfg(unix)]
fn write(stdout: &[u8], stderr: &[u8]) {
    for (mut bytes, is_error) in [(stderr, true), (stdout, false)] {
        while !bytes.is_empty() {
            let to = if is_error { rustix::stdio::stderr() } else { rustix::stdio::stdout() };
            match rustix::io::write(to, bytes) {
                Ok(count) if count > 0 => bytes = &bytes[count..],
                _ => break,
            }
        }
    }
}

#[cfg(windows)]
fn write(stdout: &[u8], stderr: &[u8]) {
    use std::io::Write as _;
    let _ = std::io::stderr().write_all(stderr);
    let _ = std::io::stdout().write_all(stdout);
}

/// Memory is exhausted for something that does not use the program's allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("memory: expected room for what the command needs, found none")]
pub struct Exhausted;

impl From<Exhausted> for Fault {
    fn from(exhausted: Exhausted) -> Self {
        Self::new(Class::Io, exhausted.to_string()).help(Exhausted::HELP)
    }
}

impl Exhausted {
    /// Advice for this error.
    pub const HELP: &str = "give the process more memory (ulimit -v), or use fewer --jobs";
}

// SAFETY: every request is passed unchanged to the system's allocator, and its result is returned.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        let given = unsafe { System.alloc(layout) };
        if given.is_null() {
            exhausted();
        }
        given
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        let given = unsafe { System.alloc_zeroed(layout) };
        if given.is_null() {
            exhausted();
        }
        given
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's contract.
        let given = unsafe { System.realloc(old, layout, size) };
        if given.is_null() {
            exhausted();
        }
        given
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(old, layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_told_without_being_taken() {
        assert!(has_room(1 << 20));
        assert!(!has_room(usize::MAX / 4));
        assert!(!IS_FALLIBLE.get());
    }
}
