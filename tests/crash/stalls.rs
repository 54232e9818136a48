//! Sources that stall, break or miss something while a bundle is written: how the run ends, and
//! where it resumes.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use packmule::base::fault::Class;
use packmule::bundle::write::publish::unfinished_length;
use packmule::bundle::{Error, Output};
use packmule::content::{self, Source};
use packmule::oci::{Descriptor, Digest, Document, Reference, Repository};

use crate::noise;
use crate::store::{self, Memory, artifact, export, flow, only_partial};

/// The event when the large blob is read.
enum Event {
    /// The run is cancelled, and no data comes for a while.
    Cancel(Arc<AtomicBool>),
    /// A panic, as from a bug.
    Panic,
    /// The connection ends after this many bytes.
    Break(u64),
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::ConnectionReset.into())
    }
}

struct Strange(Memory, Event);

impl Source for Strange {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, content::Error> {
        self.0.resolve(reference)
    }
    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, content::Error> {
        self.0.document(repository, descriptor)
    }
    fn blob(&self, repository: &Repository, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>, content::Error> {
        if blob.size > 100_000 {
            match &self.1 {
                Event::Cancel(flag) => {
                    flag.store(true, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(700));
                }
                Event::Panic => panic!("a bug of the source"),
                Event::Break(at) => return Ok(Box::new(self.0.blob(repository, blob)?.take(*at).chain(Broken))),
            }
        }
        self.0.blob(repository, blob)
    }
    fn holds(&self, repository: &Repository, blob: &Descriptor) -> Result<bool, content::Error> {
        self.0.holds(repository, blob)
    }
}

fn written(
    source: &Strange,
    dir: &Path,
    input: &packmule::bundle::write::Input,
    flow: &packmule::flow::Flow,
) -> Result<(), Error> {
    let output = Output::open(dir, &input.name, false)?;
    let options = packmule::bundle::write::Options { sign: store::SIGN, read_back: None, leave_out: false };
    packmule::bundle::write::write(flow, source, &output, input, options).map(drop)
}

#[test]
fn p1_cancelled_while_nothing_comes() {
    let (memory, input) =
        artifact("b", vec![(b"{}".to_vec(), false, "a/b"), (noise(1, 200_000), false, "a/b")], 1 << 30);
    let dir = tempfile::tempdir().unwrap();
    let flow = flow(1);
    let source = Strange(memory, Event::Cancel(flow.cancel_flag()));
    let error = written(&source, dir.path(), &input, &flow).unwrap_err();
    assert_eq!(error.class, Class::Cancelled, "{error}");
    only_partial(dir.path());
}

#[test]
fn p5_a_source_that_panics_ends_the_export() {
    let (memory, input) =
        artifact("b", vec![(b"{}".to_vec(), false, "a/b"), (noise(1, 200_000), false, "a/b")], 1 << 30);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let source = Strange(memory, Event::Panic);
        sender.send(catch_unwind(AssertUnwindSafe(|| written(&source, &path, &input, &flow(2)))).is_err())
    });
    assert!(receiver.recv_timeout(Duration::from_secs(60)).expect("it hangs"), "the panic goes on");
    only_partial(dir.path());
}

#[test]
fn p4_a_volume_that_was_renamed_already_is_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let output = Output::open(dir.path(), &packmule::bundle::Name::new("b").unwrap(), false).unwrap();
    assert_eq!(unfinished_length(&output, 1), Ok(0));
    std::fs::write(dir.path().join("b.0001.tar.zst"), "12345").unwrap();
    assert_eq!(unfinished_length(&output, 1), Ok(5));
    assert!(dir.path().join("b.0001.tar.zst.partial").exists());
    std::os::unix::fs::symlink("b.0001.tar.zst.partial", dir.path().join("b.0002.tar.zst.partial")).unwrap();
    assert_eq!(unfinished_length(&output, 2).unwrap_err().class, Class::Io);
}

#[test]
fn what_was_written_whole_is_not_fetched_again() {
    let blobs = vec![
        (b"{}".to_vec(), false, "a/b"),
        (noise(1, 100_000), false, "a/b"),
        (noise(2, 100_000), false, "a/b"),
        (noise(3, 100_000), false, "a/b"),
    ];
    let lost = Digest::sha256(&blobs[3].0);
    for cut in [false, true] {
        let (mut memory, mut input) = artifact("b", blobs.clone(), 1 << 30);
        input.level = 0;
        let content = memory.blobs.remove(&lost).unwrap();
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(export(&flow(1), dir.path(), &memory, &input).unwrap_err().class, Class::Source);
        let volume = dir.path().join("b.0001.tar.zst.partial");
        if cut {
            // A byte of the last frame is missing.
            let length = std::fs::metadata(&volume).unwrap().len();
            std::fs::OpenOptions::new().write(true).open(&volume).unwrap().set_len(length - 1).unwrap();
        }
        memory.blobs.insert(lost, content);
        memory.asked.lock().unwrap().clear();
        export(&flow(1), dir.path(), &memory, &input).unwrap();
        let asked = memory.asked.lock().unwrap();
        let mut asked: Vec<_> = asked.keys().copied().collect();
        let mut expected = if cut { vec![lost, Digest::sha256(&blobs[2].0)] } else { vec![lost] };
        asked.sort();
        expected.sort();
        assert_eq!(asked, expected, "cut: {cut}");
    }
}

/// If the source has no ranges, the bytes of a blob already written are skipped, and nothing is
/// opened twice.
#[test]
fn without_ranges_it_goes_on_within_a_blob_too() {
    let blobs =
        vec![(b"{}".to_vec(), false, "a/b"), (noise(1, 33 << 20), false, "a/b"), (noise(2, 17 << 20), false, "a/b")];
    let (mut memory, mut input) = artifact("b", blobs, 1 << 30);
    memory.ranged = false;
    input.level = 0;
    let dir = tempfile::tempdir().unwrap();
    let source = Strange(memory, Event::Break(20 << 20));
    let error = written(&source, dir.path(), &input, &flow(1)).unwrap_err();
    assert_eq!(error.class, Class::Io, "{error}");
    let kept = std::fs::read_to_string(dir.path().join("b.journal.partial")).unwrap();
    assert_eq!(kept.lines().count(), 2, "what is small, and 16 MiB of the large one");
    let memory = source.0;
    memory.asked.lock().unwrap().clear();
    export(&flow(3), dir.path(), &memory, &input).unwrap();
    let asked = memory.asked.lock().unwrap();
    for blob in input.blobs.iter().filter(|blob| blob.descriptor.size > 1 << 20) {
        assert_eq!(asked[&blob.descriptor.digest], blob.descriptor.size, "each is opened once");
    }
}
