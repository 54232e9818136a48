//! A layout that does not exist yet, for dry runs: it is empty and refuses writes.

use std::path::{Path, PathBuf};

use super::disk::Disk;
use crate::base::fault::{Class, Fault};
use crate::content::{Body, Destination, Error, Inventory, Kind};
use crate::oci::{Descriptor, Digest, Document, Repository, Tag};

/// A layout that does not exist yet.
pub struct Nothing {
    path: PathBuf,
}

impl Nothing {
    /// Makes the value for a path where [`super::Layout::look`] found no layout. Creates no files.
    ///
    /// # Errors
    /// [`Class::Io`] if a part of the path is something other than a directory.
    pub fn at(path: &Path) -> Result<Self, Fault> {
        let nothing = Self { path: path.to_owned() };
        match nothing.ground() {
            Ok(_) => Ok(nothing),
            Err(error) => {
                let what = format!("layout {}: {error}", path.display());
                Err(Fault::new(Class::Io, what).help("name a directory that can be created"))
            }
        }
    }

    /// Opens the nearest existing directory at or above the path.
    fn ground(&self) -> std::io::Result<Disk> {
        let mut path = self.path.as_path();
        loop {
            match (Disk::open(path), path.parent()) {
                (Err(error), Some(parent)) if error.kind() == std::io::ErrorKind::NotFound => path = parent,
                (found, _) => return found,
            }
        }
    }

    fn refused<T>(&self) -> Result<T, Error> {
        Err(Error::new(Kind::Refused, format!("layout {}: opened only for a dry run", self.path.display())))
    }
}

impl Inventory for Nothing {
    fn has_blob(&self, _: &Repository, _: &Descriptor) -> Result<bool, Error> {
        Ok(false)
    }

    fn has_manifest(&self, _: &Repository, _: Digest) -> Result<bool, Error> {
        Ok(false)
    }

    fn tag(&self, _: &Repository, _: &Tag) -> Result<Option<Digest>, Error> {
        Ok(None)
    }

    fn read_back(&self, _: &Repository, _: Option<&Tag>, _: Digest) -> Result<Option<Digest>, Error> {
        Ok(None)
    }
}

impl Destination for Nothing {
    fn put_blob(&self, _: &Repository, _: &Descriptor, _: &dyn Body) -> Result<(), Error> {
        self.refused()
    }

    fn put_manifest(&self, _: &Repository, _: &Document) -> Result<(), Error> {
        self.refused()
    }

    fn set_tag(&self, _: &Repository, _: &Tag, _: &Document) -> Result<(), Error> {
        self.refused()
    }

    fn check_room(&self, blobs: &[&Descriptor]) -> Result<(), Error> {
        let needed = blobs.iter().map(|blob| blob.size).fold(0, u64::saturating_add);
        let io = |error: std::io::Error| Error::io(format!("layout {}", self.path.display()), &error);
        super::disk::check_room(&self.path, needed, self.ground().and_then(|disk| disk.free()).map_err(io)?)
    }
}
