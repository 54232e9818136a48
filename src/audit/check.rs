//! Checks an audit log from its first line to its last, and against what its head says.
//!
//! Reads once, line by line; judges nothing but the chain: what the lines tell is shown, not weighed.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, Read as _};

use super::head::Known;
use super::line::{Event, Line, MAX_LINE, Newest};
use super::state_id::StateId;
use crate::oci::Digest;

/// So many faults are named; the others are counted.
pub const NAMED: usize = 20;
/// So many of the last lines are kept for showing.
pub const SHOWN: usize = 100;
/// So many lines of a state may lie past the one that its head knows: a run was killed between a line and its head.
pub const UNHELD: u64 = 1;

/// The result of a check.
#[derive(Debug, Default)]
pub struct Report {
    /// Lines, whatever they hold.
    pub lines: u64,
    /// The last line.
    pub newest: Option<Newest>,
    /// The problems, at most [`NAMED`] of them.
    pub faults: Vec<String>,
    /// Problems that are not named.
    pub more: u64,
    /// The last lines, at most [`SHOWN`].
    pub recent: VecDeque<Line>,
    /// Runs that began and did not end, by the number of their line: still at work, or killed.
    pub open: BTreeMap<u64, Line>,
    /// Lines of the state that lie past the last line that it knows.
    pub unheld: u64,
}

impl Report {
    fn fault(&mut self, what: String) {
        if self.faults.len() < NAMED { self.faults.push(what) } else { self.more += 1 }
    }

    /// Takes the next line; gives the state that wrote it.
    fn take(&mut self, bytes: &[u8]) -> Option<StateId> {
        let number = self.lines;
        let Some(line) = Line::parse(bytes) else {
            let what = if bytes.ends_with(b"\n") { "is no line of an audit log" } else { "is cut off" };
            self.fault(format!("line {number} {what}"));
            return None;
        };
        let state = line.state;
        let before = self.newest;
        if line.number != number {
            self.fault(format!("line {number} has the number {}: lines are gone or were added", line.number));
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

    /// Compares with what the state knows.
    fn against(&mut self, known: &Known, at: Option<Digest>) {
        if let Some(Newest { digest, number }) = known.held.map(|held| held.newest) {
            if self.lines < number {
                let what = format!("{number} lines are known to its head, found {}: its tail was cut off", self.lines);
                return self.fault(what);
            }
            if at != Some(digest) {
                return self
                    .fault(format!("line {number} is not the one that its head knows ({digest}): it was changed"));
            }
        }
        if self.unheld > UNHELD {
            let Known { state, .. } = known;
            self.fault(format!(
                "{} lines of the state {state} lie past the last one that it knows, at most {UNHELD} can: they were added",
                self.unheld
            ));
        }
    }
}

/// Reads the log. `known` is what the state knew of it when it was not longer than it is now.
///
/// # Errors
/// Those of `log`; what is wrong with the lines stands in the report.
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
