//! Appends to an audit log: under its lock, behind what the head says was there, durably.
//!
//! It must never cover up a change: a log that does not end as its head says takes no line.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::head::{Head, Held};
use super::line::{Entry, Line, MAX_LINE, Newest};
use crate::base::fault::{Class, Fault, escape};
use crate::base::time::Moment;
use crate::oci::Digest;
use crate::outfile::{Refusal, check_name};
use crate::system::{self, Access, Turn};

/// How often another run's lock is waited for, and how long each time: together ten seconds.
const TRIES: usize = 1000;
const PAUSE: Duration = Duration::from_millis(10);

/// A log that is read while others may write to it.
#[derive(Debug)]
pub struct Snapshot {
    /// Its bytes up to here are whole lines, but for what a killed run left.
    pub length: u64,
    /// What its head said then.
    pub held: Option<Held>,
}

impl Snapshot {
    /// Looks at `file`, which lies at `path`, in a moment when nobody writes; `head` finds the head by the digest of the first line.
    ///
    /// # Errors
    /// The file system's; those of `head`.
    pub fn take(
        file: &File,
        path: &Path,
        head: impl Fn(Option<Digest>) -> io::Result<Option<Held>>,
    ) -> io::Result<Self> {
        let _turn = wait(file, path, true)?;
        let length = file.metadata()?.len();
        let mut first = vec![0; MAX_LINE.min(usize::try_from(length).unwrap_or(MAX_LINE))];
        system::read_exact_at(file, &mut first, 0)?;
        let end = first.iter().position(|byte| *byte == b'\n');
        let first = end.map(|end| Digest::sha256(&first[..=end]));
        Ok(Self { length, held: head(first)? })
    }
}

/// Waits for a turn, which others have for moments only.
fn wait<'a>(file: &'a File, path: &Path, readers: bool) -> io::Result<Turn<'a>> {
    for _ in 0..TRIES {
        match system::turn(file, path, readers)? {
            Some(turn) => return Ok(turn),
            None => std::thread::sleep(PAUSE),
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "another program has held its lock for ten seconds"))
}

/// A log, open for lines.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
    head: Option<Head>,
    shown: String,
}

/// The end of a log.
struct Tail {
    // Up to here there are whole lines.
    end: u64,
    // So many bytes follow.
    torn: u64,
    last: Option<Newest>,
}

impl Log {
    /// Opens the log at `path`, which is made where there is none, and its head, where one is to be kept.
    ///
    /// # Errors
    /// [`Class::Io`]: either cannot be written, is a link or no plain file.
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
            .help("make room, or name another file; what was done is not recorded")
    }

    fn altered(&self, what: &str) -> Fault {
        Fault::new(Class::Io, format!("audit log {}: {what}", self.shown))
            .help("look at it with `packmule inspect FILE --check`, keep it, and name a new file with --audit")
    }

    fn turn(&self) -> Result<Turn<'_>, Fault> {
        wait(&self.file, &self.path, false).map_err(|error| {
            if error.kind() != io::ErrorKind::ResourceBusy {
                return self.io(&error);
            }
            Fault::new(Class::Lock, format!("audit log {}: {error}", self.shown)).help("look which program holds it")
        })
    }

    fn tail(&self) -> Result<Tail, Fault> {
        let io = |error: io::Error| self.io(&error);
        let length = self.file.metadata().map_err(io)?.len();
        // A whole line, and one that was broken off behind it.
        let from = length.saturating_sub(2 * MAX_LINE as u64);
        let mut bytes = vec![0; usize::try_from(length - from).unwrap_or_default()];
        system::read_exact_at(&self.file, &mut bytes, from).map_err(io)?;
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            // What a killed run left of a first line; any other file is not touched.
            if from == 0 && Line::is_begun(&bytes) {
                return Ok(Tail { end: 0, torn: length, last: None });
            }
            return Err(self.altered("expected lines of an audit log, found another file"));
        };
        let start = bytes[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let last = &bytes[start..=end];
        let line =
            Line::parse(last).ok_or_else(|| self.altered("expected its last line whole, found something else"))?;
        let end = from + end as u64 + 1;
        Ok(Tail { end, torn: length - end, last: Some(Newest::of(line.number, last)) })
    }

    /// Whether the log goes on from what its head says.
    fn follows(&self, tail: &Tail, held: &Held) -> Result<(), Fault> {
        let Newest { digest, number } = held.newest;
        let found = tail.last.map_or(0, |last| last.number);
        if found < number {
            return Err(self
                .altered(&format!("expected {number} lines, as its head says, found {found}: its tail was cut off")));
        }
        let same = match tail.last.filter(|last| last.number == number) {
            Some(last) => last.digest == digest,
            // A run was killed between a line and its head.
            None => self.digest_of(number)? == Some(digest),
        };
        if same {
            return Ok(());
        }
        Err(self.altered(&format!("expected line {number} to be {digest}, as its head says, found another")))
    }

    /// The digest of the line with this number.
    fn digest_of(&self, number: u64) -> Result<Option<Digest>, Fault> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).map_err(|error| self.io(&error))?;
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        for _ in 0..number {
            line.clear();
            let mut one = io::Read::take(&mut lines, MAX_LINE as u64);
            if one.read_until(b'\n', &mut line).map_err(|error| self.io(&error))? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(Digest::sha256(&line)))
    }

    /// Appends a line: it is on the medium, and its head too, when this returns.
    ///
    /// # Errors
    /// [`Class::Io`]: it cannot be written, or the log is not as its head says; [`Class::Lock`].
    pub fn append(&self, at: Moment, entry: Entry) -> Result<Newest, Fault> {
        let _turn = self.turn()?;
        let tail = self.tail()?;
        let held = self.head.as_ref().map(Head::held).transpose().map_err(|error| self.io(&error))?.flatten();
        if let Some(held) = &held {
            self.follows(&tail, held)?;
        }
        // What a killed run left of a line that no head knows.
        if tail.torn > 0 {
            self.file.set_len(tail.end).map_err(|error| self.io(&error))?;
        }
        let mended = Some(tail.torn).filter(|torn| *torn > 0);
        let line = Line::behind(tail.last, at, mended, entry);
        let bytes = line.to_bytes();
        if bytes.len() > MAX_LINE {
            return Err(self.io(&io::Error::other(format!("a line of {} bytes, at most {MAX_LINE}", bytes.len()))));
        }
        let mut file = &self.file;
        let written = file.seek(SeekFrom::Start(tail.end)).and_then(|_| file.write_all(&bytes));
        if let Err(error) = written.and_then(|()| file.sync_all()) {
            // Best effort: the next run takes it away, too.
            let _ = self.file.set_len(tail.end);
            return Err(self.io(&error));
        }
        let newest = Newest::of(line.number, &bytes);
        if let Some(head) = &self.head {
            let first = match held {
                Some(held) => held.first,
                None if line.number == 1 => newest.digest,
                None => self.digest_of(1)?.unwrap_or(newest.digest),
            };
            head.hold(Held { newest, first }).map_err(|error| self.io(&error))?;
        }
        Ok(newest)
    }

    /// The newest line now.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn newest(&self) -> Result<Option<Newest>, Fault> {
        let _turn = self.turn()?;
        Ok(self.tail()?.last)
    }
}

#[cfg(test)]
mod tests;
