//! The tar stream, made from the manifest and compared, never parsed (`spec/tar-stream.md`).
//!
//! One code for writer and reader: [`Tar`] tells each member's header, size and place. A header:
//!
//! | offset | length | content |
//! |---|---|---|
//! | 0 | 100 | name, zero-filled |
//! | 100 | 8 | mode `0000644`, NUL |
//! | 108, 116 | 8 | uid, gid `0000000`, NUL |
//! | 124 | 12 | size: 11 octal digits, NUL; from 8 GiB on base-256 (0x80, 11 bytes big endian) |
//! | 136 | 12 | mtime `02263523000` (315532800), NUL |
//! | 148 | 8 | checksum: 6 octal digits, NUL, space |
//! | 156 | 1 | type: `0`, or `x` of a pax header |
//! | 157 | 100 | zero |
//! | 257 | 8 | `ustar`, NUL, `00` |
//! | 265 | 64 | zero |
//! | 329, 337 | 8 | device numbers `0000000`, NUL |
//! | 345 | 167 | zero |

use serde::Serialize;

use super::manifest::Blob;
use crate::oci::media_type::OCI_INDEX;
use crate::oci::{Algorithm, Artifact, Digest};

/// A tar block, in bytes.
pub const BLOCK: u64 = 512;
/// The two zero blocks at the end.
pub const TRAILER: u64 = 2 * BLOCK;
/// Modification time of every member: 1980-01-01, the first moment that FAT can hold.
const MTIME: u64 = 315_532_800;
/// From this size on a ustar size field does not hold octal digits.
const OCTAL_LIMIT: u64 = 1 << 33;
/// `oci-layout`.
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Index of a member: `oci-layout`, `index.json`, then the blobs.
pub type MemberIndex = usize;

/// What a member's content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// These bytes, computed from the manifest.
    Computed(&'a [u8]),
    /// The blob.
    Blob(Digest),
}

/// The stream's members and their places.
#[derive(Debug)]
pub struct Tar {
    index: Vec<u8>,
    blobs: Vec<Blob>,
    // Start of each member, then of the trailer.
    starts: Vec<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    manifests: Vec<Entry<'a>>,
    media_type: &'a str,
    schema_version: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Names>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    digest: Digest,
    media_type: &'a str,
    size: u64,
}

#[derive(Serialize)]
struct Names {
    #[serde(rename = "io.containerd.image.name")]
    containerd: String,
    #[serde(rename = "org.opencontainers.image.ref.name")]
    oci: String,
}

/// `index.json` for `artifacts` in their order: one descriptor for each tag, one without annotations
/// for an artifact that has none.
pub fn index_json(artifacts: &[Artifact]) -> Vec<u8> {
    let mut manifests = Vec::new();
    for artifact in artifacts {
        let entry = |annotations| Entry {
            annotations,
            artifact_type: artifact.artifact_type.as_deref(),
            digest: artifact.digest,
            media_type: &artifact.media_type,
            size: artifact.size,
        };
        for tag in &artifact.tags {
            let name = format!("{}:{tag}", artifact.repository);
            manifests.push(entry(Some(Names { containerd: name.clone(), oci: name })));
        }
        if artifact.tags.is_empty() {
            manifests.push(entry(None));
        }
    }
    // Serialising these structs cannot fail: every key is a string and writing goes to memory.
    serde_json::to_vec(&Index { manifests, media_type: OCI_INDEX, schema_version: 2 }).unwrap_or_default()
}

fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}");
    field[..digits].copy_from_slice(text.as_bytes());
}

