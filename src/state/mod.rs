//! State per channel: the last accepted bundle, and the last export (`spec/state.md`).
//!
//! [`order`] decides based on values, [`Store`] stores them, and [`series`] is the exporter's side.
//! A record is replaced completely or not at all, under a lock. Bundle formats are unknown here: a
//! record holds names, numbers and ids.

pub mod destination;
pub mod order;
mod record;
#[cfg(feature = "online")]
pub mod runs;
pub mod series;
pub mod tags;
#[cfg(feature = "online")]
pub mod watched;

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

pub use self::order::{Asked, Candidate, Found, Position, Step};
use self::record::Record;
pub use self::series::Series;
pub use self::tags::Tags;
use crate::base::fault::{Class, Fault, escape, expects};
use crate::oci::Digest;
use crate::system::{self, Found as Seen};

/// Largest record in bytes.
const MAX_RECORD: u64 = 64 << 10;
/// Largest file of tags in bytes.
const MAX_TAGS: u64 = 64 << 20;
/// End of the name of a file of tags, which is no record.
const TAGS: &str = "tags";

/// A directory with states.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
    machine: String,
}

/// The lock on one (channel, destination), held by this run.
#[derive(Debug)]
pub struct Seat {
    path: PathBuf,
    folder: PathBuf,
    channel: String,
    destination: String,
    machine: String,
    _lock: Lock,
}

#[derive(Debug)]
struct Lock(#[allow(dead_code, reason = "the lock ends when it is dropped")] system::Lock);

fn io_fault(path: &Path, error: &io::Error) -> Fault {
    Fault::new(Class::Io, format!("state {}: {error}", escape(&path.to_string_lossy())))
        .help("choose a directory that you can write to with --state")
}

impl Store {
    /// Creates a store in `dir`, which need not exist. `machine` identifies this machine: a record
    /// made on another machine does not count as a state here. If it is empty, the machine is
    /// unknown.
    pub const fn new(dir: PathBuf, machine: String) -> Self {
        Self { dir, machine }
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn folder(&self, channel: &str) -> PathBuf {
        self.dir.join("import").join(channel)
    }

    /// Locks (channel, destination) against other runs until the seat is dropped.
    ///
    /// # Errors
    /// [`Class::Lock`] if another run holds it, [`Class::Io`] if the directory cannot be written.
    pub fn take(&self, channel: &str, destination: &str) -> Result<Seat, Fault> {
        let folder = self.folder(channel);
        system::make_private_folders(&folder).map_err(|error| io_fault(&folder, &error))?;
        if destination.chars().any(char::is_control) {
            let what = expects(format_args!("state: {}", escape(destination)), "a name without control characters");
            return Err(Fault::new(Class::Usage, what).help("choose a directory of another name"));
        }
        let stem = stem(destination);
        let what = format!("channel {channel} into {}: another run works on it", escape(destination));
        let lock = Lock::take(&folder.join(format!("{stem}.lock")), &what)?;
        Ok(Seat {
            path: folder.join(format!("{stem}.json")),
            folder,
            channel: channel.to_owned(),
            destination: destination.to_owned(),
            machine: self.machine.clone(),
            _lock: lock,
        })
    }

    /// Returns the state of (channel, destination) without locking it.
    pub fn look(&self, channel: &str, destination: &str) -> Found {
        found(&spelled(&self.folder(channel), channel, destination), channel, &self.machine)
    }

    /// Returns the tags of (channel, destination) without locking them: see [`Seat::tags`].
    pub fn tags(&self, channel: &str, destination: &str, takes_over: bool) -> (Tags, Option<String>) {
        tags_of(&self.folder(channel), channel, destination, &self.machine, takes_over)
    }

    /// Returns the highest version of a policy that admitted a bundle of the channel. With
    /// `destination`, counts records for it from any machine; otherwise this machine's records for
    /// all destinations. Returns 0 if no record has a version.
    pub fn policy(&self, channel: &str, destination: Option<&str>) -> u64 {
        let counts = |record: &Record| match destination {
            Some(destination) => destination::normal(&record.destination) == destination,
            None => record.machine == self.machine,
        };
        let counted = records(&self.folder(channel), channel).filter(counts);
        counted.map(|record| record.policy()).max().unwrap_or(0)
    }

    /// Returns the positions of the channel at other destinations in the registry of `destination`,
    /// according to this machine's records.
    pub fn beside(&self, channel: &str, destination: &str) -> Vec<(String, Position)> {
        let Some(host) = destination::registry(destination) else { return Vec::new() };
        let is_there = |record: &Record| {
            let one = destination::normal(&record.destination);
            record.machine == self.machine && one != destination && destination::registry(&one) == Some(host)
        };
        let mut beside: Vec<_> = (records(&self.folder(channel), channel).filter(is_there))
            .map(|record| (record.destination.clone(), record.position()))
            .collect();
        beside.sort_by(|one, other| one.0.cmp(&other.0));
        beside
    }

    /// Returns the highest position of the bundle's channel over all destinations. Damaged records
    /// count only if there are no others. Among equal positions, an id that contradicts the bundle
    /// wins.
    pub fn highest(&self, bundle: &Candidate<'_>) -> Found {
        let channel = bundle.channel;
        let rank = |held: &Position| {
            let follows = bundle.previous == Some(held.id);
            (held.epoch, held.sequence, held.id != bundle.position.id, !follows)
        };
        let entries = match std::fs::read_dir(self.folder(channel)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) => return Found::Damaged(error.to_string()),
        };
        let mut best = Found::Nothing;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            best = match (best, found(&path, channel, &self.machine)) {
                (Found::Held(one), Found::Held(other)) => {
                    Found::Held(if rank(&other) > rank(&one) { other } else { one })
                }
                (best @ Found::Held(_), _) => best,
                (_, other) => other,
            };
        }
        best
    }
}

