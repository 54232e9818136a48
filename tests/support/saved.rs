//! Archives of images as docker saves them, made by hand: members with any name and kind, and images
//! whose layers are tar archives.

use serde_json::{Value, json};
use tar::{EntryType, Header};

use super::world::sha256;

/// Returns a member: header, content, padding. The name is written as it is.
pub fn member(name: &str, kind: EntryType, content: &[u8], link: &str) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub fn file(name: &str, content: &[u8]) -> Vec<u8> {
    member(name, EntryType::Regular, content, "")
}

/// Returns members with the end of an archive.
pub fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

/// An image to save.
pub struct Saved {
    pub config: Vec<u8>,
    pub layers: Vec<Vec<u8>>,
}

impl Saved {
    /// Makes an image with these layers.
    pub fn of(layers: Vec<Vec<u8>>) -> Self {
        let diff_ids: Vec<String> = layers.iter().map(|layer| sha256(layer)).collect();
        let config = json!({
            "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "config": { "Healthcheck": { "Test": ["CMD", "true"] } }, "docker_version": "20.10",
        });
        Self { config: config.to_string().into_bytes(), layers }
    }

    /// Makes an image with one layer of its own on top of a common one.
    pub fn new(text: &str) -> Self {
        Self::of(vec![tar(&[file("etc/base", &[b'b'; 2000])]), tar(&[file("etc/text", text.as_bytes())])])
    }

    /// Returns the name of the config's member.
    pub fn config_name(&self) -> String {
        format!("{}.json", &sha256(&self.config)[7..])
    }

    /// Returns the entry of `manifest.json`.
    pub fn entry(&self, tags: &[&str]) -> Value {
        let layers: Vec<String> =
            self.layers.iter().map(|layer| format!("{}/layer.tar", &sha256(layer)[7..])).collect();
        json!({ "Config": self.config_name(), "RepoTags": tags, "Layers": layers })
    }

    /// Returns the members of the config and the layers, as docker named them before version 25.
    pub fn members(&self) -> Vec<Vec<u8>> {
        let mut all = vec![file(&self.config_name(), &self.config)];
        for layer in &self.layers {
            let hex = &sha256(layer)[7..];
            all.push(member(&format!("{hex}/"), EntryType::Directory, b"", ""));
            all.push(file(&format!("{hex}/VERSION"), b"1.0"));
            all.push(file(&format!("{hex}/layer.tar"), layer));
        }
        all
    }
}

/// Returns the member `manifest.json`.
pub fn list(entries: &[Value]) -> Vec<u8> {
    file("manifest.json", json!(entries).to_string().as_bytes())
}
