//! Blobs and artifacts, the tar stream, the manifest and the signature: a small independent writer
//! after `spec/`, which can do something wrong at each step.
//!
//! It must not use packmule's writer or reader.

use super::curve::Key;
use super::envelope::Envelope;
use super::frame::{Frame, packed, stored};
use super::scene::{Entry, Given, Scene, hex};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256, Sha512};

/// OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Former OCI artifact manifest, which is not a document type.
pub const ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// Type of the empty config.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Content of the example's only layer.
pub const SALT: &[u8] = b"Salt of the earth.\n";

/// Returns `sha256:…`.
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Returns `sha512:…`.
pub fn sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", hex(&Sha512::digest(bytes)))
}

/// Returns a descriptor.
pub fn describe(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "digest": sha256(bytes), "mediaType": media_type, "size": bytes.len() })
}

/// Returns an image manifest.
pub fn image(config: &Value, layers: &[Value]) -> Value {
    json!({ "config": config, "layers": layers, "mediaType": MANIFEST, "schemaVersion": 2 })
}

/// Returns an index.
pub fn index(children: &[Value]) -> Value {
    json!({ "manifests": children, "mediaType": INDEX, "schemaVersion": 2 })
}

/// Content of a bundle, and the statements about it in its manifest.
#[derive(Debug, Clone)]
pub struct Content {
    /// NAME of the bundle.
    pub name: String,
    /// Digest and content of blobs, in the order of the stream.
    pub blobs: Vec<(String, Vec<u8>)>,
    /// Entries of `artifacts`.
    pub artifacts: Vec<Value>,
    /// Members of the manifest that are added or replaced.
    pub more: Map<String, Value>,
}

impl Content {
    /// Creates empty content.
    pub fn new() -> Self {
        Self { name: "salt".to_owned(), blobs: Vec::new(), artifacts: Vec::new(), more: Map::new() }
    }

    /// Adds a blob (once). Returns its descriptor.
    pub fn put(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let descriptor = describe(media_type, bytes);
        self.put_as(&sha256(bytes), bytes);
        descriptor
    }

    /// Adds a blob under this digest.
    pub fn put_as(&mut self, digest: &str, bytes: &[u8]) {
        if self.blobs.iter().all(|(known, _)| known != digest) {
            self.blobs.push((digest.to_owned(), bytes.to_vec()));
        }
    }

    /// Adds a document. Returns its descriptor.
    pub fn document(&mut self, document: &Value) -> Value {
        self.put(document["mediaType"].as_str().unwrap_or(MANIFEST), document.to_string().as_bytes())
    }

    /// Lists a carried document as an artifact.
    pub fn artifact(&mut self, repository: &str, tags: &[&str], descriptor: &Value) -> &mut Self {
        let mut entry = descriptor.clone();
        entry["repository"] = json!(repository);
        entry["tags"] = json!(tags);
        self.artifacts.push(entry);
        self
    }

    /// Returns the spec's example with its document changed by `edit`.
    pub fn salt_with(edit: impl FnOnce(&mut Value)) -> Self {
        let mut document = image(&describe(EMPTY, b"{}"), &[describe("text/plain", SALT)]);
        document["artifactType"] = json!("text/plain");
        edit(&mut document);
        let media_type = document["mediaType"].as_str().unwrap_or(MANIFEST).to_owned();
        Self::salt_as(&media_type, document.to_string().as_bytes())
    }

    /// Returns the spec's example with these bytes as its document.
    pub fn salt_as(media_type: &str, document: &[u8]) -> Self {
        let mut content = Self::new();
        let mut root = content.put(media_type, document);
        root["artifactType"] = json!("text/plain");
        content.put(EMPTY, b"{}");
        content.put("text/plain", SALT);
        content.artifact("registry.example/notes/salt", &["1.0"], &root);
        content
    }

    /// Returns the spec's example.
    pub fn salt() -> Self {
        Self::salt_with(|_| ())
    }

    /// Sets a member of the manifest.
    #[must_use]
    pub fn with(mut self, member: &str, value: Value) -> Self {
        self.more.insert(member.to_owned(), value);
        self
    }

