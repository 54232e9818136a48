//! Relations between the documents of a layout: which refer to which, and which the entries reach.
//!
//! A document refers to its subject wherever it lies in the layout: as an entry, below one, in a list
//! under a fallback tag, or only among the blobs (as cosign writes bundles). Its type does not
//! matter; the plan decides what can be carried.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use serde_json::Value;

use super::attached::Standing;
use super::{Entry, Layout};
use crate::base::fault::escape;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::media_type::{OCI_INDEX, document_kind};
use crate::oci::{Descriptor, Digest, Document, Tag};

/// Text in every document with a subject.
const SUBJECT: &[u8] = b"\"subject\"";

/// The relations of all documents of a layout.
#[derive(Default)]
pub(super) struct Relations {
    // By subject, sorted by digest.
    referrers: HashMap<Digest, Vec<Descriptor>>,
    // By fallback tag.
    lists: HashMap<Tag, Vec<Descriptor>>,
    // Subjects of documents that have one.
    subjects: HashMap<Digest, Digest>,
    // Documents that the entries reach.
    reached: HashSet<Digest>,
}

impl Relations {
    /// Returns the referrers of `subject`, each once.
    pub(super) fn of(&self, subject: Digest) -> Vec<Descriptor> {
        let listed = self.lists.get(&Tag::referrers_fallback(subject)).into_iter().flatten();
        let mut seen = HashSet::from([subject]);
        let all = self.referrers.get(&subject).into_iter().flatten().chain(listed);
        all.filter(|one| seen.insert(one.digest)).cloned().collect()
    }

    fn add(&mut self, subject: Digest, referrer: Descriptor) {
        self.subjects.insert(referrer.digest, subject);
        self.referrers.entry(subject).or_default().push(referrer);
    }
}

impl Entry {
    /// Returns the fallback tag among the names of the entry, which makes it a list of referrers.
    pub fn fallback_tag(&self) -> Option<&Tag> {
        self.names.iter().filter_map(|name| name.tag.as_ref()).find(|tag| tag.is_referrers_fallback())
    }

    /// Reports whether the entry is an index under a fallback tag: a list of referrers, and not an
    /// artifact.
    pub fn is_list(&self) -> bool {
        self.descriptor.media_type == OCI_INDEX && self.fallback_tag().is_some()
    }
}

impl Layout {
    /// Returns the relations of all documents. Reads the layout at the first call.
    pub(super) fn relations(&self) -> Result<&Relations, Error> {
        // Other threads wait for the first.
        let _turn = lock(&self.relating);
        if let Some(known) = self.relations.get() {
            return Ok(known);
        }
        let found = self.relate()?;
        Ok(self.relations.get_or_init(|| found))
    }

    /// Reports whether the entry travels with another one that is selected with the whole layout:
    /// as a list of referrers, or without a name of its own as a referrer of, or attached to, a
    /// document that the entries reach.
    ///
    /// # Errors
    /// Fails if a document cannot be read.
    pub fn travels(&self, entry: &Entry) -> Result<bool, Error> {
        let relations = self.relations()?;
        let is_reached = |subject: &Digest| *subject != entry.descriptor.digest && relations.reached.contains(subject);
        Ok(match entry.standing {
            Standing::Attached(subject) => is_reached(&subject),
            Standing::Own if entry.names.is_empty() => {
                relations.subjects.get(&entry.descriptor.digest).is_some_and(is_reached)
            }
            Standing::Own => entry.is_list(),
            Standing::Unclear => false,
        })
    }

    /// Returns the lists of referrers among the entries whose subject the entries do not reach.
    ///
    /// # Errors
    /// Fails if a document cannot be read.
    pub fn lists_of_nothing(&self) -> Result<Vec<&Entry>, Error> {
        let lists: Vec<&Entry> = self.entries.iter().filter(|entry| entry.is_list()).collect();
        if lists.is_empty() {
            return Ok(lists);
        }
        let tags: HashSet<Tag> = self.relations()?.reached.iter().copied().map(Tag::referrers_fallback).collect();
        Ok(lists.into_iter().filter(|entry| entry.fallback_tag().is_some_and(|tag| !tags.contains(tag))).collect())
    }

