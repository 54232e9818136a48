//! The content of the computed members, `oci-layout` and `index.json`, made piece by piece and never held whole
//! (`spec/tar-stream.md`).
//!
//! `index.json` names the repository twice for every tag, so it can be hundreds of times as long as
//! the manifest that it is computed from. Memory holds only one mark per `STRIDE` entries, and one
//! entry while it is read.

use serde::Serialize;

use crate::oci::media_type::OCI_INDEX;
use crate::oci::{Artifact, Digest, Tag};

/// Content of `oci-layout`.
pub(in crate::bundle) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// `index.json` before its first entry.
const HEAD: &[u8] = br#"{"manifests":["#;
/// Number of entries between two marks.
const STRIDE: usize = 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Names<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    digest: Digest,
    media_type: &'a str,
    size: u64,
}

#[derive(Serialize)]
struct Names<'a> {
    #[serde(rename = "io.containerd.image.name")]
    containerd: &'a str,
    #[serde(rename = "org.opencontainers.image.ref.name")]
    oci: &'a str,
}

/// Appends the entry of an artifact under one of its tags, or an entry without annotations if there
/// is no tag.
fn put(artifact: &Artifact, tag: Option<&str>, out: &mut Vec<u8>) {
    let name = tag.map(|tag| format!("{}:{tag}", artifact.repository));
    let entry = Entry {
        annotations: name.as_deref().map(|name| Names { containerd: name, oci: name }),
        artifact_type: artifact.artifact_type.as_deref(),
        digest: artifact.digest,
        media_type: &artifact.media_type,
        size: artifact.size,
    };
    // Serialising these structs cannot fail: every key is a string and writing goes to memory.
    let _ = serde_json::to_writer(out, &entry);
}

/// Returns `index.json` after its last entry.
fn tail() -> Vec<u8> {
    format!(r#"],"mediaType":"{OCI_INDEX}","schemaVersion":2}}"#).into_bytes()
}

/// Lengths of the entries of one artifact, in bytes.
struct Lengths<'a> {
    artifact: &'a Artifact,
    // Length of an entry with an empty tag, or of the entry without a tag.
    bare: u64,
}

impl<'a> Lengths<'a> {
    fn of(artifact: &'a Artifact) -> Self {
        let mut entry = Vec::new();
        put(artifact, (!artifact.tags.is_empty()).then_some(""), &mut entry);
        Self { artifact, bare: entry.len() as u64 }
    }

    /// Returns the length of the entry of tag number `tag`. Tags need no escaping and occur twice
    /// in their entry.
    fn at(&self, tag: usize) -> u64 {
        self.bare + self.artifact.tags.get(tag).map_or(0, |tag| 2 * tag.as_str().len() as u64)
    }
}

/// Returns the number of entries of an artifact.
fn entries(artifact: &Artifact) -> usize {
    artifact.tags.len().max(1)
}

/// Start of an entry, including the comma before it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: u64,
    artifact: usize,
    tag: usize,
}

/// `index.json` of some artifacts in order: its length, and the positions of its entries.
#[derive(Debug)]
pub(in crate::bundle) struct Index {
    length: u64,
    marks: Vec<Mark>,
}

impl Index {
    /// Returns the index of `artifacts`: one descriptor for each tag, and one without annotations
    /// for an artifact without tags.
    pub(in crate::bundle) fn new(artifacts: &[Artifact]) -> Self {
        let (mut at, mut count, mut marks) = (HEAD.len() as u64, 0_usize, Vec::new());
        for (number, artifact) in artifacts.iter().enumerate() {
            let lengths = Lengths::of(artifact);
            for tag in 0..entries(artifact) {
                if count.is_multiple_of(STRIDE) {
                    marks.push(Mark { at, artifact: number, tag });
                }
                // No overflow: a manifest of 64 MiB lists at most 2^24 tags, and an entry has some KiB.
                at += u64::from(count > 0) + lengths.at(tag);
                count += 1;
            }
        }
        Self { length: at + tail().len() as u64, marks }
    }

    /// Returns its length in bytes.
    pub(in crate::bundle) const fn length(&self) -> u64 {
        self.length
    }

