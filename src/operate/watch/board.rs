//! State of a watcher for operators: one entry a pipeline, replaced after every step. Locked
//! shortly, so that a reader never holds up the work.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::base::lock::lock;
use crate::base::time::Moment;
use crate::state::watched::Aside;

use super::site::Pipeline;

/// Largest number of bundles of one kind to keep for the page.
const SHOWN: usize = 200;

/// The board.
#[derive(Debug, Default)]
pub struct Board {
    entries: Mutex<BTreeMap<String, Entry>>,
}

/// A pipeline on the board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub source: String,
    pub target: String,
    /// Number of looks, and of those that failed.
    pub looks: u64,
    pub failed_looks: u64,
    /// Number of imports since the start, and of those that failed.
    pub imports: u64,
    pub failed_imports: u64,
    /// When the last look began, how long it took without imports in milliseconds, and whether the
    /// container was there.
    pub looked: Option<(Moment, u64)>,
    pub is_absent: bool,
    /// Why the last look failed.
    pub error: Option<String>,
    pub next: Option<Moment>,
    /// The bundle that is being imported, and since when.
    pub importing: Option<(String, Moment)>,
    /// Number of bundles whose import is settled.
    pub settled: u64,
    /// Bundles that wait for files, with some of these; and the number of all of them.
    pub arriving: Vec<Arriving>,
    pub arriving_count: u64,
    /// Bundles that failed; and the number of all of them.
    pub aside: Vec<(String, Aside)>,
    pub aside_count: u64,
}

/// A bundle that waits for files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arriving {
    pub name: String,
    /// Files that are missing, or why the manifest cannot be read.
    pub why: String,
}

impl Board {
    /// Makes a board of these pipelines.
    pub fn new(pipelines: &[Pipeline]) -> Self {
        let entry = |pipeline: &Pipeline| Entry {
            source: pipeline.source.clone(),
            target: pipeline.target.clone(),
            ..Entry::default()
        };
        let entries = pipelines.iter().map(|pipeline| (pipeline.name.clone(), entry(pipeline))).collect();
        Self { entries: Mutex::new(entries) }
    }

    /// Changes the entry of a pipeline.
    pub(super) fn change(&self, pipeline: &str, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = lock(&self.entries).get_mut(pipeline) {
            change(entry);
            entry.arriving.truncate(SHOWN);
            entry.aside.truncate(SHOWN);
        }
    }

    /// Returns all entries as they are now.
    pub(super) fn entries(&self) -> BTreeMap<String, Entry> {
        lock(&self.entries).clone()
    }
}
