//! Form flat: the layout as plain files below `NAME.oci/`, for guards that refuse archives
//! (`spec/bundle.md`, flat). Finds its files and unexpected entries next to them; reads only the
//! content of blobs.
//!
//! Every name is opened relative to its directory and never through a link.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::base::fault::Class;
use crate::bundle::format::tar::{Content, Tar};
use crate::bundle::{Error, Name};
use crate::flow::Flow;
use crate::oci::{Algorithm, Digest};
use crate::system::{Folder, Found, Unopened};

/// Maximum number of unexpected entries of a directory that are named, the first ones in name
/// order.
const NAMED: usize = 100;

/// Files of a flat bundle.
#[derive(Debug)]
pub struct Flat {
    root: PathBuf,
}

/// Returns a blob's path below the root, name by name.
fn place(digest: &Digest) -> [String; 3] {
    ["blobs".to_owned(), digest.algorithm().name().to_owned(), digest.hex()]
}

/// Returns a member's path below the root, name by name.
pub(in crate::bundle) fn path_of(tar: &Tar, member: usize) -> Vec<String> {
    match tar.content(member) {
        Content::Blob(digest) => place(&digest).to_vec(),
        Content::Computed => vec![tar.name(member)],
    }
}

impl Flat {
    /// Returns the files of bundle `name` in `dir`. Opens nothing yet.
    pub fn new(dir: &Path, name: &Name) -> Self {
        Self { root: dir.join(name.flat()) }
    }

    /// Like [`Flat::new`], but for a directory that does not have its final name yet.
    pub fn unfinished(dir: &Path, name: &Name) -> Self {
        Self { root: dir.join(format!("{}.partial", name.flat())) }
    }

    /// Returns a path as shown in messages.
    pub(in crate::bundle) fn shown(&self, path: &[String]) -> String {
        path.iter().fold(self.root.clone(), |root, name| root.join(name)).display().to_string()
    }

    fn folder(&self, path: &[String]) -> Result<Option<Folder>, Error> {
        let mut open = Folder::open(&self.root);
        for (depth, name) in path.iter().enumerate() {
            match open {
                Ok(parent) => open = parent.folder(name),
                Err(unopened) => return self.absent(&path[..depth], &unopened),
            }
        }
        open.map_or_else(|unopened| self.absent(path, &unopened), |folder| Ok(Some(folder)))
    }

    fn absent<T>(&self, path: &[String], unopened: &Unopened) -> Result<Option<T>, Error> {
        match unopened.found {
            Found::Nothing => Ok(None),
            Found::Link | Found::OtherKind => {
                Err(Error::new(Class::Io, format!("{}: expected a directory, found another kind", self.shown(path))))
            }
            Found::Refusal => Err(Error::io(self.shown(path), &unopened.error)),
        }
    }

    /// Opens the file of a member, which must have the given size.
    ///
    /// # Errors
    /// Those of [`Flat::blob`].
    pub(in crate::bundle) fn file(&self, path: &[String], size: u64) -> Result<File, Error> {
        let shown = self.shown(path);
        let lacks = || {
            Error::integrity(format!("{shown}: expected a file of {size} bytes, found none"))
                .help("copy the bundle again from its source, with everything below its directory")
        };
        let Some((name, above)) = path.split_last() else { return Err(lacks()) };
        let folder = self.folder(above)?.ok_or_else(lacks)?;
        let other = || Error::new(Class::Io, format!("{shown}: expected a plain file, found another kind"));
        let file = folder.file(name).map_err(|unopened| match unopened.found {
            Found::Nothing => lacks(),
            Found::Link | Found::OtherKind => other(),
            Found::Refusal => Error::io(&shown, &unopened.error),
        })?;
        let metadata = file.metadata().map_err(|error| Error::io(&shown, &error))?;
        if !metadata.is_file() {
            return Err(other());
        }
        let found = metadata.len();
        match found.cmp(&size) {
            Ordering::Equal => Ok(file),
            Ordering::Less => Err(Error::integrity(format!("{shown}: truncated at {found} of {size} bytes"))),
            Ordering::Greater => Err(Error::integrity(format!("{shown}: expected {size} bytes, found {found}"))),
        }
    }

    /// Opens a blob. Checks its size, but not its content.
    ///
    /// # Errors
    /// [`Class::Integrity`] if it is missing or has another size; [`Class::Io`].
    pub fn blob(&self, digest: &Digest, size: u64) -> Result<File, Error> {
        self.file(&place(digest), size)
    }

    /// Reads a whole blob, which must fit in memory.
    ///
    /// # Errors
    /// Those of [`Flat::blob`].
    pub(in crate::bundle) fn whole(&self, digest: &Digest, size: u64) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        let read = self.blob(digest, size)?.take(size).read_to_end(&mut content);
        read.map_err(|error| Error::io(self.shown(&place(digest)), &error))?;
        Ok(content)
    }

    /// Returns all problems below the root: files that are missing or have another size, and
    /// entries that the manifest does not name. `is_carried` returns whether the manifest lists a
    /// blob.
    pub fn survey(&self, tar: &Tar, is_carried: &dyn Fn(&Digest) -> bool, flow: &Flow) -> Vec<Error> {
        let mut errors = Vec::new();
        let top = |name: &str| matches!(name, "oci-layout" | "index.json" | "blobs");
        self.entries(&[], top, &mut errors);
        let algorithm = |name: &str| matches!(name, "sha256" | "sha512");
        self.entries(&["blobs".to_owned()], algorithm, &mut errors);
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let blob = |hex: &str| {
                let digest = format!("{}:{hex}", algorithm.name()).parse::<Digest>().ok();
                digest.is_some_and(|digest| is_carried(&digest))
            };
            self.entries(&["blobs".to_owned(), algorithm.name().to_owned()], blob, &mut errors);
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

    fn entries(&self, path: &[String], expected: impl Fn(&str) -> bool, errors: &mut Vec<Error>) {
        let folder = match self.folder(path) {
            Ok(Some(folder)) => folder,
            Ok(None) => return,
            Err(error) => return errors.push(error),
        };
        let (mut extra, mut others) = (BTreeSet::new(), 0_u64);
        let looked = folder.entries(|name| {
            if !name.to_str().is_some_and(&expected) {
                extra.insert(name.to_owned());
                if extra.len() > NAMED {
                    extra.pop_last();
                    others += 1;
                }
            }
        });
        let shown = self.shown(path);
        let remove = "remove it, or take another copy of the bundle";
        errors.extend(extra.iter().map(|name| {
            let name = name.to_string_lossy();
            Error::integrity(format!("{shown}/{name}: extra, the manifest does not name it")).help(remove)
        }));
        if others > 0 {
            let what = format!("{shown}: {others} more entries are extra, the manifest does not name them");
            errors.push(Error::integrity(what).help(remove));
        }
        errors.extend(looked.err().map(|error| Error::io(shown, &error)));
    }
}
