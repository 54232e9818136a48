//! Reads blobs of a cache; none is removed meanwhile. The cache as a source of content by digest.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::sync::Arc;

use super::store::CacheLayout;
use crate::content::{Error, Kind, Ranges, Source};
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Descriptor, Digest, Document, Reference, Repository};

/// A blob that is being read; it is not removed meanwhile.
struct Reading {
    cache: Arc<CacheLayout>,
    digest: Digest,
    file: File,
    left: u64,
}

impl CacheLayout {
    /// Opens a blob for reading, if it is kept, and counts this as a use.
    fn reading(&self, digest: Digest) -> Result<Option<Reading>, Error> {
        let Some(cache) = self.this.upgrade() else { return Ok(None) };
        if !self.room(|room| room.read(digest)) {
            return Ok(None);
        }
        match self.disk.blob(digest) {
            Ok(Some((file, size))) => Ok(Some(Reading { cache, digest, file, left: size })),
            other => {
                self.room(|room| room.release(digest));
                // Somebody else removed the file.
                self.remove(digest);
                other.map(|_| None).map_err(|error| self.io(format_args!("blob {digest}"), &error))
            }
        }
    }

    /// Reads a document, if it is kept and is one.
    ///
    /// # Errors
    /// [`Kind::Io`]; [`Kind::Mismatch`] for content that has changed on the disk, which is removed.
    pub fn document(&self, digest: Digest) -> Result<Option<Document>, Error> {
        let Some(reading) = self.reading(digest)? else { return Ok(None) };
        let mut raw = Vec::new();
        let read = reading.take(MAX_DOCUMENT + 1).read_to_end(&mut raw);
        read.map_err(|error| Error::from_io(format!("{}: blob {digest}", self.shown), error))?;
        if Digest::of(digest.algorithm(), &raw) != digest {
            self.remove(digest);
            return Err(Error::new(Kind::Mismatch, format!("{}: blob {digest}: its content has changed", self.shown)));
        }
        let document = Document::sniff(&raw).map(|media_type| Document::with_digest(&media_type, digest, raw));
        let document = document.and_then(Result::ok);
        if document.is_some() {
            self.room(|room| room.mark(digest));
        }
        Ok(document)
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.file.read(&mut buffer[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let digest = self.digest;
        self.cache.room(|room| room.release(digest));
        self.cache.trim();
    }
}

fn absent(descriptor: &Descriptor) -> Error {
    Error::new(Kind::Absent, format!("blob {}: not in the cache", descriptor.digest))
}

/// Content by digest; names are asked for elsewhere.
impl Source for CacheLayout {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        let document = reference.digest.map_or(Ok(None), |digest| self.document(digest))?;
        document
            .map(|document| document.descriptor())
            .ok_or_else(|| Error::new(Kind::Absent, format!("{reference}: not in the cache")))
    }

    fn document(&self, _: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        Self::document(self, descriptor.digest)?.ok_or_else(|| absent(descriptor))
    }

    fn blob(&self, _: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        Ok(Box::new(self.reading(descriptor.digest)?.ok_or_else(|| absent(descriptor))?))
    }

    fn holds(&self, _: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        Ok(self.size(descriptor.digest) == Some(descriptor.size))
    }

    fn ranges(&self) -> Option<&dyn Ranges> {
        Some(self)
    }
}

impl Ranges for CacheLayout {
    fn range(
        &self,
        _: &Repository,
        descriptor: &Descriptor,
        offset: u64,
        length: u64,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, Error> {
        let mut reading = self.reading(descriptor.digest)?.ok_or_else(|| absent(descriptor))?;
        let sought = reading.file.seek(SeekFrom::Start(offset));
        sought.map_err(|error| self.io(format_args!("blob {}", descriptor.digest), &error))?;
        reading.left = length.min(reading.left.saturating_sub(offset));
        Ok(Some(Box::new(reading)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Tag;

    fn put(cache: &CacheLayout, content: &[u8]) -> Digest {
        let digest = Digest::sha256(content);
        let mut incoming = cache.begin(digest, content.len() as u64).unwrap();
        incoming.write(content).unwrap();
        incoming.publish().unwrap();
        digest
    }

    #[test]
    fn c12_the_least_used_makes_room_and_nothing_that_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, _) = CacheLayout::open(dir.path(), Some(30)).unwrap();
        let all: Vec<Digest> = (0..3_u8).map(|number| put(&cache, &[number; 10])).collect();
        let kept = || all.iter().map(|digest| cache.size(*digest).is_some()).collect::<Vec<_>>();
        assert_eq!((kept(), cache.bytes()), (vec![true; 3], 30));
        // The first is used, the second is being read: the third goes.
        drop(cache.reading(all[0]).unwrap());
        let reading = cache.reading(all[1]).unwrap().unwrap();
        drop(cache.reading(all[0]).unwrap());
        put(&cache, &[9; 10]);
        assert_eq!((kept(), cache.bytes()), (vec![true, true, false], 30));
        // More than fits: what is read stays, and goes when nobody reads it any more.
        put(&cache, &[8; 29]);
        assert_eq!(kept(), [false, true, false]);
        drop(reading);
        assert!(cache.bytes() <= 30, "{}", cache.bytes());
        // One that breaks off leaves no file and takes no room.
        let before = cache.bytes();
        let mut broken = cache.begin(Digest::sha256(b"x"), 1).unwrap();
        broken.write(b"x").unwrap();
        drop(broken);
        assert!(cache.bytes() <= before);
        let files = std::fs::read_dir(dir.path().join("blobs/sha256")).unwrap().count();
        assert_eq!(files, cache.room(|room| room.count()));
    }

    #[test]
    fn c12_a_claimed_size_removes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, _) = CacheLayout::open(dir.path(), Some(30)).unwrap();
        let kept = put(&cache, &[1; 20]);
        assert_eq!(cache.begin(Digest::sha256(b"huge"), u64::MAX).err().unwrap().class, Kind::Refused);
        let incoming = cache.begin(Digest::sha256(b"claims"), 30).unwrap();
        assert!(cache.size(kept).is_some() && cache.bytes() == 20, "nothing has come yet");
        drop(incoming);
        let (unlimited, _) = CacheLayout::open(&dir.path().join("other"), None).unwrap();
        drop(unlimited.begin(Digest::sha256(b"huge"), u64::MAX).unwrap());
        assert_eq!(unlimited.bytes(), 0);
    }