/// One ustar header: of a file (`0`) or a pax header (`x`).
pub(in crate::bundle) fn header(name: &[u8], size: u64, kind: u8) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    octal(&mut block[100..108], 0o644);
    octal(&mut block[108..116], 0);
    octal(&mut block[116..124], 0);
    if size < OCTAL_LIMIT {
        octal(&mut block[124..136], size);
    } else {
        block[124] = 0x80;
        block[128..136].copy_from_slice(&size.to_be_bytes());
    }
    octal(&mut block[136..148], MTIME);
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut block[329..337], 0);
    octal(&mut block[337..345], 0);
    // The checksum counts its own field as spaces.
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum::<u64>() + 8 * u64::from(b' ');
    octal(&mut block[148..155], sum);
    block[155] = b' ';
    block
}

/// `size` rounded up to whole blocks.
pub const fn padded(size: u64) -> u64 {
    size.div_ceil(BLOCK) * BLOCK
}

/// A whole archive of one file, whose name has at most 100 bytes: what `demo` makes its layers of.
pub fn single(name: &str, content: &[u8]) -> Vec<u8> {
    let name = &name.as_bytes()[..name.len().min(100)];
    let mut archive = header(name, content.len() as u64, b'0').to_vec();
    archive.extend_from_slice(content);
    let end = padded(archive.len() as u64) + TRAILER;
    archive.resize(usize::try_from(end).unwrap_or_default(), 0);
    archive
}

/// The whole header of a blob: for sha512, whose name is too long for ustar, a pax header in front.
fn blob_header(blob: &Blob) -> Vec<u8> {
    let hex = blob.digest.hex();
    let path = format!("blobs/{}/{hex}", blob.digest.algorithm().name());
    match blob.digest.algorithm() {
        Algorithm::Sha256 => header(path.as_bytes(), blob.size, b'0').to_vec(),
        Algorithm::Sha512 => {
            // "NNN path=...\n": the length counts itself, and has three digits.
            let record = format!("{} path={path}\n", path.len() + 10);
            let mut all = header(b"pax", record.len() as u64, b'x').to_vec();
            all.extend_from_slice(record.as_bytes());
            all.resize(1024, 0);
            all.extend_from_slice(&header(&hex.as_bytes()[..100], blob.size, b'0'));
            all
        }
    }
}

const fn header_size(algorithm: Algorithm) -> u64 {
    match algorithm {
        Algorithm::Sha256 => BLOCK,
        Algorithm::Sha512 => 3 * BLOCK,
    }
}

impl Tar {
    /// The stream of these artifacts and blobs; `None` if its length leaves 64 bits.
    pub fn new(artifacts: &[Artifact], blobs: &[Blob]) -> Option<Self> {
        let index = index_json(artifacts);
        let mut starts = Vec::with_capacity(blobs.len() + 3);
        let mut at = 0_u64;
        for size in [LAYOUT.len() as u64, index.len() as u64] {
            starts.push(at);
            at += BLOCK + padded(size);
        }
        for blob in blobs {
            starts.push(at);
            let length = header_size(blob.digest.algorithm()).checked_add(padded(blob.size))?;
            at = at.checked_add(length)?;
        }
        starts.push(at);
        at.checked_add(TRAILER)?;
        Some(Self { index, blobs: blobs.to_vec(), starts })
    }

    /// How many members there are; the trailer is none.
    pub const fn members(&self) -> usize {
        self.blobs.len() + 2
    }

    /// Length of the stream in bytes, trailer included.
    pub fn length(&self) -> u64 {
        self.start(self.members()) + TRAILER
    }

    /// Where a member starts; the trailer is the member behind the last.
    ///
    /// # Panics
    /// Beyond the trailer.
    pub fn start(&self, member: MemberIndex) -> u64 {
        self.starts[member]
    }

    /// Where a member, its padding included, ends.
    pub fn end(&self, member: MemberIndex) -> u64 {
        if member < self.members() { self.starts[member + 1] } else { self.length() }
    }

    /// The header of a member.
    pub fn header(&self, member: MemberIndex) -> Vec<u8> {
        match member {
            0 => header(b"oci-layout", LAYOUT.len() as u64, b'0').to_vec(),
            1 => header(b"index.json", self.index.len() as u64, b'0').to_vec(),
            _ => blob_header(&self.blobs[member - 2]),
        }
    }