impl Seat {
    /// Returns the stored state.
    pub fn found(&self) -> Found {
        found(&spelled(&self.folder, &self.channel, &self.destination), &self.channel, &self.machine)
    }

    /// Stores `position` and the version of a policy (0: none), durably.
    ///
    /// # Errors
    /// [`Class::Io`]. The previous state is then preserved.
    pub fn hold(&self, position: &Position, policy: u64) -> Result<(), Fault> {
        let record = Record::new(&self.channel, &self.destination, &self.machine, position, policy);
        replace(&self.path, &record.to_bytes()).map_err(|error| io_fault(&self.path, &error))
    }
}

impl Seat {
    /// Returns the name of the destination.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// Returns the stored tags, and the reason if a file of them does not count: it is damaged, or
    /// another machine's. With `takes_over`, another machine's counts.
    pub fn tags(&self, takes_over: bool) -> (Tags, Option<String>) {
        tags_of(&self.folder, &self.channel, &self.destination, &self.machine, takes_over)
    }

    /// Stores `tags`, durably. If they are too many, stores only those of `kept`, pairs of a repository
    /// and a tag, and returns how many were forgotten.
    ///
    /// # Errors
    /// [`Class::Io`]. The previous tags are then preserved.
    pub fn hold_tags<'a>(
        &self,
        mut tags: Tags,
        kept: impl IntoIterator<Item = (&'a str, &'a crate::oci::Tag)>,
    ) -> Result<usize, Fault> {
        let path = self.path.with_extension(TAGS);
        let file = |tags| tags::File::new(&self.channel, &self.destination, &self.machine, tags).to_bytes();
        let (mut bytes, mut forgotten) = (file(tags.clone()), 0);
        if bytes.len() as u64 > MAX_TAGS {
            forgotten = tags.keep_only(kept);
            bytes = file(tags);
        }
        if bytes.len() as u64 > MAX_TAGS {
            let what = format!("state {}: more tags than {MAX_TAGS} bytes hold", escape(&path.to_string_lossy()));
            return Err(Fault::new(Class::Io, what).help("import into several prefixes"));
        }
        replace(&path, &bytes).map_err(|error| io_fault(&path, &error))?;
        Ok(forgotten)
    }
}