    fn warn(&self, text: &str) {
        if let Some(flow) = &self.flow {
            flow.warn(format!("layout {}: {text}", self.path.display()));
        }
    }

    fn relate(&self) -> Result<Relations, Error> {
        let mut relations = Relations::default();
        let mut read = HashSet::new();
        let mut open = Vec::new();
        for entry in &self.entries {
            match entry.fallback_tag() {
                Some(tag) if entry.is_list() => {
                    let list = self.read_document(&entry.descriptor)?;
                    relations.lists.entry(tag.clone()).or_default().extend(list.manifests().iter().cloned());
                    continue;
                }
                Some(tag) => self.warn(&format!(
                    "entry {tag}: expected an index of referrers, found {:?}: taken as no referrers",
                    escape(&entry.descriptor.media_type)
                )),
                None => {}
            }
            open.push((entry.descriptor.clone(), true));
        }
        while let Some((descriptor, is_entry)) = open.pop() {
            self.check()?;
            let digest = descriptor.digest;
            if document_kind(&descriptor.media_type).is_none() || !relations.reached.insert(digest) {
                continue;
            }
            let document = match self.read_document(&descriptor) {
                Ok(document) => document,
                // A sparse index: the source does not have this child.
                Err(error) if error.class == Kind::Absent && !is_entry => continue,
                Err(error) if error.class == Kind::Absent => {
                    self.warn(&format!("entry {digest}: not found; it may refer to another entry"));
                    continue;
                }
                Err(error) => return Err(error),
            };
            read.insert(digest);
            if let Some(subject) = document.subject() {
                let mut referrer = document.descriptor();
                referrer.artifact_type = document.shown_artifact_type().map(ToOwned::to_owned);
                referrer.annotations = document.annotations().cloned();
                relations.add(subject.digest, referrer);
            }
            open.extend(document.manifests().iter().map(|child| (child.clone(), false)));
        }
        self.relate_blobs(&read, &mut relations)?;
        relations.referrers.values_mut().for_each(|list| list.sort_by_key(|one| one.digest));
        Ok(relations)
    }

    /// Adds the blobs that claim a subject, except those in `read`.
    fn relate_blobs(&self, read: &HashSet<Digest>, relations: &mut Relations) -> Result<(), Error> {
        let path = self.path.display();
        let all = self.disk.blobs().map_err(|error| Error::io(format!("layout {path}: blobs"), &error))?;
        for digest in all.into_iter().filter(|digest| !read.contains(digest)) {
            self.check()?;
            match self.claim(digest) {
                Ok(Some((subject, referrer))) => relations.add(subject, referrer),
                Ok(None) => {}
                Err(error) => self.warn(&format!("blob {digest}: {error}; it may refer to a manifest")),
            }
        }
        Ok(())
    }

    /// Returns the subject that a blob claims and its descriptor, if it is a document of any type
    /// that has one.
    fn claim(&self, digest: Digest) -> std::io::Result<Option<(Digest, Descriptor)>> {
        let Some((mut file, size)) = self.disk.blob(digest)?.filter(|(_, size)| *size <= MAX_DOCUMENT) else {
            return Ok(None);
        };
        let mut raw = vec![0; 1];
        if file.read(&mut raw)? == 0 || !(raw[0] == b'{' || raw[0].is_ascii_whitespace()) {
            return Ok(None);
        }
        file.take(MAX_DOCUMENT).read_to_end(&mut raw)?;
        if !raw.windows(SUBJECT.len()).any(|window| window == SUBJECT) {
            return Ok(None);
        }
        let Ok(value) = serde_json::from_slice::<Value>(&raw) else { return Ok(None) };
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let subject = value.get("subject").and_then(|subject| subject.get("digest")?.as_str()?.parse().ok());
        let media_type = text("mediaType").or_else(|| Document::sniff(&raw));
        let (Some(subject), Some(media_type)) = (subject, media_type) else { return Ok(None) };
        let mut referrer = Descriptor::new(media_type, digest, size);
        let config = || Some(value.get("config")?.get("mediaType")?.as_str()?.to_owned());
        referrer.artifact_type = text("artifactType").filter(|stated| !stated.is_empty()).or_else(config);
        Ok(Some((subject, referrer)))
    }
}
