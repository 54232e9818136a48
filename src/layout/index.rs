//! `index.json` of a layout: reads its descriptors and their names, and adds names.
//!
//! Keeps unknown members unchanged. Bytes in, bytes out; no I/O.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::attached::KIND;
use crate::base::fault::escape;
use crate::oci::media_type::OCI_INDEX;
use crate::oci::{Descriptor, Document, Reference, Repository, Tag};

/// Annotation for the name of a descriptor (image-spec): a tag, or any other text that tools write.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Annotation for the full name of an image (containerd).
pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// One entry as written.
pub(super) struct Raw {
    /// Descriptor.
    pub(super) descriptor: Descriptor,
    /// Raw names.
    pub(super) names: Vec<String>,
    /// Value of the annotation for its kind.
    pub(super) kind: Option<String>,
}

/// A parsed `index.json`.
pub(super) struct Index {
    members: Map<String, Value>,
    // `None` for a removed entry, whose name was moved to another one.
    manifests: Vec<Option<Value>>,
    // Positions of the entries of each name, in order.
    named: HashMap<String, Vec<usize>>,
    // Digests of the entries without a name.
    plain: HashSet<String>,
    // Minimum number of bytes in the file for the names that were set.
    added: u64,
}

/// Returns the raw names in the annotations of a descriptor.
fn raw_names(value: &Value) -> impl Iterator<Item = &str> {
    let annotations = value.get("annotations");
    [CONTAINERD_NAME, REF_NAME].into_iter().filter_map(move |key| annotations?.get(key)?.as_str())
}

impl Index {
    /// Makes an index without entries.
    pub(super) fn new() -> Self {
        let mut members = Map::new();
        members.insert("schemaVersion".into(), json!(2));
        members.insert("mediaType".into(), json!(OCI_INDEX));
        Self::of(members, Vec::new())
    }

    fn of(members: Map<String, Value>, manifests: Vec<Value>) -> Self {
        let mut index = Self { members, manifests: Vec::new(), named: HashMap::new(), plain: HashSet::new(), added: 0 };
        manifests.into_iter().for_each(|value| index.push(value));
        index
    }

    fn push(&mut self, value: Value) {
        let place = self.manifests.len();
        let mut is_named = false;
        for name in raw_names(&value) {
            is_named = true;
            let places = self.named.entry(name.to_owned()).or_default();
            // Both annotations often have the same value.
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
        if !is_named && let Some(digest) = value.get("digest").and_then(Value::as_str) {
            self.plain.insert(digest.to_owned());
        }
        self.manifests.push(Some(value));
    }

    /// Parses the bytes of an `index.json`. The error is a text with what was expected and found.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut members: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if members.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
            return Err("expected schemaVersion 2".into());
        }
        match members.remove("manifests") {
            Some(Value::Array(manifests)) => Ok(Self::of(members, manifests)),
            _ => Err("expected an array manifests".into()),
        }
    }

    /// Returns all entries. `type_of` returns the media type of a document whose entry has none (old
    /// tools).
    pub(super) fn entries(&self, type_of: impl Fn(&str) -> Option<String>) -> Result<Vec<Raw>, String> {
        let read = |(number, value): (usize, &Value)| {
            let mut value = value.clone();
            if value.get("mediaType").is_none() {
                let found = value.get("digest").and_then(Value::as_str).and_then(&type_of);
                if let (Some(members), Some(found)) = (value.as_object_mut(), found) {
                    members.insert("mediaType".into(), found.into());
                }
            }
            let names = raw_names(&value).map(ToOwned::to_owned).collect();
            let kind = value.get("annotations").and_then(|all| all.get(KIND)?.as_str()).map(ToOwned::to_owned);
            serde_json::from_value::<Descriptor>(value)
                .map(|descriptor| Raw { descriptor, names, kind })
                .map_err(|error| format!("entry {number}: {}", escape(&error.to_string())))
        };
        self.manifests.iter().flatten().enumerate().map(read).collect()
    }

    /// Returns the digest that `name` stands for, as text. The last entry counts, as in other
    /// tools.
    pub(super) fn named(&self, name: &str) -> Option<&str> {
        let mut places = self.named.get(name)?.iter().rev();
        let entry = places.find_map(|place| self.manifests.get(*place)?.as_ref())?;
        entry.get("digest")?.as_str()
    }

    /// Returns the minimum number of bytes in the file for the names that were set.
    pub(super) const fn added(&self) -> u64 {
        self.added
    }

    /// Makes `name` stand for `document` and nothing else.
    pub(super) fn set(&mut self, name: &str, document: &Document) {
        for place in self.named.remove(name).unwrap_or_default() {
            self.manifests[place] = None;
        }
        // Twice the name, a digest, and the member names.
        self.added += 2 * name.len() as u64 + 200;
        let mut value = plain(document);
        value["annotations"] = json!({ REF_NAME: name, CONTAINERD_NAME: name });
        self.push(value);
    }

    /// Adds `document` without a name, unless it already has an entry without a name.
    pub(super) fn set_plain(&mut self, document: &Document) {
        if !self.plain.contains(&document.digest().to_string()) {
            self.push(plain(document));
        }
    }

    /// Returns the bytes to write: entries sorted by name, then digest; members sorted by key.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut manifests: Vec<Value> = self.manifests.iter().flatten().cloned().collect();
        let key = |value: &Value| {
            let name = raw_names(value).last().unwrap_or_default().to_owned();
            (name, value.get("digest").and_then(Value::as_str).unwrap_or_default().to_owned())
        };
        manifests.sort_by_cached_key(key);
        let mut members = self.members.clone();
        members.insert("manifests".into(), Value::Array(manifests));
        // `Map` is ordered by key here: serde_json's `preserve_order` is off.
        serde_json::to_vec(&members).map_err(|error| error.to_string())
    }
}

