//! Memory of a watcher for one pipeline: the bundles that it imported, by id and by name, and
//! those that it put aside (`spec/watch.md`).
//!
//! It lies on the watcher's own disk, so that the container needs no right to write. Decides nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::runs::{Failure, Id};
use super::{Lock, Store, io_fault, read, replace, stem};
use crate::base::fault::{Class, Fault, escape};
use crate::base::time::Moment;
use crate::oci::{Digest, canonical};
use crate::system;

/// Value of `format`.
const FORMAT: &str = "packmule.watch.v1";
/// Largest ledger in bytes.
const MAX_LEDGER: u64 = 64 << 20;
/// Number of imported ids to remember. The oldest go first.
const MAX_IDS: usize = 100_000;

/// The ledger of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    pub(crate) format: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Container that the names are those of.
    pub source: String,
    /// Destination that the ids were imported into.
    pub target: String,
    /// Ids of the bundles that were imported, and when.
    pub ids: BTreeMap<Digest, Moment>,
    /// Names whose bundle was imported.
    pub names: BTreeMap<String, Settled>,
    /// Names whose bundle could not be imported.
    pub aside: BTreeMap<String, Aside>,
}

/// A name whose bundle was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// The bundle's id.
    pub id: Digest,
    /// Identifies the content of the manifest in the container.
    pub mark: String,
}

/// A bundle that could not be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aside {
    /// Its id.
    pub id: Digest,
    /// Identifies all its files in the container.
    pub files: String,
    /// When it failed first.
    pub since: Moment,
    /// How often it failed.
    pub tries: u32,
    /// When to try again.
    pub next: Moment,
    /// Why it failed the last time.
    pub error: Failure,
    /// The run that failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Id>,
}

/// The ledger of one pipeline, locked by this process.
#[derive(Debug)]
pub struct LedgerSeat {
    path: PathBuf,
    pipeline: String,
    _lock: Lock,
}

impl Ledger {
    /// Returns an empty ledger.
    pub fn new(pipeline: &str, source: &str, target: &str) -> Self {
        Self {
            format: FORMAT.to_owned(),
            pipeline: pipeline.to_owned(),
            source: source.to_owned(),
            target: target.to_owned(),
            ids: BTreeMap::new(),
            names: BTreeMap::new(),
            aside: BTreeMap::new(),
        }
    }
}

impl Store {
    /// Locks the ledger of a pipeline against other watchers until the value is dropped.
    ///
    /// # Errors
    /// [`Class::Lock`] if another watcher has it, [`Class::Io`].
    pub fn ledger(&self, pipeline: &str) -> Result<LedgerSeat, Fault> {
        let folder = self.dir().join("watch");
        system::make_private_folders(&folder).map_err(|error| io_fault(&folder, &error))?;
        let stem = stem(pipeline);
        let held = format!("pipeline {}: another watcher with this state looks", escape(pipeline));
        let lock = Lock::take(&folder.join(format!("{stem}.lock")), &held)?;
        Ok(LedgerSeat { path: folder.join(format!("{stem}.json")), pipeline: pipeline.to_owned(), _lock: lock })
    }
}

impl LedgerSeat {
    /// Returns the ledger, if there is one.
    ///
    /// # Errors
    /// [`Class::Io`], also for one that is damaged: without it, old bundles would be imported again.
    pub fn load(&self) -> Result<Option<Ledger>, Fault> {
        let bytes = read(&self.path, MAX_LEDGER).map_err(|error| io_fault(&self.path, &error))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let ledger = serde_json::from_slice::<Ledger>(&bytes).ok();
        let ledger = ledger.filter(|ledger| ledger.format == FORMAT && ledger.pipeline == self.pipeline);
        ledger.map(Some).ok_or_else(|| {
            let path = escape(&self.path.to_string_lossy());
            let what = format!("state {path}: expected the ledger of pipeline {}, found something else", self.pipeline);
            Fault::new(Class::Io, what).help("remove it: then every bundle in the container is imported once more")
        })
    }

    /// Replaces the ledger, durably. Forgets the oldest ids above a large number.
    ///
    /// # Errors
    /// [`Class::Io`]. The previous ledger is then preserved.
    pub fn store(&self, ledger: &mut Ledger) -> Result<(), Fault> {
        if ledger.ids.len() > MAX_IDS {
            let mut oldest: Vec<(Moment, Digest)> = ledger.ids.iter().map(|(id, at)| (*at, *id)).collect();
            oldest.sort();
            let more = oldest.len() - MAX_IDS;
            for (_, id) in oldest.into_iter().take(more) {
                ledger.ids.remove(&id);
            }
        }
        let bytes = canonical::serialize(ledger).map_err(|error| Fault::new(Class::Bug, format!("ledger: {error}")))?;
        replace(&self.path, &bytes).map_err(|error| io_fault(&self.path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t10_a_ledger_is_kept_for_one_watcher_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().to_owned(), String::new());
        let seat = store.ledger("import.dark").unwrap();
        assert_eq!(store.ledger("import.dark").unwrap_err().class, Class::Lock);
        assert!(store.ledger("import.other").is_ok());
        assert_eq!(seat.load().unwrap(), None);
        let mut ledger = Ledger::new("import.dark", "storage:dark", "r.example/x");
        let (id, now) = (Digest::sha256(b"x"), Moment::from_unix(7).unwrap());
        ledger.ids.insert(id, now);
        ledger.names.insert("b".to_owned(), Settled { id, mark: "m".to_owned() });
        let error = Failure { class: "io".to_owned(), text: "full".to_owned() };
        let aside = Aside { id, files: "f".to_owned(), since: now, tries: 1, next: now, error, run: None };
        ledger.aside.insert("c".to_owned(), aside);
        seat.store(&mut ledger).unwrap();
        assert_eq!(seat.load().unwrap(), Some(ledger));
        let path = seat.path.clone();
        drop(seat);
        // Another pipeline's, or damaged: never taken for an empty one.
        let other = store.ledger("import.other").unwrap();
        std::fs::copy(&path, &other.path).unwrap();
        assert_eq!(other.load().unwrap_err().class, Class::Io);
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(store.ledger("import.dark").unwrap().load().unwrap_err().class, Class::Io);
    }

    #[test]
    fn the_oldest_ids_are_forgotten_first() {
        let dir = tempfile::tempdir().unwrap();
        let seat = Store::new(dir.path().to_owned(), String::new()).ledger("p").unwrap();
        let mut ledger = Ledger::new("p", "s", "t");
        let id = |number: usize| Digest::sha256(&number.to_le_bytes());
        for number in 0..MAX_IDS + 2 {
            ledger.ids.insert(id(number), Moment::from_unix(i64::try_from(number).unwrap()).unwrap());
        }
        seat.store(&mut ledger).unwrap();
        assert_eq!(ledger.ids.len(), MAX_IDS);
        assert!(!ledger.ids.contains_key(&id(1)) && ledger.ids.contains_key(&id(2)));
    }
}
