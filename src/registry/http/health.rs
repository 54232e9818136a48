//! Whether one registry answers: an outage that is waited out, and one that was waited for in vain.
//!
//! A value with a lock; [`super::outage`] asks the registry. While it is away one thread looks for it and the others wait;
//! once that was in vain, what is asked fails at once with the same cause, and one look at a time goes on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::base::lock::lock;
use crate::content::Error;

/// Time between two pings of a registry that was waited for in vain.
pub(in crate::registry) const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Number of consecutive steps that used up their tries, without a good answer between them, after which each step has one
/// try.
const MOST_USED_UP: u32 = 3;

enum State {
    /// It answers, as far as is known.
    Up,
    /// Somebody looks for it.
    Sought,
    /// It was waited for in vain.
    Down { cause: Error, next_look: Duration },
}

/// The state of a registry, as its answers show it.
pub(in crate::registry) struct Health {
    state: Mutex<State>,
    has_answered: AtomicBool,
    used_up: AtomicU32,
}

/// The next action of a request, or of a step that used up its tries.
#[derive(Debug)]
pub(in crate::registry) enum Turn {
    /// Go on.
    Go,
    /// Look for the registry and tell what was found.
    Look,
    /// Wait for whoever looks.
    Wait,
    /// Fail with this.
    Fail(Error),
}

impl Default for Health {
    fn default() -> Self {
        Self { state: Mutex::new(State::Up), has_answered: AtomicBool::default(), used_up: AtomicU32::default() }
    }
}

impl Health {
    /// Notes an answer, whatever it says.
    pub fn answered(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
    }

    /// Notes an answer that is no failure of the registry.
    pub fn well(&self) {
        self.used_up.store(0, Ordering::Relaxed);
    }

    /// Returns whether it has answered in this run.
    pub fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    /// Returns whether a step may be tried again: not after several steps in a row that could not be done.
    pub fn has_tries(&self) -> bool {
        self.used_up.load(Ordering::Relaxed) < MOST_USED_UP
    }

    /// Notes that a step has used up its tries though the registry answers.
    pub fn count_used_up(&self) {
        self.used_up.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns what a new request is to do at `now`.
    pub fn before_request(&self, now: Duration) -> Turn {
        let mut state = lock(&self.state);
        match &mut *state {
            State::Up => Turn::Go,
            State::Sought => Turn::Wait,
            State::Down { cause, next_look } if now < *next_look => Turn::Fail(cause.clone()),
            State::Down { next_look, .. } => {
                *next_look = now.saturating_add(LOOK_EVERY);
                Turn::Look
            }
        }
    }

    /// Returns what a step is to do that has used up its tries; whoever is told to look is the only one.
    pub fn after_tries(&self) -> Turn {
        let mut state = lock(&self.state);
        match &*state {
            State::Up => {
                *state = State::Sought;
                Turn::Look
            }
            State::Sought => Turn::Wait,
            State::Down { cause, .. } => Turn::Fail(cause.clone()),
        }
    }

    /// Returns what a waiting step is to do now.
    pub fn while_sought(&self) -> Turn {
        match &*lock(&self.state) {
            State::Up => Turn::Go,
            State::Sought => Turn::Wait,
            State::Down { cause, .. } => Turn::Fail(cause.clone()),
        }
    }

    /// Notes that it answers.
    pub fn found(&self) {
        *lock(&self.state) = State::Up;
    }

    /// Notes that it was looked for in vain until `now`.
    pub fn lost(&self, cause: &Error, now: Duration) {
        *lock(&self.state) = State::Down { cause: cause.clone(), next_look: now.saturating_add(LOOK_EVERY) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Kind;

    #[test]
    fn one_looks_the_others_wait_and_then_all_fail_at_once() {
        let (health, cause) = (Health::default(), Error::new(Kind::Failed, "gone"));
        let at = Duration::from_secs;
        assert!(matches!(health.before_request(at(0)), Turn::Go));
        assert!(matches!(health.after_tries(), Turn::Look));
        assert!(matches!(health.after_tries(), Turn::Wait));
        assert!(matches!(health.before_request(at(1)), Turn::Wait) && matches!(health.while_sought(), Turn::Wait));
        health.lost(&cause, at(100));
        assert!(matches!(health.while_sought(), Turn::Fail(error) if error == cause));
        assert!(
            matches!(health.after_tries(), Turn::Fail(_)) && matches!(health.before_request(at(109)), Turn::Fail(_))
        );
        assert!(matches!(health.before_request(at(110)), Turn::Look), "once an interval");
        assert!(matches!(health.before_request(at(110)), Turn::Fail(_)));
        health.found();
        assert!(matches!(health.before_request(at(111)), Turn::Go) && matches!(health.while_sought(), Turn::Go));
    }

    #[test]
    fn after_several_steps_in_vain_the_next_have_one_try_until_something_is_answered_well() {
        let health = Health::default();
        for _ in 0..3 {
            assert!(health.has_tries());
            health.count_used_up();
        }
        assert!(!health.has_tries());
        health.well();
        assert!(health.has_tries());
    }
}
