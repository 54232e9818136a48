//! Journal of an upload in parts: which upload it is, and which parts the store has.
//!
//! One file an upload, with one line a part. A line that a crash cut off is ignored; a lost journal costs only the
//! parts that the store does not list. Holds no secret.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::base::lock::lock;
use crate::content::Error;
use crate::oci::Digest;

/// Identity of an upload. Another content, size of parts or place is another upload.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct About {
    /// Address of the object.
    pub object: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: String,
    /// Size of its parts in bytes.
    pub part: u64,
}

#[derive(Deserialize, Serialize)]
struct Head {
    #[serde(flatten)]
    about: About,
    upload: String,
}

/// A part that the store has.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its number, from 0.
    pub index: usize,
    /// Its `ETag`.
    pub etag: String,
    /// MD5 of its content, in hex.
    pub md5: String,
}

/// An open journal.
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    fn path(directory: &Path, about: &About) -> PathBuf {
        let whole = format!("{}\n{}\n{}\n{}", about.object, about.size, about.digest, about.part);
        directory.join(format!("upload-{}.jsonl", Digest::sha256(whole.as_bytes()).hex()))
    }

    /// Returns whether an earlier run left a journal: it did not complete the upload, or not compare it.
    pub fn is_left(directory: &Path, about: &About) -> bool {
        Self::path(directory, about).exists()
    }

    /// Begins a journal, in place of an older one.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn begin(directory: &Path, about: &About, upload: &str) -> Result<Self, Error> {
        let path = Self::path(directory, about);
        let failed = |error: &std::io::Error| Error::io(format!("upload journal {}", path.display()), error);
        fs::create_dir_all(directory).map_err(|error| failed(&error))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let mut file = options.open(&path).map_err(|error| failed(&error))?;
        let head = Head { about: about.clone(), upload: upload.to_owned() };
        line(&head).and_then(|line| file.write_all(&line)).map_err(|error| failed(&error))?;
        Ok(Self { path, file: Mutex::new(file) })
    }

    /// Opens the journal of an earlier run. Returns its upload and parts; `None` if there is none.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn reopen(directory: &Path, about: &About) -> Result<Option<(Self, String, Vec<Entry>)>, Error> {
        let path = Self::path(directory, about);
        let failed = |error: &std::io::Error| Error::io(format!("upload journal {}", path.display()), error);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidData) => {
                return Ok(None);
            }
            Err(error) => return Err(failed(&error)),
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut lines = whole.lines();
        let head = lines.next().and_then(|line| serde_json::from_str::<Head>(line).ok());
        let Some(head) = head.filter(|head| head.about == *about) else { return Ok(None) };
        let entries = lines.map_while(|line| serde_json::from_str(line).ok()).collect();
        let file = OpenOptions::new().append(true).open(&path).map_err(|error| failed(&error))?;
        // What a crash cut off must not become the beginning of the next line.
        file.set_len(whole.len() as u64).map_err(|error| failed(&error))?;
        Ok(Some((Self { path, file: Mutex::new(file) }, head.upload, entries)))
    }

    /// Adds a part.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn add(&self, entry: &Entry) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::io(format!("upload journal {}", self.path.display()), &error);
        line(entry).and_then(|line| lock(&self.file).write_all(&line)).map_err(failed)
    }

    /// Removes the journal: its upload is completed or gone.
    pub fn remove(self) {
        // One that stays is replaced by the next upload of the same content, or names an upload that is gone.
        drop(fs::remove_file(&self.path));
    }
}

/// Returns a value as one line.
fn line(value: &impl Serialize) -> std::io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(digest: &str) -> About {
        About { object: "s3://b/n".to_owned(), size: 9, digest: digest.to_owned(), part: 4 }
    }

    fn entry(index: usize) -> Entry {
        Entry { index, etag: format!("\"{index}\""), md5: "00".to_owned() }
    }

    #[test]
    fn a_journal_is_found_by_what_it_is_about() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("journals");
        assert!(Journal::reopen(&inner, &about("a")).unwrap().is_none());
        let journal = Journal::begin(&inner, &about("a"), "id").unwrap();
        journal.add(&entry(1)).unwrap();
        drop(journal);
        assert!(Journal::is_left(&inner, &about("a")) && !Journal::is_left(&inner, &about("b")));
        let (journal, upload, entries) = Journal::reopen(&inner, &about("a")).unwrap().unwrap();
        assert_eq!((upload.as_str(), entries), ("id", vec![entry(1)]));
        assert!(Journal::reopen(&inner, &about("b")).unwrap().is_none());
        journal.remove();
        assert!(Journal::reopen(&inner, &about("a")).unwrap().is_none());
    }

    #[test]
    fn a_journal_that_is_cut_anywhere_has_only_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::begin(dir.path(), &about("a"), "id").unwrap();
        journal.add(&entry(0)).unwrap();
        journal.add(&entry(1)).unwrap();
        let (path, whole) = (journal.path.clone(), fs::read(&journal.path).unwrap());
        for end in 0..=whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            let lines = String::from_utf8_lossy(&whole[..end]).matches('\n').count();
            match Journal::reopen(dir.path(), &about("a")).unwrap() {
                None => assert_eq!(lines, 0),
                Some((journal, _, entries)) => {
                    assert_eq!(entries.len() + 1, lines);
                    journal.add(&entry(7)).unwrap();
                    let (_, _, entries) = Journal::reopen(dir.path(), &about("a")).unwrap().unwrap();
                    assert_eq!(entries.last(), Some(&entry(7)), "cut at {end}");
                }
            }
        }
    }
}
