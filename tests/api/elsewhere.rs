//! Bundles whose files go to a place other than a directory and are read from there. Each file
//! leaves as soon as it is whole, and no path is needed.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use packmule::base::fault::Class;
use packmule::bundle::check::parallel::check;
use packmule::bundle::format::offsets::frame_ends;
use packmule::bundle::write::{Options, flat, read_back, write};
use packmule::bundle::{Name, Output, Untrusted, open_at};
use packmule::content::store::{Finished, Store, Whole};
use packmule::content::volumes::{Entry, Volumes};
use packmule::content::{Error, Kind, Source};
use packmule::oci::{Descriptor, Document, Reference, Repository};

use crate::noise;
use crate::store::{Memory, SIGN, artifact, flow, names};

/// Files in memory. Those that were put and are not part of a bundle yet are separate.
#[derive(Default)]
struct MemoryStore {
    put: Mutex<BTreeMap<String, Vec<u8>>>,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Events in order: the names of files, and `read` when the source's last blob was requested.
    log: Mutex<Vec<String>>,
    /// Ends of frames, of each file that was put.
    ends: Mutex<BTreeMap<String, Vec<u64>>>,
    /// Bytes that were announced.
    expected: Mutex<u64>,
    /// The end of the name of a file that it refuses.
    refuses: Option<&'static str>,
}

/// A copy of one of the maps, as a place.
struct Files(BTreeMap<String, Vec<u8>>);

impl Volumes for Files {
    fn size(&self, file: &str) -> Result<Option<u64>, Error> {
        Ok(self.0.get(file).map(|bytes| bytes.len() as u64))
    }
    fn read_at(&self, file: &str, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let bytes = self.0.get(file).ok_or_else(|| Error::new(Kind::Absent, "not in the store"))?;
        let from = usize::try_from(offset).unwrap();
        let part = bytes.get(from..from + buffer.len()).ok_or_else(|| Error::new(Kind::Mismatch, "short"))?;
        buffer.copy_from_slice(part);
        Ok(())
    }
    fn list(&self, folder: &str, each: &mut dyn FnMut(Entry<'_>)) -> Result<(), Error> {
        let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        for (file, bytes) in &self.0 {
            let Some(rest) = file.strip_prefix(&below) else { continue };
            match rest.split_once('/') {
                Some((name, _)) => each(Entry { name, is_folder: true, size: None }),
                None => each(Entry { name: rest, is_folder: false, size: Some(bytes.len() as u64) }),
            }
        }
        Ok(())
    }
    fn shown(&self, file: &str) -> String {
        format!("memory/{file}")
    }
    fn place(&self) -> String {
        "memory".to_owned()
    }
}

impl MemoryStore {
    fn files(&self) -> Arc<dyn Volumes> {
        Arc::new(Files(self.files.lock().unwrap().clone()))
    }

    fn log(&self, what: &str) {
        self.log.lock().unwrap().push(what.to_owned());
    }
}

impl Store for MemoryStore {
    fn put(&self, file: Whole) -> Result<(), Error> {
        if self.refuses.is_some_and(|refused| file.name.ends_with(refused)) {
            return Err(Error::new(Kind::Refused, "the store is full"));
        }
        let mut bytes = Vec::new();
        // Checked: it ends only where size and digest hold.
        file.body.open().and_then(|mut body| body.read_to_end(&mut bytes)).unwrap();
        assert_eq!(bytes.len() as u64, file.size);
        self.log(&file.name);
        self.ends.lock().unwrap().insert(file.name.clone(), file.ends);
        self.put.lock().unwrap().insert(file.name, bytes);
        Ok(())
    }
    fn expect(&self, bytes: u64) -> Result<(), Error> {
        assert!(self.put.lock().unwrap().is_empty(), "before the first file");
        *self.expected.lock().unwrap() = bytes;
        Ok(())
    }
    fn settle(&self, volumes: &[String]) -> Result<Arc<dyn Volumes>, Error> {
        let put = self.put.lock().unwrap();
        assert!(volumes.iter().all(|volume| put.contains_key(volume)), "each was put");
        Ok(Arc::new(Files(put.clone())))
    }
    fn finish(&self, bundle: &Finished) -> Result<(), Error> {
        let mut files = self.files.lock().unwrap();
        files.append(&mut self.put.lock().unwrap());
        for small in &bundle.small {
            files.insert(small.name.clone(), small.bytes.clone());
            self.log(&small.name);
        }
        Ok(())
    }
    fn clear(&self) -> Result<(), Error> {
        self.put.lock().unwrap().clear();
        Ok(())
    }
}

/// A source that logs when its last blob is requested.
struct Noted<'a>(&'a Memory, &'a MemoryStore, Descriptor);

impl Source for Noted<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        self.0.resolve(reference)
    }
    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        self.0.document(repository, descriptor)
    }
    fn blob(&self, repository: &Repository, blob: &Descriptor) -> Result<Box<dyn std::io::Read + Send + '_>, Error> {
        if blob.digest == self.2.digest {
            self.1.log("read");
        }
        self.0.blob(repository, blob)
    }
    fn holds(&self, repository: &Repository, blob: &Descriptor) -> Result<bool, Error> {
        self.0.holds(repository, blob)
    }
}

