//! Appends to an audit log: under its lock, after the line that the head records, durably.
//!
//! Must never cover up a change: nothing is appended to a log that does not match its head.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::check::UNHELD;
use super::head::{Head, Held, Known};
use super::line::{Entry, Line, MAX_LINE, Newest};
use super::turn::wait;
use crate::base::fault::{Class, Description, Fault, differs, escape};
use crate::base::time::Moment;
use crate::oci::Digest;
use crate::outfile::{Refusal, check_name};
use crate::system::{self, Access, Turn};

/// State of a log that is read while others may write to it.
#[derive(Debug)]
pub struct Snapshot {
    /// Length of the log. The bytes up to here are complete lines, except for the remains of a
    /// killed run.
    pub length: u64,
    /// The state's knowledge of the log at that time.
    pub known: Option<Known>,
}

impl Snapshot {
    /// Takes a snapshot of `file`, which is at `path`, while nobody is writing. `look` returns the
    /// state's knowledge for the digest of the first line.
    ///
    /// # Errors
    /// Errors of the file system and of `look`.
    pub fn take(
        file: &File,
        path: &Path,
        look: impl Fn(Option<Digest>) -> io::Result<Option<Known>>,
    ) -> io::Result<Self> {
        let _turn = wait(file, path, true)?;
        let length = file.metadata()?.len();
        let first = first_line(file, length)?;
        Ok(Self { length, known: look(first)? })
    }
}

/// Returns the digest of the first line of a log that is `length` bytes long.
fn first_line(file: &File, length: u64) -> io::Result<Option<Digest>> {
    let mut first = vec![0; MAX_LINE.min(usize::try_from(length).unwrap_or(MAX_LINE))];
    system::read_exact_at(file, &mut first, 0)?;
    let end = first.iter().position(|byte| *byte == b'\n');
    Ok(end.map(|end| Digest::sha256(&first[..=end])))
}

/// A log that is open for appending.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
    head: Option<Head>,
    shown: String,
}

/// End of a log.
struct Tail {
    // Length of the complete lines.
    end: u64,
    // Number of bytes after them.
    torn: u64,
    last: Option<Newest>,
}

/// A log that matches the state's knowledge.
struct Seen {
    tail: Tail,
    known: Option<Known>,
    // Number of lines of the state after those that it knows.
    past: u64,
}

impl Log {
    /// Opens the log at `path`, and its head if there is to be one. Creates files that do not
    /// exist.
    ///
    /// # Errors
    /// [`Class::Io`] if either cannot be written, is a link, or is not a regular file.
    pub fn open(path: &Path, head: Option<&Path>) -> Result<Self, Fault> {
        let shown = escape(&path.to_string_lossy());
        let subject = format!("audit log {shown}");
        let refused = |refusal: Refusal| refusal.into_fault(&subject, "audit log");
        check_name(path).map_err(refused)?;
        let (file, _) =
            system::open_or_create(path, Access::Append, 0o600).map_err(|unopened| refused(unopened.into()))?;
        let head = head.map(|head| {
            Head::open(head).map_err(|error| {
                let what = format!("audit log {shown}: its head {}: {error}", escape(&head.to_string_lossy()));
                Fault::new(Class::Io, what).help("choose a directory that you can write to with --state")
            })
        });
        Ok(Self { file, path: path.to_owned(), head: head.transpose()?, shown })
    }

    fn io(&self, error: &io::Error) -> Fault {
        Fault::new(Class::Io, format!("audit log {}: {error}", self.shown))
            .help("free some space, or name another file; this run is not recorded")
    }

    fn altered(&self, what: impl Into<Description>) -> Fault {
        Fault::new(Class::Io, what.into().within(format_args!("audit log {}", self.shown)))
            .help("look at it with `packmule inspect FILE --check`, keep it, and name a new file with --audit")
    }

