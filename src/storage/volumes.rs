//! The files of a bundle in a container.
//!
//! Every file is read as it was first seen. An empty file counts as missing, since stores whose
//! objects may not be removed empty them instead.

use std::sync::Arc;

use super::pinned::{Pinned, of_source};
use super::read_ahead::{BLOCK, ReadAhead};
use super::{Container, Object};
use crate::content::volumes::{Entry, Volumes};
use crate::content::{Error, Kind};

/// The files of one bundle in a container.
pub struct ContainerVolumes {
    reader: ReadAhead,
    // Begins the names of all files of the bundle.
    stem: String,
}

impl ContainerVolumes {
    /// Returns the files whose names begin with `stem` and a dot. Reads nothing yet; later, makes up
    /// to `jobs` requests at once.
    pub fn new(container: Arc<dyn Container>, stem: &str, jobs: usize) -> Self {
        Self { reader: ReadAhead::new(Pinned::new(container), jobs), stem: stem.to_owned() }
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
            Some(object) if object.size > BLOCK => self.reader.read(file, object.size, offset, buffer),
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
