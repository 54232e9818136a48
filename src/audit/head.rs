//! The head of a log: number and digest of the newest line that a state wrote, stored in the state.
//! An attacker who removes lines from the end of the log, or adds some, cannot reach it there
//! (`spec/audit.md`).
//!
//! There are two slots in one file, written alternately and in place, so that a process that can no
//! longer open files can still write them. If one is only partly written, the other is still valid.
//! This module does no locking: the log's lock also covers its head.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::line::Newest;
use super::own_file::checked;
use super::state_id::StateId;
use crate::oci::Digest;
use crate::system::{self, Access, Found};

/// Value of `format`.
const FORMAT: &str = "packmule.audit-head.v1";
/// Size of a slot in bytes.
const SLOT: usize = 512;
/// Name of the file with the state's id, next to the heads.
const ID: &str = "id";
/// File extension of heads.
const ENDING: &str = "head";

/// Content of a slot. Members in the order of their names.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    digest: Digest,
    first: Digest,
    format: String,
    number: u64,
    state: StateId,
}

/// Content of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Newest line.
    pub newest: Newest,
    /// Digest of the first line, which identifies the log.
    pub first: Digest,
    /// State that wrote the newest line.
    pub state: StateId,
}

/// A state's knowledge of a log, used to check the state's own lines.
#[derive(Clone, Debug)]
pub struct Known {
    /// Id in the state's own lines.
    pub state: StateId,
    /// Content of the state's head of the log, or `None` if the state has written no line to it.
    pub held: Option<Held>,
    // All newest lines that the state knows of logs with this first line. One log may have several
    // paths, for example on a removable medium or under several mounts.
    others: Vec<Newest>,
}

impl Known {
    fn new(held: Option<Held>, id: Option<StateId>, dir: &Path, first: Option<Digest>) -> Option<Self> {
        let others: Vec<Held> = first.map(|first| all(dir, first)).unwrap_or_default();
        // The log was moved, or is a copy.
        let held = held.or_else(|| others.iter().copied().max_by_key(|held| held.newest.number));
        let state = held.map(|held| held.state).or(id)?;
        Some(Self { state, held, others: others.into_iter().map(|held| held.newest).collect() })
    }

    /// Creates the knowledge from a head alone, when nothing else is needed.
    pub(super) const fn alone(held: Held) -> Self {
        Self { state: held.state, held: Some(held), others: Vec::new() }
    }

    /// Whether the state has seen this line at this place. Then this line and all before it are
    /// known, whoever wrote them.
    pub fn knows(&self, line: Newest) -> bool {
        self.held.is_some_and(|held| held.newest == line) || self.others.contains(&line)
    }
}

/// The file of a head.
#[derive(Debug)]
pub struct Head {
    file: File,
    dir: PathBuf,
    state: StateId,
}

/// Returns the path below `dir` of the head of the log at `path`, which must be absolute and
/// without links.
pub fn place(dir: &Path, path: &Path) -> PathBuf {
    let name = Digest::sha256(path.as_os_str().as_encoded_bytes()).hex()[..32].to_owned();
    dir.join(format!("{name}.{ENDING}"))
}

impl Head {
    /// Opens the head at `path` for writing, and the state's id next to it. Creates them and their
    /// folder if they do not exist.
    ///
    /// # Errors
    /// Errors of the file system; files that others can write, or with other content.
    pub fn open(path: &Path) -> io::Result<Self> {
        let dir = folder(path);
        system::make_private_folders(dir)?;
        let (file, _) = system::open_or_create(path, Access::Write, 0o600)?;
        let file = checked(file)?;
        let state = StateId::open(&dir.join(ID))?;
        system::sync_folder(dir)?;
        Ok(Self { file, dir: dir.to_owned(), state })
    }

    /// Returns the knowledge that the state with the head at `path` has of the log whose first line
    /// has the digest `first`. Returns `None` if the state has no id yet. Creates nothing.
    ///
    /// # Errors
    /// Errors of the file system; a head that cannot be read.
    pub fn look(path: &Path, first: Option<Digest>) -> io::Result<Option<Known>> {
        let dir = folder(path);
        Ok(Known::new(look(path)?, StateId::look(&dir.join(ID))?, dir, first))
    }

    /// Returns the state that the head belongs to.
    pub const fn state(&self) -> StateId {
        self.state
    }

    /// Returns the content, or `None` for a new head.
    ///
    /// # Errors
    /// Errors of the file system; a file that is not a head.
    pub fn held(&self) -> io::Result<Option<Held>> {
        Ok(held(&slots(&self.file)?))
    }

    /// Returns the state's knowledge of the log whose first line has the digest `first`.
    ///
    /// # Errors
    /// Those of [`Head::held`].
    pub fn known(&self, first: Option<Digest>) -> io::Result<Known> {
        let held = self.held()?;
        let alone = Known { state: self.state, held: None, others: Vec::new() };
        Ok(Known::new(held, Some(self.state), &self.dir, first).unwrap_or(alone))
    }

    /// Stores `held`, durably.
    ///
    /// # Errors
    /// Errors of the file system. The previous content is then preserved.
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
            // The other slot is blank.
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&[render(&record), vec![b' '; SLOT]].concat())?;
        }
        file.sync_all()
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Returns the content of the head at `path`, or `None` if it does not exist.
fn look(path: &Path) -> io::Result<Option<Held>> {
    match system::open_file(path) {
        Ok(file) => Ok(held(&slots(&checked(file)?)?)),
        Err(unopened) if unopened.found == Found::Nothing => Ok(None),
        Err(unopened) => Err(unopened.error),
    }
}

/// Returns the content of all heads in `dir` of logs whose first line has the digest `first`, at
/// any path.
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

/// Returns the newer of the two slots.
fn held(slots: &[Option<Record>; 2]) -> Option<Held> {
    let newest = slots.iter().flatten().max_by_key(|record| record.number);
    newest.map(|record| Held {
        newest: Newest { digest: record.digest, number: record.number },
        first: record.first,
        state: record.state,
    })
}

/// Formats a record, followed by its digest and blanks up to the size of a slot.
fn render(record: &Record) -> Vec<u8> {
    // Serializing cannot fail: every key is a string and the output goes to memory.
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
