//! Tests of the layout, on real directories.

use std::io;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::content::checked::Checked;
use crate::content::{Body, Destination, Inventory, Ranges, Referrers, Source, TagList};
use crate::oci::media_type::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use crate::oci::{Algorithm, Tag};

struct Bytes(Vec<u8>, Descriptor);

impl Body for Bytes {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Checked::new(io::Cursor::new(self.0.clone()), self.1.clone())))
    }
}

fn body(content: &[u8]) -> Bytes {
    Bytes(content.to_vec(), Descriptor::new("x/y", Digest::sha256(content), content.len() as u64))
}

fn put(layout: &Layout, content: &[u8]) -> Descriptor {
    let body = body(content);
    layout.put_blob(layout.repository(), &body.1, &body).unwrap();
    body.1
}

fn manifest(layout: &Layout, content: &[u8], subject: Option<&Document>) -> Document {
    let mut config = put(layout, b"{}");
    config.media_type = OCI_CONFIG.into();
    let mut json =
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [put(layout, content)]});
    if let Some(subject) = subject {
        json["subject"] = json!(subject.descriptor());
        json["artifactType"] = json!("example/sbom");
    }
    let document = Document::parse(OCI_MANIFEST, serde_json::to_vec(&json).unwrap()).unwrap();
    layout.put_manifest(layout.repository(), &document).unwrap();
    document
}

fn repository(text: &str) -> Repository {
    Repository::exact(text).unwrap()
}

fn tag(text: &str) -> Tag {
    Tag::new(text).unwrap()
}

fn index(directory: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(directory.join(INDEX)).unwrap()).unwrap()
}

fn names_in(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for folder in [directory.to_owned(), directory.join("blobs/sha256")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            names.push(entry.unwrap().file_name().into_string().unwrap());
        }
    }
    names
}

#[test]
fn what_is_written_is_read_back_by_name_digest_and_referrer() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("site.oci");
    let layout = Layout::create(&path).unwrap();
    let image = manifest(&layout, b"layer", None);
    let sbom = manifest(&layout, b"sbom", Some(&image));
    layout.set_tag(&repository("reg.example/app"), &tag("v1"), &image).unwrap();
    layout.set_tag(&Repository::bare("mine/app").unwrap(), &tag("v1"), &image).unwrap();
    layout.set_root(&repository("reg.example/app"), &sbom).unwrap();
    assert!(!path.join(INDEX).exists());
    layout.finish().unwrap();
    drop(layout);

    let layout = Layout::open(&path).unwrap();
    assert_eq!(layout.repository().to_string(), "localhost/site.oci");
    let found = layout.resolve(&"reg.example/app:v1".parse().unwrap()).unwrap();
    assert_eq!(found, image.descriptor());
    assert_eq!(layout.find(Some("mine/app:v1")).unwrap().descriptor.digest, image.digest());
    assert_eq!(layout.resolve(&"mine/app:v1".parse().unwrap()).unwrap(), image.descriptor());
    assert_eq!(
        layout.resolve(&format!("any.example/x@{}", sbom.digest()).parse().unwrap()).unwrap(),
        sbom.descriptor()
    );
    let missing = layout.resolve(&"reg.example/app:v2".parse().unwrap()).unwrap_err();
    assert_eq!(missing.class, Kind::Absent);
    assert_eq!(layout.find(None).unwrap_err().class, Kind::Refused);
    let referrers = Referrers::referrers(&layout, &repository("reg.example/app"), image.digest()).unwrap();
    assert_eq!(referrers.len(), 1);
    assert_eq!((referrers[0].digest, referrers[0].artifact_type.as_deref()), (sbom.digest(), Some("example/sbom")));
    assert_eq!(TagList::tags(&layout, &repository("reg.example/app")).unwrap(), [tag("v1")]);
    let catalog = |host| Source::catalog(&layout).unwrap().repositories(host).unwrap();
    assert!(catalog(Some("reg.example")).contains(&repository("reg.example/app")));
    assert!(catalog(Some("other.example")).is_empty() && catalog(None).len() >= catalog(Some("reg.example")).len());
    // Opened for reading, it is still a source of what it contains.
    assert!(Inventory::as_source(&layout).unwrap().resolve(&"reg.example/app:v1".parse().unwrap()).is_ok());
    let layer = &image.layers()[0];
    let mut part = String::new();
    layout.range(layout.repository(), layer, 1, 3).unwrap().unwrap().read_to_string(&mut part).unwrap();
    assert_eq!(part, "aye");
    assert!(layout.range(layout.repository(), layer, 3, 3).is_err());
    assert!(layout.has_manifest(layout.repository(), image.digest()).unwrap());
    assert_eq!(layout.tag(&repository("reg.example/app"), &tag("v1")).unwrap(), Some(image.digest()));
}

