//! Records of the runs of pipelines: one file a run (`spec/runs.md`).
//!
//! A run holds the lock of its record while it works, so that a record that says "running" and whose
//! lock is free is that of a run that was killed. Pipelines and bundles are unknown here: a record
//! holds names, numbers and ids.

mod id;
mod record;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub use self::id::Id;
pub use self::record::{Counts, Failure, Kind, Run, State};
use super::{Lock, Store, io_fault, read, replace};
use crate::base::fault::{Class, Fault, expects};
use crate::base::time::Moment;
use crate::system;

/// Largest record in bytes.
const MAX_RECORD: u64 = 64 << 10;
/// Number of records to keep. The oldest ones of ended runs go first.
const KEPT: usize = 4096;

/// The records in a state directory.
#[derive(Clone, Debug)]
pub struct Runs {
    folder: PathBuf,
    kept: usize,
}

/// A run that begins.
#[derive(Clone, Debug)]
pub struct New<'a> {
    /// Name of its pipeline.
    pub pipeline: &'a str,
    /// Direction.
    pub kind: Kind,
    /// The run that it repeats.
    pub again_of: Option<Id>,
}

/// A run that works, with the lock of its record. Dropped without [`Held::end`], it counts as killed.
#[derive(Debug)]
pub struct Held {
    run: Run,
    path: PathBuf,
    _lock: Lock,
}

/// A list of records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Newest first.
    pub runs: Vec<Run>,
    /// Ids of records that cannot be read, each with the reason.
    pub damaged: Vec<(Id, String)>,
}

/// A record as found on the disk.
enum Found {
    Nothing,
    Run(Box<Run>),
    Damaged(String),
}

impl Store {
    /// Returns the records of runs.
    pub fn runs(&self) -> Runs {
        Runs { folder: self.dir().join("runs"), kept: KEPT }
    }
}

fn absent(id: &Id) -> Fault {
    Fault::usage(format!("run {id}: expected a record, found none"), "see `packmule runs list`")
}

impl Runs {
    fn record(&self, id: &Id) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn lock(&self, id: &Id) -> Result<Lock, Fault> {
        Lock::take(&self.lock_path(id), &format!("run {id}: it works in another process"))
    }

