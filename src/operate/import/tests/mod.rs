//! Tests of the import, layout to layout, with sources that lie and destinations that fail.

mod advance;
mod arrive;
mod bases;
mod blobs_only;
mod ledger;
mod liar;
mod many;
mod once;
mod planned;
mod recheck;
mod rooms;
mod sparse;
mod unread;

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tempfile::TempDir;

use self::liar::{Liar, Lie};
use self::rooms::Rooms;
use super::*;
use crate::base::fault::{Class, Fault};
use crate::base::lock::lock;
use crate::content::checked::Checked;
use crate::content::{Body, Destination, Error, Inventory, Kind, Mounts, Rights, Source};
use crate::decide::route::{Place, Route};
use crate::decide::select::Referrers;
use crate::flow::{FixedClock, Flow, Silent};
use crate::layout::Layout;
use crate::oci::media_type::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use crate::oci::{Absent, Artifact, Descriptor, Digest, Document, Reason, Reference, Repository, Tag};

fn flow(jobs: usize) -> Flow {
    Flow::new(Arc::new(Silent), Arc::new(FixedClock::default()), jobs, 1)
}

struct Bytes(Vec<u8>, Descriptor);

impl Body for Bytes {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Checked::new(io::Cursor::new(self.0.clone()), self.1.clone())))
    }
}

fn put(layout: &Layout, media_type: &str, content: &[u8]) -> Descriptor {
    let descriptor = Descriptor::new(media_type, Digest::sha256(content), content.len() as u64);
    let body = Bytes(content.to_vec(), descriptor.clone());
    layout.put_blob(layout.repository(), &descriptor, &body).unwrap();
    descriptor
}

fn document(layout: &Layout, media_type: &str, mut json: serde_json::Value) -> Document {
    json["schemaVersion"] = json!(2);
    json["mediaType"] = json!(media_type);
    let document = Document::parse(media_type, serde_json::to_vec(&json).unwrap()).unwrap();
    layout.put_manifest(layout.repository(), &document).unwrap();
    document
}

fn image(layout: &Layout, layers: &[&str]) -> Document {
    let config = put(layout, OCI_CONFIG, layers.concat().as_bytes());
    let layers: Vec<Descriptor> = layers.iter().map(|layer| put(layout, "x/layer", layer.as_bytes())).collect();
    document(layout, OCI_MANIFEST, json!({"config": config, "layers": layers}))
}

fn index(layout: &Layout, children: &[&Document]) -> Document {
    let children: Vec<Descriptor> = children.iter().map(|child| child.descriptor()).collect();
    document(layout, OCI_INDEX, json!({ "manifests": children }))
}

fn repository(text: &str) -> Repository {
    Repository::exact(text).unwrap()
}

fn artifact(name: &str, tags: &[&str], document: &Document) -> Artifact {
    Artifact {
        artifact_type: None,
        digest: document.digest(),
        media_type: document.media_type().to_owned(),
        original: None,
        repository: repository(name),
        size: document.size(),
        source: None,
        subject: document.subject().map(|subject| subject.digest),
        tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(),
    }
}

/// Three repositories with shared layers, an index, and one untagged artifact.
struct Set {
    _folder: TempDir,
    source: Layout,
    artifacts: Vec<Artifact>,
    shared: Digest,
}

fn set() -> Set {
    let folder = TempDir::new().unwrap();
    let source = Layout::create(folder.path()).unwrap();
    let (one, two) = (image(&source, &["base layer", "one"]), image(&source, &["base layer", "two"]));
    let both = index(&source, &[&one, &two]);
    let three = image(&source, &["base layer", "three"]);
    source.finish().unwrap();
    let artifacts = vec![
        artifact("a.example/x", &["v1", "latest"], &both),
        artifact("a.example/x", &[], &one),
        artifact("a.example/y", &["v1"], &three),
        artifact("b.example:5000/z", &["v1"], &two),
    ];
    Set { _folder: folder, source, artifacts, shared: Digest::sha256(b"base layer") }
}

/// A check that refuses, or only records whether a tag was set before it.
struct Looks<'a>(&'a Rooms, bool);

impl ImportCheck for Looks<'_> {
    fn before_tags(&self) -> Result<(), Fault> {
        assert_eq!(self.0.count("tag"), 0);
        self.0.call("gate");
        if self.1 { Ok(()) } else { Err(Fault::new(Class::Integrity, "incomplete")) }
    }
}

fn registry_route() -> Route {
    Route::new(Place::registry("reg.site/m").unwrap(), false, Vec::new())
}

fn request<'a>(set: &'a Set, destination: &'a dyn Destination, route: &'a Route) -> Request<'a> {
    Request {
        source: &set.source,
        destination,
        check: &NoCheck,
        artifacts: &set.artifacts,
        absent: &[],
        route,
        tag_conflict: TagConflict::Fail,
        tag_book: None,
        keep_going: false,
        dry_run: false,
        sides: Sides::BUNDLE,
        select: &[],
        goal: Goal::Whole,
        referrers: &Referrers::All,
        siblings: None,
        wanted: None,
        ledger: None,
    }
}