fn plain(document: &Document) -> Value {
    let mut value = json!({
        "mediaType": document.media_type(),
        "digest": document.digest(),
        "size": document.size(),
    });
    if let Some(artifact_type) = document.artifact_type() {
        value["artifactType"] = artifact_type.into();
    }
    value
}

/// Reports whether a raw name is a tag or a reference.
pub(super) fn is_name(raw: &str) -> bool {
    Tag::new(raw).is_ok() || raw.parse::<Reference>().is_ok()
}

/// Converts the raw names of an entry to references; a plain tag becomes a reference to repository
/// `local`. Omits names that are neither; the entry can still be found by its raw name.
pub(super) fn references(raw: &[String], local: &Repository) -> Vec<Reference> {
    let mut found: Vec<Reference> = Vec::new();
    for name in raw {
        let reference = match Tag::new(name) {
            // Skip a tag that only repeats the end of a full name.
            Ok(tag) if found.iter().any(|full| full.tag.as_ref() == Some(&tag)) => continue,
            Ok(tag) => Reference { repository: local.clone(), tag: Some(tag), digest: None },
            Err(_) => match name.parse() {
                Ok(reference) => reference,
                Err(_) => continue,
            },
        };
        if !found.contains(&reference) {
            found.push(reference);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(raw: &[&str]) -> Vec<String> {
        let raw: Vec<String> = raw.iter().map(ToString::to_string).collect();
        let local = Repository::exact("localhost/dir").unwrap();
        references(&raw, &local).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_are_tags_or_references() {
        assert_eq!(shown(&["v1.2"]), ["localhost/dir:v1.2"]);
        assert_eq!(shown(&["org/app:v1"]), ["docker.io/org/app:v1"]);
        assert_eq!(shown(&["reg.example:5000/a:t", "t"]), ["reg.example:5000/a:t"]);
        assert_eq!(shown(&["reg.example/a:t", "u"]), ["reg.example/a:t", "localhost/dir:u"]);
        assert_eq!(shown(&["reg.example/a:t", "reg.example/a:t"]), ["reg.example/a:t"]);
        assert_eq!(shown(&["a b", "-x", "A/B:c", ""]), [""; 0]);
    }

    #[test]
    fn foreign_members_live_on_and_order_is_by_name() {
        let digest = |text: &str| crate::oci::Digest::sha256(text.as_bytes()).to_string();
        let text = json!({
            "schemaVersion": 2, "annotations": {"site": "x"}, "odd": [1, null],
            "manifests": [
                {"mediaType": "x/y", "digest": digest("b"), "size": 1, "annotations": {REF_NAME: "b"}, "own": true},
                {"mediaType": "x/y", "digest": digest("a"), "size": 1, "annotations": {REF_NAME: "a"}},
            ],
        });
        let index = Index::parse(&serde_json::to_vec(&text).unwrap()).unwrap();
        let out: Value = serde_json::from_slice(&index.to_bytes().unwrap()).unwrap();
        assert_eq!(out["odd"], text["odd"]);
        assert_eq!(out["manifests"][1], text["manifests"][0]);
        assert_eq!(out["manifests"][0], text["manifests"][1]);
        assert_eq!(index.named("a"), Some(digest("a").as_str()));
        for wrong in ["", "[]", "{}", r#"{"schemaVersion":2}"#, r#"{"schemaVersion":2,"manifests":{}}"#] {
            assert!(Index::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let odd = json!({"schemaVersion": 2, "manifests": [{"digest": "md5:00", "size": 1, "mediaType": "x"}]});
        assert!(Index::parse(&serde_json::to_vec(&odd).unwrap()).unwrap().entries(|_| None).is_err());
    }
}
