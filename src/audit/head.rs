//! The head of a log: number and digest of the newest line that its state wrote, kept in the state, where whoever cuts
//! the log's tail off, or puts one on, does not reach (`spec/audit.md`).
//!
//! Two slots in one file, written in turn and in place, so that a run that has given up opening files can still do it;
//! one that was written by half leaves the other. Locks nothing: the log's lock is the lock of its head.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::line::Newest;
use super::own_file::checked;
use super::state_id::StateId;
use crate::oci::Digest;
use crate::system::{self, Access, Found};

/// The value of `format`.
const FORMAT: &str = "packmule.audit-head.v1";
/// Bytes of a slot.
const SLOT: usize = 512;
/// The file of the state's id, next to the heads.
const ID: &str = "id";
/// The ending of a head's name.
const ENDING: &str = "head";

/// Members in the order of their names.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    digest: Digest,
    first: Digest,
    format: String,
    number: u64,
    state: StateId,
}

/// The content of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The newest line.
    pub newest: Newest,
    /// The digest of the first line: which log it is.
    pub first: Digest,
    /// The state whose line the newest is.
    pub state: StateId,
}

/// A state's knowledge of a log, by which the state's own lines are judged.
#[derive(Clone, Debug)]
pub struct Known {
    /// The id that the state's own lines have.
    pub state: StateId,
    /// The content of its head of the log; `None` where it has written no line there.
    pub held: Option<Held>,
    // What the state holds of logs with this first line: one log has several names where it lies on a medium, or is
    // seen from several mounts.
    others: Vec<Newest>,
}

impl Known {
    fn new(held: Option<Held>, id: Option<StateId>, dir: &Path, first: Option<Digest>) -> Option<Self> {
        let others: Vec<Held> = first.map(|first| all(dir, first)).unwrap_or_default();
        // A log that was moved, or a copy.
        let held = held.or_else(|| others.iter().copied().max_by_key(|held| held.newest.number));
        let state = held.map(|held| held.state).or(id)?;
        Some(Self { state, held, others: others.into_iter().map(|held| held.newest).collect() })
    }

    /// Returns the knowledge that a head alone gives, where nothing else needs to be looked at.
    pub(super) const fn alone(held: Held) -> Self {
        Self { state: held.state, held: Some(held), others: Vec::new() }
    }

    /// Whether a line stands where the state has seen it: it and all before it are known, whoever wrote them.
    pub fn knows(&self, line: Newest) -> bool {
        self.held.is_some_and(|held| held.newest == line) || self.others.contains(&line)
    }
}

/// A head's file.
#[derive(Debug)]
pub struct Head {
    file: File,
    dir: PathBuf,
    state: StateId,
}

/// Where the head of the log at `path`, absolute and without links, lies below `dir`.
pub fn place(dir: &Path, path: &Path) -> PathBuf {
    let name = Digest::sha256(path.as_os_str().as_encoded_bytes()).hex()[..32].to_owned();
    dir.join(format!("{name}.{ENDING}"))
}

impl Head {
    /// Opens the head at `path` for writing, and the state's id next to it; they and their folder are made where they are
    /// not there.
    ///
    /// # Errors
    /// The file system's; a file that others can write, or that holds something else.
    pub fn open(path: &Path) -> io::Result<Self> {
        let dir = folder(path);
        system::make_private_folders(dir)?;
        let (file, _) = system::open_or_create(path, Access::Write, 0o600)?;
        let file = checked(file)?;
        let state = StateId::open(&dir.join(ID))?;
        system::sync_folder(dir)?;
        Ok(Self { file, dir: dir.to_owned(), state })
    }

    /// Returns what the state with the head at `path` knows of the log whose first line has the digest `first`; `None` where it
    /// has no id yet. Nothing is made.
    ///
    /// # Errors
    /// The file system's; a head that cannot be read.
    pub fn look(path: &Path, first: Option<Digest>) -> io::Result<Option<Known>> {
        let dir = folder(path);
        Ok(Known::new(look(path)?, StateId::look(&dir.join(ID))?, dir, first))
    }

