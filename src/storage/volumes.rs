//! The files of a bundle in a container.
//!
//! Every file is read as it was first seen. An empty file counts as missing, since stores whose
//! objects may not be removed empty them instead.

use std::sync::{Arc, Mutex};

use super::pinned::{Pinned, of_source};
use super::read_ahead::{BLOCK, ReadAhead};
use super::{Container, Needs, Object};
use crate::base::lock::lock;
use crate::content::volumes::{Entry, Volumes};
use crate::content::{Error, Kind};
use crate::flow::Flow;

/// The files of one bundle in a container.
pub struct ContainerVolumes {
    reader: ReadAhead,
    // Begins the names of all files of the bundle.
    stem: String,
    // Is warned before the first large file is read.
    warned: Mutex<Option<Flow>>,
}

impl ContainerVolumes {
    /// Returns the files whose names begin with `stem` and a dot. Reads nothing yet; later, makes up
    /// to `jobs` requests at once.
    pub fn new(container: Arc<dyn Container>, stem: &str, jobs: usize) -> Self {
        let reader = ReadAhead::new(Pinned::new(container), jobs);
        Self { reader, stem: stem.to_owned(), warned: Mutex::default() }
    }

    /// Warns `flow` before the first large file is read if the credential ends before all files can
    /// be read.
    #[must_use]
    pub fn warning(self, flow: Flow) -> Self {
        Self { warned: Mutex::new(Some(flow)), ..self }
    }

    /// Warns once, if the credential ends too early.
    fn foresee(&self) {
        let Some(flow) = lock(&self.warned).take() else { return };
        let mut needs = Needs { read: true, list: true, ..Needs::default() };
        let mut add = |object: Object| needs.bytes = needs.bytes.saturating_add(object.size);
        // The rights were checked before; what fails here fails again where it matters.
        if self.container().list(&format!("{}.", self.stem), &mut add).is_ok() {
            let _ = self.container().check_rights(needs, &flow);
        }
    }

    fn container(&self) -> &dyn Container {
        self.reader.objects().container()
    }
}

impl Volumes for ContainerVolumes {
    fn size(&self, file: &str) -> Result<Option<u64>, Error> {
        let object = self.reader.objects().object(file)?;
        // Files of form flat may be empty by right.
        Ok(object.map(|object| object.size).filter(|size| *size > 0 || file.contains('/')))
    }

    fn read_at(&self, file: &str, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        match self.reader.objects().object(file)? {
            Some(object) if object.size > BLOCK => {
                self.foresee();
                self.reader.read(file, object.size, offset, buffer)
            }
            Some(_) => self.reader.objects().read(file, offset, buffer),
            None => Err(Error::new(Kind::Absent, "missing")),
        }
    }

    fn list(&self, folder: &str, each: &mut dyn FnMut(Entry<'_>)) -> Result<(), Error> {
        let (prefix, cut) =
            if folder.is_empty() { (format!("{}.", self.stem), 0) } else { (format!("{folder}/"), folder.len() + 1) };
        let mut folders = Vec::new();
        let mut take = |object: Object| {
            let Some(rest) = object.name.get(cut..).filter(|rest| !rest.is_empty()) else { return };
            match rest.split_once('/') {
                None => each(Entry { name: rest, is_folder: false, size: Some(object.size) }),
                Some((name, _)) if folders.iter().any(|seen| seen == name) => {}
                Some((name, _)) => {
                    folders.push(name.to_owned());
                    each(Entry { name, is_folder: true, size: None });
                }
            }
        };
        self.container().list(&prefix, &mut take).map_err(of_source)
    }

    fn shown(&self, file: &str) -> String {
        self.container().shown(file)
    }

    fn place(&self) -> String {
        self.container().shown("")
    }

    fn close(&self) {
        self.reader.clear();
    }
}
