//! The layout as a source: names, documents, blobs, parts of blobs, referrers and tags.
//!
//! The repository matters only for names and tags: a layout has a single store of blobs.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::Layout;
use crate::base::fault::differs;
use crate::content::{Catalog, Error, Holdings, Kind, Ranges, Referrers, Source, TagList};
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Descriptor, Digest, Document, Reference, Repository, Tag};

impl Layout {
    /// Opens the file of a blob and checks its size.
    fn open_blob(&self, descriptor: &Descriptor) -> Result<File, Error> {
        let digest = descriptor.digest;
        let path = self.path.display();
        match self.disk.blob(digest).map_err(|error| Error::io(format!("layout {path}: blob {digest}"), &error))? {
            None => Err(Error::new(Kind::Absent, format!("layout {path}: blob {digest}: not found"))),
            Some((_, size)) if size != descriptor.size => {
                let what = differs(
                    format_args!("layout {path}: blob {digest}"),
                    format_args!("{} bytes", descriptor.size),
                    size,
                );
                Err(Error::new(Kind::Mismatch, what))
            }
            Some((file, _)) => Ok(file),
        }
    }

    pub(super) fn read_document(&self, descriptor: &Descriptor) -> Result<Document, Error> {
        let (digest, path) = (descriptor.digest, self.path.display());
        if descriptor.size > MAX_DOCUMENT {
            let what = differs(
                format_args!("manifest {digest}"),
                format_args!("at most {MAX_DOCUMENT} bytes"),
                descriptor.size,
            );
            return Err(Error::new(Kind::Refused, what));
        }
        let mut raw = Vec::new();
        self.open_blob(descriptor)?
            .take(MAX_DOCUMENT + 1)
            .read_to_end(&mut raw)
            .map_err(|error| Error::io(format!("layout {path}: blob {digest}"), &error))?;
        let found = Digest::of(digest.algorithm(), &raw);
        if found != digest {
            let what = format!("layout {path}: blob {digest}: content has digest {found}");
            return Err(Error::new(Kind::Mismatch, what));
        }
        Document::with_digest(&descriptor.media_type, digest, raw)
            .map_err(|error| Error::new(Kind::Refused, format!("layout {path}: {error}")))
    }
}

impl Source for Layout {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        let name = reference.to_string();
        if let Some(digest) = reference.digest {
            if let Ok(entry) = self.find(Some(&digest.to_string())) {
                return Ok(Descriptor::new(&*entry.descriptor.media_type, digest, entry.descriptor.size));
            }
            let absent = || Error::new(Kind::Absent, format!("layout {}: {digest}: not found", self.path.display()));
            let open = self.disk.blob(digest).map_err(|error| Error::io(&name, &error))?;
            let (file, size) = open.ok_or_else(absent)?;
            let mut raw = Vec::new();
            file.take(MAX_DOCUMENT).read_to_end(&mut raw).map_err(|error| Error::io(&name, &error))?;
            return Ok(Descriptor::new(Document::sniff(&raw).ok_or_else(absent)?, digest, size));
        }
        let places = self.found.references.get(reference).into_iter().flatten();
        let entry = self.one_of(places.map(|place| &self.entries[*place]), &name)?;
        Ok(Descriptor::new(&*entry.descriptor.media_type, entry.descriptor.digest, entry.descriptor.size))
    }

    fn document(&self, _: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        self.read_document(descriptor)
    }

    fn blob(&self, _: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        Ok(Box::new(self.open_blob(descriptor)?))
    }

    fn holds(&self, _: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        match self.open_blob(descriptor) {
            Ok(_) => Ok(true),
            Err(error) if error.class == Kind::Absent => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn ranges(&self) -> Option<&dyn Ranges> {
        Some(self)
    }

    fn referrers(&self) -> Option<&dyn Referrers> {
        Some(self)
    }

    fn tags(&self) -> Option<&dyn TagList> {
        Some(self)
    }

    fn catalog(&self) -> Option<&dyn Catalog> {
        Some(self)
    }

    fn holdings(&self) -> Option<&dyn Holdings> {
        Some(self)
    }
}

impl Catalog for Layout {
    fn repositories(&self, host: Option<&str>) -> Result<Vec<Repository>, Error> {
        let named = self.entries.iter().flat_map(|entry| &entry.names).map(|name| &name.repository);
        let unnamed = self.entries.iter().any(|entry| entry.names.is_empty()).then_some(&self.repository);
        let all: BTreeSet<&Repository> = named.chain(unnamed).collect();
        Ok(all.into_iter().filter(|one| host.is_none_or(|host| one.host() == host)).cloned().collect())
    }
}

impl Ranges for Layout {
    fn range(
        &self,
        _: &Repository,
        descriptor: &Descriptor,
        offset: u64,
        length: u64,
    ) -> Result<Option<Box<dyn Read + Send>>, Error> {
        let mut file = self.open_blob(descriptor)?;
        if offset.checked_add(length).is_none_or(|end| end > descriptor.size) {
            let what = differs(
                format_args!("blob {}", descriptor.digest),
                format_args!("a range within {} bytes", descriptor.size),
                format_args!("{length} at {offset}"),
            );
            return Err(Error::new(Kind::Refused, what));
        }
        file.seek(SeekFrom::Start(offset)).map_err(|error| Error::io(format!("blob {}", descriptor.digest), &error))?;
        Ok(Some(Box::new(file.take(length))))
    }
}

impl Referrers for Layout {
    fn referrers(&self, _: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        Ok(self.relations()?.of(subject))
    }
}

impl TagList for Layout {
    fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        Ok(self.found.tags.get(repository).into_iter().flatten().cloned().collect())
    }
}
