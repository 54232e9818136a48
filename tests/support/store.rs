//! A source in memory, and exports from it: a closure of one artifact, runs interrupted after some
//! number of bytes, and a look at what they left.

#![allow(clippy::cast_possible_truncation, reason = "a test")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use packmule::bundle::format::manifest::MEDIA_TYPE;
use packmule::bundle::time::Moment;
use packmule::bundle::write::Sign;
use packmule::bundle::write::{Input, InputBlob, Options, Written, write};
use packmule::bundle::{Error, Name, Output};
use packmule::content::{self, Kind, Ranges, Source};
use packmule::flow::{Event, Events, FixedClock, Flow, Silent};
use packmule::oci::media_type::OCI_MANIFEST;
use packmule::oci::{Algorithm, Artifact, Descriptor, Digest, Document, Reference, Repository};
use packmule::signing::{Envelope, statement};

use crate::key;

/// Sets the cancel flag after a number of bytes.
struct Fuse {
    left: AtomicU64,
    flag: OnceLock<Arc<AtomicBool>>,
}

impl Events for Fuse {
    fn event(&self, event: Event) {
        let Event::Bytes(count) = event else { return };
        let burnt =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(count)));
        if burnt.is_ok_and(|left| left <= count) {
            self.flag.get().unwrap().store(true, Ordering::Relaxed);
        }
    }
}

pub fn flow(jobs: usize) -> Flow {
    Flow::new(Arc::new(Silent), Arc::new(FixedClock::default()), jobs, 2)
}

pub fn fused(jobs: usize, bytes: u64) -> Flow {
    let fuse = Arc::new(Fuse { left: AtomicU64::new(bytes), flag: OnceLock::new() });
    let flow = Flow::new(Arc::clone(&fuse) as Arc<dyn Events>, Arc::new(FixedClock::default()), jobs, 2);
    fuse.flag.set(flow.cancel_flag()).unwrap();
    flow
}

/// Blobs in memory; counts the bytes read of each.
#[derive(Default)]
pub struct Memory {
    pub blobs: HashMap<Digest, Vec<u8>>,
    pub names: HashMap<String, Descriptor>,
    pub ranged: bool,
    /// How often each blob's first bytes will be wrong.
    pub lies: Mutex<HashMap<Digest, usize>>,
    pub asked: Mutex<HashMap<Digest, u64>>,
}

impl Memory {
    /// Adds a blob.
    pub fn add(&mut self, algorithm: Algorithm, media_type: &str, content: Vec<u8>) -> Descriptor {
        let digest = Digest::of(algorithm, &content);
        let descriptor = Descriptor::new(media_type, digest, content.len() as u64);
        self.blobs.insert(digest, content);
        descriptor
    }

    fn part(&self, digest: Digest, offset: u64, length: u64) -> Result<Box<dyn Read + Send>, content::Error> {
        let blob = self.blobs.get(&digest).ok_or_else(|| content::Error::new(Kind::Absent, "not here"))?;
        *self.asked.lock().unwrap().entry(digest).or_default() += length;
        let mut bytes = blob[offset as usize..(offset + length) as usize].to_vec();
        if let Some(left) = self.lies.lock().unwrap().get_mut(&digest)
            && *left > 0
            && offset == 0
        {
            *left -= 1;
            bytes[0] ^= 1;
        }
        Ok(Box::new(std::io::Cursor::new(bytes)))
    }
}

