//! The receipt of an earlier, failed import under the name of a new one. It is moved to
//! `X.failed-N.json`, with its signatures, and never lost. The receipt of a success, or any other
//! file, stays where it is.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::cli::receipt::signature_path;
use crate::cli::writing::newfile::name;
use crate::receipt::{MAX_RECEIPT, Receipt};
use crate::system;

/// Maximum number of failed receipts kept for one name.
const MOST: u32 = 100_000;

/// Returns whether the file is the receipt of an import that did not bring everything.
pub(crate) fn is_failed(path: &Path) -> bool {
    let mut bytes = Vec::new();
    let read = system::open_file(path).map(|file| file.take(MAX_RECEIPT + 1).read_to_end(&mut bytes));
    if !matches!(read, Ok(Ok(_))) {
        return false;
    }
    let Ok(receipt) = Receipt::parse(&bytes) else { return false };
    receipt.fault.is_some() || !receipt.is_whole()
}

/// Moves the receipt of a failed import away, if there is one, and returns its new path. The caller
/// holds the lock of the name.
///
/// # Errors
/// Those of the system; the receipt still exists, under one of the two names.
pub(crate) fn make_room(path: &Path) -> io::Result<Option<PathBuf>> {
    if !is_failed(path) {
        return Ok(None);
    }
    let signatures = signature_path(path);
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    for number in 1..=MOST {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let moved = path.with_file_name(format!("{stem}.failed-{number}.json"));
        let moved_signatures = signature_path(&moved);
        // A run that was killed after it had moved the signatures left them here without their
        // receipt. They belong to the receipt at `path`, unless that has signatures of its own.
        if is_there(&moved) || (is_there(&moved_signatures) && is_there(&signatures)) {
            continue;
        }
        if is_there(&signatures) {
            name(&signatures, &moved_signatures)?;
        }
        name(path, &moved)?;
        system::sync_name(&moved)?;
        return Ok(Some(moved));
    }
    Err(io::Error::other(format!("expected at most {MOST} failed receipts of that name")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the example of `spec/receipt.md` as the receipt of a success or of a failure.
    fn receipt(failed: bool) -> String {
        let page = include_str!("../../../spec/receipt.md");
        let good = page.split_once("```json example received.json\n").unwrap().1.split_once('\n').unwrap().0;
        if !failed {
            return good.to_owned();
        }
        good.replacen(",\"format\"", ",\"fault\":{\"class\":\"destination\",\"text\":\"x\"},\"format\"", 1)
    }

    #[test]
    fn only_failed_ones_move_each_to_a_number_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();
        let read = |name: &str| std::fs::read_to_string(at(name)).unwrap();
        assert_eq!(make_room(&at("r.json")).unwrap(), None);
        for other in [receipt(false), "mine".to_owned(), String::new()] {
            write("r.json", &other);
            assert!(!is_failed(&at("r.json")));
            assert_eq!(make_room(&at("r.json")).unwrap(), None);
            assert_eq!(read("r.json"), other);
        }
        let failed = receipt(true);
        write("r.json", &failed);
        write("r.sig.json", "one");
        assert_eq!(make_room(&at("r.json")).unwrap(), Some(at("r.failed-1.json")));
        assert_eq!((read("r.failed-1.json"), read("r.failed-1.sig.json")), (failed.clone(), "one".to_owned()));
        assert!(!at("r.json").exists() && !at("r.sig.json").exists());
        write("r.json", &failed);
        assert_eq!(make_room(&at("r.json")).unwrap(), Some(at("r.failed-2.json")));
        assert!(!at("r.failed-2.sig.json").exists());
        // A run killed between signatures and receipt: the next one brings them together again.
        write("r.json", &failed);
        write("r.failed-3.sig.json", "three");
        assert_eq!(make_room(&at("r.json")).unwrap(), Some(at("r.failed-3.json")));
        assert_eq!(read("r.failed-3.sig.json"), "three");
        // Signatures of unknown origin are not taken over.
        write("r.json", &failed);
        write("r.sig.json", "five");
        write("r.failed-4.sig.json", "four");
        assert_eq!(make_room(&at("r.json")).unwrap(), Some(at("r.failed-5.json")));
        assert_eq!((read("r.failed-4.sig.json"), read("r.failed-5.sig.json")), ("four".to_owned(), "five".to_owned()));
        std::os::unix::fs::symlink(at("r.failed-1.json"), at("r.json")).unwrap();
        assert!(!is_failed(&at("r.json")), "a link is not followed");
    }
}
