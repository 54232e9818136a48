//! Exit codes (`spec/cli.md`). No other module knows them.

use crate::base::fault::Class;

/// Exit code of a run that is done, with everything verified.
pub const OK: u8 = 0;

/// Returns the exit code of a class; `signal` is the one that cancelled the run.
pub fn code(class: Class, signal: Option<u8>) -> u8 {
    match class {
        Class::Bug => 1,
        Class::Usage => 2,
        Class::Format => 10,
        Class::Integrity => 11,
        Class::Signature => 12,
        Class::Trust => 13,
        Class::Stale => 14,
        Class::Policy => 15,
        Class::Source => 20,
        Class::Destination => 21,
        Class::Io => 22,
        Class::Lock => 23,
        Class::Partial => 30,
        // INT if the signal is unknown.
        Class::Cancelled => 128 + signal.unwrap_or(2),
    }
}

/// Returns whether the same command may succeed later without other changes.
pub const fn is_retryable(class: Class) -> bool {
    match class {
        Class::Source | Class::Destination | Class::Io | Class::Lock | Class::Partial | Class::Cancelled => true,
        Class::Bug
        | Class::Usage
        | Class::Format
        | Class::Integrity
        | Class::Signature
        | Class::Trust
        | Class::Stale
        | Class::Policy => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_count_from_128() {
        assert_eq!([1, 2, 15].map(|signal| code(Class::Cancelled, Some(signal))), [129, 130, 143]);
        assert_eq!(code(Class::Cancelled, None), 130);
    }

    #[test]
    fn the_lowest_code_of_10_to_15_wins() {
        let order = [Class::Format, Class::Integrity, Class::Signature, Class::Trust, Class::Stale, Class::Policy];
        for pair in order.windows(2) {
            assert!(code(pair[0], None) < code(pair[1], None) && pair[0].rank() < pair[1].rank());
        }
    }
}