#[test]
fn adding_keeps_what_others_wrote_and_moves_a_name() {
    let folder = TempDir::new().unwrap();
    let layout = Layout::create(folder.path()).unwrap();
    let (one, two) = (manifest(&layout, b"one", None), manifest(&layout, b"two", None));
    layout.set_tag(&repository("b.example/a"), &tag("v1"), &one).unwrap();
    layout.finish().unwrap();
    drop(layout);
    let mut foreign = index(folder.path());
    foreign["annotations"] = json!({"site": "7"});
    foreign["manifests"].as_array_mut().unwrap().push(
        json!({"mediaType": OCI_MANIFEST, "digest": two.digest(), "size": two.size(), "own": 1, "annotations": {index::REF_NAME: "old"}}),
    );
    std::fs::write(folder.path().join(INDEX), foreign.to_string()).unwrap();

    let layout = Layout::create(folder.path()).unwrap();
    layout.set_tag(&repository("b.example/a"), &tag("v1"), &two).unwrap();
    layout.set_tag(&repository("a.example/a"), &tag("v1"), &one).unwrap();
    layout.set_root(&repository("a.example/a"), &one).unwrap();
    layout.set_root(&repository("c.example/a"), &one).unwrap();
    layout.finish().unwrap();
    let now = index(folder.path());
    assert_eq!(now["annotations"], foreign["annotations"]);
    let entries = now["manifests"].as_array().unwrap();
    let name = |entry: &Value| entry["annotations"][index::REF_NAME].as_str().unwrap_or("-").to_owned();
    assert_eq!(entries.iter().map(name).collect::<Vec<_>>(), ["-", "a.example/a:v1", "b.example/a:v1", "old"]);
    assert_eq!(entries[2]["digest"], json!(two.digest()));
    assert_eq!(entries[2]["annotations"][index::CONTAINERD_NAME], "b.example/a:v1");
    assert_eq!(entries[3]["own"], 1);
}

#[test]
fn p1_nothing_half_done_has_a_final_name() {
    let folder = TempDir::new().unwrap();
    let layout = Layout::create(folder.path()).unwrap();
    let mut wrong = body(b"right");
    wrong.0 = b"wrong".to_vec();
    for size in [5, 4, 6] {
        wrong.1.size = size;
        assert_eq!(layout.put_blob(layout.repository(), &wrong.1, &wrong).unwrap_err().class, Kind::Mismatch);
    }
    let large = vec![7; 3 << 20];
    let descriptor = put(&layout, &large);
    put(&layout, b"small");
    assert!(layout.has_blob(layout.repository(), &body(b"small").1).unwrap());
    assert!(names_in(folder.path()).contains(&descriptor.digest.hex()));
    assert!(!names_in(folder.path()).contains(&body(b"small").1.digest.hex()), "not durable yet");
    drop(layout);
    assert!(!names_in(folder.path()).iter().any(|name| name.starts_with(".partial")));

    std::fs::write(folder.path().join("blobs/sha256/.partial-1-2"), b"left").unwrap();
    let layout = Layout::create(folder.path()).unwrap();
    assert!(!names_in(folder.path()).iter().any(|name| name.starts_with(".partial")));
    for number in 0..200_u32 {
        put(&layout, &number.to_le_bytes());
    }
    assert!(names_in(folder.path()).contains(&body(&0_u32.to_le_bytes()).1.digest.hex()));
    layout.finish().unwrap();
    assert!(!names_in(folder.path()).iter().any(|name| name.starts_with(".partial")));
}

#[test]
fn sha512_blobs_have_their_own_folder() {
    let folder = TempDir::new().unwrap();
    let layout = Layout::create(folder.path()).unwrap();
    let digest = Digest::of(Algorithm::Sha512, b"x");
    let body = Bytes(b"x".to_vec(), Descriptor::new("x/y", digest, 1));
    layout.put_blob(layout.repository(), &body.1, &body).unwrap();
    layout.finish().unwrap();
    assert!(folder.path().join("blobs/sha512").join(digest.hex()).is_file());
}

