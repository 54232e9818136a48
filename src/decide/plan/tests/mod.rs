//! An in-memory source, and plans made from it.
//!
//! Holds code shared by the tests; each file in this folder tests one part of the rules.

mod bases;
mod failures;
mod filters;
mod order;
mod referrers;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::content::{Error, Kind, Referrers as ListReferrers, TagList};
use crate::decide::select::{Filters, IndexMode, Referrers, Wanted};
use crate::flow::{Events, FixedClock};
use crate::oci::media_type::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use crate::oci::{Platform, Reference, Tag};

pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";

/// One repository, `localhost:5000/app` unless a name is given, and its contents.
#[derive(Default)]
pub struct Store {
    pub blobs: BTreeMap<(String, Digest), Vec<u8>>,
    pub tags: BTreeMap<(String, String), Descriptor>,
    pub referrers: BTreeMap<Digest, Vec<Descriptor>>,
    pub referrers_fail: bool,
    pub tag_list: bool,
    pub pages: Option<usize>,
    /// Error for every list of tags.
    pub tags_fail: Option<Kind>,
    /// Tags that are listed, but name nothing.
    pub stale: BTreeSet<String>,
    /// Errors for single documents.
    pub refuses: BTreeMap<Digest, Kind>,
    pub slow: bool,
    pub asked: Mutex<Vec<String>>,
}

pub const APP: &str = "localhost:5000/app";

impl Store {
    pub fn new() -> Self {
        Self { tag_list: true, ..Self::default() }
    }

    pub fn put(&mut self, media_type: &str, content: &[u8]) -> Descriptor {
        let digest = Digest::sha256(content);
        self.blobs.insert((APP.to_owned(), digest), content.to_vec());
        Descriptor::new(media_type, digest, content.len() as u64)
    }

    pub fn json(&mut self, media_type: &str, json: &Value) -> Descriptor {
        self.put(media_type, &serde_json::to_vec_pretty(json).unwrap())
    }

    /// Adds an image with one layer of `text`, whose configuration states `platform`.
    pub fn image(&mut self, platform: &str, text: &str) -> Descriptor {
        let mut config = json!({"rootfs": {}});
        if !platform.is_empty() {
            config = serde_json::to_value(platform.parse::<Platform>().unwrap()).unwrap();
        }
        let config = self.json(OCI_CONFIG, &config);
        let layer = self.put(LAYER, text.as_bytes());
        self.manifest(&json!({"config": config, "layers": [layer]}))
    }

    pub fn manifest(&mut self, members: &Value) -> Descriptor {
        let mut json = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []});
        json.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self.json(OCI_MANIFEST, &json)
    }

    pub fn index(&mut self, entries: &[Descriptor]) -> Descriptor {
        let json = json!({"x-unknown": {"b": 1, "a": [true, null]}, "manifests": entries, "mediaType": OCI_INDEX, "schemaVersion": 2});
        self.json(OCI_INDEX, &json)
    }

    /// Adds an index like BuildKit's: an image and its attestation for each platform.
    pub fn buildkit(&mut self, platforms: &[&str]) -> (Descriptor, Vec<Descriptor>) {
        let mut entries = Vec::new();
        for platform in platforms {
            let image = self.image(platform, &format!("layer of {platform}"));
            entries.push(at(image, platform));
        }
        for (image, platform) in entries.clone().iter().zip(platforms) {
            let attestation = self.image("", &format!("attestation of {platform}"));
            let mut attestation = at(attestation, "unknown/unknown");
            attestation.annotations = Some(BTreeMap::from([
                ("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned()),
                ("vnd.docker.reference.digest".to_owned(), image.digest.to_string()),
            ]));
            entries.push(attestation);
        }
        (self.index(&entries), entries)
    }

    /// Adds a manifest that refers to `subject`, and lists it.
    pub fn refer(&mut self, subject: &Descriptor, artifact_type: &str, text: &str) -> Descriptor {
        let empty = self.put("application/vnd.oci.empty.v1+json", b"{}");
        let layer = self.put("application/octet-stream", text.as_bytes());
        let mut made = self
            .manifest(&json!({"artifactType": artifact_type, "config": empty, "layers": [layer], "subject": subject}));
        made.artifact_type = Some(artifact_type.to_owned());
        self.referrers.entry(subject.digest).or_default().push(made.clone());
        made
    }

    pub fn tag(&mut self, tag: &str, descriptor: &Descriptor) {
        self.tags.insert((APP.to_owned(), tag.to_owned()), descriptor.clone());
    }

    pub fn drop_blob(&mut self, descriptor: &Descriptor) {
        self.blobs.retain(|(_, digest), _| *digest != descriptor.digest);
    }

    fn ask(&self, what: String) {
        if self.slow {
            let random = RandomState::new().build_hasher().finish();
            std::thread::sleep(Duration::from_micros(random % 1500));
        }
        self.asked.lock().unwrap().push(what);
    }

    fn bytes(&self, repository: &Repository, digest: Digest) -> Option<&Vec<u8>> {
        self.blobs.get(&(repository.to_string(), digest))
    }
}

pub fn at(mut descriptor: Descriptor, platform: &str) -> Descriptor {
    descriptor.platform = Some(platform.parse().unwrap());
    descriptor
}

