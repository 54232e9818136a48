//! The list of what clients asked for in vain on a disconnected side, kept in a file.
//!
//! Sorted, each artifact once, no clients and no times (`spec/wanted.md`). An entry is closed when what
//! it names is served.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::fault::Fault;
use crate::base::lock::lock;
use crate::decide::wanted::{List, MAX_LINES};
use crate::flow::Flow;
use crate::oci::Reference;
use crate::serve::Index;

/// The file of a list.
pub trait WantedFile: Send + Sync {
    /// Replaces the content of the file.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    fn write(&self, list: &List) -> Result<(), Fault>;
}

/// A list that grows and shrinks while a server runs.
pub struct Wanted {
    list: Mutex<List>,
    is_changed: AtomicBool,
    file: Box<dyn WantedFile>,
}

impl Wanted {
    /// Continues `list`, which `file` holds.
    pub fn new(list: List, file: Box<dyn WantedFile>) -> Self {
        Self { list: Mutex::new(list), is_changed: AtomicBool::new(true), file }
    }

    /// Adds an artifact. Returns whether it is listed; it is not if the list is full.
    pub fn add(&self, reference: Reference) -> bool {
        let mut list = lock(&self.list);
        if list.contains(&reference) {
            return true;
        }
        if list.len() >= MAX_LINES {
            return false;
        }
        list.add(reference, []);
        self.is_changed.store(true, Ordering::Relaxed);
        true
    }

    /// Closes the entries of everything that `index` serves.
    pub(super) fn close(&self, index: &Index) {
        let mut list = lock(&self.list);
        let is_open = |one: &Reference| {
            !index.holds(&one.repository, one.tag.as_ref().filter(|_| one.digest.is_none()), one.digest)
        };
        if list.retain(is_open) {
            self.is_changed.store(true, Ordering::Relaxed);
        }
    }

    /// Writes the file, if the list has changed since the last time.
    pub(super) fn save(&self, flow: &Flow) {
        if !self.is_changed.swap(false, Ordering::Relaxed) {
            return;
        }
        let list = lock(&self.list).clone();
        if let Err(fault) = self.file.write(&list) {
            // Tried again at the next change, and at the end.
            flow.warn(fault.to_string());
        }
    }
}