    /// Returns a reader that starts at a position. `artifacts` must be those that it was made from.
    pub(in crate::bundle) fn from<'a>(&self, artifacts: &'a [Artifact], position: u64) -> Reader<'a> {
        let mut reader = Reader { artifacts, next: Next::Entry(0, 0), buffer: HEAD.to_vec(), at: 0 };
        // From the last mark before the position on, skips entries by their lengths.
        let mut left = position;
        if let Some(mark) = self.marks.partition_point(|mark| mark.at <= position).checked_sub(1) {
            let Mark { at, artifact, tag } = self.marks[mark];
            reader.step_to(artifact, tag);
            left = reader.pass_over(position - at);
        }
        reader.skip(left);
        reader
    }
}

enum Next {
    Entry(usize, usize),
    Tail,
    End,
}

/// Reads the content of a computed member.
pub struct Reader<'a> {
    artifacts: &'a [Artifact],
    // What follows the buffer.
    next: Next,
    buffer: Vec<u8>,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Returns a reader of `oci-layout` that starts at a position.
    pub(in crate::bundle) fn layout(position: u64) -> Self {
        let mut reader = Self { artifacts: &[], next: Next::End, buffer: LAYOUT.to_vec(), at: 0 };
        reader.skip(position);
        reader
    }

    fn step_to(&mut self, artifact: usize, tag: usize) {
        self.buffer.clear();
        self.at = 0;
        self.next = Next::Entry(artifact, tag);
    }

    /// Skips whole entries that end within the next `left` bytes. Returns how many bytes are left.
    fn pass_over(&mut self, mut left: u64) -> u64 {
        let mut lengths: Option<Lengths<'a>> = None;
        while let Next::Entry(artifact, tag) = self.next {
            let Some(own) = self.artifacts.get(artifact) else { break };
            let known = lengths.take_if(|known| std::ptr::eq(known.artifact, own)).unwrap_or_else(|| Lengths::of(own));
            let length = u64::from(artifact + tag > 0) + known.at(tag);
            if length > left {
                break;
            }
            left -= length;
            lengths = Some(known);
            self.next = self.behind(artifact, tag);
        }
        left
    }

    /// Returns what follows an entry.
    fn behind(&self, artifact: usize, tag: usize) -> Next {
        match self.artifacts.get(artifact) {
            Some(own) if tag + 1 < entries(own) => Next::Entry(artifact, tag + 1),
            _ => Next::Entry(artifact + 1, 0),
        }
    }

    /// Skips the next `count` bytes.
    fn skip(&mut self, mut count: u64) {
        while count > 0 {
            let most = usize::try_from(count).unwrap_or(usize::MAX);
            match self.piece(most).len() {
                0 => return,
                read => count -= read as u64,
            }
        }
    }

    /// Returns the next bytes, at least one and at most `most`; none at the end.
    pub fn piece(&mut self, most: usize) -> &[u8] {
        while self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
            match self.next {
                Next::End => return &[],
                Next::Tail => {
                    self.buffer = tail();
                    self.next = Next::End;
                }
                Next::Entry(artifact, tag) => match self.artifacts.get(artifact) {
                    None => self.next = Next::Tail,
                    Some(own) => {
                        if artifact + tag > 0 {
                            self.buffer.push(b',');
                        }
                        put(own, own.tags.get(tag).map(Tag::as_str), &mut self.buffer);
                        self.next = self.behind(artifact, tag);
                    }
                },
            }
        }
        let from = self.at;
        self.at = self.buffer.len().min(from.saturating_add(most));
        &self.buffer[from..self.at]
    }

    /// Whether the next bytes are `bytes`. After a difference the position is unspecified.
    pub fn is_next(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let piece = self.piece(bytes.len());
            if piece.is_empty() || piece != &bytes[..piece.len()] {
                return false;
            }
            bytes = &bytes[piece.len()..];
        }
        true
    }

    /// Overwrites `out` with the next bytes, as far as there are any.
    pub fn fill(&mut self, mut out: &mut [u8]) {
        while !out.is_empty() {
            let piece = self.piece(out.len());
            if piece.is_empty() {
                return;
            }
            let (now, rest) = out.split_at_mut(piece.len());
            now.copy_from_slice(piece);
            out = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::oci::Repository;
    use crate::oci::media_type::OCI_MANIFEST;

    fn artifact(number: usize, tags: &[String], artifact_type: Option<&str>) -> Artifact {
        Artifact {
            artifact_type: artifact_type.map(ToOwned::to_owned),
            digest: Digest::sha256(&number.to_be_bytes()),
            media_type: OCI_MANIFEST.to_owned(),
            original: None,
            repository: Repository::exact(&format!("registry.example:5000/a/r{number}")).unwrap(),
            size: 7 + number as u64,
            source: None,
            subject: None,
            tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(),
        }
    }

    /// Artifacts with no tag, one tag and more than a stride of tags, and a type that needs
    /// escaping.
    fn artifacts() -> Vec<Artifact> {
        let many: Vec<String> = (0..2 * STRIDE + 3)
            .map(|number| format!("{:1$}", "t", number % 100 + 1).replace(' ', "x") + &number.to_string())
            .collect();
        vec![
            artifact(1, &[], None),
            artifact(2, &["1.0".to_owned()], Some("a \"type\" with \\ and ü")),
            artifact(3, &many, None),
            artifact(4, &[], Some("x/y")),
            artifact(5, &["a".to_owned(), "b".to_owned()], None),
        ]
    }

    /// Returns the whole file, made at once by the rules of `spec/tar-stream.md`.
    fn whole(artifacts: &[Artifact]) -> Vec<u8> {
        let mut manifests: Vec<Value> = Vec::new();
        for artifact in artifacts {
            let mut bare =
                json!({ "digest": artifact.digest, "mediaType": artifact.media_type, "size": artifact.size });
            if let Some(kind) = &artifact.artifact_type {
                bare["artifactType"] = json!(kind);
            }
            for tag in &artifact.tags {
                let name = format!("{}:{tag}", artifact.repository);
                let mut entry = bare.clone();
                entry["annotations"] =
                    json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name });
                manifests.push(entry);
            }
            if artifact.tags.is_empty() {
                manifests.push(bare);
            }
        }
        serde_json::to_vec(&json!({ "manifests": manifests, "mediaType": OCI_INDEX, "schemaVersion": 2 })).unwrap()
    }

    fn read(mut reader: Reader<'_>, most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            match reader.piece(most) {
                [] => return all,
                piece => all.extend_from_slice(piece),
            }
        }
    }

    #[test]
    fn index_json_in_pieces_is_the_whole_one() {
        for count in 0..=artifacts().len() {
            let artifacts = &artifacts()[..count];
            let (whole, index) = (whole(artifacts), Index::new(artifacts));
            assert_eq!(index.length(), whole.len() as u64, "{count}");
            for most in [1, 7, usize::MAX] {
                assert!(read(index.from(artifacts, 0), most) == whole, "{count}, {most}");
            }
        }
    }

    #[test]
    fn it_is_read_from_any_position() {
        let artifacts = artifacts();
        let (whole, index) = (whole(&artifacts), Index::new(&artifacts));
        assert!(index.marks.len() > 2);
        let around = index.marks.iter().flat_map(|mark| mark.at - 1..mark.at + 2);
        let ends = (0..20).chain(index.length() - 120..=index.length() + 1);
        for position in (0..index.length()).step_by(997).chain(around).chain(ends) {
            let from = usize::try_from(position).unwrap().min(whole.len());
            let mut out = vec![1; 600];
            index.from(&artifacts, position).fill(&mut out);
            let expected = &whole[from..whole.len().min(from + 600)];
            assert!(out[..expected.len()] == *expected, "{position}");
            assert!(out[expected.len()..].iter().all(|byte| *byte == 1), "{position}");
        }
    }

    #[test]
    fn every_changed_byte_is_a_difference() {
        let artifacts = &artifacts()[..2];
        let (mut bytes, index) = (whole(artifacts), Index::new(artifacts));
        for step in [1, 5, bytes.len()] {
            let mut reader = index.from(artifacts, 0);
            assert!(bytes.chunks(step).all(|piece| reader.is_next(piece)), "{step}");
        }
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let mut reader = index.from(artifacts, 0);
            assert!(!bytes.chunks(64).all(|piece| reader.is_next(piece)), "{at}");
            bytes[at] ^= 1;
        }
        bytes.push(b' ');
        assert!(!index.from(artifacts, 0).is_next(&bytes), "longer");
    }

    #[test]
    fn oci_layout_is_its_constant() {
        assert_eq!(read(Reader::layout(0), 4), LAYOUT);
        assert_eq!(read(Reader::layout(10), 4), &LAYOUT[10..]);
        assert!(!Reader::layout(0).is_next(b"{\"imageLayoutVersion\":\"1.0.1\"}"));
    }
}
