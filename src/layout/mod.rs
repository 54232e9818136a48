//! An OCI image layout in a directory, as a source and a destination (image-spec 1.1,
//! `image-layout.md`).
//!
//! Uses plain reads, never a memory mapping, so that a failing medium gives an error and not a
//! signal. Does not follow links below the directory. A file gets the name of a digest only when it
//! is complete, checked and durable. `index.json` is replaced at the end, atomically.

mod attached;
mod cache;
mod destination;
mod disk;
mod entry;
mod holdings;
mod index;
mod missing;
mod relate;
mod relations;
mod source;

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::FlockOperation;

use crate::base::fault::{Class, Description, Fault, differs};
use crate::content::{Error, Kind};
use crate::flow::Flow;
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Digest, Document, Reference, Repository, Tag};

pub use self::cache::{CacheLayout, Incoming, Named};
use self::disk::{Disk, Partial, Stamp};
pub use self::entry::{Entry, Standing};
use self::index::Index;
pub use self::missing::Nothing;
use self::relations::Relations;

const MARKER: &str = "oci-layout";
const MARKER_CONTENT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX: &str = "index.json";
const MAX_MARKER: u64 = 64 << 10;
/// Maximum size of `index.json`, in bytes.
pub const MAX_INDEX: u64 = 64 << 20;

/// A layout that is open for reading, or for reading and writing.
pub struct Layout {
    path: PathBuf,
    disk: Disk,
    repository: Repository,
    entries: Vec<Entry>,
    found: Found,
    relations: OnceLock<Relations>,
    // Locked while a thread reads the relations.
    relating: Mutex<()>,
    writer: Option<Writer>,
    // Ends long operations and takes warnings.
    flow: Option<Flow>,
}

/// Positions in `entries` by name, digest and so on, in order.
#[derive(Default)]
struct Found {
    raw: HashMap<String, Vec<usize>>,
    references: HashMap<Reference, Vec<usize>>,
    digests: HashMap<Digest, Vec<usize>>,
    tags: HashMap<Repository, BTreeSet<Tag>>,
}

impl Found {
    fn of(entries: &[Entry]) -> Self {
        let mut found = Self::default();
        for (place, entry) in entries.iter().enumerate() {
            for raw in &entry.raw {
                found.raw.entry(raw.clone()).or_default().push(place);
            }
            for reference in &entry.names {
                found.references.entry(reference.clone()).or_default().push(place);
                if let Some(tag) = &reference.tag {
                    found.tags.entry(reference.repository.clone()).or_default().insert(tag.clone());
                }
            }
            found.digests.entry(entry.descriptor.digest).or_default().push(place);
        }
        found
    }
}

/// One change of the index.
enum Change {
    /// Sets a name. If `is_new`, fails when the name stands for something else.
    Name { name: String, document: Document, is_new: bool },
    /// Adds an entry without a name.
    Plain(Document),
}

struct Writer {
    // Held while the layout is open for writing.
    lock: File,
    // The index that will be written.
    index: Mutex<Index>,
    // Changes by this run. Other programs may write the file in the meantime without taking the
    // lock.
    changes: Mutex<Vec<Change>>,
    // Small blobs that are written but not yet durable, in the order in which they were put.
    waiting: Mutex<Vec<(Digest, u64, Partial)>>,
    // Last content of `index.json` that was read back, with the stamp of that file.
    read_back: Mutex<Option<(Stamp, Arc<Index>)>>,
}