    /// The state that it belongs to.
    pub const fn state(&self) -> StateId {
        self.state
    }

    /// Returns its content; `None` for a new one.
    ///
    /// # Errors
    /// The file system's; a file that is no head.
    pub fn held(&self) -> io::Result<Option<Held>> {
        Ok(held(&slots(&self.file)?))
    }

    /// Returns what its state knows of the log whose first line has the digest `first`.
    ///
    /// # Errors
    /// Those of [`Head::held`].
    pub fn known(&self, first: Option<Digest>) -> io::Result<Known> {
        let held = self.held()?;
        let alone = Known { state: self.state, held: None, others: Vec::new() };
        Ok(Known::new(held, Some(self.state), &self.dir, first).unwrap_or(alone))
    }

    /// Holds this from now on, durably.
    ///
    /// # Errors
    /// The file system's; what was held then still is.
    pub fn hold(&self, held: Held) -> io::Result<()> {
        let slots = slots(&self.file)?;
        let number = |at: usize| slots[at].as_ref().map(|record| record.number);
        let at = usize::from(number(0) > number(1));
        let Held { newest: Newest { digest, number }, first, state } = held;
        let record = Record { digest, first, format: FORMAT.to_owned(), number, state };
        let mut file = &self.file;
        if slots.iter().any(Option::is_some) {
            file.seek(SeekFrom::Start(at as u64 * SLOT as u64))?;
            file.write_all(&render(&record))?;
        } else {
            // The other one is blank.
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&[render(&record), vec![b' '; SLOT]].concat())?;
        }
        file.sync_all()
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Returns the content of the head at `path`; `None` where there is none.
fn look(path: &Path) -> io::Result<Option<Held>> {
    match system::open_file(path) {
        Ok(file) => Ok(held(&slots(&checked(file)?)?)),
        Err(unopened) if unopened.found == Found::Nothing => Ok(None),
        Err(unopened) => Err(unopened.error),
    }
}

/// Returns the content of all heads in `dir` of logs whose first line has the digest `first`, wherever these lay.
fn all(dir: &Path, first: Digest) -> Vec<Held> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == ENDING));
    let heads = paths.filter_map(|path| look(&path).ok().flatten());
    heads.filter(|held| held.first == first).collect()
}

fn slots(mut file: &File) -> io::Result<[Option<Record>; 2]> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(2 * SLOT as u64 + 1).read_to_end(&mut bytes)?;
    let slot = |at: usize| parse(bytes.get(at * SLOT..(at + 1) * SLOT)?);
    let slots = [slot(0), slot(1)];
    if !bytes.is_empty() && slots.iter().all(Option::is_none) {
        return Err(io::Error::other("expected the head of an audit log, found something else"));
    }
    Ok(slots)
}

/// The newest of the slots.
fn held(slots: &[Option<Record>; 2]) -> Option<Held> {
    let newest = slots.iter().flatten().max_by_key(|record| record.number);
    newest.map(|record| Held {
        newest: Newest { digest: record.digest, number: record.number },
        first: record.first,
        state: record.state,
    })
}

/// A record, its digest and blanks up to the slot's end.
fn render(record: &Record) -> Vec<u8> {
    // Serialising cannot fail: every key is a string and writing goes to memory.
    let text = serde_json::to_vec(record).unwrap_or_default();
    let mut slot = [&text[..], b"\n", Digest::sha256(&text).hex().as_bytes(), b"\n"].concat();
    slot.resize(SLOT - 1, b' ');
    slot.push(b'\n');
    slot
}

fn parse(slot: &[u8]) -> Option<Record> {
    let end = slot.iter().position(|byte| *byte == b'\n')?;
    let record: Record = serde_json::from_slice(&slot[..end]).ok()?;
    (record.format == FORMAT && render(&record) == slot).then_some(record)
}