    /// Begins a run and writes its record, durably.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn begin(&self, new: &New<'_>, now: Moment) -> Result<Held, Fault> {
        system::make_private_folders(&self.folder).map_err(|error| io_fault(&self.folder, &error))?;
        self.forget_oldest();
        let id = Id::after(self.ids()?.first(), now)?;
        let lock = self.lock(&id)?;
        let run = Run::new(id, new.pipeline, new.kind, new.again_of.clone(), now);
        let held = Held { path: self.record(&run.id), run, _lock: lock };
        held.write()?;
        Ok(held)
    }

    /// Goes on with a run that waits or was killed, under its id.
    ///
    /// # Errors
    /// [`Class::Usage`] if there is no such run or it ended, [`Class::Lock`] if it works,
    /// [`Class::Io`].
    pub fn resume(&self, id: &Id) -> Result<Held, Fault> {
        let path = self.record(id);
        if !path.exists() {
            return Err(absent(id));
        }
        let lock = self.lock(id)?;
        // Only now nobody changes the record.
        let mut run = match self.found(id) {
            Found::Run(run) => *run,
            Found::Nothing => return Err(absent(id)),
            Found::Damaged(why) => return Err(damaged(id, &why)),
        };
        if !matches!(run.state, State::Running | State::Waiting) {
            let what = format!("run {id}: expected one that waits or was killed, found one that is {}", run.state);
            return Err(Fault::usage(what, "run the pipeline again"));
        }
        (run.state, run.ended, run.error) = (State::Running, None, None);
        let held = Held { run, path, _lock: lock };
        held.write()?;
        Ok(held)
    }

    /// Lists the newest records, at most `most`.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn list(&self, most: usize) -> Result<Listing, Fault> {
        let mut listing = Listing::default();
        for id in self.ids()? {
            if listing.runs.len() + listing.damaged.len() == most {
                break;
            }
            match self.seen(&id) {
                Found::Run(run) => listing.runs.push(*run),
                Found::Damaged(why) => listing.damaged.push((id, why)),
                // Another process deleted it.
                Found::Nothing => {}
            }
        }
        Ok(listing)
    }

    /// Returns the newest run of a pipeline that `is` accepts.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn newest(&self, pipeline: &str, is: impl Fn(&Run) -> bool) -> Result<Option<Run>, Fault> {
        let runs = self.ids()?.into_iter().filter_map(|id| match self.seen(&id) {
            Found::Run(run) => Some(*run),
            Found::Nothing | Found::Damaged(_) => None,
        });
        let mut own = runs.filter(|run| run.pipeline == pipeline);
        Ok(own.find(|run| is(run)))
    }

    /// Returns the record of a run.
    ///
    /// # Errors
    /// [`Class::Io`] if it is damaged.
    pub fn show(&self, id: &Id) -> Result<Option<Run>, Fault> {
        match self.seen(id) {
            Found::Nothing => Ok(None),
            Found::Run(run) => Ok(Some(*run)),
            Found::Damaged(why) => Err(damaged(id, &why)),
        }
    }

    /// Deletes the record of a run, and nothing else of it. A damaged one, too.
    ///
    /// # Errors
    /// [`Class::Usage`] if there is none, [`Class::Lock`] if the run works, [`Class::Io`].
    pub fn delete(&self, id: &Id) -> Result<(), Fault> {
        let path = self.record(id);
        if path.symlink_metadata().is_err() {
            return Err(absent(id));
        }
        let _lock = self.lock(id)?;
        std::fs::remove_file(&path).map_err(|error| io_fault(&path, &error))?;
        // Left by a run that was killed while it wrote; there is none otherwise.
        let _ = std::fs::remove_file(self.folder.join(format!("{id}.json.new")));
        // The record went first: whoever opened this lock before finds none.
        let lock = self.lock_path(id);
        std::fs::remove_file(&lock).map_err(|error| io_fault(&lock, &error))?;
        system::sync_name(&path).map_err(|error| io_fault(&path, &error))
    }

    /// Deletes the records of runs that failed or were killed, or only names them with `dry_run`.
    /// Returns them, newest first.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn clean(&self, dry_run: bool) -> Result<Vec<Run>, Fault> {
        let mut cleaned = Vec::new();
        for run in self.list(usize::MAX)?.runs {
            if !matches!(run.state, State::Failed | State::Killed) {
                continue;
            }
            if !dry_run {
                match self.delete(&run.id) {
                    // Another process deleted it, or goes on with it.
                    Err(fault) if matches!(fault.class, Class::Usage | Class::Lock) => continue,
                    deleted => deleted?,
                }
            }
            cleaned.push(run);
        }
        Ok(cleaned)
    }

    /// Returns the ids of all records, newest first.
    fn ids(&self) -> Result<Vec<Id>, Fault> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_fault(&self.folder, &error)),
        };
        let paths = entries.flatten().map(|entry| entry.path());
        let records = paths.filter(|path| path.extension() == Some(OsStr::new("json")));
        let mut ids: Vec<Id> = records.filter_map(|path| Id::parse(path.file_stem()?.to_str()?)).collect();
        ids.sort_by(|one, other| other.cmp(one));
        Ok(ids)
    }

    /// Reads a record as it was written.
    fn found(&self, id: &Id) -> Found {
        match read(&self.record(id), MAX_RECORD) {
            Ok(None) => Found::Nothing,
            Ok(Some(bytes)) => match Run::parse(&bytes).filter(|run| run.id == *id) {
                Some(run) => Found::Run(Box::new(run)),
                None => Found::Damaged("expected the record of this run, found something else".to_owned()),
            },
            Err(error) => Found::Damaged(error.to_string()),
        }
    }

    /// Reads a record, with a run that no process works on shown as killed.
    fn seen(&self, id: &Id) -> Found {
        let found = self.found(id);
        if !matches!(&found, Found::Run(run) if run.state == State::Running) || is_held(&self.lock_path(id)) {
            return found;
        }
        // It may have ended between the two looks.
        match self.found(id) {
            Found::Run(mut run) if run.state == State::Running => {
                run.state = State::Killed;
                Found::Run(run)
            }
            found => found,
        }
    }

    fn lock_path(&self, id: &Id) -> PathBuf {
        self.folder.join(format!("{id}.lock"))
    }

    /// Deletes the oldest records of ended runs above the number to keep. Ignores failures: they only
    /// cost room.
    fn forget_oldest(&self) {
        let Ok(ids) = self.ids() else { return };
        for id in ids.iter().skip(self.kept.saturating_sub(1)) {
            let is_over = |run: &Run| matches!(run.state, State::Done | State::Failed | State::Killed);
            if matches!(self.seen(id), Found::Run(run) if is_over(&run)) {
                let _ = self.delete(id);
            }
        }
    }
}

fn damaged(id: &Id, why: &str) -> Fault {
    Fault::new(Class::Io, format!("run {id}: {why}")).help(format!("delete it: packmule runs delete {id}"))
}

/// Reports whether a process holds the lock.
fn is_held(path: &Path) -> bool {
    let Ok(file) = system::open_file(path) else { return false };
    // Shared, so that two lists at once do not take each other for the run.
    matches!(system::turn(&file, path, true), Ok(None))
}

impl Held {
    /// Returns the record as it stands.
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// Changes the record, durably. Id, pipeline, start and state stay.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn update(&mut self, change: impl FnOnce(&mut Run)) -> Result<(), Fault> {
        let Run { id, pipeline, kind, started, state, .. } = self.run.clone();
        change(&mut self.run);
        self.run = Run { id, pipeline, kind, state, started, ..self.run.clone() };
        self.write()
    }

    /// Ends the run as done, failed or waiting, and returns its record.
    ///
    /// # Errors
    /// [`Class::Io`], [`Class::Bug`] for another state.
    pub fn end(mut self, state: State, fault: Option<&Fault>, now: Moment) -> Result<Run, Fault> {
        if matches!(state, State::Running | State::Killed) {
            return Err(Fault::new(Class::Bug, expects("run", "an end")));
        }
        self.run.state = state;
        self.run.ended = (state != State::Waiting).then_some(now);
        self.run.error = fault.map(Failure::of);
        self.write()?;
        Ok(self.run)
    }

    fn write(&self) -> Result<(), Fault> {
        replace(&self.path, &self.run.to_bytes()?).map_err(|error| io_fault(&self.path, &error))
    }
}

#[cfg(test)]
mod tests;