impl Layout {
    /// Opens a layout for reading.
    ///
    /// # Errors
    /// [`Class::Source`] if the directory does not exist, [`Class::Format`] if it is not a layout,
    /// [`Class::Io`] if it cannot be read.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let disk = Disk::open(path).map_err(|error| {
            let class = if error.kind() == std::io::ErrorKind::NotFound { Class::Source } else { Class::Io };
            Fault::new(class, format!("layout {}: {error}", path.display())).help("name a directory with an OCI layout")
        })?;
        if !Self::is_marked(path, &disk)? {
            return Err(malformed(path, MARKER, "not found").help("name a directory with an OCI layout"));
        }
        let bytes = disk
            .read(INDEX, MAX_INDEX)
            .map_err(|error| malformed(path, INDEX, error.to_string()))?
            .ok_or_else(|| malformed(path, INDEX, "not found").help("write the layout again: it was not finished"))?;
        let index = Index::parse(&bytes).map_err(|error| malformed(path, INDEX, &error))?;
        Self::build(path, disk, &index)
    }

    /// Opens a layout for reading and writing, and creates it if `path` does not exist or is empty.
    /// Locks it against other writers until it is dropped, and removes unfinished files of an
    /// interrupted run.
    ///
    /// # Errors
    /// [`Class::Usage`] if the directory contains something else, [`Class::Lock`] if another run
    /// writes to it, [`Class::Format`] and [`Class::Io`] as for [`Layout::open`].
    pub fn create(path: &Path) -> Result<Self, Fault> {
        let io = |error: std::io::Error| Fault::new(Class::Io, format!("layout {}: {error}", path.display()));
        crate::system::make_folders(path).map_err(io)?;
        let disk = Disk::open(path).map_err(io)?;
        if !Self::is_there(path, &disk)? {
            // Two runs that create the same layout must lock the same file.
            disk.begin(MARKER, MARKER_CONTENT).map_err(io)?;
        }
        let lock = disk.top(MARKER).map_err(io)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            if error == rustix::io::Errno::WOULDBLOCK {
                Fault::new(Class::Lock, format!("layout {}: another run is writing to it", path.display()))
                    .help("wait for it to end")
            } else {
                io(error.into())
            }
        })?;
        disk.sweep().map_err(io)?;
        let index = Self::index_or_new(path, &disk)?;
        let mut layout = Self::build(path, disk, &index)?;
        layout.writer = Some(Writer {
            lock,
            index: Mutex::new(index),
            changes: Mutex::default(),
            waiting: Mutex::default(),
            read_back: Mutex::default(),
        });
        Ok(layout)
    }

    /// Opens the layout that [`Layout::create`] would find, for reading and without a lock. `None`
    /// if it would create a new layout.
    ///
    /// # Errors
    /// As [`Layout::create`], except for the lock.
    pub fn look(path: &Path) -> Result<Option<Self>, Fault> {
        let io = |error: std::io::Error| Fault::new(Class::Io, format!("layout {}: {error}", path.display()));
        let disk = match Disk::open(path) {
            Ok(disk) => disk,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        if !Self::is_there(path, &disk)? {
            return Ok(None);
        }
        let index = Self::index_or_new(path, &disk)?;
        Self::build(path, disk, &index).map(Some)
    }

    /// Reports whether a layout exists there. Returns an error if the directory has other content.
    fn is_there(path: &Path, disk: &Disk) -> Result<bool, Fault> {
        if Self::is_marked(path, disk)? {
            return Ok(true);
        }
        let is_empty =
            disk.is_empty().map_err(|error| Fault::new(Class::Io, format!("layout {}: {error}", path.display())))?;
        if is_empty {
            return Ok(false);
        }
        let what =
            differs(format_args!("directory {}", path.display()), "an OCI layout or an empty directory", "other files");
        Err(Fault::usage(what, "name a new directory"))
    }

    /// Reads the index, or makes a new one if a run was interrupted before writing it.
    fn index_or_new(path: &Path, disk: &Disk) -> Result<Index, Fault> {
        match disk.read(INDEX, MAX_INDEX).map_err(|error| malformed(path, INDEX, error.to_string()))? {
            Some(bytes) => Index::parse(&bytes).map_err(|error| malformed(path, INDEX, &error)),
            None => Ok(Index::new()),
        }
    }

    fn is_marked(path: &Path, disk: &Disk) -> Result<bool, Fault> {
        let read = disk.read(MARKER, MAX_MARKER).map_err(|error| malformed(path, MARKER, error.to_string()))?;
        let Some(bytes) = read else { return Ok(false) };
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| malformed(path, MARKER, error.to_string()))?;
        match value.get("imageLayoutVersion").and_then(serde_json::Value::as_str) {
            Some("1.0.0") => Ok(true),
            found => {
                let found = found.unwrap_or("none");
                let detail = differs("", "imageLayoutVersion 1.0.0", format_args!("{found:?}"));
                Err(malformed(path, MARKER, detail))
            }
        }
    }

    fn build(path: &Path, disk: Disk, index: &Index) -> Result<Self, Fault> {
        let repository = local_repository(path);
        let sniff = |digest: &str| {
            let (file, _) = disk.blob(digest.parse().ok()?).ok()??;
            let mut bytes = Vec::new();
            file.take(MAX_DOCUMENT).read_to_end(&mut bytes).ok()?;
            Document::sniff(&bytes)
        };
        let entries = index.entries(sniff).map_err(|error| malformed(path, INDEX, &error))?;
        let (mut made, mut kinds) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
        for index::Raw { descriptor, names: raw, kind } in entries {
            let names = index::references(&raw, &repository);
            made.push(Entry { descriptor, names, standing: Standing::Own, raw });
            kinds.push(kind);
        }
        attached::attach(&mut made, &kinds, &repository);
        Ok(Self {
            path: path.to_owned(),
            disk,
            repository,
            found: Found::of(&made),
            entries: made,
            relations: OnceLock::new(),
            relating: Mutex::default(),
            writer: None,
            flow: None,
        })
    }

    /// Makes long operations end once `flow` is cancelled, and sends warnings to it.
    #[must_use]
    pub fn in_flow(mut self, flow: &Flow) -> Self {
        self.flow = Some(flow.clone());
        self
    }

    fn check(&self) -> Result<(), Error> {
        self.flow.as_ref().map_or(Ok(()), |flow| Ok(flow.check()?))
    }

    /// Returns the entries of `index.json`, as of the opening of the layout and in its order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns all names of entries that are neither a tag nor a reference, with their digests. An
    /// artifact cannot have such a name elsewhere.
    pub fn odd_names(&self) -> impl Iterator<Item = (&str, Digest)> {
        let names = self.entries.iter().flat_map(|entry| entry.raw.iter().map(|raw| (&**raw, entry.descriptor.digest)));
        names.filter(|(raw, _)| !index::is_name(raw))
    }

    /// Returns `localhost/DIR`, the repository of plain tags and of entries without a name.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Finds the entry for `name` (the text after `oci:DIR:`): a name as written in the file, a
    /// reference, a tag, or a digest. Without a name, returns the only entry.
    ///
    /// # Errors
    /// [`Kind::Absent`] if there is none, [`Kind::Refused`] if two entries with different digests
    /// match.
    pub fn find(&self, name: Option<&str>) -> Result<&Entry, Error> {
        let reference = name.and_then(|name| name.parse::<Reference>().ok());
        let digest = name.and_then(|name| name.parse::<Digest>().ok());
        let Some(name) = name else { return self.one_of(self.entries.iter(), "an entry") };
        let raw = self.found.raw.get(name);
        let digests = digest.and_then(|digest| self.found.digests.get(&digest));
        let references = reference.and_then(|reference| self.found.references.get(&reference));
        let places: BTreeSet<usize> = [raw, digests, references].into_iter().flatten().flatten().copied().collect();
        self.one_of(places.into_iter().map(|place| &self.entries[place]), name)
    }

    fn one_of<'a>(&self, found: impl Iterator<Item = &'a Entry>, name: &str) -> Result<&'a Entry, Error> {
        let mut found = found.peekable();
        let path = self.path.display();
        let first = found.next().ok_or_else(|| {
            Error::new(Kind::Absent, differs(format_args!("layout {path}"), crate::base::fault::escape(name), "none"))
        })?;
        match found.find(|other| other.descriptor.digest != first.descriptor.digest) {
            None => Ok(first),
            Some(other) => {
                let (one, two) = (first.descriptor.digest, other.descriptor.digest);
                let what = differs(
                    format_args!("layout {path}"),
                    format_args!("one entry for {}", crate::base::fault::escape(name)),
                    format_args!("{one} and {two}"),
                );
                Err(Error::new(Kind::Refused, what).help("name it by its digest"))
            }
        }
    }
}

fn malformed(path: &Path, file: &str, detail: impl Into<Description>) -> Fault {
    let fault = Fault::new(Class::Format, detail).map_texts(&|text| crate::base::fault::escape(&text));
    fault.within(format_args!("layout {}: {file}", path.display()))
}

/// Returns the repository `localhost/NAME`, with NAME made from the directory's name.
fn local_repository(path: &Path) -> Repository {
    let own = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = own.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    crate::content::made::local_repository(&name).unwrap_or_else(fallback)
}

fn fallback() -> Repository {
    #[allow(clippy::expect_used, reason = "a constant that matches the grammar")]
    Repository::new("localhost", "layout").expect("a good name")
}

#[cfg(test)]
mod tests;
