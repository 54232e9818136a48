//! Counts what was scanned: every listed blob must be scanned exactly once and in full. Only
//! [`Coverage::close`] can conclude that everything is clean.
//!
//! Starts no scanner and reads no content.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use super::scanner::{Answer, Problem};
use crate::base::fault::{Class, Description, Fault, differs};
use crate::base::lock::{into_inner, lock};
use crate::oci::Digest;

/// Maximum number of findings that are listed. Further ones are only counted.
const LISTED: usize = 10_000;

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub blob: Digest,
    /// Path of the file in the layer.
    pub path: Option<String>,
    pub problem: Problem,
    pub said: String,
}

#[derive(Debug)]
pub(super) struct Coverage {
    // Index and size by digest.
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
    wrong: Option<Description>,
}

/// Counts and findings of a complete scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Closed {
    pub blobs: u64,
    pub files: u64,
    pub bytes: u64,
    pub found: Vec<Found>,
    /// Number of findings that are not listed.
    pub more: u64,
}

impl Coverage {
    /// Creates the record for `blobs`: digests and sizes.
    pub(super) fn new(blobs: &[(Digest, u64)]) -> Self {
        let page = Page { done: vec![false; blobs.len()], ..Page::default() };
        let blobs = blobs.iter().enumerate().map(|(place, &(digest, size))| (digest, (place, size))).collect();
        Self { blobs, page: Mutex::new(page) }
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        // After a panic a blob is missing, which `close` detects.
        lock(&self.page)
    }

    /// Records that a blob, or every file in it, was given to a scanner: `bytes` bytes of it, with
    /// a correct digest.
    pub(super) fn count(&self, blob: Digest, bytes: u64, files: u64) {
        let mut page = self.page();
        let wrong = match self.blobs.get(&blob) {
            Some(&(place, size)) if size == bytes => {
                if std::mem::replace(&mut page.done[place], true) {
                    Some(format!("blob {blob}: scanned more than once").into())
                } else {
                    page.blobs += 1;
                    page.files += files;
                    page.bytes += bytes;
                    None
                }
            }
            Some((_, size)) => {
                Some(differs(format_args!("blob {blob}"), format_args!("{size} bytes to be scanned"), bytes))
            }
            None => Some(format!("blob {blob}: scanned, but not listed").into()),
        };
        page.wrong = page.wrong.take().or(wrong);
    }

    /// Records the scanner's answer about a blob, or about a file in it.
    pub(super) fn judge(&self, blob: Digest, path: Option<&str>, answer: Answer) {
        if let Some(problem) = answer.problem {
            self.find(Found { blob, path: path.map(ToOwned::to_owned), problem, said: answer.said });
        }
    }

    /// Records a finding.
    pub(super) fn find(&self, found: Found) {
        let mut page = self.page();
        if page.found.len() < LISTED {
            page.found.push(found);
        } else {
            page.more += 1;
        }
    }

    /// Whether there are findings so far.
    pub(super) fn is_stained(&self) -> bool {
        !self.page().found.is_empty()
    }

    /// Ends the scan. This is the only source of a "clean" result: if the returned value contains
    /// no findings, everything was scanned.
    ///
    /// # Errors
    /// Class bug if nothing was found, but something was not scanned exactly once and in full.
    pub(super) fn close(self) -> Result<Closed, Fault> {
        let Page { done, blobs, files, bytes, mut found, more, wrong } = into_inner(self.page);
        found.sort_by(|a, b| (a.blob, &a.path).cmp(&(b.blob, &b.path)));
        let skipped = || {
            let place = done.iter().position(|done| !done)?;
            let blob = self.blobs.iter().find(|(_, (at, _))| *at == place)?.0;
            Some(format!("blob {blob}: not scanned").into())
        };
        let count = || {
            let all = self.blobs.len();
            (blobs != done.len() as u64 || all != done.len())
                .then(|| differs("", format_args!("{} blobs to be scanned", done.len()), blobs))
        };
        match wrong.or_else(skipped).or_else(count).filter(|_| found.is_empty()) {
            Some(what) => Err(Fault::new(Class::Bug, what).within("internal error: scan")),
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
