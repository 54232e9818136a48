//! Keeps a secret until it is about to end or was refused.
//!
//! Threads that ask at once wait for one answer. A secret that could not be renewed is used for as long as it lasts.

use std::sync::Mutex;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::flow::Flow;
use crate::network::secret_source::SecretSource;

/// Time before the end of a secret from which on it is renewed; less for one that lasts less than twice as long.
const MARGIN: Duration = Duration::from_secs(300);

/// A secret as it came from its source.
pub struct Fresh {
    /// The secret.
    pub value: Zeroizing<String>,
    /// For how long it lasts; `None` if its source does not say.
    pub life: Option<Duration>,
}

struct Known {
    value: Zeroizing<String>,
    // Times of the clock.
    begun: Duration,
    due: Option<Duration>,
    ends: Option<Duration>,
}

/// Reads a secret from its source.
type Read = Box<dyn Fn() -> Result<Fresh, Error> + Send + Sync>;

/// A secret with its source.
pub struct Kept {
    read: Read,
    flow: Flow,
    known: Mutex<Option<Known>>,
}

impl Kept {
    /// Makes a secret that `read` reads when it is first needed.
    pub fn new(flow: Flow, read: impl Fn() -> Result<Fresh, Error> + Send + Sync + 'static) -> Self {
        Self { read: Box::new(read), flow, known: Mutex::default() }
    }
}

impl SecretSource for Kept {
    fn read(&self, again: bool) -> Result<Zeroizing<String>, Error> {
        let asked = self.flow.clock().elapsed();
        // Locked while the source is read: all need the same answer.
        let mut known = lock(&self.known);
        let now = self.flow.clock().elapsed();
        let (mut is_good, mut lasts) = (false, false);
        if let Some(known) = &*known {
            lasts = known.ends.is_none_or(|ends| now < ends);
            // Read by another thread while this one waited.
            let is_new = known.begun > asked;
            is_good = (is_new || !again) && known.due.is_none_or(|due| now < due);
        }
        if let Some(known) = known.as_ref().filter(|_| is_good) {
            return Ok(known.value.clone());
        }
        match (self.read)() {
            Ok(Fresh { value, life }) => {
                let due = life.map(|life| now + life.saturating_sub(MARGIN.min(life / 2)));
                let ends = life.map(|life| now + life);
                *known = Some(Known { value: value.clone(), begun: self.flow.clock().elapsed(), due, ends });
                Ok(value)
            }
            Err(error) if error.class == Kind::Failed && !again && lasts => match &*known {
                Some(known) => Ok(known.value.clone()),
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::flow::{Clock, FixedClock, Silent};

    fn flow(clock: Arc<dyn Clock>) -> Flow {
        Flow::new(Arc::new(Silent), clock, 1, 1)
    }

    fn counted(life: Option<u64>, fails_from: usize) -> (Arc<FixedClock>, Arc<AtomicUsize>, Kept) {
        let (clock, count) = (Arc::new(FixedClock::default()), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&count);
        let kept = Kept::new(flow(clock.clone()), move || {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            if number >= fails_from {
                return Err(Error::new(Kind::Failed, "no answer"));
            }
            Ok(Fresh { value: Zeroizing::new(number.to_string()), life: life.map(Duration::from_secs) })
        });
        (clock, count, kept)
    }

    fn read(kept: &Kept, again: bool) -> String {
        kept.read(again).map_or_else(|error| error.what.clone(), |value| value.to_string())
    }

    #[test]
    fn it_is_read_again_before_it_ends_and_after_a_refusal() {
        let (clock, count, kept) = counted(Some(3600), usize::MAX);
        assert_eq!((read(&kept, false), read(&kept, false)), ("0".to_owned(), "0".to_owned()));
        clock.sleep(Duration::from_secs(3299));
        assert_eq!(read(&kept, false), "0");
        clock.sleep(Duration::from_secs(1));
        assert_eq!(read(&kept, false), "1");
        assert_eq!(read(&kept, true), "2");
        assert_eq!((read(&kept, false), count.load(Ordering::SeqCst)), ("2".to_owned(), 3));
        // One that ends soon is used for half of its time.
        let (clock, _, kept) = counted(Some(4), usize::MAX);
        for (step, expected) in [(0, "0"), (1, "0"), (1, "1"), (5, "2")] {
            clock.sleep(Duration::from_secs(step));
            assert_eq!(read(&kept, false), expected);
        }
        let (clock, _, kept) = counted(None, usize::MAX);
        for again in [false, false, true, false] {
            clock.sleep(Duration::from_secs(100_000));
            read(&kept, again);
        }
        assert_eq!(read(&kept, false), "1");
    }

    #[test]
    fn one_that_cannot_be_renewed_is_used_until_its_end() {
        let (clock, _, kept) = counted(Some(1000), 1);
        assert_eq!(read(&kept, false), "0");
        clock.sleep(Duration::from_secs(999));
        assert_eq!(read(&kept, false), "0");
        assert_eq!(read(&kept, true), "no answer");
        clock.sleep(Duration::from_secs(1));
        assert_eq!(read(&kept, false), "no answer");
    }

    #[test]
    fn threads_that_ask_at_once_get_one_answer() {
        struct Real(std::time::Instant);
        impl Clock for Real {
            fn unix(&self) -> i64 {
                0
            }
            fn elapsed(&self) -> Duration {
                self.0.elapsed()
            }
            fn sleep(&self, time: Duration) {
                std::thread::sleep(time);
            }
        }
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let kept = Kept::new(flow(Arc::new(Real(std::time::Instant::now()))), move || {
            std::thread::sleep(Duration::from_millis(300));
            let value = Zeroizing::new(counter.fetch_add(1, Ordering::SeqCst).to_string());
            Ok(Fresh { value, life: None })
        });
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(|| read(&kept, true)))));
        // A thread may have begun after the first answer.
        assert!(count.load(Ordering::SeqCst) <= 2, "{count:?}");
    }
}
