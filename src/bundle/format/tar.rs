//! The tar stream, made from the manifest and compared, never parsed (`spec/tar-stream.md`).
//!
//! Writer and reader use the same code: [`Tar`] returns each member's header, size and position. A
//! header:
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

use std::sync::Arc;

use super::computed::{Index, LAYOUT, Reader};
use super::manifest::{Blob, Manifest};
use crate::oci::{Algorithm, Digest};

/// Size of a tar block in bytes.
pub const BLOCK: u64 = 512;
/// Size of the two zero blocks at the end.
pub const TRAILER: u64 = 2 * BLOCK;
/// Modification time of every member: 1980-01-01, the first moment that FAT can hold.
const MTIME: u64 = 315_532_800;
/// Smallest size that does not fit in a ustar size field as octal digits.
const OCTAL_LIMIT: u64 = 1 << 33;

/// Index of a member: `oci-layout`, `index.json`, then the blobs.
pub type MemberIndex = usize;

/// Content of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Computed from the manifest ([`Tar::computed`]).
    Computed,
    /// The blob.
    Blob(Digest),
}

/// Members of the stream and their positions.
#[derive(Debug)]
pub struct Tar {
    manifest: Arc<Manifest>,
    index: Index,
    // Start of each member, then of the trailer.
    starts: Vec<u64>,
}

fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}");
    field[..digits].copy_from_slice(text.as_bytes());
}

/// Returns one ustar header: of a file (`0`) or of a pax header (`x`).
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

/// Returns `size` rounded up to whole blocks.
pub const fn padded(size: u64) -> u64 {
    size.div_ceil(BLOCK) * BLOCK
}

/// Returns a whole archive of one file, from which `demo` makes its layers. Names are cut to 100
/// bytes.
pub fn single(name: &str, content: &[u8]) -> Vec<u8> {
    let name = &name.as_bytes()[..name.len().min(100)];
    let mut archive = header(name, content.len() as u64, b'0').to_vec();
    archive.extend_from_slice(content);
    let end = padded(archive.len() as u64) + TRAILER;
    archive.resize(usize::try_from(end).unwrap_or_default(), 0);
    archive
}

/// Returns the whole header of a blob. For sha512, whose name is too long for ustar, a pax header
/// comes first.
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
    /// Returns the stream of a manifest's artifacts and blobs, or `None` if its length exceeds 64
    /// bits.
    pub fn new(manifest: Arc<Manifest>) -> Option<Self> {
        let (index, blobs) = (Index::new(&manifest.artifacts), &manifest.blobs);
        let mut starts = Vec::with_capacity(blobs.len() + 3);
        let mut at = 0_u64;
        for size in [LAYOUT.len() as u64, index.length()] {
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
        Some(Self { manifest, index, starts })
    }

    /// Returns the number of members, not counting the trailer.
    pub fn members(&self) -> usize {
        self.manifest.blobs.len() + 2
    }

    fn blob(&self, member: MemberIndex) -> &Blob {
        &self.manifest.blobs[member - 2]
    }

    /// Returns the length of the stream in bytes, including the trailer.
    pub fn length(&self) -> u64 {
        self.start(self.members()) + TRAILER
    }

    /// Returns where a member starts. The trailer counts as the member after the last.
    ///
    /// # Panics
    /// If `member` is beyond the trailer.
    pub fn start(&self, member: MemberIndex) -> u64 {
        self.starts[member]
    }

    /// Returns where a member ends, including its padding.
    pub fn end(&self, member: MemberIndex) -> u64 {
        if member < self.members() { self.starts[member + 1] } else { self.length() }
    }

    /// Returns the header of a member.
    pub fn header(&self, member: MemberIndex) -> Vec<u8> {
        match member {
            0 => header(b"oci-layout", LAYOUT.len() as u64, b'0').to_vec(),
            1 => header(b"index.json", self.index.length(), b'0').to_vec(),
            _ => blob_header(self.blob(member)),
        }
    }

    /// Returns the size of a member's content in bytes.
    pub fn size(&self, member: MemberIndex) -> u64 {
        match member {
            0 => LAYOUT.len() as u64,
            1 => self.index.length(),
            _ => self.blob(member).size,
        }
    }

    /// Returns what a member's content is.
    pub fn content(&self, member: MemberIndex) -> Content {
        if member < Self::of_blob(0) { Content::Computed } else { Content::Blob(self.blob(member).digest) }
    }

    /// Returns a reader of the content of a computed member that starts at a position.
    pub fn computed(&self, member: MemberIndex, position: u64) -> Reader<'_> {
        if member == 0 { Reader::layout(position) } else { self.index.from(&self.manifest.artifacts, position) }
    }

    /// Returns the member of the blob at `index` in the manifest.
    pub const fn of_blob(index: usize) -> MemberIndex {
        index + 2
    }

    /// Returns the name of a member for messages.
    pub fn name(&self, member: MemberIndex) -> String {
        match member {
            0 => "oci-layout".to_owned(),
            1 => "index.json".to_owned(),
            _ if member < self.members() => format!("blob {}", self.blob(member).digest),
            _ => "end of the tar stream".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(blobs: &[Blob]) -> Option<Tar> {
        Tar::new(crate::bundle::format::manifest::holding(&[], blobs))
    }

    #[test]
    fn header_is_what_gnu_tar_reads() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = [
            Blob { digest: Digest::sha256(b"hello"), size: 5 },
            Blob { digest: Digest::of(Algorithm::Sha512, b"hello"), size: 5 },
        ];
        let tar = tar(&blobs).unwrap();
        let mut bytes = Vec::new();
        for member in 0..tar.members() {
            assert_eq!(bytes.len() as u64, tar.start(member));
            bytes.extend(tar.header(member));
            match tar.content(member) {
                Content::Computed => {
                    let from = bytes.len();
                    bytes.resize(from + usize::try_from(tar.size(member)).unwrap(), 0);
                    tar.computed(member, 0).fill(&mut bytes[from..]);
                }
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
        let tar = tar(std::slice::from_ref(&blob)).unwrap();
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
        assert!(tar(&[blob]).is_none());
    }
}
