//! Audit logs: who did what when, one line an event, each line with the digest of the one before (`spec/audit.md`).
//!
//! [`mod@line`] is the form, [`log`] appends, [`head`] keeps the newest digest apart from the log, so that a tail that was cut off
//! or put on shows, [`state_id`] tells the lines of one state from those of others, [`mod@check`] reads all of it. It knows no
//! command: what happened is told by the caller.

pub mod check;
pub mod head;
pub mod line;
pub mod log;
mod own_file;
pub mod state_id;
mod turn;

pub use self::check::{Report, check};
pub use self::head::{Head, Known};
pub use self::line::{Entry, Event, Line, Newest};
pub use self::log::{Log, Snapshot};
pub use self::state_id::StateId;
