//! Reads members that share a frame with others, and documents: once, then from the cache.
//!
//! Compares the digests of documents, but not of other blobs.

use crate::base::lock::lock;
use std::collections::HashMap;
use std::io::{Cursor, Read, Seek};
use std::ops::Range;
use std::sync::Arc;

use crate::bundle::Error;
use crate::bundle::format::document;
use crate::bundle::format::offsets::Unit;
use crate::bundle::format::tar::{Tar, padded};
use crate::bundle::frames::members::{Blind, Cursor as Members};
use crate::bundle::frames::random::whole;
use crate::bundle::frames::spares::Spare;
use crate::bundle::open::trusted::Trusted;
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Descriptor, Digest, Document};

/// Largest blob that is copied out of its frame, so that a slow reader does not hold the whole frame.
pub(super) const COPIED: u64 = 1 << 20;

/// A blob's part of a frame, or a copy of it.
enum Part {
    Of(Arc<Spare>, Range<usize>),
    Copy(Vec<u8>),
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Of(frame, range) => &frame[range.clone()],
            Self::Copy(bytes) => bytes,
        }
    }
}

impl Trusted {
    /// Whether the frame of a blob also holds other members.
    pub(in crate::bundle) fn is_shared(&self, index: usize) -> bool {
        self.flat().is_none() && self.offsets().unit_of(Tar::of_blob(index)).members.len() > 1
    }

    /// Returns where a blob's content is within its unit's content of `length` bytes.
    fn range_in(&self, unit: &Unit, index: usize, length: usize) -> Result<Range<usize>, Error> {
        let tar = &self.offsets().tar;
        let size = self.manifest().blobs[index].size;
        let from = tar.end(Tar::of_blob(index)) - tar.start(unit.members.start) - padded(size);
        let range = usize::try_from(from).ok().zip(usize::try_from(from + size).ok());
        let range = range.filter(|(_, to)| *to <= length).map(|(from, to)| from..to);
        range.ok_or_else(|| Error::integrity("frame is shorter than its members"))
    }

    /// Returns a reader of a blob whose frame is shared.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Integrity`], [`crate::base::fault::Class::Format`], [`crate::base::fault::Class::Io`].
    pub(in crate::bundle) fn shared(&self, index: usize) -> Result<impl Read + Seek + Send + use<>, Error> {
        let unit = self.offsets().unit_of(Tar::of_blob(index));
        let slot = self.cache.slot(unit.frames.start);
        let mut slot = lock(&slot);
        let frame = match &*slot {
            Some(frame) => Arc::clone(frame),
            None => {
                let frame = self.cache.unpacking(|| self.whole_unit(unit))?;
                self.compare_around(unit, &frame)?;
                Arc::new(frame)
            }
        };
        *slot = Some(Arc::clone(&frame));
        let range = self.range_in(unit, index, frame.len())?;
        let is_small = range.len() as u64 <= COPIED;
        Ok(Cursor::new(if is_small { Part::Copy(frame[range].to_vec()) } else { Part::Of(frame, range) }))
    }

    fn whole_unit(&self, unit: &Unit) -> Result<Spare, Error> {
        whole(self.offsets(), self.volumes(), unit.frames.clone(), self.cache.spares())
    }

    /// Compares the headers and the padding of all members in the frames of a unit, so that content
    /// is only taken from bytes that were signed. (Not required when looking for documents:
    /// `spec/verification.md`.)
    fn compare_around(&self, unit: &Unit, content: &[u8]) -> Result<(), Error> {
        let mut cursor = Members::new(&self.offsets().tar, unit.members.start, false);
        cursor.take_all(content, &mut Blind).map_err(|error| self.in_unit(unit, error))
    }

