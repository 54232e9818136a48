//! The head of a log: number and digest of its newest line, kept in the state, where whoever cuts the log's tail off
//! does not reach (`spec/audit.md`).
//!
//! Two slots in one file, written in turn and in place, so that a run that has given up opening files can still do it;
//! one that was written by half leaves the other. Locks nothing: the log's lock is the lock of its head.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::line::Newest;
use crate::oci::Digest;
use crate::system::{self, Access, Found};

/// The value of `format`.
const FORMAT: &str = "packmule.audit-head.v1";
/// Bytes of a slot.
const SLOT: usize = 512;

/// Members in the order of their names.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    digest: Digest,
    first: Digest,
    format: String,
    number: u64,
}

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The newest line.
    pub newest: Newest,
    /// The digest of the first line: which log it is.
    pub first: Digest,
}

/// A head's file.
#[derive(Debug)]
pub struct Head {
    file: File,
}

/// Where the head of the log at `path`, absolute and without links, lies below `dir`.
pub fn place(dir: &Path, path: &Path) -> PathBuf {
    let name = Digest::sha256(path.as_os_str().as_encoded_bytes()).hex()[..32].to_owned();
    dir.join(format!("{name}.head"))
}

fn checked(file: File) -> io::Result<File> {
    let metadata = file.metadata()?;
    if metadata.is_file() && system::mode(&metadata).is_none_or(|mode| mode & 0o022 == 0) {
        Ok(file)
    } else {
        Err(io::Error::other("expected a plain file that only its owner can write"))
    }
}

impl Head {
    /// Opens the head at `path` for writing; it and its folder are made where they are not there.
    ///
    /// # Errors
    /// The file system's; a file that others can write.
    pub fn open(path: &Path) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        system::make_private_folders(folder)?;
        let (file, _) = system::open_or_create(path, Access::Write, 0o600)?;
        let file = checked(file)?;
        system::sync_folder(folder)?;
        Ok(Self { file })
    }

    /// What the head at `path` says; `None` where there is none.
    ///
    /// # Errors
    /// The file system's; a head that cannot be read.
    pub fn look(path: &Path) -> io::Result<Option<Held>> {
        match system::open_file(path) {
            Ok(file) => Self { file: checked(file)? }.held(),
            Err(unopened) if unopened.found == Found::Nothing => Ok(None),
            Err(unopened) => Err(unopened.error),
        }
    }

    /// The head of the log whose first line has the digest `first`, wherever that log lay, of all in `dir`.
    pub fn find(dir: &Path, first: Digest) -> Option<Held> {
        let entries = std::fs::read_dir(dir).ok()?.flatten();
        let heads = entries.filter_map(|entry| Self::look(&entry.path()).ok().flatten());
        heads.filter(|held| held.first == first).max_by_key(|held| held.newest.number)
    }

    fn slots(&self) -> io::Result<[Option<Record>; 2]> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.take(2 * SLOT as u64 + 1).read_to_end(&mut bytes)?;
        let slot = |at: usize| parse(bytes.get(at * SLOT..(at + 1) * SLOT)?);
        let slots = [slot(0), slot(1)];
        if !bytes.is_empty() && slots.iter().all(Option::is_none) {
            return Err(io::Error::other("expected the head of an audit log, found something else"));
        }
        Ok(slots)
    }

    /// What it says now; `None` for a new one.
    ///
    /// # Errors
    /// The file system's; a file that is no head.
    pub fn held(&self) -> io::Result<Option<Held>> {
        let newest = self.slots()?.into_iter().flatten().max_by_key(|record| record.number);
        Ok(newest.map(|record| Held {
            newest: Newest { digest: record.digest, number: record.number },
            first: record.first,
        }))
    }

    /// Holds this from now on, durably.
    ///
    /// # Errors
    /// The file system's; what was held then still is.
    pub fn hold(&self, held: Held) -> io::Result<()> {
        let slots = self.slots()?;
        let number = |at: usize| slots[at].as_ref().map(|record| record.number);
        let at = usize::from(number(0) > number(1));
        let Held { newest, first } = held;
        let record = Record { digest: newest.digest, first, format: FORMAT.to_owned(), number: newest.number };
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
