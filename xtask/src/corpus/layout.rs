//! Writes an OCI image layout and the list of its contents.
//!
//! Manifests are plain JSON values, serialized once. A descriptor is computed from the bytes
//! written.

use crate::shell::Failed;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A layout being written.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
    index: Vec<Value>,
    expected: Vec<Value>,
}

/// The kind of a published manifest, for `expected.json`.
#[derive(Debug, Clone, Copy)]
pub struct Kind(pub &'static str);

impl Layout {
    /// Creates an empty layout in an existing, empty folder.
    pub fn new(dir: &Path) -> Result<Self, Failed> {
        std::fs::create_dir_all(dir.join("blobs/sha256"))?;
        Ok(Self { dir: dir.to_owned(), index: Vec::new(), expected: Vec::new() })
    }

    /// Adds a blob from memory. Returns its descriptor.
    pub fn bytes(&mut self, media_type: &str, bytes: &[u8]) -> Result<Value, Failed> {
        let hex = hex(&Sha256::digest(bytes));
        std::fs::write(self.path(&hex), bytes)?;
        Ok(descriptor(media_type, &hex, bytes.len() as u64))
    }

    /// Adds a document. Returns its descriptor.
    pub fn document(&mut self, media_type: &str, document: &Value) -> Result<Value, Failed> {
        self.bytes(media_type, &serde_json::to_vec(document)?)
    }

    /// Moves a file in as a blob. Returns its descriptor.
    pub fn file(&mut self, media_type: &str, file: &Path) -> Result<Value, Failed> {
        let (hex, size) = sum(file)?;
        std::fs::rename(file, self.path(&hex))?;
        Ok(descriptor(media_type, &hex, size))
    }

    /// Adds a manifest to the index, with or without a tag, and to the manifests expected at the
    /// source.
    pub fn publish(
        &mut self,
        repository: &str,
        tag: Option<&str>,
        manifest: &Value,
        kind: Kind,
        subject: Option<&Value>,
    ) {
        let mut entry = manifest.clone();
        if let Some(tag) = tag {
            entry["annotations"] = json!({ "org.opencontainers.image.ref.name": format!("{repository}:{tag}") });
        }
        self.index.push(entry);
        self.expect(repository, tag, manifest, kind, subject);
    }

    /// Adds a manifest that is carried automatically, as a child of an index, to the expected
    /// manifests.
    pub fn expect(
        &mut self,
        repository: &str,
        tag: Option<&str>,
        manifest: &Value,
        kind: Kind,
        subject: Option<&Value>,
    ) {
        let mut entry = json!({
            "repository": repository, "tag": tag, "digest": manifest["digest"], "mediaType": manifest["mediaType"],
            "size": manifest["size"], "kind": kind.0,
        });
        if let Some(subject) = subject {
            entry["subject"] = subject["digest"].clone();
        }
        self.expected.push(entry);
    }

    /// Writes the files that make it a layout.
    pub fn finish(self) -> Result<(), Failed> {
        std::fs::write(self.dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": self.index,
        });
        std::fs::write(self.dir.join("index.json"), serde_json::to_vec(&index)?)?;
        Ok(std::fs::write(self.dir.join("expected.json"), serde_json::to_vec_pretty(&self.expected)?)?)
    }

    fn path(&self, hex: &str) -> PathBuf {
        self.dir.join("blobs/sha256").join(hex)
    }
}

/// Returns a descriptor with the three required members.
fn descriptor(media_type: &str, hex: &str, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": size })
}

/// Returns the SHA-256 of a file in hex, and its size in bytes.
pub fn sum(file: &Path) -> Result<(String, u64), Failed> {
    let mut file = std::fs::File::open(file)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hex(&hasher.finalize()), size));
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
    }
}

/// Encodes bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
