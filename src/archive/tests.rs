//! Manifests that must never change, and archives that cannot be opened.

use std::fs;
use std::sync::Arc;

use super::*;
use crate::base::fault::Class;
use crate::flow::{FixedClock, Silent};

fn flow() -> Flow {
    Flow::new(Arc::new(Silent), Arc::new(FixedClock::default()), 1, 1)
}

/// An archive of one image with one layer.
fn saved() -> Vec<u8> {
    let layer = vec![0; 1024];
    let diff_id = Digest::sha256(&layer);
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "diff_ids": [diff_id] } }).to_string();
    let name = format!("{}.json", Digest::sha256(config.as_bytes()).hex());
    let list = json!([{ "Config": name, "RepoTags": ["a:1", "no name"], "Layers": ["l/layer.tar"] }]).to_string();
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in [(&*name, config.as_bytes()), ("l/layer.tar", &layer), (LIST, list.as_bytes())] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content).unwrap();
    }
    archive.into_inner().unwrap()
}

#[test]
fn an_image_has_the_manifest_that_it_always_had() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    let mut digests = Vec::new();
    // An archive may also end without its last blocks.
    let whole = saved();
    for bytes in [&whole[..], &whole[..whole.len() - 1024], &[&whole[..], &[0; 9000]].concat()] {
        fs::write(&path, bytes).unwrap();
        let archive = open(&flow(), &path, dir.path()).unwrap();
        assert_eq!(archive.manifests()[0].names.len(), 1);
        digests.push(archive.manifests()[0].document.digest().to_string());
    }
    assert_eq!(digests, ["sha256:1f5bf21b8a604b83ec0d49951b300ccde55dbc36c7df122205ef633251bfd9c8"; 3]);
}

#[test]
fn a_file_that_is_missing_and_a_folder_without_room_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let class = |path: &Path, temporary: &Path| open(&flow(), path, temporary).err().map(|fault| fault.class);
    assert_eq!(class(&dir.path().join("none"), dir.path()), Some(Class::Source));
    assert_eq!(class(dir.path(), dir.path()), Some(Class::Source));
    let packed = dir.path().join("x.tar.zst");
    fs::write(&packed, zstd::encode_all(&saved()[..], 1).unwrap()).unwrap();
    assert_eq!(class(&packed, dir.path()), None);
    let fault = open(&flow(), &packed, &dir.path().join("missing")).err().unwrap();
    assert_eq!(fault.class, Class::Io);
    assert!(fault.help.unwrap().contains("TMPDIR"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
