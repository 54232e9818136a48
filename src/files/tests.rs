//! Digests that must never change, and files that change meanwhile.

use std::fs;
use std::io::Read as _;
use std::sync::Arc;

use super::*;
use crate::content::{Kind, Ranges as _, Source as _};
use crate::flow::{FixedClock, Silent};
use crate::oci::{Descriptor, Digest};

fn flow() -> Flow {
    Flow::new(Arc::new(Silent), Arc::new(FixedClock::default()), 1, 1)
}

fn layer(artifact: &FileArtifact) -> Descriptor {
    artifact.manifests()[0].document.layers()[0].clone()
}

fn read(artifact: &FileArtifact) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    let repository = artifact.manifests()[0].names[0].repository.clone();
    let mut reader = artifact.blob(&repository, &layer(artifact))?;
    reader.read_to_end(&mut content).map_err(|error| Error::from_io("test", error))?;
    Ok(content)
}

/// Makes `TOP/tree`, with a link, an empty file, a name longer than a header's and a file longer than a block.
fn grow(top: &Path) -> std::path::PathBuf {
    let tree = top.join("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    fs::write(tree.join("a"), b"").unwrap();
    fs::write(tree.join("sub").join("n".repeat(150)), b"long").unwrap();
    fs::write(tree.join("z"), vec![b'z'; 70_000]).unwrap();
    std::os::unix::fs::symlink("../z", tree.join("sub/link")).unwrap();
    tree
}

#[test]
fn a_directory_has_the_digest_that_it_always_had() {
    let dir = tempfile::tempdir().unwrap();
    let artifact = open(&flow(), &grow(dir.path())).unwrap();
    let content = read(&artifact).unwrap();
    let layer = layer(&artifact);
    assert_eq!(layer.digest, Digest::sha256(&content));
    assert_eq!(layer.size, content.len() as u64);
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&content[..]).read_to_end(&mut plain).unwrap();
    assert_eq!(layer.annotation("io.deis.oras.content.digest"), Some(&*Digest::sha256(&plain).to_string()));
    let mut archive = tar::Archive::new(&plain[..]);
    let found: Vec<(String, u32, u64)> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
            let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            (name, header.mode().unwrap(), entry.size())
        })
        .collect();
    let long = format!("tree/sub/{}", "n".repeat(150));
    let expected: Vec<(String, u32, u64)> = vec![
        ("tree/".into(), 0o755, 0),
        ("tree/a".into(), 0o644, 0),
        ("tree/sub/".into(), 0o755, 0),
        ("tree/sub/link".into(), 0o777, 0),
        (long, 0o644, 4),
        ("tree/z".into(), 0o644, 70_000),
    ];
    assert_eq!(found, expected);
    // Another compressor or another order would give the same directory another digest.
    let digests = [Digest::sha256(&plain), layer.digest, artifact.manifests()[0].document.digest()];
    let always = [
        "sha256:8f96b106b868e171838f6b6c984074d962094fd802f5e7ff364cf5d9994e3af7",
        "sha256:095bf31f99df67d50a4e3d4f75e7bb6ffdc8d6bf894ea27603f308b330626fde",
        "sha256:cabcff67b9bfaad74ae6293d4c64dfed062f981cdeed57859b8e8ac0de40b3e3",
    ];
    assert_eq!(digests.map(|digest| digest.to_string()), always);
    // A packed archive has no parts.
    let repository = artifact.manifests()[0].names[0].repository.clone();
    assert!(artifact.range(&repository, &layer, 1, 1).unwrap().is_none());
}

#[test]
fn a_file_is_read_whole_or_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Data.bin");
    fs::write(&path, b"0123456789").unwrap();
    let artifact = open(&flow(), &path).unwrap();
    assert_eq!(
        artifact.references(&artifact.manifests()[0])[0].to_string().split('@').next(),
        Some("localhost/data.bin:latest")
    );
    assert_eq!(layer(&artifact).annotation("org.opencontainers.image.title"), Some("Data.bin"));
    assert_eq!(read(&artifact).unwrap(), b"0123456789");
    let repository = artifact.manifests()[0].names[0].repository.clone();
    let mut part = String::new();
    artifact.range(&repository, &layer(&artifact), 3, 4).unwrap().unwrap().read_to_string(&mut part).unwrap();
    assert_eq!(part, "3456");
    assert_eq!(artifact.range(&repository, &layer(&artifact), 3, 8).err().unwrap().class, Kind::Refused);
    let config = artifact.manifests()[0].document.config().unwrap().clone();
    let mut empty = String::new();
    artifact.blob(&repository, &config).unwrap().read_to_string(&mut empty).unwrap();
    assert_eq!(empty, "{}");
}

#[test]
fn what_changes_between_the_two_reads_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    for change in ["more", "less", "touched", "replaced", "gone"] {
        fs::write(&path, b"0123456789").unwrap();
        let tree = grow(&dir.path().join(change));
        let (file, folder) = (open(&flow(), &path).unwrap(), open(&flow(), &tree).unwrap());
        assert!(read(&file).is_ok() && read(&folder).is_ok());
        for changed in [&path, &tree.join("z")] {
            match change {
                "more" => fs::write(changed, vec![0; 80_000]).unwrap(),
                "less" => fs::write(changed, b"").unwrap(),
                "touched" => {
                    fs::File::options().write(true).open(changed).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
                }
                "replaced" => {
                    fs::copy(changed, dir.path().join("new")).unwrap();
                    fs::rename(dir.path().join("new"), changed).unwrap();
                }
                _ => fs::remove_file(changed).unwrap(),
            }
        }
        for artifact in [&file, &folder] {
            let error = read(artifact).unwrap_err();
            assert_eq!(error.class, Kind::Mismatch, "{change}: {error}");
            assert!(error.what.contains("expected no change while it is read"), "{change}: {error}");
        }
    }
}