#[test]
fn a_volume_leaves_as_soon_as_it_is_whole_and_is_read_where_it_went() {
    let blobs = (0..5).map(|number| (vec![number; 30 << 20], false, "a/b"));
    let (memory, mut input) =
        artifact("b", [(b"{}".to_vec(), false, "a/b")].into_iter().chain(blobs).collect(), 32 << 20);
    input.level = 0;
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(MemoryStore::default()));
    let output = Output::open(dir.path(), &input.name, false).unwrap().stored_in(store.clone());
    let last = input.blobs.last().unwrap().descriptor.clone();
    let options = Options { sign: SIGN, read_back: Some(&read_back::read_back), leave_out: false };
    let written = write(&flow(1), &Noted(&memory, &store, last), &output, &input, options).unwrap();
    drop(output);
    assert_eq!(written.manifest.volumes.len(), 5);
    assert_eq!(names(dir.path()), [""; 0], "nothing stays where it was made");
    let log = store.log.lock().unwrap().clone();
    let at = |what: &str| log.iter().position(|one| one == what).unwrap_or_else(|| panic!("{what}: {log:?}"));
    assert!(at("b.0001.tar.zst") < at("read"), "it left while others were to come: {log:?}");
    assert!(log.ends_with(&["b.0005.tar.zst", "b.sig.json", "b.sha256", "b.json"].map(str::to_owned)), "{log:?}");

    // Where its frames end, as the manifest says it.
    let ends: Vec<Vec<u64>> = std::mem::take(&mut *store.ends.lock().unwrap()).into_values().collect();
    assert_eq!(ends, frame_ends(&written.manifest));
    let sizes: Vec<u64> = written.manifest.volumes.iter().map(|volume| volume.size).collect();
    assert_eq!(ends.iter().map(|ends| *ends.last().unwrap()).collect::<Vec<_>>(), sizes);
    assert!(ends[1].len() > 1 && ends[1].is_sorted(), "{ends:?}");
    assert_eq!(*store.expected.lock().unwrap(), sizes.iter().sum::<u64>(), "nothing is packed");

    let open = || open_at(store.files(), Name::new("b").unwrap()).and_then(Untrusted::assume).unwrap();
    let bundle = open();
    assert_eq!(bundle.id(), written.id);
    check(&bundle, &flow(2), false).unwrap();
    // What lies there is judged as in a directory.
    for (file, bytes, words) in [
        ("b.0006.tar.zst", &b"x"[..], "volume b.0006.tar.zst: extra"),
        ("b.sha256", b"x", "memory/b.sha256: differs"),
        ("b.0005.tar.zst", b"x", "volume b.0005.tar.zst: truncated"),
        ("b.0005.tar.zst", b"", "volume b.0005.tar.zst: need volume 5"),
    ] {
        let before = store.files.lock().unwrap().insert(file.to_owned(), bytes.to_vec());
        let fault = check(&open(), &flow(2), true).unwrap_err().fault;
        assert!(fault.class == Class::Integrity && fault.what.starts_with(words), "{fault}");
        match before {
            Some(before) => store.files.lock().unwrap().insert(file.to_owned(), before),
            None => store.files.lock().unwrap().remove(file),
        };
    }
}

#[test]
fn the_files_of_form_flat_leave_one_by_one() {
    let blobs = vec![(b"{}".to_vec(), false, "a/b"), (noise(1, 3000), false, "a/b"), (noise(2, 90_000), true, "a/b")];
    let (memory, input) = artifact("b", blobs, 1 << 30);
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(MemoryStore::default()));
    let output = Output::open(dir.path(), &input.name, false).unwrap().stored_in(store.clone());
    let options = Options { sign: SIGN, read_back: Some(&read_back::read_back), leave_out: false };
    flat::write(&flow(2), &memory, &output, &input, options).unwrap();
    drop(output);
    assert_eq!(names(dir.path()), [""; 0], "nothing stays where it was made");
    let bundle = open_at(store.files(), Name::new("b").unwrap()).and_then(Untrusted::assume).unwrap();
    let tally = check(&bundle, &flow(2), false).unwrap();
    assert_eq!((tally.members, tally.blobs), (6, 4));
    store.files.lock().unwrap().insert("b.oci/blobs/sha256/x".to_owned(), Vec::new());
    let bundle = open_at(store.files(), Name::new("b").unwrap()).and_then(Untrusted::assume).unwrap();
    let fault = check(&bundle, &flow(2), false).unwrap_err().fault;
    assert!(fault.what.starts_with("memory/b.oci/blobs/sha256/x: extra"), "{fault}");
}

#[test]
fn a_store_that_refuses_a_volume_ends_the_run_and_the_next_one_goes_on() {
    let blobs = (0..4).map(|number| (vec![number; 30 << 20], false, "a/b"));
    let (memory, mut input) =
        artifact("b", [(b"{}".to_vec(), false, "a/b")].into_iter().chain(blobs).collect(), 32 << 20);
    input.level = 0;
    let dir = tempfile::tempdir().unwrap();
    let run = |store: &Arc<MemoryStore>| {
        let output = Output::open(dir.path(), &input.name, false).unwrap().stored_in(store.clone());
        write(&flow(1), &memory, &output, &input, Options { sign: SIGN, read_back: None, leave_out: false })
    };
    let full = Arc::new(MemoryStore { refuses: Some(".0002.tar.zst"), ..MemoryStore::default() });
    let error = run(&full).unwrap_err();
    assert!(error.what.contains("the store is full"), "{error}");
    assert!(full.files.lock().unwrap().is_empty() && full.put.lock().unwrap().len() == 1);
    let store = Arc::new(MemoryStore::default());
    let written = run(&store).unwrap();
    assert_eq!(store.files.lock().unwrap().len(), written.files.len());
}
