//! Decides whether a step is tried again, and how long to wait before.
//!
//! Exponential backoff with full jitter; `Retry-After` is followed up to one minute. Does not know
//! what the step does.

use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::base::fault::Description;
use crate::content::{Error, Kind};
use crate::flow::Flow;

/// Maximum first wait; doubles with every try.
const FIRST: Duration = Duration::from_millis(400);
/// Maximum wait unless the server asks for one.
const MOST: Duration = Duration::from_secs(20);
/// Maximum wait that a server may ask for.
const MOST_ASKED: Duration = Duration::from_secs(60);
/// Maximum random time added to a wait that the server asked for.
const SPREAD: Duration = Duration::from_millis(500);
/// Interval at which a wait checks for cancellation.
const STEP: Duration = Duration::from_millis(50);

/// Failure of a step, and whether another try may succeed.
#[derive(Debug)]
pub struct Trouble {
    /// The failure.
    pub error: Error,
    /// Whether to try again.
    pub again: bool,
    /// Time that the server asked to wait.
    pub after: Option<Duration>,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
}

impl Trouble {
    /// Makes a failure that is not tried again.
    pub fn last(error: Error) -> Self {
        Self { error, again: false, after: None, status: None }
    }

    /// Makes a failure that may be temporary.
    pub fn passing(error: Error) -> Self {
        Self { error, again: true, after: None, status: None }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::last(error)
    }
}

/// Returns how long to wait before the next try, `done` having been made; `after`: what the server asked for.
pub fn before(done: u32, after: Option<Duration>) -> Duration {
    // Without this, all threads that were asked to wait would return at the same moment.
    after.map_or_else(|| jitter(done), |after| after + share(SPREAD))
}

/// Waits for `wait`, or until the run is cancelled.
pub fn pause(flow: &Flow, mut wait: Duration) -> Result<(), Error> {
    while !wait.is_zero() {
        flow.check()?;
        let step = wait.min(STEP);
        flow.clock().sleep(step);
        wait -= step;
    }
    flow.check()?;
    Ok(())
}

/// Returns a random wait between zero and the limit after `done` retries.
fn jitter(done: u32) -> Duration {
    share(FIRST.saturating_mul(1 << done.min(10)).min(MOST))
}

/// Returns a random time between zero and `most`.
pub fn share(most: Duration) -> Duration {
    let mut random = [0; 2];
    // Without randomness every wait takes the maximum time: slower, but correct.
    let share = getrandom::fill(&mut random).map_or(u16::MAX, |()| u16::from_le_bytes(random));
    most * u32::from(share) / u32::from(u16::MAX)
}

/// Reads `Retry-After` (seconds or a date), limited to `MOST_ASKED`.
pub fn retry_after(headers: &HeaderMap, now: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = if let Ok(seconds) = text.parse::<u64>() {
        seconds
    } else {
        let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
        date.saturating_sub(u64::try_from(now).unwrap_or(0))
    };
    Some(Duration::from_secs(seconds).min(MOST_ASKED))
}

/// Reports whether a status may be temporary.
pub fn passes(status: u16) -> bool {
    matches!(status, 408 | 429) || (status >= 500 && !matches!(status, 501 | 505))
}

/// Returns whether a status says that it is asked too often or too early, which holds for every request.
pub fn is_limit(status: u16) -> bool {
    matches!(status, 408 | 429 | 503)
}

/// Makes an error of [`Kind::Failed`] that may be temporary.
pub fn failed(what: impl Into<Description>) -> Trouble {
    Trouble::passing(Error::new(Kind::Failed, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str, now: i64) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        retry_after(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_read_and_capped() {
        assert_eq!(after("7", 0), Some(7));
        assert_eq!(after("99999999", 0), Some(60));
        assert_eq!(after("Thu, 01 Jan 1970 00:01:40 GMT", 90), Some(10));
        assert_eq!(after("Thu, 01 Jan 1970 00:01:40 GMT", 900), Some(0));
        assert_eq!(after("soon", 0), None);
    }

    #[test]
    fn waits_grow_and_stay_below_the_cap() {
        for done in 0..40 {
            assert!(jitter(done) <= FIRST.saturating_mul(1 << done.min(10)).min(MOST));
        }
    }

    #[test]
    fn what_passes() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(passes(status));
        }
        for status in [200, 400, 401, 403, 404, 405, 413, 416, 501] {
            assert!(!passes(status));
        }
    }
}
