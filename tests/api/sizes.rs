//! Sizes around every boundary: of a tar block, a shared frame, a raw block, a frame, and the octal
//! digits of a ustar header. Written, read in every form, and read by tar.

use std::fs;
use std::io::{Cursor, Seek as _, SeekFrom, Write as _};

use packmule::bundle::format::frame::MAX_PLAIN;
use packmule::bundle::format::manifest::Blob;
use packmule::bundle::format::tar::{Content, Tar};
use packmule::bundle::write::frames::{CutRule, SMALL, cut};
use packmule::bundle::write::{Options, write};
use packmule::bundle::write::{flat, read_back};
use packmule::bundle::{Output, open, stream};
use packmule::content::Source as _;
use packmule::oci::media_type::OCI_LAYER_GZIP;
use packmule::oci::{Algorithm, Digest};
use packmule::operate::verify::{Request, Scope};
use packmule::signing::Policy;

use crate::examples::manifest_of;
use crate::store::{SIGN_1, artifact, flow, prose};
use crate::{key, noise};

const MIB: usize = 1 << 20;

/// Boundaries: blocks, shared frames, raw blocks, frames (of which the header takes 512 or 1536
/// bytes).
const SIZES: [usize; 21] = [
    0,
    1,
    511,
    512,
    513,
    (64 << 10) - 1,
    64 << 10,
    (64 << 10) + 1,
    (128 << 10) - 512,
    (128 << 10) - 1,
    128 << 10,
    (128 << 10) + 1,
    16 * MIB - 1537,
    16 * MIB - 1536,
    16 * MIB - 1535,
    16 * MIB - 513,
    16 * MIB - 512,
    16 * MIB - 511,
    16 * MIB - 1,
    16 * MIB,
    16 * MIB + 1,
];

#[test]
fn every_boundary_is_read_as_it_was_written() {
    for (flat, long) in [(false, false), (false, true), (true, false)] {
        let mut blobs = vec![(b"{}".to_vec(), false, "a/config")];
        for (seed, size) in SIZES.into_iter().enumerate() {
            // Large ones that pack are cheap; the odd ones are stored.
            let content = if seed % 2 == 0 { prose(size) } else { noise(seed as u64, size) };
            blobs.push((content, long, if seed % 2 == 0 { "a/prose" } else { OCI_LAYER_GZIP }));
        }
        let (memory, input) = artifact("sizes", blobs, 128 << 20);
        let dir = tempfile::tempdir().unwrap();
        let output = Output::open(dir.path(), &input.name, false).unwrap();
        let options = Options { sign: SIGN_1, read_back: Some(&read_back::read_back), leave_out: false };
        if flat {
            flat::write(&flow(2), &memory, &output, &input, options).unwrap();
        } else {
            write(&flow(2), &memory, &output, &input, options).unwrap();
        }
        drop(output);
        let policy = Policy::new(vec![key(1).public().clone()], None).unwrap();
        let path = dir.path().join("sizes.json");
        let verdict =
            packmule::operate::verify::run(&flow(2), Request::new(open(&path).unwrap(), &policy, &Scope::default()));
        assert!(verdict.is_good(), "{:?}", verdict.fault);
        let bundle = verdict.bundle.unwrap();
        for blob in input.blobs.iter().filter(|blob| blob.document.is_none()) {
            let mut content = Vec::new();
            let mut reader = bundle.blob(&blob.repository, &blob.descriptor).unwrap();
            reader.read_to_end(&mut content).unwrap();
            assert!(content == memory.blobs[&blob.descriptor.digest], "{} bytes", blob.descriptor.size);
        }
        if !flat {
            let mut bytes = Vec::new();
            stream::write(&open(&path).unwrap(), &flow(1), &mut bytes).unwrap();
            let opened = stream::open(Box::new(Cursor::new(bytes)), &flow(1)).unwrap();
            let passed = packmule::operate::verify::run(&flow(2), Request::new(opened, &policy, &Scope::default()));
            assert_eq!((passed.tally, passed.fault.map(|fault| fault.what)), (verdict.tally, None));
        }
    }
}

/// Blobs around 8 GiB, where sizes no longer fit the octal digits: the stream as a sparse file,
/// which tar lists.
#[test]
fn sizes_around_8_gib_are_what_tar_reads() {
    const GIB8: u64 = 8 << 30;
    let sizes = [GIB8 - 1, GIB8, GIB8 + 1, 3 * GIB8];
    let name = |index: usize| index.to_le_bytes();
    let blobs: Vec<Blob> = (sizes.iter().enumerate())
        .flat_map(|(index, &size)| {
            [Algorithm::Sha256, Algorithm::Sha512]
                .map(|algorithm| Blob { digest: Digest::of(algorithm, &name(index)), size })
        })
        .collect();
    let tar = Tar::new(manifest_of(&blobs)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse.tar");
    let mut file = fs::File::create(&path).unwrap();
    for member in 0..tar.members() {
        file.seek(SeekFrom::Start(tar.start(member))).unwrap();
        file.write_all(&tar.header(member)).unwrap();
        if tar.content(member) == Content::Computed {
            let mut content = vec![0; usize::try_from(tar.size(member)).unwrap()];
            tar.computed(member, 0).fill(&mut content);
            file.write_all(&content).unwrap();
        }
    }
    if let Err(error) = file.set_len(tar.length()) {
        eprintln!("!! SKIPPED sizes_around_8_gib_are_what_tar_reads: no sparse files here: {error}");
        return;
    }
    let listed = std::process::Command::new("tar").args(["-tvnf"]).arg(&path).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 2 + blobs.len());
    for (line, blob) in lines[2..].iter().zip(&blobs) {
        let path = format!("blobs/{}/{}", blob.digest.algorithm().name(), blob.digest.hex());
        assert_eq!((line[2], line[5]), (blob.size.to_string().as_str(), path.as_str()));
    }

    // The frames cut it everywhere into buffer-sized parts, each byte once.
    let rules: Vec<CutRule> = blobs.iter().map(|blob| CutRule { small: blob.size <= SMALL, packable: false }).collect();
    let mut at = 0;
    for piece in cut(&tar, &rules) {
        assert_eq!(piece.span.start, at);
        assert!((1..=MAX_PLAIN).contains(&piece.plain()));
        at = piece.span.end;
    }
    assert_eq!(at, tar.length());
}
