//! Audit logs: who did what and when, one line per event, each with the digest of the previous line
//! (`spec/audit.md`).
//!
//! [`mod@line`] is the format, [`log`] appends, [`head`] keeps the newest digest apart from the log
//! so that removed or added lines at its end are detected, [`state_id`] distinguishes the lines of
//! different states, and [`mod@check`] reads a whole log. Commands are unknown here: the caller
//! passes in the events.

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
