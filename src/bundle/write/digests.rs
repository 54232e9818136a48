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

/// Computes the digest of every volume from its frames as they come, each with its volume's number.
/// Calls `whole` for each volume after its last frame. `count` is the number of all frames.
///
/// # Errors
/// The first of `whole`.
pub fn of_volumes(
    frames: &Receiver<(usize, Arc<Built>)>,
    count: usize,
    whole: impl Fn(usize, u64, Digest) -> Result<(), Error>,
) -> Result<Vec<Digest>, Error> {
    let mut digests = Vec::new();
    let mut open: Option<(usize, u64, Hasher)> = None;
    let mut end = |(number, size, hasher): (usize, u64, Hasher)| {
        let digest = hasher.finish();
        digests.push(digest);
        whole(number, size, digest)
    };
    let mut taken = 0;
    for (volume, built) in frames {
        let (mut size, mut hasher) = match open.take() {
            Some((number, size, hasher)) if number == volume => (size, hasher),
            before => {
                before.map_or(Ok(()), &mut end)?;
                (0, Hasher::new(Algorithm::Sha256))
            }
        };
        for slice in built.slices() {
            hasher.update(&slice);
            size += slice.len() as u64;
        }
        open = Some((volume, size, hasher));
        taken += 1;
    }
    // After a pass that broke off, the last volume is not whole.
    open.filter(|_| taken == count).map_or(Ok(()), &mut end)?;
    Ok(digests)
}
