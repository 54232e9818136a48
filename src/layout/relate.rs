//! Finds the relations between the documents of a layout.
//!
//! A document refers to its subject wherever it lies in the layout: as an entry, below one, in a list
//! under a fallback tag, or only among the blobs (as cosign writes bundles). Its type does not
//! matter; the plan decides what can be carried.

use std::collections::HashSet;
use std::io::Read;

use serde_json::Value;

use super::Layout;
use super::entry::{Entry, Standing};
use super::relations::Relations;
use crate::base::fault::escape;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::media_type::document_kind;
use crate::oci::{Descriptor, Digest, Document, Tag};

/// Text in every document with a subject.
const SUBJECT: &[u8] = b"\"subject\"";

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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use crate::content::Referrers as _;
    use crate::flow::{Event, Events, FixedClock, Flow};
    use crate::oci::media_type::{OCI_ARTIFACT, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Events for Heard {
        fn event(&self, event: Event) {
            if let Event::Warning(text) = event {
                lock(&self.0).push(text);
            }
        }
    }

    /// A layout made by hand.
    struct Made(TempDir);

    impl Made {
        fn new() -> Self {
            let made = Self(TempDir::new().unwrap());
            std::fs::create_dir_all(made.0.path().join("blobs/sha256")).unwrap();
            std::fs::write(made.0.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
            made
        }

        fn put(&self, media_type: &str, value: &Value) -> Descriptor {
            let bytes = serde_json::to_vec(value).unwrap();
            let digest = Digest::sha256(&bytes);
            std::fs::write(self.0.path().join("blobs/sha256").join(digest.hex()), &bytes).unwrap();
            Descriptor::new(media_type, digest, bytes.len() as u64)
        }

        fn manifest(&self, text: &str, subject: Option<&Descriptor>) -> Descriptor {
            let config = self.put(OCI_CONFIG, &json!({}));
            let mut value = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [],
                "annotations": {"text": text}});
            if let Some(subject) = subject {
                (value["subject"], value["artifactType"]) = (json!(subject), "x/sbom".into());
            }
            self.put(OCI_MANIFEST, &value)
        }

        /// Writes the index of these entries, each with a name, and opens the layout.
        fn open(&self, entries: &[(&Descriptor, &str)]) -> (Layout, Arc<Heard>) {
            let entry = |(descriptor, name): &(&Descriptor, &str)| {
                let mut entry = json!(descriptor);
                if !name.is_empty() {
                    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
                }
                entry
            };
            let entries: Vec<Value> = entries.iter().map(entry).collect();
            let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
            std::fs::write(self.0.path().join("index.json"), index.to_string()).unwrap();
            let heard = Arc::new(Heard::default());
            let events = Arc::clone(&heard) as Arc<dyn Events>;
            let flow = Flow::new(events, Arc::new(FixedClock::default()), 1, 1);
            (Layout::open(self.0.path()).unwrap().in_flow(&flow), heard)
        }
    }

    fn referrers(layout: &Layout, subject: &Descriptor) -> Vec<Descriptor> {
        layout.referrers(layout.repository(), subject.digest).unwrap()
    }

    fn digests(all: &[Descriptor]) -> HashSet<Digest> {
        all.iter().map(|one| one.digest).collect()
    }

    #[test]
    fn a_subject_counts_wherever_its_document_lies_and_whatever_its_type() {
        let made = Made::new();
        let image = made.manifest("image", None);
        let entry = made.manifest("entry", Some(&image));
        let old =
            made.put(OCI_ARTIFACT, &json!({"mediaType": OCI_ARTIFACT, "artifactType": "x/sig", "subject": image}));
        let stray_old = made.put("", &json!({"mediaType": "x/future", "subject": image, "text": 1}));
        let below = made.manifest("below an index", Some(&image));
        let index = made.put(OCI_INDEX, &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [below]}));
        let stray = made.manifest("stray", Some(&image));
        // Others claim nothing.
        made.put("", &json!({"subject": [{"digest": image.digest}], "mediaType": "x/statement"}));
        made.put("", &json!({"subject": {"digest": image.digest}}));
        std::fs::write(made.0.path().join("blobs/sha256").join("0".repeat(64)), b"\"subject\" is a word").unwrap();
        let (layout, heard) = made.open(&[(&image, "v1"), (&entry, ""), (&old, ""), (&index, "x")]);
        let found = referrers(&layout, &image);
        let expected = [&entry, &old, &stray_old, &below, &stray].map(|one| one.digest);
        assert_eq!((digests(&found), found.len()), (HashSet::from(expected), 5));
        let told = |digest: Digest| found.iter().find(|one| one.digest == digest).unwrap();
        assert_eq!(told(stray.digest).artifact_type.as_deref(), Some("x/sbom"));
        assert_eq!(told(old.digest).media_type, OCI_ARTIFACT);
        assert_eq!(told(stray_old.digest).media_type, "x/future");
        assert!(lock(&heard.0).is_empty());
        // With the whole layout, entries without a name travel with their subject.
        let travels: Vec<bool> = layout.entries().iter().map(|entry| layout.travels(entry).unwrap()).collect();
        assert_eq!(travels, [false, true, true, false]);
    }

    #[test]
    fn an_entry_travels_only_with_what_the_entries_reach() {
        let made = Made::new();
        let elsewhere = made.manifest("only a blob", None);
        let sbom = made.manifest("sbom", Some(&elsewhere));
        let sig = made.manifest("signature of the sbom", Some(&sbom));
        let (layout, _) = made.open(&[(&sbom, ""), (&sig, "")]);
        let travels: Vec<bool> = layout.entries().iter().map(|entry| layout.travels(entry).unwrap()).collect();
        assert_eq!(travels, [false, true]);
    }

    #[test]
    fn a_list_under_a_fallback_tag_names_referrers_and_is_no_artifact() {
        let made = Made::new();
        let image = made.manifest("image", None);
        let listed = made.manifest("listed", Some(&image));
        let gone = Descriptor::new(OCI_MANIFEST, Digest::sha256(b"gone"), 4);
        let list =
            made.put(OCI_INDEX, &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [listed, gone]}));
        let tag = Tag::referrers_fallback(image.digest).to_string();
        let (layout, heard) = made.open(&[(&image, "v1"), (&list, &tag)]);
        assert_eq!(digests(&referrers(&layout, &image)), HashSet::from([listed.digest, gone.digest]));
        let travels: Vec<bool> = layout.entries().iter().map(|entry| layout.travels(entry).unwrap()).collect();
        assert_eq!(travels, [false, true]);
        assert!(layout.lists_of_nothing().unwrap().is_empty());
        // Without the subject, the list is told.
        let (layout, _) = made.open(&[(&list, &tag)]);
        assert_eq!(layout.lists_of_nothing().unwrap().len(), 1);
        // One that is no index lists nothing, and is told.
        let (layout, other) = made.open(&[(&image, "v1"), (&image, &tag)]);
        assert_eq!(digests(&referrers(&layout, &image)), HashSet::from([listed.digest]));
        assert!(lock(&heard.0).is_empty());
        let told = lock(&other.0);
        assert!(told.len() == 1 && told[0].contains(&tag), "{told:?}");
    }

    #[test]
    fn what_cannot_be_read_is_told_or_ends_the_search() {
        let made = Made::new();
        let image = made.manifest("image", None);
        let gone = Descriptor::new(OCI_MANIFEST, Digest::sha256(b"gone"), 4);
        let folder = made.0.path().join("blobs/sha256");
        std::fs::create_dir(folder.join(Digest::sha256(b"folder").hex())).unwrap();
        let (layout, heard) = made.open(&[(&image, "v1"), (&gone, "")]);
        assert!(referrers(&layout, &image).is_empty());
        let told = lock(&heard.0).clone();
        for digest in [gone.digest, Digest::sha256(b"folder")] {
            assert!(told.len() == 2 && told.iter().any(|text| text.contains(&digest.to_string())), "{told:?}");
        }
        let damaged = made.manifest("damaged", None);
        std::fs::write(folder.join(damaged.digest.hex()), b"{}").unwrap();
        let (layout, _) = made.open(&[(&image, "v1"), (&damaged, "")]);
        assert!(layout.referrers(layout.repository(), image.digest).is_err());
    }
}