impl Source for Store {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        self.ask(format!("resolve {reference}"));
        let absent = || Error::new(Kind::Absent, "expected a manifest, found none");
        if let Some(digest) = reference.digest {
            let bytes = self.bytes(&reference.repository, digest).ok_or_else(absent)?;
            let media_type = Document::sniff(bytes).unwrap_or_default();
            return Ok(Descriptor::new(media_type, digest, bytes.len() as u64));
        }
        let tag = reference.tag.as_ref().unwrap().to_string();
        self.tags.get(&(reference.repository.to_string(), tag)).cloned().ok_or_else(absent)
    }

    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        self.ask(format!("document {}", descriptor.digest));
        if let Some(kind) = self.refuses.get(&descriptor.digest) {
            return Err(Error::new(*kind, "no answer"));
        }
        let bytes = self.bytes(repository, descriptor.digest);
        let bytes = bytes.ok_or_else(|| Error::new(Kind::Absent, format!("manifest {}: absent", descriptor.digest)))?;
        Document::parse(&descriptor.media_type, bytes.clone())
            .map_err(|error| Error::new(Kind::Content(Class::Source), error.to_string()))
    }

    fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        self.ask(format!("blob {}", descriptor.digest));
        match self.bytes(repository, descriptor.digest) {
            Some(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
            None => Err(Error::new(Kind::Absent, format!("blob {}: absent", descriptor.digest))),
        }
    }

    fn holds(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        self.ask(format!("holds {}", descriptor.digest));
        Ok(self.bytes(repository, descriptor.digest).is_some())
    }

    fn referrers(&self) -> Option<&dyn ListReferrers> {
        Some(self)
    }

    fn tags(&self) -> Option<&dyn TagList> {
        self.tag_list.then_some(self as &dyn TagList)
    }
}

impl ListReferrers for Store {
    fn referrers(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        self.ask(format!("referrers {repository} {subject}"));
        if self.referrers_fail {
            return Err(Error::new(Kind::Failed, "503"));
        }
        Ok(self.referrers.get(&subject).cloned().unwrap_or_default())
    }
}

impl TagList for Store {
    fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        self.ask(format!("tags {repository}"));
        if let Some(kind) = self.tags_fail {
            return Err(Error::new(kind, "no list"));
        }
        let own = self.tags.keys().filter(|(name, _)| *name == repository.to_string());
        Ok(own.map(|(_, tag)| tag).chain(&self.stale).map(|tag| Tag::new(tag).unwrap()).collect())
    }

    fn tags_within(&self, repository: &Repository, pages: usize) -> Result<Option<Vec<Tag>>, Error> {
        let list = TagList::tags(self, repository)?;
        Ok(self.pages.is_none_or(|all| all <= pages).then_some(list))
    }
}

/// Collects warnings.
#[derive(Default)]
pub struct World(pub Mutex<Vec<String>>);

impl Events for World {
    fn event(&self, event: Event) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

pub fn flow(jobs: usize) -> (Flow, Arc<World>) {
    let world = Arc::new(World::default());
    (Flow::new(world.clone(), Arc::new(FixedClock::default()), jobs, 1), world)
}

pub fn select(references: &[&str]) -> Selection {
    let wanted = references.iter().map(|text| Wanted::new(text.parse().unwrap())).collect();
    Selection { wanted, ..Selection::default() }
}

pub fn only(references: &[&str], platforms: &[&str]) -> Selection {
    let mut selection = select(references);
    filter(&mut selection, |filters| filters.platforms = platforms.iter().map(|text| text.parse().unwrap()).collect());
    selection
}

/// Changes the filters of everything selected.
pub fn filter(selection: &mut Selection, change: impl Fn(&mut Filters)) {
    selection.wanted.iter_mut().for_each(|wanted| change(Arc::make_mut(&mut wanted.filters)));
}

/// Returns a plan and its warnings. Checks the properties that every plan must have.
pub fn plan(store: &Store, selection: &Selection) -> (Plan, Vec<String>) {
    let (flow, world) = flow(4);
    let plan = make(&flow, store, selection).unwrap();
    check(&plan);
    let warnings = world.0.lock().unwrap().clone();
    (plan, warnings)
}

pub fn refused(store: &Store, selection: &Selection) -> Fault {
    make(&flow(4).0, store, selection).unwrap_err()
}

/// Checks that {reachable} = {blobs} and {absent}, disjoint, that all documents are there, and that
/// the order is the bundle's.
fn check(plan: &Plan) {
    let closure = closure::walk(&plan.artifacts, |_, descriptor| {
        Ok::<_, std::convert::Infallible>(plan.documents.get(&descriptor.digest).cloned())
    })
    .unwrap();
    let mut reachable: Vec<Digest> = closure.nodes.iter().map(|node| node.descriptor.digest).collect();
    let mut named: Vec<Digest> = plan.blobs.iter().map(|blob| blob.descriptor.digest).collect();
    named.extend(plan.absent.iter().map(|absent| absent.digest));
    reachable.sort();
    named.sort();
    assert_eq!(reachable, named);
    assert!(plan.absent.is_sorted_by(|a, b| a.digest < b.digest));
    assert!(plan.blobs.is_sorted_by_key(|blob| !blob.small));
    for blob in &plan.blobs {
        assert_eq!(blob.role == Role::Document, plan.documents.contains_key(&blob.descriptor.digest));
    }
    let keys = plan.artifacts.iter().map(|artifact| (artifact.repository.to_string(), artifact.digest));
    assert!(keys.collect::<Vec<_>>().is_sorted());
}

pub fn carried(plan: &Plan) -> BTreeSet<Digest> {
    plan.blobs.iter().map(|blob| blob.descriptor.digest).collect()
}

pub fn tags_of(plan: &Plan, digest: Digest) -> Vec<String> {
    let artifact = plan.artifacts.iter().find(|artifact| artifact.digest == digest);
    artifact.unwrap().tags.iter().map(ToString::to_string).collect()
}
