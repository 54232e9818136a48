//! Counts what was scanned: every blob that is listed, each exactly once and every byte of it. Only [`Coverage::close`] says
//! that all is clean, and only of what was counted here.
//!
//! It starts no scanner and reads no content.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use super::scanner::{Answer, Problem};
use crate::base::fault::{Class, Fault};
use crate::base::lock::{into_inner, lock};
use crate::oci::Digest;

/// The most findings that are listed one by one; further ones are counted.
const LISTED: usize = 10_000;

/// Something that is not clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub blob: Digest,
    /// The file in the layer.
    pub path: Option<String>,
    pub problem: Problem,
    pub said: String,
}

#[derive(Debug)]
pub(super) struct Coverage {
    // Place by digest, and the size.
    blobs: HashMap<Digest, (usize, u64)>,
    page: Mutex<Page>,
}

#[derive(Debug, Default)]
struct Page {
    done: Vec<bool>,
    blobs: u64,
    files: u64,
    bytes: u64,
    found: Vec<Found>,
    more: u64,
    wrong: Option<String>,
}

/// The counts and findings of a whole scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Closed {
    pub blobs: u64,
    pub files: u64,
    pub bytes: u64,
    pub found: Vec<Found>,
    /// Findings beyond those that are listed.
    pub more: u64,
}

impl Coverage {
    /// For `blobs`: digests and sizes.
    pub(super) fn new(blobs: &[(Digest, u64)]) -> Self {
        let page = Page { done: vec![false; blobs.len()], ..Page::default() };
        let blobs = blobs.iter().enumerate().map(|(place, &(digest, size))| (digest, (place, size))).collect();
        Self { blobs, page: Mutex::new(page) }
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        // After a panic a blob is missing, which `close` tells.
        lock(&self.page)
    }

    /// A blob was given to a scanner, or every file in it: so many of its bytes, whose digest holds.
    pub(super) fn count(&self, blob: Digest, bytes: u64, files: u64) {
        let mut page = self.page();
        let wrong = match self.blobs.get(&blob) {
            Some(&(place, size)) if size == bytes => {
                if std::mem::replace(&mut page.done[place], true) {
                    Some(format!("blob {blob}: scanned more than once"))
                } else {
                    page.blobs += 1;
                    page.files += files;
                    page.bytes += bytes;
                    None
                }
            }
            Some((_, size)) => Some(format!("blob {blob}: expected {size} bytes to be scanned, found {bytes}")),
            None => Some(format!("blob {blob}: scanned, but not listed")),
        };
        page.wrong = page.wrong.take().or(wrong);
    }

    /// Notes the scanner's answer about a blob, or about a file in it.
    pub(super) fn judge(&self, blob: Digest, path: Option<&str>, answer: Answer) {
        if let Some(problem) = answer.problem {
            self.find(Found { blob, path: path.map(ToOwned::to_owned), problem, said: answer.said });
        }
    }

    /// Something is not clean.
    pub(super) fn find(&self, found: Found) {
        let mut page = self.page();
        if page.found.len() < LISTED {
            page.found.push(found);
        } else {
            page.more += 1;
        }
    }

    /// Whether something is not clean already.
    pub(super) fn is_stained(&self) -> bool {
        !self.page().found.is_empty()
    }

    /// The one place from which "clean" comes: with nothing found in what is given back, everything was scanned.
    ///
    /// # Errors
    /// Class bug: nothing was found, but something was not scanned just once and whole.
    pub(super) fn close(self) -> Result<Closed, Fault> {
        let Page { done, blobs, files, bytes, mut found, more, wrong } = into_inner(self.page);
        found.sort_by(|a, b| (a.blob, &a.path).cmp(&(b.blob, &b.path)));
        let skipped = || {
            let place = done.iter().position(|done| !done)?;
            let blob = self.blobs.iter().find(|(_, (at, _))| *at == place)?.0;
            Some(format!("blob {blob}: not scanned"))
        };
        let count = || {
            let all = self.blobs.len();
            (blobs != done.len() as u64 || all != done.len())
                .then(|| format!("expected {} blobs to be scanned, found {blobs}", done.len()))
        };
        match wrong.or_else(skipped).or_else(count).filter(|_| found.is_empty()) {
            Some(what) => Err(Fault::new(Class::Bug, format!("internal error: scan: {what}"))),
            None => Ok(Closed { blobs, files, bytes, found, more }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::sha256(text.as_bytes())
    }

    fn two() -> Coverage {
        Coverage::new(&[(digest("a"), 1), (digest("b"), 2)])
    }

    #[test]
    fn u4_all_scanned_once_and_nothing_found_is_clean() {
        let coverage = two();
        coverage.count(digest("b"), 2, 3);
        coverage.count(digest("a"), 1, 0);
        let closed = coverage.close().unwrap();
        assert_eq!(closed, Closed { blobs: 2, files: 3, bytes: 3, ..Closed::default() });
    }

    #[test]
    fn u4_a_blob_that_was_skipped_is_never_clean() {
        let coverage = two();
        coverage.count(digest("a"), 1, 0);
        let fault = coverage.close().unwrap_err();
        assert_eq!(fault.class, Class::Bug);
        assert!(fault.what.contains(&digest("b").to_string()) && fault.what.contains("not scanned"), "{fault}");
        assert!(two().close().is_err());
        assert!(Coverage::new(&[]).close().is_ok(), "nothing to scan");
    }

    #[test]
    fn u4_twice_short_and_unlisted_are_never_clean() {
        for wrong in [("a", 1), ("a", 0), ("b", 3), ("c", 1)] {
            let coverage = two();
            coverage.count(digest("a"), 1, 0);
            coverage.count(digest("b"), 2, 0);
            coverage.count(digest(wrong.0), wrong.1, 0);
            assert_eq!(coverage.close().unwrap_err().class, Class::Bug, "{wrong:?}");
        }
        let same = Coverage::new(&[(digest("a"), 1), (digest("a"), 1)]);
        same.count(digest("a"), 1, 0);
        assert!(same.close().is_err());
    }

    #[test]
    fn u4_findings_are_listed_up_to_a_number_and_counted_beyond() {
        let coverage = Coverage::new(&[(digest("a"), 1)]);
        let answer = |problem| Answer { problem, said: "said".into() };
        coverage.judge(digest("a"), None, answer(None));
        assert!(!coverage.is_stained());
        for index in 0..=LISTED {
            coverage.judge(digest("a"), Some(&format!("{index}")), answer(Some(Problem::Exit(1))));
        }
        assert!(coverage.is_stained());
        let closed = coverage.close().unwrap();
        assert_eq!((closed.found.len(), closed.more), (LISTED, 1));
    }
}