    #[test]
    fn c9_names_are_found_again_and_go_with_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let config = serde_json::json!({"mediaType": "a/b", "digest": Digest::sha256(b"{}"), "size": 2});
        let json = serde_json::json!({"schemaVersion": 2, "config": config, "layers": []});
        let kind = crate::oci::media_type::OCI_MANIFEST;
        let document = Document::parse(kind, json.to_string().into_bytes()).unwrap();
        let repository = Repository::exact("reg.example/a").unwrap();
        let (cache, names) = CacheLayout::open(dir.path(), None).unwrap();
        assert!(names.is_empty() && CacheLayout::open(dir.path(), None).is_err(), "locked");
        cache.keep(&document).unwrap();
        cache.name(&[(Some((&repository, &Tag::new("1").unwrap())), &document)]).unwrap();
        drop(cache);
        let (cache, names) = CacheLayout::open(dir.path(), None).unwrap();
        assert_eq!((names.len(), names[0].repository.as_ref()), (1, Some(&repository)));
        assert_eq!(cache.document(document.digest()).unwrap().unwrap().raw(), document.raw());
        // Changed on the disk: never returned, and gone afterwards.
        std::fs::write(dir.path().join("blobs/sha256").join(document.digest().hex()), b"{}").unwrap();
        assert_eq!(cache.document(document.digest()).unwrap_err().class, Kind::Mismatch);
        assert!(cache.document(document.digest()).unwrap().is_none());
        drop(cache);
        assert!(CacheLayout::open(dir.path(), None).unwrap().1.is_empty());
    }
}