    /// Returns a document that the bundle carries, with its digest checked, or `None` if it is
    /// absent.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Integrity`], [`crate::base::fault::Class::Format`], [`crate::base::fault::Class::Io`].
    pub fn carried_document(&self, descriptor: &Descriptor) -> Result<Option<Document>, Error> {
        let Some(index) = self.blob_index(&descriptor.digest) else { return Ok(None) };
        let digest = descriptor.digest;
        document::check_size(digest, self.manifest().blobs[index].size)?;
        let raw = match self.flat() {
            Some(flat) => flat.whole(&digest, self.manifest().blobs[index].size)?.into(),
            None => self.kept_document(index)?,
        };
        let found = Digest::of(digest.algorithm(), &raw);
        if found != digest {
            let place = match self.flat() {
                Some(_) => "its file".to_owned(),
                None => self.place_of(self.offsets().unit_of(Tar::of_blob(index))),
            };
            return Err(Error::integrity(format!("manifest {digest}: content has digest {found} ({place})")));
        }
        document::parse(descriptor, raw).map(Some)
    }

    /// Returns the bytes of a document. Also keeps everything else in its unit that may be a
    /// document.
    fn kept_document(&self, index: usize) -> Result<Arc<[u8]>, Error> {
        let offsets = self.offsets();
        let number = offsets.unit_index(Tar::of_blob(index));
        let unit = &offsets.units[number];
        // Reads under the lock, so that others that want this unit wait instead of reading it too.
        let mut documents = self.cache.documents();
        if let Some(raw) = documents.get(number, index) {
            return Ok(Arc::clone(raw));
        }
        // Nothing is read from a volume that does not match the manifest.
        let frames = &unit.frames;
        let volumes = offsets.volume_of(frames.start)..=offsets.volume_of(frames.end.saturating_sub(1));
        volumes.into_iter().try_for_each(|volume| self.fits(volume))?;
        documents.read += offsets.plain(frames.clone());
        let content = self.cache.unpacking(|| self.whole_unit(unit))?;
        if let Err(error) = self.compare_around(unit, &content) {
            documents.amiss.get_or_insert(error);
        }
        let raw: Arc<[u8]> = Arc::from(&content[self.range_in(unit, index, content.len())?]);
        if documents.has(number) {
            // It does not look like a document, so the walk ends anyway.
            return Ok(raw);
        }
        let mut found = HashMap::from([(index, Arc::clone(&raw))]);
        for other in unit.members.clone().filter_map(|member| member.checked_sub(Tar::of_blob(0))) {
            let blob = self.manifest().blobs.get(other);
            if blob.is_some_and(|blob| blob.size <= MAX_DOCUMENT) {
                let raw = &content[self.range_in(unit, other, content.len())?];
                // Only the content shows whether a blob is a document.
                if Document::sniff(raw).is_some() {
                    found.insert(other, Arc::from(raw));
                }
            }
        }
        documents.keep(number, found);
        Ok(raw)
    }
}

