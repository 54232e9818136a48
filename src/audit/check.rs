//! Checks an audit log from its first line to its last, and against its head.
//!
//! Reads the log once, line by line. Only the chain is checked; the content of the lines is shown
//! without judging it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, Read as _};

use super::head::Known;
use super::line::{Event, Line, MAX_LINE, Newest};
use super::state_id::StateId;
use crate::oci::Digest;

/// Maximum number of faults that are listed. The others are counted.
pub const NAMED: usize = 20;
/// Number of last lines that are kept for display.
pub const SHOWN: usize = 100;
/// Maximum number of lines of a state after the one that its head records. A run may have been
/// killed between writing a line and its head.
pub const UNHELD: u64 = 1;

/// Result of a check.
#[derive(Debug, Default)]
pub struct Report {
    /// Number of lines, valid or not.
    pub lines: u64,
    /// Last line.
    pub newest: Option<Newest>,
    /// Faults, at most [`NAMED`] of them.
    pub faults: Vec<String>,
    /// Number of faults that are not listed.
    pub more: u64,
    /// Last lines, at most [`SHOWN`].
    pub recent: VecDeque<Line>,
    /// Runs that began and did not end, by the number of their line. They are still running, or
    /// were killed.
    pub open: BTreeMap<u64, Line>,
    /// Number of lines of the state after the last line that it knows.
    pub unheld: u64,
}

impl Report {
    fn fault(&mut self, what: String) {
        if self.faults.len() < NAMED { self.faults.push(what) } else { self.more += 1 }
    }

    /// Processes the next line. Returns the state that wrote it.
    fn take(&mut self, bytes: &[u8]) -> Option<StateId> {
        let number = self.lines;
        let Some(line) = Line::parse(bytes) else {
            let what = if bytes.ends_with(b"\n") { "is not a line of an audit log" } else { "is cut off" };
            self.fault(format!("line {number} {what}"));
            return None;
        };
        let state = line.state;
        let before = self.newest;
        if line.number != number {
            self.fault(format!("line {number} has the number {}: lines were removed or added", line.number));
        }
        if line.previous != before.map(|before| before.digest) {
            self.fault(format!("line {number} does not follow the line before it: one of the two was changed"));
        }
        match (line.event, line.begin) {
            (Event::End, Some(begin)) => drop(self.open.remove(&begin)),
            _ => drop(self.open.insert(line.number, line.clone())),
        }
        self.recent.push_back(line);
        if self.recent.len() > SHOWN {
            self.recent.pop_front();
        }
        state
    }

    /// Compares the log with what the state knows.
    fn against(&mut self, known: &Known, at: Option<Digest>) {
        if let Some(Newest { digest, number }) = known.held.map(|held| held.newest) {
            if self.lines < number {
                let what = format!("its head records {number} lines, found {}: its tail was cut off", self.lines);
                return self.fault(what);
            }
            if at != Some(digest) {
                return self
                    .fault(format!("line {number} is not the one that its head records ({digest}): it was changed"));
            }
        }
        if self.unheld > UNHELD {
            let Known { state, .. } = known;
            self.fault(format!(
                "expected at most {UNHELD} line of the state {state} after the last one that it knows, found {}: lines were added",
                self.unheld
            ));
        }
    }
}

/// Checks the log. `known` is the state's knowledge of the log, from a time when the log was not
/// longer than now.
///
/// # Errors
/// Errors of reading `log`. Faults in the lines are listed in the report.
pub fn check(mut log: impl BufRead, known: Option<&Known>) -> io::Result<Report> {
    let mut report = Report::default();
    let mut at = None;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if (&mut log).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        report.lines += 1;
        let state = report.take(&bytes);
        if bytes.len() > MAX_LINE {
            report.fault(format!("line {} is longer than {MAX_LINE} bytes: nothing after it was read", report.lines));
            break;
        }
        let newest = Newest::of(report.lines, &bytes);
        if let Some(known) = known {
            if known.held.is_some_and(|held| held.newest.number == newest.number) {
                at = Some(newest.digest);
            }
            if known.knows(newest) {
                report.unheld = 0;
            } else if state == Some(known.state) {
                report.unheld += 1;
            }
        }
        report.newest = Some(newest);
    }
    if let Some(known) = known {
        report.against(known, at);
    }
    Ok(report)
}
