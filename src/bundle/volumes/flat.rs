//! Form flat: the layout as plain files below `NAME.oci/`, for guards that refuse archives
//! (`spec/bundle.md`, flat). Finds its files and unexpected entries next to them; reads only the
//! content of blobs.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;

use super::files::{Files, fault};
use crate::base::fault::differs;
use crate::bundle::Error;
use crate::bundle::format::tar::{Content, Tar};
use crate::content::{self, Kind};
use crate::flow::Flow;
use crate::oci::{Algorithm, Digest};

/// Maximum number of unexpected entries of a directory that are named, the first ones in name
/// order.
const NAMED: usize = 100;
/// Maximum number of bytes read at once.
const STEP: usize = 1 << 20;

/// Files of a flat bundle.
pub struct Flat {
    files: Arc<Files>,
    root: String,
}

/// Returns a blob's path below the root.
fn place(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// Returns a member's path below the root.
pub(in crate::bundle) fn path_of(tar: &Tar, member: usize) -> String {
    match tar.content(member) {
        Content::Blob(digest) => place(&digest),
        Content::Computed => tar.name(member),
    }
}

/// Reader of a file or of a part of it. Its errors are those of [`content::Error::into_io`].
pub struct FileReader {
    files: Arc<Files>,
    file: String,
    at: u64,
    end: u64,
    // Read, but not returned yet.
    ready: Vec<u8>,
    given: usize,
}

impl FileReader {
    /// Reads the next bytes and returns how many. Fills `into` except at the end. A file that has
    /// become shorter ends there.
    fn fill(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let into = &mut into[..left.min(STEP)];
        if into.is_empty() {
            return Ok(0);
        }
        let place = self.files.place();
        match place.read_at(&self.file, self.at, into) {
            Ok(()) => {
                self.at += into.len() as u64;
                Ok(into.len())
            }
            Err(error) if error.class == Kind::Mismatch => {
                self.end = self.at;
                Ok(0)
            }
            Err(error) => {
                let what = format!("{}, offset {}: {}", place.shown(&self.file), self.at, error.what);
                Err(content::Error { what, ..error }.into_io())
            }
        }
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.ready.len() {
            if buffer.len() >= STEP {
                return self.fill(buffer);
            }
            let mut ready = std::mem::take(&mut self.ready);
            self.given = 0;
            ready.resize(usize::try_from(self.end - self.at).unwrap_or(STEP).min(STEP), 0);
            let count = self.fill(&mut ready)?;
            ready.truncate(count);
            self.ready = ready;
        }
        let count = (&self.ready[self.given..]).read(buffer)?;
        self.given += count;
        Ok(count)
    }
}

impl Flat {
    /// Returns the flat files among `files`. Opens nothing yet.
    pub fn new(files: Arc<Files>) -> Self {
        let root = files.name().flat();
        Self { files, root }
    }

    fn below(&self, path: &str) -> String {
        if path.is_empty() { self.root.clone() } else { format!("{}/{path}", self.root) }
    }

    /// Returns a path as shown in messages.
    pub(in crate::bundle) fn shown(&self, path: &str) -> String {
        self.files.place().shown(&self.below(path))
    }

    /// Returns a reader of the file of a member, which must have the given size.
    ///
    /// # Errors
    /// Those of [`Flat::blob`].
    pub(in crate::bundle) fn file(&self, path: &str, size: u64) -> Result<FileReader, Error> {
        let (file, shown) = (self.below(path), || self.shown(path));
        let found = self.files.place().size(&file).map_err(fault)?.ok_or_else(|| {
            Error::integrity(differs(shown(), format_args!("a file of {size} bytes"), "none"))
                .help("copy the bundle again from its source, with everything below its directory")
        })?;
        match found.cmp(&size) {
            Ordering::Equal => {
                let files = Arc::clone(&self.files);
                Ok(FileReader { files, file, at: 0, end: size, ready: Vec::new(), given: 0 })
            }
            Ordering::Less => Err(Error::integrity(format!("{}: truncated at {found} of {size} bytes", shown()))),
            Ordering::Greater => Err(Error::integrity(differs(shown(), format_args!("{size} bytes"), found))),
        }
    }

    /// Opens a blob. Checks its size, but not its content.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Integrity`] if it is missing or has another size;
    /// [`crate::base::fault::Class::Io`].
    pub fn blob(&self, digest: &Digest, size: u64) -> Result<FileReader, Error> {
        self.file(&place(digest), size)
    }

    /// Opens the bytes `part` of a blob like [`Flat::blob`].
    ///
    /// # Errors
    /// Those of [`Flat::blob`].
    pub fn part(&self, digest: &Digest, size: u64, part: std::ops::Range<u64>) -> Result<FileReader, Error> {
        Ok(FileReader { at: part.start, end: part.end, ..self.blob(digest, size)? })
    }

    /// Reads a whole blob, which must fit in memory.
    ///
    /// # Errors
    /// Those of [`Flat::blob`].
    pub(in crate::bundle) fn whole(&self, digest: &Digest, size: u64) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        let read = self.blob(digest, size)?.read_to_end(&mut content);
        read.map_err(|error| fault(content::Error::from_io(self.shown(&place(digest)), error)))?;
        Ok(content)
    }

    /// Returns all problems below the root: files that are missing or have another size, and
    /// entries that the manifest does not name. `is_carried` returns whether the manifest lists a
    /// blob.
    pub fn survey(&self, tar: &Tar, is_carried: &dyn Fn(&Digest) -> bool, flow: &Flow) -> Vec<Error> {
        let mut errors = Vec::new();
        let top = |name: &str| matches!(name, "oci-layout" | "index.json" | "blobs");
        self.entries("", top, &mut errors);
        let algorithm = |name: &str| matches!(name, "sha256" | "sha512");
        self.entries("blobs", algorithm, &mut errors);
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let blob = |hex: &str| {
                let digest = format!("{}:{hex}", algorithm.name()).parse::<Digest>().ok();
                digest.is_some_and(|digest| is_carried(&digest))
            };
            self.entries(&format!("blobs/{}", algorithm.name()), blob, &mut errors);
        }
        // Opens each expected file as a plain file of its size.
        for member in 0..tar.members() {
            if let Err(cancelled) = flow.check() {
                return vec![cancelled.into()];
            }
            errors.extend(self.file(&path_of(tar, member), tar.size(member)).err());
        }
        errors
    }

    fn entries(&self, path: &str, expected: impl Fn(&str) -> bool, errors: &mut Vec<Error>) {
        let (mut extra, mut others) = (BTreeSet::new(), 0_u64);
        let looked = self.files.place().list(&self.below(path), &mut |entry| {
            if !expected(entry.name) {
                extra.insert(entry.name.to_owned());
                if extra.len() > NAMED {
                    extra.pop_last();
                    others += 1;
                }
            }
        });
        let shown = self.shown(path);
        let remove = "remove it, or take another copy of the bundle";
        errors.extend(extra.iter().map(|name| {
            Error::integrity(format!("{shown}/{name}: extra, the manifest does not name it")).help(remove)
        }));
        if others > 0 {
            let what = format!("{shown}: {others} more entries are extra, the manifest does not name them");
            errors.push(Error::integrity(what).help(remove));
        }
        errors.extend(looked.err().map(fault));
    }
}
