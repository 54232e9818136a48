//! An OCI image layout in a directory: a source, and a destination (image-spec 1.1, `image-layout.md`).
//!
//! Reads are plain file reads, never a mapping: a failing medium is an error, not a signal. Links below
//! the directory are not followed. Nothing gets a digest's name that is not complete, checked and
//! durable, and `index.json` changes at the end, atomically.

mod destination;
mod disk;
mod index;
mod missing;
mod source;

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::FlockOperation;

use crate::base::fault::{Class, Fault};
use crate::content::{Error, Kind};
use crate::flow::{Cancelled, Flow};
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Descriptor, Digest, Document, Reference, Repository, Tag};

use self::disk::{Disk, Partial, Stamp};
use self::index::Index;
pub use self::missing::Nothing;

const MARKER: &str = "oci-layout";
const MARKER_CONTENT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX: &str = "index.json";
const MAX_MARKER: u64 = 64 << 10;
/// The largest `index.json`, in bytes.
pub const MAX_INDEX: u64 = 64 << 20;

/// One descriptor of `index.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The descriptor.
    pub descriptor: Descriptor,
    /// What it is called: `io.containerd.image.name` and `org.opencontainers.image.ref.name` as
    /// references, a mere tag as `localhost/DIR:TAG`. Empty where it has no usable name ([`Layout::odd_names`]).
    pub names: Vec<Reference>,
    // As they stand in the file.
    raw: Vec<String>,
}

/// A layout, open for reading, or also for writing.
pub struct Layout {
    path: PathBuf,
    disk: Disk,
    repository: Repository,
    entries: Vec<Entry>,
    found: Found,
    referrers: OnceLock<HashMap<Digest, Vec<Descriptor>>>,
    writer: Option<Writer>,
    // Once it is set, what takes long ends.
    cancel: Arc<AtomicBool>,
}

/// Where in `entries` something stands, in their order.
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
    /// A name; `is_new`: unless it stands for something else.
    Name { name: String, document: Document, is_new: bool },
    /// An entry without a name.
    Plain(Document),
}

struct Writer {
    // Held as long as the layout is open for writing.
    _lock: File,
    // As it will be written.
    index: Mutex<Index>,
    // What this run does to it: other programs may write it meanwhile, and know no lock.
    changes: Mutex<Vec<Change>>,
    // Small blobs, written but not yet durable, in the order they were put.
    waiting: Mutex<Vec<(Digest, u64, Partial)>>,
    // What `index.json` said when it was last read back, and of which file that was.
    read_back: Mutex<Option<(Stamp, Arc<Index>)>>,
}

