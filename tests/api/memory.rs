//! The memory needed by an export and by verifying a stream, whatever the size of a layer, each in
//! a process that does nothing else.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use packmule::bundle::write::{Input, InputBlob, Options, write};
use packmule::bundle::{Output, open, stream};
use packmule::content::{self, Kind, Ranges, Source};
use packmule::flow::{FixedClock, Flow, Silent};
use packmule::oci::media_type::{OCI_LAYER_GZIP, OCI_MANIFEST};
use packmule::oci::{Algorithm, Descriptor, Document, Hasher, Reference, Repository};
use packmule::operate::verify::{Request, Scope};
use packmule::signing::Policy;

use crate::alone::{ALONE, kib_peak, tell_peak};
use crate::store::{SIGN_1, input, listed, repository};

/// Content made from its position: noise, with every eighth KiB zeros, so that packing saves a
/// little.
struct Made {
    at: u64,
    end: u64,
}

impl Read for Made {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let start = usize::try_from(self.at % 8).unwrap();
        let count = usize::try_from(self.end - self.at).unwrap().min(buffer.len());
        let mut word = self.at / 8;
        let mut filled = 0;
        while filled < count {
            let mut mixed = word.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            let bytes = if (word / 128) % 8 == 7 { [0; 8] } else { mixed.to_le_bytes() };
            let from = if filled == 0 { start } else { 0 };
            let take = (8 - from).min(count - filled);
            buffer[filled..filled + take].copy_from_slice(&bytes[from..from + take]);
            filled += take;
            word += 1;
        }
        self.at += count as u64;
        Ok(count)
    }
}

struct Endless;

impl Source for Endless {
    fn resolve(&self, _: &Reference) -> Result<Descriptor, content::Error> {
        Err(content::Error::new(Kind::Absent, "nothing is named here"))
    }
    fn document(&self, _: &Repository, _: &Descriptor) -> Result<Document, content::Error> {
        Err(content::Error::new(Kind::Absent, "no documents here"))
    }
    fn blob(&self, _: &Repository, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>, content::Error> {
        Ok(Box::new(Made { at: 0, end: blob.size }))
    }
    fn holds(&self, _: &Repository, _: &Descriptor) -> Result<bool, content::Error> {
        Ok(true)
    }
    fn ranges(&self) -> Option<&dyn Ranges> {
        Some(self)
    }
}

impl Ranges for Endless {
    fn range(
        &self,
        _: &Repository,
        _: &Descriptor,
        offset: u64,
        length: u64,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, content::Error> {
        Ok(Some(Box::new(Made { at: offset, end: offset + length })))
    }
}

fn layer(size: u64, media_type: &str) -> Descriptor {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut made = Made { at: 0, end: size };
    let mut buffer = vec![0; 1 << 20];
    loop {
        match made.read(&mut buffer).unwrap() {
            0 => return Descriptor::new(media_type, hasher.finish(), size),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Like `kib_peak`, in MiB.
fn peak_of(work: &str, dir: &Path) -> u64 {
    kib_peak(work, dir).div_ceil(1 << 10)
}

#[test]
fn export_stays_below_320_mib_and_a_stream_of_it_below_150() {
    let dir = tempfile::tempdir().unwrap();
    let peak = peak_of("memory::the_export_of_its_own_process", dir.path());
    assert!(peak <= 320, "export: peak {peak} MiB");
    let peak = peak_of("memory::the_stream_of_its_own_process", dir.path());
    assert!(peak <= 150, "stream: peak {peak} MiB");
}

/// Runs only as a child of the test above: both ends of a pipe with a bundle of a GB.
#[test]
fn the_stream_of_its_own_process() {
    let Some(dir) = std::env::var_os(ALONE) else { return };
    let bundle = open(Path::new(&dir)).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let fill = std::thread::spawn(move || stream::write(&bundle, &crate::flow(), &mut writer));
    let policy = Policy::new(vec![crate::key(1).public().clone()], None).unwrap();
    let flow = Flow::new(Arc::new(Silent), Arc::new(FixedClock::default()), 8, 2);
    let opened = stream::open(Box::new(reader), &flow).unwrap();
    let verdict = packmule::operate::verify::run(&flow, Request::new(opened, &policy, &Scope::default()));
    assert!(verdict.is_good(), "{:?}", verdict.fault);
    fill.join().unwrap().unwrap();
    tell_peak();
}

/// Runs only as a child of the test above.
#[test]
fn the_export_of_its_own_process() {
    let Some(dir) = std::env::var_os(ALONE) else { return };
    let layers = [layer(4, "a/config"), layer(500 << 20, OCI_LAYER_GZIP), layer(501 << 20, "a/tar")];
    let json = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": layers[0], "layers": layers[1..],
    });
    let document = Document::parse(OCI_MANIFEST, serde_json::to_vec(&json).unwrap()).unwrap();
    let blob = |descriptor: &Descriptor, document: Option<&Document>| InputBlob {
        descriptor: descriptor.clone(),
        repository: repository(),
        document: document.cloned(),
        small: descriptor.size <= 64 << 10,
    };
    let mut blobs = vec![blob(&document.descriptor(), Some(&document))];
    blobs.extend(layers.iter().map(|layer| blob(layer, None)));
    let input = Input { level: 9, ..input("large", vec![listed(&document)], blobs) };
    let output = Output::open(Path::new(&dir), &input.name, false).unwrap();
    let flow = Flow::new(Arc::new(Silent), Arc::new(FixedClock::default()), 8, 2);
    let written =
        write(&flow, &Endless, &output, &input, Options { sign: SIGN_1, read_back: None, leave_out: false }).unwrap();
    assert!(written.manifest.frames.iter().filter(|frame| frame.size.is_some()).count() > 30);
    tell_peak();
}
