//! Audit logs: who did what when, one line an event, each line with the digest of the one before (`spec/audit.md`).
//!
//! [`mod@line`] is the form, [`log`] appends, [`head`] keeps the newest digest apart from the log, so that a tail that was cut off
//! shows, [`mod@check`] reads all of it. It knows no command: what happened is told by the caller.

pub mod check;
pub mod head;
pub mod line;
pub mod log;

pub use self::check::{Report, check};
pub use self::head::Head;
pub use self::line::{Entry, Event, Line, Newest};
pub use self::log::{Log, Snapshot};