/// Returns the stored tags of a destination: under its own name, otherwise next to its record under
/// another spelling.
fn tags_of(folder: &Path, channel: &str, destination: &str, machine: &str, takes_over: bool) -> (Tags, Option<String>) {
    let own = folder.join(format!("{}.{TAGS}", stem(destination)));
    let path =
        if own.symlink_metadata().is_ok() { own } else { spelled(folder, channel, destination).with_extension(TAGS) };
    let shown = escape(&path.to_string_lossy());
    let bytes = match read(&path, MAX_TAGS) {
        Ok(None) => return (Tags::default(), None),
        Ok(Some(bytes)) => bytes,
        Err(error) => return (Tags::default(), Some(format!("{shown}: {error}"))),
    };
    let is_its_own = |file: &tags::File| {
        let is_named = path.file_stem().is_some_and(|name| name == stem(&file.destination).as_str());
        is_named && file.channel == channel
    };
    match tags::File::parse(&bytes).filter(is_its_own) {
        None => (Tags::default(), Some(format!("{shown}: expected the tags of this channel and destination"))),
        Some(file) if file.machine != machine && !takes_over => {
            (Tags::default(), Some(format!("{shown}: it is another machine's")))
        }
        Some(file) => (file.into_tags(), None),
    }
}

/// Returns the base name of a destination's files.
fn stem(destination: &str) -> String {
    Digest::sha256(destination.as_bytes()).hex()[..32].to_owned()
}

/// Returns the path of the record of `destination`: under its own name, otherwise that of the
/// highest record under another spelling of it.
fn spelled(folder: &Path, channel: &str, destination: &str) -> PathBuf {
    let own = folder.join(format!("{}.json", stem(destination)));
    if own.symlink_metadata().is_ok() {
        return own;
    }
    let others = records(folder, channel).filter(|record| destination::normal(&record.destination) == destination);
    let highest = others.max_by_key(|record| (record.position().epoch, record.position().sequence));
    highest.map_or(own, |record| folder.join(format!("{}.json", stem(&record.destination))))
}

/// Returns all valid records of a channel.
fn records<'a>(folder: &Path, channel: &'a str) -> impl Iterator<Item = Record> + use<'a> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let named = entries.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    named.filter_map(|path| record(&path, channel).ok().flatten())
}

/// Reads the record at `path`, which must be of this channel and of the destination that the path
/// names. Fails with the reason why it is not a record.
fn record(path: &Path, channel: &str) -> Result<Option<Record>, String> {
    let Some(bytes) = read(path, MAX_RECORD).map_err(|error| error.to_string())? else { return Ok(None) };
    let record = Record::parse(&bytes).ok_or("expected a state, found something else")?;
    let is_its_own = path.file_stem().is_some_and(|name| name == stem(&record.destination).as_str());
    if record.channel != channel || !is_its_own {
        return Err("expected the state of this channel and destination, found another's".to_owned());
    }
    Ok(Some(record))
}

fn found(path: &Path, channel: &str, machine: &str) -> Found {
    match record(path, channel) {
        Ok(None) => Found::Nothing,
        Ok(Some(record)) if record.machine == machine => Found::Held(record.position()),
        Ok(Some(record)) => Found::Foreign(record.position()),
        Err(why) => Found::Damaged(format!("{}: {why}", escape(&path.to_string_lossy()))),
    }
}

/// Reads a regular file that only its owner can write. Returns `None` if it does not exist.
fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match system::open_file(path) {
        Ok(file) => file,
        Err(unopened) if unopened.found == Seen::Nothing => return Ok(None),
        Err(unopened) => return Err(unopened.error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || system::mode(&metadata).is_some_and(|mode| mode & 0o022 != 0) {
        return Err(io::Error::other("expected a plain file that only its owner can write"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("expected at most {most} bytes, found more")));
    }
    Ok(Some(bytes))
}

/// Replaces the content of `path` completely or not at all. The content is on the medium when this
/// returns.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // No other run writes here, since we hold the lock.
    let mut file = system::create_anew(&new, 0o600)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        // Best effort: the next run removes it anyway.
        let _ = std::fs::remove_file(&new);
    }
    written?;
    system::sync_name(path)
}

impl Lock {
    fn take(path: &Path, held: &str) -> Result<Self, Fault> {
        match system::lock(path).map_err(|error| io_fault(path, &error))? {
            // The file stays, so that other runs that have it open lock the same file.
            Some(lock) => Ok(Self(lock)),
            None => Err(Fault::new(Class::Lock, held).help("wait for it, and run the command again")),
        }
    }
}

#[cfg(test)]
mod tests;