#[test]
fn only_one_writes_and_only_into_a_layout_or_nothing() {
    let folder = TempDir::new().unwrap();
    let first = Layout::create(folder.path()).unwrap();
    assert_eq!(Layout::create(folder.path()).err().unwrap().class, Class::Lock);
    assert_eq!(Layout::open(folder.path()).err().unwrap().class, Class::Format, "no index.json yet");
    first.finish().unwrap();
    drop(first);
    assert!(Layout::create(folder.path()).is_ok());
    let reader = Layout::open(folder.path()).unwrap();
    assert!(reader.finish().is_err());

    let other = TempDir::new().unwrap();
    std::fs::write(other.path().join("letter.txt"), b"dear").unwrap();
    assert_eq!(Layout::create(other.path()).err().unwrap().class, Class::Usage);
    assert_eq!(names_of(other.path()), ["letter.txt"]);
    assert_eq!(Layout::open(other.path()).err().unwrap().class, Class::Format);
    assert_eq!(Layout::open(&other.path().join("no")).err().unwrap().class, Class::Source);
    std::fs::write(other.path().join(MARKER), br#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    let fault = Layout::open(other.path()).err().unwrap();
    assert!(fault.what.contains("expected imageLayoutVersion 1.0.0"), "{fault}");
}

#[test]
fn who_looks_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let new = folder.path().join("a/new");
    assert!(Layout::look(&new).unwrap().is_none() && Layout::look(folder.path()).unwrap().is_none());
    let nothing = Nothing::at(&new).unwrap();
    let one = body(b"one");
    let repository = local_repository(&new);
    assert!(!nothing.has_blob(&repository, &one.1).unwrap());
    assert!(nothing.put_blob(&repository, &one.1, &one).is_err());
    assert!(nothing.check_room(&[&one.1]).is_ok());
    let huge = Descriptor::new("x/y", one.1.digest, 1 << 52);
    assert!(nothing.check_room(&[&huge]).unwrap_err().what.contains("expected room for"));
    assert!(names_of(folder.path()).is_empty());

    let writer = Layout::create(folder.path()).unwrap();
    assert!(Layout::look(folder.path()).unwrap().is_some(), "begun, without an index");
    let put = put(&writer, b"one");
    writer.finish().unwrap();
    let looked = Layout::look(folder.path()).unwrap().unwrap();
    assert!(looked.has_blob(looked.repository(), &put).unwrap());

    std::fs::write(folder.path().join("file"), b"").unwrap();
    let other = TempDir::new().unwrap();
    std::fs::write(other.path().join("letter.txt"), b"dear").unwrap();
    assert_eq!(Layout::look(other.path()).err().unwrap().class, Class::Usage);
    assert_eq!(Nothing::at(&other.path().join("letter.txt/below")).err().unwrap().class, Class::Io);
}

fn names_of(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a1_links_are_not_followed() {
    let folder = TempDir::new().unwrap();
    let outside = TempDir::new().unwrap();
    let layout = Layout::create(folder.path()).unwrap();
    let one = put(&layout, b"one");
    layout.finish().unwrap();
    let blobs = folder.path().join("blobs/sha256");
    let secret = body(b"secret").1;
    std::fs::write(outside.path().join("secret"), b"secret").unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), blobs.join(secret.digest.hex())).unwrap();
    assert_eq!(layout.blob(layout.repository(), &secret).err().unwrap().class, Kind::Io);
    // A directory that is a link: nothing is read or written through it.
    std::fs::remove_dir_all(&blobs).unwrap();
    std::os::unix::fs::symlink(outside.path(), &blobs).unwrap();
    assert!(layout.blob(layout.repository(), &one).is_err());
    let two = body(b"two");
    assert!(layout.put_blob(layout.repository(), &two.1, &two).is_err());
    assert_eq!(names_of(outside.path()), ["secret"]);
}