#[cfg(test)]
#[cfg(feature = "carry")]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::base::fault::Class;
    use crate::bundle::source::blob_cache::MAX_CACHED;
    use crate::bundle::time::Moment;
    use crate::bundle::write::{Input, InputBlob, Options, write};
    use crate::bundle::{Name, Output, open};
    use crate::content::{self, Source};
    use crate::flow::{FixedClock, Flow, Silent};
    use crate::oci::media_type::OCI_MANIFEST;
    use crate::oci::{Artifact, Reference, Repository};

    /// Returns zeros.
    struct Zeros;

    impl Source for Zeros {
        fn resolve(&self, _: &Reference) -> Result<Descriptor, content::Error> {
            unreachable!("nothing is named")
        }
        fn document(&self, _: &Repository, _: &Descriptor) -> Result<Document, content::Error> {
            unreachable!("documents are at hand")
        }
        fn blob(&self, _: &Repository, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>, content::Error> {
            Ok(Box::new(std::io::repeat(0).take(blob.size)))
        }
        fn holds(&self, _: &Repository, _: &Descriptor) -> Result<bool, content::Error> {
            Ok(true)
        }
    }

    fn flow() -> Flow {
        Flow::new(Arc::new(Silent), Arc::new(FixedClock::at(0)), 2, 1)
    }

    /// Four frames, each with five documents and their layers, in the order of the artifacts; if
    /// `scattered`, each document is in the frame after that of the previous artifact's.
    fn bundle(dir: &Path, scattered: bool) -> Trusted {
        let repository = Repository::exact("localhost/a").unwrap();
        let make = |number: usize| {
            let size = (3 << 20) + number;
            let layer = Descriptor::new("a/zeros", Digest::sha256(&vec![0; size]), size as u64);
            let json = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": layer, "annotations": {"n": "1".repeat(500)}});
            (Document::parse(OCI_MANIFEST, serde_json::to_vec(&json).unwrap()).unwrap(), layer)
        };
        let mut parts: Vec<_> = (0..20).map(make).collect();
        parts.sort_by_key(|(document, _)| document.digest());
        let artifact = |(document, _): &(Document, Descriptor)| Artifact {
            artifact_type: None,
            digest: document.digest(),
            media_type: OCI_MANIFEST.to_owned(),
            original: None,
            repository: repository.clone(),
            size: document.size(),
            source: None,
            subject: None,
            tags: Vec::new(),
        };
        let artifacts = parts.iter().map(artifact).collect();
        if scattered {
            let mut order: Vec<_> = parts.into_iter().enumerate().collect();
            order.sort_by_key(|(place, _)| (place % 4, *place));
            parts = order.into_iter().map(|(_, part)| part).collect();
        }
        let blob = |descriptor: Descriptor, document: Option<Document>| {
            let repository = repository.clone();
            InputBlob { descriptor, repository, document, small: true }
        };
        let both = |(document, layer): (Document, Descriptor)| {
            [blob(document.descriptor(), Some(document)), blob(layer, None)]
        };
        let input = Input {
            name: Name::new("b").unwrap(),
            created: Moment::from_unix(0).unwrap(),
            tool: "packmule 0.1.0".to_owned(),
            artifacts,
            blobs: parts.into_iter().flat_map(both).collect(),
            absent: Vec::new(),
            bases: Vec::new(),
            channel: None,
            annotations: BTreeMap::new(),
            volume_size: u64::MAX,
            level: 1,
            request: String::new(),
        };
        let output = Output::open(dir, &input.name, false).unwrap();
        let sign = |_: &[u8]| Ok(b"{}".to_vec());
        write(&flow(), &Zeros, &output, &input, Options { sign: &sign, read_back: None, leave_out: false }).unwrap();
        open(dir).unwrap().assume().unwrap()
    }

    #[test]
    fn what_stands_around_a_blob_is_compared_when_its_frame_is_shared() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = bundle(dir.path(), false);
        let unit = bundle.offsets().unit_of(Tar::of_blob(9)).clone();
        let good = bundle.whole_unit(&unit).unwrap().to_vec();
        bundle.compare_around(&unit, &good).unwrap();
        let tar = &bundle.offsets().tar;
        let (member, from) = (Tar::of_blob(9), tar.start(unit.members.start));
        for at in [tar.start(member), tar.start(member) + 511, tar.end(member) - 1] {
            let mut wrong = good.clone();
            wrong[usize::try_from(at - from).unwrap()] ^= 1;
            let error = bundle.compare_around(&unit, &wrong).unwrap_err();
            assert!(error.class == Class::Integrity && error.what.contains("(volume b.0001.tar.zst,"), "{error}");
        }
        assert!((0..40).all(|index| bundle.is_shared(index)), "each is next to others");
    }

    #[test]
    fn documents_beyond_the_room_are_read_in_the_order_of_their_use_and_else_refused() {
        for (scattered, room, class) in [
            (false, MAX_CACHED, None),
            (true, MAX_CACHED, None),
            // Room for one unit.
            (false, 5000, None),
            (true, 5000, Some(Class::Format)),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let bundle = bundle(dir.path(), scattered);
            assert_eq!(bundle.offsets().frames(), 5, "four frames and the end");
            bundle.cache.documents().room = room;
            let found = bundle.closure(&flow()).err().map(|error| error.class);
            assert_eq!(found, class, "scattered: {scattered}, room: {room}");
            let (read, whole) = (bundle.cache.read(), bundle.offsets().tar.length());
            assert!(read <= whole * if class.is_none() { 1 } else { 3 }, "{read} of {whole}, room: {room}");
            assert!(bundle.cache.documents().bytes <= room.max(5000));
        }
    }
}
