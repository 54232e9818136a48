//! The record of volumes that left the directory, `NAME.sent.partial`: one line for each volume that
//! the store has and that was removed here, so that a killed run neither writes nor sends it again.
//!
//! A line is `VOLUME SIZE DIGEST` and a line feed; a later line about a volume counts. From the first
//! torn or invalid line on, lines are ignored. Nothing is trusted: the frames are read from the
//! store and checked.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use super::output::{Output, open_own, write_error};
use crate::bundle::Error;
use crate::bundle::volumes::local::read_capped;
use crate::oci::Digest;

/// Maximum size of the record in bytes.
const MOST: u64 = 64 << 20;

/// Volumes, counted from 1, with their sizes in bytes and their digests.
pub(super) type Sent = BTreeMap<usize, (u64, Digest)>;

fn parse(line: &str) -> Option<(usize, (u64, Digest))> {
    let mut words = line.split(' ');
    let entry = (words.next()?.parse().ok()?, (words.next()?.parse().ok()?, words.next()?.parse().ok()?));
    words.next().is_none().then_some(entry)
}

fn format(volume: usize, size: u64, digest: Digest) -> String {
    format!("{volume} {size} {digest}\n")
}

/// Reads the record; without one, nothing was sent.
///
/// # Errors
/// [`crate::base::fault::Class::Io`].
pub(super) fn read(output: &Output) -> Result<Sent, Error> {
    let bytes = read_capped(&output.sent(), MOST)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.split_inclusive('\n').map_while(|line| line.strip_suffix('\n').and_then(parse));
    Ok(lines.collect())
}

/// Adds a volume that the store has.
///
/// # Errors
/// [`crate::base::fault::Class::Io`].
pub(super) fn add(record: &Path, volume: usize, size: u64, digest: Digest) -> Result<(), Error> {
    let write = || {
        let mut file = open_own(record)?;
        // One write at the end of the file: other threads add lines too.
        file.write_all(format(volume, size, digest).as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| write_error(record, &error))
}

/// Keeps only the volumes that `keep` accepts.
///
/// # Errors
/// [`crate::base::fault::Class::Io`].
pub(super) fn retain(output: &Output, mut sent: Sent, keep: impl Fn(usize) -> bool) -> Result<(), Error> {
    let before = sent.len();
    sent.retain(|volume, _| keep(*volume));
    if sent.len() == before {
        return Ok(());
    }
    let text: String = sent.into_iter().map(|(volume, (size, digest))| format(volume, size, digest)).collect();
    output.put(&format!("{}.sent.partial", output.name()), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Name;

    #[test]
    fn a_torn_line_ends_what_counts() {
        let dir = tempfile::tempdir().unwrap();
        let output = Output::open(dir.path(), &Name::new("b").unwrap(), false).unwrap();
        assert!(read(&output).unwrap().is_empty());
        let digests = [&b"1"[..], b"2", b"3"].map(Digest::sha256);
        for (number, digest) in (1..).zip(digests) {
            add(&output.sent(), number, 10, digest).unwrap();
        }
        add(&output.sent(), 2, 11, digests[0]).unwrap();
        let sent = read(&output).unwrap();
        assert_eq!((sent.len(), sent[&2]), (3, (11, digests[0])));
        retain(&output, sent, |volume| volume < 3).unwrap();
        assert_eq!(read(&output).unwrap().into_keys().collect::<Vec<_>>(), [1, 2]);
        let whole = std::fs::read(output.sent()).unwrap();
        std::fs::write(output.sent(), &whole[..whole.len() - 1]).unwrap();
        assert_eq!(read(&output).unwrap().into_keys().collect::<Vec<_>>(), [1]);
    }
}