    fn index_json(&self) -> Vec<u8> {
        let mut manifests = Vec::new();
        for artifact in &self.artifacts {
            let mut entry = json!({});
            for member in ["artifactType", "digest", "mediaType", "size"] {
                if !artifact[member].is_null() {
                    entry[member] = artifact[member].clone();
                }
            }
            let tags: Vec<&str> = artifact["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            for tag in &tags {
                let name = format!("{}:{tag}", artifact["repository"].as_str().unwrap_or_default());
                let mut entry = entry.clone();
                entry["annotations"] =
                    json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name });
                manifests.push(entry);
            }
            if tags.is_empty() {
                manifests.push(entry);
            }
        }
        index(&manifests).to_string().into_bytes()
    }

    fn sorted(&self) -> Self {
        let mut sorted = self.clone();
        sorted.artifacts.sort_by_key(|artifact| {
            let text = |member: &str| artifact[member].as_str().unwrap_or_default().to_owned();
            (text("repository"), text("digest"))
        });
        sorted
    }

    /// Returns the tar stream, member by member.
    pub fn lay(&self) -> Stream {
        let content = self.sorted();
        let index = content.index_json();
        let mut members = vec![
            member(&[tar_header(b"oci-layout", 30, b'0')], br#"{"imageLayoutVersion":"1.0.0"}"#),
            member(&[tar_header(b"index.json", index.len(), b'0')], &index),
        ];
        for (digest, bytes) in &content.blobs {
            let path = format!("blobs/{}", digest.replacen(':', "/", 1));
            let headers = if digest.starts_with("sha512:") {
                let record = format!("151 path={path}\n");
                let mut padded = record.clone().into_bytes();
                padded.resize(512, 0);
                let name = &path.as_bytes()["blobs/sha512/".len()..][..100];
                vec![tar_header(b"pax", record.len(), b'x'), padded, tar_header(name, bytes.len(), b'0')]
            } else {
                vec![tar_header(path.as_bytes(), bytes.len(), b'0')]
            };
            members.push(member(&headers, bytes));
        }
        Stream { content, members, end: vec![0; 1024] }
    }

    /// Builds one packed frame and the end, in one volume.
    pub fn packed(&self) -> Built {
        self.lay().built(packed)
    }

    /// Builds one stored frame and the end, in one volume.
    pub fn stored(&self) -> Built {
        self.lay().built(stored)
    }

    /// Builds a packed bundle, signed by key 1.
    pub fn signed(&self) -> Scene {
        self.packed().signed()
    }
}

/// Returns a ustar header.
pub fn tar_header(name: &[u8], size: usize, kind: u8) -> Vec<u8> {
    let mut block = vec![0; 512];
    let length = format!("{size:011o}\0");
    let fields: [(usize, &[u8]); 9] = [
        (0, name),
        (100, b"0000644\0"),
        (108, b"0000000\0"),
        (116, b"0000000\0"),
        (136, b"02263523000\0"),
        (257, b"ustar\x0000"),
        (329, b"0000000\0"),
        (337, b"0000000\0"),
        (124, length.as_bytes()),
    ];
    for (at, bytes) in fields {
        block[at..at + bytes.len()].copy_from_slice(bytes);
    }
    block[156] = kind;
    seal(&mut block);
    block
}

/// Writes a header's checksum.
pub fn seal(header: &mut [u8]) {
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header[..512].iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn member(headers: &[Vec<u8>], content: &[u8]) -> Vec<u8> {
    let mut out = headers.concat();
    out.extend_from_slice(content);
    out.resize(out.len().div_ceil(512) * 512, 0);
    out
}

/// A tar stream before it is cut into frames.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Content of the stream.
    pub content: Content,
    /// Bytes of each member: headers, content, padding.
    pub members: Vec<Vec<u8>>,
    /// End of the stream.
    pub end: Vec<u8>,
}

impl Stream {
    /// Returns the whole stream without the end.
    pub fn plain(&self) -> Vec<u8> {
        self.members.concat()
    }

    /// Builds one frame of all members, made by `frame`, and the end.
    pub fn built(&self, frame: impl Fn(&[u8]) -> Frame) -> Built {
        self.cut(&[self.plain().len()], frame)
    }

    /// Builds frames of these lengths, made by `frame`, and the end.
    pub fn cut(&self, lengths: &[usize], frame: impl Fn(&[u8]) -> Frame) -> Built {
        let plain = self.plain();
        let mut at = 0;
        let mut frames = Vec::new();
        for length in lengths {
            frames.push(frame(&plain[at..at + length]));
            at += length;
        }
        assert_eq!(at, plain.len(), "the frames hold the stream");
        frames.push(stored(&self.end));
        let count = frames.len();
        self.of(frames, &[count])
    }

