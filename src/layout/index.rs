//! `index.json` of a layout: reads its descriptors and their names, and adds names.
//!
//! Keeps unknown members unchanged. Bytes in, bytes out; no I/O.
//!
//! Two annotations hold names. containerd reads the full name; skopeo and umoci read the other one as
//! written (`oci:DIR:TAG`), so it is the tag alone where no other entry has that tag.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use crate::base::fault::escape;
use crate::oci::media_type::OCI_INDEX;
use crate::oci::{Descriptor, Document, Reference, Repository, Tag};

/// Annotation for the name of a descriptor (image-spec): a tag, or any other text that tools write.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Annotation for the kind of an entry (cosign, hauler).
const KIND: &str = "kind";
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

    /// Removes every entry of these digests. Returns whether there was one.
    pub(super) fn forget(&mut self, digests: &HashSet<String>) -> bool {
        let mut is_changed = false;
        for entry in &mut self.manifests {
            let digest = entry.as_ref().and_then(|value| value.get("digest")?.as_str());
            if digest.is_some_and(|digest| digests.contains(digest)) {
                *entry = None;
                is_changed = true;
            }
        }
        self.plain.retain(|digest| !digests.contains(digest));
        is_changed
    }

    /// Returns the bytes to write: entries sorted by name, then digest; members sorted by key.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut manifests: Vec<Value> = self.manifests.iter().flatten().cloned().collect();
        name_by_tags(&mut manifests);
        let key = |value: &Value| {
            let name = raw_names(value).next().unwrap_or_default().to_owned();
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

/// Returns the tag in a raw name: a plain tag, or the end of a full name.
fn tag_in(raw: &str) -> Option<&str> {
    let tag = raw.rsplit_once(':').map_or(raw, |(_, tag)| tag);
    Tag::new(tag).is_ok().then_some(tag)
}

/// Returns the full name of an entry with both annotations whose names differ at most in that one is
/// only the tag of the other.
fn full_name(value: &Value) -> Option<&str> {
    let annotations = value.get("annotations")?;
    let (full, short) = (annotations.get(CONTAINERD_NAME)?.as_str()?, annotations.get(REF_NAME)?.as_str()?);
    (full.contains(':') && (short == full || tag_in(full) == Some(short))).then_some(full)
}

/// Sets the names that skopeo and umoci read: the tag alone if only one entry has it, otherwise the
/// full name.
fn name_by_tags(manifests: &mut [Value]) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for value in &*manifests {
        let tags: HashSet<&str> = raw_names(value).filter_map(tag_in).collect();
        tags.into_iter().for_each(|tag| *counts.entry(tag.to_owned()).or_default() += 1);
    }
    for value in manifests {
        let Some(full) = full_name(value).map(ToOwned::to_owned) else { continue };
        let short = tag_in(&full).filter(|tag| counts.get(*tag) == Some(&1));
        let name = short.unwrap_or(&full);
        value["annotations"][REF_NAME] = name.into();
    }
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

    #[test]
    fn a_tag_that_only_one_entry_has_is_a_name_of_its_own() {
        let document = |text: &str| {
            let empty = json!({"mediaType": "x/y", "digest": crate::oci::Digest::sha256(b"{}"), "size": 2});
            let json = json!({"schemaVersion": 2, "config": empty, "layers": [], "annotations": {"text": text}});
            Document::parse(crate::oci::media_type::OCI_MANIFEST, serde_json::to_vec(&json).unwrap()).unwrap()
        };
        let names = |index: &Index| -> Vec<String> {
            let out: Value = serde_json::from_slice(&index.to_bytes().unwrap()).unwrap();
            let name = |one: &Value, key: &str| one["annotations"][key].as_str().unwrap_or("-").to_owned();
            let all = out["manifests"].as_array().unwrap();
            all.iter().map(|one| format!("{} {}", name(one, CONTAINERD_NAME), name(one, REF_NAME))).collect()
        };
        let again = |index: &Index| Index::parse(&index.to_bytes().unwrap()).unwrap();
        let mut index = Index::new();
        index.set("h.example:5000/a:v1", &document("a"));
        index.set("h.example:5000/a:v2", &document("b"));
        assert_eq!(names(&index), ["h.example:5000/a:v1 v1", "h.example:5000/a:v2 v2"]);
        // A second entry with the tag, in a later run: neither is the tag's.
        let mut index = again(&index);
        assert_eq!(index.named("h.example:5000/a:v1"), Some(document("a").digest().to_string().as_str()));
        index.set("b:v1", &document("c"));
        assert_eq!(names(&index), ["b:v1 b:v1", "h.example:5000/a:v1 h.example:5000/a:v1", "h.example:5000/a:v2 v2"]);
        // The name moves to another document, and stays one entry.
        index.set("b:v1", &document("d"));
        assert_eq!(names(&again(&index)).len(), 3);
        // Names that other programs wrote are not touched, and count.
        let text = json!({"schemaVersion": 2, "manifests": [
            {"mediaType": "x/y", "digest": document("e").digest(), "size": 1, "annotations": {REF_NAME: "v1"}},
            {"mediaType": "x/y", "digest": document("f").digest(), "size": 1,
             "annotations": {CONTAINERD_NAME: "h.example/c:v3", REF_NAME: "other"}},
        ]});
        let mut index = Index::parse(&serde_json::to_vec(&text).unwrap()).unwrap();
        index.set("b:v1", &document("c"));
        assert_eq!(names(&index), ["b:v1 b:v1", "h.example/c:v3 other", "- v1"]);
    }
}
