//! Pauses after failures: they double up to a limit. Pure.

use std::time::Duration;

/// Longest pause before a bundle is tried again.
pub(super) const BUNDLE: Duration = Duration::from_secs(6 * 3600);
/// Longest pause before a container is listed again.
pub(super) const CONTAINER: Duration = Duration::from_secs(15 * 60);

/// Returns the pause after the failure number `tries`, counted from 1, for something that is done every
/// `interval` when it does not fail.
pub(super) fn after(tries: u32, interval: Duration, longest: Duration) -> Duration {
    let doubled = interval.max(Duration::from_secs(1)).saturating_mul(1 << tries.saturating_sub(1).min(20));
    // Whoever wants longer looks apart gets them.
    doubled.min(longest.max(interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let seconds = |tries, interval| after(tries, Duration::from_secs(interval), BUNDLE).as_secs();
        assert_eq!([1, 2, 3, 4].map(|tries| seconds(tries, 30)), [30, 60, 120, 240]);
        assert_eq!((seconds(99, 30), seconds(u32::MAX, 30)), (6 * 3600, 6 * 3600));
        assert_eq!((seconds(1, 0), seconds(9, 86_400)), (1, 86_400));
    }
}