    /// Builds a frame for each member, and the end.
    pub fn each(&self, frame: impl Fn(&[u8]) -> Frame) -> Built {
        let lengths: Vec<usize> = self.members.iter().map(Vec::len).collect();
        self.cut(&lengths, frame)
    }

    /// Distributes the frames to volumes by these counts.
    pub fn of(&self, frames: Vec<Frame>, counts: &[usize]) -> Built {
        Built { content: self.content.clone(), frames, counts: counts.to_vec(), keys: vec![Key::of(1)] }
    }
}

/// A bundle before its manifest is written and signed.
#[derive(Clone)]
pub struct Built {
    content: Content,
    /// Frames.
    pub frames: Vec<Frame>,
    /// Number of frames in each volume.
    pub counts: Vec<usize>,
    /// Keys that sign and are trusted.
    pub keys: Vec<Key>,
}

impl Built {
    /// Distributes the frames to volumes by these counts.
    #[must_use]
    pub fn in_volumes(mut self, counts: &[usize]) -> Self {
        self.counts = counts.to_vec();
        self
    }

    /// Uses other keys.
    #[must_use]
    pub fn under(mut self, keys: &[Key]) -> Self {
        self.keys = keys.to_vec();
        self
    }

    /// Returns the bytes of the volumes.
    pub fn volumes(&self) -> Vec<Vec<u8>> {
        let mut frames = self.frames.iter();
        let take = |count: &usize| frames.by_ref().take(*count).flat_map(|frame| frame.bytes.clone()).collect();
        self.counts.iter().map(take).collect()
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> Value {
        let blobs: Vec<Value> = (self.content.blobs.iter())
            .map(|(digest, bytes)| json!({ "digest": digest, "size": bytes.len() }))
            .collect();
        let volumes: Vec<Value> = (self.volumes().iter().zip(&self.counts))
            .map(|(bytes, count)| json!({ "digest": sha256(bytes), "frames": count, "size": bytes.len() }))
            .collect();
        let frames: Vec<&Value> = self.frames.iter().map(|frame| &frame.entry).collect();
        let mut manifest = json!({
            "absent": [], "artifacts": self.content.artifacts, "bases": [], "blobs": blobs,
            "created": "2026-11-21T12:00:00Z", "form": "volumes", "format": "packmule.bundle.v1", "frames": frames,
            "name": self.content.name, "requires": [], "tool": "packmule 0.1.0", "volumes": volumes,
        });
        for (member, value) in &self.content.more {
            manifest[member] = value.clone();
        }
        manifest
    }

    /// Signs the bundle without changes.
    pub fn signed(&self) -> Scene {
        self.signed_as(&self.manifest().to_string())
    }

    /// Changes the manifest, then signs it.
    pub fn signed_with(&self, edit: impl FnOnce(&mut Value)) -> Scene {
        let mut manifest = self.manifest();
        edit(&mut manifest);
        self.signed_as(&manifest.to_string())
    }

    /// Signs these bytes as the manifest.
    pub fn signed_as(&self, manifest: &str) -> Scene {
        self.signed_bytes(manifest.as_bytes())
    }

    /// Signs these bytes as the manifest.
    pub fn signed_bytes(&self, manifest: &[u8]) -> Scene {
        let mut envelope = Envelope::over(manifest);
        let message = envelope.message();
        for key in &self.keys {
            envelope.add(&key.id(), &key.sign(&message));
        }
        self.scene(manifest, envelope.to_string().as_bytes())
    }

    /// Returns a scene with this manifest and this signature file.
    pub fn scene(&self, manifest: &[u8], envelope: &[u8]) -> Scene {
        let bundle = self.content.name.clone();
        let mut entries = vec![
            Entry::File(format!("{bundle}.json"), manifest.to_vec()),
            Entry::File(format!("{bundle}.sig.json"), envelope.to_vec()),
        ];
        for (index, volume) in self.volumes().into_iter().enumerate() {
            entries.push(Entry::File(format!("{bundle}.{:04}.tar.zst", index + 1), volume));
        }
        let keys = self.keys.iter().map(|key| key.public).collect();
        let (name, comment) = (String::new(), String::new());
        let given = Given::default();
        Scene { name, expect: "", comment, bundle, form: None, stream: None, keys, threshold: None, given, entries }
    }
}