    /// Size of a member's content in bytes.
    pub fn size(&self, member: MemberIndex) -> u64 {
        match self.content(member) {
            Content::Computed(bytes) => bytes.len() as u64,
            Content::Blob(_) => self.blobs[member - 2].size,
        }
    }

    /// Content of a member.
    pub fn content(&self, member: MemberIndex) -> Content<'_> {
        match member {
            0 => Content::Computed(LAYOUT),
            1 => Content::Computed(&self.index),
            _ => Content::Blob(self.blobs[member - 2].digest),
        }
    }

    /// The member of the blob at `index` in the manifest.
    pub const fn of_blob(index: usize) -> MemberIndex {
        index + 2
    }

    /// Name of a member, for messages.
    pub fn name(&self, member: MemberIndex) -> String {
        match member {
            0 => "oci-layout".to_owned(),
            1 => "index.json".to_owned(),
            _ if member < self.members() => format!("blob {}", self.blobs[member - 2].digest),
            _ => "end of the tar stream".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_what_gnu_tar_reads() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = [
            Blob { digest: Digest::sha256(b"hello"), size: 5 },
            Blob { digest: Digest::of(Algorithm::Sha512, b"hello"), size: 5 },
        ];
        let tar = Tar::new(&[], &blobs).unwrap();
        let mut bytes = Vec::new();
        for member in 0..tar.members() {
            assert_eq!(bytes.len() as u64, tar.start(member));
            bytes.extend(tar.header(member));
            match tar.content(member) {
                Content::Computed(content) => bytes.extend_from_slice(content),
                Content::Blob(_) => bytes.extend_from_slice(b"hello"),
            }
            bytes.resize(usize::try_from(tar.end(member)).unwrap(), 0);
        }
        bytes.extend([0; 1024]);
        assert_eq!(bytes.len() as u64, tar.length());
        std::fs::write(dir.path().join("t.tar"), &bytes).unwrap();
        let status = std::process::Command::new("tar").args(["-xf", "t.tar"]).current_dir(dir.path()).status().unwrap();
        assert!(status.success());
        for blob in &blobs {
            let path = format!("blobs/{}/{}", blob.digest.algorithm().name(), blob.digest.hex());
            assert_eq!(std::fs::read(dir.path().join(path)).unwrap(), b"hello");
        }
        assert_eq!(std::fs::read(dir.path().join("oci-layout")).unwrap(), LAYOUT);
    }

    #[test]
    fn a_single_file_has_its_padding_and_the_end_behind_it() {
        for (size, blocks) in [(0, 1), (1, 2), (512, 2), (513, 3)] {
            let archive = single("f", &vec![7; size]);
            assert_eq!(archive.len(), blocks * 512 + 1024, "{size}");
            assert!(archive[512..512 + size].iter().all(|&byte| byte == 7));
        }
    }

    #[test]
    fn members_have_names_for_messages() {
        let blob = Blob { digest: Digest::sha256(b"x"), size: 1 };
        let tar = Tar::new(&[], std::slice::from_ref(&blob)).unwrap();
        let names: Vec<String> = (0..4).map(|member| tar.name(member)).collect();
        assert_eq!(names, ["oci-layout", "index.json", &format!("blob {}", blob.digest), "end of the tar stream"]);
    }

    #[test]
    fn sizes_from_8_gib_are_base_256() {
        let below = header(b"x", OCTAL_LIMIT - 1, b'0');
        assert_eq!(&below[124..136], b"77777777777\0");
        let at = header(b"x", OCTAL_LIMIT, b'0');
        assert_eq!(at[124..136], [0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    }

    #[test]
    fn lengths_that_overflow_are_no_stream() {
        let blob = Blob { digest: Digest::sha256(b""), size: u64::MAX - 1024 };
        assert!(Tar::new(&[], &[blob]).is_none());
    }
}
