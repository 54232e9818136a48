//! Computes digests while the writer's frames go by: of blobs, each compared at its end, and of
//! volumes. Each kind in a thread of its own.

use crate::base::lock::lock;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use super::frames::Piece;
use super::input::Input;
use super::outcome::Trouble;
use crate::base::fault::Class;
use crate::bundle::Error;
use crate::bundle::format::tar::{Content, Tar};
use crate::bundle::frames::built::Built;
use crate::flow::{Event, Flow};
use crate::oci::{Algorithm, Digest, Hasher};

/// Compares blobs with their digests.
pub struct Blobs<'a> {
    /// Receives events.
    pub flow: &'a Flow,
    /// The blobs.
    pub input: &'a Input,
    /// Their members.
    pub tar: &'a Tar,
    /// The frames.
    pub pieces: &'a [Piece],
    /// Problem that was found; nothing is read after it.
    pub wrong: Mutex<Option<Trouble>>,
}

impl Blobs<'_> {
    /// Computes the digest of every blob from the frames as they come, and compares it.
    pub fn take(&self, frames: &Receiver<(usize, Arc<Built>)>) {
        let mut open: Option<Hasher> = None;
        for (index, built) in frames {
            let Some(plain) = built.plain() else {
                let error = Error::new(Class::Io, format!("frame {}: does not unpack to what was packed", index + 1));
                *lock(&self.wrong) = Some(Trouble::Ended(error.help("the memory of this machine is faulty")));
                return;
            };
            for section in self.pieces[index].sections(self.tar) {
                let Content::Blob(digest) = self.tar.content(section.member) else { continue };
                if section.content.start == 0 {
                    open = Some(Hasher::new(digest.algorithm()));
                }
                let Some(hasher) = &mut open else { continue };
                let length = usize::try_from(section.content.end - section.content.start).unwrap_or_default();
                hasher.update(&plain[section.at..section.at + length]);
                if section.content.end == self.tar.size(section.member) {
                    let found = open.take().map(Hasher::finish);
                    if found != Some(digest) {
                        let blob = &self.input.blobs[section.member - Tar::of_blob(0)];
                        let found = found.map_or_else(String::new, |found| found.to_string());
                        let what = format!("blob {digest} from {}: content has digest {found}", blob.repository);
                        *lock(&self.wrong) = Some(Trouble::Wrong { member: section.member, what });
                        return;
                    }
                    self.flow.event(Event::Item(digest.to_string()));
                }
            }
        }
    }
}

/// A volume whose frames all went by.
pub struct WholeVolume {
    /// Its number, from 0.
    pub number: usize,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
    /// Offsets at which its frames end.
    pub ends: Vec<u64>,
}

/// A volume while its frames go by.
struct OpenVolume {
    number: usize,
    hasher: Hasher,
    // The last one is its size.
    ends: Vec<u64>,
}

impl OpenVolume {
    fn new(number: usize) -> Self {
        Self { number, hasher: Hasher::new(Algorithm::Sha256), ends: Vec::new() }
    }

    fn add(&mut self, built: &Built) {
        let mut end = self.ends.last().copied().unwrap_or_default();
        for slice in built.slices() {
            self.hasher.update(&slice);
            end += slice.len() as u64;
        }
        self.ends.push(end);
    }

    fn end(self) -> WholeVolume {
        let size = self.ends.last().copied().unwrap_or_default();
        WholeVolume { number: self.number, size, digest: self.hasher.finish(), ends: self.ends }
    }
}

/// Computes the digest of every volume from its frames as they come, each with its volume's number.
/// Calls `whole` for each volume after its last frame. `count` is the number of all frames.
///
/// # Errors
/// The first of `whole`.
pub fn of_volumes(
    frames: &Receiver<(usize, Arc<Built>)>,
    count: usize,
    whole: impl Fn(WholeVolume) -> Result<(), Error>,
) -> Result<Vec<Digest>, Error> {
    let mut digests = Vec::new();
    let mut open: Option<OpenVolume> = None;
    let mut end = |volume: OpenVolume| {
        let volume = volume.end();
        digests.push(volume.digest);
        whole(volume)
    };
    let mut taken = 0;
    for (number, built) in frames {
        let mut volume = match open.take() {
            Some(volume) if volume.number == number => volume,
            before => {
                before.map_or(Ok(()), &mut end)?;
                OpenVolume::new(number)
            }
        };
        volume.add(&built);
        open = Some(volume);
        taken += 1;
    }
    // After a pass that broke off, the last volume is not whole.
    open.filter(|_| taken == count).map_or(Ok(()), &mut end)?;
    Ok(digests)
}