#[test]
fn damaged_blobs_are_named() {
    let folder = TempDir::new().unwrap();
    let layout = Layout::create(folder.path()).unwrap();
    let image = manifest(&layout, b"layer", None);
    layout.finish().unwrap();
    let file = |digest: Digest| folder.path().join("blobs/sha256").join(digest.hex());
    let layer = &image.layers()[0];
    std::fs::write(file(layer.digest), b"long layer").unwrap();
    assert_eq!(layout.blob(layout.repository(), layer).err().unwrap().class, Kind::Mismatch);
    assert!(!layout.has_blob(layout.repository(), layer).unwrap());
    // The manifest exists, but a layout does not guarantee that it is complete.
    assert!(layout.has_manifest(layout.repository(), image.digest()).unwrap() && !layout.keeps_whole());
    let mut raw = image.raw().to_vec();
    raw[1] ^= 1;
    std::fs::write(file(image.digest()), raw).unwrap();
    assert!(!layout.has_manifest(layout.repository(), image.digest()).unwrap());
    let error = layout.document(layout.repository(), &image.descriptor()).unwrap_err();
    assert_eq!(error.class, Kind::Mismatch);
    std::fs::remove_file(file(image.digest())).unwrap();
    assert_eq!(layout.document(layout.repository(), &image.descriptor()).unwrap_err().class, Kind::Absent);
    assert!(!layout.holds(layout.repository(), &image.descriptor()).unwrap());
}

#[test]
fn old_entries_without_media_type_are_read() {
    let folder = TempDir::new().unwrap();
    let layout = Layout::create(folder.path()).unwrap();
    let image = manifest(&layout, b"layer", None);
    layout.finish().unwrap();
    drop(layout);
    let entry = json!({"digest": image.digest(), "size": image.size(), "annotations": {index::REF_NAME: "v1"}});
    let text = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).to_string();
    std::fs::write(folder.path().join(INDEX), text).unwrap();
    let layout = Layout::open(folder.path()).unwrap();
    assert_eq!(layout.entries()[0].descriptor.media_type, OCI_MANIFEST);
    assert_eq!(layout.find(Some("v1")).unwrap().names[0].repository, *layout.repository());
}

#[test]
fn c2_what_others_write_meanwhile_stays_and_a_new_name_is_looked_at_again() {
    let folder = TempDir::new().unwrap();
    let layout = Layout::create(folder.path()).unwrap();
    let (one, two) = (manifest(&layout, b"one", None), manifest(&layout, b"two", None));
    let (place, theirs) = (repository("b.example/a"), tag("theirs"));
    layout.set_tag(&place, &tag("before"), &one).unwrap();
    layout.finish().unwrap();
    assert_eq!(layout.set_new_tag(&place, &tag("ours"), &one).unwrap(), None);
    // Another program, which does not take our lock.
    let foreign = |name: &str| {
        let mut now = index(folder.path());
        now["manifests"].as_array_mut().unwrap().push(json!({
            "mediaType": OCI_MANIFEST, "digest": two.digest(), "size": two.size(), "annotations": {index::REF_NAME: name},
        }));
        std::fs::write(folder.path().join(INDEX), now.to_string()).unwrap();
    };
    foreign("b.example/a:theirs");
    assert_eq!(layout.set_new_tag(&place, &theirs, &one).unwrap(), Some(two.digest()));
    layout.finish().unwrap();
    let named = |name: &str| {
        let bytes = std::fs::read(folder.path().join(INDEX)).unwrap();
        Index::parse(&bytes).unwrap().named(name).map(ToOwned::to_owned)
    };
    assert_eq!(named("b.example/a:theirs"), Some(two.digest().to_string()));
    assert_eq!(named("b.example/a:ours"), Some(one.digest().to_string()));
    // Between the check and the end.
    assert_eq!(layout.set_new_tag(&place, &tag("late"), &one).unwrap(), None);
    foreign("b.example/a:late");
    assert_eq!(layout.finish().unwrap_err().class, Kind::Policy);
    assert_eq!(named("b.example/a:late"), Some(two.digest().to_string()));
}

#[test]
fn c2_two_that_begin_one_layout_lock_one_file() {
    let folder = TempDir::new().unwrap();
    let disk = Disk::open(folder.path()).unwrap();
    assert!(!Layout::is_there(folder.path(), &disk).unwrap());
    // The other run has also checked before this one creates the layout.
    let held = Layout::create(folder.path()).unwrap();
    disk.begin(MARKER, MARKER_CONTENT).unwrap();
    let lock = disk.top(MARKER).unwrap();
    let taken = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive);
    assert_eq!(taken, Err(rustix::io::Errno::WOULDBLOCK));
    drop(held);
    let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.collect::<Vec<_>>(), [MARKER]);
}