impl Source for Memory {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, content::Error> {
        let found = self.names.get(&reference.to_string()).cloned();
        found.ok_or_else(|| content::Error::new(Kind::Absent, format!("{reference}: not here")))
    }
    fn document(&self, _: &Repository, descriptor: &Descriptor) -> Result<Document, content::Error> {
        let raw = self.blobs.get(&descriptor.digest);
        let raw = raw.ok_or_else(|| content::Error::new(Kind::Absent, "not here"))?;
        Ok(Document::with_digest(&descriptor.media_type, descriptor.digest, &raw[..]).unwrap())
    }
    fn blob(&self, _: &Repository, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>, content::Error> {
        self.part(blob.digest, 0, blob.size)
    }
    fn holds(&self, _: &Repository, blob: &Descriptor) -> Result<bool, content::Error> {
        Ok(self.blobs.contains_key(&blob.digest))
    }
    fn ranges(&self) -> Option<&dyn Ranges> {
        self.ranged.then_some(self)
    }
}

impl Ranges for Memory {
    fn range(
        &self,
        _: &Repository,
        blob: &Descriptor,
        offset: u64,
        length: u64,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, content::Error> {
        self.part(blob.digest, offset, length).map(Some)
    }
}

pub fn prose(size: usize) -> Vec<u8> {
    let line = b"all work and no play makes jack a dull boy; ";
    line.iter().copied().cycle().take(size).collect()
}

/// Makes one artifact of `(content, is sha512, media type)` blobs.
pub fn artifact(name: &str, blobs: Vec<(Vec<u8>, bool, &str)>, volume_size: u64) -> (Memory, Input) {
    let repository = repository();
    let mut memory = Memory { ranged: true, ..Memory::default() };
    let mut leaves = Vec::new();
    for (content, long, media_type) in blobs {
        let algorithm = if long { Algorithm::Sha512 } else { Algorithm::Sha256 };
        leaves.push(memory.add(algorithm, media_type, content));
    }
    let json = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": leaves[0], "layers": leaves[1..],
    });
    let document = Document::parse(OCI_MANIFEST, serde_json::to_vec(&json).unwrap()).unwrap();
    let leaf = |descriptor: &Descriptor| InputBlob {
        descriptor: descriptor.clone(),
        repository: repository.clone(),
        document: None,
        small: descriptor.size <= 64 << 10,
    };
    let mut blobs = vec![InputBlob {
        descriptor: document.descriptor(),
        repository: repository.clone(),
        document: Some(document.clone()),
        small: true,
    }];
    blobs.extend(leaves.iter().map(leaf).filter(|blob| blob.small));
    blobs.extend(leaves.iter().map(leaf).filter(|blob| !blob.small));
    let tags = vec![packmule::oci::Tag::new("1").unwrap()];
    let input = Input {
        created: Moment::from_unix(1_700_000_000).unwrap(),
        volume_size,
        request: "one artifact".to_owned(),
        ..input(name, vec![Artifact { tags, ..listed(&document) }], blobs)
    };
    (memory, input)
}

/// The repository of everything made here.
pub fn repository() -> Repository {
    Repository::exact("localhost/a").unwrap()
}

/// A manifest as the bundle lists it, without tags.
pub fn listed(document: &Document) -> Artifact {
    Artifact {
        artifact_type: None,
        digest: document.digest(),
        media_type: OCI_MANIFEST.to_owned(),
        original: None,
        repository: repository(),
        size: document.size(),
        subject: None,
        tags: Vec::new(),
    }
}

/// The input for the writer: one volume, level 1, nothing absent.
pub fn input(name: &str, artifacts: Vec<Artifact>, blobs: Vec<InputBlob>) -> Input {
    Input {
        name: Name::new(name).unwrap(),
        created: Moment::from_unix(0).unwrap(),
        tool: "packmule 0.1.0".to_owned(),
        artifacts,
        blobs,
        absent: Vec::new(),
        bases: Vec::new(),
        channel: None,
        annotations: BTreeMap::new(),
        volume_size: u64::MAX,
        level: 1,
        request: String::new(),
    }
}

/// Writes a placeholder instead of a signature file.
pub const SIGN: &Sign<'static> = &|_: &[u8]| Ok(b"{}".to_vec());

/// Signs with key 1.
pub const SIGN_1: &Sign<'static> = &|manifest: &[u8]| {
    let mut envelope = Envelope::new(statement(MEDIA_TYPE, Digest::sha256(manifest), manifest.len() as u64));
    envelope.sign(&key(1));
    Ok(envelope.to_bytes())
};

pub fn export(flow: &Flow, dir: &Path, memory: &Memory, input: &Input) -> Result<Written, Error> {
    let output = Output::open(dir, &input.name, false)?;
    write(flow, memory, &output, input, Options { sign: SIGN, read_back: None, leave_out: false })
}

pub fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect()
}

pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub fn only_partial(dir: &Path) {
    for name in names(dir) {
        assert!(name.ends_with(".partial"), "{name}");
    }
}

/// Returns every file below a directory, by path.
pub fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}