    fn turn(&self) -> Result<Turn<'_>, Fault> {
        wait(&self.file, &self.path, false).map_err(|error| {
            if error.kind() != io::ErrorKind::ResourceBusy {
                return self.io(&error);
            }
            Fault::new(Class::Lock, format!("audit log {}: {error}", self.shown))
                .help("find out which program holds its lock")
        })
    }

    fn tail(&self) -> Result<Tail, Fault> {
        let io = |error: io::Error| self.io(&error);
        let length = self.file.metadata().map_err(io)?.len();
        // Enough for a complete line and a partial one after it.
        let from = length.saturating_sub(2 * MAX_LINE as u64);
        let mut bytes = vec![0; usize::try_from(length - from).unwrap_or_default()];
        system::read_exact_at(&self.file, &mut bytes, from).map_err(io)?;
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            // Remains of a first line from a killed run. Any other file is left unchanged.
            if from == 0 && Line::is_begun(&bytes) {
                return Ok(Tail { end: 0, torn: length, last: None });
            }
            return Err(self.altered(differs("", "lines of an audit log", "another file")));
        };
        let start = bytes[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let last = &bytes[start..=end];
        let line =
            Line::parse(last).ok_or_else(|| self.altered(differs("", "its last line whole", "something else")))?;
        let end = from + end as u64 + 1;
        Ok(Tail { end, torn: length - end, last: Some(Newest::of(line.number, last)) })
    }

    /// Checks that the log matches the state's knowledge, with at most [`UNHELD`] further lines of
    /// the state. Returns their number.
    fn follows(&self, tail: &Tail, known: &Known) -> Result<u64, Fault> {
        let held = known.held.map(|held| held.newest);
        let (found, number) = (tail.last.map_or(0, |last| last.number), held.map_or(0, |held| held.number));
        if found < number {
            return Err(self.altered(differs(
                "",
                format_args!("{number} lines, as its head says"),
                format_args!("{found}: its tail was cut off"),
            )));
        }
        let past = self.past(tail, known)?;
        if past > UNHELD {
            let state = known.state;
            return Err(self.altered(differs(
                "",
                format_args!("at most {UNHELD} line of this state ({state}) past line {number}, as its head says"),
                past,
            )));
        }
        Ok(past)
    }

    /// Reads from the line that the head records. Returns the number of the state's lines after all
    /// those that the state knows.
    fn past(&self, tail: &Tail, known: &Known) -> Result<u64, Fault> {
        let failed = |error: io::Error| self.io(&error);
        let held = known.held.map(|held| held.newest);
        let from = held.map_or(0, |held| held.number);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut lines = BufReader::new(io::Read::take(file, tail.end));
        let (mut last, mut past, mut bytes) = (None, 0, Vec::new());
        for number in 1.. {
            bytes.clear();
            if io::Read::take(&mut lines, MAX_LINE as u64).read_until(b'\n', &mut bytes).map_err(failed)? == 0 {
                break;
            }
            // The head vouches for everything before its line.
            if number < from {
                continue;
            }
            let line = Newest::of(number, &bytes);
            if let Some(held) = held.filter(|held| held.number == number && held.digest != line.digest) {
                let digest = held.digest;
                return Err(self.altered(differs(
                    "",
                    format_args!("line {number} to be {digest}, as its head says"),
                    "another",
                )));
            }
            if known.knows(line) {
                past = 0;
            } else {
                let read = Line::parse(&bytes);
                let read =
                    read.filter(|read| read.number == number && read.previous == last.map(|last: Newest| last.digest));
                let read = read.ok_or_else(|| {
                    self.altered(differs("", format_args!("line {number} to follow the one before it"), "another"))
                })?;
                past += u64::from(read.state == Some(known.state));
            }
            last = Some(line);
        }
        Ok(past)
    }

    /// Inspects the log and checks that it matches the state's knowledge.
    fn look(&self) -> Result<Seen, Fault> {
        let tail = self.tail()?;
        let Some(head) = &self.head else { return Ok(Seen { tail, known: None, past: 0 }) };
        let said = head.held().map_err(|error| self.io(&error))?;
        // The usual case.
        if let Some(said) = said.filter(|said| Some(said.newest) == tail.last) {
            return Ok(Seen { tail, known: Some(Known::alone(said)), past: 0 });
        }
        let first = first_line(&self.file, tail.end).map_err(|error| self.io(&error))?;
        let known = head.known(first).map_err(|error| self.io(&error))?;
        let past = self.follows(&tail, &known)?;
        Ok(Seen { tail, known: Some(known), past })
    }

    /// Records the line `newest` in the head.
    fn hold(&self, known: &Known, newest: Newest) -> Result<(), Fault> {
        let Some(head) = &self.head else { return Ok(()) };
        let first = match known.held {
            Some(said) => said.first,
            None if newest.number == 1 => newest.digest,
            None => {
                let end = self.file.metadata().and_then(|found| first_line(&self.file, found.len()));
                end.map_err(|error| self.io(&error))?.unwrap_or(newest.digest)
            }
        };
        head.hold(Held { newest, first, state: known.state }).map_err(|error| self.io(&error))
    }

    /// Appends a line. When this returns, the line and its head are on the medium.
    ///
    /// # Errors
    /// [`Class::Io`] if the log cannot be written or does not match its head; [`Class::Lock`].
    pub fn append(&self, at: Moment, entry: Entry) -> Result<Newest, Fault> {
        let _turn = self.turn()?;
        let Seen { tail, known, past } = self.look()?;
        // A run was killed between writing a line and its head. Two such lines could not be told
        // from added ones.
        if let (Some(known), Some(last), true) = (&known, tail.last, past > 0) {
            self.hold(known, last)?;
        }
        // Remains of a killed run, which no head records.
        if tail.torn > 0 {
            self.file.set_len(tail.end).map_err(|error| self.io(&error))?;
        }
        let mended = Some(tail.torn).filter(|torn| *torn > 0);
        let line = Line::after(tail.last, known.as_ref().map(|known| known.state), at, mended, entry);
        let bytes = line.to_bytes();
        if bytes.len() > MAX_LINE {
            return Err(self.io(&io::Error::other(format!("a line of {} bytes, at most {MAX_LINE}", bytes.len()))));
        }
        let mut file = &self.file;
        let written = file.seek(SeekFrom::Start(tail.end)).and_then(|_| file.write_all(&bytes));
        if let Err(error) = written.and_then(|()| file.sync_all()) {
            // Best effort: the next run removes it anyway.
            let _ = self.file.set_len(tail.end);
            return Err(self.io(&error));
        }
        let newest = Newest::of(line.number, &bytes);
        if let Some(known) = &known {
            self.hold(known, newest)?;
        }
        Ok(newest)
    }

    /// Returns the newest line.
    ///
    /// # Errors
    /// Those of [`Log::append`].
    pub fn newest(&self) -> Result<Option<Newest>, Fault> {
        let _turn = self.turn()?;
        Ok(self.look()?.tail.last)
    }
}

#[cfg(test)]
mod tests;