impl Layout {
    /// Opens a layout for reading.
    ///
    /// # Errors
    /// [`Class::Source`] when the directory is not there, [`Class::Format`] when it is not a layout,
    /// [`Class::Io`] when it cannot be read.
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
            .map_err(|error| malformed(path, INDEX, &error.to_string()))?
            .ok_or_else(|| malformed(path, INDEX, "not found").help("write the layout again: it was not finished"))?;
        let index = Index::parse(&bytes).map_err(|error| malformed(path, INDEX, &error))?;
        Self::build(path, disk, &index)
    }

    /// Opens a layout for writing too, and makes it where `path` is not there or empty. It is locked
    /// against other writers until it is dropped; what an interrupted run left half-done is removed.
    ///
    /// # Errors
    /// [`Class::Usage`] when the directory holds something else, [`Class::Lock`] when another run
    /// writes to it, [`Class::Format`] and [`Class::Io`] as [`Layout::open`].
    pub fn create(path: &Path) -> Result<Self, Fault> {
        let io = |error: std::io::Error| Fault::new(Class::Io, format!("layout {}: {error}", path.display()));
        crate::system::make_folders(path).map_err(io)?;
        let disk = Disk::open(path).map_err(io)?;
        if !Self::is_there(path, &disk)? {
            // Two runs that begin one layout lock one file.
            disk.begin(MARKER, MARKER_CONTENT).map_err(io)?;
        }
        let lock = disk.top(MARKER).map_err(io)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            if error == rustix::io::Errno::WOULDBLOCK {
                Fault::new(Class::Lock, format!("layout {}: another run writes to it", path.display()))
                    .help("wait for it to end")
            } else {
                io(error.into())
            }
        })?;
        disk.sweep().map_err(io)?;
        let index = Self::index_or_new(path, &disk)?;
        let mut layout = Self::build(path, disk, &index)?;
        layout.writer = Some(Writer {
            _lock: lock,
            index: Mutex::new(index),
            changes: Mutex::default(),
            waiting: Mutex::default(),
            read_back: Mutex::default(),
        });
        Ok(layout)
    }

    /// What [`Layout::create`] would find, opened for reading, without a lock; `None` where it would begin a layout.
    ///
    /// # Errors
    /// As [`Layout::create`], but for the lock.
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

    /// Whether a layout was begun there; anything else than one, or nothing, is refused.
    fn is_there(path: &Path, disk: &Disk) -> Result<bool, Fault> {
        if Self::is_marked(path, disk)? {
            return Ok(true);
        }
        let is_empty =
            disk.is_empty().map_err(|error| Fault::new(Class::Io, format!("layout {}: {error}", path.display())))?;
        if is_empty {
            return Ok(false);
        }
        let what = format!("directory {}: expected an OCI layout or nothing, found other files", path.display());
        Err(Fault::usage(what, "name a new directory"))
    }

    /// The index; a new one where a run was interrupted before its first.
    fn index_or_new(path: &Path, disk: &Disk) -> Result<Index, Fault> {
        match disk.read(INDEX, MAX_INDEX).map_err(|error| malformed(path, INDEX, &error.to_string()))? {
            Some(bytes) => Index::parse(&bytes).map_err(|error| malformed(path, INDEX, &error)),
            None => Ok(Index::new()),
        }
    }

    fn is_marked(path: &Path, disk: &Disk) -> Result<bool, Fault> {
        let read = disk.read(MARKER, MAX_MARKER).map_err(|error| malformed(path, MARKER, &error.to_string()))?;
        let Some(bytes) = read else { return Ok(false) };
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| malformed(path, MARKER, &error.to_string()))?;
        match value.get("imageLayoutVersion").and_then(serde_json::Value::as_str) {
            Some("1.0.0") => Ok(true),
            found => {
                let found = found.unwrap_or("none");
                let detail = format!("expected imageLayoutVersion 1.0.0, found {found:?}");
                Err(malformed(path, MARKER, &detail))
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
        let entries = entries
            .into_iter()
            .map(|(descriptor, raw)| Entry { descriptor, names: index::references(&raw, &repository), raw })
            .collect();
        let path = path.to_owned();
        let entries: Vec<Entry> = entries;
        let (found, cancel) = (Found::of(&entries), Arc::default());
        Ok(Self { path, disk, repository, entries, found, referrers: OnceLock::new(), writer: None, cancel })
    }

    /// Ends what takes long once `flow` is cancelled.
    #[must_use]
    pub fn in_flow(mut self, flow: &Flow) -> Self {
        self.cancel = flow.cancel_flag();
        self
    }

    fn check(&self) -> Result<(), Error> {
        if self.cancel.load(Ordering::Relaxed) { Err(Cancelled.into()) } else { Ok(()) }
    }

    /// The entries of `index.json` as it was when the layout was opened, in its order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The names of all entries that are neither tag nor reference, each with what it stands for. An artifact has no such
    /// name elsewhere.
    pub fn odd_names(&self) -> impl Iterator<Item = (&str, Digest)> {
        let names = self.entries.iter().flat_map(|entry| entry.raw.iter().map(|raw| (&**raw, entry.descriptor.digest)));
        names.filter(|(raw, _)| !index::is_name(raw))
    }

    /// `localhost/DIR`: the repository of mere tags and of entries without a name.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The entry that `name` (what stands behind `oci:DIR:`) means: a name as it stands in the file, a
    /// reference, a tag, or a digest. Without a name: the only entry.
    ///
    /// # Errors
    /// [`Kind::Absent`] when there is none, [`Kind::Refused`] when two differ.
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
            Error::new(
                Kind::Absent,
                format!("layout {path}: expected {}, found none", crate::base::fault::escape(name)),
            )
        })?;
        match found.find(|other| other.descriptor.digest != first.descriptor.digest) {
            None => Ok(first),
            Some(other) => {
                let (one, two) = (first.descriptor.digest, other.descriptor.digest);
                let what = format!(
                    "layout {path}: expected one entry for {}, found {one} and {two}",
                    crate::base::fault::escape(name)
                );
                Err(Error::new(Kind::Refused, what).help("name it by its digest"))
            }
        }
    }
}

fn malformed(path: &Path, file: &str, detail: &str) -> Fault {
    Fault::new(Class::Format, format!("layout {}: {file}: {}", path.display(), crate::base::fault::escape(detail)))
}

/// `localhost/` and the directory's name, made a path component.
fn local_repository(path: &Path) -> Repository {
    let own = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = own.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let words: String = name
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() || character == '.' { character } else { '-' })
        .collect();
    let named = Repository::new("localhost", words.trim_matches(['-', '.']));
    // The fallback is a good name; the first attempt fails for names like "a..b" or "---".
    named.unwrap_or_else(|_| fallback())
}

fn fallback() -> Repository {
    #[allow(clippy::expect_used, reason = "a constant that the grammar takes")]
    Repository::new("localhost", "layout").expect("a good name")
}

#[cfg(test)]
mod tests;
